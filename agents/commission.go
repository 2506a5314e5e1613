package agents

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/internal/money"
	"tuma/internal/text"
)

// PayOutCommission moves earned commission into the float of the same till, or
// of the head office. Done.Balance is the commission that is left. Refusals:
// frozen, till_closed, not_allowed, out_of_hours, bad_amount, insufficient; the
// same ref again as in accounts.Send.
func (s *Service) PayOutCommission(ctx context.Context, ref string, o Operator, a money.Amount) (accounts.Done, error) {
	var d accounts.Done
	err := o.May(ActCommissionPayout)
	if err == nil {
		d, err = s.payOut(ctx, ref, o.Till, a, string(o.Phone))
	}
	return s.accounts.OrFirst(ctx, accounts.Payment{Ref: ref, Kind: "payout", From: o.Till.commission, To: o.Till.place(), Amount: a}, d, err)
}

func (s *Service) payOut(ctx context.Context, ref string, t Till, a money.Amount, by string) (accounts.Done, error) {
	if a <= 0 || a > ledger.MaxAmount {
		return accounts.Done{}, accounts.Refuse("bad_amount")
	}
	told, err := s.operatorsAt(ctx, t)
	if err != nil {
		return accounts.Done{}, err
	}
	h := text.Holes{"amount": s.accounts.Money(a), "till": t.called()}
	r, err := s.accounts.Post(ctx, ledger.Entry{
		Ref: ref, Kind: "payout",
		Postings: []ledger.Posting{{Why: ledger.Principal, Debit: t.commission, Credit: t.float, Amount: a}},
		Memo:     map[string]string{"from_name": "Commission", "to": t.place(), "to_name": t.Name, "operator": by},
		Rider:    accounts.Rider{Owed: tillNotices(told, "payout_till", t.float, h)},
	}, map[ledger.AccountID]accounts.Side{t.commission: accounts.Payer, t.float: accounts.Till})
	if err != nil {
		return accounts.Done{}, err
	}
	return s.accounts.Done(r, t.commission, t.Name), nil
}

// tillNotices are one for each operator of a till.
func tillNotices(to []told, name string, account ledger.AccountID, h text.Holes) (owed []accounts.Owed) {
	for _, o := range to {
		owed = append(owed, accounts.Owed{Party: "till:" + string(o.MSISDN), To: o.MSISDN, Lang: o.Lang, Text: name, Account: account, Holes: h})
	}
	return owed
}

// Payout is commission that a run has paid out.
type Payout struct {
	Place string // the till's number, or the head office's name
	Done  accounts.Done
}

const sqlEarned = `
select * from (
    select ` + tillFields + `, c.balance as earned
    from till t join agent a on a.id = t.agent left join head_office h on h.id = a.head_office join account c on c.id = t.commission
    union all
    select '', h.name, '', false, h.float, h.commission, 0, h.id, 0, 0, 0, c.balance from head_office h join account c on c.id = h.commission
) x where earned > 0 and not closed order by number, office`

// PayOutAll pays every till and head office what it has earned, once a day for
// each: a second run of the same day finds nothing to do. The list has what was
// paid, also beside an error about others.
func (s *Service) PayOutAll(ctx context.Context) (paid []Payout, err error) {
	var rows []struct {
		tillRow
		Earned int64 `db:"earned"`
	}
	if err := s.pool.Select(ctx, &rows, sqlEarned); err != nil {
		return nil, fmt.Errorf("agents: commissions: %w", err)
	}
	day := s.accounts.Book().Day(s.accounts.Now()).Format(time.DateOnly)
	var failed []error
	for _, r := range rows {
		t := r.till()
		key := t.Number
		if key == "" {
			key = officeScope(t.office)
		}
		d, err := s.payOut(ctx, "payout:"+key+":"+day, t, money.Amount(r.Earned), "system")
		refused, _ := errors.AsType[ledger.Refusal](err)
		switch {
		case refused.Rule == ledger.RefReused || err == nil && d.Again: // paid today
		case err != nil:
			failed = append(failed, fmt.Errorf("%s: %w", t.place(), err))
		default:
			paid = append(paid, Payout{t.place(), d})
		}
	}
	return paid, errors.Join(failed...)
}

// Commissions are the newest entries of a till's commission, newest first.
// Refusals: frozen, not_allowed.
func (s *Service) Commissions(ctx context.Context, o Operator, n int) ([]accounts.Line, error) {
	if err := o.May(ActCommissionView); err != nil {
		return nil, err
	}
	return s.accounts.Lines(ctx, o.Till.commission, n)
}
