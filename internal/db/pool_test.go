package db_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tuma/internal/db"
)

func TestReadsRefuseWrites(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.open(t)
	const write = "insert into item values (100) returning id"
	var n int64
	var list []int64
	for name, err := range map[string]error{
		"get":    p.Get(t.Context(), &n, write),
		"select": p.Select(t.Context(), &list, write),
		"lock":   p.Get(t.Context(), &n, "select id from item where id = 1 for update"),
		"snapshot": p.InSnapshot(t.Context(), func(s *db.Snapshot) error {
			return s.Get(t.Context(), &n, write)
		}),
		"snapshot, each": p.InSnapshot(t.Context(), func(s *db.Snapshot) error {
			return s.Each(t.Context(), func(func(...any) error) error { return nil }, write)
		}),
	} {
		if state(err) != "25006" { // read_only_sql_transaction
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := b.int(t, "select count(*) from item where id = 100"); got != 0 {
		t.Errorf("%d rows written", got)
	}
}

func TestInTxCommitsOrRollsBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.open(t)
	insert := func(tx *db.Tx, id int) error {
		n, err := tx.Exec(t.Context(), "insert into item values ($1)", id)
		if err == nil && n != 1 {
			t.Errorf("touched %d rows", n)
		}
		return err
	}
	if err := p.InTx(t.Context(), func(tx *db.Tx) error { return insert(tx, 101) }); err != nil {
		t.Error(err)
	}
	refusal := errors.New("no")
	if err := p.InTx(t.Context(), func(tx *db.Tx) error {
		return errors.Join(insert(tx, 102), refusal)
	}); !errors.Is(err, refusal) {
		t.Error(err)
	}
	func() {
		defer func() {
			if recover() != "panic" {
				t.Error("the panic is lost")
			}
		}()
		p.InTx(t.Context(), func(tx *db.Tx) error {
			if err := insert(tx, 103); err != nil {
				return err
			}
			panic("panic")
		})
	}()
	if got := b.int(t, "select coalesce(sum(id), 0) from item where id > 100"); got != 101 {
		t.Errorf("sum of the ids %d, want 101 alone", got)
	}
	if got := b.int(t, "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%'"); got != 0 {
		t.Errorf("%d transactions left open", got)
	}
}

func TestInTxTriesAgainAfterADeadlock(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.open(t)
	var runs atomic.Int64
	both := newMeeting(2)
	ended := make(chan error, 2)
	for i := range 2 {
		go func() {
			ended <- p.InTx(t.Context(), func(tx *db.Tx) error {
				runs.Add(1)
				if _, err := tx.Exec(t.Context(), "update item set n = n + 1 where id = $1", 1+i); err != nil {
					return err
				}
				if err := both.wait(soon(t)); err != nil {
					return err
				}
				_, err := tx.Exec(t.Context(), "update item set n = n + 1 where id = $1", 2-i)
				return err
			})
		}()
	}
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if got := b.int(t, "select sum(n) from item where id in (1, 2)"); got != 4 || runs.Load() < 3 {
		t.Errorf("%d updates in %d runs, want 4 in 3 at least", got, runs.Load())
	}
}

func TestInTxTriesAgainAfterASerialisationFailure(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.open(t)
	var runs atomic.Int64
	both := newMeeting(2)
	ended := make(chan error, 2)
	for range 2 {
		go func() {
			ended <- p.InTx(t.Context(), func(tx *db.Tx) error {
				runs.Add(1)
				if _, err := tx.Exec(t.Context(), "set transaction isolation level repeatable read"); err != nil {
					return err
				}
				var n int
				if err := tx.Get(t.Context(), &n, "select n from item where id = 1"); err != nil {
					return err
				}
				if err := both.wait(soon(t)); err != nil {
					return err
				}
				_, err := tx.Exec(t.Context(), "update item set n = $1 where id = 1", n+1)
				return err
			})
		}()
	}
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if got := b.int(t, "select n from item where id = 1"); got != 2 || runs.Load() != 3 {
		t.Errorf("n is %d after %d runs, want 2 after 3", got, runs.Load())
	}
}

func TestInTxDoesNotTryForEver(t *testing.T) {
	t.Parallel()
	p := newBench(t).open(t)
	for code, want := range map[string]int{"40001": 8, "40P01": 8, "40002": 1, "23505": 1, "55P03": 1, "57014": 1} {
		runs := 0
		err := p.InTx(t.Context(), func(tx *db.Tx) error {
			runs++
			_, err := tx.Exec(t.Context(), fmt.Sprintf("do $$ begin raise exception sqlstate '%s'; end $$", code))
			return err
		})
		if state(err) != code || runs != want {
			t.Errorf("%s: %d runs, want %d; %v", code, runs, want, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0
	err := p.InTx(ctx, func(tx *db.Tx) error {
		runs++
		_, err := tx.Exec(ctx, "do $$ begin raise exception sqlstate '40001'; end $$")
		cancel()
		return err
	})
	if err == nil || runs != 1 {
		t.Errorf("after the context's end: %d runs, %v", runs, err)
	}
}

// A run has one instant, which survives the way through the database unchanged;
// another run has another.
func TestTxNow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var ticks atomic.Int64
	nairobi := time.FixedZone("EAT", 3*60*60)
	began := time.Date(2026, 11, 22, 12, 15, 0, 123_456_789, nairobi)
	p := b.open(t, func(o *db.Options) {
		o.Now = func() time.Time { return began.Add(time.Duration(ticks.Add(1)) * time.Millisecond) }
	})
	var seen []time.Time
	err := p.InTx(t.Context(), func(tx *db.Tx) error {
		seen = append(seen, tx.Now)
		if tx.Now.Nanosecond()%1000 != 0 || tx.Now.Location() != time.UTC {
			t.Errorf("now is %v", tx.Now)
		}
		if _, err := tx.Exec(t.Context(), "insert into stamp values (1, $1)", tx.Now); err != nil {
			return err
		}
		var back time.Time
		if err := tx.Get(t.Context(), &back, "select at from stamp where id = 1"); err != nil {
			return err
		}
		if !back.Equal(tx.Now) {
			t.Errorf("%v came back as %v", tx.Now, back)
		}
		if len(seen) == 1 {
			_, err := tx.Exec(t.Context(), "do $$ begin raise exception sqlstate '40001'; end $$")
			return err
		}
		return nil
	})
	if err != nil || len(seen) != 2 || !seen[1].After(seen[0]) {
		t.Errorf("seen %v, %v", seen, err)
	}
	if want := began.Truncate(time.Microsecond).Add(time.Millisecond); len(seen) > 0 && !seen[0].Equal(want) {
		t.Errorf("first run at %v, want %v", seen[0], want)
	}
	if strings.Contains(b.open(t).Now().String(), "m=") { // as of the wall clock
		t.Error("now carries a monotonic reading")
	}
}

func TestSessionsAreAsConfigured(t *testing.T) {
	t.Parallel()
	p := newBench(t).open(t, func(o *db.Options) { o.App = "tuma test" })
	const show = "select current_user || ' ' || current_setting('application_name') || ' ' || current_setting('statement_timeout') || ' ' || current_setting('lock_timeout') ||" +
		" ' ' || current_setting('idle_in_transaction_session_timeout') || ' ' || current_setting('synchronous_commit')"
	ways := map[string]func(dest any, query string) error{
		"get":    func(dest any, query string) error { return p.Get(t.Context(), dest, query) },
		"tx":     func(dest any, query string) error { return p.InTx(t.Context(), getting(t, dest, query)) },
		"batch":  func(dest any, query string) error { return p.InBatch(t.Context(), getting(t, dest, query)) },
		"lazily": func(dest any, query string) error { return p.InTxLazily(t.Context(), getting(t, dest, query)) },
		"snapshot": func(dest any, query string) error {
			return p.InSnapshot(t.Context(), func(s *db.Snapshot) error { return s.Get(t.Context(), dest, query) })
		},
	}
	// The servers of tests have synchronous_commit off in their configuration.
	want := map[string]string{
		"get": "10s 5s 15s off", "tx": "10s 5s 15s off", "batch": "10s 5s 15s off", "lazily": "10s 5s 15s off", "snapshot": "0 5s 0 off",
	}
	for name, get := range ways {
		var got string
		if err := get(&got, show); err != nil || got != db.AppRole+" tuma test "+want[name] {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		var n int
		if err := get(&n, "delete from entry returning 1"); state(err) != "42501" && state(err) != "25006" { // no privilege, read only
			t.Errorf("%s may delete from the book: %v", name, err)
		}
		if err := get(&n, "create table mine ()"); state(err) != "42501" && state(err) != "25006" {
			t.Errorf("%s may create tables: %v", name, err)
		}
	}
}

func getting(t *testing.T, dest any, query string) func(tx *db.Tx) error {
	return func(tx *db.Tx) error { return tx.Get(t.Context(), dest, query) }
}

func TestInTxLazilyIsLazyForItselfAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.exec(t, "do $$ begin execute format('alter database %I set synchronous_commit = on', current_database()); end $$")
	p := b.open(t, func(o *db.Options) { o.MaxConns = 1 })
	var lazy, usual string
	if err := p.InTxLazily(t.Context(), getting(t, &lazy, "show synchronous_commit")); err != nil || lazy != "off" {
		t.Errorf("lazily: %q, %v", lazy, err)
	}
	if err := p.InTx(t.Context(), getting(t, &usual, "show synchronous_commit")); err != nil || usual != "on" {
		t.Errorf("afterwards: %q, %v", usual, err)
	}
}

func TestSnapshotIsOneView(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.open(t)
	err := p.InSnapshot(t.Context(), func(s *db.Snapshot) error {
		var before, after, each int
		if err := s.Get(t.Context(), &before, "select sum(n) from item"); err != nil {
			return err
		}
		b.exec(t, "update item set n = n + 1")
		if err := s.Get(t.Context(), &after, "select sum(n) from item"); err != nil {
			return err
		}
		err := s.Each(t.Context(), func(scan func(...any) error) error {
			var n int
			err := scan(&n)
			each += n
			return err
		}, "select n from item where id > $1", 0)
		if before != 0 || after != 0 || each != 0 {
			t.Errorf("before %d, after %d, each %d", before, after, each)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for url, want := range map[string]string{
		"postgres://tuma:SECRET@127.0.0.1/tuma":                                   "sslmode",
		"postgres://tuma:SECRET@" + l.Addr().String() + "/tuma?sslmode=disable":   "cannot reach",
		"postgres://tuma:SECRET@127.0.0.1/tuma?sslmode=sometimes":                 "db:",
		"postgres://tuma:SECRET@127.0.0.1:port/tuma?sslmode=disable":              "db:",
		"postgres://tuma:SECRET@127.0.0.1/tuma?sslmode=disable&connect_timeout=x": "db:",
	} {
		p, err := db.Open(t.Context(), db.Options{URL: url})
		if err == nil {
			p.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
