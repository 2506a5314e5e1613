package db_test

import (
	"sync/atomic"
	"testing"
	"time"

	"tuma/internal/db"
)

// ownClock is a process's, which is off and is set while it runs. It has no
// monotonic part, as that of a machine that was suspended is none.
type ownClock struct{ off atomic.Int64 }

func (c *ownClock) now() time.Time { return time.Now().Round(0).Add(time.Duration(c.off.Load())) }

// Processes whose clocks are minutes apart decide by one clock, the server's.
func TestOneClock(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	fast, slow := &ownClock{}, &ownClock{}
	fast.off.Store(int64(90 * time.Second))
	slow.off.Store(int64(-90 * time.Second))
	ahead := b.open(t, func(o *db.Options) { o.Own = fast.now })
	behind := b.open(t, func(o *db.Options) { o.Own = slow.now })
	right := func(p *db.Pool) bool {
		var server time.Time
		before := p.Now()
		if err := b.admin.QueryRowContext(t.Context(), "select clock_timestamp()").Scan(&server); err != nil {
			t.Fatal(err)
		}
		const near = time.Second // the test's machine may be busy, a wrong clock is a minute off
		return before.Sub(server) < near && server.Sub(p.Now()) < near
	}
	if !right(ahead) || !right(behind) {
		t.Errorf("the server's clock shows %v and %v", ahead.Now(), behind.Now())
	}
	if err := ahead.InTx(t.Context(), func(tx *db.Tx) error {
		if d := tx.Now.Sub(behind.Now()).Abs(); d > time.Second {
			t.Errorf("two processes' transactions are %v apart", d)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if off := ahead.Off(); (off - 90*time.Second).Abs() > time.Second {
		t.Errorf("the process's own clock is said to be %v off", off)
	}
	// One is set while the process runs.
	for _, off := range []time.Duration{-time.Hour} {
		fast.off.Store(int64(off))
		for until := time.Now().Add(20 * time.Second); !right(ahead); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("after its own clock was set to be %v off, it shows %v", off, ahead.Now())
			}
		}
	}
}
