package devenv

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// RedisOptions says which Redis to run.
type RedisOptions struct {
	// Kind is "inprocess" (also the meaning of ""), which needs nothing
	// installed, or "server", which is the installed redis-server or
	// valkey-server: several times faster, and the real thing.
	Kind string
	// Dir is where a server writes redis.log; "" for no log.
	Dir string
	// Clock moves the expiry of keys in process; nil is the wall clock. A server
	// has its own clock and refuses another.
	Clock func() time.Time
	// Port and Password of a server, so that one can be started again at the same
	// address; 0 and "" are chosen afresh.
	Port     int
	Password string
}

// Redis is a running Redis that listens on 127.0.0.1, wants a password, and
// keeps nothing when it stops.
type Redis struct {
	addr, secret, what string
	close              func() error
	once               sync.Once
	err                error
}

// StartRedis starts a Redis and returns when it answers. ctx bounds the start only.
func StartRedis(ctx context.Context, o RedisOptions) (*Redis, error) {
	switch o.Kind {
	case "", "inprocess":
		return startMiniredis(o.Clock)
	case "server":
		if o.Clock != nil {
			return nil, errors.New("devenv: a Redis server cannot be given a clock")
		}
		return startRedisServer(ctx, o)
	}
	return nil, fmt.Errorf(`devenv: no kind of Redis is called %q: "inprocess" or "server"`, o.Kind)
}

func startMiniredis(clock func() time.Time) (*Redis, error) {
	m := miniredis.NewMiniRedis()
	secret := newPassword()
	m.RequireAuth(secret)
	if clock != nil {
		m.SetTime(clock())
	}
	m.ClockTTL(true) // without it nothing ever expires
	if err := m.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("devenv: starting Redis in this process: %w", err)
	}
	if clock != nil {
		m.Server().SetPreHook(func(*server.Peer, string, ...string) bool {
			// The hook also runs for commands inside a Lua script, where the lock is
			// held by this very goroutine and SetTime would wait for itself.
			if m.TryLock() {
				m.Unlock()
				m.SetTime(clock())
			}
			return false
		})
	}
	return &Redis{
		addr: m.Addr(), secret: secret,
		what:  "Redis in this process (miniredis) on " + m.Addr() + ", forgets everything when it stops",
		close: func() error { m.Close(); return nil },
	}, nil
}

func startRedisServer(ctx context.Context, o RedisOptions) (*Redis, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	bin, err := findRedis()
	if err != nil {
		return nil, err
	}
	who, err := chooseOwner("")
	if err != nil {
		who = nil // unlike PostgreSQL, Redis accepts root
	}
	var log *os.File
	dir := o.Dir
	if dir != "" {
		if dir, err = makeDir(dir); err != nil {
			return nil, fmt.Errorf("devenv: %w", err)
		}
		if log, _, err = openLog(filepath.Join(dir, "redis.log")); err != nil {
			return nil, fmt.Errorf("devenv: %w", err)
		}
		defer log.Close()
	}
	var c *child
	for range 5 { // somebody may take the free port first
		port := o.Port
		if port == 0 {
			if port, err = freePort(); err != nil {
				return nil, fmt.Errorf("devenv: %w", err)
			}
		}
		r := &Redis{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), secret: cmp.Or(o.Password, newPassword())}
		cmd := exec.Command(bin, "-") // reads its configuration from stdin, where the password does not show in ps
		cmd.Stdin = strings.NewReader(fmt.Sprintf(
			"bind 127.0.0.1\nport %d\nrequirepass %s\nsave \"\"\nappendonly no\ndaemonize no\ndir /\nlogfile \"\"\n", port, r.secret))
		cmd.Dir, cmd.Env = "/", bareEnv()
		if log != nil {
			cmd.Stdout, cmd.Stderr = log, log
		}
		if c, err = startChild(cmd, who, syscall.SIGTERM); err != nil {
			return nil, fmt.Errorf("devenv: starting %s: %w", bin, err)
		}
		var last error
		ready := poll(ctx, 20*time.Second, func() bool {
			if c.ended() {
				return true
			}
			last = ping(r.addr, r.secret)
			return last == nil
		})
		if ready && !c.ended() {
			r.what = fmt.Sprintf("%s (process %d) on %s, forgets everything when it stops", filepath.Base(bin), c.pid(), r.addr)
			r.close = func() error {
				_, err := c.stop(redisShutdown...)
				return err
			}
			return r, nil
		}
		if !c.ended() {
			_, err := c.stop(redisShutdown...)
			return nil, fmt.Errorf("devenv: %s does not answer: %w", bin, errors.Join(last, err))
		}
	}
	return nil, fmt.Errorf("devenv: %s did not start (%v)", bin, c.err)
}

var redisShutdown = []step{{syscall.SIGTERM, 5 * time.Second}, {syscall.SIGKILL, 5 * time.Second}}

func findRedis() (string, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		for _, candidate := range []string{name, "/usr/bin/" + name, "/usr/local/bin/" + name, "/opt/homebrew/bin/" + name} {
			if path, err := exec.LookPath(candidate); err == nil {
				return path, nil
			}
		}
	}
	return "", errors.New("devenv: no redis-server is installed; run scripts/setup.sh test, or use the one in this process")
}

// ping logs in to the Redis at addr and asks it for a sign of life.
func ping(addr, secret string) error {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "AUTH %s\r\nPING\r\n", secret); err != nil {
		return err
	}
	lines := bufio.NewScanner(conn)
	for _, want := range []string{"+OK", "+PONG"} {
		if !lines.Scan() || lines.Text() != want {
			return errors.Join(fmt.Errorf("it answered %q, not %q", lines.Text(), want), lines.Err())
		}
	}
	return nil
}

// URL is the address of its database 0, password included.
func (r *Redis) URL() string {
	u := url.URL{Scheme: "redis", User: url.UserPassword("default", r.secret), Host: r.addr, Path: "/0"}
	return u.String()
}

// Describe says in a few words what runs, for a banner.
func (r *Redis) Describe() string { return r.what }

// Stop ends it, and what was in it is gone. Further calls return the first one's answer.
func (r *Redis) Stop() error {
	r.once.Do(func() {
		if err := r.close(); err != nil {
			r.err = fmt.Errorf("devenv: stopping Redis: %w", err)
		}
	})
	return r.err
}
