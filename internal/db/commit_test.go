package db_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"tuma/internal/db"
)

// proxy stands between a pool and the server, and misbehaves from the moment of
// a COMMIT on when told to.
type proxy struct {
	net.Listener
	server   string
	manner   atomic.Int64
	silent   atomic.Bool // forwards nothing from the server
	accepted atomic.Int64
	over     context.Context // ends with the test, and the connections with it
}

const (
	honest       = iota
	loseAnswer   // the server gets the COMMIT, its answer is dropped and the connection cut
	loseCommit   // the connection is cut before the server gets the COMMIT
	muteAnswer   // the server gets the COMMIT, its answer never comes
	commitOnWire = "COMMIT\x00"
)

func newProxy(t *testing.T, b *bench) *proxy {
	t.Helper()
	u, err := url.Parse(b.url)
	if err != nil {
		t.Fatal(err)
	}
	over, end := context.WithCancel(context.Background())
	p := &proxy{server: u.Host, over: over}
	if p.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := p.Accept()
			if err != nil {
				return
			}
			p.accepted.Add(1)
			go p.serve(c)
		}
	}()
	t.Cleanup(func() {
		end()
		p.Close()
	})
	return p
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	defer context.AfterFunc(p.over, func() { client.Close() })()
	var dropping atomic.Int64 // the manner, once the COMMIT has passed
	go func() {
		defer client.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			switch {
			case err != nil:
				return
			case dropping.Load() == loseAnswer:
				return // this was the answer
			case dropping.Load() == muteAnswer || p.silent.Load():
				continue
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		if bytes.Contains(buf[:n], []byte(commitOnWire)) {
			dropping.Store(p.manner.Load())
			if p.manner.Load() == loseCommit {
				return
			}
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

func insertItem(ctx context.Context, id int) func(tx *db.Tx) error {
	return func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, "insert into item values ($1)", id)
		return err
	}
}

// insertLast has the COMMIT travel with its statement.
func insertLast(ctx context.Context, id int) func(tx *db.Tx) error {
	return func(tx *db.Tx) error {
		_, err := tx.ExecLast(ctx, "insert into item values ($1)", id)
		return err
	}
}

func TestACommitWithoutAnAnswerIsUnknown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	x := newProxy(t, b)
	p := b.open(t, func(o *db.Options) {
		o.URL = b.through(t, x.Addr().String())
		o.Silence = 300 * time.Millisecond
	})
	id := 1000
	for name, insert := range map[string]func(id int) error{
		"tx":            func(id int) error { return p.InTx(t.Context(), insertItem(t.Context(), id)) },
		"batch":         func(id int) error { return p.InBatch(t.Context(), insertItem(t.Context(), id)) },
		"last":          func(id int) error { return p.InBatch(t.Context(), insertLast(t.Context(), id)) },
		"prepared":      func(id int) error { return p.InTxPrepared(t.Context(), insertItem(t.Context(), id)) },
		"prepared last": func(id int) error { return p.InTxPrepared(t.Context(), insertLast(t.Context(), id)) },
		"lazily":        func(id int) error { return p.InTxLazily(t.Context(), insertItem(t.Context(), id)) },
	} {
		for _, test := range []struct {
			manner string
			code   int64
			rows   int
		}{{"answer lost", loseAnswer, 1}, {"answer never comes", muteAnswer, 1}, {"commit lost", loseCommit, 0}} {
			id++
			x.manner.Store(test.code)
			began := time.Now()
			if err := insert(id); !errors.Is(err, db.ErrUnknown) {
				t.Errorf("%s, %s: %v, want ErrUnknown", name, test.manner, err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("%s, %s: took %v", name, test.manner, took)
			}
			x.manner.Store(honest)
			if test.rows == 1 { // the server may still be at it
				eventually(t, "the row is there", func() bool { return b.int(t, "select count(*) from item where id = $1", id) == 1 })
			} else if n := b.int(t, "select count(*) from item where id = $1", id); n != 0 {
				t.Errorf("%s, %s: %d rows", name, test.manner, n)
			}
			// The connection is not used again.
			if err := insert(id + 500); err != nil {
				t.Errorf("%s, after %s: %v", name, test.manner, err)
			}
		}
	}
}

// The last statement of a batch may fail, or the COMMIT that went with it: neither
// is unknown, nothing of the batch stands, and the connection goes on.
func TestALastStatementFails(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.open(t, func(o *db.Options) { o.Batches = 1 })
	for range 3 {
		err := p.InBatch(t.Context(), func(tx *db.Tx) error {
			if _, err := tx.Exec(t.Context(), "insert into item values ($1)", 1001); err != nil {
				return err
			}
			_, err := tx.ExecLast(t.Context(), "insert into item values ($1)", 1) // is there
			return err
		})
		if !db.Violates(err, "item_pkey") || errors.Is(err, db.ErrUnknown) {
			t.Errorf("%v", err)
		}
		err = p.InBatch(t.Context(), func(tx *db.Tx) error {
			_, err := tx.ExecLast(t.Context(), "insert into fate values ($1)", "23514") // at the commit
			return err
		})
		if err == nil || errors.Is(err, db.ErrUnknown) {
			t.Errorf("%v", err)
		}
	}
	if n := b.int(t, "select count(*) from item where id > 1000"); n != 0 {
		t.Errorf("%d rows", n)
	}
	if err := p.InBatch(t.Context(), insertLast(t.Context(), 1002)); err != nil {
		t.Error(err)
	}
	if n := b.int(t, "select count(*) from item where id = 1002"); n != 1 {
		t.Errorf("%d rows", n)
	}
	// Whoever fails after the statement was sent does not know what happened.
	err := p.InBatch(t.Context(), func(tx *db.Tx) error {
		_, err := tx.ExecLast(t.Context(), "insert into item values ($1)", 1003)
		return errors.Join(err, errors.New("too late"))
	})
	if !errors.Is(err, db.ErrUnknown) {
		t.Errorf("%v", err)
	}
}

// What the server itself says about a COMMIT is an outcome, unless it may be the
// end of the connection or of a part of a distributed server.
func TestWhatTheServerSaysOfACommit(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.open(t)
	for code, unknown := range map[string]bool{
		"23505": false, "23514": false, "22003": false, "P0001": false, "25006": false, "53100": false, "55P03": false,
		"40003": true, "57014": true, "57P01": true, "08006": true, "XX000": true,
	} {
		err := p.InBatch(t.Context(), func(tx *db.Tx) error {
			_, err := tx.Exec(t.Context(), "insert into fate values ($1)", code)
			return err
		})
		if state(err) != code || errors.Is(err, db.ErrUnknown) != unknown {
			t.Errorf("%s: %v, want unknown: %v", code, err, unknown)
		}
	}
	// InTx tries again, which is right for these two only.
	tries := 0
	err := p.InTx(t.Context(), func(tx *db.Tx) error {
		tries++
		code := ""
		if tries == 1 {
			code = "40001"
		}
		_, err := tx.Exec(t.Context(), "insert into fate values ($1)", code)
		return err
	})
	if err != nil || tries != 2 {
		t.Errorf("%d tries, %v", tries, err)
	}
}

func TestWhatWasNeverCommittedIsNotUnknown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.open(t)
	for range 20 { // the context's end is noticed in several places
		ctx, cancel := context.WithCancel(t.Context())
		err := p.InTx(ctx, func(tx *db.Tx) error {
			err := insertItem(ctx, 1000)(tx)
			cancel()
			return err
		})
		if err == nil || errors.Is(err, db.ErrUnknown) {
			t.Fatalf("the context ended before the commit: %v", err)
		}
	}
	err := p.InTx(t.Context(), func(tx *db.Tx) error {
		if err := insertItem(t.Context(), 1001)(tx); err != nil {
			return err
		}
		if _, err := tx.Exec(t.Context(), "select 1/0"); err == nil {
			t.Error("divided by zero")
		}
		return nil // as if nothing had happened
	})
	if err == nil || errors.Is(err, db.ErrUnknown) {
		t.Errorf("a failed statement was passed over: %v", err)
	}
	if n := b.int(t, "select count(*) from item where id >= 1000"); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// A server that says nothing holds nobody longer than the limit, also not while
// a connection is made.
func TestASilentServerDoesNotHang(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	x := newProxy(t, b)
	p := b.open(t, func(o *db.Options) {
		o.URL = b.through(t, x.Addr().String())
		o.Silence = 300 * time.Millisecond
	})
	var n int
	if err := p.Get(t.Context(), &n, "select 1"); err != nil {
		t.Fatal(err)
	}
	limited := func(name string, fn func() error) {
		t.Helper()
		began := time.Now()
		if err := fn(); err == nil || time.Since(began) > 10*time.Second {
			t.Errorf("%s: %v after %v", name, err, time.Since(began))
		}
	}
	limited("a slow statement", func() error { return p.Get(t.Context(), &n, "select 1 from pg_sleep(30)") })
	x.silent.Store(true)
	limited("get", func() error { return p.Get(t.Context(), &n, "select 1") })
	limited("a transaction", func() error { return p.InTx(t.Context(), insertItem(t.Context(), 1000)) })
	limited("a batch", func() error { return p.InBatch(t.Context(), insertItem(t.Context(), 1000)) })
	limited("open", func() error {
		p, err := db.Open(t.Context(), db.Options{URL: b.through(t, x.Addr().String()), Silence: 300 * time.Millisecond})
		if err == nil {
			p.Close()
		}
		return err
	})
	// A snapshot's limit is an hour, but not while it connects.
	x.silent.Store(false)
	p = b.open(t, func(o *db.Options) { o.URL = b.through(t, x.Addr().String()) + "&connect_timeout=1" })
	x.silent.Store(true)
	limited("a snapshot", func() error { return p.InSnapshot(t.Context(), func(*db.Snapshot) error { return nil }) })
}

// An audit may keep the server busy without a word for longer than a customer
// would wait.
func TestASnapshotMayTakeItsTime(t *testing.T) {
	t.Parallel()
	p := newBench(t).open(t, func(o *db.Options) { o.Silence = 200 * time.Millisecond })
	err := p.InSnapshot(t.Context(), func(s *db.Snapshot) error {
		var n int
		return s.Get(t.Context(), &n, "select 1 from pg_sleep(1)")
	})
	if err != nil {
		t.Error(err)
	}
}
