package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"
)

// ErrStillRunning says that programs run which do not know what a migration
// needs them to know. Its text names them.
var ErrStillRunning = errors.New("db: older programs are still running")

// MigrateOptions say how a database is brought to a program's schema.
type MigrateOptions struct {
	Migrations fs.FS             // a folder's; nil: this program's
	Expand     bool              // leave out what contracts, and whatever follows it
	Wait       bool              // for older programs to end, instead of ErrStillRunning
	Say        func(line string) // is told what is done, waited for and left out; nil: nobody is
}

// A migration waits for a lock no longer than this: whoever asks for the same
// table afterwards stands behind it, payments too. Then it lets them pass, and
// tries again.
const (
	ddlPatience = 500 * time.Millisecond
	ddlBreath   = 2 * time.Second // between two tries
	ddlTries    = 150             // five minutes and more
)

// migration is one run of Migrate.
type migration struct {
	MigrateOptions
	*schema
	pool    *sql.DB
	goose   *goose.Provider
	keeper  *sql.Conn // holds the locks
	applied []string
	shut    int64 // programs that do not know this one can't start
}

// Migrate brings the database at url to this program's schema, forward only,
// one transaction a migration, one process at a time. It needs a user that may
// create tables and the role AppRole; it returns the names of what it applied,
// also beside an error. Programs that use the database may go on meanwhile, but
// those that a migration does not work with must have ended: see ErrStillRunning.
func Migrate(ctx context.Context, url string, o MigrateOptions) (applied []string, err error) {
	m := &migration{MigrateOptions: o}
	if m.Say == nil {
		m.Say = func(string) {}
	}
	if m.schema, err = readSchema(o.Migrations); err != nil {
		return nil, err
	}
	cfg, err := parse(url, "tuma migrate")
	if err != nil {
		return nil, err
	}
	cfg.Runtime["lock_timeout"] = millis(ddlPatience)
	c, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("db: %w", err)
	}
	m.pool = sql.OpenDB(c)
	defer m.pool.Close() // and with it the locks
	if m.keeper, err = m.pool.Conn(ctx); err != nil {
		return nil, fmt.Errorf("db: cannot reach the server: %w", err)
	}
	defer m.keeper.Close()
	defer m.keeper.ExecContext(context.WithoutCancel(ctx), "select pg_advisory_unlock_all()") // before the next one asks
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))                // looks every second for five minutes
	if err != nil {
		return nil, err
	}
	if err := locker.SessionLock(ctx, m.keeper); err != nil {
		return nil, fmt.Errorf("db: another tuma migrate is at work: %w", err)
	}
	if err := m.open(ctx); err != nil {
		return nil, err
	}
	err = m.run(ctx)
	if len(m.applied) > 0 || err == nil {
		err = errors.Join(err, m.recordSums(context.WithoutCancel(ctx), m.pool))
	}
	return m.applied, err
}

// open looks at what there is.
func (m *migration) open(ctx context.Context) error {
	store, err := database.NewStore(database.DialectPostgres, goose.DefaultTablename)
	if err != nil {
		return err
	}
	extended, ok := store.(database.StoreExtender)
	if !ok {
		return errors.New("db: goose's store does not look for its table")
	}
	m.goose, err = goose.NewProvider(database.DialectCustom, m.pool, m.files,
		goose.WithStore(floors{extended, m.schema}), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	have, want, err := m.goose.GetVersions(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("db: migrate: %w", err)
	case have > want:
		return ErrNewSchema
	case have > 0:
		return m.checkSums(ctx, m.pool)
	}
	return nil
}

// run applies what is missing, one after the other.
func (m *migration) run(ctx context.Context) error {
	all, err := m.goose.Status(ctx)
	if err != nil {
		return fmt.Errorf("db: migrate: %w", err)
	}
	for _, s := range all {
		if s.State != goose.StatePending {
			continue
		}
		t := m.step(s.Source.Version)
		if t.contracts && m.Expand {
			m.Say(t.name + " contracts: it is left for when no older program runs")
			return nil
		}
		if err := m.shutOut(ctx, t); err != nil {
			return err
		}
		if err := m.apply(ctx, t); err != nil {
			return fmt.Errorf("db: migrate: %s: %w", t.name, err)
		}
		m.applied = append(m.applied, t.name)
		m.Say("applied " + t.name)
	}
	return nil
}

// apply applies one migration, and waits for its locks in small sips.
func (m *migration) apply(ctx context.Context, t *step) error {
	for try := 1; ; try++ {
		_, err := m.goose.UpTo(ctx, t.version)
		if err == nil || try == ddlTries || pq.As(err, pqerror.LockNotAvailable) == nil {
			return err
		}
		m.Say(fmt.Sprintf("%s waits for a lock that somebody holds, and lets others pass (%d)", t.name, try))
		if err := m.breathe(ctx); err != nil {
			return err
		}
	}
}

func (m *migration) breathe(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(ddlBreath):
		return nil
	}
}

// shutOut makes sure that no program runs that the migration does not work with,
// and that none starts before Migrate ends: each holds a lock named by the newest
// migration that it knows, see Attend.
func (m *migration) shutOut(ctx context.Context, t *step) error {
	if m.shut >= t.from {
		return nil
	}
	var before []int64
	for _, s := range m.steps {
		if s.version < t.from {
			before = append(before, s.version)
		}
	}
	for said := ""; ; {
		var held int
		if err := m.keeper.QueryRowContext(ctx, sqlShutOut, lockClass, pq.Array(before)).Scan(&held); err != nil {
			return fmt.Errorf("db: are older programs running: %w", err)
		}
		if held == 0 {
			m.shut = t.from
			return nil
		}
		// Whoever is waited for may still be started again.
		if err := m.letIn(ctx, before); err != nil {
			return err
		}
		who, err := m.running(ctx, t.from)
		if err != nil {
			return err
		}
		if !m.Wait {
			return fmt.Errorf("%w: %s takes programs that know %05d, and there %s", ErrStillRunning, t.name, t.from, who)
		}
		if who != said {
			said = who
			m.Say(fmt.Sprintf("%s waits: there %s", t.name, who))
		}
		if err := m.breathe(ctx); err != nil {
			return err
		}
	}
}

// floors notes, in the transaction of each migration, which programs it works with.
type floors struct {
	database.StoreExtender
	schema *schema
}

const sqlAddFloor = `insert into schema_floor (version, works_with) values ($1, $2)`

// Insert is called after a migration's last statement.
func (s floors) Insert(ctx context.Context, tx database.DBTxConn, r database.InsertRequest) error {
	if err := s.StoreExtender.Insert(ctx, tx, r); err != nil || r.Version < floorsSince {
		return err
	}
	_, err := tx.ExecContext(ctx, sqlAddFloor, r.Version, s.schema.step(r.Version).from)
	return err
}
