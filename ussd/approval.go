package ussd

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"tuma/accounts"
	"tuma/internal/phone"
)

// What a customer does with the approvals that others have asked for, and how
// an operator asks.

// shownApprovals is how many of them fit a phone's screen: the newest. The
// others come up when these are answered.
const shownApprovals = 3

// countApprovals has the menu offer them, above everything else.
func countApprovals(ctx context.Context, s *Step) error {
	waiting, err := s.Accounts.Approvals(ctx, s.Customer)
	if err != nil {
		return err
	}
	s.Put("waiting", "")
	if n := len(waiting); n > 0 {
		s.Put("waiting", strconv.Itoa(n))
	}
	return nil
}

func listApprovals(ctx context.Context, s *Step) error {
	waiting, err := s.Accounts.Approvals(ctx, s.Customer)
	if err != nil {
		return err
	}
	if len(waiting) == 0 {
		return accounts.Refuse("approval_gone")
	}
	var lines []string
	s.Answers.Listed = nil
	for i, a := range waiting[:min(len(waiting), shownApprovals)] {
		lines = append(lines, strconv.Itoa(i+1)+" "+s.Money(a.Amount)+" "+accounts.ShortName(s.Person(a.AskerName), listedName))
		s.Answers.Listed = append(s.Answers.Listed, a.ID)
	}
	s.Put("lines", strings.Join(lines, "\n"))
	return nil
}

// listedName is how much of a name a line of the list has room for.
const listedName = 12

// showApproval puts what the customer is asked for into the words. What he has
// asked for himself has words of its own: is_send, is_withdraw, is_airtime.
func showApproval(ctx context.Context, s *Step) error {
	if err := loadApproval(ctx, s); err != nil || s.Answers.Own == "" {
		return err
	}
	return accounts.Refuse("is_" + s.Answers.Own)
}

// loadApproval reads the approval that was chosen.
func loadApproval(ctx context.Context, s *Step) error {
	a, err := s.Accounts.Approval(ctx, s.Answers.Approval)
	switch {
	case errors.Is(err, accounts.ErrNoApproval), err == nil && (a.Customer != s.Customer.ID || a.State != accounts.ApprovalPending):
		return accounts.Refuse("approval_gone")
	case err != nil:
		return err
	}
	s.Answers.Asked, s.Answers.Own = a.Ref, ""
	if a.Own() {
		s.Answers.Own = a.Kind
		s.Put("number", s.Number(phone.Number(a.Params["to"])))
		a.Asker = a.Params["till"]
	}
	s.Put("till", a.Asker, "name", s.Person(a.AskerName), "amount", s.Money(a.Amount), "fee", s.Money(a.Fee), "total", s.Money(a.Total))
	return nil
}

// approve does not use the session's ref: the approval has one of its own, so
// it is settled once, whichever session it is answered in.
func approve(ctx context.Context, s *Step, _ string) error {
	s.Ref = s.Answers.Asked
	done, err := s.Accounts.Approve(ctx, s.Customer, s.Answers.Approval)
	if err != nil {
		return err
	}
	s.paid(ctx, done)
	s.Put("name", s.Person(done.Name))
	return nil
}

func decline(ctx context.Context, s *Step) error {
	return s.Accounts.Decline(ctx, s.Customer, s.Answers.Approval)
}

func quoteCashOut(ctx context.Context, s *Step) error {
	q, err := s.Agents.QuoteAskWithdraw(ctx, s.Operator, s.Answers.Phone, s.Answers.Amount)
	return s.show(q, err, string(s.Answers.Phone))
}

// askCashOut asks the customer to confirm. The ref is that of the entry to come.
// The customer hears of it, so names cannot be collected in this way, and the
// operator may look up the next one.
func askCashOut(ctx context.Context, s *Step) error {
	_, err := s.Agents.AskWithdraw(ctx, s.Once("ask"), s.Operator, s.Answers.Phone, s.Answers.Amount)
	if err == nil {
		s.m.limits.Paid(ctx, s.From)
	}
	return err
}
