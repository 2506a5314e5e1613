package db

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"syscall"
)

// lateBegin is a connection on which a BEGIN travels with the statement after it
// and costs no round trip of its own. lib/pq waits for every answer, so it is told
// at once that the transaction has begun, and the server is told together with the
// first prepared statement. Nothing lies between the two, not even a point at
// which the server would go on after an error: when BEGIN fails, the statement is
// skipped, and its caller gets the error. Anything but a prepared statement goes
// after a BEGIN of the usual kind, and so does everything when the server has
// something to say. Over TLS there is nothing to see here, and nothing changes.
type lateBegin struct {
	net.Conn
	owed  bool   // a BEGIN that the server does not know of yet
	skip  string // types of the messages in which it says that it does
	ready []byte // what lib/pq may read
	raw   []byte // what came and is no whole message yet, while skipping
}

var (
	// As lib/pq asks for it, and what it wants to hear: CommandComplete and
	// ReadyForQuery, in a transaction.
	plainBegin = message('Q', "BEGIN READ WRITE\x00")
	hasBegun   = append(message('C', "BEGIN\x00"), message('Z', "T")...)
	// The same in the extended protocol: Parse, Bind and Execute, without the Sync
	// that would end the matter.
	earlyBegin = bytes.Join([][]byte{
		message('P', "\x00BEGIN READ WRITE\x00\x00\x00"), message('B', "\x00\x00\x00\x00\x00\x00\x00\x00"), message('E', "\x00\x00\x00\x00\x00"),
	}, nil)
)

// begun are the types of the answers to earlyBegin.
const begun = "12C"

func message(kind byte, body string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{kind}, uint32(4+len(body)))
	return append(b, body...)
}

func (c *lateBegin) Write(b []byte) (int, error) {
	switch {
	case bytes.Equal(b, plainBegin) && c.silent():
		c.owed, c.ready = true, append(c.ready, hasBegun...)
		return len(b), nil
	case !c.owed:
		return c.Conn.Write(b)
	}
	c.owed = false
	if b[0] != 'B' {
		if err := c.beginNow(); err != nil {
			return 0, err
		}
		return c.Conn.Write(b)
	}
	c.skip = begun
	n, err := c.Conn.Write(append(append(make([]byte, 0, len(earlyBegin)+len(b)), earlyBegin...), b...))
	return max(0, n-len(earlyBegin)), err
}

// beginNow sends the BEGIN that lib/pq believes to be done.
func (c *lateBegin) beginNow() error {
	if _, err := c.Conn.Write(plainBegin); err != nil {
		return err
	}
	answer := make([]byte, len(hasBegun))
	if _, err := io.ReadFull(c.Conn, answer); err != nil {
		return err
	}
	if !bytes.Equal(answer, hasBegun) {
		return net.ErrClosed // whatever it is: the connection is not used any more
	}
	return nil
}

func (c *lateBegin) Read(b []byte) (int, error) {
	for len(c.ready) == 0 {
		n, err := c.Conn.Read(b)
		if c.skip == "" || err != nil {
			return n, err
		}
		c.raw = append(c.raw, b[:n]...)
		c.skipAnswers()
	}
	n := copy(b, c.ready)
	c.ready = c.ready[n:]
	return n, nil
}

// skipAnswers takes the answers to BEGIN out of what came, up to an error if that
// is the answer. Notices and changed settings may stand between them.
func (c *lateBegin) skipAnswers() {
	for c.skip != "" {
		if len(c.raw) < 5 {
			return
		}
		n := 1 + int(binary.BigEndian.Uint32(c.raw[1:]))
		if len(c.raw) < n {
			return
		}
		switch kind := c.raw[0]; {
		case kind == c.skip[0]:
			c.skip = c.skip[1:]
		case kind == 'N' || kind == 'S' || kind == 'A':
			c.ready = append(c.ready, c.raw[:n]...)
		default:
			c.skip = ""
			continue
		}
		c.raw = c.raw[n:]
	}
	c.skip = ""
	c.ready, c.raw = append(c.ready, c.raw...), c.raw[:0]
}

// silent tells whether the connection is open, as far as anybody knows, and
// nothing waits to be read from it. A connection that the server has closed is
// found out here and not by a statement of the transaction.
func (c *lateBegin) silent() bool {
	s, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	var peeked error
	err = raw.Read(func(fd uintptr) bool {
		_, _, peeked = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
		return true
	})
	return err == nil && (peeked == syscall.EAGAIN || peeked == syscall.EWOULDBLOCK)
}
