package ledger

import (
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"tuma/internal/db"
	"tuma/internal/db/dbtest"
	"tuma/internal/money"
)

// An entry whose earlier try is still at its COMMIT, the caller gone, is posted
// again. Whatever the state that it is decided on, it must not be refused and
// then stand in the book all the same.
func TestTwinOfACommitUnderWay(t *testing.T) {
	t.Parallel()
	for name, post := range map[string]way{"served": served, "hopeful": hopefully, "careful": carefully} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := dbtest.URL(t)
			pool, err := db.Open(t.Context(), db.Options{URL: url})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { pool.Close() })
			// The application's role is not shown what others wait for.
			dba, err := sql.Open("postgres", url)
			if err != nil {
				t.Fatal(err)
			}
			defer dba.Close()
			b := open(t, pool)
			trust, wallet := house(t, b, Trust), account(t, b, Wallet, Rules{Floor: Zero()})
			// The batch under way pays in and out again: without its first entry
			// the second cannot be afforded, and after it neither.
			in, out := transfer("in", trust, wallet, 100), transfer("out", wallet, trust, 100)
			batch := func(entries ...Entry) (batch []*request) {
				for _, e := range entries {
					batch = append(batch, &request{entry: e, answer: make(chan answer, 1)})
				}
				return batch
			}
			second := make(chan answer, 1)
			first := &poster{book: b}
			err = pool.InBatch(t.Context(), func(tx *db.Tx) error {
				if _, _, err := first.attempt(t.Context(), tx, batch(in, out), looking); err != nil {
					return err
				}
				go func() {
					second <- post(t, &poster{book: b}, batch(out))[0]
				}()
				for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
					var waits int
					if err := dba.QueryRow(`select count(*) from pg_locks where not granted and pid in (select pid from pg_stat_activity where datname = current_database())`).Scan(&waits); err != nil || waits > 0 {
						return err
					}
					select {
					case r := <-second:
						second <- r
						return nil
					default:
					}
				}
				return errors.New("the second neither waits nor ends")
			})
			if err != nil {
				t.Fatal(err)
			}
			if a := <-second; !a.receipt.Again {
				t.Errorf("it stands, but its caller was told %+v", a)
			}
		})
	}
}

