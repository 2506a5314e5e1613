package db_test

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"tuma/internal/db"
	"tuma/internal/db/dbtest"
)

var fresh atomic.Int64

// newDatabase makes an empty database, owned by the superuser or by a user that
// may do nothing else, and gives the superuser's way in and the owner's URL.
func newDatabase(t *testing.T, plainOwner bool) (admin *sql.DB, name, owner string) {
	t.Helper()
	u, err := url.Parse(dbtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	root := connect(t, u.String())
	name = fmt.Sprintf("tuma_fresh_%d_%d", os.Getpid(), fresh.Add(1))
	do := func(query string) {
		if _, err := root.Exec(query); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
	v := *u
	v.Path = "/" + name
	create := "create database " + name
	if plainOwner {
		do("create role " + name + " login nosuperuser nocreaterole password 'plain'")
		t.Cleanup(func() { do("drop role " + name) })
		create += " owner " + name
	}
	do(create)
	t.Cleanup(func() { do("drop database " + name + " with (force)") })
	admin = connect(t, v.String())
	if plainOwner {
		v.User = url.UserPassword(name, "plain")
	}
	return admin, name, v.String()
}

func migrate(t *testing.T, url string) []string {
	t.Helper()
	names, err := db.Migrate(t.Context(), url, db.MigrateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// check opens the database as the service would.
func check(t *testing.T, url string) error {
	t.Helper()
	p, err := db.Open(t.Context(), db.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	return p.CheckSchema(t.Context())
}

func TestMigrateTwice(t *testing.T) {
	t.Parallel()
	admin, _, u := newDatabase(t, false)
	if err := check(t, u); !errors.Is(err, db.ErrOldSchema) {
		t.Errorf("before: %v, want ErrOldSchema", err)
	}
	first := migrate(t, u)
	if len(first) == 0 || first[0] != "00001_ledger.sql" || !slices.IsSorted(first) {
		t.Errorf("applied %v", first)
	}
	if err := check(t, u); err != nil {
		t.Error(err)
	}
	if second := migrate(t, u); len(second) != 0 {
		t.Errorf("applied again: %v", second)
	}
	var sums int
	if err := admin.QueryRow("select count(*) from migration_sum").Scan(&sums); err != nil || sums != len(first) {
		t.Errorf("%d checksums of %d migrations, %v", sums, len(first), err)
	}
}

func TestMigrateTakesTurns(t *testing.T) {
	t.Parallel()
	_, _, u := newDatabase(t, false)
	const n = 3
	type result struct {
		names []string
		err   error
	}
	ended := make(chan result, n)
	for range n {
		go func() {
			names, err := db.Migrate(t.Context(), u, db.MigrateOptions{})
			ended <- result{names, err}
		}()
	}
	var all []string
	for range n {
		r := <-ended
		if r.err != nil {
			t.Error(r.err)
		}
		all = append(all, r.names...)
	}
	slices.Sort(all)
	if len(all) == 0 || len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Errorf("applied in all: %v", all)
	}
	if err := check(t, u); err != nil {
		t.Error(err)
	}
}

func TestASchemaThatDoesNotFit(t *testing.T) {
	t.Parallel()
	admin, _, u := newDatabase(t, false)
	names := migrate(t, u)
	newest := strings.TrimLeft(strings.SplitN(names[len(names)-1], "_", 2)[0], "0")
	for _, test := range []struct {
		name, spoil, mend string
		check, migrate    error
	}{
		{"a changed migration", "update migration_sum set sha256 = 'ff' || substr(sha256, 3) where name = '00002_accounts.sql'", "delete from migration_sum where name = '00002_accounts.sql'",
			db.ErrForeignSchema, db.ErrForeignSchema},
		{"newer", "insert into goose_db_version (version_id, is_applied) values (9999, true)", "delete from goose_db_version where version_id = 9999",
			db.ErrNewSchema, db.ErrNewSchema},
		{"older", "delete from goose_db_version where version_id = " + newest, "insert into goose_db_version (version_id, is_applied) values (" + newest + ", true)",
			db.ErrOldSchema, nil},
	} {
		if _, err := admin.Exec(test.spoil); err != nil {
			t.Fatal(err)
		}
		if err := check(t, u); !errors.Is(err, test.check) {
			t.Errorf("%s: %v, want %v", test.name, err, test.check)
		} else if test.check == db.ErrForeignSchema && !strings.Contains(err.Error(), "00002_accounts.sql") {
			t.Errorf("%s: %v does not say which", test.name, err)
		}
		if test.migrate != nil {
			if names, err := db.Migrate(t.Context(), u, db.MigrateOptions{}); !errors.Is(err, test.migrate) || len(names) != 0 {
				t.Errorf("%s: migrated %v, %v, want %v", test.name, names, err, test.migrate)
			}
		}
		if _, err := admin.Exec(test.mend); err != nil {
			t.Fatal(err)
		}
		if err := check(t, u); err != nil {
			t.Errorf("after %s: %v", test.name, err)
		}
	}
	// A checksum that is missing is added.
	migrate(t, u)
	var sums int
	if err := admin.QueryRow("select count(*) from migration_sum").Scan(&sums); err != nil || sums != len(names) {
		t.Errorf("%d checksums of %d migrations, %v", sums, len(names), err)
	}
}

// Where the role of the service is made by somebody else, the owner of the
// database suffices: it may not make roles.
func TestMigrateAsAPlainOwner(t *testing.T) {
	t.Parallel()
	admin, name, u := newDatabase(t, true)
	var there bool
	if err := admin.QueryRow("select exists (select from pg_roles where rolname = $1)", db.AppRole).Scan(&there); err != nil || !there {
		t.Fatal(there, err)
	}
	if names := migrate(t, u); len(names) == 0 {
		t.Error("nothing applied")
	}
	if _, err := db.Open(t.Context(), db.Options{URL: u}); state(err) != "42501" && state(err) != "22023" {
		t.Errorf("acts as the service's role without being a member: %v", err)
	}
	if _, err := admin.Exec("grant " + db.AppRole + " to " + name); err != nil {
		t.Fatal(err)
	}
	if err := check(t, u); err != nil {
		t.Error(err)
	}
}

func TestSchemaSumIsConstant(t *testing.T) {
	t.Parallel()
	one, err := db.SchemaSum()
	if err != nil || len(one) != 64 {
		t.Errorf("%q, %v", one, err)
	}
	if two, _ := db.SchemaSum(); two != one {
		t.Errorf("%q and %q", one, two)
	}
}
