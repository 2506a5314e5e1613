package sms

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"tuma/internal/phone"
	"tuma/sms/outbox"
)

// errOptedOut is why a notice is given up whose recipient a gateway may not send to.
var errOptedOut = errors.New("the recipient has opted out")

// work tries one notice and has noted what became of it.
func (r *Relay) work(ctx context.Context, g *gate, d outbox.Due, notes chan<- note) {
	r.counters.inFlight.Add(1)
	defer r.counters.inFlight.Add(-1)
	// The end of ctx does not stop it, the end of the lease does.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.o.Lease)
	defer cancel()

	t := &try{relay: r, due: d, doubts: d.Doubts}
	outcome, counter := t.deliver(ctx, g)
	n := note{ctx: ctx, outcome: outcome, written: make(chan error, 1)}
	notes <- n
	if err := <-n.written; err != nil {
		r.counters.lost.Add(1)
		r.o.Log.ErrorContext(ctx, "sms outcome not noted, it may be sent again", "key", d.Key, "error", err)
		return
	}
	counter()
}

// try is one attempt at one notice, at one gateway after the other.
type try struct {
	relay    *Relay
	due      outbox.Due
	doubts   int
	failure  *SendError // the last
	wait     time.Duration
	optedOut []string
	passed   bool // a gateway could not be asked now
}

// deliver hands the notice to the first gateway that takes it, and says what to
// note and then to count. A gateway that certainly did not take it is followed by the next;
// a doubt stays with its gateway.
func (t *try) deliver(ctx context.Context, first *gate) (outbox.Outcome, func()) {
	r, d := t.relay, t.due
	if d.Doubts >= r.o.MaxDoubts {
		// It came back from relays that died over it.
		return t.giveUp(ctx, &SendError{Gateway: first.Name(), Unknown: true, Err: errors.New("no try was seen to end")})
	}
	t.optedOut = slices.Clone(d.OptedOut)
	tried := 0
	for _, g := range t.candidates(first) {
		if r.optedOut(g, t.optedOut, d.To, d.Priority) {
			t.failure = &SendError{Gateway: g.Name(), OptedOut: true, Err: errOptedOut}
			continue
		}
		if g != first && !g.instead(r.o.Pool.Now()) {
			t.passed = true // it is dead, resting or at its rate
			continue
		}
		tried++
		sent, err := g.Send(ctx, t.message(g))
		if err == nil {
			g.breaker.answered()
			g.count(&g.sent)
			return d.Sent(g.Name(), sent.ID, t.doubts-d.Doubts), func() {
				r.counters.sent.Add(1)
				if tried > 1 {
					r.counters.failovers.Add(1)
				}
			}
		}
		if next := t.failed(ctx, g, err); !next {
			break
		}
	}
	return t.conclude(ctx, first)
}

// candidates are the gateways to try, in order.
func (t *try) candidates(first *gate) []*gate {
	way := t.relay.routes.of(t.due.To)
	if t.due.Doubts > 0 && !t.relay.o.FailoverDoubts {
		// Perhaps its gateway sends it yet: then another one's would be a second.
		if i := slices.IndexFunc(way, func(g *gate) bool { return g.Name() == t.due.Gateway }); i >= 0 {
			return way[i : i+1]
		}
	}
	list := []*gate{first}
	for _, g := range way {
		if g != first {
			list = append(list, g)
		}
	}
	return list
}

// optedOut tells whether a gateway may not send this notice. Whoever has told
// any of the number's gateways STOP gets no receipts, which the menu shows as well; a
// code may come from another gateway, since somebody waits for it.
func (r *Relay) optedOut(g *gate, gateways []string, to phone.Number, priority int) bool {
	if priority == outbox.Code {
		return slices.Contains(gateways, g.Name())
	}
	return slices.ContainsFunc(r.routes.of(to), func(g *gate) bool { return slices.Contains(gateways, g.Name()) })
}

