package devenv

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lib/pq"
)

// PostgresOptions says where a cluster lives and how it runs.
type PostgresOptions struct {
	Dir      string            // required; made when missing
	NoFsync  bool              // for tests: what is written need not survive a crash of the machine
	Log      io.Writer         // what the supervisor does, a line each; nil for silence
	Settings map[string]string // of postgresql.conf; all but where the server listens
}

// Postgres is a running PostgreSQL server, a child of this process, that
// listens on a free TCP port of 127.0.0.1 and nowhere else.
type Postgres struct {
	dir    string
	bin    binaries
	port   int
	pick   func() (int, error) // freePort
	secret string
	log    io.Writer
	child  *child
	lock   *os.File
	stop   sync.Once
	err    error // of Stop
}

// StartPostgres starts the cluster in o.Dir, making it first when there is none,
// and returns when it accepts connections. ctx bounds the start only, which
// has a minute at most; afterwards the server runs until Stop, or until this
// process ends.
//
// Errors to tell apart with errors.As: [ErrRunning], [ErrVersion], [ErrNoServer].
func StartPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	p := &Postgres{log: o.Log, pick: freePort}
	if p.log == nil {
		p.log = io.Discard
	}
	if o.Dir == "" {
		return nil, errors.New("devenv: PostgresOptions.Dir is empty")
	}
	var err error
	if p.dir, err = makeDir(o.Dir); err != nil {
		return nil, fmt.Errorf("devenv: %w", err)
	}
	if p.lock, err = lockDir(p.dir); err != nil {
		return nil, wrap(err)
	}
	if err := p.start(ctx, o); err != nil {
		p.lock.Close()
		return nil, wrap(err)
	}
	return p, nil
}

