package devenv

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func connect(t *testing.T, r *Redis) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestRedisKinds(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"", "inprocess", "server"} {
		t.Run("kind="+kind, func(t *testing.T) {
			t.Parallel()
			r, err := StartRedis(t.Context(), RedisOptions{Kind: kind, Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { r.Stop() })
			c := connect(t, r)
			if err := c.Set(t.Context(), "k", "v", time.Minute).Err(); err != nil {
				t.Fatal(err)
			}
			if v, err := c.Get(t.Context(), "k").Result(); v != "v" || err != nil {
				t.Errorf("%q, %v", v, err)
			}
			if ping(r.addr, "guess") == nil {
				t.Error("it lets anybody in")
			}
			if !strings.Contains(r.Describe(), r.addr) {
				t.Error(r.Describe())
			}
			for range 2 {
				if err := r.Stop(); err != nil {
					t.Error(err)
				}
			}
			if ping(r.addr, r.secret) == nil {
				t.Error("it still answers after Stop")
			}
		})
	}
	if _, err := StartRedis(t.Context(), RedisOptions{Kind: "cluster"}); err == nil {
		t.Error("an unknown kind was accepted")
	}
	if _, err := StartRedis(t.Context(), RedisOptions{Kind: "server", Clock: time.Now}); err == nil {
		t.Error("a clock for a server was accepted")
	}
}

func TestRedisFollowsTheClock(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Date(2026, 11, 22, 9, 15, 0, 0, time.UTC)
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	r, err := StartRedis(t.Context(), RedisOptions{Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Stop() })
	c := connect(t, r)
	if err := c.Set(t.Context(), "k", "v", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		wait time.Duration
		left bool
	}{{0, true}, {59 * time.Second, true}, {2 * time.Second, false}} {
		mu.Lock()
		now = now.Add(step.wait)
		mu.Unlock()
		if n, err := c.Exists(t.Context(), "k").Result(); err != nil || (n == 1) != step.left {
			t.Errorf("at %v: exists %d, %v", clock(), n, err)
		}
	}
	// A script's own commands run under the lock that the clock needs.
	if n, err := c.Eval(t.Context(), `redis.call("set", "a", 7); return tonumber(redis.call("get", "a"))`, nil).Int(); n != 7 || err != nil {
		t.Errorf("a script: %d, %v", n, err)
	}
	if at, err := c.Time(t.Context()).Result(); err != nil || !at.Equal(clock()) {
		t.Errorf("TIME is %v, not %v, %v", at, clock(), err)
	}
}
