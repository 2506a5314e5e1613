// Package dbtest gives each test a migrated database of its own on a real
// PostgreSQL. It refuses to know what is in it.
package dbtest

import (
	"context"
	"database/sql"
	"fmt"
	"hash/fnv"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lib/pq"

	"tuma/internal/db"
	"tuma/internal/devenv"
)

// cluster is the server of this test binary.
type cluster struct {
	once  sync.Once
	err   error
	url   func(database string) string
	stop  func() error
	admin *sql.DB
	n     atomic.Int64
}

var server cluster

// Main runs a package's tests and stops the server that they started, if any.
// Call it from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	if server.admin != nil {
		server.admin.Close()
	}
	if server.stop != nil {
		if err := server.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "dbtest: stopping PostgreSQL:", err)
		}
	}
	os.Exit(code)
}

// template is a migrated database to clone; its name says which schema it has,
// so that several test binaries can share one server.
var template string

func (c *cluster) start() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if u := os.Getenv("TUMA_TEST_DATABASE_URL"); u != "" {
		c.url = func(database string) string { return withDatabase(u, database) }
	} else {
		dir, err := os.MkdirTemp("/tmp", "tuma-test-")
		if err != nil {
			c.err = err
			return
		}
		if err := os.Chmod(dir, 0o755); err != nil { // the server may run as another user
			c.err = err
			return
		}
		pg, err := devenv.StartPostgres(ctx, devenv.PostgresOptions{
			Dir:      filepath.Join(dir, "pg"),
			Settings: map[string]string{"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"},
		})
		if err != nil {
			c.err = err
			return
		}
		c.url = pg.URL
		c.stop = func() error {
			err := pg.Stop()
			if rm := os.RemoveAll(dir); err == nil {
				err = rm
			}
			return err
		}
	}
	c.admin, c.err = sql.Open("postgres", c.url("postgres"))
	if c.err != nil {
		return
	}
	c.err = c.makeTemplate(ctx)
}

func (c *cluster) makeTemplate(ctx context.Context) error {
	sum, err := db.SchemaSum()
	if err != nil {
		return err
	}
	template = "tuma_template_" + sum[:12]
	conn, err := c.admin.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	// Two test binaries on one server take turns.
	if _, err := conn.ExecContext(ctx, "select pg_advisory_lock(7364)"); err != nil {
		return err
	}
	defer conn.ExecContext(ctx, "select pg_advisory_unlock(7364)")
	var there bool
	if err := conn.QueryRowContext(ctx, "select exists (select from pg_database where datname = $1)", template).Scan(&there); err != nil || there {
		return err
	}
	work := template + "_new"
	for _, q := range []string{"drop database if exists " + work, "create database " + work} {
		if _, err := conn.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	if _, err := db.Migrate(ctx, c.url(work), db.MigrateOptions{}); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "alter database "+work+" rename to "+template)
	return err
}

// URL makes a migrated database for this test alone and gives its address. It
// is dropped when the test has passed and kept, its address logged, when not.
func URL(t testing.TB) string {
	t.Helper()
	server.once.Do(server.start)
	if server.err != nil {
		t.Fatalf("dbtest: no PostgreSQL to test with: %v", server.err)
	}
	h := fnv.New32a()
	fmt.Fprint(h, t.Name(), os.Getpid())
	name := fmt.Sprintf("tuma_test_%08x_%d", h.Sum32(), server.n.Add(1))
	if _, err := server.admin.Exec("create database " + pq.QuoteIdentifier(name) + " template " + template); err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	u := server.url(name)
	t.Cleanup(func() {
		if t.Failed() && os.Getenv("TUMA_TEST_DATABASE_URL") != "" {
			t.Logf("dbtest: database kept: %s", u)
			return
		}
		if _, err := server.admin.Exec("drop database " + pq.QuoteIdentifier(name) + " with (force)"); err != nil {
			t.Logf("dbtest: %v", err)
		}
	})
	return u
}

// New opens a pool on a database of this test's own. now may be nil: the wall clock.
func New(t testing.TB, now func() time.Time) *db.Pool {
	t.Helper()
	p, err := db.Open(t.Context(), db.Options{URL: URL(t), Now: now, MaxConns: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func withDatabase(raw, database string) string {
	u, err := url.Parse(raw)
	if err != nil || !strings.HasPrefix(u.Scheme, "postgres") {
		return raw
	}
	u.Path = "/" + database
	return u.String()
}
