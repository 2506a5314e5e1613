package db

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"
)

// dialer gives connections whose every read and write must make progress.
type dialer struct {
	io       time.Duration
	combined bool // see the type
}

func (d dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialTimeout(network, address, connectTimeout)
}

func (d dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: connectTimeout, KeepAlive: 15 * time.Second}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c = &impatient{Conn: c, limit: d.io}
	if d.combined {
		c = &combined{Conn: c}
	}
	return c, nil
}

// impatient sets a rolling deadline on each read and write. The deadline that
// lib/pq sets while it connects holds beside it.
type impatient struct {
	net.Conn
	limit time.Duration
	until time.Time // zero: none
}

func (c *impatient) SetDeadline(until time.Time) error {
	c.until = until
	return c.Conn.SetDeadline(until)
}

func (c *impatient) deadline() time.Time {
	rolling := time.Now().Add(c.limit)
	if !c.until.IsZero() && c.until.Before(rolling) {
		return c.until
	}
	return rolling
}

func (c *impatient) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(c.deadline()); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c *impatient) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(c.deadline()); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// SyscallConn is the connection's own; a TCP or Unix socket has one.
func (c *impatient) SyscallConn() (syscall.RawConn, error) {
	s, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return s.SyscallConn()
}
