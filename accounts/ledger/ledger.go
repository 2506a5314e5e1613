// Package ledger is the book: accounts, entries made of postings, receipts.
// Its one write verb is Book.Post.
//
// A posting debits one account and credits one account by one amount above
// zero, so an entry that does not balance cannot be written. The rules that
// protect money (floor, ceiling, status, the day's limit) sit on the account
// and are decided so that no other commit can come between. Entries and postings are only ever
// added; a mistake is reversed, at most once, by an entry that names it.
//
// The package refuses to know who owns an account, what a fee is, what an SMS
// says: callers hand in finished postings, and whatever must happen in the same
// commit is a hook.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tuma/internal/db"
	"tuma/internal/money"
)

// AccountID names an account. Those below 1000 are the house's own.
type AccountID int64

// EntryID numbers an entry within its month. Of two entries the later need not
// have the higher number: an account's list tells their order.
type EntryID int64

// Why tells what a posting of an entry is for.
type Why string

// The reasons of postings. Only Principal counts towards a day's limit.
const (
	Principal  Why = "principal"
	Fee        Why = "fee"
	Tax        Why = "tax"
	Commission Why = "commission"
	Reversed   Why = "reversed" // any posting of a reversal: it does not refill the day
)

func (w Why) known() bool {
	return w == Principal || w == Fee || w == Tax || w == Commission || w == Reversed
}

// Posting moves one amount from one account to another.
type Posting struct {
	Why    Why
	Debit  AccountID
	Credit AccountID
	Amount money.Amount // above zero
}

// Entry is one business event: its postings stand or fall together.
type Entry struct {
	Ref      string            // chosen before the first try, unique for ever; 1 to MaxRef bytes
	Kind     string            // send, withdraw, deposit, ...
	Postings []Posting         // 1 to MaxPostings, empty when Reverses is set
	Reverses EntryID           // 0, or the entry to mirror
	Memo     map[string]string // who and where, for people to read later; part of the entry's digest
	Rider    any               // what the hooks need to know; the book carries it unread and does not keep it
}

// Bounds of an entry.
const (
	MaxRef      = 200
	MaxPostings = 64
	MaxMemo     = 2000 // bytes of its JSON

	MaxAmount  money.Amount = 1e15 // of one posting: ten trillion shillings
	MaxBalance money.Amount = 1e18 // and its negative, for accounts without bounds of their own: far from overflow
)

// Receipt tells that an entry stands in the book.
type Receipt struct {
	ID       EntryID
	Code     string // 10 characters, what people call the receipt
	At       time.Time
	Kind     string
	Postings []Posting
	Afters   []After // of the accounts of customers and tills, in the order of their ids
	Memo     map[string]string
	Again    bool // this Ref had been posted before; nothing was done now
}

// After is an account's balance after an entry.
type After struct {
	Account AccountID
	Balance money.Amount
}

// After gives an account's balance after the entry, false when the entry does
// not touch it or it is the house's.
func (r Receipt) After(id AccountID) (money.Amount, bool) {
	for _, a := range r.Afters {
		if a.Account == id {
			return a.Balance, true
		}
	}
	return 0, false
}

// Rule names what a refused entry would have broken. The constants stand in
// their order of precedence: when several rules refuse, the first is told.
type Rule string

// The rules, in order of precedence.
const (
	RefReused      Rule = "ref_reused"      // this Ref was posted with other content
	NoSuchEntry    Rule = "no_such_entry"   // the entry to reverse is not in the book
	ReversedBefore Rule = "reversed_before" // it has been reversed, or is a reversal itself
	NoSuchAccount  Rule = "no_such_account"
	OtherCurrency  Rule = "other_currency" // debit and credit are in different currencies
	DebitFrozen    Rule = "debit_frozen"
	DebitBlocked   Rule = "debit_blocked"
	CreditFrozen   Rule = "credit_frozen"
	UnderFloor     Rule = "under_floor"
	OverDayLimit   Rule = "over_day_limit"
	OverCeiling    Rule = "over_ceiling"
)

// Refusal is the error of an entry that a rule forbids. It left no trace.
type Refusal struct {
	Rule    Rule
	Account AccountID    // the account whose rule it is, 0 when none
	Room    money.Amount // how much the rule would still have let through: above the floor, within the day, under the ceiling
}

func (r Refusal) Error() string {
	return fmt.Sprintf("ledger: refused: %s (account %d, room %d)", r.Rule, r.Account, r.Room)
}

// Errors of Post that are not refusals.
var (
	ErrMalformed = errors.New("ledger: malformed entry")                                // a bug of the caller
	ErrBusy      = errors.New("ledger: the queue is full")                              // nothing was done
	ErrClosed    = errors.New("ledger: the book is closed")                             // nothing was done
	ErrNotPosted = errors.New("ledger: not posted, the caller had given up")            // nothing was done
	ErrUnknown   = errors.New("ledger: the entry may or may not stand; ask by its Ref") // post it again, or use ByRef
	ErrNotFound  = errors.New("ledger: no such entry")
)

// Hook is told every accepted entry of a commit, in order, when its receipt is
// complete, and gives what it wants written in the same commit. It may not use
// the database itself. An error of either refuses the commit, and the entries are
// then tried one by one: a hook may fail for one entry's sake, but that must be rare.
type Hook func(posted []Accepted) (Also, error)

// Also is what is written beside the entries of a commit.
type Also struct {
	// Carry hands the transaction an insert (tx.Carry) that goes to the server with
	// the entries when these are few; so it can neither read them nor tell how many
	// rows it wrote. nil: none.
	Carry func(tx *db.Tx)
	Write func(ctx context.Context, tx *db.Tx) error // afterwards; nil: nothing
}

// Accepted is an entry on its way into the book.
type Accepted struct {
	Entry   Entry
	Receipt Receipt
	memo    string // Entry.Memo as it is stored
}

// check gives the entry's memo as it is stored, or ErrMalformed.
func (e Entry) check() (memo string, err error) {
	switch {
	case e.Ref == "" || len(e.Ref) > MaxRef:
		return "", fmt.Errorf("%w: a Ref has 1 to %d bytes, this has %d", ErrMalformed, MaxRef, len(e.Ref))
	case e.Kind == "":
		return "", fmt.Errorf("%w: no kind", ErrMalformed)
	case e.Reverses != 0 && len(e.Postings) != 0:
		return "", fmt.Errorf("%w: a reversal has no postings of its own", ErrMalformed)
	case e.Reverses == 0 && len(e.Postings) == 0:
		return "", fmt.Errorf("%w: no postings", ErrMalformed)
	case len(e.Postings) > MaxPostings:
		return "", fmt.Errorf("%w: %d postings, at most %d", ErrMalformed, len(e.Postings), MaxPostings)
	}
	for i, p := range e.Postings {
		if p.Amount <= 0 || p.Amount > MaxAmount || p.Debit == p.Credit || !p.Why.known() {
			return "", fmt.Errorf("%w: posting %d: %+v", ErrMalformed, i, p)
		}
	}
	memo = memoText(e.Memo)
	if len(memo) > MaxMemo {
		return "", fmt.Errorf("%w: the memo has %d bytes, at most %d", ErrMalformed, len(memo), MaxMemo)
	}
	return memo, nil
}
