package sms

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"tuma/internal/db"
	"tuma/sms/outbox"
)

// RelayOptions configure a relay. Pool, Gateway, Name, Rand and Log are
// required; a zero in the others takes the default.
type RelayOptions struct {
	Pool    *db.Pool
	Gateway Gateway
	Name    string    // of this relay among those that share the outbox: host and process
	Rand    io.Reader // spreads the back-off; read under a lock
	Log     *slog.Logger

	Workers int           // messages on their way at a time; 8
	Poll    time.Duration // how long a lost wake-up can go unnoticed; 1 s
	Lease   time.Duration // above the gateway's own time-out; 1 min

	// When to stop trying one notice. An SMS provider can be dead for a day, and
	// a notice that certainly did not go out costs nothing to try again.
	GiveUp      time.Duration // age beyond which a notice that failed is not tried again; 72 h
	MaxDoubts   int           // tries whose outcome is unknown before it is given up, since each may be one SMS more; 3
	FirstWait   time.Duration // after the first failure; 2 s
	LongestWait time.Duration // 10 min

	// When to stop trying at all for a while.
	PauseAfter   int           // failures in a row, of any notices, after which the gateway counts as dead; 16
	LongestPause time.Duration // between two probes of a dead gateway, the first of which follows after FirstWait; 30 s
}

// Relay sends what the outbox owes. Any number of relays, in any number of
// processes, may share one outbox. A notice goes out at least once, and more
// than once only after a try whose outcome is unknown: the gateway's answer
// was lost, or a relay died between sending and noting.
type Relay struct {
	o        RelayOptions
	rand     sync.Mutex
	breaker  breaker
	counters counters
}

type counters struct {
	sent, retried, failed, expired, doubtful, lost, pauses, inFlight, dbErrors atomic.Int64
}

// Stats counts what a relay has done since it was made.
type Stats struct {
	Sent     int64 // taken by the gateway
	Retried  int64 // put back after a failed try
	Failed   int64 // given up
	Expired  int64 // put aside unsent
	Doubtful int64 // tries whose outcome is unknown
	Lost     int64 // leases that ran out before the outcome was noted
	Pauses   int64 // times that the gateway counted as dead and sending stopped
	InFlight int64 // on their way now
	DBErrors int64 // calls of the database that failed
}

// NewRelay checks the options.
func NewRelay(o RelayOptions) (*Relay, error) {
	if o.Pool == nil || o.Gateway == nil || o.Name == "" || o.Rand == nil || o.Log == nil {
		return nil, errors.New("sms: relay: pool, gateway, name, rand and log are required")
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
	}{{&o.Workers, 8}, {&o.MaxDoubts, 3}, {&o.PauseAfter, 16}} {
		if *n.field == 0 {
			*n.field = n.standard
		}
		if *n.field < 0 {
			return nil, fmt.Errorf("sms: relay: a negative number %d", *n.field)
		}
	}
	r := &Relay{o: o}
	r.breaker = breaker{
		after: o.PauseAfter,
		pause: func(nth int) time.Duration { return r.wait(min(o.FirstWait, o.LongestPause), o.LongestPause, nth) },
		told:  r.gateway,
	}
	return r, nil
}

// Stats reads the counters.
func (r *Relay) Stats() Stats {
	c := &r.counters
	return Stats{
		Sent: c.sent.Load(), Retried: c.retried.Load(), Failed: c.failed.Load(), Expired: c.expired.Load(),
		Doubtful: c.doubtful.Load(), Lost: c.lost.Load(), Pauses: c.pauses.Load(), InFlight: c.inFlight.Load(), DBErrors: c.dbErrors.Load(),
	}
}

