package agents

import (
	"context"
	"fmt"

	"tuma/accounts"
	"tuma/internal/db"
)

// AskLimits say how often a till may ask for withdrawals in a day. Whether it
// was told "asked" or "cannot", it has learnt something of what the customer
// has; so each try counts before it is answered. What the customer approved does
// not count.
type AskLimits struct {
	PerCustomer int // of one customer. People change their mind once or twice, not more
	PerTill     int // of all. A till that asks this often in vain serves nobody
}

// DefaultAskLimits are what the fields' comments argue for.
func DefaultAskLimits() AskLimits { return AskLimits{PerCustomer: 5, PerTill: 60} }

// LimitAsking changes the limits; before anything is asked.
func (s *Service) LimitAsking(l AskLimits) error {
	if l.PerCustomer < 1 || l.PerTill < l.PerCustomer {
		return fmt.Errorf("agents: a till may ask each customer at least once a day, and all together no less often: not %d and %d", l.PerCustomer, l.PerTill)
	}
	s.asking = l
	return nil
}

const (
	sqlHoldTill   = `select number from till where number = $1 for no key update`
	sqlTriedRef   = `select exists (select from ask_try where ref = $1 and till = $2)`
	sqlOpenAsks   = `select count(*) from approval where asker = $1 and customer = $2 and kind = 'withdraw' and state = 'pending' and expires_at > $3`
	sqlForgetAsks = `delete from ask_try where till = $1 and at < $2`
	sqlTries      = `
select count(*) as till, count(*) filter (where t.customer = $2) as customer
from ask_try t where t.till = $1 and not exists (select from approval a where a.ref = t.ref and a.state = 'approved')`
	sqlNewTry = `insert into ask_try (ref, till, customer, at) values ($1, $2, $3, $4)`
)

// mayAsk counts a try of a till to ask a customer, once for each ref. The till's
// row makes tries wait for each other: a hundred at once are counted as well.
// Refusals: ask_open (the last one is not answered), asks_spent.
func (s *Service) mayAsk(ctx context.Context, ref string, t Till, c accounts.Customer) error {
	err := s.pool.InTx(ctx, func(tx *db.Tx) error {
		var again bool
		if err := hold(ctx, tx, t); err != nil {
			return err
		}
		if err := tx.Get(ctx, &again, sqlTriedRef, ref, t.Number); err != nil || again {
			return err
		}
		if err := noneOpen(ctx, tx, t, c, 0); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, sqlForgetAsks, t.Number, s.midnight()); err != nil {
			return err
		}
		var tries struct {
			Till     int `db:"till"`
			Customer int `db:"customer"`
		}
		if err := tx.Get(ctx, &tries, sqlTries, t.Number, c.ID); err != nil {
			return err
		}
		if tries.Till >= s.asking.PerTill || tries.Customer >= s.asking.PerCustomer {
			return accounts.Refuse("asks_spent")
		}
		_, err := tx.Exec(ctx, sqlNewTry, ref, t.Number, c.ID, tx.Now)
		return err
	})
	if err != nil {
		return fmt.Errorf("agents: counting what till %s asks: %w", t.Number, err)
	}
	return nil
}

// oneOpen refuses a second request of a till to a customer who has not answered
// the first: of two at once, the later finds both.
func (s *Service) oneOpen(t Till, c accounts.Customer) func(context.Context, *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error {
		if err := hold(ctx, tx, t); err != nil {
			return err
		}
		return noneOpen(ctx, tx, t, c, 1)
	}
}

func hold(ctx context.Context, tx *db.Tx, t Till) error {
	var number string
	return tx.Get(ctx, &number, sqlHoldTill, t.Number)
}

func noneOpen(ctx context.Context, tx *db.Tx, t Till, c accounts.Customer, own int) error {
	var open int
	if err := tx.Get(ctx, &open, sqlOpenAsks, t.Number, c.ID, tx.Now); err != nil {
		return err
	}
	if open > own {
		return accounts.Refuse("ask_open")
	}
	return nil
}

// OpenAsk is what the operator's till has asked of a customer and not been
// answered; accounts.ErrNoApproval when there is nothing. Refusals as of an
// operator who may not ask.
func (s *Service) OpenAsk(ctx context.Context, o Operator, c accounts.Customer) (accounts.Approval, error) {
	if err := o.May(ActWithdrawAsk); err != nil {
		return accounts.Approval{}, err
	}
	waiting, err := s.accounts.Approvals(ctx, c)
	if err != nil {
		return accounts.Approval{}, err
	}
	for _, a := range waiting {
		if a.Kind == "withdraw" && a.Asker == o.Till.Number {
			return a, nil
		}
	}
	return accounts.Approval{}, accounts.ErrNoApproval
}
