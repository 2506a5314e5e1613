package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tuma is the command, run as a process of its own with nothing in its
// environment but what is given.
func tuma(args []string, env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append([]string{asCommand + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir(), "GOMAXPROCS=2"}, env...)
	return cmd
}

// result is what a command that ended has said.
type result struct {
	status      int
	out, errors string
}

// execute runs a command to its end; input is its standard input.
func execute(t testing.TB, input string, env []string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := tuma(args, env...)
	cmd = withContext(ctx, cmd)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

func withContext(ctx context.Context, cmd *exec.Cmd) *exec.Cmd {
	c := exec.CommandContext(ctx, cmd.Path, cmd.Args[1:]...)
	c.Env = cmd.Env
	return c
}

// process is a command that runs until it is ended.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	said *logBuffer
	url  string
	done chan struct{}
}

var readyLine = regexp.MustCompile(`(?m)^ready (http://\S+)$`)

// start runs a command in the background; ready waits for its ready line.
func start(t testing.TB, env []string, args ...string) *process {
	t.Helper()
	return begin(t, tuma(args, env...))
}

func begin(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, said: &logBuffer{}, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.said, io.MultiWriter(p.said)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() { p.end(syscall.SIGKILL) })
	return p
}

func (p *process) ready() *process {
	p.t.Helper()
	eventually(p.t, time.Minute, "the line that says ready", func() bool {
		select {
		case <-p.done:
			p.t.Fatalf("it ended: %s", p.said)
		default:
		}
		m := readyLine.FindStringSubmatch(p.said.String())
		if m != nil {
			p.url = m[1]
		}
		return m != nil
	})
	return p
}

// end sends a signal, waits for the end and gives the exit status, -1 for one
// that was killed.
func (p *process) end(s syscall.Signal) int {
	p.t.Helper()
	p.cmd.Process.Signal(s)
	select {
	case <-p.done:
	case <-time.After(40 * time.Second):
		p.cmd.Process.Kill()
		<-p.done
		p.t.Errorf("it did not end after %v:\n%s", s, p.said)
	}
	return p.cmd.ProcessState.ExitCode()
}

// dataDir is a directory that the database's user can reach, unlike t.TempDir's.
func dataDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "tuma-dev-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Log(err)
		}
	})
	return dir
}

func startDev(t testing.TB, dir string, args ...string) *process {
	t.Helper()
	return start(t, nil, append([]string{"dev", "--data", dir, "--listen", "127.0.0.1:0"}, args...)...).ready()
}

var exported = regexp.MustCompile(`([A-Z_]+)='([^']*)'`)

// devEnvironment is what DIR/env exports.
func devEnvironment(t testing.TB, dir string) (env []string, databaseURL string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range exported.FindAllStringSubmatch(string(text), -1) {
		env = append(env, m[1]+"="+m[2])
		if m[1] == "TUMA_DATABASE_URL" {
			databaseURL = m[2]
		}
	}
	if databaseURL == "" {
		t.Fatalf("no TUMA_DATABASE_URL in %s", text)
	}
	return env, databaseURL
}