// Several books with several posters on few accounts, with floors and day
// limits: everything is answered, the sum is right and the audit clean.
func TestManyBooksOnFewAccounts(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t, nil)
	books := []*Book{open(t, pool), open(t, pool), open(t, pool)}
	trust, fees := house(t, books[0], Trust), house(t, books[0], Fees)
	var wallets []AccountID
	expect := map[AccountID]money.Amount{}
	for i := range 4 {
		w := account(t, books[0], Wallet, Rules{Floor: Zero(), Ceiling: Bound(2000), DayLimit: Bound(3000)})
		must(t)(books[0].Post(t.Context(), transfer(fmt.Sprint("in:", i), trust, w, 1000)))
		wallets, expect[w] = append(wallets, w), 1000
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	posted := map[string]Receipt{}
	for i := range 600 {
		from, to := wallets[i%4], wallets[(i+1+i/4%3)%4]
		e := transfer(fmt.Sprint("x:", i/2), from, to, money.Amount(1+i%90)) // odd ones reuse a Ref with other content
		e.Postings = append(e.Postings, Posting{Why: Fee, Debit: from, Credit: fees, Amount: 1})
		for k := range 2 { // twice at once, by two books
			wg.Go(func() {
				r, err := books[(i+k)%3].Post(t.Context(), e)
				if refusal, ok := errors.AsType[Refusal](err); ok && refusal.Rule != NoSuchAccount {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if first, ok := posted[e.Ref]; ok {
					if first.ID != r.ID {
						t.Errorf("%s has the receipts %d and %d", e.Ref, first.ID, r.ID)
					}
					return
				}
				posted[e.Ref] = r
				for _, p := range e.Postings {
					expect[p.Debit] -= p.Amount
					expect[p.Credit] += p.Amount
				}
			})
		}
	}
	wg.Wait()
	for _, w := range append(wallets, fees) {
		if got := balance(t, books[0], w); got != expect[w] {
			t.Errorf("account %d has %d, what was acknowledged gives %d", w, got, expect[w])
		}
	}
	// Each balance on a statement but the last is what the next entry began with.
	follows := map[After]int{}
	for _, w := range wallets {
		follows[After{w, 1000}]++
		follows[After{w, expect[w]}]--
	}
	for _, r := range posted {
		for _, a := range r.Afters {
			follows[a]++
			for _, p := range r.Postings {
				if p.Debit == a.Account {
					a.Balance += p.Amount
				} else if p.Credit == a.Account {
					a.Balance -= p.Amount
				}
			}
			follows[a]--
		}
	}
	for a, n := range follows {
		if n != 0 {
			t.Errorf("the statement of account %d does not follow at balance %d (%+d)", a.Account, a.Balance, n)
		}
	}
	if len(posted) < 50 {
		t.Errorf("only %d entries were posted", len(posted))
	}
	clean(t, books[0])
}

// A reversal that stands is known again when all has gone well for a while, and
// so is not read as the second of its kind.
func TestReversalAgainAfterCalm(t *testing.T) {
	t.Parallel()
	b := open(t, dbtest.New(t, nil))
	p := &poster{book: b}
	trust, wallet := house(t, b, Trust), account(t, b, Wallet, Rules{Floor: Zero()})
	post := func(e Entry) answer { return hopefully(t, p, []*request{{entry: e, answer: make(chan answer, 1)}})[0] }
	paid := post(transfer("in", trust, wallet, 100))
	back := Entry{Ref: "back", Kind: "reversal", Reverses: paid.receipt.ID}
	first, second := post(back), post(back)
	if first.err != nil || !second.receipt.Again || second.receipt.ID != first.receipt.ID {
		t.Errorf("first %+v, then %+v", first, second)
	}
	if other := post(Entry{Ref: "other", Kind: "reversal", Reverses: paid.receipt.ID}); other.err != (Refusal{Rule: ReversedBefore}) {
		t.Errorf("another reversal of the same: %+v", other)
	}
	clean(t, b)
}

// Batches of all three ways that post the same Refs at once, in opposite orders
// and on the same accounts, wait for each other but never in a circle.
func TestSameRefsAtOnce(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	pool, err := db.Open(t.Context(), db.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, pool)
	trust := house(t, b, Trust)
	wallets := []AccountID{account(t, b, Wallet, Rules{Floor: Zero()}), account(t, b, Wallet, Rules{Floor: Zero()})}
	for i, w := range wallets {
		must(t)(b.Post(t.Context(), transfer(fmt.Sprint("in:", i), trust, w, 10000)))
	}
	for round := range 40 {
		answers := map[mode][]answer{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for _, how := range []mode{hopeful, looking, careful} {
			var batch []*request
			for i := range 8 {
				e := transfer(fmt.Sprint(round, ":", i), wallets[i%2], wallets[1-i%2], money.Amount(1+i))
				batch = append(batch, &request{entry: e, answer: make(chan answer, 1)})
			}
			if int(how)%2 == round%2 {
				slices.Reverse(batch)
			}
			wg.Go(func() {
				got, err := (&poster{book: b}).commitAs(how, batch)
				if err != nil {
					t.Error(err)
					return
				}
				slices.SortFunc(got, func(a, b answer) int { return cmp.Compare(a.receipt.Postings[0].Amount, b.receipt.Postings[0].Amount) })
				mu.Lock()
				defer mu.Unlock()
				answers[how] = got
			})
		}
		wg.Wait()
		for i := range 8 {
			first := 0
			for how, got := range answers {
				if got[i].receipt.ID != answers[hopeful][i].receipt.ID {
					t.Errorf("round %d, Ref %d, way %d: %+v, another heard %+v", round, i, how, got[i], answers[hopeful][i])
				}
				if !got[i].receipt.Again {
					first++
				}
			}
			if first != 1 {
				t.Errorf("round %d: Ref %d was posted %d times", round, i, first)
			}
		}
	}
	clean(t, b)
	b.Close()
	pool.Close() // its sessions tell what they have counted when they end
	dba, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer dba.Close()
	var deadlocks int
	if err := dba.QueryRow(`select deadlocks from pg_stat_database where datname = current_database()`).Scan(&deadlocks); err != nil || deadlocks > 0 {
		t.Errorf("%d deadlocks, %v", deadlocks, err)
	}
}
