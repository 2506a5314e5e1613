package outbox_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tuma/internal/db"
	"tuma/internal/phone"
	"tuma/sms/outbox"
)

// ids are the ids and keys of all notices, packed or not, in their order.
func ids(t *testing.T, pool *db.Pool) (list []string) {
	t.Helper()
	if err := pool.Select(t.Context(), &list, `select id || ' ' || key from every_notice order by id`); err != nil {
		t.Fatal(err)
	}
	return list
}

func keysOf(ids []string) (keys []string) {
	for _, x := range ids {
		_, key, _ := strings.Cut(x, " ")
		keys = append(keys, key)
	}
	return keys
}

// The order in which notices came to be owed is that of their ids, within a lot,
// from lot to lot, and between lots and the notices of WriteOnce. Unpacking
// changes nothing of it.
func TestLotsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	pool, _ := open(t)
	var wanted []string
	owe := func(write func(*testing.T, *db.Pool, ...outbox.Notice), n int) {
		var notices []outbox.Notice
		for range n {
			key := fmt.Sprintf("%03d", len(wanted))
			wanted = append(wanted, key)
			notices = append(notices, outbox.Notice{Key: key, To: asha, Body: key, Priority: outbox.Receipt})
		}
		write(t, pool, notices...)
	}
	owe(write, 3)
	owe(writeOnce, 2)
	owe(write, 1)
	owe(write, 40)
	if n := unpack(t, pool); n != 44 {
		t.Errorf("%d unpacked", n)
	}
	owe(writeOnce, 1)
	owe(write, 5)
	before := ids(t, pool)
	if diff := cmp.Diff(wanted, keysOf(before)); diff != "" {
		t.Errorf("some packed: %s", diff)
	}
	if n := unpack(t, pool); n != 5 {
		t.Errorf("%d unpacked", n)
	}
	if diff := cmp.Diff(before, ids(t, pool)); diff != "" {
		t.Errorf("unpacked: %s", diff)
	}
	if n := count(t, pool, `select count(*) from owed`); n != 0 {
		t.Errorf("%d lots are left", n)
	}
	var sent []string
	for range wanted {
		due := lease(t, pool, 9, "r")
		if len(due) != 1 {
			t.Fatalf("leased %v", keys(due))
		}
		sent = append(sent, due[0].Key)
		if err := done(t, pool, due[0], "g", ""); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(wanted, sent); diff != "" {
		t.Errorf("sent: %s", diff)
	}
}

// A whole commit's worth, of texts that arrays write in a way of their own, with
// and without an end.
func TestALotComesOutAsItWentIn(t *testing.T) {
	t.Parallel()
	pool, c := open(t)
	texts := []string{
		`,`, `"`, `\`, `{}`, `{"a","b"}`, `NULL`, `null`, ` NULL`, `\N`, `''`, `""`, ` `, "\n", "\t\r\v\x01\x7f", `a,b;c`, `\\"`, `'); drop table owed; --`,
		"Kṣh €5 é ña ሰላም 你好 🦁\U0010ffff", "$1", strings.Repeat("€", 1600), "infinity",
	}
	for _, whose := range []struct {
		to      phone.Number
		expires func(i int) time.Time
	}{
		{asha, func(int) time.Time { return time.Time{} }},
		{baraka, func(i int) time.Time {
			if i%3 == 0 {
				return time.Time{}
			}
			return c.now().Add(time.Duration(i) * (time.Hour + time.Microsecond))
		}},
	} {
		var notices []outbox.Notice
		var wanted []outbox.Record
		for i := range 512 {
			text := texts[i%len(texts)]
			key := string([]rune(text)[:min(len([]rune(text)), 20)]) + fmt.Sprint(i)
			n := outbox.Notice{Key: key, To: whose.to, Lang: texts[i%15], Body: text, Priority: i % 3, Expires: whose.expires(i)}
			notices = append(notices, n)
			wanted = append(wanted, outbox.Record{Notice: n, Status: "owed", Created: c.now(), NextAttempt: c.now()})
		}
		slices.Reverse(wanted)
		write(t, pool, notices...)
		if n := count(t, pool, `select count(*) from owed`); n != 1 {
			t.Errorf("%d rows are owed, want one for the commit", n)
		}
		c.advance(time.Minute)
		for _, status := range []string{"owed", "queued"} {
			got, err := outbox.For(t.Context(), pool, whose.to, 1000)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(wanted, got); diff != "" {
				t.Errorf("%s: %s", status, diff)
			}
			unpack(t, pool)
			for i := range wanted {
				wanted[i].Status = "queued"
			}
		}
		if n := count(t, pool, `select count(*) from notice where once`); n != 0 {
			t.Errorf("the keys of %d would decide", n)
		}
	}
}

