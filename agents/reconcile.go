package agents

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"tuma/internal/money"
)

// Reconciling compares what the bank says of the trust account with the float
// that was issued and returned against it. Both sides name a movement by the
// bank's reference.

// BookMove is float that was issued (or taken back, then its amount is negative)
// against the bank, or that is about to be.
type BookMove struct {
	Request int64
	Ref     string       // the bank's reference
	Amount  money.Amount // into the trust account
	At      time.Time
	Posted  bool // false: it waits for a maker or a checker
}

// The kinds of differences.
const (
	OnlyBank = "bank"   // in the bank and not in the book
	OnlyBook = "book"   // in the book and not in the bank
	Amounts  = "amount" // in both, and not alike
)

// Difference is what bank and book do not agree on.
type Difference struct {
	Name       string // short, of key: an address
	Key        string
	Kind       string
	Ref        string // the bank's reference
	Text       string // what the bank says
	Bank, Book money.Amount
	Since      time.Time
	Request    int64 // of float, posted or waiting; 0: none
	Note       *Explanation
}

// Delta is by how much the bank has more than the book.
func (d Difference) Delta() money.Amount { return d.Bank - d.Book }

// Pair is a line whose money a float request is, for certain.
type Pair struct {
	Line    string // its key
	Request int64
}

// Match compares lines of the bank with movements of the book: by the line's
// reference, or by a word of its reference and text that is one. A reference that
// comes several times counts with its sum. Differences come the oldest first.
func Match(lines []BankLine, moves []BookMove) (pairs []Pair, differences []Difference) {
	byRef := map[string]int{}
	for i, m := range moves {
		byRef[m.Ref] = i
	}
	of := make([][]BankLine, len(moves))
	for _, l := range lines {
		i, ok := moveOf(l, byRef)
		if !ok || !moves[i].Posted {
			d := Difference{Key: "line:" + l.Key, Kind: OnlyBank, Ref: l.Reference, Text: l.Text, Bank: l.Amount, Since: l.Day}
			if ok {
				d.Request = moves[i].Request
			}
			differences = append(differences, d)
			continue
		}
		of[i] = append(of[i], l)
	}
	for i, m := range moves {
		if !m.Posted {
			continue
		}
		d := Difference{Key: "ref:" + m.Ref, Kind: OnlyBook, Ref: m.Ref, Book: m.Amount, Since: m.At, Request: m.Request}
		for _, l := range of[i] {
			d.Kind, d.Text = Amounts, l.Text
			d.Bank += l.Amount
			if l.Day.Before(d.Since) {
				d.Since = l.Day
			}
		}
		if d.Kind == Amounts && d.Delta() == 0 {
			for _, l := range of[i] {
				pairs = append(pairs, Pair{l.Key, m.Request})
			}
			continue
		}
		differences = append(differences, d)
	}
	for i := range differences {
		sum := sha256.Sum256([]byte(differences[i].Key))
		differences[i].Name = hex.EncodeToString(sum[:8])
	}
	slices.SortStableFunc(differences, func(a, b Difference) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Key, b.Key)) })
	return pairs, differences
}

// moveOf finds the movement that a line names.
func moveOf(l BankLine, byRef map[string]int) (int, bool) {
	if i, ok := byRef[l.Reference]; ok {
		return i, true
	}
	words := strings.FieldsFunc(strings.ToUpper(l.Reference+" "+l.Text), func(r rune) bool {
		return !(r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '/' || r == '.')
	})
	for _, w := range words {
		if i, ok := byRef[w]; ok {
			return i, true
		}
		if i, ok := byRef[strings.Trim(w, "-/.")]; ok {
			return i, true
		}
	}
	return 0, false
}

// Explanation says why bank and book differ: a maker writes it, a checker closes
// the difference.
type Explanation struct {
	Note, Maker, Checker string // Checker "": it is not closed
	At                   time.Time
}

// Closed tells whether a difference needs nobody any more.
func (d Difference) Closed() bool { return d.Note != nil && d.Note.Checker != "" }

// Reconciliation is how the bank and the book stand.
type Reconciliation struct {
	Until        time.Time     // the newest line of the bank; zero: there is none
	Bank         *money.Amount // its balance then; nil: no statement says
	Trust        money.Amount  // the book's trust account: the e-money that was issued against the bank
	Open, Closed []Difference
	Listed       money.Amount // the sum of all differences: how much more the bank has by them
}

// Difference is how much more the bank has than there is e-money.
func (r Reconciliation) Difference() money.Amount {
	if r.Bank == nil {
		return 0
	}
	return *r.Bank - r.Trust
}

// Unlisted is what of it no difference of the list explains: lines are missing,
// or the statements do not begin where the book does.
func (r Reconciliation) Unlisted() money.Amount {
	if r.Bank == nil {
		return 0
	}
	return r.Difference() - r.Listed
}
