package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/internal/db"
)

// rehearseCommand practises what operators hope not to need, on servers of its
// own, with callers who keep an account of what they were told.
type rehearseCommand struct {
	Restore  rehearseRestore  `cmd:"" help:"Lose the database under load, restore it from a backup and its archived log to an instant, and compare it with what callers know."`
	Failover rehearseFailover `cmd:"" help:"Lose the primary under load, promote the synchronous standby, and compare it with what callers know."`
	Upgrade  rehearseUpgrade  `cmd:"" help:"Replace the program by its next version under load, and compare it with what people know."`
	Stage    rehearseStage    `cmd:"" hidden:"" help:"Set up tills for a rehearsal."`
}

// rehearsing says how much goes on meanwhile.
type rehearsing struct {
	Seconds float64 `default:"10" help:"How long callers call before the loss, and again after it."`
	Rate    int     `default:"300" help:"Entries a second at most."`
	Callers int     `default:"16" help:"Callers at once."`
	Wallets int     `default:"200" help:"Wallets between which they pay."`
	Seed    uint64  `help:"Of the payments; 0 is a fresh one. It is printed."`
}

// rehearsal is one of them under way: a torture without its faults.
type rehearsal struct {
	*torture
	began   time.Time
	life    context.Context // of posters
	end     context.CancelFunc
	calls   context.Context // of callers
	hush    context.CancelFunc
	posters sync.WaitGroup
	busy    sync.WaitGroup
	resting sync.Once
}

func (r rehearsing) open(ctx context.Context, settings map[string]string, folders ...string) (*rehearsal, error) {
	t, err := newTorture(&tortureBook{Seed: r.Seed, Posters: 2, Callers: r.Callers, Wallets: r.Wallets, Rate: r.Rate})
	if err != nil {
		return nil, err
	}
	for _, f := range folders { // the server writes there, whoever it runs as
		path := filepath.Join(t.dir, f)
		if err := errors.Join(os.Mkdir(path, 0o777), os.Chmod(path, 0o777)); err != nil {
			return nil, errors.Join(err, t.tidy())
		}
	}
	for k, v := range settings {
		settings[k] = os.Expand(v, func(string) string { return t.dir })
	}
	if err := t.stage(ctx, settings); err != nil {
		return nil, errors.Join(err, t.tidy())
	}
	x := &rehearsal{torture: t, began: time.Now()}
	x.life, x.end = context.WithCancel(ctx)
	x.calls, x.hush = context.WithCancel(x.life)
	x.say("a primary runs, with %d wallets", r.Wallets)
	return x, nil
}

// say is a line of the rehearsal's account.
func (x *rehearsal) say(format string, args ...any) {
	fmt.Printf("%6.2f s  %s\n", time.Since(x.began).Seconds(), fmt.Sprintf(format, args...))
}

// begin has posters started, wallets filled and callers call.
func (x *rehearsal) begin() error {
	if err := x.cast(x.life, &x.posters); err != nil {
		return err
	}
	x.fill(x.calls)
	for i := range x.Callers {
		x.busy.Go(func() { x.call(x.calls, uint64(i)) })
	}
	return nil
}

// rest has the callers finish what is under way.
func (x *rehearsal) rest() {
	x.resting.Do(func() { close(x.finished) })
	x.busy.Wait()
}

// close ends everything; what was found is the verdict.
func (x *rehearsal) close(err error) error {
	x.hush()
	x.rest()
	x.end()
	x.posters.Wait()
	err = errors.Join(err, x.leave())
	for _, f := range x.list {
		fmt.Println("FOUND", f)
	}
	if err == nil && x.any() {
		err = fmt.Errorf("%d findings, first: %s (seed %d)", x.count, x.list[0], x.Seed)
	}
	return errors.Join(err, x.tidy())
}

// acknowledged counts what callers were told stands.
func (x *rehearsal) acknowledged() int { return x.record.summary().Acknowledged }

// audited runs the book's whole audit, and one since a seal.
func (x *rehearsal) audited(ctx context.Context, pool *db.Pool, since *ledger.Heads) error {
	whole, err1 := ledger.Audit(ctx, pool, ledger.AuditOptions{})
	owed, err2 := accounts.Audit(ctx, pool)
	fresh, err3 := ledger.Audit(ctx, pool, ledger.AuditOptions{Since: since})
	for _, b := range slices.Concat(whole.Breaks, owed, fresh.Breaks) {
		x.found("audit: %s: %s", b.Check, b.What)
	}
	return errors.Join(err1, err2, err3)
}

// wait sleeps, unless the rehearsal is interrupted.
func wait(ctx context.Context, seconds float64) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Duration(seconds * float64(time.Second))):
		return nil
	}
}

// waitFor asks until something is so, for half a minute at most.
func waitFor(ctx context.Context, what string, is func() (bool, error)) error {
	var last error
	for until := time.Now().Add(30 * time.Second); time.Now().Before(until); {
		ok, err := is()
		if ok {
			return nil
		}
		last = err
		if err := wait(ctx, 0.03); err != nil {
			return err
		}
	}
	return errors.Join(fmt.Errorf("%s: not within half a minute", what), last)
}
