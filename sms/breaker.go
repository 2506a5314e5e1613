package sms

import (
	"sync"
	"time"
)

// breaker tells a gateway that is dead from messages that fail. After a number
// of failures in a row, of whichever messages, sending stops: they would only
// use up their tries, and the outbox be searched for nothing. From then on one
// message at a time is tried, less and less often, until the gateway answers.
type breaker struct {
	after int                              // failures in a row that open it
	pause func(nth int) time.Duration      // before the nth probe in a row, from 1
	told  func(open bool, d time.Duration) // called when it opens, and closes

	mu       sync.Mutex
	failures int       // in a row
	pauses   int       // in a row
	until    time.Time // open: no probe before
}

// room says how many messages may be leased when so many workers of all are
// idle: none in a pause, and one, alone on its way, after it.
func (b *breaker) room(now time.Time, idle, all int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.pauses == 0:
		return idle
	case now.Before(b.until) || idle < all:
		return 0
	default:
		return 1
	}
}

// answered notes that the gateway took a message or refused it for good.
func (b *breaker) answered() {
	b.mu.Lock()
	open := b.pauses > 0
	b.failures, b.pauses = 0, 0
	b.mu.Unlock()
	if open {
		b.told(false, 0)
	}
}

// failed notes a failure that says nothing about its message.
func (b *breaker) failed(now time.Time) {
	b.mu.Lock()
	b.failures++
	// In a pause: it was on its way when the pause began, and is no news.
	if b.failures < b.after || b.pauses > 0 && now.Before(b.until) {
		b.mu.Unlock()
		return
	}
	b.pauses++
	pause, opened := b.pause(b.pauses), b.pauses == 1
	b.until = now.Add(pause)
	b.mu.Unlock()
	if opened {
		b.told(true, pause)
	}
}

// closed tells a gateway that is not under suspicion.
func (b *breaker) closed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pauses == 0
}

// probe is when it is tried next.
func (b *breaker) probe() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.until
}
