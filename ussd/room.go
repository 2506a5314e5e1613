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
	longestWait  = time.Second // of a session under way, for its turn
	waitersEach  = 8           // sessions that may wait for each place
)

// room is what a process has for steps at a time. When the database is slow,
// steps pile up, and all of them would be answered after their gateways have hung
// up. So whoever finds no room is told at once to try again in a minute. The last
// quarter is kept for sessions under way, which also wait a moment for their
// turn: who has keyed in half a payment is nearer to being done than who dials.
type room struct {
	slots   chan struct{}
	waiting atomic.Int64
}

func newRoom(steps int) *room { return &room{slots: make(chan struct{}, steps)} }

// Room tells how many steps are being answered, how many wait for their turn, and
// how many can be answered at a time.
func (m *Machine) Room() (busy, waiting, steps int) {
	return len(m.room.slots), int(m.room.waiting.Load()), cap(m.room.slots)
}

// Busy tells that there is no room for who dials.
func (m *Machine) Busy() bool { return m.room.closed() }

func (r *room) closed() bool { return len(r.slots) >= cap(r.slots)-cap(r.slots)/4 }

// enter takes a place, which leave gives back; false: there is none. A dial is
// the first request of a session.
func (r *room) enter(ctx context.Context, dial bool) (leave func(), ok bool) {
	leave = func() { <-r.slots }
	if dial && r.closed() {
		return nil, false
	}
	select {
	case r.slots <- struct{}{}:
		return leave, true
	default:
	}
	if dial || r.waiting.Load() >= waitersEach*int64(cap(r.slots)) {
		return nil, false
	}
	r.waiting.Add(1)
	defer r.waiting.Add(-1)
	ctx, cancel := context.WithTimeout(ctx, longestWait)
	defer cancel()
	select {
	case r.slots <- struct{}{}:
		return leave, true
	case <-ctx.Done():
		return nil, false
	}
}

// full ends a request for which there is no room. Nothing of it is stored: the
// next dial offers to go on where the session was.
func (m *Machine) full(lang string, t *trace) Reply {
	t.note, t.refusal = "no room", "busy"
	return m.last(lang, "refusal.busy")
}
