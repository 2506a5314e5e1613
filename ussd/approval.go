package ussd

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"strings"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/phone"
)

// What a customer does with the approvals that others have asked for, and how
// an operator asks.

// shownApprovals is how many of them fit a phone's screen: the newest. The
// others come up when these are answered.
const shownApprovals = 3

// waits are the approvals that nobody has answered, and the deposits about which
// the customer has not been heard.
func waits(ctx context.Context, s *Step) ([]accounts.Approval, []agents.Dispute, error) {
	asked, err := s.Accounts.Approvals(ctx, s.Customer)
	if err != nil {
		return nil, nil, err
	}
	disputed, err := s.Agents.Disputes(ctx, s.Customer)
	return asked, disputed, err
}

// countApprovals has the menu offer them, above everything else.
func countApprovals(ctx context.Context, s *Step) error {
	n, err := s.Agents.Waiting(ctx, s.Customer)
	if err != nil {
		return err
	}
	s.Put("waiting", "")
	if n > 0 {
		s.Put("waiting", strconv.Itoa(n))
	}
	return nil
}

func listApprovals(ctx context.Context, s *Step) error {
	asked, disputed, err := waits(ctx, s)
	if err != nil {
		return err
	}
	var lines []string
	s.Answers.Listed = nil
	add := func(c Choice, line string) {
		if len(lines) < shownApprovals {
			lines = append(lines, strconv.Itoa(len(lines)+1)+" "+line)
			s.Answers.Listed = append(s.Answers.Listed, c)
		}
	}
	for _, a := range asked {
		add(Choice{"approval", a.ID}, s.Money(a.Amount)+" "+accounts.ShortName(s.Person(a.AskerName), listedName))
	}
	for _, d := range disputed {
		add(Choice{"dispute", d.ID}, s.Money(d.Held)+" "+s.m.label(s.Lang, "entry.hold"))
	}
	if len(lines) == 0 {
		return accounts.Refuse("approval_gone")
	}
	s.Put("lines", strings.Join(lines, "\n"))
	return nil
}

// whatWaits tells from approvals the deposits that a till disputes, is_dispute, and
// what another customer has sent and asks back, is_sent.
func whatWaits(ctx context.Context, s *Step) error {
	if s.Answers.Chosen.What != "dispute" {
		return nil
	}
	d, err := s.Agents.Dispute(ctx, s.Customer, s.Answers.Chosen.ID)
	switch {
	case err != nil:
		return gone(err)
	case d.Payer != 0:
		return accounts.Refuse("is_sent")
	}
	return accounts.Refuse("is_dispute")
}

// listedName is how much of a name a line of the list has room for.
const listedName = 12

// showApproval puts what the customer is asked for into the words. What he has
// asked for himself has words of its own: is_send, is_withdraw, is_airtime, is_hold.
func showApproval(ctx context.Context, s *Step) error {
	if err := loadApproval(ctx, s); err != nil || s.Answers.Own == "" {
		return err
	}
	return accounts.Refuse("is_" + s.Answers.Own)
}

// loadApproval reads the approval that was chosen.
func loadApproval(ctx context.Context, s *Step) error {
	a, err := s.Accounts.Approval(ctx, s.Answers.Chosen.ID)
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
		s.Put("code", a.Params["receipt"])
		s.Answers.Receipt = a.Params["receipt"]
		a.Asker = a.Params["till"]
	}
	s.Put("till", a.Asker, "name", s.Person(a.AskerName), "amount", s.Money(a.Amount), "fee", s.Money(a.Fee), "total", s.Money(a.Total))
	return nil
}

// approve does not use the session's ref: the approval has one of its own, so
// it is settled once, whichever session it is answered in.
func approve(ctx context.Context, s *Step, _ string) error {
	s.Ref = s.Answers.Asked
	done, err := s.Accounts.Approve(ctx, s.Customer, s.Answers.Chosen.ID)
	if err != nil {
		return err
	}
	s.paid(ctx, done)
	s.Put("name", s.Person(done.Name))
	return nil
}

func decline(ctx context.Context, s *Step) error {
	return s.Accounts.Decline(ctx, s.Customer, s.Answers.Chosen.ID)
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

// lookUpAsked is as lookUpCustomer. When the customer has not answered the till's
// last request, that comes first: is_asked.
func lookUpAsked(ctx context.Context, s *Step) error {
	if err := lookUpCustomer(ctx, s); err != nil {
		return err
	}
	c, err := s.Accounts.ByPhone(ctx, s.Answers.Phone)
	if err != nil {
		return err
	}
	a, err := s.Agents.OpenAsk(ctx, s.Operator, c)
	switch {
	case errors.Is(err, accounts.ErrNoApproval):
		return nil
	case err != nil:
		return err
	}
	s.Answers.Chosen = Choice{"approval", a.ID}
	s.Put("amount", s.Money(a.Amount), "time", s.Clock(a.At))
	return accounts.Refuse("is_asked")
}

// cancelCashOut takes the till's last request back, unless it was answered.
func cancelCashOut(ctx context.Context, s *Step) error {
	return s.Agents.CancelAsked(ctx, s.Operator, s.Answers.Chosen.ID)
}

// showDispute puts into the words what a till says of a deposit, or who has sent
// what he asks back.
func showDispute(ctx context.Context, s *Step) error {
	d, err := s.Agents.Dispute(ctx, s.Customer, s.Answers.Chosen.ID)
	if err != nil {
		return gone(err)
	}
	s.Put("till", d.Till, "name", s.Person(cmp.Or(d.TillName, d.FromName)), "code", d.Receipt, "amount", s.Money(d.Held))
	if d.From != "" {
		s.Put("number", s.Number(d.From))
	}
	return nil
}

// object needs no PIN: the money stays where it is.
func object(ctx context.Context, s *Step) error {
	return gone(s.Agents.Object(ctx, s.Customer, s.Answers.Chosen.ID))
}

func agree(ctx context.Context, s *Step) error {
	return gone(s.Agents.Agree(ctx, s.Customer, s.Answers.Chosen.ID))
}

// giveBack is as agree, of what another customer has sent: it goes back at once.
func giveBack(ctx context.Context, s *Step, _ string) error {
	d, err := s.Agents.Dispute(ctx, s.Customer, s.Answers.Chosen.ID)
	if err != nil {
		return gone(err)
	}
	s.Ref = d.EndRef()
	return agree(ctx, s)
}

func gone(err error) error {
	if errors.Is(err, agents.ErrNoReversal) {
		return accounts.Refuse("approval_gone")
	}
	return err
}
