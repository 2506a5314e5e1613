package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"tuma/internal/db"
	"tuma/internal/phone"
)

// benchOverload is a service that has more to do than it can: people go on to
// come while PostgreSQL is slow, and dial again when they are turned away.
type benchOverload struct {
	Customers int           `default:"8000" help:"Registered customers."`
	Capacity  float64       `placeholder:"N" help:"Payments a second that the service can do; otherwise it is measured first."`
	Callers   int           `default:"32" help:"Phones in a session at any moment while the capacity is measured."`
	Share     float64       `default:"0.7" help:"Share of the capacity that is offered."`
	Slower    int64         `default:"10" help:"How many times slower PostgreSQL answers meanwhile."`
	Before    time.Duration `default:"20s" help:"Time at the usual speed, before."`
	During    time.Duration `default:"1m" help:"Time of the slowness."`
	After     time.Duration `default:"60s" help:"Time at the usual speed, after."`
	Think     time.Duration `default:"300ms" help:"Between a screen and the next key, on the average."`
	Redials   int           `default:"3" help:"How often somebody dials again who got nothing: after 5, 10, 20 seconds, more or less."`
	Steps     int           `default:"0" help:"TUMA_STEPS of the service; 0: what it has by itself."`
	Patience  time.Duration `default:"9s" help:"After which a gateway gives up waiting for an answer."`
	Seed      uint64        `default:"334" help:"Of people and their times."`
	Plot      string        `placeholder:"FILE" help:"Draw the seconds as an SVG."`
	Log       string        `placeholder:"FILE" help:"Keep the service's log there."`
	JSON      bool          `help:"End with one JSON object."`
}

// overloadFigures are what a run measured. Hops are requests: a payment has five.
type overloadFigures struct {
	Capacity  float64 `json:"capacity_payments_per_s"`
	Offered   float64 `json:"offered_people_per_s"`
	Slower    int64   `json:"slower"`
	Answers   phases  `json:"database_answer_p50_ms"` // as the service waits for them
	Own       phases  `json:"database_own_p50_ms"`    // what the server took of that
	Payments  phases  `json:"payments_per_s"`
	P50       phases  `json:"p50_ms"` // of a hop that was answered
	P99       phases  `json:"p99_ms"`
	Longest   float64 `json:"max_ms"`
	Paying    float64 `json:"paying_again_s"` // from the end of the slowness to a second with 95 % of the payments of before; -1: never
	Recovered float64 `json:"recovered_s"`    // the same, and with a p99 under twice that of before
	Ratio     float64 `json:"requests_per_person"`
	Usual     float64 `json:"requests_per_person_before"`
	Disk      float64 `json:"disk_bytes_per_payment"` // what the database grew by, indexes and SMS included, its log not
	People    int64   `json:"people"`
	Paid      int64   `json:"people_paid"`
	Warned    int64   `json:"people_warned"` // who had paid without hearing it, dialled again, and were told
	Pending   int64   `json:"people_pending"`
	GaveUp    int64   `json:"people_gave_up"`
	Hops      int64   `json:"hops"`
	Busy      int64   `json:"hops_busy"`
	Failed    int64   `json:"hops_failed"` // "something went wrong", another status, or a broken connection
	Silent    int64   `json:"hops_without_answer"`
	Proof     struct {
		Stand   int `json:"entries"`
		Lost    int `json:"lost"`    // a receipt was shown, and there is no entry
		Phantom int `json:"phantom"` // an entry that nobody gave a PIN for, or was told "nothing was paid"
		Unheard int `json:"unheard"` // entries whose payer got no answer, or "pending"
		Twice   int `json:"twice"`   // people who paid in two sessions, neither of which told them so
	} `json:"proof"`
	Seconds []overloadSecond `json:"seconds"`
}

// phases is a figure before, during and after.
type phases struct {
	Before float64 `json:"before"`
	During float64 `json:"during"`
	After  float64 `json:"after"`
}

