package ussd

import (
	"context"
	"errors"

	"tuma/accounts"
	"tuma/agents"
)

// What an operator does with the till itself: its day, its float, its
// commission, its mistakes and its people.

// may turns away whoever must not do it, before anything is keyed in.
func may(a agents.Action) Action {
	return func(_ context.Context, s *Step) error { return s.Operator.May(a) }
}

// tillRefusals are the errors of a till's verbs that an operator can do
// something about.
var tillRefusals = []struct {
	err error
	key string
}{
	{agents.ErrDayOpen, "day_is_open"}, {agents.ErrDayNotOpen, "day_not_open"},
	{agents.ErrExists, "reference_used"}, {agents.ErrOtherNetwork, "other_network"},
	{agents.ErrNoEntry, "no_deposit"}, {agents.ErrNoDeposit, "no_deposit"}, {agents.ErrTooLate, "too_late"}, {agents.ErrNothingLeft, "nothing_left"},
	{agents.ErrNoOperator, "no_operator"}, {agents.ErrSelf, "no_operator"},
}

// refusing makes refusals of them.
func refusing(err error) error {
	for _, r := range tillRefusals {
		if errors.Is(err, r.err) {
			return accounts.Refuse(r.key)
		}
	}
	return err
}

// showAmount repeats before the PIN what was keyed in.
func showAmount(_ context.Context, s *Step) error {
	s.Put("amount", s.Money(s.Answers.Amount), "bank", s.Answers.BankRef)
	return nil
}

func openDay(ctx context.Context, s *Step) error {
	_, err := s.Agents.OpenDay(ctx, s.Operator, s.Answers.Amount)
	return refusing(err)
}

// closeDay tells what is there beyond the expected cash (is_over), or less (is_short).
func closeDay(ctx context.Context, s *Step) error {
	d, err := s.Agents.CloseDay(ctx, s.Operator, s.Answers.Amount)
	if err != nil {
		return refusing(err)
	}
	s.Put("counted", s.Money(d.CountedCash), "expected", s.Money(d.ExpectedCash), "over", s.Money(max(d.OverShort, -d.OverShort)))
	switch {
	case d.OverShort > 0:
		return accounts.Refuse("is_over")
	case d.OverShort < 0:
		return accounts.Refuse("is_short")
	}
	return nil
}

// buyFloat asks for float against money in the bank; a maker and a checker issue it.
func buyFloat(ctx context.Context, s *Step) error {
	_, err := s.Agents.AskFloat(ctx, s.Once("float"), s.Operator, s.Answers.Amount, s.Answers.BankRef)
	return refusing(err)
}

func returnFloat(ctx context.Context, s *Step) error {
	_, err := s.Agents.ReturnFloat(ctx, s.Once("float"), s.Operator, s.Answers.Amount)
	return refusing(err)
}

// lookUpSister finds another till of the same network.
func lookUpSister(ctx context.Context, s *Step) error {
	t, err := s.Agents.TransferTo(ctx, s.Operator, s.Answers.Till)
	if err != nil {
		return refusing(err)
	}
	s.Put("till", t.Number, "name", s.Person(t.Name))
	return nil
}

func quoteMove(ctx context.Context, s *Step) error {
	_, q, err := s.Agents.QuoteTransfer(ctx, s.Operator, s.Answers.Till, s.Answers.Amount)
	return s.show(q, refusing(err), s.Answers.Till)
}

func moveFloat(ctx context.Context, s *Step, ref string) error {
	done, err := s.Agents.TransferFloat(ctx, ref, s.Operator, s.Answers.Till, s.Answers.Amount)
	if err != nil {
		return refusing(err)
	}
	s.paid(ctx, done)
	return nil
}

// earningLines is how many entries of the commission are shown.
const earningLines = lastLines

func earnings(ctx context.Context, s *Step) error {
	list, err := s.Agents.Earnings(ctx, s.Operator, agents.Find{Limit: earningLines})
	if err != nil {
		return err
	}
	var lines []accounts.Line
	for _, e := range list {
		lines = append(lines, e.Line)
	}
	if len(list) > 0 {
		s.Put("commission", s.Money(list[0].After))
	}
	return s.list(lines)
}

func payOut(ctx context.Context, s *Step, ref string) error {
	done, err := s.Agents.PayOutCommission(ctx, ref, s.Operator, s.Answers.Amount)
	if err != nil {
		return err
	}
	s.paid(ctx, done)
	return nil
}

// lookUpDeposit shows whose deposit a receipt is.
func lookUpDeposit(ctx context.Context, s *Step) error {
	e, err := s.Agents.Entry(ctx, s.Operator, s.Answers.Receipt)
	switch {
	case err != nil:
		return refusing(err)
	case e.Kind != "deposit":
		return accounts.Refuse("no_deposit")
	}
	s.Put("code", e.Code, "amount", s.Money(e.Amount), "name", s.Person(e.Other), "number", e.Number)
	return nil
}

// because notes why, in the words of the log.
func because(reason string) Action {
	return func(_ context.Context, s *Step) error {
		s.Answers.Reason = reason
		return nil
	}
}

// undo disputes a deposit. Its entry has a ref of its own: a deposit is disputed
// once, whichever session it is done in.
func undo(ctx context.Context, s *Step, _ string) error {
	v, err := s.Agents.AskReversal(ctx, s.Operator, s.Answers.Receipt, s.Answers.Reason)
	if err != nil {
		return refusing(err)
	}
	if s.Ref, _, err = s.Agents.HoldRef(ctx, v); err != nil {
		return err
	}
	s.Put("amount", s.Money(v.Held))
	return nil
}

// lookUpOperator finds one of the owner's own people; is_frozen when he is.
func lookUpOperator(ctx context.Context, s *Step) error {
	mine, err := s.Agents.Operators(ctx, s.Operator)
	if err != nil {
		return err
	}
	for _, o := range mine {
		if o.Phone != s.Answers.Phone || o.ID == s.Operator.ID {
			continue
		}
		s.Put("name", s.Person(o.Name), "number", s.Number(o.Phone))
		if o.Frozen {
			return accounts.Refuse("is_frozen")
		}
		return nil
	}
	return accounts.Refuse("no_operator")
}

func freezeOperator(frozen bool) Action {
	return func(ctx context.Context, s *Step) error {
		return refusing(s.Agents.FreezeOwnOperator(ctx, s.Operator, s.Answers.Phone, frozen, "on the owner's phone"))
	}
}
