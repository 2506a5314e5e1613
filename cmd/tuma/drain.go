package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// drainBound is how long what is under way may take when a process ends.
const drainBound = 20 * time.Second

// serveUntil answers on l until ctx ends, then lets what is under way finish.
// While ending runs, if there is one, it still answers, but keeps no connection:
// who has one makes the next elsewhere.
func serveUntil(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger, ending func()) error {
	var leaving atomic.Bool
	srv := server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if leaving.Load() {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	}), log)
	busy := busy{conns: map[net.Conn]bool{}}
	srv.ConnState = busy.note
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	leaving.Store(true)
	if ending != nil {
		ending()
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainBound)
	defer cancel()
	go l.Close() // which waits for the next connection where others have made the socket a blocking one
	select {
	case <-failed: // from here on nothing is accepted
	case <-bounded.Done():
	}
	busy.wait(bounded)
	return srv.Shutdown(bounded)
}

// busy are the connections on which a request may be on its way or under way.
// They must be gone before http.Server.Shutdown is called: it closes connections
// whose request it reads afterwards.
type busy struct {
	mu    sync.Mutex
	conns map[net.Conn]bool
}

func (b *busy) note(c net.Conn, s http.ConnState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch s {
	case http.StateNew, http.StateActive:
		b.conns[c] = true
	default:
		delete(b.conns, c)
	}
}

func (b *busy) none() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.conns) == 0
}

// wait waits until there are none.
func (b *busy) wait(ctx context.Context) {
	for !b.none() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}
