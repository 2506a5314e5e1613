package db

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sort"

	"github.com/lib/pq"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Errors of a schema that does not fit the program.
var (
	ErrOldSchema     = errors.New("db: the schema is older than this program: run tuma migrate")
	ErrNewSchema     = errors.New("db: the schema is newer than this program: start a newer program")
	ErrForeignSchema = errors.New("db: a migration that was applied differs from this program's")
)

// Migrate brings the database at url to this program's schema, forward only,
// one transaction a migration, one process at a time. It needs a user that may
// create tables and the role AppRole; it returns the names of what it applied.
func Migrate(ctx context.Context, url string) ([]string, error) {
	cfg, err := parse(url, "tuma migrate")
	if err != nil {
		return nil, err
	}
	c, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("db: %w", err)
	}
	pool := sql.OpenDB(c)
	defer pool.Close()
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300)) // looks every second for five minutes
	if err != nil {
		return nil, err
	}
	p, err := provider(pool, goose.WithSessionLocker(locker))
	if err != nil {
		return nil, err
	}
	if have, want, err := p.GetVersions(ctx); err != nil {
		return nil, fmt.Errorf("db: migrate: %w", err)
	} else if have > want {
		return nil, ErrNewSchema
	} else if have > 0 {
		if err := checkSums(ctx, pool); err != nil {
			return nil, err
		}
	}
	done, err := p.Up(ctx)
	if err != nil {
		return nil, fmt.Errorf("db: migrate: %w", err)
	}
	var names []string
	for _, r := range done {
		names = append(names, path.Base(r.Source.Path))
	}
	return names, recordSums(ctx, pool)
}

func provider(pool *sql.DB, o ...goose.ProviderOption) (*goose.Provider, error) {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, pool, sub, append(o, goose.WithDisableGlobalRegistry(true))...)
}

const sqlApplied = `select coalesce(max(version_id), 0) from goose_db_version where is_applied`

// CheckSchema refuses a database that is not exactly at this program's schema.
func (p *Pool) CheckSchema(ctx context.Context) error {
	var have int64
	if err := p.Get(ctx, &have, sqlApplied); err != nil {
		if e := pq.As(err, "42P01"); e != nil { // undefined_table: never migrated
			return ErrOldSchema
		}
		return fmt.Errorf("db: reading the schema's version: %w", err)
	}
	pr, err := provider(p.read.DB)
	if err != nil {
		return err
	}
	sources := pr.ListSources()
	want := sources[len(sources)-1].Version
	switch {
	case have < want:
		return fmt.Errorf("%w (it is at %d, this program needs %d)", ErrOldSchema, have, want)
	case have > want:
		return fmt.Errorf("%w (it is at %d, this program knows %d)", ErrNewSchema, have, want)
	}
	return checkSums(ctx, p.read.DB)
}

// sums gives the SHA-256 of every migration by its file's name.
func sums() (map[string]string, []string, error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, nil, err
	}
	sort.Strings(files)
	m := map[string]string{}
	var names []string
	for _, f := range files {
		b, err := migrations.ReadFile(f)
		if err != nil {
			return nil, nil, err
		}
		h := sha256.Sum256(b)
		m[path.Base(f)] = hex.EncodeToString(h[:])
		names = append(names, path.Base(f))
	}
	return m, names, nil
}

const (
	sqlSums    = `select name, sha256 from migration_sum`
	sqlAddSums = `insert into migration_sum (name, sha256) select * from unnest($1::text[], $2::text[]) on conflict (name) do nothing`
)

func checkSums(ctx context.Context, pool *sql.DB) error {
	want, _, err := sums()
	if err != nil {
		return err
	}
	rows, err := pool.QueryContext(ctx, sqlSums)
	if err != nil {
		return fmt.Errorf("db: reading the migrations' checksums: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, sum string
		if err := rows.Scan(&name, &sum); err != nil {
			return err
		}
		if w, ok := want[name]; ok && w != sum {
			return fmt.Errorf("%w: %s", ErrForeignSchema, name)
		}
	}
	return rows.Err()
}

func recordSums(ctx context.Context, pool *sql.DB) error {
	m, names, err := sums()
	if err != nil {
		return err
	}
	values := make([]string, len(names))
	for i, n := range names {
		values[i] = m[n]
	}
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, sqlAddSums, pq.Array(names), pq.Array(values)); err != nil {
		return fmt.Errorf("db: recording the migrations' checksums: %w", err)
	}
	return tx.Commit()
}

// SchemaSum names this program's schema: equal for equal migrations.
func SchemaSum() (string, error) {
	m, names, err := sums()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, n := range names {
		fmt.Fprintln(h, n, m[n])
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
