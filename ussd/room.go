package ussd

import (
	"context"
	"sync/atomic"
	"time"
)

// How many steps one process answers at a time. A step spends most of its time in
// the database, to which a process has 16 connections for writing and as many for
// reading: three steps for each of the former keep all of them busy, and more
// would only wait for the same connections and processors. tuma bench overload
// measures what that wait does.
const (
	defaultSteps = 48
	waitersEach  = 8                       // requests that may wait for each place
	longestWait  = 1500 * time.Millisecond // for a place
	calmAfter    = 3 * time.Second         // without anybody being turned away
)

// room is what a process has for steps at a time. When the database is slow,
// steps pile up, and all of them would be answered after their gateways have hung
// up. So nobody waits for long.
//
// A moment in which nothing moves is no reason to turn somebody away, and there
// are many: a failover, a checkpoint, a pause of a process. So whoever finds no
// place waits a little, until somebody has waited in vain. From then on who dials
// and finds no place is told at once to try again in a minute, until nobody was
// turned away for some seconds: a queue that does not get shorter makes everybody
// late and nobody sooner. A quarter of the places is for sessions under way alone,
// and these may always wait: who has keyed in half a payment is nearer to being
// done than who dials.
type room struct {
	steps, dials chan struct{} // places; a dial takes one of each
	waiting      atomic.Int64
	turnedAway   atomic.Int64 // when somebody last was, Unix nanoseconds
	now          func() time.Time
}

func newRoom(steps int, now func() time.Time) *room {
	return &room{steps: make(chan struct{}, steps), dials: make(chan struct{}, steps-steps/4), now: now}
}

// crowded tells that somebody was turned away a moment ago.
func (r *room) crowded() bool { return r.now().UnixNano()-r.turnedAway.Load() < int64(calmAfter) }

// Room tells how many steps are being answered, how many wait for their turn, and
// how many can be answered at a time.
func (m *Machine) Room() (busy, waiting, steps int) {
	return len(m.room.steps), int(m.room.waiting.Load()), cap(m.room.steps)
}

// Busy tells that somebody was turned away a moment ago, or waits.
func (m *Machine) Busy() bool { return m.room.crowded() || m.room.waiting.Load() > 0 }

// enter takes a place, which leave gives back; false: there is none. A dial is
// the first request of a session.
func (r *room) enter(ctx context.Context, dial bool) (leave func(), ok bool) {
	if !dial {
		return func() { <-r.steps }, r.take(ctx, r.steps, true)
	}
	if !r.take(ctx, r.dials, !r.crowded()) {
		return nil, false
	}
	if !r.take(ctx, r.steps, true) {
		<-r.dials
		return nil, false
	}
	return func() { <-r.steps; <-r.dials }, true
}

// take takes one of these places, and waits for it if it may.
func (r *room) take(ctx context.Context, places chan struct{}, mayWait bool) bool {
	select {
	case places <- struct{}{}:
		return true
	default:
	}
	if mayWait && r.wait(ctx, places) {
		return true
	}
	r.turnedAway.Store(r.now().UnixNano())
	return false
}

func (r *room) wait(ctx context.Context, places chan struct{}) bool {
	defer r.waiting.Add(-1)
	if r.waiting.Add(1) > waitersEach*int64(cap(r.steps)) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, longestWait)
	defer cancel()
	select {
	case places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// full is what somebody hears for whom there is no room.
func (m *Machine) full(lang string, t *trace) Reply {
	t.note, t.refusal = "no room", "busy"
	return m.last(lang, "refusal.busy")
}
