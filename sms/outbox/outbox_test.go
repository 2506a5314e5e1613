package outbox_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tuma/internal/db"
	"tuma/internal/db/dbtest"
	"tuma/internal/phone"
	"tuma/sms/outbox"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

const (
	asha   = phone.Number("+254712000001")
	baraka = phone.Number("+254712000002")
)

// clock is a wall clock that stands still until a test moves it.
type clock struct{ micros atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.micros.Store(time.Date(2026, 11, 22, 9, 15, 0, 0, time.UTC).UnixMicro())
	return c
}
func (c *clock) now() time.Time          { return time.UnixMicro(c.micros.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.micros.Add(d.Microseconds()) }

func open(t *testing.T) (*db.Pool, *clock) {
	t.Helper()
	c := newClock()
	return dbtest.New(t, c.now), c
}

func write(t *testing.T, pool *db.Pool, notices ...outbox.Notice) {
	t.Helper()
	if err := pool.InTx(t.Context(), func(tx *db.Tx) error { return writeIn(t, tx, notices...) }); err != nil {
		t.Fatal(err)
	}
}

// writeIn writes one lot.
func writeIn(t *testing.T, tx *db.Tx, notices ...outbox.Notice) error {
	t.Helper()
	lot, err := outbox.Pack(notices)
	if err != nil {
		return err
	}
	return lot.Write(t.Context(), tx)
}

// unpack makes notices of what is owed, as a relay does.
func unpack(t *testing.T, pool *db.Pool) (n int64) {
	t.Helper()
	err := pool.InTx(t.Context(), func(tx *db.Tx) (err error) {
		n, err = outbox.Unpack(t.Context(), tx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func count(t *testing.T, pool *db.Pool, query string) (n int) {
	t.Helper()
	if err := pool.Get(t.Context(), &n, query); err != nil {
		t.Fatal(err)
	}
	return n
}

func writeOnce(t *testing.T, pool *db.Pool, notices ...outbox.Notice) {
	t.Helper()
	if err := pool.InTx(t.Context(), func(tx *db.Tx) error { return outbox.WriteOnce(t.Context(), tx, notices) }); err != nil {
		t.Fatal(err)
	}
}

// bodies lists what a phone is owed, the oldest first.
func bodies(t *testing.T, pool *db.Pool, to phone.Number) []string {
	t.Helper()
	records, err := outbox.For(t.Context(), pool, to, 1000)
	if err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, r := range slices.Backward(records) {
		list = append(list, r.Body)
	}
	return list
}

// lease takes up to n and fails the test on an error.
func lease(t *testing.T, pool *db.Pool, n int, who string) []outbox.Due {
	t.Helper()
	due, _, err := outbox.Lease(t.Context(), pool, n, time.Minute, who, nil)
	if err != nil {
		t.Fatal(err)
	}
	return due
}

// note is what became of one notice.
func note(t *testing.T, pool *db.Pool, o outbox.Outcome) error {
	t.Helper()
	lost, err := outbox.Note(t.Context(), pool, []outbox.Outcome{o})
	if err != nil {
		return err
	}
	return lost[0]
}

func done(t *testing.T, pool *db.Pool, d outbox.Due, gateway, id string) error {
	t.Helper()
	return note(t, pool, d.Sent(gateway, id, 0))
}

func retry(t *testing.T, pool *db.Pool, d outbox.Due, at time.Time, gateway, why string, doubts int) error {
	t.Helper()
	return note(t, pool, d.Again(at, gateway, why, doubts))
}

func fail(t *testing.T, pool *db.Pool, d outbox.Due, gateway, why string) error {
	t.Helper()
	return note(t, pool, d.GivenUp(gateway, why, 0))
}

func keys(due []outbox.Due) []string {
	list := []string{}
	for _, d := range due {
		list = append(list, d.Key)
	}
	return list
}

func want(t *testing.T, due []outbox.Due, keysWanted ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{}, keysWanted...), keys(due)); diff != "" {
		t.Errorf("leased (-want +got):\n%s", diff)
	}
}

func status(t *testing.T, pool *db.Pool, to phone.Number, key string) outbox.Record {
	t.Helper()
	records, err := outbox.For(t.Context(), pool, to, 1000)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(records, func(r outbox.Record) bool { return r.Key == key })
	if i < 0 {
		t.Fatalf("no notice %q for %s", key, to)
	}
	return records[i]
}

func TestWriteIsPartOfItsTransaction(t *testing.T) {
	t.Parallel()
	pool, c := open(t)
	refusal := errors.New("insufficient")
	err := pool.InTx(t.Context(), func(tx *db.Tx) error {
		if err := writeIn(t, tx, outbox.Notice{Key: "a", To: asha, Body: "never"}); err != nil {
			return err
		}
		return refusal
	})
	if !errors.Is(err, refusal) {
		t.Fatal(err)
	}
	want(t, lease(t, pool, 9, "r"))
	if n := count(t, pool, `select count(*) from every_notice`); n != 0 {
		t.Errorf("%d are owed by a transaction that was undone", n)
	}

	n := outbox.Notice{Key: "UKM4Q7X2PA:payer", To: asha, Lang: "sw", Body: "Imethibitishwa.\n\"Ksh5\", {1} \\ 'é' €", Priority: outbox.Receipt, Expires: c.now().Add(time.Hour)}
	write(t, pool, n)
	written := c.now()
	c.advance(time.Second)
	got, err := outbox.For(t.Context(), pool, asha, 10)
	if err != nil {
		t.Fatal(err)
	}
	record := outbox.Record{Notice: n, Status: "owed", Created: written, NextAttempt: written}
	if diff := cmp.Diff([]outbox.Record{record}, got); diff != "" {
		t.Error(diff)
	}
	unpack(t, pool)
	record.Status = "queued"
	if diff := cmp.Diff(record, status(t, pool, asha, n.Key)); diff != "" {
		t.Errorf("unpacked: %s", diff)
	}
	write(t, pool) // nothing to write is fine
	writeOnce(t, pool)
	if n := count(t, pool, `select count(*) from owed`); n != 0 {
		t.Errorf("%d lots of nothing", n)
	}
}

// A lot holds every notice, whatever its key, in the order of the list: its
// writer owes it exactly once already.
func TestALotDoesNotLookAtKeys(t *testing.T) {
	t.Parallel()
	pool, _ := open(t)
	write(t, pool, outbox.Notice{Key: "k", To: asha, Body: "1"}, outbox.Notice{Key: "k", To: asha, Body: "2"}, outbox.Notice{Key: "j", To: asha, Body: "3"})
	writeOnce(t, pool, outbox.Notice{Key: "k", To: asha, Body: "4"}) // a key of a lot is none of WriteOnce's
	write(t, pool, outbox.Notice{Key: "k", To: asha, Body: "5"})
	for _, when := range []string{"packed", "unpacked"} {
		if diff := cmp.Diff([]string{"1", "2", "3", "4", "5"}, bodies(t, pool, asha)); diff != "" {
			t.Errorf("%s: %s", when, diff)
		}
		unpack(t, pool)
	}
}

func TestWriteOnceKeepsTheFirstOfAKey(t *testing.T) {
	t.Parallel()
	pool, c := open(t)
	writeOnce(t, pool, outbox.Notice{Key: "k", To: asha, Body: "first"}, outbox.Notice{Key: "k", To: baraka, Body: "the same key in one list"}, outbox.Notice{Key: "j", To: asha, Body: "second"})
	c.advance(time.Second)
	writeOnce(t, pool, outbox.Notice{Key: "k", To: baraka, Body: "the same key again"}, outbox.Notice{Key: "l", To: asha, Body: "third"})
	if err := done(t, pool, lease(t, pool, 1, "r")[0], "g", ""); err != nil {
		t.Fatal(err)
	}
	writeOnce(t, pool, outbox.Notice{Key: "k", To: baraka, Body: "the same key after it was sent"})
	if diff := cmp.Diff([]string{"first", "second", "third"}, bodies(t, pool, asha)); diff != "" {
		t.Error(diff)
	}
	if got := bodies(t, pool, baraka); len(got) != 0 {
		t.Errorf("written although the key was there: %q", got)
	}
}

// Two transactions at once: the second waits for the first and then adds
// nothing, or adds it when the first is undone.
func TestWriteOnceAtTheSameTime(t *testing.T) {
	t.Parallel()
	pool, _ := open(t)
	undone := errors.New("undone")
	for key, end := range map[string]error{"kept": nil, "undone": undone} {
		second, server := make(chan error, 1), make(chan int, 1)
		err := pool.InTx(t.Context(), func(tx *db.Tx) error {
			if err := outbox.WriteOnce(t.Context(), tx, []outbox.Notice{{Key: key, To: asha, Body: "first of " + key}}); err != nil {
				return err
			}
			go func() {
				second <- pool.InTx(t.Context(), func(tx *db.Tx) error {
					var pid int
					if err := tx.Get(t.Context(), &pid, "select pg_backend_pid()"); err != nil {
						return err
					}
					select {
					case server <- pid:
					default:
					}
					return outbox.WriteOnce(t.Context(), tx, []outbox.Notice{{Key: key, To: baraka, Body: "second of " + key}})
				})
			}()
			pid, waits := <-server, false
			for deadline := time.Now().Add(10 * time.Second); !waits && time.Now().Before(deadline); {
				if err := pool.Get(t.Context(), &waits, "select exists (select from pg_locks where pid = $1 and not granted)", pid); err != nil {
					return err
				}
			}
			if !waits {
				t.Errorf("%s: the second does not wait", key)
			}
			return end
		})
		if !errors.Is(err, end) {
			t.Fatal(err)
		}
		if err := <-second; err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"first of kept"}, bodies(t, pool, asha)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"second of undone"}, bodies(t, pool, baraka)); diff != "" {
		t.Error(diff)
	}
}

func TestWriteRefusesWhatWouldAbortThePosting(t *testing.T) {
	t.Parallel()
	pool, _ := open(t)
	good := outbox.Notice{Key: "k", To: asha, Lang: "en", Body: "SECRET"}
	for name, spoil := range map[string]func(n *outbox.Notice){
		"no key":        func(n *outbox.Notice) { n.Key = "" },
		"long key":      func(n *outbox.Notice) { n.Key = strings.Repeat("k", 121) },
		"NUL in key":    func(n *outbox.Notice) { n.Key = "k\x00" },
		"nobody":        func(n *outbox.Notice) { n.To = "" },
		"no body":       func(n *outbox.Notice) { n.Body = "" },
		"NUL in body":   func(n *outbox.Notice) { n.Body = "SECRET\x00" },
		"not UTF-8":     func(n *outbox.Notice) { n.Body = "SECRET\xff" },
		"long body":     func(n *outbox.Notice) { n.Body = strings.Repeat("é", 1601) },
		"NUL in lang":   func(n *outbox.Notice) { n.Lang = "\x00" },
		"priority -1":   func(n *outbox.Notice) { n.Priority = -1 },
		"priority 3":    func(n *outbox.Notice) { n.Priority = 3 },
		"huge priority": func(n *outbox.Notice) { n.Priority = 1 << 40 },
	} {
		bad := good
		spoil(&bad)
		err := pool.InTx(t.Context(), func(tx *db.Tx) error {
			lot, err := outbox.Pack([]outbox.Notice{good, bad})
			if err == nil || !strings.HasPrefix(err.Error(), "outbox: notice ") || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%s: %v", name, err)
			}
			if err := lot.Write(t.Context(), tx); err != nil { // of what was refused, nothing
				t.Errorf("%s: %v", name, err)
			}
			// The transaction still works: a posting in it is not lost.
			if again := outbox.WriteOnce(t.Context(), tx, []outbox.Notice{good, bad}); again == nil || again.Error() != err.Error() {
				t.Errorf("%s: WriteOnce: %v", name, again)
			}
			return writeIn(t, tx, outbox.Notice{Key: name, To: baraka, Body: "x"})
		})
		if err != nil {
			t.Errorf("%s: the transaction was aborted: %v", name, err)
		}
	}
	if got, err := outbox.For(t.Context(), pool, asha, 10); len(got) != 0 || err != nil {
		t.Errorf("written beside a bad one: %v, %v", got, err)
	}
}

