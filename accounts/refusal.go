package accounts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tuma/accounts/ledger"
	"tuma/internal/text"
)

// Refusal is an error that is meant for the customer: a key, which each channel
// turns into words of the customer's language, and what fills their holes.
type Refusal struct {
	Key   string
	Holes text.Holes
}

// Refuse makes a refusal; pairs are holes and their values.
func Refuse(key string, pairs ...string) Refusal {
	r := Refusal{Key: key}
	for i := 0; i+1 < len(pairs); i += 2 {
		if r.Holes == nil {
			r.Holes = text.Holes{}
		}
		r.Holes[pairs[i]] = pairs[i+1]
	}
	return r
}

func (r Refusal) Error() string {
	if len(r.Holes) == 0 {
		return "refused: " + r.Key
	}
	var holes []string
	for k, v := range r.Holes {
		holes = append(holes, k+"="+v)
	}
	slices.Sort(holes)
	return fmt.Sprintf("refused: %s (%s)", r.Key, strings.Join(holes, ", "))
}

// Refused tells whether err is the refusal of that key.
func Refused(err error, key string) bool {
	r, ok := errors.AsType[Refusal](err)
	return ok && r.Key == key
}

// ErrPending says that the entry may or may not stand in the book: it is told
// by SMS if it does, and asking again with the same ref is safe.
var ErrPending = errors.New("accounts: the outcome is not known yet")

// Side is the part that an account plays in an entry, for telling a person
// whose rule it was that refused.
type Side int

// The parts.
const (
	Payer Side = iota + 1
	Payee
	Till
)

// explain turns what the book said into what the customer is told; sides name
// the accounts of the entry that are not the house's.
func (s *Service) explain(err error, sides map[ledger.AccountID]Side) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNotPending): // even after a lost answer: the book has looked for the Ref since
		return Refuse("approval_gone")
	case errors.Is(err, ledger.ErrBusy), errors.Is(err, ledger.ErrNotPosted), errors.Is(err, ledger.ErrClosed):
		return Refuse("busy")
	case errors.Is(err, ledger.ErrUnknown):
		return fmt.Errorf("%w: %w", ErrPending, err)
	}
	r, ok := errors.AsType[ledger.Refusal](err)
	if !ok {
		return err
	}
	side, room := sides[r.Account], s.Money(r.Room)
	switch {
	case r.Rule == ledger.UnderFloor && side == Till:
		return Refuse("float_low")
	case r.Rule == ledger.UnderFloor && side == Payer:
		return Refuse("insufficient", "balance", room)
	case r.Rule == ledger.OverDayLimit && side == Payer:
		return Refuse("over_day", "left", room)
	case r.Rule == ledger.OverCeiling && side != 0:
		return Refuse("payee_full")
	case (r.Rule == ledger.DebitFrozen || r.Rule == ledger.DebitBlocked || r.Rule == ledger.CreditFrozen) && side == Till:
		return Refuse("till_closed")
	case r.Rule == ledger.DebitFrozen && side == Payer:
		return Refuse("payer_frozen")
	case r.Rule == ledger.DebitBlocked && side == Payer:
		return Refuse("payer_blocked")
	case r.Rule == ledger.CreditFrozen && side == Payee:
		return Refuse("payee_frozen")
	}
	return err
}

// Post hands an entry to the book and explains what the book says: the error is
// a Refusal, has ErrPending in its chain, or is a fault of ours.
func (s *Service) Post(ctx context.Context, e ledger.Entry, sides map[ledger.AccountID]Side) (ledger.Receipt, error) {
	r, err := s.book.Post(ctx, e)
	if err != nil {
		return ledger.Receipt{}, fmt.Errorf("%s: %w", e.Kind, s.explain(err, sides))
	}
	return r, nil
}
