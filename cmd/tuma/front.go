package main

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// front stands before the processes of a site, as the gateway's line and a load
// balancer do: each request goes to one of them at random. When it is told to, it
// sends requests twice, late and out of order, as gateways do.
type front struct {
	instances []*instance
	client    *http.Client
	odd       atomic.Int64 // requests in a thousand that are doubled or come again late
	seen      atomic.Int64 // doubled so far

	mu   sync.Mutex
	dice *rand.Rand
}

func newFront(instances []*instance, dice *rand.Rand) *front {
	return &front{instances: instances, dice: dice, client: &http.Client{
		Timeout:       20 * time.Second,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 512, MaxIdleConns: 2048, IdleConnTimeout: 30 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (f *front) intN(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dice.IntN(n)
}

// town is one that answers; when none does, the request is lost as it would be.
func (f *front) town() string {
	first := f.intN(len(f.instances))
	for i := range f.instances {
		if base := f.instances[(first+i)%len(f.instances)].now(); base != "" {
			return base
		}
	}
	return ""
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		return
	}
	if f.intN(1000) < int(f.odd.Load()) {
		f.seen.Add(1)
		again := time.Duration(f.intN(3000)-500) * time.Millisecond // some at once, some when the session has gone on
		go func() {
			time.Sleep(max(0, again))
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			if resp, err := f.pass(ctx, r, body); err == nil {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		}()
	}
	resp, err := f.pass(r.Context(), r, body)
	if err != nil {
		panic(http.ErrAbortHandler) // the connection breaks, as one to a dead process does
	}
	defer resp.Body.Close()
	for k, v := range resp.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(resp.StatusCode)
	io.Copy(w, resp.Body)
}

func (f *front) pass(ctx context.Context, r *http.Request, body []byte) (*http.Response, error) {
	base := f.town()
	if base == "" {
		return nil, http.ErrServerClosed
	}
	out, err := http.NewRequestWithContext(ctx, r.Method, base+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	out.Header = r.Header.Clone()
	return f.client.Do(out)
}
