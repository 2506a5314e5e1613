package sms

import (
	"sync"
	"time"
)

// gate is one gateway as a relay uses it: how many messages it may be given now.
// Each has its own workers, so that a slow one does not hold up the others.
type gate struct {
	Gateway
	workers int
	breaker breaker

	mu    sync.Mutex
	busy  int           // workers
	every time.Duration // between two messages at the agreed rate; 0: no rate
	burst time.Duration // as much of that as may be used at once
	next  time.Time     // when the rate has caught up with what was sent
	held  time.Time     // it asks not to be tried before
	sent, retried, failed, doubtful,
	pauses int64
}

// pace sets the rate in messages a second. What was not used for a tenth of a second
// is lost, so that nobody gets much more than that in any second.
func (g *gate) pace(perSecond int) {
	if perSecond > 0 {
		g.every = time.Second / time.Duration(perSecond)
		g.burst = max(g.every, 100*time.Millisecond)
	}
}

// room is how many more messages it may be given.
func (g *gate) room(now time.Time) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Before(g.held) {
		return 0
	}
	return min(g.breaker.room(now, g.workers-g.busy, g.workers), g.allowance(now))
}

// sound tells a gateway that is not under suspicion, busy or not.
func (g *gate) sound(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !now.Before(g.held) && g.breaker.closed()
}

// allowance is what the rate leaves. The caller holds mu.
func (g *gate) allowance(now time.Time) int {
	if g.every == 0 {
		return g.workers
	}
	return int((g.burst - max(g.next.Sub(now), 0)) / g.every)
}

// takes notes messages that it will be given.
func (g *gate) takes(now time.Time, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next.Before(now) {
		g.next = now
	}
	g.next = g.next.Add(time.Duration(n) * g.every)
}

// instead takes one message that was meant for another gateway, if it can.
func (g *gate) instead(now time.Time) bool {
	g.mu.Lock()
	can := !now.Before(g.held) && g.breaker.closed() && g.allowance(now) > 0
	g.mu.Unlock()
	if can {
		g.takes(now, 1)
	}
	return can
}

// begin and end count its workers.
func (g *gate) begin() {
	g.mu.Lock()
	g.busy++
	g.mu.Unlock()
}

// end tells whether the relay should look for more to do.
func (g *gate) end() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy--
	return g.busy <= g.workers/2
}

// hold obeys a gateway that asks for a rest.
func (g *gate) hold(until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if until.After(g.held) {
		g.held = until
	}
}

// until is when it may be asked again, at the latest known.
func (g *gate) until() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at := g.breaker.probe(); at.After(g.held) {
		return at
	}
	return g.held
}

// refill is how long the rate makes it wait for the next few messages; 0: it
// does not.
func (g *gate) refill(now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.every == 0 || g.allowance(now) > 0 {
		return 0
	}
	return max(g.every, g.burst/4)
}

func (g *gate) count(counter *int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	*counter++
}

// GatewayStats counts what one gateway of a relay has done.
type GatewayStats struct {
	Name     string
	Sent     int64 // messages taken
	Retried  int64 // tries that failed and may succeed later, here or at another gateway
	Failed   int64 // messages refused for good
	Doubtful int64 // tries whose outcome is unknown
	Pauses   int64 // times that it counted as dead
	Paused   bool  // now, or resting because it asked for that
	InFlight int   // on their way now
}

func (g *gate) stats(now time.Time) GatewayStats {
	g.mu.Lock()
	defer g.mu.Unlock()
	return GatewayStats{
		Name: g.Name(), Sent: g.sent, Retried: g.retried, Failed: g.failed, Doubtful: g.doubtful, Pauses: g.pauses,
		Paused: now.Before(g.held) || !g.breaker.closed(), InFlight: g.busy,
	}
}