// A NOTIFY in the transaction that owes a notice would make commits wait for
// each other, so only Wake wakes.
func TestOnlyWakeWakes(t *testing.T) {
	t.Parallel()
	pool, _ := open(t)
	hear, err := pool.Listen(t.Context(), outbox.Channel)
	if err != nil {
		t.Fatal(err)
	}
	woken := func(within time.Duration) bool {
		select {
		case <-hear:
			return true
		case <-time.After(within):
			return false
		}
	}
	wake := func() {
		if err := outbox.Wake(t.Context(), pool); err != nil {
			t.Fatal(err)
		}
	}
	// The connection comes up in the background: wake until it hears.
	heard := false
	for i := 0; i < 300 && !heard; i++ {
		wake()
		heard = woken(100 * time.Millisecond)
	}
	if !heard {
		t.Fatal("never woken")
	}
	for woken(200 * time.Millisecond) {
	}
	write(t, pool, outbox.Notice{Key: "a", To: asha, Body: "x"})
	writeOnce(t, pool, outbox.Notice{Key: "b", To: asha, Body: "x"})
	if woken(200 * time.Millisecond) {
		t.Error("woken by a write")
	}
	wake()
	if !woken(10 * time.Second) {
		t.Error("not woken")
	}
}

func TestLeaseTakesTheUrgentFirstAndTheRecipientsInTurn(t *testing.T) {
	t.Parallel()
	pool, c := open(t)
	write(t, pool,
		outbox.Notice{Key: "ad", To: "+254712000009", Body: "x", Priority: outbox.Rest},
		outbox.Notice{Key: "a1", To: asha, Body: "x", Priority: outbox.Receipt},
		outbox.Notice{Key: "a2", To: asha, Body: "x", Priority: outbox.Receipt},
		outbox.Notice{Key: "b1", To: baraka, Body: "x", Priority: outbox.Receipt},
		outbox.Notice{Key: "a code", To: asha, Body: "x", Priority: outbox.Code})
	due := lease(t, pool, 9, "r")
	// a2 waits for a1; the code of the same phone waits for nobody.
	want(t, due, "a code", "a1", "b1", "ad")
	if d := due[1]; d.Attempts != 1 || d.Doubts != 0 || !d.Until.Equal(c.now().Add(time.Minute)) || !d.Created.Equal(c.now()) || d.To != asha || d.Body != "x" {
		t.Errorf("leased %+v", d)
	}
	want(t, lease(t, pool, 9, "r"))
	if err := done(t, pool, due[1], "twilio", "SM1"); err != nil {
		t.Fatal(err)
	}
	want(t, lease(t, pool, 9, "r"), "a2")
	r := status(t, pool, asha, "a1")
	if r.Status != "sent" || r.Gateway != "twilio" || r.ProviderID != "SM1" || !r.Sent.Equal(c.now()) || r.Attempts != 1 {
		t.Errorf("a1: %+v", r)
	}
}

