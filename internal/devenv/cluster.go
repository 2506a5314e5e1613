package devenv

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// superuser owns a cluster and every database in it. The service's own roles,
// which may do less, are made by its migrations.
const superuser = "tuma"

// password reads the cluster's password, or makes one for a new cluster.
func password(dir string) (string, error) {
	path := filepath.Join(dir, "password")
	text, err := os.ReadFile(path)
	if err == nil {
		if pw := strings.TrimSpace(string(text)); pw != "" {
			return pw, nil
		}
		return "", fmt.Errorf("%s is empty", path)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
		return "", fmt.Errorf("%s is missing, and without it nobody can log in to the cluster in %s", path, dir)
	}
	pw := newPassword()
	return pw, writeWhole(path, pw+"\n")
}

func newPassword() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand aborts the program instead
	return hex.EncodeToString(b[:])
}

// writeWhole writes a file of mode 0600 that is there whole or not at all.
func writeWhole(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-*") // CreateTemp's mode is 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // does nothing after the rename
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// makeCluster makes DIR/data. It works under another name and renames at the
// end, so a data directory exists whole or not at all.
func makeCluster(ctx context.Context, dir string, bin binaries, who *owner, pw string, fsync bool) (err error) {
	work, err := os.MkdirTemp(dir, "initdb-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	pwfile := filepath.Join(work, "password")
	if err := os.WriteFile(pwfile, []byte(pw+"\n"), 0o600); err != nil {
		return err
	}
	for _, path := range []string{work, pwfile} {
		if err := who.own(path); err != nil {
			return err
		}
	}
	data := filepath.Join(work, "data")
	args := []string{"--pgdata=" + data, "--username=" + superuser, "--pwfile=" + pwfile,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"}
	if !fsync {
		args = append(args, "--no-sync")
	}
	cmd := exec.Command(bin.path("initdb"), args...)
	cmd.Dir, cmd.Env = work, bareEnv()
	if out, err := run(ctx, cmd, who); err != nil {
		return fmt.Errorf("initdb of PostgreSQL %s: %w\n%s", bin.version, err, strings.TrimSpace(out))
	}
	return os.Rename(data, filepath.Join(dir, "data"))
}

// sweep removes what a makeCluster that was killed left behind.
func sweep(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, "initdb-*"))
	for _, path := range left {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

// RemovePostgres deletes the cluster in dir with all its data, and nothing else
// that may be there. It refuses with [ErrRunning] while a process supervises it.
// A directory that does not exist is no error.
func RemovePostgres(ctx context.Context, dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	dir, err := makeDir(dir)
	if err != nil {
		return fmt.Errorf("devenv: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return wrap(err)
	}
	defer lock.Close()
	data := filepath.Join(dir, "data")
	if _, err := stopOrphan(ctx, data); err != nil {
		return wrap(err)
	}
	// The data goes first: a password without data does no harm, data without
	// its password is of no use to anybody.
	err = errors.Join(os.RemoveAll(data), sweep(dir))
	for _, name := range []string{"password", "postgres.log", "postgres.log.old"} {
		if e := os.Remove(filepath.Join(dir, name)); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	if err != nil {
		return fmt.Errorf("devenv: removing the cluster in %s: %w", dir, err)
	}
	return nil
}
