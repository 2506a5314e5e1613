package agents

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/internal/money"
	"tuma/internal/phone"
)

// Entry is an entry of the book as the till sees whose float it moved.
type Entry struct {
	accounts.Line
	Number     string       // of the other side: a phone, a till, the bank's reference
	Commission money.Amount // what the till earned
	Float      money.Amount // after it
	Operator   string       // who was at the till, where the entry says so
}

// ErrNoEntry says that there is no such entry of this till; whether there is one
// of another till is not told.
var ErrNoEntry = errors.New("agents: no such entry of this till")

// Find says which entries are wanted.
type Find struct {
	Phone       phone.Number // "": everybody's
	From, Until time.Time    // from the first on, before the second; zero: no bound
	Before      string       // a receipt: only what is older
	Limit       int
}

// How an account's list is walked: a page at a time, and no further than this.
const (
	entriesPage = 200
	entriesMost = 6000
)

// Entries finds a till's entries, newest first. A search for a customer or a day
// long ago ends, without them, at the last few thousand entries.
func (s *Service) Entries(ctx context.Context, o Operator, f Find) (found []Entry, err error) {
	list, err := s.walk(ctx, o.Till.float, f)
	for _, r := range list {
		found = append(found, s.entry(r, o))
	}
	return found, err
}

// walk finds entries in the list of a till's account.
func (s *Service) walk(ctx context.Context, account ledger.AccountID, f Find) (found []ledger.Receipt, err error) {
	var before ledger.EntryID
	if f.Before != "" {
		r, err := s.receipt(ctx, account, f.Before)
		if err != nil {
			return nil, err
		}
		before = r.ID
	}
	for walked := 0; walked < entriesMost; walked += entriesPage {
		page, err := s.accounts.Book().Statement(ctx, account, before, min(entriesPage, max(f.Limit, 50)))
		if err != nil || len(page) == 0 {
			return found, err
		}
		for _, r := range page {
			before = r.ID
			switch {
			case !f.From.IsZero() && r.At.Before(f.From), len(found) >= f.Limit:
				return found, nil
			case !f.Until.IsZero() && !r.At.Before(f.Until):
			case f.Phone == "" || r.Memo["to"] == string(f.Phone) || r.Memo["from"] == string(f.Phone):
				found = append(found, r)
			}
		}
	}
	return found, nil
}

// Entry finds one of a till's entries by its receipt; ErrNoEntry.
func (s *Service) Entry(ctx context.Context, o Operator, code string) (Entry, error) {
	r, err := s.receipt(ctx, o.Till.float, code)
	if err != nil {
		return Entry{}, err
	}
	return s.entry(r, o), nil
}

func (s *Service) receipt(ctx context.Context, account ledger.AccountID, code string) (ledger.Receipt, error) {
	r, err := s.accounts.Book().ByCode(ctx, code)
	return r, touching(r, account, err)
}

// EntryByRef finds one of a till's entries by what asked for it; ErrNoEntry.
func (s *Service) EntryByRef(ctx context.Context, o Operator, ref string) (Entry, error) {
	r, err := s.accounts.Book().ByRef(ctx, ref)
	if err := touching(r, o.Till.float, err); err != nil {
		return Entry{}, err
	}
	return s.entry(r, o), nil
}

// touching gives ErrNoEntry for what is not an entry of an account.
func touching(r ledger.Receipt, account ledger.AccountID, err error) error {
	if errors.Is(err, ledger.ErrNotACode) || errors.Is(err, ledger.ErrNotFound) {
		return ErrNoEntry
	}
	if err != nil {
		return fmt.Errorf("agents: looking an entry up: %w", err)
	}
	if _, touches := r.After(account); !touches {
		return ErrNoEntry
	}
	return nil
}

func (s *Service) entry(r ledger.Receipt, o Operator) Entry {
	e := Entry{Line: s.accounts.Line(r, o.Till.float)}
	e.Float, _ = r.After(o.Till.float)
	for _, p := range r.Postings {
		if p.Credit == o.Till.commission {
			e.Commission += p.Amount
		}
	}
	if e.Kind == "payout" {
		e.Other = "" // it is the till's own
	}
	party := "to"
	if e.In {
		party = "from"
	}
	e.Number = s.national(r.Memo[party])
	e.Operator = s.national(r.Memo["operator"])
	return e
}

// national writes a phone number as people say it, and leaves anything else.
func (s *Service) national(number string) string {
	if n, err := phone.Parse(number); err == nil {
		return s.accounts.Country().Phone.National(n)
	}
	return number
}
