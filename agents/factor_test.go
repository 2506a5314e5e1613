package agents

import (
	"encoding/base32"
	"errors"
	"testing"
	"time"

	"tuma/accounts"
)

// RFC 6238, appendix B, its codes cut to six digits.
func TestCodesAreThoseOfTheRFC(t *testing.T) {
	t.Parallel()
	secret := base32.StdEncoding.EncodeToString([]byte("12345678901234567890"))
	for at, want := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"} {
		if got, err := CodeAt(secret, time.Unix(at, 0)); err != nil || got != want {
			t.Errorf("at %d: %s %v, want %s", at, got, err, want)
		}
	}
}

// A code is good a step early or late, once, and opens for its owner alone.
func TestOneTimeCodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	if err := w.CheckCode(ctx, "mary", "000000"); !errors.Is(err, ErrNoFactor) {
		t.Errorf("%v", err)
	}
	f, err := w.SetUpFactor(ctx, "mary")
	w.must(err)
	if again, err := w.SetUpFactor(ctx, "mary"); err != nil || again != f {
		t.Errorf("%v %v", again, err)
	}
	try := func(early time.Duration, want error) {
		t.Helper()
		code, err := CodeAt(f.Secret, w.clock.now().Add(early))
		w.must(err)
		if err := w.CheckCode(ctx, "mary", code); !errors.Is(err, want) {
			t.Errorf("%v early: %v, want %v", early, err, want)
		}
	}
	const step = 30 * time.Second
	try(-2*step, ErrWrongCode)
	try(2*step, ErrWrongCode)
	try(-step, nil)
	try(-step, ErrWrongCode)
	try(step, nil)
	try(0, ErrWrongCode) // one later has been used
	if _, err := w.SetUpFactor(ctx, "mary"); !errors.Is(err, ErrExists) {
		t.Errorf("a secret is shown again: %v", err)
	}
	// The same code in two hands at once opens once.
	w.clock.pass(5 * time.Minute)
	code, err := CodeAt(f.Secret, w.clock.now())
	w.must(err)
	other := w.process(w.pool)
	won := make(chan error)
	for i := range 8 {
		go func() { won <- []*Service{w.Service, other}[i%2].CheckCode(ctx, "mary", code) }()
	}
	right := 0
	for range 8 {
		if err := <-won; err == nil {
			right++
		}
	}
	if right != 1 {
		t.Errorf("a code opened %d times", right)
	}

	// Another key: the old secret still opens, and is sealed anew. Without the old
	// key nothing does.
	k2 := []byte("another key of sixteen bytes")
	both := w.process(w.pool, func(c *accounts.Config) {
		c.Keys = accounts.Keys{Active: "k2", ByID: map[string][]byte{"k1": c.Keys.ByID["k1"], "k2": k2}}
	})
	alone := w.process(w.pool, func(c *accounts.Config) {
		c.Keys = accounts.Keys{Active: "k2", ByID: map[string][]byte{"k2": k2}}
	})
	next := func(s *Service) error {
		w.clock.pass(step)
		code, err := CodeAt(f.Secret, w.clock.now())
		w.must(err)
		return s.CheckCode(ctx, "mary", code)
	}
	if next(alone) == nil {
		t.Error("opened without its key")
	}
	w.must(next(both))
	w.must(next(alone))
	// What is mary's does not open for charles.
	w.sql(`insert into staff_factor (staff, secret, created_at) select 'charles', secret, created_at from staff_factor`)
	w.clock.pass(step)
	code, err = CodeAt(f.Secret, w.clock.now())
	w.must(err)
	if alone.CheckCode(ctx, "charles", code) == nil {
		t.Error("a secret opens for somebody else")
	}
}
