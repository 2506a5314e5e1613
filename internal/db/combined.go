package db

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"syscall"
)

// combined is a connection on which BEGIN and COMMIT travel with a statement and
// cost no round trips of their own. lib/pq waits for every answer; so something
// between it and the server has to know better.
//
// lib/pq is told at once that a transaction has begun, and the server is told
// together with the first prepared statement. Nothing lies between the two, not
// even a point at which the server would go on after an error: when BEGIN fails,
// the statement is skipped, and its caller gets the error. Anything but a prepared
// statement goes after a BEGIN of the usual kind, and so does everything when the
// server has something to say.
//
// Behind a statement that is marked as the last one (Tx.ExecLast) COMMIT follows
// at once. Its answer waits to be read until lib/pq asks for it by its own COMMIT;
// or by ROLLBACK, when the statement has failed: then that is what the server made
// of the COMMIT.
//
// Over TLS there is nothing to see here, and everything is as lib/pq does it.
type combined struct {
	net.Conn
	owed  bool   // a BEGIN that the server does not know of yet
	skip  string // types of the messages in which it says that it does
	ready []byte // what lib/pq may read
	raw   []byte // what came and is no whole message yet, while skipping

	lasts map[string]bool // prepared statements that are marked
	ended bool            // COMMIT has gone, and lib/pq has not asked for it yet
}

// lastMark ends the text of a statement that COMMIT goes with.
const lastMark = "\n-- the last of its transaction"

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

var plainEnds = [][]byte{message('Q', "COMMIT\x00"), message('Q', "ROLLBACK\x00")}

// begun are the types of the answers to earlyBegin.
const begun = "12C"

func message(kind byte, body string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{kind}, uint32(4+len(body)))
	return append(b, body...)
}

func (c *combined) Write(b []byte) (int, error) {
	if c.ended && (bytes.Equal(b, plainEnds[0]) || bytes.Equal(b, plainEnds[1])) {
		c.ended = false
		return len(b), nil
	}
	if bytes.Equal(b, plainBegin) && c.silent() {
		c.owed, c.ready = true, append(c.ready, hasBegun...)
		return len(b), nil
	}
	var before, after []byte
	if b[0] == 'B' {
		if name, _, _ := bytes.Cut(b[6:], []byte{0}); c.lasts[string(name)] {
			after, c.ended = plainEnds[0], true
		}
		if c.owed {
			before, c.skip = earlyBegin, begun
		}
	} else {
		c.note(b)
		if c.owed {
			if err := c.beginNow(); err != nil {
				return 0, err
			}
		}
	}
	c.owed = false
	if len(before)+len(after) == 0 {
		return c.Conn.Write(b)
	}
	n, err := c.Conn.Write(slices.Concat(before, b, after))
	return min(max(0, n-len(before)), len(b)), err
}

// note remembers the name of a statement that is being prepared and is marked.
func (c *combined) note(b []byte) {
	if b[0] != 'P' || !bytes.Contains(b, []byte(lastMark)) {
		return
	}
	if c.lasts == nil {
		c.lasts = map[string]bool{}
	}
	name, _, _ := bytes.Cut(b[5:], []byte{0})
	c.lasts[string(name)] = true
}

// beginNow sends the BEGIN that lib/pq believes to be done.
func (c *combined) beginNow() error {
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

func (c *combined) Read(b []byte) (int, error) {
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
func (c *combined) skipAnswers() {
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
func (c *combined) silent() bool {
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
