package ussd

import (
	"context"
	"strconv"
	"strings"

	"tuma/accounts"
)

// What a customer does with the account itself.

// miniLines is how many entries a mini statement has: what people know from
// elsewhere, and two phone screens.
const miniLines = 5

func register(ctx context.Context, s *Step) error {
	a := s.Answers
	c, err := s.Accounts.Register(ctx, accounts.Registration{
		Ref: s.Once("register"), Phone: s.From, Name: a.Name, IDNumber: a.IDNumber, Lang: s.Lang, Tier: accounts.TierBasic, PIN: a.PIN,
	})
	if err != nil {
		return err
	}
	s.As, s.Customer = AsCustomer, c
	s.Put("name", s.Person(c.Name))
	return nil
}

// setLanguage also changes the language of this session; the words that follow are in it.
func setLanguage(ctx context.Context, s *Step) error {
	var err error
	switch s.As {
	case AsCustomer:
		err = s.Accounts.SetLang(ctx, s.Customer, s.Answers.Lang)
	case AsOperator:
		err = s.Agents.SetLang(ctx, s.Operator, s.Answers.Lang)
	}
	if err != nil {
		return err
	}
	s.speak(s.Answers.Lang)
	return nil
}

func balance(ctx context.Context, s *Step) error {
	b, err := s.Accounts.Balance(ctx, s.Customer)
	if err != nil {
		return err
	}
	s.Put("balance", s.Money(b))
	return nil
}

func miniStatement(ctx context.Context, s *Step) error {
	lines, err := s.Accounts.Mini(ctx, s.Customer, miniLines)
	if err != nil {
		return err
	}
	return s.list(lines)
}

// list puts entries into the words, one a line: "22/11 -Ksh500.00 BARAKA OTIENO".
// None at all is refusal no_entries.
func (s *Step) list(lines []accounts.Line) error {
	if len(lines) == 0 {
		return accounts.Refuse("no_entries")
	}
	var b strings.Builder
	for i, l := range lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		sign := "-"
		if l.In {
			sign = "+"
		}
		other := l.Other
		if other == "" {
			other = s.m.label(s.Lang, "entry."+l.Kind)
		}
		b.WriteString(s.Day(l.At) + " " + sign + s.Money(l.Amount) + " " + s.Person(other))
	}
	s.Put("lines", b.String())
	return nil
}

func limits(ctx context.Context, s *Step) error {
	left, err := s.Accounts.Left(ctx, s.Customer)
	if err != nil {
		return err
	}
	tier := s.Customer.Tier
	s.Put("number", s.Number(s.Customer.Phone), "name", s.Person(s.Customer.Name), "tier", strconv.Itoa(tier.Number),
		"entry", s.Money(tier.PerEntry), "today", s.Money(left.Today), "room", s.Money(left.ToMax))
	return nil
}

func changePIN(ctx context.Context, s *Step) error {
	if s.As == AsOperator {
		return s.Accounts.ChangePINOf(ctx, s.Operator.PIN, s.Operator.Phone, s.Lang, s.Answers.PIN)
	}
	return s.Accounts.ChangePIN(ctx, s.Customer, s.Answers.PIN)
}

// activate gives a PIN to somebody who has none, for the ID number.
func activate(ctx context.Context, s *Step) error {
	o := s.owner()
	return s.Accounts.PINs().Activate(ctx, o.pin, s.Answers.IDNumber, o.idNumber, s.Answers.PIN)
}

// unlock gives three more tries for the ID number. The PIN stays what it was.
func unlock(ctx context.Context, s *Step) error {
	o := s.owner()
	return s.Accounts.PINs().Unlock(ctx, o.pin, s.Answers.IDNumber, o.idNumber)
}
