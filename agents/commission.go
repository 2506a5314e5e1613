package agents

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// Earning is an entry of a till's commission.
type Earning struct {
	accounts.Line
	Earned  money.Amount // below zero: a deposit was undone
	PaidOut money.Amount // to the float
	After   money.Amount // what the till has earned and not been paid, after it
}

// Earnings finds entries of a till's commission, newest first, as Entries does
// those of its float. Refusals: frozen, not_allowed.
func (s *Service) Earnings(ctx context.Context, o Operator, f Find) (found []Earning, err error) {
	if err := o.May(ActCommissionView); err != nil {
		return nil, err
	}
	list, err := s.walk(ctx, o.Till.commission, f)
	for _, r := range list {
		e := Earning{Line: s.accounts.Line(r, o.Till.commission)}
		e.After, _ = r.After(o.Till.commission)
		if name := r.Memo[customerSide(e.Kind, o.Till)+"_name"]; name != "" {
			e.Other = name
		}
		switch {
		case e.Kind == "payout":
			e.PaidOut, e.Other = e.Amount, "" // it is the till's own
		case e.In:
			e.Earned = e.Amount
		default:
			e.Earned = -e.Amount
		}
		found = append(found, e)
	}
	return found, err
}

// customerSide is the party of an entry's memo that a till's commission is from:
// the customer, for a head office the till.
func customerSide(kind string, t Till) string {
	if (kind == "deposit") == (t.Number == "") {
		return "from"
	}
	return "to"
}

const sqlEarnedByDay = `
select e.at, e.kind = 'payout' as paid, case when p.credit = $1 then p.amount else -p.amount end as amount
from entries_of($1, $2) e, unnest(e.debits, e.credits, e.amounts) as p (debit, credit, amount)
where e.at < $3 and $1 in (p.debit, p.credit)`

// EarnedDay is what a till has earned in a day of the country.
type EarnedDay struct {
	Day             time.Time // its midnight
	Entries         int
	Earned, PaidOut money.Amount
}

// EarnedByDay adds a till's commission up for each day from one midnight on and
// before another, newest first, days without any left out. Refusals: frozen,
// not_allowed.
func (s *Service) EarnedByDay(ctx context.Context, o Operator, from, until time.Time) (days []EarnedDay, err error) {
	if err := o.May(ActCommissionView); err != nil {
		return nil, err
	}
	var rows []struct {
		At     time.Time    `db:"at"`
		Paid   bool         `db:"paid"`
		Amount money.Amount `db:"amount"`
	}
	if err := s.pool.Select(ctx, &rows, sqlEarnedByDay, int64(o.Till.commission), from, until); err != nil {
		return nil, fmt.Errorf("agents: commission by day: %w", err)
	}
	by := map[time.Time]*EarnedDay{}
	for _, r := range rows {
		y, m, d := r.At.In(s.accounts.Country().Zone).Date()
		day := time.Date(y, m, d, 0, 0, 0, 0, s.accounts.Country().Zone)
		if by[day] == nil {
			by[day] = &EarnedDay{Day: day}
		}
		if r.Paid {
			by[day].PaidOut -= r.Amount
			continue
		}
		by[day].Entries++
		by[day].Earned += r.Amount
	}
	for _, d := range by {
		days = append(days, *d)
	}
	slices.SortFunc(days, func(a, b EarnedDay) int { return b.Day.Compare(a.Day) })
	return days, nil
}
