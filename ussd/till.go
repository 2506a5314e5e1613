package ussd

import (
	"context"
	"errors"

	"tuma/accounts"
)

// What an operator does at a till.

// lastLines is how many entries of the till an operator sees: the customers
// who may still stand in front of the counter.
const lastLines = 5

func lookUpCustomer(ctx context.Context, s *Step) error {
	if err := s.lookUp(ctx); err != nil {
		return err
	}
	s.Put("number", s.Number(s.Answers.Phone))
	c, err := s.Accounts.ByPhone(ctx, s.Answers.Phone)
	if errors.Is(err, accounts.ErrNoCustomer) {
		return accounts.Refuse("payee_unregistered", "number", s.Number(s.Answers.Phone))
	}
	if err != nil {
		return err
	}
	s.Put("name", s.Person(c.Name))
	return nil
}

func quoteDeposit(ctx context.Context, s *Step) error {
	q, err := s.Agents.QuoteDeposit(ctx, s.Operator, s.Answers.Phone, s.Answers.Amount)
	return s.show(q, err, string(s.Answers.Phone))
}

func deposit(ctx context.Context, s *Step, ref string) error {
	done, err := s.Agents.Deposit(ctx, ref, s.Operator, s.Answers.Phone, s.Answers.Amount)
	if err != nil {
		return err
	}
	s.paid(ctx, done)
	return nil
}

// showEnrol repeats what was keyed in before the operator's PIN.
func showEnrol(_ context.Context, s *Step) error {
	s.Put("number", s.Number(s.Answers.Phone), "name", s.Person(s.Answers.Name), "id", s.Answers.IDNumber)
	return nil
}

// enrol registers a customer who stands at the counter with the ID card, at the
// full tier and without a PIN: that is chosen on the customer's own phone.
func enrol(ctx context.Context, s *Step) error {
	a := s.Answers
	c, err := s.Agents.RegisterCustomer(ctx, s.Once("enrol"), s.Operator, accounts.Registration{
		Ref: s.Once("enrol"), Phone: a.Phone, Name: a.Name, IDNumber: a.IDNumber, Lang: s.Lang,
	})
	if err != nil {
		return err
	}
	s.Put("name", s.Person(c.Name))
	return nil
}

// floatBalance is the till's position; without the cash while no day is open: no_day.
func floatBalance(ctx context.Context, s *Step) error {
	p, err := s.Agents.Float(ctx, s.Operator)
	if err != nil {
		return err
	}
	s.Put("float", s.Money(p.Float), "commission", s.Money(p.Commission), "today", s.Money(p.CommissionToday))
	if p.Day == nil {
		return accounts.Refuse("no_day")
	}
	s.Put("expected", s.Money(p.Day.ExpectedCash))
	return nil
}

func lastEntries(ctx context.Context, s *Step) error {
	lines, err := s.Agents.Last(ctx, s.Operator, lastLines)
	if err != nil {
		return err
	}
	return s.list(lines)
}
