package accounts

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tuma/internal/db"
	"tuma/internal/db/dbtest"
)

func TestCheckPIN(t *testing.T) {
	t.Parallel()
	p := &PINs{}
	own := []string{"+254712903581", "29736148", "AB60427"}
	for pin, want := range map[string]string{
		"4826": "", "2580": "", "1357": "", "1929": "", "2030": "", "9021": "", "0192": "", "7291": "",
		"": "bad_pin", "123": "bad_pin", "48261": "bad_pin", "482a": "bad_pin", " 826": "bad_pin", "４８２６": "bad_pin", "٤٨٢٦": "bad_pin", "-826": "bad_pin", "48 6": "bad_pin",
		"0000": "weak_pin", "7777": "weak_pin", // repeats
		"1122": "weak_pin", "9900": "weak_pin", // pairs
		"1212": "weak_pin", "4848": "weak_pin",
		"1234": "weak_pin", "6789": "weak_pin", "7890": "weak_pin", "8901": "weak_pin", // runs
		"4321": "weak_pin", "0987": "weak_pin", "1098": "weak_pin",
		"1930": "weak_pin", "1987": "weak_pin", "2004": "weak_pin", "2029": "weak_pin", // births
		"2547": "weak_pin", "9035": "weak_pin", "3581": "weak_pin", // the phone number
		"2973": "weak_pin", "6148": "weak_pin", "6042": "weak_pin", "0427": "weak_pin", // documents
	} {
		err := p.Check(pin, own...)
		if want == "" && err != nil || want != "" && !Refused(err, want) {
			t.Errorf("%q: %v, want %q", pin, err, want)
		}
	}
}

func TestVerifyPIN(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, p := t.Context(), w.PINs()
	asha := w.customer("+254712000001", "Asha Juma", 0)
	if asha.PINState != PINReady {
		t.Errorf("state %d", asha.PINState)
	}
	w.must(p.Verify(ctx, asha.PIN, "4826"))
	for range 3 { // a right one in between gives all tries back
		w.refused(p.Verify(ctx, asha.PIN, "1111"), "wrong_pin (left=2)")
		w.refused(p.Verify(ctx, asha.PIN, "48260"), "wrong_pin (left=1)")
		w.must(p.Verify(ctx, asha.PIN, "4826"))
	}
	w.refused(p.Verify(ctx, asha.PIN, ""), "wrong_pin (left=2)")
	w.refused(p.Verify(ctx, asha.PIN, "4827"), "wrong_pin (left=1)")
	w.refused(p.Verify(ctx, asha.PIN, "4828"), "pin_locked")
	w.refused(p.Verify(ctx, asha.PIN, "4826"), "pin_locked") // the right one is too late
	w.refused(p.Verify(ctx, asha.PIN, "4826"), "pin_locked")
	if asha = w.again(asha); asha.PINState != PINLocked {
		t.Errorf("state %d", asha.PINState)
	}
	if s, err := p.State(ctx, asha.PIN); err != nil || s != PINLocked {
		t.Errorf("state %d, %v", s, err)
	}
	if err := p.Verify(ctx, 4711, "4826"); err == nil || Refused(err, "pin_locked") || Refused(err, "pin_unset") {
		t.Errorf("a PIN that is not there: %v", err)
	}
}

