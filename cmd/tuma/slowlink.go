package main

import (
	"io"
	"net"
	"sync"
	"time"
)

// slowLink is a phone's link to the world: every connection through it shares
// one pace each way, and whatever is sent arrives half a round trip later.
type slowLink struct {
	target   string        // where it leads
	pace     int           // bytes a second, each way
	rtt      time.Duration // a round trip
	up, down lane
}

// What a packet carries, and what its headers cost of the pace.
const (
	packetSize   = 1360
	packetHeader = 40
)

// lane is one direction: one packet after the other.
type lane struct {
	mu    sync.Mutex
	free  time.Time // when the lane has sent everything so far
	bytes int64
}

// send takes a packet and tells when it arrives.
func (l *lane) send(n, pace int, delay time.Duration) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); l.free.Before(now) {
		l.free = now
	}
	l.bytes += int64(n + packetHeader)
	l.free = l.free.Add(time.Duration(n+packetHeader) * time.Second / time.Duration(pace))
	return l.free.Add(delay)
}

// sent is how many bytes have gone this way, with the packets' headers.
func (l *lane) sent() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes
}

// serve carries connections until the listener is closed.
func (s *slowLink) serve(l net.Listener) {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		all.Go(func() { s.carry(c) })
	}
}

// carry joins a client to the target. The client's kernel believes it connected
// at once: the round trip that a handshake takes is waited for before its first
// bytes.
func (s *slowLink) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", s.target)
	if err != nil {
		return
	}
	defer server.Close()
	var both sync.WaitGroup
	both.Go(func() {
		s.pump(server, client, &s.up, s.rtt+s.rtt/2)
		server.(*net.TCPConn).CloseWrite()
	})
	both.Go(func() {
		s.pump(client, server, &s.down, s.rtt/2)
		client.Close()
	})
	both.Wait()
}

// pump carries one direction; first is how long its first packet is under way.
func (s *slowLink) pump(to io.Writer, from io.Reader, l *lane, first time.Duration) {
	type packet struct {
		b  []byte
		at time.Time
	}
	way := make(chan packet, 1024)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for p := range way {
			time.Sleep(time.Until(p.at))
			if _, err := to.Write(p.b); err != nil {
				for range way { // nobody takes it
				}
				return
			}
		}
	}()
	for delay := first; ; delay = s.rtt / 2 {
		b := make([]byte, packetSize)
		n, err := from.Read(b)
		if n > 0 {
			way <- packet{b[:n], l.send(n, s.pace, delay)}
		}
		if err != nil {
			break
		}
	}
	close(way)
	<-done
}
