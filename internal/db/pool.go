// Package db is the way to Postgres: a pool whose writes can only happen inside
// an explicit transaction, the clock that travels with the transaction, and the
// migrations.
//
// It refuses to know any table: SQL lives beside the function that uses it, in
// the package whose rule it states.
package db

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// AppRole is the database role that the service acts as, whoever it logs in
// as: it may not change or remove what the book has written.
const AppRole = "tuma_app"

// Limits on one conversation with the server. A silent network must not hold a
// customer: lib/pq alone waits for ever (its issue 620).
const (
	statementTimeout = 10 * time.Second
	lockTimeout      = 5 * time.Second
	ioTimeout        = 15 * time.Second // above statementTimeout, so that the server's own answer wins
	batchSilence     = 11 * time.Second // above statementTimeout, too: nothing else ends a batch's statement
	longSilence      = time.Hour        // of an audit that adds up the whole book
	connectTimeout   = 5 * time.Second
	snapshots        = 4 // at a time
	txTries          = 8 // of one function when the server says "serialisation failure" or "deadlock"
)

// ErrUnknown says that a COMMIT was sent and its answer was lost: the writes
// may have happened or not. Whoever gets it asks again by the key of what it
// wrote.
var ErrUnknown = errors.New("db: outcome of the commit is unknown")

// Options say which server and how much of it.
type Options struct {
	URL      string           // postgres://user:password@host/database?sslmode=...; sslmode is required
	Now      func() time.Time // the clock that counts; nil: the server's
	Own      func() time.Time // this process's own, by which the server's is reckoned; nil: time.Now
	MaxConns int              // for writes; as many again for reads. 0: 16
	Batches  int              // InBatch at a time; 0: 4
	Silence  time.Duration    // how long the server may say nothing before it counts as lost; 0: 15 s
	Role     string           // "": AppRole. Migrations run as the URL's own user
	App      string           // application_name, "": tuma

	Migrations fs.FS // a folder's, that the program knows; nil: those that are built in
}

// Pool holds four sets of connections: one for transactions that write, one
// whose sessions are read-only, so that a write outside a transaction is
// refused by the server itself, one for batches, and one, read-only, for
// snapshots.
type Pool struct {
	write, read, batch, long *sqlx.DB
	writes, batches          chan struct{} // hold one for each transaction that runs
	prepared                 struct{ write, read, batch prepared }
	now                      func() time.Time
	clock                    *clock // nil: Options.Now is the clock
	stop                     context.CancelFunc
	keeping                  sync.WaitGroup
	listenDSN                string
	options                  Options
	schema                   *schema
	attends                  *attendance // nil: the program does not
}

// Open connects and pings. It does not look at the schema; see Attend and
// CheckSchema.
func Open(ctx context.Context, o Options) (*Pool, error) {
	if o.Own == nil {
		o.Own = time.Now
	}
	if o.MaxConns == 0 {
		o.MaxConns = 16
	}
	if o.Batches == 0 {
		o.Batches = 4
	}
	if o.Role == "" {
		o.Role = AppRole
	}
	if o.Silence == 0 {
		o.Silence = ioTimeout
	}
	known, err := readSchema(o.Migrations)
	if err != nil {
		return nil, err
	}
	p := &Pool{now: o.Now, listenDSN: o.URL, writes: make(chan struct{}, o.MaxConns), batches: make(chan struct{}, o.Batches), options: o, schema: known}
	var errs [4]error
	// Preparing a statement takes a second connection beside the transaction's.
	p.write, errs[0] = connect(o, o.MaxConns+1, nil, true)
	p.read, errs[1] = connect(o, o.MaxConns, readPlans, false)
	brisk := o
	brisk.Silence = min(o.Silence, batchSilence)
	p.batch, errs[2] = connect(brisk, 2*o.Batches, batchPlans, true)
	o.Silence = longSilence
	p.long, errs[3] = connect(o, snapshots, map[string]string{
		"default_transaction_read_only": "on", "statement_timeout": "0", "idle_in_transaction_session_timeout": "0",
	}, false)
	if err := cmp.Or(errs[:]...); err != nil {
		return nil, err // nothing was dialled yet
	}
	if err := p.read.PingContext(ctx); err != nil {
		p.Close()
		return nil, fmt.Errorf("db: cannot reach the server: %w", err)
	}
	if p.now == nil {
		p.clock = &clock{own: o.Own}
		p.now = p.clock.now
		if err := p.askTime(ctx); err != nil {
			p.Close()
			return nil, err
		}
		keeping, stop := context.WithCancel(context.Background())
		p.stop = stop
		p.keeping.Go(func() { p.keepTime(keeping) })
	}
	return p, nil
}

