package ledger

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tuma/internal/db"
	"tuma/internal/db/dbtest"
	"tuma/internal/money"
)

func TestPostMovesMoneyOnceAndTellsTheBalances(t *testing.T) {
	t.Parallel()
	c := newClock()
	b := open(t, dbtest.New(t, c.now))
	trust, wallet := house(t, b, Trust), account(t, b, Wallet, Rules{Floor: Zero()})

	first := must(t)(b.Post(t.Context(), transfer("in:1", trust, wallet, 1000_00)))
	if first.Again || len(first.Code) != 10 || first.Code[:3] != "UKM" {
		t.Errorf("first receipt %+v", first)
	}
	if after, _ := first.After(wallet); after != 1000_00 {
		t.Errorf("balance after is %d", after)
	}
	c.pass(time.Hour)
	again := must(t)(b.Post(t.Context(), transfer("in:1", trust, wallet, 1000_00)))
	if !again.Again || again.Code != first.Code || !again.At.Equal(first.At) {
		t.Errorf("the same ref again gave %+v, first was %+v", again, first)
	}
	_, err := b.Post(t.Context(), transfer("in:1", trust, wallet, 1000_01))
	wantRule(t, err, RefReused)
	if got := balance(t, b, wallet); got != 1000_00 {
		t.Errorf("balance %d", got)
	}
	found, err := b.ByCode(t.Context(), first.Code)
	if err != nil || found.ID != first.ID {
		t.Errorf("by code: %+v %v", found, err)
	}
	if _, err := b.ByCode(t.Context(), "UKMAAAAAAA"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a code of nothing: %v", err)
	}
	if found, err := b.ByRef(t.Context(), "in:1"); err != nil || found.Code != first.Code {
		t.Errorf("by ref: %+v %v", found, err)
	}
	clean(t, b)
}

func TestMalformedEntriesAreTheCallersFault(t *testing.T) {
	t.Parallel()
	b := open(t, dbtest.New(t, nil))
	for name, e := range map[string]Entry{
		"no ref":        transfer("", 1, 2, 1),
		"zero":          transfer("r", 1, 2, 0),
		"negative":      transfer("r", 1, 2, -5),
		"too large":     transfer("r", 1, 2, MaxAmount+1),
		"to itself":     transfer("r", 1, 1, 5),
		"no postings":   {Ref: "r", Kind: "k"},
		"no kind":       {Ref: "r", Postings: transfer("r", 1, 2, 1).Postings},
		"both":          {Ref: "r", Kind: "k", Reverses: 1, Postings: transfer("r", 1, 2, 1).Postings},
		"no why":        {Ref: "r", Kind: "k", Postings: []Posting{{Debit: 1, Credit: 2, Amount: 1}}},
		"immense memo":  {Ref: "r", Kind: "k", Postings: transfer("r", 1, 2, 1).Postings, Memo: map[string]string{"a": string(make([]byte, MaxMemo))}},
		"many postings": {Ref: "r", Kind: "k", Postings: make([]Posting, MaxPostings+1)},
	} {
		if _, err := b.Post(t.Context(), e); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReversalMirrorsOnce(t *testing.T) {
	t.Parallel()
	b := open(t, dbtest.New(t, nil))
	trust, fees, wallet := house(t, b, Trust), house(t, b, Fees), account(t, b, Wallet, Rules{Floor: Zero(), DayLimit: Bound(100)})
	must(t)(b.Post(t.Context(), transfer("in", trust, wallet, 100)))
	e := transfer("pay", wallet, trust, 60)
	e.Postings = append(e.Postings, Posting{Why: Fee, Debit: wallet, Credit: fees, Amount: 5})
	paid := must(t)(b.Post(t.Context(), e))

	back := must(t)(b.Post(t.Context(), Entry{Ref: "back", Kind: "reversal", Reverses: paid.ID}))
	if balance(t, b, wallet) != 100 || balance(t, b, fees) != 0 || len(back.Postings) != 2 {
		t.Errorf("after the reversal: %+v", back)
	}
	if again := must(t)(b.Post(t.Context(), Entry{Ref: "back", Kind: "reversal", Reverses: paid.ID})); !again.Again {
		t.Error("the same reversal is not known again")
	}
	_, err := b.Post(t.Context(), Entry{Ref: "back2", Kind: "reversal", Reverses: paid.ID})
	wantRule(t, err, ReversedBefore)
	_, err = b.Post(t.Context(), Entry{Ref: "back3", Kind: "reversal", Reverses: back.ID})
	wantRule(t, err, ReversedBefore)
	_, err = b.Post(t.Context(), Entry{Ref: "back4", Kind: "reversal", Reverses: 1 << 40})
	wantRule(t, err, NoSuchEntry)
	// What was reversed does not refill the day.
	_, err = b.Post(t.Context(), transfer("pay2", wallet, trust, 60))
	wantRule(t, err, OverDayLimit)
	clean(t, b)
}

func TestDayLimitFollowsTheCountrysDay(t *testing.T) {
	t.Parallel()
	c := newClock()
	c.at = time.Date(2026, 11, 22, 23, 59, 0, 0, nairobi) // still the 22nd in UTC, too
	b := open(t, dbtest.New(t, c.now))
	trust, wallet := house(t, b, Trust), account(t, b, Wallet, Rules{Floor: Zero(), DayLimit: Bound(100)})
	must(t)(b.Post(t.Context(), transfer("in", trust, wallet, 1000)))
	must(t)(b.Post(t.Context(), transfer("a", wallet, trust, 100)))
	_, err := b.Post(t.Context(), transfer("b", wallet, trust, 1))
	wantRule(t, err, OverDayLimit)
	c.pass(2 * time.Minute) // the 23rd in Nairobi, still the 22nd in UTC
	must(t)(b.Post(t.Context(), transfer("c", wallet, trust, 100)))
	c.pass(-2 * time.Minute) // a clock set back opens no second 22nd
	_, err = b.Post(t.Context(), transfer("d", wallet, trust, 1))
	wantRule(t, err, OverDayLimit)
}

// One account, a hundred callers, money for ten: exactly ten succeed; the same
// Ref from many callers is posted once.
func TestRaces(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t, nil)
	books := []*Book{open(t, pool), open(t, pool)} // two processes, one database
	b := books[0]
	trust, wallet := house(t, b, Trust), account(t, b, Wallet, Rules{Floor: Zero()})
	must(t)(b.Post(t.Context(), transfer("in", trust, wallet, 1000)))
	var ok, refused, same atomic.Int64
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			_, err := books[i%2].Post(t.Context(), transfer(fmt.Sprint("out:", i), wallet, trust, 100))
			if r, is := errors.AsType[Refusal](err); err == nil {
				ok.Add(1)
			} else if is && r.Rule == UnderFloor {
				refused.Add(1)
			} else {
				t.Error(err)
			}
		})
		wg.Go(func() {
			r, err := books[i%2].Post(t.Context(), transfer("once", trust, wallet, 1))
			if err != nil {
				t.Error(err)
			} else if !r.Again {
				same.Add(1)
			}
		})
	}
	wg.Wait()
	if ok.Load() != 10 || refused.Load() != 90 || same.Load() != 1 {
		t.Errorf("%d paid, %d refused, the shared ref posted %d times", ok.Load(), refused.Load(), same.Load())
	}
	if got := balance(t, b, wallet); got != 1 {
		t.Errorf("balance %d", got)
	}
	clean(t, b)
}

