package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// wound is a way in which a connection is cut.
type wound int

// The wounds. All but the last wait for a COMMIT to pass.
const (
	cutBeforeCommit wound = iota // the server never sees it
	cutAfterCommit               // the client is gone at once, the server is still at it
	cutBeforeAnswer              // the server has answered, the client never hears it
	cutCommitLate                // the client is gone, and the COMMIT arrives up to a second later
	cutMidBatch                  // in the middle of a message of a batch
	wounds
)

var woundNames = [wounds]string{"cut_before_commit", "cut_after_commit", "cut_before_answer", "cut_commit_late", "cut_mid_batch"}

const lateCommit = time.Second

// cutter is a TCP proxy between posters and PostgreSQL that knows enough of the
// protocol to see a COMMIT pass, and cuts connections there when it is told to.
// Only the connections on which batches are posted are cut.
type cutter struct {
	listener net.Listener
	upstream atomic.Pointer[string]
	dealt    [wounds]atomic.Int64
	landed   atomic.Int64 // COMMITs that nobody heard the end of, and that the server did all the same
	stalled  atomic.Int64 // until when nothing passes, in Unix nanoseconds
	slow     atomic.Int64 // nanoseconds that each message of a client is late

	mu    sync.Mutex
	armed []wound
	late  func() time.Duration // how late a late COMMIT is
}

func newCutter(late func() time.Duration) (*cutter, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &cutter{listener: l, late: late}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go c.serve(client)
		}
	}()
	return c, nil
}

// arm makes the next occasion for a wound one. Few wait at a time, so that work
// goes on.
func (c *cutter) arm(w wound) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.armed) < 3 {
		c.armed = append(c.armed, w)
	}
}

// calm forgets what is armed.
func (c *cutter) calm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = nil
}

func (c *cutter) stall(d time.Duration) { c.stalled.Store(time.Now().Add(d).UnixNano()) }

func (c *cutter) pause() {
	if d := c.slow.Load(); d > 0 {
		time.Sleep(time.Duration(d))
	}
	if d := time.Until(time.Unix(0, c.stalled.Load())); d > 0 {
		time.Sleep(d)
	}
}

// unknown is how many COMMITs were cut: whoever sent them did not hear what
// became of them.
func (c *cutter) unknown() (n int64) {
	for w := range cutMidBatch {
		n += c.dealt[w].Load()
	}
	return n
}

// take gives the wound for a message, if one is armed for its kind.
func (c *cutter) take(commit bool) (wound, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, w := range c.armed {
		if commit == (w != cutMidBatch) {
			c.armed = append(c.armed[:i:i], c.armed[i+1:]...)
			c.dealt[w].Add(1)
			return w, true
		}
	}
	return 0, false
}

func (c *cutter) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", *c.upstream.Load())
	if err != nil {
		return
	}
	defer server.Close()
	var mute atomic.Bool
	answered := make(chan struct{}) // closed when a COMMIT that nobody hears of has its answer, and at the end
	go func() {
		defer close(answered)
		defer client.Close()
		c.answers(client, server, &mute)
	}()
	c.requests(client, server, &mute, answered)
}

// What the server says to a COMMIT, at the end of a message of its own.
var (
	committed  = []byte("COMMIT\x00")
	rolledBack = []byte("ROLLBACK\x00") // the transaction had failed before
)

// answers forwards what the server says. While mute it only looks for what
// became of the COMMIT.
func (c *cutter) answers(client, server net.Conn, mute *atomic.Bool) {
	buf := make([]byte, 32<<10)
	kept := 0 // bytes of the answer before, in which a tag may begin
	for {
		n, err := server.Read(buf[kept:])
		if err != nil {
			return
		}
		c.pause()
		if !mute.Load() {
			if _, err := client.Write(buf[:n]); err != nil && !mute.Load() {
				return
			}
			continue
		}
		seen := buf[:kept+n]
		if bytes.Contains(seen, committed) {
			c.landed.Add(1)
			return
		}
		if bytes.Contains(seen, rolledBack) {
			return
		}
		kept = copy(buf, seen[max(0, len(seen)-len(rolledBack)):])
	}
}

// requests forwards what the client says, message by message.
func (c *cutter) requests(client, server net.Conn, mute *atomic.Bool, answered <-chan struct{}) {
	in := bufio.NewReaderSize(client, 64<<10)
	startup, err := message(in, 0)
	if err != nil {
		return
	}
	batches := bytes.Contains(startup, []byte("plan_cache_mode")) // as the pool's batch connections ask for
	if _, err := server.Write(startup); err != nil {
		return
	}
	for {
		m, err := message(in, 1)
		if err != nil {
			return
		}
		c.pause()
		commit := m[0] == 'Q' && string(m[5:]) == "COMMIT\x00"
		if batches {
			if w, ok := c.take(commit); ok {
				c.cut(w, m, client, server, mute, answered)
				return
			}
		}
		if _, err := server.Write(m); err != nil {
			return
		}
	}
}

func (c *cutter) cut(w wound, m []byte, client, server net.Conn, mute *atomic.Bool, answered <-chan struct{}) {
	mute.Store(true)
	switch w {
	case cutBeforeCommit:
		return
	case cutMidBatch:
		server.Write(m[:len(m)/2])
		return
	case cutAfterCommit:
		server.Write(m)
		client.Close()
	case cutBeforeAnswer:
		server.Write(m)
	case cutCommitLate:
		client.Close()
		c.mu.Lock()
		d := c.late()
		c.mu.Unlock()
		time.Sleep(d)
		server.Write(m)
	}
	select {
	case <-answered:
	case <-time.After(5 * time.Second):
	}
}

// message reads one message of PostgreSQL's protocol: a byte of kind (absent in
// the first message), four of length, the rest.
func message(in io.Reader, kind int) ([]byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(in, head[:kind+4]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(head[kind:]))
	if n < 4 || n > 64<<20 {
		return nil, io.ErrUnexpectedEOF
	}
	m := make([]byte, kind+n)
	copy(m, head[:kind+4])
	_, err := io.ReadFull(in, m[kind+4:])
	return m, err
}