// Run loads the service, slows its database down, and compares.
func (c *benchOverload) Run(ctx context.Context) (err error) {
	b, err := startBench(ctx, "server")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	dir, err := os.MkdirTemp("", "tuma-overload-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	o := &overload{benchOverload: c, databaseURL: b.databaseURL}
	if err := o.open(ctx, dir, b.redisURL); err != nil {
		return errors.Join(err, o.close())
	}
	f, err := o.run(ctx)
	if err = errors.Join(err, o.close()); err != nil {
		return err
	}
	if c.Log != "" {
		if err := os.Rename(filepath.Join(dir, o.service.name+".log"), c.Log); err != nil {
			return err
		}
	}
	if c.Plot != "" {
		if err := f.plot(c.Plot); err != nil {
			return err
		}
	}
	f.print()
	if c.JSON {
		if err := json.NewEncoder(os.Stdout).Encode(f); err != nil {
			return err
		}
	}
	if n := f.Proof.Lost + f.Proof.Phantom; n > 0 {
		return fmt.Errorf("%d payments are not as people were told", n)
	}
	return nil
}

// overload is one run.
type overload struct {
	*benchOverload
	databaseURL string
	pipe        *pipe
	service     *instance
	books       *service
	numbers     []phone.Number
	load        *openLoad
	answers     phaseTimes
}

// phaseTimes collects how long PostgreSQL's answers took, and how long they were
// waited for.
type phaseTimes struct {
	took, waited [3]*hdrhistogram.Histogram
}

const overloadBrakes = "rule,outcome,most,amount,within,explanation\ncustomer_pace,,1000000,,,\ncustomer_sum,,,1000000000,,\n"

// open starts a process of the service that reaches its database through a proxy,
// and registers its customers.
func (o *overload) open(ctx context.Context, dir, redisURL string) error {
	u, err := url.Parse(o.databaseURL)
	if err != nil {
		return err
	}
	if o.pipe, err = newPipe(u.Host); err != nil {
		return err
	}
	u.Host = o.pipe.listener.Addr().String()
	brakes := filepath.Join(dir, "brakes.csv")
	if err := os.WriteFile(brakes, []byte(overloadBrakes), 0o600); err != nil {
		return err
	}
	set, err := siteSettings(u.String(), redisURL, map[string]string{"TUMA_SMS": "log", "TUMA_BRAKES": brakes})
	if err != nil {
		return err
	}
	if o.Steps > 0 {
		set["TUMA_STEPS"] = fmt.Sprint(o.Steps)
	}
	if o.books, err = booksWith(ctx, o.databaseURL, set); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "registering %d customers\n", o.Customers)
	if o.numbers, err = benchPeople(ctx, o.books, o.Customers); err != nil {
		return err
	}
	o.service = &instance{name: "serve", dir: dir, set: set, ready: make(chan struct{})}
	go o.service.run(ctx)
	_, err = o.service.address(ctx)
	return err
}

func (o *overload) close() error {
	var errs []error
	if o.service != nil {
		errs = append(errs, o.service.end())
	}
	if o.books != nil {
		errs = append(errs, o.books.close())
	}
	if o.pipe != nil {
		errs = append(errs, o.pipe.listener.Close())
	}
	return errors.Join(errs...)
}

// run measures the capacity, and then lets people come at a share of it.
func (o *overload) run(ctx context.Context) (*overloadFigures, error) {
	address := o.service.now() + "/ussd/africastalking"
	if o.Capacity == 0 {
		fmt.Fprintln(os.Stderr, "measuring the capacity")
		c := &benchUSSD{Callers: o.Callers, Customers: o.Customers, Way: "send", Duration: 10 * time.Second}
		f, err := (&ussdLoad{benchUSSD: c, address: address, numbers: o.numbers, pool: o.books.pool}).measure(ctx)
		if err != nil {
			return nil, err
		}
		o.Capacity = f.PaymentsPerS
	}
	rate := o.Share * o.Capacity
	fmt.Fprintf(os.Stderr, "capacity %.0f payments/s; %.0f people a second come for %v, and for %v of that PostgreSQL is %d times slower\n",
		o.Capacity, rate, o.Before+o.During+o.After, o.During, o.Slower)
	o.load = newOpenLoad(o.benchOverload, address, o.numbers, rate)
	before, err := o.size(ctx)
	if err != nil {
		return nil, err
	}
	phase := o.slow(ctx)
	if err := o.load.run(ctx); err != nil {
		return nil, err
	}
	phase()
	f := o.figures(rate)
	if err := o.prove(ctx, f); err != nil {
		return nil, err
	}
	after, err := o.size(ctx)
	if err != nil {
		return nil, err
	}
	f.Disk = float64(after-before) / float64(max(1, f.Proof.Stand))
	return f, checkBook(ctx, o.books.pool)
}

// size is the database's, in bytes.
func (o *overload) size(ctx context.Context) (n int64, err error) {
	err = o.books.pool.Get(ctx, &n, `select pg_database_size(current_database())`)
	return n, err
}

