package db

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// clock is the database server's, as far as a process can know it. Several
// processes decide about the same money by the time: when a session, an approval
// or a lease ends, whether a payment is one made a moment ago, which day a limit
// is of. So there is one clock for all of them, and it is not a process's own,
// which may be minutes off or be set while it runs.
//
// The server is asked what time it is; from there this process counts by its
// monotonic clock, which nobody sets.
type clock struct {
	own func() time.Time
	fix atomic.Pointer[fix]
}

// fix is what is known of the server's clock: it showed server when ours showed
// own, give or take doubt.
type fix struct {
	own, server time.Time
	doubt       time.Duration
}

// clockEvery is how often the server is asked: a monotonic clock stands still
// while a virtual machine is suspended, and a standby that took over has a clock
// of its own.
const clockEvery = 2 * time.Second

func (f fix) at(own time.Time) time.Time { return f.server.Add(own.Sub(f.own)) }

func (c *clock) now() time.Time { return c.fix.Load().at(c.own()) }

// heard takes in that the server showed this time at some moment between two of
// ours. It counts when it is more exact than what is known, or when what is known
// can not be true.
func (c *clock) heard(asked time.Time, server time.Time, answered time.Time) {
	doubt := answered.Sub(asked) / 2
	known := c.fix.Load()
	if known != nil && doubt >= known.doubt {
		if off := known.at(asked.Add(doubt)).Sub(server); off <= doubt+known.doubt && -off <= doubt+known.doubt {
			return
		}
	}
	c.fix.Store(&fix{own: asked.Add(doubt), server: server, doubt: max(0, doubt)})
}

const sqlClock = `select clock_timestamp()`

// askTime asks the server for the time.
func (p *Pool) askTime(ctx context.Context) error {
	var server time.Time
	asked := p.clock.own()
	if err := p.read.GetContext(ctx, &server, sqlClock); err != nil {
		return fmt.Errorf("db: asking for the time: %w", err)
	}
	p.clock.heard(asked, server, p.clock.own())
	return nil
}

// keepTime asks now and then, until ctx ends. While the server does not answer,
// what is known goes on to count.
func (p *Pool) keepTime(ctx context.Context) {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asking, cancel := context.WithTimeout(ctx, clockEvery)
		_ = p.askTime(asking)
		cancel()
	}
}

// Off is how far this process's own clock is from the one that counts; zero when
// that is the process's own.
func (p *Pool) Off() time.Duration {
	if p.clock == nil {
		return 0
	}
	own := p.clock.own()
	return own.Round(0).Sub(p.clock.fix.Load().at(own).Round(0))
}