// batchPlans leave the planner one way to join rows to the list that a batch
// hands in: along the list. The rows are then locked in the list's order, which
// a hash join or a scan of the table would not promise, and two batches that
// hand in sorted lists never wait for each other in a circle.
var batchPlans = map[string]string{
	"enable_hashjoin": "off", "enable_mergejoin": "off", "enable_seqscan": "off", "enable_bitmapscan": "off", "plan_cache_mode": "force_generic_plan", "jit": "off",
}

// readPlans have each query planned once for a connection. Left alone, the planner
// prefers a new plan for each look at the entries of one month, which costs it ten
// times what it costs to look at them.
var readPlans = map[string]string{"default_transaction_read_only": "on", "plan_cache_mode": "force_generic_plan"}

func connect(o Options, conns int, settings map[string]string, combined bool) (*sqlx.DB, error) {
	cfg, err := parse(o.URL, o.App)
	if err != nil {
		return nil, err
	}
	cfg.Runtime["role"] = o.Role
	cfg.Runtime["statement_timeout"] = millis(statementTimeout)
	cfg.Runtime["lock_timeout"] = millis(lockTimeout)
	cfg.Runtime["idle_in_transaction_session_timeout"] = millis(ioTimeout)
	for k, v := range settings {
		cfg.Runtime[k] = v
	}
	c, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("db: %w", err)
	}
	c.Dialer(dialer{io: o.Silence, combined: combined})
	pool := sqlx.NewDb(sql.OpenDB(c), "postgres")
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	return pool, nil
}

// parse reads the URL and adds what every connection of ours wants.
func parse(dsn, app string) (pq.Config, error) {
	if !strings.Contains(dsn, "sslmode=") {
		return pq.Config{}, errors.New("db: the database URL must say sslmode=... (disable only on the same machine)")
	}
	cfg, err := pq.NewConfig(dsn)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the URL, which holds a password
		}
		return pq.Config{}, fmt.Errorf("db: database URL: %w", err)
	}
	if app == "" {
		app = "tuma"
	}
	cfg.ApplicationName = app
	cfg.BinaryParameters = true // one round trip for a query with arguments instead of two
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectTimeout
	}
	if cfg.Runtime == nil {
		cfg.Runtime = map[string]string{}
	}
	return cfg, nil
}

func millis(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }

// Close ends every connection.
func (p *Pool) Close() error {
	if p.stop != nil {
		p.stop()
		p.keeping.Wait()
	}
	var left error
	if p.attends != nil {
		left = p.attends.close()
	}
	return errors.Join(left, p.write.Close(), p.read.Close(), p.batch.Close(), p.long.Close())
}

// Stats tells how the pool's sets of connections are used, by name.
func (p *Pool) Stats() map[string]sql.DBStats {
	return map[string]sql.DBStats{"write": p.write.Stats(), "read": p.read.Stats(), "batch": p.batch.Stats(), "long": p.long.Stats()}
}

// Now is the service's clock, which is the server's, to the microsecond that Postgres can keep.
func (p *Pool) Now() time.Time { return p.now().Round(0).Truncate(time.Microsecond).UTC() }

// Get reads one row on a read-only connection; sql.ErrNoRows when there is none.
// The query is planned once, whatever its arguments: a search that is good for
// some of them only belongs into a snapshot.
func (p *Pool) Get(ctx context.Context, dest any, query string, args ...any) error {
	s, err := p.prepared.read.of(ctx, p.read, query, args)
	if err != nil {
		return err
	}
	if s != nil {
		return s.GetContext(ctx, dest, args...)
	}
	return p.read.GetContext(ctx, dest, query, args...)
}

// Select reads rows on a read-only connection, planned as for Get.
func (p *Pool) Select(ctx context.Context, dest any, query string, args ...any) error {
	s, err := p.prepared.read.of(ctx, p.read, query, args)
	if err != nil {
		return err
	}
	if s != nil {
		return s.SelectContext(ctx, dest, args...)
	}
	return p.read.SelectContext(ctx, dest, query, args...)
}

// prepared keeps statements that are prepared once for each connection:
// planning the joins of a few rows costs the server more than reading them.
type prepared struct {
	byQuery sync.Map // to *sqlx.Stmt
	n       atomic.Int64
}

// maxPrepared bounds them. Queries are constants, a few dozen; whoever makes them
// up as he goes gets them planned each time.
const maxPrepared = 500

// of gives the statement of a query, nil when it has no arguments (it is asked
// once, or has several commands) or there are too many already.
func (p *prepared) of(ctx context.Context, on *sqlx.DB, query string, args []any) (*sqlx.Stmt, error) {
	if len(args) == 0 {
		return nil, nil
	}
	if s, ok := p.byQuery.Load(query); ok {
		return s.(*sqlx.Stmt), nil
	}
	if p.n.Load() >= maxPrepared {
		return nil, nil
	}
	fresh, err := on.PreparexContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if s, ok := p.byQuery.LoadOrStore(query, fresh); ok {
		return s.(*sqlx.Stmt), fresh.Close()
	}
	p.n.Add(1)
	return fresh, nil
}