// slow slows the database down when it is time, and collects its answers' times.
// What it returns ends it.
func (o *overload) slow(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	times := make(chan [2]time.Duration, 4096)
	for i := range 3 {
		o.answers.took[i], o.answers.waited[i] = hdrhistogram.New(1, 60_000_000, 3), hdrhistogram.New(1, 60_000_000, 3)
	}
	o.pipe.watch(func(took, waited time.Duration) {
		select {
		case times <- [2]time.Duration{took, waited}:
		default: // a median does not need all of them
		}
	})
	go func() {
		defer close(done)
		defer o.pipe.times.Store(1)
		slow, fast := time.After(o.Before), time.After(o.Before+o.During)
		now := 0
		for {
			select {
			case t := <-times:
				o.answers.took[now].RecordValue(max(1, t[0].Microseconds()))
				o.answers.waited[now].RecordValue(max(1, t[1].Microseconds()))
			case <-slow:
				o.pipe.times.Store(o.Slower)
				now = 1
			case <-fast:
				o.pipe.times.Store(1)
				now = 2
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

const sqlOverloadRefs = `select ref from entry_ref where ref like 'ussd:at:over-%'`

// prove compares what people were told with the book.
func (o *overload) prove(ctx context.Context, f *overloadFigures) error {
	pool, err := db.Open(ctx, db.Options{URL: o.databaseURL, App: "tuma bench", MaxConns: 1})
	if err != nil {
		return err
	}
	defer pool.Close()
	var refs []string
	if err := pool.Select(ctx, &refs, sqlOverloadRefs); err != nil {
		return err
	}
	f.Proof.Stand = len(refs)
	payers := map[int64]int{}
	for _, ref := range refs {
		session := strings.TrimSuffix(strings.TrimPrefix(ref, "ussd:at:"), ":pay")
		told, asked := o.load.told[session]
		switch {
		case !asked || told.outcome == toldNothing:
			f.Proof.Phantom++
		case told.outcome == toldUnknown:
			f.Proof.Unheard++
		}
		payers[told.person]++
		told.stands = true
		o.load.told[session] = told
	}
	for _, told := range o.load.told {
		if told.outcome == toldPaid && !told.stands {
			f.Proof.Lost++
		}
	}
	for _, n := range payers {
		if n > 1 {
			f.Proof.Twice++
		}
	}
	return nil
}

func (f *overloadFigures) print() {
	fmt.Println("second  phase   people  hops  well  busy  pending  failed  silent  payments  p50 ms  p99 ms")
	for _, s := range f.Seconds {
		fmt.Printf("%6d  %-6s  %6d %5d %5d %5d  %7d  %6d  %6d  %8d  %6.0f  %6.0f\n",
			s.Second, s.Phase, s.People, s.Hops, s.Well, s.Busy, s.Pending, s.Failed, s.Silent, s.Payments, s.P50, s.P99)
	}
	fmt.Printf("capacity %.0f payments/s, %.0f people a second; an answer of PostgreSQL took %.2f ms, %.2f ms while it was slowed down %d times (%.2f of it the server's own), %.2f ms afterwards\n",
		f.Capacity, f.Offered, f.Answers.Before, f.Answers.During, f.Slower, f.Own.During, f.Answers.After)
	fmt.Printf("payments/s: %.0f before, %.0f during, %.0f after; a hop p50 %.0f, %.0f, %.0f ms, p99 %.0f, %.0f, %.0f ms, at most %.0f ms\n",
		f.Payments.Before, f.Payments.During, f.Payments.After, f.P50.Before, f.P50.During, f.P50.After, f.P99.Before, f.P99.During, f.P99.After, f.Longest)
	fmt.Printf("%d hops: %d busy, %d failed, %d without an answer; %d people: %d paid, %d were told that they had, %d pending, %d gave up\n",
		f.Hops, f.Busy, f.Failed, f.Silent, f.People, f.Paid, f.Warned, f.Pending, f.GaveUp)
	fmt.Printf("requests for each person: %.1f before, %.1f in all; the database grew by %.0f bytes for each payment\n", f.Usual, f.Ratio, f.Disk)
	fmt.Printf("proof: %d payments stand: %d lost, %d phantom, %d whose payer got no answer, %d people paid twice\n",
		f.Proof.Stand, f.Proof.Lost, f.Proof.Phantom, f.Proof.Unheard, f.Proof.Twice)
	after := func(s float64) string {
		if s < 0 {
			return "never"
		}
		return fmt.Sprintf("%.0f s", s)
	}
	fmt.Printf("after the slowness, 95 %% of the payments of before: %s; and a p99 under twice that of before: %s (%d cores, everything on them)\n",
		after(f.Paying), after(f.Recovered), runtime.NumCPU())
}
