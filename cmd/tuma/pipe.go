package main

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// pipe is a TCP proxy that knows no protocol: it cuts all its connections, lets
// nothing pass for a while, passes everything on late, or makes what is behind it
// so many times slower.
type pipe struct {
	listener net.Listener
	upstream string
	stalled  atomic.Int64 // until when nothing passes, in Unix nanoseconds
	delay    atomic.Int64 // of each piece, nanoseconds
	times    atomic.Int64 // an answer takes so many times as long as it took; 0 and 1: as long
	answered atomic.Pointer[func(took, waited time.Duration)]

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
	var asked atomic.Int64 // when the request left that has no answer yet, Unix nanoseconds; 0: there is none
	both.Go(func() {
		p.copy(server, client, func() { asked.Store(time.Now().UnixNano()) })
	})
	both.Go(func() {
		p.copy(client, server, func() { p.drag(asked.Swap(0)) })
	})
	both.Wait()
	p.mu.Lock()
	delete(p.conns, client)
	delete(p.conns, server)
	p.mu.Unlock()
}

// drag holds an answer back to what was asked then.
func (p *pipe) drag(asked int64) {
	if asked == 0 {
		return // the rest of an answer, or news that nobody asked for
	}
	took := time.Since(time.Unix(0, asked))
	if n := p.times.Load(); n > 1 {
		time.Sleep(time.Duration(n-1) * took)
	}
	if tell := p.answered.Load(); tell != nil {
		(*tell)(took, time.Since(time.Unix(0, asked)))
	}
}

// watch has f told of every answer how long it took, and how long its caller
// waited for it.
func (p *pipe) watch(f func(took, waited time.Duration)) { p.answered.Store(&f) }

// copy passes one direction on, piece by piece, and ends both when it ends.
func (p *pipe) copy(to, from net.Conn, passing func()) {
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
			passing()
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
