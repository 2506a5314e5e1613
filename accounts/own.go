package accounts

import (
	"context"

	"tuma/internal/money"
	"tuma/internal/phone"
)

// What a customer asks of the own money by a channel that proves nothing: the
// sender of an SMS can be forged. It becomes an approval that nobody else asked
// for, and only the PIN makes it a payment.

// Own tells whether the customer asked for it.
func (a Approval) Own() bool { return a.Asker == "" }

// at gives the approval that an entry settles, 0 for none; price_changed when the
// entry would cost something else than the customer was shown.
func (a *Approval) at(p Price) (int64, error) {
	switch {
	case a == nil:
		return 0, nil
	case p.Fee != a.Fee:
		return 0, Refuse("price_changed")
	}
	return a.ID, nil
}

// AskSend asks the customer to confirm a payment that he asked for. Refusals as in
// QuoteSend. The same ref again as in Ask.
func (s *Service) AskSend(ctx context.Context, ref string, c Customer, payee phone.Number, a money.Amount) (Approval, error) {
	q, err := s.QuoteSend(ctx, c, payee, a)
	if err != nil {
		return s.asked(ctx, ref, c, err)
	}
	return s.Ask(ctx, Ask{
		Ref: ref, Kind: "send", Customer: c, AskerName: q.Name, AskedBy: c.Phone, Amount: a, Fee: q.Fee, Params: map[string]string{"to": string(payee)},
	})
}

// AskAirtime does the same for airtime. Refusals as in QuoteAirtime.
func (s *Service) AskAirtime(ctx context.Context, ref string, c Customer, to phone.Number, a money.Amount) (Approval, error) {
	q, err := s.QuoteAirtime(ctx, c, to, a)
	if err != nil {
		return s.asked(ctx, ref, c, err)
	}
	return s.Ask(ctx, Ask{
		Ref: ref, Kind: "airtime", Customer: c, AskerName: s.country.Phone.National(to), AskedBy: c.Phone, Amount: a, Fee: q.Fee, Params: map[string]string{"to": string(to)},
	})
}

// asked finds what was asked with a ref before it was refused: it may have been
// approved since, and then the rules say something else.
func (s *Service) asked(ctx context.Context, ref string, c Customer, refused error) (Approval, error) {
	if first, err := s.ApprovalByRef(ctx, ref); err == nil && first.Customer == c.ID {
		return first, nil
	}
	return Approval{}, refused
}

func (s *Service) settleSend(ctx context.Context, c Customer, a Approval) (Done, error) {
	to := phone.Number(a.Params["to"])
	d, err := s.send(ctx, a.Ref, c, to, a.Amount, &a)
	return s.OrFirst(ctx, Payment{Ref: a.Ref, Kind: "send", From: c.Wallet, To: string(to), Amount: a.Amount}, d, err)
}

func (s *Service) settleAirtime(ctx context.Context, c Customer, a Approval) (Done, error) {
	to := phone.Number(a.Params["to"])
	d, err := s.airtime(ctx, a.Ref, c, to, a.Amount, &a)
	return s.OrFirst(ctx, Payment{Ref: a.Ref, Kind: "airtime", From: c.Wallet, To: string(to), Amount: a.Amount}, d, err)
}