func TestLeaseOfOneIsTheMostUrgent(t *testing.T) {
	t.Parallel()
	pool, _ := open(t)
	write(t, pool, outbox.Notice{Key: "ad", To: asha, Body: "x", Priority: outbox.Rest})
	write(t, pool, outbox.Notice{Key: "code", To: baraka, Body: "x", Priority: outbox.Code})
	want(t, lease(t, pool, 1, "r"), "code")
	want(t, lease(t, pool, 1, "r"), "ad")
}

// Another relay's open lease is stepped over, not waited for.
func TestLeaseDoesNotWaitForAnother(t *testing.T) {
	t.Parallel()
	pool, _ := open(t)
	write(t, pool, outbox.Notice{Key: "1", To: asha, Body: "x"}, outbox.Notice{Key: "2", To: baraka, Body: "x"})
	unpack(t, pool)
	err := pool.InTx(t.Context(), func(tx *db.Tx) error {
		if _, err := tx.Exec(t.Context(), "select from notice where key = '1' for update"); err != nil {
			return err
		}
		want(t, lease(t, pool, 9, "r"), "2")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRetryKeepsTheTurn(t *testing.T) {
	t.Parallel()
	pool, c := open(t)
	write(t, pool, outbox.Notice{Key: "1", To: asha, Body: "x", Priority: 1}, outbox.Notice{Key: "2", To: asha, Body: "x", Priority: 1})
	due := lease(t, pool, 9, "r")
	if err := retry(t, pool, due[0], c.now().Add(10*time.Second), "twilio", "sms: twilio: 503", 1); err != nil {
		t.Fatal(err)
	}
	want(t, lease(t, pool, 9, "r")) // 2 does not overtake
	c.advance(9 * time.Second)
	want(t, lease(t, pool, 9, "r"))
	c.advance(time.Second)
	due = lease(t, pool, 9, "r")
	want(t, due, "1")
	if due[0].Attempts != 2 || due[0].Doubts != 1 {
		t.Errorf("second lease: %+v", due[0])
	}
	if r := status(t, pool, asha, "1"); r.Error != "sms: twilio: 503" || r.Gateway != "twilio" {
		t.Errorf("record: %+v", r)
	}
	if err := fail(t, pool, due[0], "twilio", "bad \x00\xff"+strings.Repeat("é", 300)); err != nil {
		t.Fatal(err)
	}
	if r := status(t, pool, asha, "1"); r.Status != "failed" || !strings.HasPrefix(r.Error, "bad ?") || len(r.Error) > 200 {
		t.Errorf("failed: %+v", r)
	}
	want(t, lease(t, pool, 9, "r"), "2")
}

// What fails for long, for a reason of its own, does not keep the others of its
// phone waiting for as long.
func TestALongFailureLosesItsTurn(t *testing.T) {
	t.Parallel()
	pool, c := open(t)
	write(t, pool, outbox.Notice{Key: "1", To: asha, Body: "x", Priority: 1}, outbox.Notice{Key: "2", To: asha, Body: "x", Priority: 1})
	for range 7 {
		due := lease(t, pool, 9, "r")
		want(t, due, "1")
		c.advance(time.Second)
		if err := retry(t, pool, due[0], c.now(), "twilio", "sms: twilio: 500", 0); err != nil {
			t.Fatal(err)
		}
	}
	want(t, lease(t, pool, 9, "r"), "1")
	want(t, lease(t, pool, 9, "r"), "2")
}

func TestALapsedLeaseIsTakenOverAndItsHolderIsTold(t *testing.T) {
	t.Parallel()
	pool, c := open(t)
	write(t, pool, outbox.Notice{Key: "1", To: asha, Body: "x", Priority: 1}, outbox.Notice{Key: "2", To: asha, Body: "x", Priority: 1})
	for _, who := range []string{"dead", "dead", "alive"} { // the same name again is another lease, too
		old := lease(t, pool, 9, "dead")
		c.advance(time.Minute - time.Microsecond)
		want(t, lease(t, pool, 9, who))
		c.advance(time.Microsecond)
		taken := lease(t, pool, 9, who)
		want(t, taken, "1")
		if taken[0].Doubts != old[0].Doubts+1 || taken[0].Attempts != old[0].Attempts+1 {
			t.Errorf("taken over: %+v after %+v", taken[0], old[0])
		}
		for name, err := range map[string]error{
			"done":  done(t, pool, old[0], "twilio", "SM1"),
			"retry": retry(t, pool, old[0], c.now(), "twilio", "x", 0),
			"fail":  fail(t, pool, old[0], "twilio", "x"),
		} {
			if !errors.Is(err, outbox.ErrLost) {
				t.Errorf("%s by the old holder: %v, want ErrLost", name, err)
			}
		}
		if who == "alive" {
			for range 2 { // and again, as after a commit without an answer
				if err := done(t, pool, taken[0], "twilio", "SM2"); err != nil {
					t.Error(err)
				}
			}
			if err := fail(t, pool, taken[0], "twilio", "x"); !errors.Is(err, outbox.ErrLost) {
				t.Errorf("fail after done: %v", err)
			}
			continue
		}
		if err := retry(t, pool, taken[0], c.now(), "twilio", "x", 0); err != nil {
			t.Fatal(err)
		}
	}
	if r := status(t, pool, asha, "1"); r.Status != "sent" || r.ProviderID != "SM2" {
		t.Errorf("record: %+v", r)
	}
}

func TestExpiredIsPutAside(t *testing.T) {
	t.Parallel()
	pool, c := open(t)
	write(t, pool,
		outbox.Notice{Key: "code", To: asha, Body: "x", Priority: 1, Expires: c.now().Add(10 * time.Second)},
		outbox.Notice{Key: "next", To: asha, Body: "x", Priority: 1},
		outbox.Notice{Key: "late", To: baraka, Body: "x", Priority: 1, Expires: c.now()})
	due, expired, err := outbox.Lease(t.Context(), pool, 9, time.Minute, "r", nil)
	if err != nil || expired != 1 {
		t.Fatalf("expired %d, %v", expired, err)
	}
	want(t, due, "code")
	// A back-off beyond its end does not hold up the next one.
	if err := retry(t, pool, due[0], c.now().Add(time.Hour), "twilio", "x", 0); err != nil {
		t.Fatal(err)
	}
	c.advance(10 * time.Second)
	due, expired, err = outbox.Lease(t.Context(), pool, 9, time.Minute, "r", nil)
	if err != nil || expired != 1 || len(due) != 0 {
		t.Fatalf("due %v, expired %d, %v", keys(due), expired, err)
	}
	want(t, lease(t, pool, 9, "r"), "next")
	if r := status(t, pool, asha, "code"); r.Status != "expired" || r.Attempts != 1 {
		t.Errorf("code: %+v", r)
	}
}

// Many leases at once: nothing twice, and each phone in its order.
func TestConcurrentLeases(t *testing.T) {
	t.Parallel()
	pool, _ := open(t)
	const phones, each = 10, 8
	var notices []outbox.Notice
	for i := range phones * each {
		notices = append(notices, outbox.Notice{Key: fmt.Sprintf("%02d", i), To: phone.Number(fmt.Sprintf("+2547120000%02d", i%phones)), Body: "x", Priority: 1})
	}
	write(t, pool, notices...)

	taken := make(chan outbox.Due, phones*each)
	errs := make(chan error, 4)
	var left atomic.Int64
	left.Store(phones * each)
	for w := range 4 {
		go func() {
			for left.Load() > 0 {
				due, _, err := outbox.Lease(t.Context(), pool, 3, time.Minute, fmt.Sprint("relay", w), nil)
				if err != nil {
					errs <- err
					return
				}
				for _, d := range due {
					taken <- d
					left.Add(-1)
					if err := done(t, pool, d, "g", ""); err != nil {
						errs <- err
						return
					}
				}
			}
			errs <- nil
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	close(taken)
	seen, last := map[string]bool{}, map[phone.Number]int64{}
	for d := range taken {
		if seen[d.Key] {
			t.Errorf("%s leased twice", d.Key)
		}
		seen[d.Key] = true
		if d.ID < last[d.To] {
			t.Errorf("%s: %d after %d", d.To, d.ID, last[d.To])
		}
		last[d.To] = d.ID
	}
	if len(seen) != phones*each {
		t.Errorf("%d leased, want %d", len(seen), phones*each)
	}
}