func (t *try) message(g *gate) Message {
	m := Message{Key: t.due.Key, Ref: t.due.Ref(), To: t.due.To, From: t.relay.routes.from(g.Name(), t.due.To), Body: t.due.Body}
	if !t.due.Expires.IsZero() {
		m.Valid = max(t.due.Expires.Sub(t.relay.o.Pool.Now()), time.Second)
	}
	return m
}

// failed takes note of a failure and says whether another gateway may try.
func (t *try) failed(ctx context.Context, g *gate, err error) bool {
	r := t.relay
	failure, ok := errors.AsType[*SendError](err)
	if !ok {
		failure = &SendError{Gateway: g.Name(), Retry: true, Unknown: true, Err: err}
	}
	now := r.o.Pool.Now()
	t.failure = failure
	switch {
	case failure.OptedOut:
		g.breaker.answered()
		g.count(&g.failed)
		t.optedOut = append(t.optedOut, g.Name())
		// Another relay, and the next notice, should know; when it cannot be noted
		// the gateway will say it again.
		if err := outbox.OptOut(ctx, r.o.Pool, g.Name(), t.due.To); err != nil {
			r.counters.dbErrors.Add(1)
			r.o.Log.ErrorContext(ctx, "sms: an opt-out is not noted", "gateway", g.Name(), "to", t.due.To.Masked(), "error", err)
		}
		return t.due.Priority == outbox.Code
	case !failure.Retry:
		g.breaker.answered()
		g.count(&g.failed)
		return false
	case failure.Wait > 0 && !failure.Unknown:
		g.hold(now.Add(failure.Wait)) // it is alive, and busy
	default:
		g.breaker.failed(now)
	}
	g.count(&g.retried)
	if t.wait == 0 || failure.Wait < t.wait {
		t.wait = failure.Wait
	}
	if failure.Unknown {
		r.counters.doubtful.Add(1)
		g.count(&g.doubtful)
		t.doubts++
		return r.o.FailoverDoubts && t.doubts < r.o.MaxDoubts
	}
	return true
}

// conclude decides about a notice that no gateway took.
func (t *try) conclude(ctx context.Context, first *gate) (outbox.Outcome, func()) {
	r, d := t.relay, t.due
	now := r.o.Pool.Now()
	if t.failure == nil || t.failure.OptedOut && t.passed {
		// All that may have it are dead or resting.
		t.failure = &SendError{Gateway: d.Gateway, Retry: true, Err: errors.New("its gateway takes nothing at the moment")}
		for _, g := range t.candidates(first) {
			t.wait = max(t.wait, g.until().Sub(now))
		}
	}
	wait := max(r.wait(r.o.FirstWait, r.o.LongestWait, d.Attempts), t.wait)
	at := now.Add(wait)
	if !t.failure.Retry || t.doubts >= r.o.MaxDoubts || at.Sub(d.Created) > r.o.GiveUp {
		return t.giveUp(ctx, t.failure)
	}
	r.log(ctx, d, t.failure, slog.Duration("next_try_in", wait))
	return d.Again(at, t.failure.Gateway, t.failure.Error(), t.doubts-d.Doubts), func() { r.counters.retried.Add(1) }
}

func (t *try) giveUp(ctx context.Context, failure *SendError) (outbox.Outcome, func()) {
	r := t.relay
	r.log(ctx, t.due, failure, slog.Bool("given_up", true))
	return t.due.GivenUp(failure.Gateway, failure.Error(), t.doubts-t.due.Doubts), func() {
		r.counters.failed.Add(1)
		if failure.OptedOut {
			r.counters.optedOut.Add(1)
		}
	}
}

// log writes the one line of a failed try.
func (r *Relay) log(ctx context.Context, d outbox.Due, failure *SendError, more slog.Attr) {
	r.o.Log.LogAttrs(ctx, slog.LevelWarn, "sms not sent",
		slog.String("key", d.Key), slog.String("to", d.To.Masked()), slog.Int("attempt", d.Attempts),
		slog.Any("error", failure), more)
}
