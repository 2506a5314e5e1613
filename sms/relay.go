package sms

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tuma/internal/db"
	"tuma/sms/outbox"
)

// RelayOptions configure a relay. Pool, Gateways, Name, Rand and Log are
// required; a zero in the others takes the default.
type RelayOptions struct {
	Pool     *db.Pool
	Gateways []Gateway      // in order of preference
	Routes   []Route        // of numbers that do not take all gateways in that order
	Senders  []Sender       // where messages do not come from what the gateway is set up with
	Rates    map[string]int // messages a second by a gateway's name, for this relay; none: as fast as it takes them
	Name     string         // of this relay among those that share the outbox: host and process
	Rand     io.Reader      // spreads the back-off; read under a lock
	Log      *slog.Logger

	Busy    func() bool   // customers wait for this process: the relay looks less often then. nil: they never do
	Workers int           // messages on their way at a time, for each gateway; 64
	Poll    time.Duration // how long a lost wake-up can go unnoticed; 1 s
	Lease   time.Duration // above the gateways' own time-outs together; 1 min

	// When to stop trying one notice. An SMS provider can be dead for a day, and
	// a notice that certainly did not go out costs nothing to try again.
	GiveUp         time.Duration // age beyond which a notice that failed is not tried again; 72 h
	MaxDoubts      int           // tries whose outcome is unknown before it is given up, since each may be one SMS more; 3
	FailoverDoubts bool          // after such a try another gateway may be next, and not only the same
	FirstWait      time.Duration // after the first failure; 2 s
	LongestWait    time.Duration // 10 min

	// When to stop trying at all for a while.
	PauseAfter   int           // failures in a row, of any notices, after which a gateway counts as dead; 16
	LongestPause time.Duration // between two probes of a dead gateway, the first of which follows after FirstWait; 30 s
}

// Relay sends what the outbox owes. Any number of relays, in any number of
// processes, may share one outbox. A notice goes out at least once, and more
// than once only after a try whose outcome is unknown: the gateway's answer
// was lost, or a relay died between sending and noting.
type Relay struct {
	o        RelayOptions
	routes   routes
	rand     sync.Mutex
	counters counters
}

type counters struct {
	sent, retried, failed, expired, doubtful, lost, pauses, inFlight, dbErrors, failovers, optedOut, yielded atomic.Int64
}

// Stats counts what a relay has done since it was made.
type Stats struct {
	Sent      int64 // taken by a gateway
	Retried   int64 // put back after a failed try
	Failed    int64 // given up
	Expired   int64 // put aside unsent
	Doubtful  int64 // tries whose outcome is unknown
	Failovers int64 // taken by another gateway than the first that was tried
	OptedOut  int64 // of those given up: the recipient wants nothing
	Lost      int64 // leases that ran out before the outcome was noted
	Pauses    int64 // times that a gateway counted as dead and sending to it stopped
	InFlight  int64 // on their way now
	DBErrors  int64 // calls of the database that failed
	Yielded   int64 // times that it looked later because customers waited
}

// gathering is how long a relay that had nothing left to take waits before it
// looks again: a look costs the database as much as sending some twenty notices
// costs the relay, whether it finds one or many.
const gathering = 20 * time.Millisecond

// yielding takes its place while customers wait: their answers come first, and an
// SMS that comes a moment later than it could is in time.
const yielding = 250 * time.Millisecond

// NewRelay checks the options.
func NewRelay(o RelayOptions) (*Relay, error) {
	if o.Pool == nil || len(o.Gateways) == 0 || o.Name == "" || o.Rand == nil || o.Log == nil {
		return nil, errors.New("sms: relay: pool, gateways, name, rand and log are required")
	}
	for _, d := range []struct {
		field    *time.Duration
		standard time.Duration
	}{{&o.Poll, time.Second}, {&o.Lease, time.Minute}, {&o.GiveUp, 72 * time.Hour},
		{&o.FirstWait, 2 * time.Second}, {&o.LongestWait, 10 * time.Minute}, {&o.LongestPause, 30 * time.Second}} {
		if *d.field == 0 {
			*d.field = d.standard
		}
		if *d.field < 0 {
			return nil, fmt.Errorf("sms: relay: a negative duration %v", *d.field)
		}
	}
	for _, n := range []struct {
		field    *int
		standard int
	}{{&o.Workers, 64}, {&o.MaxDoubts, 3}, {&o.PauseAfter, 16}} {
		if *n.field == 0 {
			*n.field = n.standard
		}
		if *n.field < 0 {
			return nil, fmt.Errorf("sms: relay: a negative number %d", *n.field)
		}
	}
	r := &Relay{o: o}
	var gates []*gate
	for _, gateway := range o.Gateways {
		g := &gate{Gateway: gateway, workers: o.Workers}
		g.pace(o.Rates[gateway.Name()])
		g.breaker = breaker{
			after: o.PauseAfter,
			pause: func(nth int) time.Duration { return r.wait(min(o.FirstWait, o.LongestPause), o.LongestPause, nth) },
			told:  func(dead bool, pause time.Duration) { r.told(g, dead, pause) },
		}
		gates = append(gates, g)
	}
	var err error
	if r.routes, err = newRoutes(gates, o.Routes, o.Senders); err != nil {
		return nil, err
	}
	for name, rate := range o.Rates {
		if rate < 1 || rate > 1_000_000 || !slices.ContainsFunc(gates, func(g *gate) bool { return g.Name() == name }) {
			return nil, fmt.Errorf("sms: relay: %d messages a second for %q, which is no gateway or no rate", rate, name)
		}
	}
	return r, nil
}

