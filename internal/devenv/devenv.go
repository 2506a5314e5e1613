// Package devenv starts the servers that a developer's machine and the tests
// need: PostgreSQL from whatever binaries are installed, and Redis in this
// process or as a child. Production does not use it.
//
// A cluster lives in one directory:
//
//	DIR/lock          held with flock(2) by the process that supervises it
//	DIR/password      the superuser's password, mode 0600
//	DIR/data/         PostgreSQL's own data directory
//	DIR/postgres.log  what the server said
//
// Data is never deleted here, except by [RemovePostgres], which says so. A
// directory that was left by a crash, of this process or of the server,
// is recovered by the next start.
//
// The package refuses to know what is stored in the servers: it makes no
// tables and knows none of this module's other packages. It runs on Linux and
// macOS.
package devenv

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
)

// DefaultDir is where a developer's data goes when no directory was named. For
// root that is /var/lib/tuma, because PostgreSQL then runs as another user, who
// cannot reach anything in root's home.
func DefaultDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/tuma", nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "tuma"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("devenv: no directory for the data: %w", err)
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Application Support", "tuma"), nil
	}
	return filepath.Join(home, ".local", "share", "tuma"), nil
}

// freePort asks the kernel for a TCP port that nobody listens on. Somebody may
// take it before the server does; then the server says so and start tries another.
func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("no free port on 127.0.0.1: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// makeDir makes dir and what is missing above it, open for the server's user
// to walk through and for nobody else to write to. It returns the real path,
// free of symbolic links.
func makeDir(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	var missing []string
	for d := abs; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); err == nil {
			break
		} else if !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		missing = append(missing, d)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		if err := os.Mkdir(missing[i], 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return "", err
		}
		if os.Geteuid() == 0 {
			// A umask such as 077 would shut the server's user out.
			if err := os.Chmod(missing[i], 0o755); err != nil {
				return "", err
			}
		}
	}
	return filepath.EvalSymlinks(abs)
}

// rotate keeps a log from growing for ever: past 4 MB it starts anew, and one
// old one is kept.
func rotate(path string) error {
	st, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && st.Size() < 4<<20 {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Rename(path, path+".old")
}

// openLog opens a log for appending and says where its end is now.
func openLog(path string) (f *os.File, end int64, err error) {
	if err := rotate(path); err != nil {
		return nil, 0, err
	}
	f, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, err
	}
	end, err = f.Seek(0, io.SeekEnd)
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, end, nil
}
