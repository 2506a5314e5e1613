package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// tortureServe is `tuma serve` with a clock that is set while it runs, for the
// fault "clock" of tuma simulate. It is a command of its own so that no setting of
// `tuma serve` can do that.
type tortureServe struct {
	serveCommand
	Clock string `required:"" placeholder:"FILE" help:"Says how far off this process's clock is, as 90s or -90s."`
}

// Run serves.
func (c *tortureServe) Run(ctx context.Context) error {
	clock := &wrongClock{path: c.Clock}
	go clock.follow(ctx)
	c.own = clock.now
	return c.serveCommand.Run(ctx)
}

// wrongClock is the wall clock, so far off as a file says. It jumps, and it has no
// monotonic part: so it is what a process has whose machine was suspended, too.
type wrongClock struct {
	path string
	off  atomic.Int64 // nanoseconds
}

func (c *wrongClock) now() time.Time { return time.Now().Round(0).Add(time.Duration(c.off.Load())) }

// follow reads the file again and again.
func (c *wrongClock) follow(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		if b, err := os.ReadFile(c.path); err == nil {
			if off, err := time.ParseDuration(strings.TrimSpace(string(b))); err == nil {
				c.off.Store(int64(off))
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// setClock sets the clock of an instance that has one to be set.
func (t *instance) setClock(off time.Duration) error {
	next := t.clock + ".new"
	if err := os.WriteFile(next, fmt.Appendln(nil, off), 0o600); err != nil {
		return err
	}
	return os.Rename(next, t.clock)
}

// withClock has the instance's processes follow a clock that can be set.
func (t *instance) withClock() error {
	t.clock = filepath.Join(t.dir, t.name+".clock")
	return t.setClock(0)
}