// Run sends until ctx ends, then finishes what is on its way (at most for the
// length of a lease) and returns nil. A database that cannot be reached is
// waited for.
func (r *Relay) Run(ctx context.Context) error {
	wake, err := r.o.Pool.Listen(ctx, outbox.Channel)
	if err != nil {
		return fmt.Errorf("sms: relay: %w", err)
	}
	poll := time.NewTicker(r.o.Poll)
	defer poll.Stop()
	var working sync.WaitGroup
	defer working.Wait()

	free := make(chan struct{}, r.o.Workers) // a token for each worker that has nothing to do
	for range r.o.Workers {
		free <- struct{}{}
	}
	// A notice that is done with may have held back a younger one for the
	// same phone.
	done := make(chan struct{}, 1)
	for {
		idle := 0
		for taking := true; taking; {
			select {
			case <-free:
				idle++
			default:
				taking = false
			}
		}
		due := r.lease(ctx, r.breaker.room(r.o.Pool.Now(), idle, r.o.Workers))
		for range idle - len(due) {
			free <- struct{}{}
		}
		for _, d := range due {
			working.Go(func() {
				r.deliver(ctx, d)
				free <- struct{}{}
				select {
				case done <- struct{}{}:
				default:
				}
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-wake:
			if !open {
				wake = nil // ctx has ended or is about to
			}
		case <-done:
		case <-poll.C:
		}
	}
}

// lease takes at most n due notices. Once asked, it is not interrupted:
// otherwise notices could be on lease to nobody.
func (r *Relay) lease(ctx context.Context, n int) []outbox.Due {
	if n == 0 || ctx.Err() != nil {
		return nil
	}
	due, expired, err := outbox.Lease(context.WithoutCancel(ctx), r.o.Pool, n, r.o.Lease, r.o.Name)
	if err != nil {
		if r.counters.dbErrors.Add(1); ctx.Err() == nil {
			r.o.Log.ErrorContext(ctx, "sms relay cannot read the outbox", "error", err)
		}
		return nil
	}
	r.counters.expired.Add(int64(expired))
	return due
}

// deliver tries one notice and notes what became of it.
func (r *Relay) deliver(ctx context.Context, d outbox.Due) {
	r.counters.inFlight.Add(1)
	defer r.counters.inFlight.Add(-1)
	// The end of ctx does not stop it, the end of the lease does.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.o.Lease)
	defer cancel()

	name := r.o.Gateway.Name()
	if d.Doubts >= r.o.MaxDoubts {
		// It came back from relays that died over it.
		r.giveUp(ctx, d, &SendError{Gateway: name, Unknown: true, Err: errors.New("no try was seen to end")})
		return
	}
	m := Message{Key: d.Key, To: d.To, Body: d.Body}
	if !d.Expires.IsZero() {
		m.Valid = max(d.Expires.Sub(r.o.Pool.Now()), time.Second)
	}
	sent, err := r.o.Gateway.Send(ctx, m)
	if err == nil {
		r.breaker.answered()
		if r.note(ctx, d, func() error { return outbox.Done(ctx, r.o.Pool, d, name, sent.ID) }) {
			r.counters.sent.Add(1)
		}
		return
	}
	failure, ok := errors.AsType[*SendError](err)
	if !ok {
		failure = &SendError{Gateway: name, Retry: true, Unknown: true, Err: err}
	}
	doubts := d.Doubts
	if failure.Unknown {
		r.counters.doubtful.Add(1)
		doubts++
	}
	now := r.o.Pool.Now()
	if failure.Retry {
		r.breaker.failed(now)
	} else {
		r.breaker.answered()
	}
	wait := max(r.wait(r.o.FirstWait, r.o.LongestWait, d.Attempts), failure.Wait)
	at := now.Add(wait)
	if !failure.Retry || doubts >= r.o.MaxDoubts || at.Sub(d.Created) > r.o.GiveUp {
		r.giveUp(ctx, d, failure)
		return
	}
	r.log(ctx, d, failure, slog.Duration("next_try_in", wait))
	if r.note(ctx, d, func() error {
		return outbox.Retry(ctx, r.o.Pool, d, at, name, failure.Error(), failure.Unknown)
	}) {
		r.counters.retried.Add(1)
	}
}

func (r *Relay) wait(first, longest time.Duration, attempt int) time.Duration {
	r.rand.Lock()
	defer r.rand.Unlock()
	return backoff(first, longest, attempt, r.o.Rand)
}

// gateway is told when the gateway counts as dead, and when it answers again.
func (r *Relay) gateway(dead bool, pause time.Duration) {
	if !dead {
		r.o.Log.Info("sms gateway answers again", "gateway", r.o.Gateway.Name())
		return
	}
	r.counters.pauses.Add(1)
	r.o.Log.Warn("sms gateway takes nothing: sending pauses", "gateway", r.o.Gateway.Name(), "failures", r.o.PauseAfter, "probe_in", pause)
}

func (r *Relay) giveUp(ctx context.Context, d outbox.Due, failure *SendError) {
	r.log(ctx, d, failure, slog.Bool("given_up", true))
	if r.note(ctx, d, func() error { return outbox.Fail(ctx, r.o.Pool, d, failure.Gateway, failure.Error()) }) {
		r.counters.failed.Add(1)
	}
}

// log writes the one line of a failed try.
func (r *Relay) log(ctx context.Context, d outbox.Due, failure *SendError, more slog.Attr) {
	r.o.Log.LogAttrs(ctx, slog.LevelWarn, "sms not sent",
		slog.String("key", d.Key), slog.String("to", d.To.Masked()), slog.Int("attempt", d.Attempts),
		slog.Any("error", failure), more)
}

// note writes an outcome down, again and again until the lease ends: an
// outcome that is not noted is an SMS sent twice.
func (r *Relay) note(ctx context.Context, d outbox.Due, write func() error) bool {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := write()
		if err == nil {
			return true
		}
		lost := errors.Is(err, outbox.ErrLost)
		if !lost {
			r.counters.dbErrors.Add(1)
			select {
			case <-time.After(wait):
				continue
			case <-ctx.Done():
			}
		}
		r.counters.lost.Add(1)
		r.o.Log.ErrorContext(ctx, "sms outcome not noted, it may be sent again", "key", d.Key, "error", err)
		return false
	}
}
