package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// ErrShutOut says that a migration is being applied that this program does not
// work with.
var ErrShutOut = errors.New("db: a migration is under way that this program does not know")

// attendEvery is how often an attending program looks whether the schema still
// takes it.
const attendEvery = 2 * time.Second

// lockClass is the first half of the advisory locks by which programs are known
// to migrations: "TUMA". The second half is the newest migration that they know.
const lockClass = 0x54554d41

const (
	sqlAttend  = `select pg_try_advisory_lock_shared($1::int, $2::int)`
	sqlShutOut = `select count(*) from unnest($2::int[]) v where not pg_try_advisory_lock($1::int, v)`
	sqlLetIn   = `select count(*) from unnest($2::int[]) v where pg_advisory_unlock($1::int, v)`
	sqlRunning = `
select l.pid, coalesce(host(a.client_addr), ''), coalesce(a.application_name, '')
from pg_locks l left join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.classid::bigint = $1 and l.objid::bigint < $2 and l.objsubid = 2 and l.granted
  and l.database = (select oid from pg_database where datname = current_database()) and l.pid <> pg_backend_pid()
order by a.backend_start`
)

// attendSettings have the server ask a silent client whether it is still there, so
// that a machine without power is forgotten within a minute.
var attendSettings = map[string]string{
	"default_transaction_read_only": "on", "tcp_keepalives_idle": "30", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3",
}

// attendance is a program's mark in the database for as long as it runs: a
// connection that holds a shared lock, which ends when the process does.
type attendance struct {
	schema *schema
	pool   *sqlx.DB // of one connection
	conn   *sql.Conn
	stop   context.CancelFunc
	ended  chan struct{}
}

// Attend is CheckSchema for a program that stays: migrations that do not work
// with it are not applied until the pool is closed. Should one be applied all
// the same (the connection to the server was lost just then), outdated is told
// once, with ErrNewSchema.
func (p *Pool) Attend(ctx context.Context, outdated func(error)) error {
	if p.attends != nil {
		return errors.New("db: the program attends already")
	}
	o := p.options
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	o.App = fmt.Sprintf("tuma %05d %s:%d", p.schema.newest(), host, os.Getpid())
	a := &attendance{schema: p.schema, ended: make(chan struct{})}
	if a.pool, err = connect(o, 1, attendSettings, false); err != nil {
		return err
	}
	if err = a.look(ctx); err == nil {
		err = p.schema.checkSums(ctx, p.read.DB)
	}
	if err != nil {
		return errors.Join(err, a.leave(), a.pool.Close())
	}
	life, stop := context.WithCancel(context.Background())
	a.stop = stop
	go a.stay(life, outdated)
	p.attends = a
	return nil
}

// stay looks again and again.
func (a *attendance) stay(ctx context.Context, outdated func(error)) {
	defer close(a.ended)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(attendEvery):
		}
		err := a.look(ctx)
		if errors.Is(err, ErrNewSchema) {
			outdated(err)
			return
		}
		if err != nil { // the connection may be lost, and the lock with it
			a.leave()
		}
	}
}

// look takes the lock, unless it is held, and then asks what the schema takes.
func (a *attendance) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	if a.conn == nil {
		conn, err := a.pool.DB.Conn(ctx)
		if err != nil {
			return fmt.Errorf("db: cannot reach the server: %w", err)
		}
		var in bool
		if err = conn.QueryRowContext(ctx, sqlAttend, lockClass, a.schema.newest()).Scan(&in); err == nil && !in {
			err = ErrShutOut
		}
		if err != nil {
			return errors.Join(err, conn.Close())
		}
		a.conn = conn
	}
	return a.schema.fits(ctx, a.conn)
}

// leave gives the connection back. One that still stands keeps its lock, and is
// taken again.
func (a *attendance) leave() (err error) {
	if a.conn != nil {
		err = a.conn.Close()
		a.conn = nil
	}
	return err
}

func (a *attendance) close() error {
	a.stop()
	<-a.ended
	return errors.Join(a.leave(), a.pool.Close())
}

// letIn gives up whichever of these locks are held.
func (m *migration) letIn(ctx context.Context, versions []int64) error {
	var n int
	return m.keeper.QueryRowContext(ctx, sqlLetIn, lockClass, pq.Array(versions)).Scan(&n)
}

// running names the programs that do not know a migration.
func (m *migration) running(ctx context.Context, from int64) (string, error) {
	rows, err := m.keeper.QueryContext(ctx, sqlRunning, lockClass, from)
	if err != nil {
		return "", fmt.Errorf("db: which programs are running: %w", err)
	}
	defer rows.Close()
	var who []string
	for rows.Next() {
		var pid int
		var address, app string
		if err := rows.Scan(&pid, &address, &app); err != nil {
			return "", err
		}
		if address == "" { // a socket, or not for this user to know
			address = "-"
		}
		who = append(who, fmt.Sprintf("%s (pid %d, address %s)", app, pid, address))
	}
	if len(who) == 0 {
		return "was one just now", rows.Err()
	}
	return fmt.Sprintf("run %d: %s", len(who), strings.Join(who, ", ")), rows.Err()
}
