package ussd

import (
	"context"
	"fmt"

	"tuma/accounts"
	"tuma/internal/phone"
)

// What a customer does with money: look up whom it is for, hear what it costs,
// and, behind the PIN, pay.

// lookUpPayee puts the name behind a number before the customer, so that a slip
// of the thumb is seen before the PIN.
func lookUpPayee(ctx context.Context, s *Step) error {
	if err := s.lookUp(ctx); err != nil {
		return err
	}
	name, err := s.Accounts.LookUp(ctx, s.Customer, s.Answers.Phone)
	if err != nil {
		return err
	}
	s.Put("name", s.Person(name), "number", s.Number(s.Answers.Phone))
	return nil
}

func quoteSend(ctx context.Context, s *Step) error {
	q, err := s.Accounts.QuoteSend(ctx, s.Customer, s.Answers.Phone, s.Answers.Amount)
	return s.show(q, err, string(s.Answers.Phone))
}

func send(ctx context.Context, s *Step, ref string) error {
	done, err := s.Accounts.Send(ctx, ref, s.Customer, s.Answers.Phone, s.Answers.Amount)
	if err != nil {
		return err
	}
	s.paid(ctx, done)
	return nil
}

func lookUpTill(ctx context.Context, s *Step) error {
	till, err := s.Agents.Till(ctx, s.Answers.Till)
	if err != nil {
		return err
	}
	s.Put("till", till.Number, "name", s.Person(till.Name))
	return nil
}

func quoteWithdraw(ctx context.Context, s *Step) error {
	q, err := s.Agents.QuoteWithdraw(ctx, s.Customer, s.Answers.Till, s.Answers.Amount)
	s.Put("till", s.Answers.Till)
	return s.show(q, err, s.Answers.Till)
}

func withdraw(ctx context.Context, s *Step, ref string) error {
	done, err := s.Agents.Withdraw(ctx, ref, s.Customer, s.Answers.Till, s.Answers.Amount)
	if err != nil {
		return err
	}
	s.paid(ctx, done)
	return nil
}

// ownNumber answers "airtime for whom" without asking.
func ownNumber(_ context.Context, s *Step) error {
	s.Answers.Phone = s.From
	return nil
}

func quoteAirtime(ctx context.Context, s *Step) error {
	q, err := s.Accounts.QuoteAirtime(ctx, s.Customer, s.Answers.Phone, s.Answers.Amount)
	q.Payee = s.Answers.Phone
	return s.show(q, err, string(s.Answers.Phone))
}

func airtime(ctx context.Context, s *Step, ref string) error {
	done, err := s.Accounts.Airtime(ctx, ref, s.Customer, s.Answers.Phone, s.Answers.Amount)
	if err != nil {
		return err
	}
	s.paid(ctx, done)
	return nil
}

// show puts a quote into the words. When the same payment was made a moment
// ago and the customer has not said that he means it, the refusal is "again",
// before any that the quote itself met: whoever paid, did not hear of it and can
// no longer afford it twice should hear of the first.
func (s *Step) show(q accounts.Quote, refused error, to string) error {
	if refused != nil && q.Again == nil {
		return refused
	}
	s.Put("amount", s.Money(q.Amount), "fee", s.Money(q.Fee), "total", s.Money(q.Total))
	if q.Payee != phone.Number("") {
		s.Put("number", s.Number(q.Payee))
	}
	if q.Name != "" {
		s.Put("name", s.Person(q.Name))
	}
	if q.Again != nil && s.Answers.Sure != s.meant(to) {
		s.Put("code", q.Again.Code, "time", s.Clock(q.Again.At))
		s.Answers.Sure = "?" + s.meant(to)
		return accounts.Refuse("again")
	}
	return refused
}

// meant names a payment by whom it is for and how much.
func (s *Step) meant(to string) string { return fmt.Sprintf("%s %d", to, s.Answers.Amount) }

// sure notes that the customer means the very payment he was asked about.
func sure(_ context.Context, s *Step) error {
	if n := len(s.Answers.Sure); n > 0 && s.Answers.Sure[0] == '?' {
		s.Answers.Sure = s.Answers.Sure[1:]
	}
	return nil
}
