package db

import (
	"context"
	"errors"
	"time"

	"github.com/lib/pq"
)

// Listen gives a channel on which something arrives after a NOTIFY on that
// channel, and after every connection, since a notification may have been missed
// before. It is a hint to look sooner, never a promise: whoever
// listens also polls. The channel is closed when ctx ends.
func (p *Pool) Listen(ctx context.Context, channel string) (<-chan struct{}, error) {
	if channel == "" {
		return nil, errors.New("db: listen: no channel named")
	}
	l := pq.NewDialListener(dialer{io: 2 * time.Minute}, p.listenDSN, 100*time.Millisecond, 10*time.Second, nil)
	wake := make(chan struct{}, 1)
	nudge := func() {
		select {
		case wake <- struct{}{}:
		default: // one is waiting already
		}
	}
	go func() {
		defer l.Close() // may wait for a server that does not answer; nobody waits for that
		defer close(wake)
		// Listen waits for the first connection, which may come late.
		listening := make(chan error, 1)
		go func() { listening <- l.Listen(channel) }()
		for {
			select {
			case <-ctx.Done():
				return
			case <-listening:
				nudge()
			case <-l.Notify:
				nudge()
			case <-time.After(time.Minute):
				// Keeps the connection's deadline away and finds a dead one.
				go l.Ping()
			}
		}
	}()
	return wake, nil
}
