package db_test

import (
	"context"
	"testing"
	"time"

	"tuma/internal/db"
)

const sqlListeners = `from pg_stat_activity where datname = current_database() and query like 'LISTEN%'`

// hears tells whether something arrives within a while.
func hears(t *testing.T, wake <-chan struct{}, within time.Duration) bool {
	t.Helper()
	select {
	case _, open := <-wake:
		if !open {
			t.Fatal("closed")
		}
		return true
	case <-time.After(within):
		return false
	}
}

func TestListen(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.open(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wake, err := p.Listen(ctx, "news")
	if err != nil {
		t.Fatal(err)
	}
	const long, short = 20 * time.Second, 100 * time.Millisecond
	if !hears(t, wake, long) {
		t.Fatal("not told of the connection")
	}
	for range 2 {
		for hears(t, wake, short) {
		}
		b.exec(t, "notify other")
		if hears(t, wake, short) {
			t.Error("woken by another channel")
		}
		b.exec(t, "notify news")
		if !hears(t, wake, long) {
			t.Error("not woken")
		}
		b.exec(t, "notify news, 'with a payload'")
		if !hears(t, wake, long) {
			t.Error("not woken by a second one")
		}
		// Now the connection is lost, and with it perhaps a notification.
		if n := b.int(t, "select count(pg_terminate_backend(pid)) "+sqlListeners); n != 1 {
			t.Errorf("%d connections ended", n)
		}
		if !hears(t, wake, long) {
			t.Fatal("not told of the new connection")
		}
	}
	// Nobody looks for a while: what arrives meanwhile is one wake-up, and
	// nothing is held up by it.
	for range 100 {
		b.exec(t, "notify news")
	}
	if !hears(t, wake, long) {
		t.Error("not woken after a while")
	}
	cancel()
	eventually(t, "the channel is closed", func() bool {
		select {
		case _, open := <-wake:
			return !open
		default:
			return false
		}
	})
	eventually(t, "the connection is closed", func() bool { return b.int(t, "select count(*) "+sqlListeners) == 0 })
}

// The end does not wait for a server that says nothing.
func TestListenToASilentServerEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	x := newProxy(t, b)
	p := b.open(t, func(o *db.Options) { o.URL = b.through(t, x.Addr().String()) })
	x.silent.Store(true)
	before := x.accepted.Load()
	ctx, cancel := context.WithCancel(t.Context())
	wake, err := p.Listen(ctx, "news")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it connects", func() bool { return x.accepted.Load() > before })
	cancel()
	select {
	case _, open := <-wake:
		if open {
			t.Error("woken by silence")
		}
	case <-time.After(10 * time.Second):
		t.Error("does not end")
	}
}

func TestListenWantsAName(t *testing.T) {
	t.Parallel()
	if _, err := newBench(t).open(t).Listen(t.Context(), ""); err == nil {
		t.Error("listens to nothing")
	}
}