// Every try is counted before it is told: no number of callers at once, in two
// processes, hears of more than three wrong ones.
func TestConcurrentGuesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.process(w.pool)
	for _, c := range []struct {
		name    string
		guesses int
		right   int // at which place the right PIN is tried; -1: never
	}{{"wrong ones alone", 200, -1}, {"the right one among them", 60, 30}} {
		asha := w.customer(fmt.Sprintf("+2547120000%02d", c.guesses%97), "Asha Juma", 0)
		var compared, locked, right atomic.Int64
		var all sync.WaitGroup
		start := make(chan struct{})
		for i := range c.guesses {
			all.Go(func() {
				<-start
				pin := fmt.Sprintf("%04d", 5000+i)
				if i == c.right {
					pin = "4826"
				}
				pins := w.PINs()
				if i%2 == 1 {
					pins = other.PINs()
				}
				err := pins.Verify(t.Context(), asha.PIN, pin)
				switch {
				case err == nil:
					right.Add(1)
				case Refused(err, "wrong_pin"):
					compared.Add(1)
				case Refused(err, "pin_locked"):
					locked.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		close(start)
		all.Wait()
		// The third wrong one is compared as well and answered with pin_locked.
		if n := compared.Load(); c.right < 0 && (n != 2 || right.Load() != 0) || n > 4 {
			t.Errorf("%s: %d wrong_pin, %d right, %d locked", c.name, n, right.Load(), locked.Load())
		}
		// With the right PIN among the first three, the guesses after it get three
		// more tries, as after any right PIN; beyond the budget it opens nothing.
		if right.Load() == 0 {
			w.refused(w.PINs().Verify(t.Context(), asha.PIN, "4826"), "pin_locked")
		}
	}
	// Beyond the budget, at once and alone.
	asha := w.customer("+254712000999", "Asha Juma", 0)
	for i := range 3 {
		if w.PINs().Verify(t.Context(), asha.PIN, fmt.Sprint(5000+i)) == nil {
			t.Error("a wrong PIN is right")
		}
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := w.PINs().Verify(t.Context(), asha.PIN, "4826"); !Refused(err, "pin_locked") {
				t.Errorf("beyond the budget: %v", err)
			}
		})
	}
	all.Wait()
}

// Right PINs at once, in two processes, cost no try, however few are left: a
// button pressed often, or two ways in at the same time, lock nobody out.
func TestConcurrentRightPINs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.process(w.pool)
	asha := w.customer("+254712000001", "Asha Juma", 0)
	for range 2 {
		w.refused(w.PINs().Verify(t.Context(), asha.PIN, "5555"), "wrong_pin (left=2)")
		w.refused(w.PINs().Verify(t.Context(), asha.PIN, "5556"), "wrong_pin (left=1)")
		var all sync.WaitGroup
		start := make(chan struct{})
		for i := range 40 {
			pins := []*PINs{w.PINs(), other.PINs()}[i%2]
			all.Go(func() {
				<-start
				if err := pins.Verify(t.Context(), asha.PIN, "4826"); err != nil {
					t.Errorf("the right PIN: %v", err)
				}
			})
		}
		close(start)
		all.Wait()
	}
}

// waiting verifies a PIN that somebody else's transaction holds, and returns when
// it waits for that.
func (w *world) waiting(pins *PINs, id PINID, pin string) <-chan error {
	w.t.Helper()
	verdict := make(chan error, 1)
	go func() { verdict <- pins.Verify(w.t.Context(), id, pin) }()
	eventually(w.t, "the try waits for its turn", func() (waits bool) {
		w.must(w.pool.Get(w.t.Context(), &waits, `
select exists (select from pg_locks where not granted and pid in (select pid from pg_stat_activity where datname = current_database()))`))
		return waits
	})
	return verdict
}

// A try waits for the one before it, and sees what that has left behind: nothing
// when it was cut off before its commit.
func TestTriesTakeTurns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asha := w.customer("+254712000001", "Asha Juma", 0)
	cutOff := errors.New("cut off")
	for _, c := range []struct {
		name string
		left error
		pin  string
		want string // the refusal of the try that waited, "" for none
	}{
		{"cut off, then right", cutOff, "4826", ""},
		{"cut off, then wrong", cutOff, "5555", "wrong_pin (left=2)"},
		{"wrong, then right", nil, "4826", ""},
		{"wrong, then wrong", nil, "5555", "wrong_pin (left=1)"},
		{"the third wrong one, then right", nil, "4826", "pin_locked"},
	} {
		var verdict <-chan error
		err := w.pool.InTx(t.Context(), func(tx *db.Tx) error {
			said, _, err := w.PINs().try(t.Context(), tx, asha.PIN, "6666")
			if err != nil || !Refused(said, "wrong_pin") && !Refused(said, "pin_locked") {
				t.Errorf("%s: %v, %v", c.name, said, err)
			}
			verdict = w.waiting(w.PINs(), asha.PIN, c.pin)
			return c.left
		})
		if !errors.Is(err, c.left) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := <-verdict; c.want != "" {
			w.refused(err, c.want)
		} else if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if strings.HasPrefix(c.name, "cut off, then wrong") {
			w.must(w.PINs().Verify(t.Context(), asha.PIN, "4826"))
		}
	}
}

