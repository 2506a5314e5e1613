package agents

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tuma/accounts"
	"tuma/internal/money"
)

// NetworkTill is a till as its head office sees it, with what it has done today.
type NetworkTill struct {
	TillState
	Entries int          // deposits and withdrawals
	In, Out money.Amount // cash over the counter
}

const sqlNetworkToday = `
select t.number, count(e.id) filter (where e.kind in ('deposit', 'withdraw')) as entries,
       coalesce(sum(e.amounts[1]) filter (where e.kind = 'deposit'), 0)::bigint as came, coalesce(sum(e.amounts[1]) filter (where e.kind = 'withdraw'), 0)::bigint as went
from till t join agent a on a.id = t.agent left join lateral entries_of(t.float, $2) e on true
where a.head_office = $1 group by t.number`

// Network is all tills of a head office, those whose float is low first.
// Refusals: frozen, not_allowed.
func (s *Service) Network(ctx context.Context, o Operator) ([]NetworkTill, error) {
	if err := o.May(ActNetworkView); err != nil {
		return nil, err
	}
	states, err := s.Tills(ctx, o)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Number  string       `db:"number"`
		Entries int          `db:"entries"`
		In      money.Amount `db:"came"`
		Out     money.Amount `db:"went"`
	}
	if err := s.pool.Select(ctx, &rows, sqlNetworkToday, o.Till.office, s.midnight()); err != nil {
		return nil, fmt.Errorf("agents: a head office's day: %w", err)
	}
	list := make([]NetworkTill, len(states))
	for i, t := range states {
		list[i].TillState = t
		for _, r := range rows {
			if r.Number == t.Number {
				list[i].Entries, list[i].In, list[i].Out = r.Entries, r.In, r.Out
			}
		}
	}
	slices.SortStableFunc(list, func(a, b NetworkTill) int {
		switch {
		case a.Low == b.Low:
			return 0
		case a.Low:
			return -1
		}
		return 1
	})
	return list, nil
}

// NetworkTill is one of them, with its newest entries. ErrOtherNetwork, whether
// or not there is such a till; refusals: frozen, not_allowed.
func (s *Service) NetworkTill(ctx context.Context, o Operator, number string, entries int) (NetworkTill, []Entry, error) {
	list, err := s.Network(ctx, o)
	if err != nil {
		return NetworkTill{}, nil, err
	}
	i := slices.IndexFunc(list, func(t NetworkTill) bool { return t.Number == number })
	if i < 0 {
		return NetworkTill{}, nil, ErrOtherNetwork
	}
	t, err := s.AnyTill(ctx, number)
	if refused, ok := errors.AsType[accounts.Refusal](err); ok {
		return NetworkTill{}, nil, fmt.Errorf("%w: %s", ErrOtherNetwork, refused.Key)
	}
	if err != nil {
		return NetworkTill{}, nil, err
	}
	last, err := s.Entries(ctx, Operator{Till: t}, Find{Limit: entries})
	return list[i], last, err
}
