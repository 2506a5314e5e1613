package ussd

import (
	"context"
	"strconv"
	"strings"
	"time"

	"tuma/accounts"
)

// What a customer does with receipts: ask whether one is true, and ask for money
// back that was sent to a wrong number.

// checkReceipt says what a receipt of the caller's own is about: is_in, when money
// came in.
func checkReceipt(ctx context.Context, s *Step) error {
	l, err := s.Accounts.CheckReceipt(ctx, s.Customer, s.Answers.Receipt)
	if err != nil {
		return err
	}
	s.Put("code", l.Code, "amount", s.Money(l.Amount), "name", s.Person(l.Other), "day", s.Day(l.At), "time", s.Clock(l.At))
	if l.In {
		return accounts.Refuse("is_in")
	}
	return nil
}

// Of what was sent lately this many entries are looked at, and shown.
const (
	lookedSent = 30
	shownSent  = 3
)

// sentWithin is how long what was sent can be asked back.
const sentWithin = 24 * time.Hour

// listSent lists what the caller has sent within a day, the newest first.
func listSent(ctx context.Context, s *Step) error {
	entries, err := s.Accounts.Lines(ctx, s.Customer.Wallet, lookedSent)
	if err != nil {
		return err
	}
	var lines []string
	s.Answers.Listed, s.Answers.Codes = nil, nil
	for _, l := range entries {
		if l.Kind != "send" || l.In || s.Accounts.Now().Sub(l.At) > sentWithin || len(lines) == shownSent {
			continue
		}
		lines = append(lines, strconv.Itoa(len(lines)+1)+" "+s.Money(l.Amount)+" "+accounts.ShortName(s.Person(l.Other), listedName))
		s.Answers.Listed = append(s.Answers.Listed, Choice{"sent", int64(len(s.Answers.Codes))})
		s.Answers.Codes = append(s.Answers.Codes, l.Code)
	}
	if len(lines) == 0 {
		return accounts.Refuse("no_sent")
	}
	s.Put("lines", strings.Join(lines, "\n"))
	return nil
}

// showSent repeats before the PIN what was chosen.
func showSent(ctx context.Context, s *Step) error {
	i := s.Answers.Chosen.ID
	if i < 0 || i >= int64(len(s.Answers.Codes)) {
		return accounts.Refuse("bad_choice")
	}
	s.Answers.Receipt = s.Answers.Codes[i]
	l, err := s.Accounts.CheckReceipt(ctx, s.Customer, s.Answers.Receipt)
	if err != nil {
		return err
	}
	s.Put("code", l.Code, "amount", s.Money(l.Amount), "name", s.Person(l.Other))
	return nil
}

// reverse asks for it back. Its hold has a ref of its own: what was sent is asked
// back once, whichever session it is done in.
func reverse(ctx context.Context, s *Step, _ string) error {
	v, err := s.Agents.AskSentBack(ctx, s.Customer, s.Answers.Receipt)
	if err != nil {
		return err
	}
	if s.Ref, _, err = s.Agents.HoldRef(ctx, v); err != nil {
		return err
	}
	s.Put("amount", s.Money(v.Held))
	return nil
}
