package ledger

import (
	"fmt"
	"testing"
	"time"

	"tuma/internal/db"
	"tuma/internal/db/dbtest"
	"tuma/internal/money"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

var nairobi = time.FixedZone("EAT", 3*3600)

// clock is a test's time, moved by hand.
type clock struct{ at time.Time }

func newClock() *clock                { return &clock{time.Date(2026, 11, 22, 9, 15, 0, 0, nairobi)} }
func (c *clock) now() time.Time       { return c.at }
func (c *clock) pass(d time.Duration) { c.at = c.at.Add(d) }

func open(t testing.TB, pool *db.Pool, hooks ...Hook) *Book {
	t.Helper()
	b, err := New(pool, Config{Zone: nairobi, ReceiptKey: []byte("a key of sixteen bytes"), Hooks: hooks})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// account opens an account; bounds are floor, ceiling and day limit, absent when negative.
func account(t testing.TB, b *Book, kind Kind, r Rules) AccountID {
	t.Helper()
	var id AccountID
	err := b.pool.InTx(t.Context(), func(tx *db.Tx) (err error) {
		id, err = OpenAccount(t.Context(), tx, kind, "KES", r)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func house(t testing.TB, b *Book, k Kind) AccountID {
	t.Helper()
	id, err := b.House(t.Context(), k, "KES")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func balance(t testing.TB, b *Book, id AccountID) money.Amount {
	t.Helper()
	a, err := b.Account(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return a.Balance
}

func transfer(ref string, from, to AccountID, a money.Amount) Entry {
	return Entry{Ref: ref, Kind: "test", Postings: []Posting{{Why: Principal, Debit: from, Credit: to, Amount: a}}}
}

func clean(t testing.TB, b *Book) Proof {
	t.Helper()
	p, err := Audit(t.Context(), b.pool, AuditOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range p.Breaks {
		t.Errorf("audit: %s: %s", x.Check, x.What)
	}
	return p
}

func must(t testing.TB) func(Receipt, error) Receipt {
	return func(r Receipt, err error) Receipt {
		t.Helper()
		if err != nil {
			t.Fatal(fmt.Errorf("posting: %w", err))
		}
		return r
	}
}

func setRules(t testing.TB, b *Book, id AccountID, r Rules) {
	t.Helper()
	err := b.pool.InTx(t.Context(), func(tx *db.Tx) error { return SetRules(t.Context(), tx, id, r) })
	if err != nil {
		t.Fatal(err)
	}
}

func dollars(t testing.TB, b *Book) (id AccountID) {
	t.Helper()
	err := b.pool.InTx(t.Context(), func(tx *db.Tx) (err error) {
		id, err = OpenAccount(t.Context(), tx, Wallet, "USD", Rules{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}
