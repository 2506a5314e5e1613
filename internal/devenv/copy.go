package devenv

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/lib/pq"
)

// Backup copies the running cluster into dir, which becomes a cluster of its own
// with the same password: a base backup, made while the server works. What was
// written meanwhile has to come from an archive of its log. With follow it comes
// along instead, and the copy starts as a standby that follows this server under
// that name.
//
// It needs pg_basebackup, which PostgreSQL's client programs have.
func (p *Postgres) Backup(ctx context.Context, dir, follow string) (err error) {
	dir, err = makeDir(dir)
	if err != nil {
		return fmt.Errorf("devenv: %w", err)
	}
	who, err := chooseOwner(filepath.Join(p.dir, "data"))
	if err != nil {
		return wrap(err)
	}
	if err := admit(who, dir, p.bin); err != nil {
		return wrap(err)
	}
	work, err := os.MkdirTemp(dir, "initdb-") // as makeCluster, so that sweep finds it
	if err != nil {
		return fmt.Errorf("devenv: %w", err)
	}
	defer os.RemoveAll(work)
	if err := who.own(work); err != nil {
		return fmt.Errorf("devenv: %w", err)
	}
	args := []string{"--pgdata=" + filepath.Join(work, "data"), "--checkpoint=fast", "--no-password", "--dbname=" + p.named(follow)}
	if follow == "" {
		args = append(args, "--wal-method=none")
	} else {
		args = append(args, "--wal-method=stream", "--write-recovery-conf")
	}
	if err := p.tool(ctx, who, work, "pg_basebackup", args...); err != nil {
		return err
	}
	if err := writeWhole(filepath.Join(dir, "password"), p.secret+"\n"); err != nil {
		return fmt.Errorf("devenv: %w", err)
	}
	return os.Rename(filepath.Join(work, "data"), filepath.Join(dir, "data"))
}

// Rewind makes the stopped cluster in dir, which this server was a copy of, a
// standby that follows this server under a name: what only that cluster knows is
// undone. It needs pg_rewind, and a cluster that ran with wal_log_hints.
func (p *Postgres) Rewind(ctx context.Context, dir, follow string) error {
	lock, err := lockDir(dir)
	if err != nil {
		return wrap(err)
	}
	defer lock.Close()
	data := filepath.Join(dir, "data")
	who, err := chooseOwner(data)
	if err != nil {
		return wrap(err)
	}
	return p.tool(ctx, who, data, "pg_rewind", "--target-pgdata="+data, "--source-server="+p.named(follow), "--write-recovery-conf")
}

// Do runs statements as the superuser, each by itself: what a supervisor does to
// the server, not to what is stored in it.
func (p *Postgres) Do(ctx context.Context, statements ...string) error {
	connector, err := pq.NewConnector(p.URL("postgres"))
	if err != nil {
		return wrap(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("devenv: %s: %w", s, err)
		}
	}
	return nil
}

// named is the address of this server for who follows it under a name.
func (p *Postgres) named(name string) string {
	address := p.URL("postgres")
	if name != "" {
		address += "&application_name=" + url.QueryEscape(name)
	}
	return address
}

// tool runs one of the server's programs as the cluster's owner.
func (p *Postgres) tool(ctx context.Context, who *owner, dir, name string, args ...string) error {
	if !executable(p.Tool(name)) {
		return fmt.Errorf("devenv: there is no %s in %s: install PostgreSQL's client programs", name, p.bin.dir)
	}
	cmd := exec.Command(p.Tool(name), args...)
	cmd.Dir, cmd.Env = dir, bareEnv()
	if out, err := run(ctx, cmd, who); err != nil {
		return fmt.Errorf("devenv: %s: %w\n%s", name, err, strings.TrimSpace(out))
	}
	return nil
}
