package main

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// pipe is a TCP proxy that knows no protocol: it cuts all its connections, lets
// nothing pass for a while, or passes everything on late.
type pipe struct {
	listener net.Listener
	upstream string
	stalled  atomic.Int64 // until when nothing passes, in Unix nanoseconds
	delay    atomic.Int64 // of each piece, nanoseconds

	mu    sync.Mutex
	conns map[net.Conn]bool
}

func newPipe(upstream string) (*pipe, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &pipe{listener: l, upstream: upstream, conns: map[net.Conn]bool{}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p, nil
}

func (p *pipe) serve(client net.Conn) {
	server, err := net.DialTimeout("tcp", p.upstream, 2*time.Second)
	if err != nil {
		client.Close()
		return
	}
	p.mu.Lock()
	p.conns[client], p.conns[server] = true, true
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.copy(server, client) })
	both.Go(func() { p.copy(client, server) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, client)
	delete(p.conns, server)
	p.mu.Unlock()
}

// copy passes one direction on, and ends both when it ends.
func (p *pipe) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if wait := time.Until(time.Unix(0, p.stalled.Load())); wait > 0 {
			time.Sleep(wait)
		}
		if d := p.delay.Load(); d > 0 {
			time.Sleep(time.Duration(d))
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut ends all connections.
func (p *pipe) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

func (p *pipe) stall(d time.Duration) { p.stalled.Store(time.Now().Add(d).UnixNano()) }
