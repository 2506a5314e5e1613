package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"tuma/internal/db"
	"tuma/internal/devenv"
)

// tally counts the faults that were done, by kind.
type tally struct {
	mu sync.Mutex
	n  map[string]int64
}

func (t *tally) add(kind string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = map[string]int64{}
	}
	t.n[kind]++
}

func (t *tally) counts() map[string]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		return map[string]int64{}
	}
	return maps.Clone(t.n)
}

// mortal is a PostgreSQL that is killed and started again, on the same data.
type mortal struct {
	options devenv.PostgresOptions
	cutter  *cutter

	mu sync.Mutex
	pg *devenv.Postgres
}

func startMortal(ctx context.Context, dir string, settings map[string]string, c *cutter) (*mortal, error) {
	m := &mortal{cutter: c, options: devenv.PostgresOptions{Dir: filepath.Join(dir, "postgres"), Settings: settings}}
	if err := m.start(ctx); err != nil {
		return nil, err
	}
	if err := m.pg.EnsureDatabase(ctx, "tuma"); err != nil {
		return nil, errors.Join(err, m.stop())
	}
	return m, nil
}

// migrate brings it to this program's schema.
func (m *mortal) migrate(ctx context.Context) error {
	_, err := db.Migrate(ctx, m.url(), db.MigrateOptions{})
	return err
}

func (m *mortal) start(ctx context.Context) (err error) {
	pg, err := devenv.StartPostgres(ctx, m.options)
	if err != nil {
		return err
	}
	m.pg = pg
	u, err := url.Parse(m.pg.URL("tuma"))
	if err == nil {
		m.cutter.upstream.Store(&u.Host)
	}
	return err
}

func (m *mortal) url() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pg.URL("tuma")
}

func (m *mortal) pid() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pg.Pid()
}

func (m *mortal) stop() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pg.Stop()
}

// children are the server's processes besides the postmaster, but not the one
// that recovers: a server whose recovery is killed gives up.
func (m *mortal) children() []int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", m.pg.Pid()))
	if err != nil {
		return nil
	}
	var pids []int
	for _, f := range strings.Fields(string(text)) {
		title, _ := os.ReadFile("/proc/" + f + "/cmdline")
		if pid, err := strconv.Atoi(f); err == nil && !strings.Contains(string(title), "startup") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// kill ends the server as a power cut of its machine would, as far as a process
// can: the postmaster, with all the others at once or leaving them to notice.
func (m *mortal) kill(ctx context.Context, all bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.slay(all); err != nil {
		return err
	}
	return m.again(ctx)
}

func (m *mortal) slay(all bool) error {
	pids := m.children()
	if err := syscall.Kill(m.pg.Pid(), syscall.SIGKILL); err != nil {
		return err
	}
	if all {
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGKILL) // it may have ended already
		}
	}
	<-m.pg.Done()
	return nil
}

// lose kills the server for good, as when its machine is gone.
func (m *mortal) lose() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.slay(true); err != nil {
		return err
	}
	m.bury()
	m.pg.Stop() // gives the directory free; its error says that the server is dead
	return nil
}

// keep starts the server again when it has ended by itself, which it may after
// a kill that came during recovery.
func (m *mortal) keep(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := m.revive(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

func (m *mortal) revive(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.pg.Done():
		return m.again(ctx)
	default:
		return nil
	}
}

func (m *mortal) again(ctx context.Context) error {
	m.bury()
	m.pg.Stop() // gives the directory free; its error says that the server is dead
	return m.start(ctx)
}

// straggling is how long the processes of a killed postmaster have to notice.
const straggling = time.Second

// bury kills those processes of a dead server that do not notice that it is dead
// (one that waits for another's lock need not), since no other can start while
// they are there. A process of the server works in the directory of its data.
func (m *mortal) bury() {
	data := filepath.Join(m.options.Dir, "data")
	for until := time.Now().Add(straggling); ; time.Sleep(20 * time.Millisecond) {
		left := false
		works, _ := filepath.Glob("/proc/[0-9]*/cwd")
		for _, work := range works {
			if dir, err := os.Readlink(work); err != nil || dir != data {
				continue
			}
			if pid, err := strconv.Atoi(strings.Split(work, "/")[2]); err == nil && time.Now().After(until) {
				syscall.Kill(pid, syscall.SIGKILL)
			}
			left = true
		}
		if !left || time.Now().After(until.Add(straggling)) {
			return
		}
	}
}

// posterURL is the database as the posters reach it: through the proxy.
func (t *torture) posterURL() string {
	u, err := url.Parse(t.server.url())
	if err != nil {
		panic(err) // it is one that devenv made
	}
	u.Host = t.cutter.listener.Addr().String()
	if t.Plant == "async-commit" {
		u.RawQuery += "&synchronous_commit=off" // the fault that is planted
	}
	return u.String()
}

// harm does faults at random until the run is finished.
func (t *torture) harm(ctx context.Context) {
	dice := t.dice(2)
	for {
		wait := time.Duration((0.2 + 1.6*dice.Float64()) * float64(t.Harm))
		select {
		case <-t.finished:
			return
		case <-time.After(wait):
		}
		t.harming.Lock()
		if err := t.fault(ctx, dice.IntN); err != nil {
			t.found("PostgreSQL did not come back: %v", err)
			t.harming.Unlock()
			return
		}
		t.harming.Unlock()
	}
}

// cut has connections cut at COMMIT, so many a second. Late COMMITs are few: they
// hold their rows' locks until they come.
func (t *torture) cut() {
	dice := t.dice(5)
	tick := time.NewTicker(time.Duration(float64(time.Second) / t.Cuts))
	defer tick.Stop()
	for {
		select {
		case <-t.finished:
			return
		case <-tick.C:
		}
		w := wound(dice.IntN(int(cutCommitLate)))
		if dice.IntN(50) == 0 {
			w = cutCommitLate
		}
		t.harming.Lock()
		t.cutter.arm(w)
		t.harming.Unlock()
	}
}

// fault does one fault. Kills of the server are rare, since each takes away a
// second of the others.
func (t *torture) fault(ctx context.Context, dice func(int) int) error {
	if t.Plant == "async-commit" { // kills of a server that has just answered, and nothing else
		if heard := t.asked.Load(); heard < t.killedAt+100 {
			return nil
		} else {
			t.killedAt = heard
		}
		t.faults.add("kill_postmaster")
		return t.server.kill(ctx, true)
	}
	p := dice(100)
	switch {
	case p < 85:
		t.cutter.arm(wound(dice(int(wounds))))
	case p < 94:
		if t.victims[dice(len(t.victims))].kill() {
			t.faults.add("kill_poster")
		}
	case p < 95:
		t.faults.add("stall")
		t.cutter.stall(time.Second)
	case p < 97:
		pids := t.server.children()
		if len(pids) > 0 && syscall.Kill(pids[dice(len(pids))], syscall.SIGKILL) == nil {
			t.faults.add("kill_backend")
		}
	default:
		t.faults.add("kill_postmaster")
		return t.server.kill(ctx, dice(2) == 0)
	}
	return nil
}

func copyFile(path, dir string) error {
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.Create(filepath.Join(dir, filepath.Base(path)))
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}
