package agents

import (
	"cmp"
	"context"
	"errors"

	"tuma/accounts"
	"tuma/internal/money"
	"tuma/internal/phone"
)

// A withdrawal that the till asks for: the customer stands at the counter and
// confirms on the own phone. Until then nothing moves, and the operator is told
// nothing of what the customer has.

// QuoteAskWithdraw names the customer and prices a withdrawal that the till is
// about to ask for. What the customer has is no part of it: see AskWithdraw.
// Refusals: frozen (the operator), till_closed, not_allowed, out_of_hours,
// payee_unregistered, below_min, over_entry. Balance and Again are left out.
func (s *Service) QuoteAskWithdraw(ctx context.Context, o Operator, customer phone.Number, a money.Amount) (accounts.Quote, error) {
	_, q, err := s.askable(ctx, o, customer, a)
	return q, err
}

func (s *Service) askable(ctx context.Context, o Operator, customer phone.Number, a money.Amount) (accounts.Customer, accounts.Quote, error) {
	if err := o.May(ActWithdrawAsk); err != nil {
		return accounts.Customer{}, accounts.Quote{}, err
	}
	c, err := s.accounts.ByPhone(ctx, customer)
	switch {
	case errors.Is(err, accounts.ErrNoCustomer):
		return accounts.Customer{}, accounts.Quote{}, accounts.Refuse("payee_unregistered", "number", s.accounts.Country().Phone.National(customer))
	case err != nil:
		return accounts.Customer{}, accounts.Quote{}, err
	}
	p, err := s.accounts.Price(ctx, "withdraw", a, c.Tier)
	if err != nil {
		return accounts.Customer{}, accounts.Quote{}, err
	}
	return c, accounts.Quote{Amount: a, Fee: p.Fee, Total: a + p.Fee, Payee: customer, Name: c.Name}, nil
}

// affordable refuses what the customer could not pay now.
func (s *Service) affordable(ctx context.Context, o Operator, c accounts.Customer, a money.Amount) error {
	if c.Frozen {
		return accounts.Refuse("customer_cannot")
	}
	_, err := s.QuoteWithdraw(ctx, c, o.Till.Number, a)
	return discreet(err)
}

// discreet takes out of a refusal what is the customer's own business.
func discreet(err error) error {
	switch r, _ := errors.AsType[accounts.Refusal](err); r.Key {
	case "insufficient", "over_day", "payer_frozen", "payer_blocked":
		return accounts.Refuse("customer_cannot")
	}
	return err
}

// AskWithdraw asks a customer to approve a withdrawal at the operator's till. The
// operators hear by SMS when it is to be paid; what has become of it tells Asked.
// Refusals as in QuoteAskWithdraw, then ask_open and asks_spent (LimitAsking),
// then customer_cannot for everything that only the customer is told. The same
// ref again gives the first approval.
func (s *Service) AskWithdraw(ctx context.Context, ref string, o Operator, customer phone.Number, a money.Amount) (accounts.Approval, error) {
	c, q, err := s.askable(ctx, o, customer, a)
	if err == nil {
		err = s.mayAsk(ctx, ref, o.Till, c)
	}
	if err == nil {
		err = s.affordable(ctx, o, c, a)
	}
	if err != nil {
		// Asked before, and perhaps approved since: then the rules say something else now.
		if first, lookUp := s.accounts.ApprovalByRef(ctx, ref); lookUp == nil && first.Asker == o.Till.Number && first.Phone == customer && first.Amount == a {
			return first, nil
		}
		return accounts.Approval{}, err
	}
	return s.accounts.Ask(ctx, accounts.Ask{
		Ref: ref, Kind: "withdraw", Customer: c, Asker: o.Till.Number, AskerName: o.Till.Name, AskedBy: o.Phone, Amount: a, Fee: q.Fee,
		Params: map[string]string{"till": o.Till.Number}, Allow: s.oneOpen(o.Till, c),
	})
}

// Asked finds an approval that the operator's till has asked for;
// accounts.ErrNoApproval when it is another's.
func (s *Service) Asked(ctx context.Context, o Operator, id int64) (accounts.Approval, error) {
	a, err := s.accounts.Approval(ctx, id)
	if err == nil && a.Asker != o.Till.Number {
		return accounts.Approval{}, accounts.ErrNoApproval
	}
	return a, err
}

// AskedByRef is Asked by the ref that it was asked with.
func (s *Service) AskedByRef(ctx context.Context, o Operator, ref string) (accounts.Approval, error) {
	a, err := s.accounts.ApprovalByRef(ctx, ref)
	if err == nil && a.Asker != o.Till.Number {
		return accounts.Approval{}, accounts.ErrNoApproval
	}
	return a, err
}

// LastAsked are the newest approvals that the operator's till has asked for,
// newest first.
func (s *Service) LastAsked(ctx context.Context, o Operator, n int) ([]accounts.Approval, error) {
	return s.accounts.ApprovalsBy(ctx, o.Till.Number, n)
}

// CancelAsked takes back what the operator's till has asked for; as in
// accounts.Cancel. Refusals as of an operator who may not ask.
func (s *Service) CancelAsked(ctx context.Context, o Operator, id int64) error {
	if err := o.May(ActWithdrawAsk); err != nil {
		return err
	}
	return s.accounts.Cancel(ctx, o.Till.Number, id)
}

// settleWithdraw posts an approved withdrawal. Refusals: till_closed (the
// operator who asked may not serve there any more, too), price_changed, then as
// in Withdraw.
func (s *Service) settleWithdraw(ctx context.Context, c accounts.Customer, a accounts.Approval) (accounts.Done, error) {
	till := cmp.Or(a.Asker, a.Params["till"])
	d, err := s.payCash(ctx, a.Ref, c, till, a.Amount, &a)
	return s.accounts.OrFirst(ctx, accounts.Payment{Ref: a.Ref, Kind: "withdraw", From: c.Wallet, To: till, Amount: a.Amount}, d, err)
}

// AskOwnWithdraw asks a customer to confirm a withdrawal that he asked for by a
// channel that proves nothing. Refusals as in QuoteWithdraw; the same ref again as
// in accounts.Ask.
func (s *Service) AskOwnWithdraw(ctx context.Context, ref string, c accounts.Customer, till string, a money.Amount) (accounts.Approval, error) {
	q, err := s.QuoteWithdraw(ctx, c, till, a)
	if err != nil {
		if first, lookUp := s.accounts.ApprovalByRef(ctx, ref); lookUp == nil && first.Customer == c.ID {
			return first, nil
		}
		return accounts.Approval{}, err
	}
	return s.accounts.Ask(ctx, accounts.Ask{
		Ref: ref, Kind: "withdraw", Customer: c, AskerName: q.Name, AskedBy: c.Phone, Amount: a, Fee: q.Fee, Params: map[string]string{"till": till},
	})
}

// stillAsked refuses an approval that would not do what the customer was shown,
// or that nobody would ask for now.
func (s *Service) stillAsked(ctx context.Context, a accounts.Approval, p accounts.Price) error {
	if a.Own() {
		if p.Fee != a.Fee {
			return accounts.Refuse("price_changed")
		}
		return nil
	}
	o, err := s.ByPhone(ctx, a.AskedBy)
	switch {
	case errors.Is(err, ErrNoOperator), err == nil && (o.Till.Number != a.Asker || o.May(ActWithdrawAsk) != nil):
		return accounts.Refuse("till_closed")
	case err != nil:
		return err
	case p.Fee != a.Fee:
		return accounts.Refuse("price_changed")
	}
	return nil
}