func (p *Postgres) start(ctx context.Context, o PostgresOptions) error {
	data := filepath.Join(p.dir, "data")
	found, err := findBinaries(ctx)
	if err != nil {
		return err
	}
	if p.bin, err = choose(found, data); err != nil {
		return err
	}
	who, err := chooseOwner(data)
	if err != nil {
		return err
	}
	if err := admit(who, p.dir, p.bin); err != nil {
		return err
	}
	if pid, err := stopOrphan(ctx, data); err != nil {
		return err
	} else if pid != 0 {
		fmt.Fprintf(p.log, "stopped the PostgreSQL (process %d) that an earlier run left behind in %s\n", pid, p.dir)
	}
	if err := sweep(p.dir); err != nil {
		return err
	}
	if p.secret, err = password(p.dir); err != nil {
		return err
	}
	if _, err := os.Stat(data); errors.Is(err, os.ErrNotExist) {
		fmt.Fprintf(p.log, "making a PostgreSQL %s cluster in %s\n", p.bin.version, p.dir)
		if err := makeCluster(ctx, p.dir, p.bin, who, p.secret, !o.NoFsync); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	return p.launch(ctx, data, who, o)
}

// admit makes sure that the server's user can reach the cluster and the
// binaries. The cluster's own directory is ours to open, those above it are not.
func admit(who *owner, dir string, bin binaries) error {
	if who == nil {
		return nil
	}
	if err := who.reaches(filepath.Dir(dir)); err != nil {
		return err
	}
	if st, err := os.Stat(dir); err == nil && !who.mayEnter(st) {
		if err := os.Chmod(dir, st.Mode().Perm()|0o011); err != nil {
			return err
		}
	}
	if err := who.reaches(dir); err != nil {
		return err
	}
	return who.reaches(bin.dir)
}

// launch starts the server and tries again where waiting or another port helps.
func (p *Postgres) launch(ctx context.Context, data string, who *owner, o PostgresOptions) error {
	logPath := filepath.Join(p.dir, "postgres.log")
	for attempt := 1; ; attempt++ {
		out, from, err := openLog(logPath)
		if err != nil {
			return err
		}
		if p.port, err = p.pick(); err != nil {
			out.Close()
			return err
		}
		cmd := exec.Command(p.bin.path("postgres"), serverArgs(data, p.port, o)...)
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = data, bareEnv(), out, out
		// When this process is killed nobody waits for a checkpoint: SIGQUIT ends
		// the server at once, and the next start recovers.
		p.child, err = startChild(cmd, who, syscall.SIGQUIT)
		out.Close()
		if err != nil {
			return fmt.Errorf("starting %s: %w", cmd.Path, err)
		}
		err = p.waitReady(ctx)
		if err == nil {
			return nil
		}
		if _, stopErr := p.child.stop(shutdown...); stopErr != nil {
			return errors.Join(err, stopErr)
		}
		said := tail(logPath, from, 12)
		// A killed postmaster's other processes need a moment to notice, and a
		// free port may be taken between asking for it and using it.
		passing := strings.Contains(said, "is still in use") || strings.Contains(said, "Address already in use")
		if !passing || attempt == 40 {
			return fmt.Errorf("PostgreSQL %s did not start: %w; the end of %s:\n%s", p.bin.version, err, logPath, said)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// serverArgs are a laptop's settings: small, loopback only, no Unix socket
// (its path has a length limit that a deep directory breaks).
func serverArgs(data string, port int, o PostgresOptions) []string {
	settings := map[string]string{
		"max_connections":   "200",
		"shared_buffers":    "128MB",
		"fsync":             "on",
		"jit":               "off",
		"timezone":          "UTC",
		"log_timezone":      "UTC",
		"log_destination":   "stderr",
		"logging_collector": "off",
	}
	if o.NoFsync {
		settings["fsync"], settings["full_page_writes"] = "off", "off"
	}
	maps.Copy(settings, o.Settings)
	settings["port"] = strconv.Itoa(port)
	settings["listen_addresses"] = "127.0.0.1"
	settings["unix_socket_directories"] = ""
	args := []string{"-D", data}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

// waitReady returns when a client can log in.
func (p *Postgres) waitReady(ctx context.Context) error {
	var last error
	ready := poll(ctx, time.Minute, func() bool {
		if p.child.ended() {
			return true
		}
		last = p.login(ctx)
		var refused *pq.Error
		if errors.As(last, &refused) && refused.Code.Class() == "28" { // invalid authorization
			return true
		}
		return last == nil
	})
	switch {
	case p.child.ended():
		return fmt.Errorf("it ended (%v)", p.child.err)
	case !ready && ctx.Err() != nil:
		return fmt.Errorf("%w while waiting for it (last: %v)", ctx.Err(), last)
	case last != nil:
		return fmt.Errorf("logging in with the password in %s: %w", filepath.Join(p.dir, "password"), last)
	}
	return nil
}

// login tries once whether the server lets us in.
func (p *Postgres) login(ctx context.Context) error {
	connector, err := pq.NewConnector(p.URL("postgres"))
	if err != nil {
		return err
	}
	connector.Dialer(impatient{})
	conn, err := connector.Connect(ctx)
	if err != nil {
		return err
	}
	return conn.Close()
}

// impatient dials connections that last two seconds. lib/pq does not give up
// on a silent peer when its context ends, and whoever took our free port before
// the server could may be silent.
type impatient struct{}

func (impatient) Dial(network, address string) (net.Conn, error) {
	return impatient{}.DialTimeout(network, address, 2*time.Second)
}

func (impatient) DialTimeout(network, address string, limit time.Duration) (net.Conn, error) {
	conn, err := net.DialTimeout(network, address, min(limit, 2*time.Second))
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(2 * time.Second))
}

// URL is the address of a database of this server, password included.
func (p *Postgres) URL(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, p.secret),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// EnsureDatabase makes the database unless it is there.
func (p *Postgres) EnsureDatabase(ctx context.Context, name string) error {
	connector, err := pq.NewConnector(p.URL("postgres"))
	if err != nil {
		return fmt.Errorf("devenv: %w", err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	var there bool
	err = db.QueryRowContext(ctx, "select exists (select from pg_database where datname = $1)", name).Scan(&there)
	if err == nil && !there {
		// Creating a database cannot be part of a transaction; the check above and
		// the server's own unique index make a repetition harmless.
		_, err = db.ExecContext(ctx, "create database "+pq.QuoteIdentifier(name))
	}
	if err != nil {
		return fmt.Errorf("devenv: making the database %s: %w", name, err)
	}
	return nil
}

// Pid is the server's main process.
func (p *Postgres) Pid() int { return p.child.pid() }

// Done is closed when the server has ended, by Stop or by itself.
func (p *Postgres) Done() <-chan struct{} { return p.child.done }

// Describe says in a few words what runs, for a banner.
func (p *Postgres) Describe() string {
	return fmt.Sprintf("PostgreSQL %s (process %d) on 127.0.0.1:%d, data in %s", p.bin.version, p.Pid(), p.port, p.dir)
}

// Stop shuts the server down: clients are cut off, everything is written, and
// the directory is free for another start. An error means that it had ended by
// itself before, or would not end. Further calls return the first one's answer.
func (p *Postgres) Stop() error {
	p.stop.Do(func() {
		defer p.lock.Close()
		if p.child.ended() {
			p.err = fmt.Errorf("devenv: PostgreSQL had ended by itself (%v), see %s", p.child.err, filepath.Join(p.dir, "postgres.log"))
			return
		}
		by, err := p.child.stop(shutdown...)
		switch {
		case err != nil:
			p.err = fmt.Errorf("devenv: stopping PostgreSQL: %w", err)
		case by != syscall.SIGINT:
			fmt.Fprintf(p.log, "PostgreSQL needed %v to stop; the next start recovers\n", by)
		}
	})
	return p.err
}

// wrap names the package, once.
func wrap(err error) error {
	if strings.HasPrefix(err.Error(), "devenv: ") {
		return err
	}
	return fmt.Errorf("devenv: %w", err)
}

// Tool is the path of one of the server's own programs: pgbench, pg_dump.
func (p *Postgres) Tool(name string) string { return p.bin.path(name) }
