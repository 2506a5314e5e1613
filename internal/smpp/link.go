package smpp

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// Error is why a message was not taken, or why nobody knows whether it was.
type Error struct {
	Status  Status // the centre's verdict, or OK when there was none
	Unknown bool   // it may have been taken all the same
	Err     error  // may be nil
}

func (e *Error) Error() string {
	switch {
	case e.Err != nil && e.Unknown:
		return "smpp: outcome unknown: " + e.Err.Error()
	case e.Err != nil:
		return "smpp: " + e.Err.Error()
	}
	return "smpp: refused with status " + e.Status.String()
}

func (e *Error) Unwrap() error { return e.Err }

// Why there was no verdict.
var (
	ErrNotBound = errors.New("not bound")
	ErrSilent   = errors.New("no response in time")
	ErrBroken   = errors.New("the connection broke")
	errWindow   = errors.New("no place in the window")
)

// link is one connection. Its requests wait in a map by their numbers; at most
// a window of messages is under way.
type link struct {
	o       *Options
	conn    net.Conn
	window  chan struct{}
	workers chan struct{} // of deliveries
	working sync.WaitGroup

	writing sync.Mutex

	mu       sync.Mutex
	waiting  map[uint32]chan PDU
	sequence uint32
	leaving  bool // no new messages

	gone  chan struct{} // closed when the connection is of no use
	close sync.Once
}

func newLink(o *Options, conn net.Conn) *link {
	return &link{
		o: o, conn: conn, window: make(chan struct{}, o.Window), workers: make(chan struct{}, o.Workers),
		waiting: map[uint32]chan PDU{}, gone: make(chan struct{}),
	}
}

// end closes the connection, from either side. Whoever waits hears it.
func (l *link) end() {
	l.close.Do(func() {
		close(l.gone)
		l.conn.Close()
	})
}

// write writes one unit whole. A peer that does not read is not waited for
// longer than for a response. wrote says whether a byte may have gone out.
func (l *link) write(p PDU) (wrote bool, err error) {
	b, err := p.Encode()
	if err != nil {
		return false, err
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	select {
	case <-l.gone:
		return false, ErrBroken
	default:
	}
	stuck := time.AfterFunc(l.o.Timeout, l.end)
	defer stuck.Stop()
	n, err := l.conn.Write(b)
	if err != nil {
		l.end()
		return n > 0, ErrBroken
	}
	return true, nil
}

// ask sends a request and waits for its response.
func (l *link) ask(ctx context.Context, p PDU) (PDU, error) {
	answer := make(chan PDU, 1)
	l.mu.Lock()
	for {
		if l.sequence = l.sequence%0x7FFFFFFF + 1; l.waiting[l.sequence] == nil {
			break
		}
	}
	p.Sequence = l.sequence
	l.waiting[p.Sequence] = answer
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.waiting, p.Sequence)
		l.mu.Unlock()
	}()
	if wrote, err := l.write(p); err != nil {
		return PDU{}, &Error{Unknown: wrote, Err: err}
	}
	patience := time.NewTimer(l.o.Timeout)
	defer patience.Stop()
	select {
	case got := <-answer:
		return got, nil
	case <-patience.C:
		return PDU{}, &Error{Unknown: true, Err: ErrSilent}
	case <-ctx.Done():
		return PDU{}, &Error{Unknown: true, Err: ctx.Err()}
	case <-l.gone:
	}
	select { // it may have come just before the end
	case got := <-answer:
		return got, nil
	default:
		return PDU{}, &Error{Unknown: true, Err: ErrBroken}
	}
}

// submit sends a message when there is room in the window.
func (l *link) submit(ctx context.Context, m Message) (string, error) {
	room := time.NewTimer(l.o.Timeout)
	defer room.Stop()
	select {
	case l.window <- struct{}{}:
		defer func() { <-l.window }()
	case <-room.C:
		return "", &Error{Err: errWindow}
	case <-ctx.Done():
		return "", &Error{Err: ctx.Err()}
	case <-l.gone:
		return "", &Error{Err: ErrNotBound}
	}
	l.mu.Lock()
	leaving := l.leaving
	l.mu.Unlock()
	if leaving {
		return "", &Error{Err: ErrNotBound}
	}
	got, err := l.ask(ctx, PDU{Command: SubmitSM, Message: &m})
	switch {
	case err != nil:
		return "", err
	case got.Command == GenericNack && got.Status == OK:
		return "", &Error{Status: SystemError}
	case got.Status != OK:
		return "", &Error{Status: got.Status}
	case got.Command != SubmitSM.Response():
		return "", &Error{Unknown: true, Err: errMalformed}
	}
	return got.ID, nil
}

// read serves what comes until the connection ends. The responses' malformed
// bodies count as responses: the number is right.
func (l *link) read(ctx context.Context) error {
	defer l.end()
	from := bufio.NewReaderSize(l.conn, 4<<10)
	for {
		p, err := Read(from)
		if err != nil && !errors.Is(err, errMalformed) {
			return err
		}
		switch {
		case err != nil && p.Command&response == 0:
			l.write(PDU{Command: GenericNack, Status: InvalidLength, Sequence: p.Sequence})
		case p.Command&response != 0:
			if err != nil {
				p.Command = response | 0xFFFF // no verdict
			}
			l.mu.Lock()
			answer := l.waiting[p.Sequence]
			delete(l.waiting, p.Sequence) // a second response is nobody's
			l.mu.Unlock()
			if answer != nil {
				answer <- p
			}
		case p.Command == EnquireLink:
			l.write(PDU{Command: EnquireLink.Response(), Sequence: p.Sequence})
		case p.Command == Unbind:
			l.write(PDU{Command: Unbind.Response(), Sequence: p.Sequence})
			return errors.New("the centre unbinds")
		case p.Command == DeliverSM:
			l.deliver(ctx, p)
		default:
			l.write(PDU{Command: GenericNack, Status: InvalidCommand, Sequence: p.Sequence})
		}
	}
}

// deliver hands a message to a worker. Reading must go on meanwhile, because
// the worker may itself wait for a response; so when all are busy, the centre
// is asked to come again.
func (l *link) deliver(ctx context.Context, p PDU) {
	select {
	case l.workers <- struct{}{}:
	default:
		l.write(PDU{Command: DeliverSM.Response(), Status: TemporaryError, Sequence: p.Sequence})
		return
	}
	l.working.Go(func() {
		defer func() { <-l.workers }()
		status, then := l.o.Deliver(ctx, *p.Message)
		l.write(PDU{Command: DeliverSM.Response(), Status: status, Sequence: p.Sequence})
		if then != nil {
			then()
		}
	})
}

// keepAlive asks now and then whether the other side is there.
func (l *link) keepAlive(ctx context.Context) {
	tick := time.NewTicker(l.o.KeepAlive)
	defer tick.Stop()
	for {
		select {
		case <-l.gone:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if _, err := l.ask(ctx, PDU{Command: EnquireLink}); err != nil && ctx.Err() == nil {
			l.end()
			return
		}
	}
}

// leave takes no new messages, waits for the answers to those under way, and
// says goodbye. It takes twice a time-out at most.
func (l *link) leave() {
	l.mu.Lock()
	l.leaving = true
	l.mu.Unlock()
	patience := time.NewTimer(l.o.Timeout)
	defer patience.Stop()
	for range cap(l.window) {
		select {
		case l.window <- struct{}{}:
			continue
		case <-l.gone:
		case <-patience.C:
		}
		break
	}
	l.ask(context.Background(), PDU{Command: Unbind})
	l.end()
}
