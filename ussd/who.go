package ussd

import (
	"cmp"
	"context"
	"errors"

	"tuma/accounts"
	"tuma/agents"
)

// The junctions in front of the three roots. Their refusals have no words; they
// are edges of the menu.

// who tells operators from everybody else: is_operator.
func who(ctx context.Context, s *Step) error {
	_, err := s.Agents.ByPhone(ctx, s.From)
	switch {
	case errors.Is(err, agents.ErrNoOperator):
		return nil
	case err != nil:
		return err
	}
	return accounts.Refuse("is_operator")
}

// asCustomer makes the caller act as a customer: is_stranger, is_frozen,
// is_unset (no PIN), is_locked.
func asCustomer(ctx context.Context, s *Step) error {
	c, err := s.Accounts.ByPhone(ctx, s.From)
	if errors.Is(err, accounts.ErrNoCustomer) {
		s.As = Stranger
		return accounts.Refuse("is_stranger")
	}
	if err != nil {
		return err
	}
	s.As, s.Customer = AsCustomer, c
	s.speak(c.Lang)
	return ready(c.Frozen, c.PINState)
}

// asOperator makes the caller act as the operator of a till; refuses like asCustomer.
func asOperator(ctx context.Context, s *Step) error {
	o, err := s.Agents.ByPhone(ctx, s.From)
	if err != nil {
		return err
	}
	s.As, s.Operator = AsOperator, o
	s.speak(o.Lang)
	s.Put("my_till", cmp.Or(o.Till.Number, "-")) // a head office has none
	return ready(o.Frozen, o.PINState)
}

func ready(frozen bool, pin accounts.PINState) error {
	switch {
	case frozen:
		return accounts.Refuse("is_frozen")
	case pin == accounts.PINUnset:
		return accounts.Refuse("is_unset")
	case pin == accounts.PINLocked:
		return accounts.Refuse("is_locked")
	}
	return nil
}
