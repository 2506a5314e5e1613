package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// testClock is the wall clock, moved forward by whoever plays with dev. It never
// goes back: what was written has the later instant. How far it was moved is kept
// beside the data, which would lie in the future otherwise.
type testClock struct {
	path  string
	ahead atomic.Int64 // nanoseconds
}

// openClock reads how far a data directory's clock was moved.
func openClock(path string) (*testClock, error) {
	c := &testClock{path: path}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	ahead, err := time.ParseDuration(strings.TrimSpace(string(b)))
	if err != nil || ahead < 0 {
		return nil, fmt.Errorf("%s does not say how far the clock was moved: start over with --fresh", path)
	}
	c.ahead.Store(int64(ahead))
	return c, nil
}

func (c *testClock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// moved tells whether it is not the wall clock.
func (c *testClock) moved() bool { return c.ahead.Load() != 0 }

// maxForward is how far one step may go; a duration holds 292 years.
const maxForward = 366 * 24 * time.Hour

// forward moves it, once that is written down.
func (c *testClock) forward(by time.Duration) error {
	if by <= 0 || by > maxForward || c.ahead.Load() > int64(100*maxForward) {
		return fmt.Errorf("the clock moves forward only, by %s at most", maxForward)
	}
	ahead := time.Duration(c.ahead.Load()) + by
	if err := os.WriteFile(c.path+".new", []byte(ahead.String()+"\n"), 0o600); err != nil {
		return err
	}
	if err := os.Rename(c.path+".new", c.path); err != nil {
		return err
	}
	c.ahead.Store(int64(ahead))
	return nil
}

// ServeHTTP tells the time, and moves it with {"forward":"24h"}.
func (c *testClock) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		http.Error(w, "not from another site's page", http.StatusForbidden)
		return
	}
	switch r.Method {
	case http.MethodGet:
	case http.MethodPost:
		var order struct{ Forward string }
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&order)
		var by time.Duration
		if err == nil {
			by, err = time.ParseDuration(order.Forward)
		}
		if err == nil {
			err = c.forward(by)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	default:
		http.Error(w, "GET or POST", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]string{"now": c.now().UTC().Format(time.RFC3339), "ahead": time.Duration(c.ahead.Load()).String()})
}
