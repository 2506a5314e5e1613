package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/internal/db"
)

type tortureCommand struct {
	Book   tortureBook   `cmd:"" help:"Kill and cut everything around the book while it posts; exit status 1 names whatever was lost, doubled or changed."`
	Poster torturePoster `cmd:"" hidden:""`
	Serve  tortureServe  `cmd:"" hidden:""`
}

// tortureBook runs a PostgreSQL and two posters of its own, kills them and cuts
// their connections, and compares what the callers were told with the book.
type tortureBook struct {
	Minutes float64       `default:"1" help:"How long."`
	Seed    uint64        `help:"Of payments and faults; 0 is a fresh one. It is printed."`
	Callers int           `default:"32" help:"Callers at once."`
	Wallets int           `default:"300" help:"Few, so that callers meet."`
	Rate    int           `default:"1000" help:"Entries a second at most: the history is kept in memory."`
	Cuts    float64       `default:"0" help:"Connections cut at COMMIT in a second, beside the other faults: as many as find a COMMIT that passes."`
	Harm    time.Duration `default:"100ms" help:"Between two of the other faults, on the average."`
	Posters int           `default:"2" help:"Processes that post into the one book."`
	Every   time.Duration `default:"15s" help:"Time between full checks, which the callers wait for."`
	Keep    string        `placeholder:"DIR" help:"Keep the callers' history there; otherwise only when something was found."`
	JSON    bool          `help:"End with one JSON object."`
	Plant   string        `hidden:"" enum:",lost-update,doubled-retry,half-entry,async-commit" default:""`
}

// torture is one run.
type torture struct {
	*tortureBook
	dir     string
	dice    func(stream uint64) *mathrand.Rand
	key     []byte // of the receipts
	server  *mortal
	cutter  *cutter
	victims []*victim
	ground  ground
	record  record
	faults  tally
	findings
	calling  sync.RWMutex // held for reading while an entry is under way, for writing during a check
	harming  sync.Mutex   // held while a fault is done, and during a check
	asked    atomic.Int64
	checks   int
	planted  bool
	killedAt int64         // asked, when a planted kill came
	finished chan struct{} // closed when no more entries are made
	until    *horizon      // of a book that was restored to an instant; nil: the book is whole
}

// ground is what the payments move between.
type ground struct {
	house   accounts.House
	wallets []ledger.AccountID
	earned  []ledger.AccountID
}

// findings is what must not be; many of one kind say no more than a few.
type findings struct {
	mu    sync.Mutex
	list  []string
	count int
	kinds map[string]int // by format
}

const tortureFindings = 10 // of a kind

func (f *findings) found(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kinds == nil {
		f.kinds = map[string]int{}
	}
	f.count++
	if f.kinds[format]++; f.kinds[format] <= tortureFindings {
		f.list = append(f.list, fmt.Sprintf(format, args...))
	}
}

func (f *findings) any() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count > 0
}

// summary is what a run ends with.
type summary struct {
	Seed         uint64           `json:"seed"`
	Seconds      float64          `json:"seconds"`
	Entries      int              `json:"entries"` // distinct Refs
	Tries        int64            `json:"tries"`
	Acknowledged int              `json:"acknowledged"`
	Refused      int              `json:"refused"`
	Failed       int              `json:"failed"`          // told that nothing happened, and not tried again
	Unknown      int64            `json:"unknown_tries"`   // tries that had no answer, or ErrUnknown
	Resolved     int64            `json:"resolved"`        // entries that were unknown to a caller and are settled
	Ambiguous    int64            `json:"healed_in_book"`  // entries whose commit's answer was lost and which the book found by itself
	Again        int64            `json:"repeats"`         // acknowledged entries posted again, all with the first receipt
	Commits      int64            `json:"unknown_commits"` // COMMITs whose sender did not hear what became of them
	Landed       int64            `json:"unknown_landed"`  // those that the server was seen to do
	Open         int              `json:"undecided"`       // entries that nobody can say anything about in the end
	Refusals     map[string]int64 `json:"refusals"`        // by rule, each try
	Faults       map[string]int64 `json:"faults"`          // by kind
	Checks       int              `json:"checks"`          // of everything
	Findings     int              `json:"findings"`        // how many
	First        []string         `json:"first,omitempty"` // the first of them
}

