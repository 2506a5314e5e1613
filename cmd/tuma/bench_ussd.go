package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"tuma/internal/phone"
)

type benchUSSD struct {
	Callers    int           `default:"32" help:"Phones in a session at any moment."`
	Customers  int           `default:"5000" help:"Registered customers, among whom the payments are spread."`
	Way        string        `enum:"send,slip,back" default:"slip" help:"How people get to their payment: straight on, 5 hops; with a number that is mistyped first, 6; with a number that they take back when they see whose it is, 7."`
	Duration   time.Duration `default:"20s" help:"How long to measure, after a warm-up of a tenth of it, or of 5 s."`
	Redis      string        `enum:"inprocess,server" default:"server" help:"Session store: an installed redis-server, or inprocess."`
	Provider   string        `enum:"none,well,ill" default:"well" help:"An SMS provider on this machine that takes every message, one that fails in all ways at once, or none: notices go to the log."`
	Statements bool          `help:"Print what PostgreSQL and Redis were asked, too; counting costs a little."`
	Profile    string        `placeholder:"FILE" help:"Write a CPU profile of the service."`
	JSON       bool          `help:"End with one JSON object."`
}

// figures are what a run measured.
type figures struct {
	HopsPerS     float64            `json:"hops_per_s"`
	PaymentsPerS float64            `json:"payments_per_s"`
	P50          float64            `json:"p50_ms"` // of a hop
	P99          float64            `json:"p99_ms"`
	Kinds        []hopFigures       `json:"kinds"`
	Cost         map[string]float64 `json:"cost_us_per_hop"` // processor time by process
	Busy         float64            `json:"busy"`            // of all cores, from 0 to 1, with whatever else runs
	Hops         int64              `json:"hops"`
	Payments     int64              `json:"payments"`
	Refused      int64              `json:"refused"`
	Unsent       int64              `json:"unsent"` // notices that still waited at the end
	Way          string             `json:"way"`
	PerPayment   int                `json:"hops_per_payment"`
	Callers      int                `json:"callers"`
	Customers    int                `json:"customers"`
	Cores        int                `json:"cores"`
	Redis        string             `json:"redis"`
	Provider     string             `json:"sms_provider"`
}

// hopFigures are those of one kind of hop.
type hopFigures struct {
	Kind string  `json:"kind"`
	Hops int64   `json:"hops"`
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
}

// Run measures whole payments against a process of the service as an operator
// would start it.
func (c *benchUSSD) Run(ctx context.Context) (err error) {
	b, err := startServers(ctx, c.Redis, true, c.settings())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	set, err := siteSettings(b.databaseURL, b.redisURL, nil)
	if err != nil {
		return err
	}
	if c.Provider != "none" {
		more, stop, err := benchSending(c.Provider == "ill")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
		maps.Copy(set, more)
	}
	books, err := booksWith(ctx, b.databaseURL, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, books.close()) }()
	fmt.Fprintf(os.Stderr, "registering %d customers\n", c.Customers)
	numbers, err := benchPeople(ctx, books, c.Customers)
	if err != nil {
		return err
	}
	serve := &instance{name: "serve", dir: b.dir, set: set, ready: make(chan struct{})}
	go serve.run(ctx)
	defer func() { err = errors.Join(err, serve.end()) }()
	address, err := serve.address(ctx)
	if err != nil {
		return err
	}
	if err := benchAtRest(ctx, books.pool); err != nil {
		return err
	}
	l := &ussdLoad{benchUSSD: c, address: address + "/ussd/africastalking", numbers: numbers, bench: b, pool: books.pool, admin: serve.admin}
	f, err := l.measure(ctx)
	if err != nil {
		return err
	}
	if err := checkBook(ctx, books.pool); err != nil {
		return err
	}
	f.print(os.Stdout)
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(f)
	}
	return nil
}

// settings are those of PostgreSQL, beside the bench's own.
func (c *benchUSSD) settings() map[string]string {
	if !c.Statements {
		return nil
	}
	return map[string]string{"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track_planning": "on"}
}

func (f figures) print(w io.Writer) {
	fmt.Fprintf(w, "%.0f payments/s of %d hops, %.0f hops/s, a hop p50 %.1f ms, p99 %.1f ms (%d callers, %d customers, %d cores, %d payments, %d refused, %d notices unsent); the book is right\n",
		f.PaymentsPerS, f.PerPayment, f.HopsPerS, f.P50, f.P99, f.Callers, f.Customers, f.Cores, f.Payments, f.Refused, f.Unsent)
	for _, k := range f.Kinds {
		fmt.Fprintf(w, "  %-8s %8d hops  p50 %6.1f ms  p99 %6.1f ms\n", k.Kind, k.Hops, k.P50, k.P99)
	}
	sum := 0.0
	for _, us := range f.Cost {
		sum += us
	}
	fmt.Fprintf(w, "processor time of a hop: %.0f us\n", sum)
	for _, name := range slices.Sorted(maps.Keys(f.Cost)) {
		fmt.Fprintf(w, "  %-12s %6.0f us, %2.0f %%\n", name, f.Cost[name], 100*f.Cost[name]/sum)
	}
	fmt.Fprintf(w, "the cores were %.0f %% busy\n", 100*f.Busy)
}

// figure makes figures of what the callers have noted.
func (l *ussdLoad) figure(callers []*caller) figures {
	f := figures{Way: l.Way, PerPayment: len(ways[l.Way]), Callers: l.Callers, Customers: l.Customers, Cores: runtime.NumCPU(), Redis: l.Redis, Provider: l.Provider}
	all := newHops()
	for i, kind := range ways[l.Way] {
		of := newHops()
		for _, k := range callers {
			of.Merge(k.hops[i])
		}
		all.Merge(of)
		f.Kinds = append(f.Kinds, hopFigures{kind, of.TotalCount(), millisAt(of, 50), millisAt(of, 99)})
	}
	for _, k := range callers {
		f.Payments += k.payments
		f.Refused += k.refused
	}
	f.Hops = all.TotalCount()
	f.P50, f.P99 = millisAt(all, 50), millisAt(all, 99)
	f.HopsPerS = float64(f.Hops) / l.Duration.Seconds()
	f.PaymentsPerS = float64(f.Payments) / l.Duration.Seconds()
	return f
}

// newHops counts microseconds, up to a minute.
func newHops() *hdrhistogram.Histogram { return hdrhistogram.New(1, 60_000_000, 3) }

// payer gives each caller customers of its own: a phone has one session at a time.
func (l *ussdLoad) payer(k *caller) phone.Number {
	n := len(l.numbers) / l.Callers
	return l.numbers[k.id*n+k.dice.IntN(n)]
}
