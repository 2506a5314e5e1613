package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// attackCommand attacks a service of its own: two processes on this machine,
// with a database and a Redis that it has made. It cannot be pointed at another.
type attackCommand struct {
	Inputs    int           `default:"1000000" help:"Malformed inputs, over every public way in."`
	For       time.Duration `placeholder:"TIME" help:"No more inputs after this time: those until then count."`
	Callbacks int           `default:"100000" help:"Forged callbacks."`
	Guesses   int           `default:"20000" help:"Guesses of PINs, at once from many sessions."`
	Timing    int           `default:"400" help:"Questions of each kind whose times are compared."`
	Attackers int           `default:"16" help:"Who attack at once."`
	Seed      uint64        `help:"Of everything that is thrown; 0 is a fresh one. It is printed."`
	Report    string        `placeholder:"DIR" help:"Where the services' logs are kept; without it, nowhere."`
	JSON      bool          `help:"End with one JSON object."`
	Plant     bool          `hidden:"" help:"Weaken the service, to show that the attack sees it."`
}

// Run attacks.
func (c *attackCommand) Run(ctx context.Context) (err error) {
	if c.Attackers < 1 || c.Attackers > 99 {
		return errors.New("there are 1 to 99 attackers")
	}
	if c.Seed == 0 {
		c.Seed = uint64(time.Now().UnixNano())
	}
	fmt.Fprintf(os.Stderr, "seed %d\n", c.Seed)
	a := &attack{attackCommand: c, result: attackResult{Seed: c.Seed, Seconds: map[string]float64{}, Found: map[string]int{}, Statuses: map[string]map[int]int{}, Verdicts: map[string]int{}, Medians: map[string]float64{}}}
	defer func() { err = errors.Join(err, a.close()) }()
	if err := a.open(ctx); err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{{"callbacks", a.forge}, {"inputs", a.malformed}, {"guesses", a.guess}, {"timing", a.compare}, {"kept", a.search}} {
		began := time.Now()
		if err := part.run(ctx); err != nil {
			a.result.print(os.Stderr)
			return fmt.Errorf("%s: %w", part.name, err)
		}
		a.result.Seconds[part.name] = time.Since(began).Round(100 * time.Millisecond).Seconds()
	}
	if c.JSON {
		err = json.NewEncoder(os.Stdout).Encode(&a.result)
	} else {
		a.result.print(os.Stdout)
	}
	if n := len(a.result.First); n > 0 && err == nil {
		err = errors.New("the service did not hold")
	}
	return err
}

// attackResult is what came of it.
type attackResult struct {
	Seed      uint64                 `json:"seed"`
	Callbacks int                    `json:"callbacks"`
	Inputs    int                    `json:"inputs"`
	Guesses   int                    `json:"guesses"`
	Victims   int                    `json:"victims"`
	Seconds   map[string]float64     `json:"seconds"`
	Statuses  map[string]map[int]int `json:"statuses"` // by kind; 0: the connection was cut
	Sorry     int                    `json:"sorry"`    // screens that say that something of ours went wrong
	Verdicts  map[string]int         `json:"verdicts"` // what guesses were told
	Medians   map[string]float64     `json:"medians"`  // milliseconds
	Memory    map[string]int         `json:"memory"`   // PINs found in the processes' memory: at once, and after a full turn of the collector
	Found     map[string]int         `json:"found"`
	First     []string               `json:"first"`

	mu sync.Mutex
}

// found notes something that must not be.
func (r *attackResult) found(kind, format string, v ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Found[kind]++; r.Found[kind] <= 5 {
		r.First = append(r.First, kind+": "+fmt.Sprintf(format, v...))
	}
}

func (r *attackResult) status(kind string, status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Statuses[kind] == nil {
		r.Statuses[kind] = map[int]int{}
	}
	r.Statuses[kind][status]++
}

func (r *attackResult) print(w *os.File) {
	fmt.Fprintf(w, "%d forged callbacks (%.0f s), %d malformed inputs (%.0f s), %d guesses of %d PINs (%.0f s)\n",
		r.Callbacks, r.Seconds["callbacks"], r.Inputs, r.Seconds["inputs"], r.Guesses, r.Victims, r.Seconds["guesses"])
	for _, kind := range slices.Sorted(maps.Keys(r.Statuses)) {
		fmt.Fprintf(w, "  %-28s", kind)
		for _, s := range slices.Sorted(maps.Keys(r.Statuses[kind])) {
			fmt.Fprintf(w, " %d: %d", s, r.Statuses[kind][s])
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "guesses were told %v; %d screens said sorry\n", r.Verdicts, r.Sorry)
	for _, what := range slices.Sorted(maps.Keys(r.Medians)) {
		fmt.Fprintf(w, "  %-40s %.2f ms\n", what, r.Medians[what])
	}
	fmt.Fprintf(w, "PINs in the memory of the processes: %v\n", r.Memory)
	for _, f := range r.First {
		fmt.Fprintln(w, "FOUND", f)
	}
	if len(r.First) == 0 {
		fmt.Fprintln(w, "it held")
	}
}

// attacker is one of those who attack at once, with people of its own.
type attacker struct {
	*attack
	dice
	n                            int
	customer, operator, stranger string
	serial                       int
	menu                         dialogue
	signed                       map[string]*visit // by who is signed in; "": nobody
}

// many has the attackers do something n times in all, and says how far they are.
func (a *attack) many(ctx context.Context, what string, n int, do func(context.Context, *attacker) error) error {
	return a.manyUntil(ctx, time.Now().Add(24*time.Hour), what, n, do)
}

// manyUntil begins nothing after a time.
func (a *attack) manyUntil(ctx context.Context, until time.Time, what string, n int, do func(context.Context, *attacker) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var next atomic.Int64
	var all sync.WaitGroup
	for _, w := range a.attackers {
		all.Go(func() {
			for ctx.Err() == nil && time.Now().Before(until) && next.Add(1) <= int64(n) {
				if err := do(ctx, w); err != nil {
					stop(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return context.Cause(ctx)
		case <-tick.C:
			fmt.Fprintf(os.Stderr, "%d of %d %s\n", min(next.Load(), int64(n)), n, what)
		}
	}
}

func (a *attack) dice(stream uint64) dice { return dice{rand.New(rand.NewPCG(a.Seed, stream))} }

// logs are what the processes have said so far.
func (a *attack) logs() (string, error) {
	var all strings.Builder
	for _, t := range a.site.instances {
		b, err := os.ReadFile(filepath.Join(a.dir, t.name+".log"))
		if err != nil {
			return "", err
		}
		all.Write(b)
	}
	return all.String(), nil
}