// The sequence leaves room for the ids of one lot; more would be another's.
func TestALotHasRoomForItsIds(t *testing.T) {
	t.Parallel()
	pool, _ := open(t)
	var notices []outbox.Notice
	for i := range 4096 {
		notices = append(notices, outbox.Notice{Key: fmt.Sprintf("%04d", i), To: asha, Body: "x"})
	}
	write(t, pool, notices...)
	write(t, pool, notices...)
	writeOnce(t, pool, notices[0])
	last := len(unique(ids(t, pool)))
	for unpack(t, pool) > 0 {
	}
	if got := unique(ids(t, pool)); last != 2*4096+1 || len(got) != last {
		t.Errorf("%d ids, then %d", last, len(got))
	}
	if lot, err := outbox.Pack(append(notices, notices[0])); err == nil {
		t.Errorf("packed too many: %v", pool.InTx(t.Context(), func(tx *db.Tx) error { return lot.Write(t.Context(), tx) }))
	}
}

func unique(ids []string) map[string]bool {
	m := map[string]bool{}
	for _, x := range ids {
		id, _, _ := strings.Cut(x, " ")
		m[id] = true
	}
	return m
}

// Postgres refuses a lot that could not be unpacked, whoever writes it.
func TestALotIsWhole(t *testing.T) {
	t.Parallel()
	pool, _ := open(t)
	const whole = `insert into owed (at, keys, tos, langs, bodies, priorities, expires) values (now(), '{k}', '{t}', '{l}', '{b}', '{1}', null)`
	exec := func(query string) error {
		return pool.InTx(t.Context(), func(tx *db.Tx) error {
			_, err := tx.Exec(t.Context(), query)
			return err
		})
	}
	if err := exec(whole); err != nil {
		t.Fatal(err)
	}
	for _, spoil := range [][2]string{
		{"{k}", "{}"}, {"{k}", "{k,k}"}, {"{t}", "{}"}, {"{t}", "{t,t}"}, {"{l}", "{}"}, {"{b}", "{}"}, {"{b}", "{b,b}"},
		{"{1}", "{}"}, {"{1}", "{1,1}"}, {"{1}", "{3}"}, {"{1}", "{-1}"}, {"null", "'{}'"}, {"null", "'{infinity,infinity}'"},
	} {
		if err := exec(strings.Replace(whole, spoil[0], spoil[1], 1)); !db.Violates(err, "lot_") {
			t.Errorf("%s instead of %s: %v", spoil[1], spoil[0], err)
		}
	}
	if err := exec(`update owed set bodies = '{x}'`); err == nil {
		t.Error("what is owed can be changed")
	}
}

// Whoever dies while unpacking leaves everything as it was, and the next one
// need not wait.
func TestUnpackThatDies(t *testing.T) {
	t.Parallel()
	pool, _ := open(t)
	write(t, pool, outbox.Notice{Key: "1", To: asha, Body: "x"}, outbox.Notice{Key: "2", To: asha, Body: "x"})
	write(t, pool, outbox.Notice{Key: "3", To: baraka, Body: "x"})
	before := ids(t, pool)
	died := errors.New("died")
	err := pool.InTx(t.Context(), func(tx *db.Tx) error {
		if n, err := outbox.Unpack(t.Context(), tx); n != 3 || err != nil {
			t.Errorf("%d unpacked, %v", n, err)
		}
		return died
	})
	if !errors.Is(err, died) {
		t.Fatal(err)
	}
	if owed, unpacked := count(t, pool, `select count(*) from owed`), count(t, pool, `select count(*) from notice`); owed != 2 || unpacked != 0 {
		t.Errorf("%d lots and %d notices", owed, unpacked)
	}
	if diff := cmp.Diff(before, ids(t, pool)); diff != "" {
		t.Error(diff)
	}
	want(t, lease(t, pool, 9, "r"), "1", "3")
	if diff := cmp.Diff(before, ids(t, pool)); diff != "" {
		t.Error(diff)
	}
}