// Run tortures the book.
func (c *tortureBook) Run(ctx context.Context) (err error) {
	debug.SetMemoryLimit(math.MaxInt64) // the history grows
	t, err := newTorture(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.tidy()) }()
	began := time.Now()
	if err := t.torment(ctx); err != nil {
		return err
	}
	s := t.summary(time.Since(began))
	if c.JSON {
		if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
			return err
		}
	} else {
		s.print()
	}
	if s.Findings > 0 {
		return fmt.Errorf("the book did not hold: %d findings, first: %s (seed %d)", s.Findings, s.First[0], c.Seed)
	}
	return nil
}

// newTorture makes a run with a folder of its own, which tidy removes.
func newTorture(c *tortureBook) (*torture, error) {
	if c.Seed == 0 {
		c.Seed = uint64(time.Now().UnixNano())
	}
	fmt.Fprintf(os.Stderr, "seed %d\n", c.Seed)
	t := &torture{tortureBook: c, finished: make(chan struct{}), record: record{deeds: map[string]*deed{}, refusals: map[string]int64{}}}
	t.dice = func(stream uint64) *mathrand.Rand { return mathrand.New(mathrand.NewPCG(c.Seed, stream)) }
	var err error
	if t.dir, err = os.MkdirTemp("/var/tmp", "tuma-torture-"); err != nil {
		return nil, err
	}
	return t, os.Chmod(t.dir, 0o755) // PostgreSQL may run as another user
}

// torment starts everything, tortures it for the given time and ends it.
func (t *torture) torment(ctx context.Context) (err error) {
	settings := map[string]string{"shared_buffers": "128MB"}
	if t.Plant == "async-commit" {
		settings["wal_writer_delay"] = "10s" // so that there is something to lose
	}
	if err := t.stage(ctx, settings); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.leave()) }()
	// The posters outlive ctx: what is under way when the run is interrupted is
	// still settled and checked.
	posting, stop := context.WithCancel(context.WithoutCancel(ctx))
	var posters sync.WaitGroup
	defer func() { stop(); posters.Wait() }()
	posters.Go(func() {
		if err := t.server.keep(posting); err != nil {
			t.found("PostgreSQL did not come back: %v", err)
		}
	})
	if err := t.cast(posting, &posters); err != nil {
		return err
	}
	return t.session(posting, ctx.Done())
}

// stage starts the proxy and the server, and opens the accounts.
func (t *torture) stage(ctx context.Context, settings map[string]string) (err error) {
	late := t.dice(3)
	if t.cutter, err = newCutter(func() time.Duration { return time.Duration(late.Int64N(int64(lateCommit))) }); err != nil {
		return err
	}
	if t.server, err = startMortal(ctx, t.dir, settings, t.cutter); err != nil {
		return errors.Join(err, t.cutter.listener.Close())
	}
	if err := t.server.migrate(ctx); err != nil {
		return errors.Join(err, t.leave())
	}
	t.key = make([]byte, 32)
	rand.Read(t.key)
	if err := t.prepare(ctx, t.key); err != nil {
		return errors.Join(err, t.leave())
	}
	return nil
}

// leave stops what stage has started.
func (t *torture) leave() error { return errors.Join(t.server.stop(), t.cutter.listener.Close()) }

// cast starts the posters, which run until ctx ends.
func (t *torture) cast(ctx context.Context, running *sync.WaitGroup) error {
	for i := range t.Posters {
		v, err := newVictim(t.dir, fmt.Sprint(i), orders{DatabaseURL: t.posterURL(), ReceiptKey: t.key}, t.found)
		if err != nil {
			return err
		}
		t.victims = append(t.victims, v)
		running.Go(func() { v.run(ctx) })
	}
	return nil
}

// session is the time in which callers call and faults happen; it ends with the
// last check.
func (t *torture) session(ctx context.Context, interrupted <-chan struct{}) error {
	t.fill(ctx)
	var busy sync.WaitGroup
	for i := range t.Callers {
		busy.Go(func() { t.call(ctx, uint64(i)) })
	}
	busy.Go(func() { t.harm(ctx) })
	if t.Cuts > 0 {
		busy.Go(t.cut)
	}
	busy.Go(t.progress)
	end := time.NewTimer(time.Duration(t.Minutes * float64(time.Minute)))
	next := time.NewTimer(t.Every)
	var err error
	for over := false; !over && err == nil; {
		select {
		case <-end.C:
			over = true
		case <-interrupted:
			over = true
		case <-next.C:
			began := time.Now()
			err = t.check(ctx)
			over = t.any()
			next.Reset(max(t.Every, 5*time.Since(began))) // a check takes longer as the book grows
		}
	}
	close(t.finished)
	busy.Wait()
	fmt.Fprintln(os.Stderr)
	return errors.Join(err, t.check(ctx))
}