// Crossing transfers between few accounts do not lock each other out.
func TestNoDeadlock(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t, nil)
	books := []*Book{open(t, pool), open(t, pool)}
	b := books[0]
	trust := house(t, b, Trust)
	var wallets []AccountID
	for i := range 5 {
		w := account(t, b, Wallet, Rules{Floor: Zero()})
		must(t)(b.Post(t.Context(), transfer(fmt.Sprint("in:", i), trust, w, 10_000)))
		wallets = append(wallets, w)
	}
	var wg sync.WaitGroup
	for i := range 400 {
		wg.Go(func() {
			from, to := wallets[i%5], wallets[(i*3+1)%5]
			if from == to {
				return
			}
			if _, err := books[i%2].Post(t.Context(), transfer(fmt.Sprint("x:", i), from, to, money.Amount(1+i%7))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	clean(t, b)
}

func TestHooksShareTheCommit(t *testing.T) {
	t.Parallel()
	var fail atomic.Int32 // 1: when it prepares, 2: when it writes
	var seen, written atomic.Int64
	hook := func(posted []Accepted) (Also, error) {
		if fail.Load() == 1 {
			return Also{}, errors.New("hook fails")
		}
		seen.Add(int64(len(posted)))
		if posted[0].Entry.Rider != "rider" || posted[0].Receipt.Afters[0].Balance != 100 || posted[0].Receipt.Code == "" {
			return Also{}, fmt.Errorf("posted %+v", posted[0])
		}
		return Also{Write: func(context.Context, *db.Tx) error {
			if fail.Load() == 2 {
				return errors.New("hook fails")
			}
			written.Add(1)
			return nil
		}}, nil
	}
	idle := func([]Accepted) (Also, error) { return Also{}, nil }
	b := open(t, dbtest.New(t, nil), idle, hook)
	trust, wallet := house(t, b, Trust), account(t, b, Wallet, Rules{Floor: Zero()})
	e := transfer("in", trust, wallet, 100)
	e.Rider = "rider"
	for how := range int32(2) {
		fail.Store(how + 1)
		if _, err := b.Post(t.Context(), e); err == nil {
			t.Fatal("posted although the hook failed")
		}
		if balance(t, b, wallet) != 0 {
			t.Fatal("money moved although the hook failed")
		}
	}
	fail.Store(0)
	seen.Store(0)
	must(t)(b.Post(t.Context(), e))
	if seen.Load() != 1 || written.Load() != 1 {
		t.Errorf("hook saw %d entries and wrote %d times", seen.Load(), written.Load())
	}
	clean(t, b)
}

// Of a small batch with the entries, of a full one after them: either way it
// stands when the entries do, and only then.
func TestWhatAHookInsertsSharesTheCommit(t *testing.T) {
	t.Parallel()
	var bad atomic.Bool
	hook := func(posted []Accepted) (Also, error) {
		names := make([]string, len(posted))
		for i, p := range posted {
			if names[i] = p.Entry.Ref; bad.Load() {
				names[i] = "taken"
			}
		}
		// Any table that the service may write to would do.
		return Also{Carry: func(tx *db.Tx) {
			tx.Carry(`insert into house_account (kind, currency, first) select unnest($2::text[]), $1, 992`, "XXX", db.Array(names))
		}}, nil
	}
	b := open(t, dbtest.New(t, nil), hook)
	err := b.pool.InTx(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(t.Context(), "insert into house_account (kind, currency, first) values ('taken', 'XXX', 992)")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	trust, wallet := house(t, b, Trust), account(t, b, Wallet, Rules{Floor: Zero()})
	bad.Store(true)
	if _, err := b.Post(t.Context(), transfer("bad", trust, wallet, 1)); err == nil {
		t.Error("posted although the insert failed")
	}
	bad.Store(false)
	const callers = 4 * fullBatch
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() { must(t)(b.Post(t.Context(), transfer(fmt.Sprint("in:", i), trust, wallet, 1))) })
	}
	wg.Wait()
	must(t)(b.Post(t.Context(), transfer("in:last", trust, wallet, 1)))
	var names int
	if err := b.pool.Get(t.Context(), &names, "select count(*) from house_account where currency = 'XXX'"); err != nil || names != callers+2 || balance(t, b, wallet) != callers+1 {
		t.Errorf("%d rows, balance %d, %v", names, balance(t, b, wallet), err)
	}
	clean(t, b)
}

func TestCallerWhoHasGivenUp(t *testing.T) {
	t.Parallel()
	b := open(t, dbtest.New(t, nil))
	trust, wallet := house(t, b, Trust), account(t, b, Wallet, Rules{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Post(ctx, transfer("gone", trust, wallet, 1)); !errors.Is(err, ErrNotPosted) {
		t.Errorf("%v", err)
	}
	if _, err := b.ByRef(t.Context(), "gone"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	b.Close()
	if _, err := b.Post(t.Context(), transfer("late", trust, wallet, 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
}

func TestStatementPages(t *testing.T) {
	t.Parallel()
	b := open(t, dbtest.New(t, nil))
	trust, wallet, other := house(t, b, Trust), account(t, b, Wallet, Rules{}), account(t, b, Wallet, Rules{})
	var want []string
	for i := range 7 {
		r := must(t)(b.Post(t.Context(), transfer(fmt.Sprint("in:", i), trust, wallet, 10)))
		must(t)(b.Post(t.Context(), transfer(fmt.Sprint("other:", i), trust, other, 10)))
		want = append([]string{r.Code}, want...)
	}
	var got []string
	for before := EntryID(0); ; {
		page, err := b.Statement(t.Context(), wallet, before, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, r := range page {
			got = append(got, r.Code)
			before = r.ID
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	// The same list as far back as an instant, and no further than so many.
	list := func(of []Receipt, err error) []Receipt {
		if err != nil {
			t.Fatal(err)
		}
		return of
	}
	all := list(b.Statement(t.Context(), wallet, 0, 10))
	for i, r := range all {
		for _, limit := range []int{1, 3, 10} {
			lately := list(b.Since(t.Context(), wallet, r.At, limit))
			n := i + 1
			for n < len(all) && !all[n].At.Before(r.At) {
				n++
			}
			if n = min(n, limit); !reflect.DeepEqual(lately, all[:n]) {
				t.Errorf("since %v, %d: %+v\nwant %+v", r.At, limit, lately, all[:n])
			}
		}
	}
	if none := list(b.Since(t.Context(), wallet, all[0].At.Add(time.Hour), 10)); len(none) != 0 {
		t.Errorf("since tomorrow: %+v", none)
	}
}

// The application's role cannot change what stands in the book.
func TestTheBookIsAppendOnly(t *testing.T) {
	t.Parallel()
	b := open(t, dbtest.New(t, nil))
	for _, q := range []string{"update entry set kind = 'x'", "delete from entry", "update entry_ref set entry = 1", "delete from reversal", "truncate entry", "update block set n = 1", "delete from block", "delete from account"} {
		err := b.pool.InTx(t.Context(), func(tx *db.Tx) error {
			_, err := tx.Exec(t.Context(), q)
			return err
		})
		if err == nil {
			t.Errorf("%s is allowed", q)
		}
	}
	var n int
	if err := b.pool.Get(t.Context(), &n, "select nextval('entry_number')"); err == nil {
		t.Error("a write outside a transaction is allowed")
	}
}

func wantRule(t testing.TB, err error, rule Rule) {
	t.Helper()
	if r, ok := errors.AsType[Refusal](err); !ok || r.Rule != rule {
		t.Errorf("got %v, want a refusal by %s", err, rule)
	}
}