// Tx is one explicit transaction and the one instant at which it happens.
type Tx struct {
	tx      *sqlx.Tx
	on      *sqlx.DB
	cache   *prepared // of statements on it; nil: they are not prepared
	batch   bool
	last    bool        // ExecLast has sent its statement
	detach  func() bool // see whole
	carried []carried
	Now     time.Time
}

// Get reads one row.
func (t *Tx) Get(ctx context.Context, dest any, query string, args ...any) error {
	ctx, err := t.unwatched(ctx)
	if err != nil {
		return err
	}
	s, err := t.prepared(ctx, query, args)
	if err != nil {
		return err
	}
	if s != nil {
		return s.GetContext(ctx, dest, args...)
	}
	return t.tx.GetContext(ctx, dest, query, args...)
}

// Select reads rows.
func (t *Tx) Select(ctx context.Context, dest any, query string, args ...any) error {
	ctx, err := t.unwatched(ctx)
	if err != nil {
		return err
	}
	s, err := t.prepared(ctx, query, args)
	if err != nil {
		return err
	}
	if s != nil {
		return s.SelectContext(ctx, dest, args...)
	}
	return t.tx.SelectContext(ctx, dest, query, args...)
}

// Exec runs a statement and says how many rows it touched.
func (t *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	ctx, err := t.unwatched(ctx)
	if err != nil {
		return 0, err
	}
	query, args = t.laden(query, args)
	s, err := t.prepared(ctx, query, args)
	if err != nil {
		return 0, err
	}
	var r sql.Result
	if s != nil {
		r, err = s.ExecContext(ctx, args...)
	} else {
		r, err = t.tx.ExecContext(ctx, query, args...)
	}
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// ExecLast is Exec for the last statement of a transaction that prepares them: COMMIT goes to the server
// with it where that can be. What must follow is the end of the function; when it
// returns an error all the same, that is ErrUnknown, unless it is the server's
// refusal of the statement.
func (t *Tx) ExecLast(ctx context.Context, query string, args ...any) (int64, error) {
	if t.cache == nil {
		return 0, errors.New("db: ExecLast is for batches and InTxPrepared")
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if !t.detach() {
		return 0, context.Canceled
	}
	t.last = true
	return t.Exec(context.WithoutCancel(ctx), query+lastMark, args...)
}

// unwatched is the context of a batch's statement. lib/pq has a goroutine watch
// every context that can end, for every statement; a batch looks before each
// statement instead, and how long one may take is up to the server and, when that
// is silent, the connection.
func (t *Tx) unwatched(ctx context.Context) (context.Context, error) {
	if !t.batch {
		return ctx, nil
	}
	return context.WithoutCancel(ctx), ctx.Err()
}

// prepared gives a statement that is prepared once for each connection; nil: this
// one is not.
func (t *Tx) prepared(ctx context.Context, query string, args []any) (*sqlx.Stmt, error) {
	if t.cache == nil {
		return nil, nil
	}
	s, err := t.cache.of(ctx, t.on, query, args)
	if s == nil || err != nil {
		return nil, err
	}
	return t.tx.StmtxContext(ctx, s), nil
}

// InTx runs fn in one transaction and commits. When the server reports a
// deadlock or a serialisation failure nothing has happened, and fn runs again:
// fn must not keep effects of an earlier run. ErrUnknown is in the chain when
// the commit's answer was lost.
func (p *Pool) InTx(ctx context.Context, fn func(tx *Tx) error) error {
	return p.inTx(ctx, nil, fn)
}

// InTxPrepared is InTx for what comes with every payment: its statements are few
// and constant and are prepared once for each connection, BEGIN travels with the
// first of them, and COMMIT with one that ExecLast sends.
func (p *Pool) InTxPrepared(ctx context.Context, fn func(tx *Tx) error) error {
	return p.inTx(ctx, &p.prepared.write, fn)
}

// InBatch is InTx for work that comes in batches and is the same each time: its
// statements are prepared once, and rows that a statement joins to a list of
// keys are locked in the order of that list. fn runs once: the caller decides
// what to do after a deadlock. The queries are few and constant.
func (p *Pool) InBatch(ctx context.Context, fn func(tx *Tx) error) error {
	// Not left to the pool: batches that hold all its connections and prepare
	// would wait for each other.
	select {
	case p.batches <- struct{}{}:
		defer func() { <-p.batches }()
	case <-ctx.Done():
		return fmt.Errorf("db: begin: %w", ctx.Err())
	}
	return p.once(ctx, &Tx{on: p.batch, cache: &p.prepared.batch, batch: true}, fn)
}

// InTxLazily is InTx for writes whose loss in a crash is harmless (when somebody
// was last seen): the commit does not wait for the disk.
func (p *Pool) InTxLazily(ctx context.Context, fn func(tx *Tx) error) error {
	return p.inTx(ctx, nil, func(tx *Tx) error {
		if _, err := tx.Exec(ctx, "set local synchronous_commit = off"); err != nil {
			return err
		}
		return fn(tx)
	})
}

func (p *Pool) inTx(ctx context.Context, cache *prepared, fn func(tx *Tx) error) error {
	// As in InBatch: who prepares a statement needs a connection that is free.
	select {
	case p.writes <- struct{}{}:
		defer func() { <-p.writes }()
	case <-ctx.Done():
		return fmt.Errorf("db: begin: %w", ctx.Err())
	}
	for try := 1; ; try++ {
		err := p.once(ctx, &Tx{on: p.write, cache: cache}, fn)
		if err == nil || try == txTries || !Retryable(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Duration(try*try) * time.Millisecond):
		}
	}
}

// Retryable tells whether the server undid a transaction for a reason that is
// gone at the next try: a deadlock, a serialisation failure.
func Retryable(err error) bool {
	return pq.As(err, pqerror.TRSerializationFailure, pqerror.TRDeadlockDetected) != nil
}

func (p *Pool) once(ctx context.Context, t *Tx, fn func(tx *Tx) error) error {
	whole, err := t.whole(ctx)
	if err != nil {
		return fmt.Errorf("db: begin: %w", err)
	}
	defer t.detach()
	tx, err := t.on.BeginTxx(whole, nil)
	if err != nil {
		return fmt.Errorf("db: begin: %w", err)
	}
	defer tx.Rollback()
	t.tx, t.Now = tx, p.Now()
	err = fn(t)
	if err == nil && len(t.carried) > 0 {
		err = errNotCarried
	}
	if err != nil {
		if t.last && !(pq.As(err) != nil && definite(err)) {
			return fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		return err
	}
	if !t.last && !t.detach() { // nothing was sent
		return fmt.Errorf("db: commit refused: %w", ctx.Err())
	}
	err = tx.Commit()
	switch {
	case err == nil:
		return nil
	case definite(err):
		return fmt.Errorf("db: commit refused: %w", err)
	default:
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
}

// whole is the context of a transaction. It ends with ctx until detach is called,
// which is false when it has ended. A COMMIT is not interrupted: a server that
// waits for its standby would take that for a request to wait no longer, and
// answer that the commit is done. A batch's is not watched at all.
func (t *Tx) whole(ctx context.Context) (whole context.Context, err error) {
	if t.batch {
		t.detach = func() bool { return true }
		return t.unwatched(ctx)
	}
	whole, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t.detach = context.AfterFunc(ctx, cancel)
	return whole, nil
}

// definite tells whether a failed COMMIT certainly did nothing.
func definite(err error) bool {
	e := pq.As(err)
	if e == nil {
		// Nothing was sent: the context had ended (the errors are these very
		// ones then, wrapped they could be a network's), database/sql had rolled
		// back for that, or an earlier statement had failed.
		return err == context.Canceled || err == context.DeadlineExceeded ||
			errors.Is(err, sql.ErrTxDone) || errors.Is(err, pq.ErrInFailedTransaction)
	}
	// The server answered with an error of its own. These may be the end of the
	// connection, or of a part of a distributed server.
	switch e.Code.Class() {
	case "57", "08", "XX": // operator intervention, connection, internal
		return false
	}
	return e.Code != pqerror.TRStatementCompletionUnknown
}

// Violates tells whether err is a violation of the constraint of that name;
// names are compared by prefix because a distributed Postgres appends the
// shard's number.
func Violates(err error, constraint string) bool {
	e := pq.As(err, pqerror.UniqueViolation, pqerror.CheckViolation, pqerror.ForeignKeyViolation)
	return e != nil && strings.HasPrefix(e.Constraint, constraint)
}

// OfData tells whether the server refused what one statement wanted to store (a
// value out of range, a constraint), as opposed to being lost or busy.
func OfData(err error) bool {
	e := pq.As(err)
	return e != nil && (e.Code.Class() == "22" || e.Code.Class() == "23")
}

// NoPartition tells whether a row found no partition to go to.
func NoPartition(err error) bool {
	e := pq.As(err, pqerror.CheckViolation)
	return e != nil && e.Constraint == "" // a violated CHECK has a name
}

// Strings scans a column of text[].
type Strings = pq.StringArray
