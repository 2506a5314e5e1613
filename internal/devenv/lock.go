package devenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrRunning says that a living process supervises the directory already.
type ErrRunning struct {
	Dir string
	Pid int // of that process; 0 when it has not written it yet
}

func (e ErrRunning) Error() string {
	return fmt.Sprintf("devenv: %s is in use by process %d", e.Dir, e.Pid)
}

// lockDir takes the directory for this process. The kernel gives the lock back
// when the process ends, however it ends, so a lock is never stale.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
		}
		text, _ := os.ReadFile(f.Name())
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		return nil, ErrRunning{Dir: dir, Pid: pid}
	}
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// stopOrphan ends a postmaster that outlived the process which supervised it,
// and removes the pid file of one whose number another process has by now:
// PostgreSQL would take that process for a postmaster and refuse to start.
// The caller holds the directory's lock. It returns the orphan's pid, or 0.
func stopOrphan(ctx context.Context, data string) (pid int, err error) {
	path := filepath.Join(data, "postmaster.pid")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err = strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 {
		return 0, nil // half written before a crash; PostgreSQL says what it thinks of it
	}
	if !alive(pid) {
		return 0, nil // stale; PostgreSQL cleans up after itself
	}
	if !runsIn(pid, data) {
		return 0, os.Remove(path)
	}
	for _, s := range shutdown {
		if err := syscall.Kill(pid, s.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return pid, fmt.Errorf("stopping the postmaster %d that an earlier run left behind: %w", pid, err)
		}
		if poll(ctx, s.wait, func() bool { return !runsIn(pid, data) }) {
			return pid, nil
		}
		if ctx.Err() != nil {
			return pid, ctx.Err()
		}
	}
	return pid, fmt.Errorf("the postmaster %d that an earlier run left behind does not end", pid)
}

// alive reports whether a process with this number exists, whosever it is.
func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// shutdown is how a postmaster is stopped: fast (clients are cut off, a
// checkpoint is written), then immediate (the next start recovers from the
// write-ahead log), then by force.
var shutdown = []step{
	{syscall.SIGINT, 20 * time.Second},
	{syscall.SIGQUIT, 10 * time.Second},
	{syscall.SIGKILL, 10 * time.Second},
}