// Stats reads the counters.
func (r *Relay) Stats() Stats {
	c := &r.counters
	return Stats{
		Sent: c.sent.Load(), Retried: c.retried.Load(), Failed: c.failed.Load(), Expired: c.expired.Load(),
		Doubtful: c.doubtful.Load(), Failovers: c.failovers.Load(), OptedOut: c.optedOut.Load(),
		Lost: c.lost.Load(), Pauses: c.pauses.Load(), InFlight: c.inFlight.Load(), DBErrors: c.dbErrors.Load(), Yielded: c.yielded.Load(),
	}
}

// Gateways reads the counters of each gateway, in order of preference.
func (r *Relay) Gateways() (list []GatewayStats) {
	now := r.o.Pool.Now()
	for _, g := range r.routes.gates {
		list = append(list, g.stats(now))
	}
	return list
}

// Run sends until ctx ends, then finishes what is on its way (at most for the
// length of a lease) and returns nil. A database that cannot be reached is
// waited for.
func (r *Relay) Run(ctx context.Context) error {
	wake, err := r.o.Pool.Listen(ctx, outbox.Channel)
	if err != nil {
		return fmt.Errorf("sms: relay: %w", err)
	}
	notes := make(chan note)
	var noting, working sync.WaitGroup
	noting.Go(func() { r.noteAll(ctx, notes) })
	defer noting.Wait()
	defer close(notes)
	defer working.Wait()

	look := time.NewTimer(r.o.Poll)
	defer look.Stop()
	// A notice that is done with may have held back a younger one for the
	// same phone.
	done := make(chan struct{}, 1)
	for {
		full := false
		for _, o := range r.routes.orders(r.o.Pool.Now()) {
			due := r.lease(ctx, o)
			full = full || len(due) == o.n
			o.gate.takes(r.o.Pool.Now(), len(due))
			for _, d := range due {
				o.gate.begin()
				working.Go(func() {
					r.work(ctx, o.gate, d, notes)
					if !o.gate.end() {
						return
					}
					select {
					case done <- struct{}{}:
					default:
					}
				})
			}
		}
		look.Reset(r.nextLook())
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-wake:
			if !open {
				wake = nil // ctx has ended or is about to
			}
		case <-done:
		case <-look.C:
		}
		if !full {
			time.Sleep(r.gather())
		}
	}
}

// gather is how long to wait before the next look. A relay that has more to send
// than it can take at once does not wait, whoever else does.
func (r *Relay) gather() time.Duration {
	if r.o.Busy == nil || !r.o.Busy() {
		return gathering
	}
	r.counters.yielded.Add(1)
	return yielding
}

// nextLook is when to look by itself: at the next poll, or when the rate of a gateway
// lets it send more.
func (r *Relay) nextLook() time.Duration {
	next, now := r.o.Poll, r.o.Pool.Now()
	for _, g := range r.routes.gates {
		if wait := g.refill(now); wait > 0 {
			next = min(next, wait)
		}
	}
	return next
}

// lease takes due notices. Once asked, it is not interrupted: otherwise notices
// could be on lease to nobody.
func (r *Relay) lease(ctx context.Context, o order) []outbox.Due {
	if ctx.Err() != nil {
		return nil
	}
	due, expired, err := outbox.Lease(context.WithoutCancel(ctx), r.o.Pool, o.n, r.o.Lease, r.o.Name, o.only)
	if err != nil {
		if r.counters.dbErrors.Add(1); ctx.Err() == nil {
			r.o.Log.ErrorContext(ctx, "sms relay cannot read the outbox", "error", err)
		}
		return nil
	}
	r.counters.expired.Add(int64(expired))
	return due
}

func (r *Relay) wait(first, longest time.Duration, attempt int) time.Duration {
	r.rand.Lock()
	defer r.rand.Unlock()
	return backoff(first, longest, attempt, r.o.Rand)
}

// told hears when a gateway counts as dead, and when it answers again.
func (r *Relay) told(g *gate, dead bool, pause time.Duration) {
	if !dead {
		r.o.Log.Info("sms gateway answers again", "gateway", g.Name())
		return
	}
	r.counters.pauses.Add(1)
	g.count(&g.pauses)
	r.o.Log.Warn("sms gateway takes nothing: sending pauses", "gateway", g.Name(), "failures", r.o.PauseAfter, "probe_in", pause)
}
