package db_test

import (
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"tuma/internal/db"
)

// newer are this program's migrations and some more.
func newer(t *testing.T, more map[string]string) fs.FS {
	t.Helper()
	all := fstest.MapFS{}
	paths, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(p)] = &fstest.MapFile{Data: b}
	}
	for name, text := range more {
		all[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return all
}

// known is the newest migration of this program.
func known(t *testing.T) string {
	t.Helper()
	paths, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	return filepath.Base(slices.Max(paths))[:5]
}

// A release: it adds a column, which programs of before need not know, and takes
// one away, which its own programs need no more.
var (
	release = map[string]string{
		"00090_more.sql": "-- +goose Up\n-- +tuma expand from 00027\nalter table till add column more text;\n",
		"00091_less.sql": "-- +goose Up\n-- +tuma contract from 00090\nalter table till drop column name;\n",
	}
	breaking = map[string]string{"00090_other.sql": "-- +goose Up\nalter table till rename column name to title;\n"}
)

// program opens the database as a program does that knows these migrations.
func program(t *testing.T, url string, migrations fs.FS) *db.Pool {
	t.Helper()
	p, err := db.Open(t.Context(), db.Options{URL: url, Migrations: migrations})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// attend has a program run; what it is told is in the channel.
func attend(t *testing.T, p *db.Pool) <-chan error {
	t.Helper()
	told := make(chan error, 1)
	if err := p.Attend(t.Context(), func(err error) { told <- err }); err != nil {
		t.Fatal(err)
	}
	return told
}

func count(t *testing.T, on *sql.DB, query string) (n int) {
	t.Helper()
	if err := on.QueryRow(query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestExpandAndContract(t *testing.T) {
	t.Parallel()
	admin, _, u := newDatabase(t, false)
	migrate(t, u)
	files := newer(t, release)
	old := program(t, u, nil)
	attend(t, old)

	// The old program goes on, and may be started, on the expanded schema.
	var said []string
	names, err := db.Migrate(t.Context(), u, db.MigrateOptions{Migrations: files, Expand: true, Say: func(s string) { said = append(said, s) }})
	if err != nil || !slices.Equal(names, []string{"00090_more.sql"}) || len(said) != 2 || !strings.Contains(said[1], "00091_less.sql contracts") {
		t.Fatalf("applied %v, %v, said %q", names, err, said)
	}
	if err := old.SchemaFits(t.Context()); err != nil {
		t.Error("the old program that runs:", err)
	}
	if err := check(t, u); err != nil {
		t.Error("an old program that starts:", err)
	}
	fresh := program(t, u, files)
	attend(t, fresh) // it does without what is left to contract

	// While one runs, nothing is taken away from it.
	names, err = db.Migrate(t.Context(), u, db.MigrateOptions{Migrations: files})
	if !errors.Is(err, db.ErrStillRunning) || len(names) > 0 || !strings.Contains(err.Error(), "run 1: tuma "+known(t)+" ") || !strings.Contains(err.Error(), "pid ") {
		t.Errorf("applied %v, %v", names, err)
	}
	if n := count(t, admin, "select count(*) from pg_attribute where attrelid = 'till'::regclass and attname = 'name'"); n != 1 {
		t.Error("it was taken away all the same")
	}

	// Who waits goes on when the last one has ended.
	waits, ended := make(chan string, 16), make(chan error, 1)
	go func() {
		_, err := db.Migrate(t.Context(), u, db.MigrateOptions{Migrations: files, Wait: true, Say: func(s string) { waits <- s }})
		ended <- err
	}()
	select {
	case s := <-waits:
		if !strings.Contains(s, "00091_less.sql waits: there run 1: tuma "+known(t)+" ") {
			t.Errorf("said %q", s)
		}
	case err := <-ended:
		t.Fatalf("it did not wait: %v", err)
	}
	if err := errors.Join(check(t, u), old.Close()); err != nil {
		t.Error("an old program that starts meanwhile:", err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := check(t, u); !errors.Is(err, db.ErrNewSchema) || !strings.Contains(err.Error(), "00090") {
		t.Errorf("an old program starts on the contracted schema: %v", err)
	}
	if err := fresh.SchemaFits(t.Context()); err != nil {
		t.Error("the new program:", err)
	}
	if err := program(t, u, files).CheckSchema(t.Context()); err != nil {
		t.Error("a new program that starts:", err)
	}
}

// A program whose connection was lost attends again; one under which the schema
// was changed all the same is told.
func TestAttendance(t *testing.T) {
	t.Parallel()
	admin, _, u := newDatabase(t, false)
	migrate(t, u)
	old := program(t, u, nil)
	told := attend(t, old)
	if err := old.Attend(t.Context(), nil); err == nil {
		t.Error("it attends twice")
	}
	const running = "select coalesce(max(pid), 0) from pg_locks l join pg_stat_activity a using (pid) where locktype = 'advisory' and mode = 'ShareLock' and a.datname = current_database()"
	first := count(t, admin, running)
	if _, err := admin.Exec("select pg_terminate_backend($1)", first); err != nil || first == 0 {
		t.Fatal(first, err)
	}
	eventually(t, "it attends again", func() bool { n := count(t, admin, running); return n != 0 && n != first })
	if _, err := db.Migrate(t.Context(), u, db.MigrateOptions{Migrations: newer(t, breaking)}); !errors.Is(err, db.ErrStillRunning) {
		t.Errorf("after a lost connection: %v", err)
	}
	// Not by tuma migrate: a migration without a floor takes no older program.
	if _, err := admin.Exec("insert into goose_db_version (version_id, is_applied) values (9999, true)"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-told:
		if !errors.Is(err, db.ErrNewSchema) {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("it was not told")
	}
	if err := old.Close(); err != nil {
		t.Error(err)
	}
	eventually(t, "nobody attends", func() bool { return count(t, admin, running) == 0 })
}

// A migration that does not get its lock lets those pass who came after it, and
// the programs that it does not work with cannot start meanwhile.
func TestMigrationsLetOthersPass(t *testing.T) {
	t.Parallel()
	admin, _, u := newDatabase(t, false)
	migrate(t, u)
	p := program(t, u, nil)
	long, err := admin.Begin() // a report, say
	if err != nil {
		t.Fatal(err)
	}
	defer long.Rollback()
	if _, err := long.Exec("select from till"); err != nil {
		t.Fatal(err)
	}
	said, ended := make(chan string, 99), make(chan error, 1)
	go func() {
		_, err := db.Migrate(t.Context(), u, db.MigrateOptions{Migrations: newer(t, breaking), Say: func(s string) { said <- s }})
		ended <- err
	}()
	for waited := false; !waited; { // behind it, all the time
		var n int
		if err := p.Get(t.Context(), &n, "select count(*) from till"); err != nil {
			t.Fatalf("stands behind the migration: %v", err)
		}
		select {
		case s := <-said:
			if !strings.Contains(s, "00090_other.sql waits for a lock") {
				t.Fatalf("said %q", s)
			}
			waited = true
		case err := <-ended:
			t.Fatalf("the migration ended: %v", err)
		default:
		}
	}
	if err := p.Attend(t.Context(), nil); !errors.Is(err, db.ErrShutOut) {
		t.Errorf("an old program starts under the migration: %v", err)
	}
	if err := long.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := p.Attend(t.Context(), nil); !errors.Is(err, db.ErrNewSchema) {
		t.Errorf("an old program starts after the migration: %v", err)
	}
}

// An index on a table in use is made without a transaction, and waits for others
// as long as it takes: nobody stands behind it.
func TestExpandWithoutATransaction(t *testing.T) {
	t.Parallel()
	admin, _, u := newDatabase(t, false)
	migrate(t, u)
	attend(t, program(t, u, nil))
	const text = "-- +goose NO TRANSACTION\n-- +goose Up\n-- +tuma expand from 00027\nset lock_timeout = '10min';\ndrop index concurrently if exists by_name;\ncreate index concurrently by_name on till (name);\nreset lock_timeout;\n"
	if _, err := db.Migrate(t.Context(), u, db.MigrateOptions{Migrations: newer(t, map[string]string{"00090_index.sql": text})}); err != nil {
		t.Fatal(err)
	}
	if n := count(t, admin, "select count(*) from pg_index where indexrelid = 'by_name'::regclass and indisvalid"); n != 1 {
		t.Error("there is no index")
	}
	if n := count(t, admin, "select works_with from schema_floor where version = 90"); n != 27 {
		t.Errorf("it works with %d", n)
	}
}

func TestWhatMigrationsSay(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"00090_typo.sql":   "-- +tuma expands from 00027\n",
		"00090_indent.sql": "  -- +tuma expand from 00027\n",
		"00090_twice.sql":  "-- +tuma expand from 00027\n-- +tuma expand from 00027\n",
		"00090_self.sql":   "-- +tuma expand from 00090\n",
		"00090_none.sql":   "-- +tuma contract from 00026\n",
		"00090_older.sql":  "-- +tuma expand from 00024\n", // its programs are not seen
		"00090_apart.sql":  "-- +goose NO TRANSACTION\n-- +tuma contract from 00027\n",
		"00090_broken.sql": "-- +goose NO TRANSACTION\n",
		"90_name.sql":      "",
	} {
		files := newer(t, map[string]string{name: "-- +goose Up\n" + text})
		if _, err := db.Open(t.Context(), db.Options{URL: "postgres://127.0.0.1:1/x?sslmode=disable", Migrations: files}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