// While one relay unpacks, another neither waits nor unpacks: it leases what is
// there. What is committed after the first has looked is left for the next turn.
func TestUnpackersTakeTurns(t *testing.T) {
	t.Parallel()
	pool, _ := open(t)
	writeOnce(t, pool, outbox.Notice{Key: "there", To: asha, Body: "x"})
	write(t, pool, outbox.Notice{Key: "first", To: baraka, Body: "x", Priority: 1})
	err := pool.InTx(t.Context(), func(tx *db.Tx) error {
		if n, err := outbox.Unpack(t.Context(), tx); n != 1 || err != nil {
			t.Errorf("%d unpacked, %v", n, err)
		}
		write(t, pool, outbox.Notice{Key: "second", To: baraka, Body: "x", Priority: 1})
		if n := unpack(t, pool); n != 0 {
			t.Errorf("%d unpacked out of turn", n)
		}
		want(t, lease(t, pool, 9, "r"), "there")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	due := lease(t, pool, 9, "r")
	want(t, due, "first")
	if err := done(t, pool, due[0], "g", ""); err != nil {
		t.Fatal(err)
	}
	want(t, lease(t, pool, 9, "r"), "second")
}

// Lots are committed, unpacked and leased by many at once: each notice comes out
// once, and each phone's in the order in which they were owed.
func TestConcurrentUnpacking(t *testing.T) {
	t.Parallel()
	pool, _ := open(t)
	const phones, lots, each = 6, 25, 4
	var writers sync.WaitGroup
	for p := range phones {
		writers.Go(func() { // as the lock on an account has it: one lot of a phone after the other
			to := phone.Number(fmt.Sprintf("+2547120000%02d", p))
			for l := range lots {
				var notices []outbox.Notice
				for i := range each {
					notices = append(notices, outbox.Notice{Key: fmt.Sprintf("%d:%03d", p, l*each+i), To: to, Body: "x", Priority: 1})
				}
				write(t, pool, notices...)
			}
		})
	}
	var left atomic.Int64
	left.Store(phones * lots * each)
	var mu sync.Mutex
	taken := map[string][]string{}
	var relays sync.WaitGroup
	for w := range 4 {
		relays.Go(func() {
			for deadline := time.Now().Add(time.Minute); left.Load() > 0 && time.Now().Before(deadline); {
				due, _, err := outbox.Lease(t.Context(), pool, 3, time.Minute, fmt.Sprint("relay", w), nil)
				if err != nil {
					t.Error(err)
					return
				}
				for _, d := range due {
					mu.Lock()
					p, _, _ := strings.Cut(d.Key, ":")
					taken[p] = append(taken[p], d.Key)
					mu.Unlock()
					left.Add(-1)
					if err := done(t, pool, d, "g", ""); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	writers.Wait()
	relays.Wait()
	for p := range phones {
		var wanted []string
		for i := range lots * each {
			wanted = append(wanted, fmt.Sprintf("%d:%03d", p, i))
		}
		if diff := cmp.Diff(wanted, taken[fmt.Sprint(p)]); diff != "" {
			t.Errorf("phone %d: %s", p, diff)
		}
	}
	if n := count(t, pool, `select count(*) from every_notice where status <> 'sent'`); n != 0 {
		t.Errorf("%d are not sent", n)
	}
}

// A code does not wait until all that is owed is unpacked, and nothing is left
// packed for ever because what was unpacked first is not due.
func TestALeaseUnpacksABoundedPart(t *testing.T) {
	t.Parallel()
	pool, c := open(t)
	held := outbox.Notice{Key: "held", To: asha, Body: "x", Priority: outbox.Receipt}
	write(t, pool, held)
	if err := retry(t, pool, lease(t, pool, 1, "r")[0], c.now().Add(time.Hour), "g", "x", 0); err != nil {
		t.Fatal(err)
	}
	var behind []outbox.Notice // all wait behind the first
	for i := range 3000 {
		behind = append(behind, outbox.Notice{Key: fmt.Sprint(i), To: asha, Body: "x", Priority: outbox.Receipt})
	}
	for range 5 {
		write(t, pool, behind...)
	}
	writeOnce(t, pool, outbox.Notice{Key: "code", To: baraka, Body: "x", Priority: outbox.Code})
	want(t, lease(t, pool, 1, "r"), "code")
	if n := count(t, pool, `select count(*) from owed`); n != 3 {
		t.Errorf("%d lots are left after the code, want 3 of 5", n)
	}
	write(t, pool, outbox.Notice{Key: "newest", To: "+254712000003", Body: "x", Priority: outbox.Receipt})
	want(t, lease(t, pool, 1, "r"), "newest")
	if n := count(t, pool, `select count(*) from owed`); n != 0 {
		t.Errorf("%d lots are left", n)
	}
}
