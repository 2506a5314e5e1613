package devenv

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// child is a server process of ours. It dies with this process, also when this
// process is killed, where the system can promise that (see tie).
type child struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	err  error         // how it ended; read after done
}

// startChild starts cmd in a process group of its own, so that Ctrl-C on a
// terminal reaches this process alone and servers stop in order.
func startChild(cmd *exec.Cmd, who *owner, death syscall.Signal) (*child, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: who.credential()}
	tie(cmd.SysProcAttr, death)
	c := &child{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel sends the death signal when the *thread* that forked ends,
		// so that thread must stay until the child is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		c.err = cmd.Wait()
		close(c.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// step is one attempt at ending a process: a signal and how long to wait for
// its effect.
type step struct {
	signal syscall.Signal
	wait   time.Duration
}

// stop sends the steps' signals until the process has ended, and names the
// signal that did it. An error means that it outlived the last.
func (c *child) stop(steps ...step) (syscall.Signal, error) {
	for _, s := range steps {
		if err := c.cmd.Process.Signal(s.signal); err != nil && !c.ended() {
			select {
			case <-c.done: // ended between the signal and the question
				return s.signal, nil
			case <-time.After(time.Second):
				return s.signal, err
			}
		}
		select {
		case <-c.done:
			return s.signal, nil
		case <-time.After(s.wait):
		}
	}
	return 0, fmt.Errorf("process %d does not end", c.pid())
}

// run runs a short-lived program as who and returns what it printed. It is
// killed when ctx ends or this process dies.
func run(ctx context.Context, cmd *exec.Cmd, who *owner) (string, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	c, err := startChild(cmd, who, syscall.SIGKILL)
	if err != nil {
		return "", err
	}
	select {
	case <-c.done:
		return out.String(), c.err
	case <-ctx.Done():
		c.stop(step{syscall.SIGKILL, 10 * time.Second})
		return "", ctx.Err()
	}
}

// bareEnv is the environment servers start with: theirs is no business of the
// caller's PGPORT or PGDATA, and messages come in English.
func bareEnv() []string {
	env := []string{"LC_ALL=C", "LANG=C"}
	for _, name := range []string{"PATH", "TMPDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// poll calls try every few milliseconds until it says done, ctx ends or until
// has been reached (then ok is false).
func poll(ctx context.Context, limit time.Duration, try func() (done bool)) (ok bool) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(15 * time.Millisecond)
	defer tick.Stop()
	for {
		if try() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// tail returns the last lines of the file at path, from offset on.
func tail(path string, offset int64, lines int) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Size()-offset > 64<<10 {
		offset = st.Size() - 64<<10
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return ""
	}
	text, _ := io.ReadAll(f)
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
