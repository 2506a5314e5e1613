package smpp

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Options say where a message centre is and who we are there. Address,
// SystemID, Deliver, Rand and Log are required; a zero in the others takes the
// default.
type Options struct {
	Address    string // host:port
	TLS        *tls.Config
	SystemID   string
	Password   string
	SystemType string
	Range      Address // which addresses' messages are wanted; usually the centre knows

	// Deliver gets each message that the centre delivers, on a goroutine of its
	// own. The status is answered; then, if it is not nil, runs after that. The
	// context ends with the connection's client.
	Deliver func(ctx context.Context, m Message) (status Status, then func())

	Window    int           // messages without a response at a time; 16
	Workers   int           // deliveries at a time; 32
	Timeout   time.Duration // for a response; 10 s
	KeepAlive time.Duration // between two enquiries; 30 s
	FirstWait time.Duration // before connecting again, doubled for each failure; 500 ms
	LastWait  time.Duration // 30 s
	Rand      io.Reader     // spreads the waits; read by Run alone
	Log       *slog.Logger
}

// Client keeps one connection bound as a transceiver.
type Client struct {
	o    Options
	mu   sync.Mutex
	link *link // nil: not bound
}

// version is SMPP 3.4.
const version = 0x34

// New checks the options; it does not connect.
func New(o Options) (*Client, error) {
	if o.Deliver == nil || o.Rand == nil || o.Log == nil {
		return nil, errors.New("smpp: deliver, rand and log are required")
	}
	if host, port, err := net.SplitHostPort(o.Address); err != nil || host == "" || port == "" {
		return nil, errors.New("smpp: the address is not host:port")
	}
	for _, d := range []struct {
		field    *time.Duration
		standard time.Duration
	}{{&o.Timeout, 10 * time.Second}, {&o.KeepAlive, 30 * time.Second}, {&o.FirstWait, 500 * time.Millisecond}, {&o.LastWait, 30 * time.Second}} {
		if *d.field == 0 {
			*d.field = d.standard
		}
		if *d.field < 0 {
			return nil, fmt.Errorf("smpp: a negative duration %v", *d.field)
		}
	}
	for _, n := range []struct {
		field    *int
		standard int
	}{{&o.Window, 16}, {&o.Workers, 32}} {
		if *n.field == 0 {
			*n.field = n.standard
		}
		if *n.field < 0 || *n.field > 1000 {
			return nil, fmt.Errorf("smpp: %d is not a window", *n.field)
		}
	}
	c := &Client{o: o}
	if _, err := c.bind().Encode(); err != nil || o.SystemID == "" {
		return nil, errors.New("smpp: the system id has 1 to 15 characters, the password at most 8, the system type at most 12")
	}
	return c, nil
}

func (c *Client) bind() PDU {
	return PDU{Command: BindTransceiver, Bind: &Bind{
		SystemID: c.o.SystemID, Password: c.o.Password, SystemType: c.o.SystemType, Version: version, Range: c.o.Range,
	}}
}

// Submit sends one message and returns the id that the centre gives it. Its
// errors are *Error. It may be called from many goroutines.
func (c *Client) Submit(ctx context.Context, m Message) (id string, err error) {
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	if l == nil {
		return "", &Error{Err: ErrNotBound}
	}
	return l.submit(ctx, m)
}

// Bound tells whether messages can be sent now.
func (c *Client) Bound() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link != nil
}

// Run keeps the client bound until ctx ends, then unbinds and returns nil.
func (c *Client) Run(ctx context.Context) error {
	for failures := 0; ; {
		bound, err := c.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if failures++; bound {
			failures = 1
		}
		wait := c.wait(failures)
		c.o.Log.WarnContext(ctx, "smpp: not bound", "centre", c.o.Address, "error", err, "again_in", wait)
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return nil
		}
	}
}

// once connects, binds, and serves the connection to its end.
func (c *Client) once(ctx context.Context) (bound bool, err error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return false, err
	}
	l := newLink(&c.o, conn)
	// Deliveries under way are finished although ctx ends, while we unbind.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running sync.WaitGroup
	defer func() {
		l.end()
		stop()
		running.Wait()
		l.working.Wait()
	}()
	why := make(chan error, 1)
	running.Go(func() { why <- l.read(work) })
	got, err := l.ask(ctx, c.bind())
	switch {
	case err != nil:
		return false, err
	case got.Status != OK || got.Command != BindTransceiver.Response():
		return false, fmt.Errorf("the bind was refused with status %s", got.Status)
	}
	running.Go(func() { l.keepAlive(work) })
	c.set(l)
	c.o.Log.InfoContext(ctx, "smpp: bound", "centre", c.o.Address)
	select {
	case err = <-why:
		c.set(nil)
		return true, err
	case <-ctx.Done():
		c.set(nil)
		l.leave()
		return true, nil
	}
}

func (c *Client) set(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link = l
}

func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	if c.o.TLS != nil {
		d := tls.Dialer{Config: c.o.TLS}
		return d.DialContext(ctx, "tcp", c.o.Address)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", c.o.Address)
}

// wait is the pause after so many failures in a row: between half and all of a
// time that doubles.
func (c *Client) wait(failures int) time.Duration {
	wait := c.o.FirstWait
	for i := 1; i < failures && wait < c.o.LastWait; i++ {
		wait *= 2
	}
	wait = min(wait, c.o.LastWait)
	var b [8]byte
	if _, err := io.ReadFull(c.o.Rand, b[:]); err != nil {
		return wait
	}
	half := wait / 2
	return half + time.Duration(binary.BigEndian.Uint64(b[:])%uint64(wait-half+1))
}
