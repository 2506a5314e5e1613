package accounts

import (
	"context"
	"sync"
	"time"

	"tuma/sms/outbox"
)

// Waking the relay is no part of the commit that owes a notice: it would make
// all commits wait for each other. It happens a moment afterwards, once for all
// the commits of that moment.
const (
	wakePause   = 20 * time.Millisecond
	wakeTimeout = 5 * time.Second
)

// waker turns nudges into wake-ups of the relays.
type waker struct {
	nudges chan struct{} // room for one: more would say nothing more
	stop   chan struct{}
	ended  chan struct{}
	once   sync.Once
}

func (s *Service) startWaker() {
	s.wake = &waker{nudges: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(s.wake.ended)
		for {
			select {
			case <-s.wake.stop:
				return
			case <-s.wake.nudges:
			}
			select {
			case <-s.wake.stop:
				return
			case <-time.After(wakePause):
			}
			ctx, cancel := context.WithTimeout(context.Background(), wakeTimeout)
			if err := outbox.Wake(ctx, s.pool); err != nil {
				s.log.Warn("the relay was not woken; it looks by itself", "error", err)
			}
			cancel()
		}
	}()
}

// nudge has the relays woken soon. It never waits.
func (w *waker) nudge() {
	select {
	case w.nudges <- struct{}{}:
	default:
	}
}

func (w *waker) close() {
	w.once.Do(func() { close(w.stop) })
	<-w.ended
}
