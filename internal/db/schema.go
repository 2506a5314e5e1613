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
	"regexp"
	"sort"
	"strconv"
	"strings"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

//go:embed migrations/*.sql
var builtIn embed.FS

// Errors of a schema that does not fit the program.
var (
	ErrOldSchema     = errors.New("db: the schema is older than this program: run tuma migrate")
	ErrNewSchema     = errors.New("db: the schema is newer than this program: start a newer program")
	ErrForeignSchema = errors.New("db: a migration that was applied differs from this program's")
)

// schema is the migrations that a program knows, oldest first.
type schema struct {
	files fs.FS // of the folder
	steps []step
}

// step is one migration. Beside a schema that has it run programs that know
// migration from, or a newer one.
type step struct {
	version   int64
	name, sum string
	from      int64
	contracts bool // programs that know from do without it, too: it only takes away
}

// floorsSince is the migration that makes schema_floor; those before it are all
// breaking.
const floorsSince = 27

// A migration says on a line of its own what it is:
//
//	-- +tuma expand from 00027     programs that know 00027 go on beside it
//	-- +tuma contract from 00028   it takes away what programs that know 00028 do without
//
// One that says nothing is breaking: only programs that know it run beside it.
var (
	ofStep      = regexp.MustCompile(`^(\d{5})_\w+\.sql$`)
	whatItIs    = regexp.MustCompile(`(?m)^-- \+tuma (expand|contract) from (\d{5})$`)
	noTx        = regexp.MustCompile(`(?m)^-- \+goose NO TRANSACTION`)
	errOneLine  = errors.New("one line at most says -- +tuma expand from NNNNN or -- +tuma contract from NNNNN")
	errFrom     = errors.New("from is a migration before it")
	errInDoubts = errors.New("only what expands may do without a transaction: what a schema is and what it takes must change at one instant")
)

// readSchema reads a folder of migrations; nil is this program's own.
func readSchema(files fs.FS) (*schema, error) {
	if files == nil {
		sub, err := fs.Sub(builtIn, "migrations")
		if err != nil {
			return nil, err
		}
		files = sub
	}
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	sort.Strings(names)
	s := &schema{files: files}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		t, err := s.read(name, string(text))
		if err != nil {
			return nil, fmt.Errorf("db: %s: %w", name, err)
		}
		s.steps = append(s.steps, t)
	}
	if len(s.steps) == 0 {
		return nil, errors.New("db: there are no migrations")
	}
	return s, nil
}

func (s *schema) read(name, text string) (step, error) {
	m := ofStep.FindStringSubmatch(name)
	if m == nil {
		return step{}, errors.New("it is called NNNNN_name.sql")
	}
	sum := sha256.Sum256([]byte(text))
	t := step{name: name, sum: hex.EncodeToString(sum[:])}
	t.version, _ = strconv.ParseInt(m[1], 10, 32)
	t.from = t.version
	lines := whatItIs.FindAllStringSubmatch(text, -1)
	if len(lines) != strings.Count(text, "+tuma") || len(lines) > 1 {
		return t, errOneLine
	}
	if len(lines) == 1 {
		t.contracts = lines[0][1] == "contract"
		t.from, _ = strconv.ParseInt(lines[0][2], 10, 32)
		if t.version <= floorsSince || t.from < floorsSince || !s.knows(t.from) {
			return t, errFrom
		}
	}
	if noTx.MatchString(text) && (t.from == t.version || t.contracts) {
		return t, errInDoubts
	}
	return t, nil
}

func (s *schema) knows(version int64) bool { return s.step(version) != nil }

// step finds a migration; nil: it is not this program's.
func (s *schema) step(version int64) *step {
	for i := range s.steps {
		if s.steps[i].version == version {
			return &s.steps[i]
		}
	}
	return nil
}

// newest is how programs are told apart: by the newest migration that they know.
func (s *schema) newest() int64 { return s.steps[len(s.steps)-1].version }

// needs is the newest migration without which the program does not run.
func (s *schema) needs() (version int64) {
	for _, t := range s.steps {
		if !t.contracts {
			version = t.version
		}
	}
	return version
}

// A migration that was applied and says nothing of older programs takes none.
const sqlFloor = `
select max(g.version_id), max(coalesce(f.works_with, g.version_id))
from goose_db_version g left join schema_floor f on f.version = g.version_id where g.is_applied`

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// fits refuses a database whose schema is not for this program: one that lacks
// a migration that it needs, or takes newer programs only.
func (s *schema) fits(ctx context.Context, on querier) error {
	var at, floor int64
	err := on.QueryRowContext(ctx, sqlFloor).Scan(&at, &floor)
	switch {
	case pq.As(err, pqerror.UndefinedTable) != nil:
		return ErrOldSchema
	case err != nil:
		return fmt.Errorf("db: reading the schema's version: %w", err)
	case at < s.needs():
		return fmt.Errorf("%w (it is at %05d, this program needs %05d)", ErrOldSchema, at, s.needs())
	case floor > s.newest():
		return fmt.Errorf("%w (it takes programs that know %05d, this one knows %05d)", ErrNewSchema, floor, s.newest())
	}
	return nil
}

const (
	sqlSums    = `select name, sha256 from migration_sum`
	sqlAddSums = `
insert into migration_sum (name, sha256) select m.name, m.sha256 from unnest($1::text[], $2::text[], $3::bigint[]) m (name, sha256, version)
where exists (select from goose_db_version g where g.version_id = m.version and g.is_applied) on conflict (name) do nothing`
)

// checkSums refuses a database to which other migrations of the same names were
// applied. Those of newer programs are theirs to check.
func (s *schema) checkSums(ctx context.Context, pool *sql.DB) error {
	want := map[string]string{}
	for _, t := range s.steps {
		want[t.name] = t.sum
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

// recordSums adds the checksums of what was applied and has none.
func (s *schema) recordSums(ctx context.Context, pool *sql.DB) error {
	var names, values []string
	var versions []int64
	for _, t := range s.steps {
		names, values, versions = append(names, t.name), append(values, t.sum), append(versions, t.version)
	}
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, sqlAddSums, pq.Array(names), pq.Array(values), pq.Array(versions)); err != nil {
		return fmt.Errorf("db: recording the migrations' checksums: %w", err)
	}
	return tx.Commit()
}

// SchemaSum names this program's schema: equal for equal migrations.
func SchemaSum() (string, error) {
	s, err := readSchema(nil)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, t := range s.steps {
		fmt.Fprintln(h, t.name, t.sum)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// CheckSchema refuses a database whose schema does not fit this program.
func (p *Pool) CheckSchema(ctx context.Context) error {
	if err := p.schema.fits(ctx, p.read); err != nil {
		return err
	}
	return p.schema.checkSums(ctx, p.read.DB)
}

// SchemaFits is CheckSchema for who asks often: a migration may have been applied
// since.
func (p *Pool) SchemaFits(ctx context.Context) error { return p.schema.fits(ctx, p.read) }
