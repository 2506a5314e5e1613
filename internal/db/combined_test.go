package db

import (
	"bytes"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// combinedLink is a combined and the server's end of it.
func combinedLink(t *testing.T) (client *combined, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); server.Close() })
	return &combined{Conn: c}, server
}

func send(t *testing.T, to io.Writer, b []byte) {
	t.Helper()
	if _, err := to.Write(b); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, from io.Reader, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(from, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("got %q, %v\nwant %q", got, err, want)
	}
}

var (
	aStatement = append(message('B', "\x001\x00"), message('S', "")...)
	itsAnswer  = slices.Concat(message('2', ""), message('C', "UPDATE 1\x00"), message('Z', "T"))
	anError    = append(message('E', "SERROR\x00\x00"), message('Z', "I")...)
	aSetting   = message('S', "a\x00b\x00")
)

func TestABeginTravelsWithItsStatement(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		answer, heard []byte
	}{
		{"all is well", slices.Concat(message('1', ""), message('2', ""), message('C', "BEGIN\x00"), itsAnswer), itsAnswer},
		{"a setting changed", slices.Concat(aSetting, message('1', ""), message('2', ""), aSetting, message('C', "BEGIN\x00"), itsAnswer), slices.Concat(aSetting, aSetting, itsAnswer)},
		{"no transaction", slices.Concat(message('1', ""), message('2', ""), anError), anError},
	} {
		for _, piece := range []int{1, 7, 4096} { // the network cuts where it likes
			client, server := combinedLink(t)
			send(t, client, plainBegin)
			expect(t, client, hasBegun) // before the server has heard of it
			send(t, client, aStatement)
			expect(t, server, append(slices.Clone(earlyBegin), aStatement...))
			go func() {
				for part := range slices.Chunk(c.answer, piece) {
					server.Write(part)
				}
			}()
			t.Log(c.name, piece)
			expect(t, client, c.heard)
			if client.skip != "" || client.owed {
				t.Error("still waits for an answer to BEGIN")
			}
		}
	}
}

func TestABeginBeforeAnythingElseGoesAhead(t *testing.T) {
	t.Parallel()
	client, server := combinedLink(t)
	query := message('Q', "select 1\x00")
	send(t, client, plainBegin)
	go func() {
		expect(t, server, plainBegin)
		server.Write(hasBegun)
		expect(t, server, query)
		server.Write([]byte("answer"))
	}()
	expect(t, client, hasBegun)
	send(t, client, query)
	expect(t, client, []byte("answer"))
}

// A connection that the server has closed, or says something on, is told from a
// good one before lib/pq is told that a transaction has begun.
func TestABeginIsNotPromisedOnALostConnection(t *testing.T) {
	t.Parallel()
	client, server := combinedLink(t)
	send(t, server, anError)
	server.(*net.TCPConn).CloseWrite()
	if expectData(client); client.silent() {
		t.Error("counts as silent")
	}
	send(t, client, plainBegin)
	if client.owed {
		t.Error("promised")
	}
	if got, err := io.ReadAll(client); err != nil || !strings.HasPrefix(string(got), string(anError)) {
		t.Errorf("%q, %v", got, err)
	}
}

// expectData waits until something can be read, and leaves it there.
func expectData(c *combined) {
	raw, err := c.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return
	}
	raw.Read(func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
		return err != syscall.EAGAIN
	})
}

func TestACommitTravelsWithTheLastStatement(t *testing.T) {
	t.Parallel()
	client, server := combinedLink(t)
	prepare := message('P', "1\x00select 1"+lastMark+"\x00\x00\x00")
	send(t, client, prepare)
	expect(t, server, prepare)
	for _, end := range plainEnds {
		send(t, client, aStatement)
		expect(t, server, append(slices.Clone(aStatement), plainEnds[0]...))
		send(t, client, end) // is not passed on
		another := message('B', "\x00002\x00")
		send(t, client, another)
		expect(t, server, another)
	}
}