// Whoever can make the commit fail, and so the counter stand still, is told
// nothing: right and wrong ones fail alike.
func TestNoVerdictWithoutACommit(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	dba, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dba.Close() })
	w := &world{t: t, clock: &clock{at: time.Date(2026, 11, 22, 9, 15, 0, 0, nairobi)}}
	pool, err := db.Open(t.Context(), db.Options{URL: url, Now: w.clock.now})
	w.must(err)
	t.Cleanup(func() { pool.Close() })
	w.Service = w.process(pool)
	next := w.process(pool, func(c *Config) { c.Keys.Active, c.Keys.ByID["k2"] = "k2", []byte("another key of 16 bytes") })
	asha := w.customer("+254712000001", "Asha Juma", 0)
	for _, code := range []string{"57P01", "53100"} { // the server ends, the disk is full
		_, err = dba.Exec(fmt.Sprintf(`
create or replace function no_commit() returns trigger language plpgsql as $$ begin raise exception using errcode = '%s'; end $$;
create constraint trigger no_commit after update on pin deferrable initially deferred for each row execute function no_commit()`, code))
		w.must(err)
		said := map[string]bool{}
		for i := range 12 {
			pins := []*PINs{w.PINs(), next.PINs()}[i%2]
			err := pins.Verify(t.Context(), asha.PIN, []string{"4826", "4826", "5555", "5555"}[i%4])
			if _, verdict := errors.AsType[Refusal](err); err == nil || verdict {
				t.Errorf("%s: a verdict without a commit: %v", code, err)
			}
			said[fmt.Sprint(err)] = true
		}
		if len(said) != 1 {
			t.Errorf("%s: told apart: %v", code, said)
		}
		_, err = dba.Exec(`drop trigger no_commit on pin`)
		w.must(err)
	}
	w.refused(w.PINs().Verify(t.Context(), asha.PIN, "5555"), "wrong_pin (left=2)") // the first that was told
	w.must(next.PINs().Verify(t.Context(), asha.PIN, "4826"))
}

func (w *world) lock(id PINID) {
	w.t.Helper()
	for range 3 {
		if w.PINs().Verify(w.t.Context(), id, "5555") == nil {
			w.t.Fatal("a wrong PIN is right")
		}
	}
}

