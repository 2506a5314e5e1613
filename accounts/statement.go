package accounts

import (
	"context"
	"time"

	"tuma/accounts/ledger"
	"tuma/internal/money"
	"tuma/internal/phone"
)

// Line is an entry as one of its parties sees it.
type Line struct {
	Code, Kind  string // send, receive, withdraw, deposit, airtime, reversal, float
	At          time.Time
	In          bool // money came in
	Amount, Fee money.Amount
	Other       string // the other side's name, else its number
}

// Balance is what is in a wallet.
func (s *Service) Balance(ctx context.Context, c Customer) (money.Amount, error) {
	a, err := s.book.Account(ctx, c.Wallet)
	return a.Balance, err
}

// Mini is a wallet's n newest entries, newest first.
func (s *Service) Mini(ctx context.Context, c Customer, n int) ([]Line, error) {
	return s.Lines(ctx, c.Wallet, n)
}

// Lines are an account's n newest entries as its owner sees them.
func (s *Service) Lines(ctx context.Context, account ledger.AccountID, n int) ([]Line, error) {
	receipts, err := s.book.Statement(ctx, account, 0, n)
	if err != nil {
		return nil, err
	}
	lines := make([]Line, len(receipts))
	for i, r := range receipts {
		lines[i] = s.Line(r, account)
	}
	return lines, nil
}

// Line is an entry as the owner of an account sees it, for the rooms on this floor.
func (s *Service) Line(r ledger.Receipt, account ledger.AccountID) Line {
	l := Line{Code: r.Code, Kind: r.Kind, At: r.At}
	for _, p := range r.Postings {
		switch {
		case p.Debit == account && p.Why == ledger.Fee:
			l.Fee += p.Amount
		case p.Debit == account:
			l.Amount += p.Amount
		case p.Credit == account:
			l.Amount += p.Amount
			l.In = true
		}
	}
	party := "to"
	if l.In {
		party = "from"
	}
	if l.Kind == "send" && l.In {
		l.Kind = "receive"
	}
	l.Other = s.other(r, party)
	return l
}

// other is what people call a party of an entry, "from" or "to": by name, else
// by number.
func (s *Service) other(r ledger.Receipt, party string) string {
	if name := r.Memo[party+"_name"]; name != "" {
		return name
	}
	number := r.Memo[party]
	if n, err := phone.Parse(number); err == nil {
		return s.country.Phone.National(n)
	}
	return number
}

// Left is what a wallet's limits still allow.
type Left struct {
	Today money.Amount // to go out today
	ToMax money.Amount // to come in
}

// Left tells what may still go out today and still come in.
func (s *Service) Left(ctx context.Context, c Customer) (Left, error) {
	a, err := s.book.Account(ctx, c.Wallet)
	if err != nil {
		return Left{}, err
	}
	var l Left
	if a.DayLimit != nil {
		l.Today = max(0, *a.DayLimit-a.SpentOn(s.day()))
	}
	if a.Ceiling != nil {
		l.ToMax = max(0, *a.Ceiling-a.Balance)
	}
	return l, nil
}
