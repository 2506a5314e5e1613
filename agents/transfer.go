package agents

import (
	"context"
	"strings"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/internal/money"
	"tuma/internal/text"
)

// Float between the tills of one network.

func placeName(s string) string { return strings.Join(strings.Fields(strings.ToUpper(s)), " ") }

// TransferTo finds where the operator wants to move float. Refusals: frozen,
// till_closed, not_allowed, out_of_hours, self, then as in Till; ErrOtherNetwork,
// ErrNoHeadOffice.
func (s *Service) TransferTo(ctx context.Context, o Operator, to string) (Till, error) {
	if err := o.May(ActFloatTransfer); err != nil {
		return Till{}, err
	}
	return s.within(ctx, o, placeName(to))
}

// within finds a till or head office of the operator's own network.
func (s *Service) within(ctx context.Context, o Operator, to string) (Till, error) {
	if to == o.Till.place() {
		return Till{}, accounts.Refuse("self")
	}
	if strings.Trim(to, "0123456789") != "" {
		if _, err := checkTitle(to); err != nil {
			return Till{}, ErrNoHeadOffice
		}
	}
	t, err := s.counter(ctx, to)
	if err == nil && !o.Till.reaches(t) {
		err = ErrOtherNetwork
	}
	return t, err
}

// QuoteTransfer tells whom float would go to, and whether the same was moved a
// moment ago; refusals as in TransferFloat. The book decides again when it is
// moved.
func (s *Service) QuoteTransfer(ctx context.Context, o Operator, to string, a money.Amount) (Till, accounts.Quote, error) {
	to = placeName(to)
	t, err := s.transferTo(ctx, o, to, a)
	if err != nil {
		return Till{}, accounts.Quote{}, err
	}
	float, err := s.accounts.Book().Account(ctx, o.Till.float)
	if err != nil {
		return Till{}, accounts.Quote{}, err
	}
	q := accounts.Quote{Amount: a, Total: a, Name: t.Name, Balance: float.Balance}
	if q.Again, err = s.accounts.Earlier(ctx, "transfer", o.Till.float, to, a); err != nil {
		return Till{}, accounts.Quote{}, err
	}
	if float.Balance < a {
		err = accounts.Refuse("float_low")
	}
	return t, q, err
}

// transferTo checks a transfer in the order of its refusals.
func (s *Service) transferTo(ctx context.Context, o Operator, to string, a money.Amount) (Till, error) {
	if err := o.May(ActFloatTransfer); err != nil {
		return Till{}, err
	}
	if a <= 0 || a > ledger.MaxAmount {
		return Till{}, accounts.Refuse("bad_amount")
	}
	return s.within(ctx, o, to)
}

// TransferFloat moves float from the operator's till, or head office, to another
// till of the same agent or head office, or to its head office by name;
// ErrOtherNetwork, ErrNoHeadOffice. Done.Balance is the
// float that is left. Refusals: frozen, till_closed, not_allowed, out_of_hours,
// bad_amount, self, then as in Till, float_low; the same ref again as in
// accounts.Send.
func (s *Service) TransferFloat(ctx context.Context, ref string, o Operator, to string, a money.Amount) (accounts.Done, error) {
	to = placeName(to)
	d, err := s.transferFloat(ctx, ref, o, to, a)
	d, err = s.accounts.OrFirst(ctx, accounts.Payment{Ref: ref, Kind: "transfer", From: o.Till.float, To: to, Amount: a}, d, err)
	if err == nil && !d.Again {
		s.warnLowFloat(ctx, o.Till, d.Balance+a, d.Balance)
	}
	return d, err
}

func (s *Service) transferFloat(ctx context.Context, ref string, o Operator, to string, a money.Amount) (accounts.Done, error) {
	t, err := s.transferTo(ctx, o, to, a)
	if err != nil {
		return accounts.Done{}, err
	}
	told, err := s.operatorsAt(ctx, t)
	if err != nil {
		return accounts.Done{}, err
	}
	owed := tillNotices(told, "transfer_in_till", t.float, text.Holes{"amount": s.accounts.Money(a), "till": t.called(), "name": accounts.ShortName(o.Till.Name, tillName)})
	owed = append(owed, accounts.Owed{Party: "from", To: o.Phone, Lang: o.Lang, Text: "transfer_out_till", Account: o.Till.float,
		Holes: text.Holes{"amount": s.accounts.Money(a), "name": strings.TrimSpace(t.Number + " " + accounts.ShortName(t.Name, tillName))}})
	r, err := s.accounts.Post(ctx, ledger.Entry{
		Ref: ref, Kind: "transfer",
		Postings: []ledger.Posting{{Why: ledger.Principal, Debit: o.Till.float, Credit: t.float, Amount: a}},
		Memo:     map[string]string{"from": o.Till.place(), "from_name": o.Till.Name, "to": to, "to_name": t.Name, "operator": string(o.Phone)},
		Rider:    accounts.Rider{Owed: owed},
	}, map[ledger.AccountID]accounts.Side{o.Till.float: accounts.Till, t.float: accounts.Till})
	if err != nil {
		return accounts.Done{}, err
	}
	return s.accounts.Done(r, o.Till.float, t.Name), nil
}