func TestUnlockPIN(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, p := t.Context(), w.PINs()
	asha := w.customer("+254712000001", "Asha Juma", 0)
	id := asha.IDNumber
	w.lock(asha.PIN)
	w.refused(p.Unlock(ctx, asha.PIN, "99999999", id), "wrong_id (left=2)")
	w.refused(p.Verify(ctx, asha.PIN, "4826"), "pin_locked")
	w.must(p.Unlock(ctx, asha.PIN, " "+strings.ToLower(id)+" ", id))
	w.must(p.Verify(ctx, asha.PIN, "4826")) // the PIN is the same
	w.lock(asha.PIN)
	w.must(p.Unlock(ctx, asha.PIN, id, id)) // the third answer
	w.lock(asha.PIN)
	w.refused(p.Unlock(ctx, asha.PIN, id, id), "unlock_used")
	w.refused(p.Verify(ctx, asha.PIN, "4826"), "pin_locked")
	w.clock.pass(24*time.Hour - time.Second)
	w.refused(p.Unlock(ctx, asha.PIN, id, id), "unlock_used")
	w.clock.pass(time.Second) // the window began with the first answer
	w.must(p.Unlock(ctx, asha.PIN, id, id))
	w.must(p.Verify(ctx, asha.PIN, "4826"))

	baraka := w.customer("+254712000002", "Baraka Otieno", 0)
	w.lock(baraka.PIN)
	w.refused(p.Unlock(ctx, baraka.PIN, "", baraka.IDNumber), "wrong_id (left=2)")
	w.refused(p.Unlock(ctx, baraka.PIN, id, baraka.IDNumber), "wrong_id (left=1)")
	w.refused(p.Unlock(ctx, baraka.PIN, "x", baraka.IDNumber), "unlock_used")
	w.refused(p.Unlock(ctx, baraka.PIN, baraka.IDNumber, baraka.IDNumber), "unlock_used")

	// Many answers at once: three are heard.
	chausiku := w.customer("+254712000003", "Chausiku Mwangi", 0)
	var heard atomic.Int64
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			if err := p.Unlock(ctx, chausiku.PIN, fmt.Sprint(i), chausiku.IDNumber); Refused(err, "wrong_id") {
				heard.Add(1)
			} else if !Refused(err, "unlock_used") {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if heard.Load() != 2 { // the third wrong one is answered with unlock_used
		t.Errorf("%d answers were heard", heard.Load())
	}
}

func TestResetAndActivatePIN(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, p := t.Context(), w.PINs()
	asha := w.customer("+254712000001", "Asha Juma", 0)
	id := asha.IDNumber
	sealed, err := p.Seal("7391")
	w.must(err)
	w.refused(p.Activate(ctx, asha.PIN, id, id, sealed), "pin_set")
	w.lock(asha.PIN)
	w.refused(p.Activate(ctx, asha.PIN, id, id, sealed), "pin_set")
	w.must(p.Reset(ctx, asha.PIN))
	if asha = w.again(asha); asha.PINState != PINUnset {
		t.Errorf("state %d", asha.PINState)
	}
	w.refused(p.Verify(ctx, asha.PIN, "4826"), "pin_unset")
	w.refused(p.Verify(ctx, asha.PIN, ""), "pin_unset")
	w.refused(p.Activate(ctx, asha.PIN, "1", id, sealed), "wrong_id (left=2)")
	w.must(p.Activate(ctx, asha.PIN, id, id, sealed))
	w.refused(p.Verify(ctx, asha.PIN, "4826"), "wrong_pin (left=2)")
	w.must(p.Verify(ctx, asha.PIN, "7391"))
	if asha = w.again(asha); asha.PINState != PINReady {
		t.Errorf("state %d", asha.PINState)
	}
	w.must(p.Reset(ctx, asha.PIN)) // gives the answers back as well
	for _, want := range []string{"wrong_id (left=2)", "wrong_id (left=1)", "unlock_used", "unlock_used"} {
		w.refused(p.Activate(ctx, asha.PIN, "1", id, sealed), want)
	}
	w.refused(p.Activate(ctx, asha.PIN, id, id, sealed), "unlock_used")
	for _, err := range []error{p.Reset(ctx, 4711), p.Activate(ctx, asha.PIN, id, id, "x.y"), p.Activate(ctx, asha.PIN, id, id, "k9.AAAA.AAAA")} {
		if err == nil {
			t.Error("no error")
		}
	}
}

func TestChangePIN(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asha := w.customer("+254712000001", "Asha Juma", 0)
	sealed, err := w.PINs().Seal("7391")
	w.must(err)
	if !w.PINs().Matches(sealed, "7391") || w.PINs().Matches(sealed, "7392") || w.PINs().Matches("nonsense", "7391") || strings.Contains(string(sealed), "7391") {
		t.Errorf("sealed as %s", sealed)
	}
	w.must(w.ChangePIN(t.Context(), asha, sealed))
	w.refused(w.PINs().Verify(t.Context(), asha.PIN, "4826"), "wrong_pin (left=2)")
	w.must(w.PINs().Verify(t.Context(), asha.PIN, "7391"))
	if got := w.last(asha.Phone); got != "Your Tuma PIN was changed on 22/11/26 at 9:15 AM. If it was not you, call 0800 721 000 at once." {
		t.Error(got)
	}
	if err := w.ChangePIN(t.Context(), Customer{PIN: 4711, Phone: asha.Phone, Lang: "en"}, sealed); err == nil {
		t.Error("a PIN that is not there was changed")
	}
	for _, bad := range []SealedPIN{"", "k1", "k1.!.!", "k9.AAAA.AAAA"} {
		if err := w.ChangePIN(t.Context(), asha, bad); err == nil {
			t.Errorf("changed to %q", bad)
		}
	}
	w.must(w.PINs().Verify(t.Context(), asha.PIN, "7391"))
}

func TestTellPINLocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asha := w.customer("+254712000001", "Asha Juma", 0)
	before := len(w.texts(asha.Phone))
	for range 3 {
		w.must(w.TellPINLocked(t.Context(), asha.PIN, asha.Phone, "sw"))
	}
	w.clock.pass(24 * time.Hour)
	w.must(w.TellPINLocked(t.Context(), asha.PIN, asha.Phone, "en"))
	told := w.texts(asha.Phone)[before:]
	if len(told) != 2 || !strings.HasPrefix(told[0], "PIN yako ya Tuma imefungwa") ||
		told[1] != "Your Tuma PIN is locked after 3 wrong tries. Dial *334# to unlock it with your ID number. If it was not you, call 0800 721 000." {
		t.Errorf("told %q", told)
	}
}

