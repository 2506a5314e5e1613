package accounts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tuma/accounts/ledger"
	"tuma/internal/money"
)

// Two ways in which a payment comes twice: the customer pays again because the
// answer was lost (Earlier asks whether that is meant), or our own way in asks
// again with the same ref (OrFirst answers as the first time).

// repeatWindow is how long the same payment again makes the customer be asked
// whether it is meant: a reply that came too late looks like a failure.
const repeatWindow = 2 * time.Minute

// recentEntries is how many entries of an account are searched: more than a
// person, or a queue at a till, makes within the window.
const recentEntries = 10

// Earlier is a payment that stands in the book.
type Earlier struct {
	Code string
	At   time.Time
}

// Earlier looks for the same payment out of an account within the last two
// minutes; other is whom the entry's memo says it went to.
func (s *Service) Earlier(ctx context.Context, kind string, account ledger.AccountID, other string, a money.Amount) (*Earlier, error) {
	recent, err := s.book.Since(ctx, account, s.pool.Now().Add(-repeatWindow), recentEntries)
	if err != nil {
		return nil, err
	}
	p := Payment{Kind: kind, From: account, To: other, Amount: a}
	for _, r := range recent {
		if p.is(r) {
			return &Earlier{Code: r.Code, At: r.At}, nil
		}
	}
	return nil, nil
}

// Payment is what its caller knows of a payment before anything is looked up.
type Payment struct {
	Ref, Kind string
	From      ledger.AccountID
	To        string // the payee's number or the till's, as in the entry's memo
	Amount    money.Amount
}

// is tells whether a receipt is of this payment, or of one like it.
func (p Payment) is(r ledger.Receipt) bool {
	return r.Kind == p.Kind && r.Memo["to"] == p.To && len(r.Postings) > 0 && r.Postings[0].Debit == p.From && principal(r) == p.Amount
}

// ErrRefReused says that a ref stands in the book for another payment.
var ErrRefReused = errors.New("accounts: this ref was used for another payment")

// OrFirst is what every payment ends with. When it was refused although its ref
// stands in the book, an earlier try went through and its answer was lost: the
// customer is told of that, not of what the rules say by now (the payee frozen
// since, another tariff since midnight, a brake). A refusal that is not the book's
// is told only when no commit under way can make it untrue.
func (s *Service) OrFirst(ctx context.Context, p Payment, d Done, err error) (Done, error) {
	refusal, ours := errors.AsType[Refusal](err)
	booked, confirmed := errors.AsType[ledger.Refusal](err)
	if booked.Rule != ledger.RefReused && (!ours || refusal.Key == "busy") {
		return d, err
	}
	first, lookUp := s.book.ByRef(ctx, p.Ref)
	if errors.Is(lookUp, ledger.ErrNotFound) && !confirmed {
		first, lookUp = s.book.Settled(ctx, p.Ref)
	}
	switch {
	case errors.Is(lookUp, ledger.ErrNotFound):
		return Done{}, err
	case lookUp != nil:
		return Done{}, fmt.Errorf("%s: %w", p.Kind, lookUp)
	case !p.is(first):
		return Done{}, fmt.Errorf("%s: %w", p.Kind, ErrRefReused)
	}
	first.Again = true
	return s.Done(first, p.From, s.other(first, "to")), nil
}