const sqlTortureWallets = `
insert into account (id, kind, currency, floor, ceiling, day_limit)
select nextval('account_id'), 'wallet', $1, 0, $2, nullif($3::bigint, 0) from generate_series(1, $4::bigint) returning id`

// Bounds of the wallets, in cents: payments meet all of them.
const (
	tortureOpening  = 500_00
	tortureCeiling  = 20_000_00
	tortureDayLimit = 5_000_00 // of every tenth
)

// prepare opens the accounts, over a connection that nobody cuts.
func (t *torture) prepare(ctx context.Context, key []byte) (err error) {
	cfg, err := (&bench{databaseURL: t.server.url()}).config()
	if err != nil {
		return err
	}
	cfg.keys.receipt = key
	s, err := cfg.books(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	t.ground.house = s.accounts.House()
	limited := max(1, t.Wallets/10)
	return s.pool.InTx(ctx, func(tx *db.Tx) error {
		t.ground.wallets, t.ground.earned = nil, nil
		for _, some := range []struct{ limit, n int }{{0, t.Wallets - limited}, {tortureDayLimit, limited}} {
			var ids []ledger.AccountID
			if err := tx.Select(ctx, &ids, sqlTortureWallets, "KES", tortureCeiling, some.limit, some.n); err != nil {
				return err
			}
			t.ground.wallets = append(t.ground.wallets, ids...)
		}
		for range 5 {
			id, err := ledger.OpenAccount(ctx, tx, ledger.CommissionEarned, "KES", ledger.Rules{Floor: ledger.Zero()})
			if err != nil {
				return err
			}
			t.ground.earned = append(t.ground.earned, id)
		}
		return nil
	})
}

// progress shows how it goes, a line that writes itself over.
func (t *torture) progress() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	began := time.Now()
	for {
		select {
		case <-t.finished:
			return
		case <-tick.C:
			s := t.summary(time.Since(began))
			var faults int64
			for _, n := range s.Faults {
				faults += n
			}
			fmt.Fprintf(os.Stderr, "\r%5.0f s  %d entries: %d acknowledged, %d refused; %d tries, %d commits unknown; %d faults; %d checks; %d findings   ",
				s.Seconds, s.Entries, s.Acknowledged, s.Refused, s.Unknown, s.Commits, faults, s.Checks, s.Findings)
		}
	}
}

func (t *torture) summary(took time.Duration) summary {
	s := t.record.summary()
	s.Seed, s.Seconds, s.Tries, s.Faults, s.Checks = t.Seed, took.Seconds(), t.asked.Load(), t.faults.counts(), t.checks
	s.Commits, s.Landed, s.Open = t.cutter.unknown(), t.cutter.landed.Load(), len(t.record.undecided())
	for w := range wounds {
		if n := t.cutter.dealt[w].Load(); n > 0 {
			s.Faults[woundNames[w]] = n
		}
	}
	t.findings.mu.Lock()
	defer t.findings.mu.Unlock()
	s.Findings, s.First = t.count, append([]string(nil), t.list...)
	return s
}

func (s summary) print() {
	fmt.Printf("%d entries in %.0f s (%d tries): %d acknowledged, %d refused, %d failed\n", s.Entries, s.Seconds, s.Tries, s.Acknowledged, s.Refused, s.Failed)
	fmt.Printf("unknown: %d tries, %d entries resolved by posting the same Ref again; %d more healed inside the book; %d repeats of what stood\n", s.Unknown, s.Resolved, s.Ambiguous, s.Again)
	fmt.Printf("commits with unknown outcome: %d, of which the server had done %d; entries left undecided: %d\n", s.Commits, s.Landed, s.Open)
	fmt.Printf("faults: %v\nrefusals: %v\nchecks of everything: %d\n", s.Faults, s.Refusals, s.Checks)
	for _, f := range s.First {
		fmt.Println("FOUND", f)
	}
	if s.Findings == 0 {
		fmt.Println("the book held")
	}
}

// tidy removes what the run left, but not the history of a run that found something.
func (t *torture) tidy() error {
	keep := t.Keep
	if keep == "" && t.any() && t.Plant == "" {
		keep = strings.TrimSuffix(t.dir, "/") + "-history"
	}
	if keep != "" {
		if err := os.MkdirAll(keep, 0o755); err != nil {
			return err
		}
		for _, v := range t.victims {
			if err := copyFile(v.history.Name(), keep); err != nil {
				return err
			}
		}
		fmt.Fprintln(os.Stderr, "the callers' history is in", keep)
	}
	return os.RemoveAll(t.dir)
}