func TestPINKeysRotate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asha, baraka := w.customer("+254712000001", "Asha Juma", 0), w.customer("+254712000002", "Baraka Otieno", 0)
	keyOf := func(id PINID) (key string) {
		w.must(w.pool.Get(t.Context(), &key, `select key_id from pin where id = $1`, int64(id)))
		return key
	}
	changed := func(id PINID) (at time.Time) {
		w.must(w.pool.Get(t.Context(), &at, `select changed_at from pin where id = $1`, int64(id)))
		return at
	}
	next := w.process(w.pool, func(c *Config) { c.Keys.Active, c.Keys.ByID["k2"] = "k2", []byte("another key of 16 bytes") })
	was := changed(asha.PIN)
	w.clock.pass(time.Hour)
	w.refused(next.PINs().Verify(t.Context(), asha.PIN, "5555"), "wrong_pin (left=2)")
	if keyOf(asha.PIN) != "k1" {
		t.Error("a wrong PIN was sealed anew")
	}
	w.must(next.PINs().Verify(t.Context(), asha.PIN, "4826"))
	if keyOf(asha.PIN) != "k2" || !changed(asha.PIN).Equal(was) {
		t.Errorf("key %s, changed %s", keyOf(asha.PIN), changed(asha.PIN))
	}
	w.must(next.PINs().Verify(t.Context(), asha.PIN, "4826"))
	w.refused(next.PINs().Verify(t.Context(), asha.PIN, "5555"), "wrong_pin (left=2)")
	if err := w.PINs().Verify(t.Context(), asha.PIN, "4826"); err == nil || !strings.Contains(err.Error(), `"k2", which is not configured`) {
		t.Errorf("a process without the new key: %v", err)
	}
	// Whoever changes the PIN first wins: the old one is wrong by then, and no new
	// seal brings it back.
	var verdict <-chan error
	sealed, err := next.PINs().Seal("7391")
	w.must(err)
	w.must(w.pool.InTx(t.Context(), func(tx *db.Tx) error {
		if err := next.PINs().setIn(t.Context(), tx, baraka.PIN, sealed); err != nil {
			return err
		}
		verdict = w.waiting(next.PINs(), baraka.PIN, "4826")
		return nil
	}))
	w.refused(<-verdict, "wrong_pin (left=2)")
	w.must(next.PINs().Verify(t.Context(), baraka.PIN, "7391"))
}

// A row copied over another, by whoever can write to the table, opens nothing.
func TestPINRowsAreBoundToTheirOwners(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asha, thief := w.customer("+254712000001", "Asha Juma", 0), w.customer("+254712000002", "Baraka Otieno", 0)
	sealed, err := w.PINs().Seal("7391")
	w.must(err)
	w.must(w.ChangePIN(t.Context(), thief, sealed))
	w.sql(`update pin a set key_id = b.key_id, salt = b.salt, mac = b.mac from pin b where a.id = $1 and b.id = $2`, int64(asha.PIN), int64(thief.PIN))
	w.must(w.PINs().Verify(t.Context(), thief.PIN, "7391"))
	w.refused(w.PINs().Verify(t.Context(), asha.PIN, "7391"), "wrong_pin (left=2)")
}
