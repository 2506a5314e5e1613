package db_test

import (
	"context"
	"database/sql"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lib/pq"

	"tuma/internal/db"
	"tuma/internal/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// bench is a database with a few tables of a test's own, and the superuser's way
// in. Its deadlocks are found at once.
type bench struct {
	url   string
	admin *sql.DB
}

const sqlTables = `
create table item (id bigint primary key, n bigint not null default 0);
create table stamp (id bigint primary key, at timestamptz not null);
create table part (id bigint) partition by range (id);
create table odd (
    id     bigint,
    name   text not null,
    item   bigint,
    small  smallint,
    constraint name_is_taken_102008 unique (name),
    constraint item_is_known_102008 foreign key (item) references item,
    constraint small_is_small_102008 check (small < 10)
);
insert into item select i from generate_series(1, 50) i;
-- A commit that fails with the SQLSTATE that was inserted.
create table fate (state text not null);
create function meet() returns trigger language plpgsql as $$
begin
    if new.state <> '' then
        raise exception 'fate' using errcode = new.state;
    end if;
    return null;
end
$$;
create constraint trigger fate_is_met after insert on fate deferrable initially deferred for each row execute function meet();
grant select, insert, update on item, stamp, part, odd, fate to tuma_app;`

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{url: dbtest.URL(t)}
	b.admin = connect(t, b.url)
	b.exec(t, "do $$ begin execute format('alter database %I set deadlock_timeout = 20', current_database()); end $$")
	b.exec(t, sqlTables)
	return b
}

func connect(t *testing.T, url string) *sql.DB {
	t.Helper()
	c, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (b *bench) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := b.admin.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) int(t *testing.T, query string, args ...any) int {
	t.Helper()
	var n int
	if err := b.admin.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func (b *bench) open(t *testing.T, change ...func(o *db.Options)) *db.Pool {
	t.Helper()
	o := db.Options{URL: b.url, MaxConns: 6}
	for _, c := range change {
		c(&o)
	}
	p, err := db.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// through gives the URL of the same database at another address.
func (b *bench) through(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(b.url)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = address
	return u.String()
}

func state(err error) string {
	if e := pq.As(err); e != nil {
		return string(e.Code)
	}
	return ""
}

// soon is a context that ends long before the test run does.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// eventually polls until ok, and fails after a while.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// meeting lets a number of goroutines wait for each other, once each; who comes
// later walks through.
type meeting struct {
	missing atomic.Int64
	all     chan struct{}
}

func newMeeting(n int64) *meeting {
	m := &meeting{all: make(chan struct{})}
	m.missing.Store(n)
	return m
}

func (m *meeting) wait(ctx context.Context) error {
	if m.missing.Add(-1) == 0 {
		close(m.all)
	}
	select {
	case <-m.all:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
