package smpp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// centre is a message centre on a real socket. Each unit that comes is given to
// its answer, which writes what it likes.
type centre struct {
	t      *testing.T
	l      net.Listener
	mu     sync.Mutex
	conns  []net.Conn
	binds  int
	answer func(c net.Conn, p PDU)
	done   sync.WaitGroup
}

func newCentre(t *testing.T, answer func(c net.Conn, p PDU)) *centre {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &centre{t: t, l: l, answer: answer}
	s.done.Go(s.accept)
	t.Cleanup(func() {
		l.Close()
		s.cut()
		s.done.Wait()
	})
	return s
}

func (s *centre) accept() {
	for {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, c)
		s.mu.Unlock()
		s.done.Go(func() {
			defer c.Close()
			for {
				p, err := Read(c)
				if err != nil {
					return
				}
				switch p.Command {
				case BindTransceiver:
					s.mu.Lock()
					s.binds++
					s.mu.Unlock()
					status := OK
					if p.Bind.Password != "right" {
						status = InvalidPassword
					}
					say(c, PDU{Command: p.Command.Response(), Status: status, Sequence: p.Sequence, ID: "centre"})
				case Unbind:
					say(c, PDU{Command: p.Command.Response(), Sequence: p.Sequence})
				default:
					s.answer(c, p)
				}
			}
		})
	}
}

func (s *centre) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
	s.conns = nil
}

func (s *centre) bound() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.binds
}

// last is the newest connection.
func (s *centre) last() net.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[len(s.conns)-1]
}

func say(c net.Conn, p PDU) {
	b, err := p.Encode()
	if err != nil {
		panic(err)
	}
	c.Write(b)
}

// take answers every message with its own text as the id.
func take(c net.Conn, p PDU) {
	if p.Command == SubmitSM {
		say(c, PDU{Command: p.Command.Response(), Sequence: p.Sequence, ID: string(p.Message.Body)})
	}
}

// client runs one until the test ends, and waits until it is bound.
func (s *centre) client(change func(o *Options)) *Client {
	s.t.Helper()
	c, stop := s.unbound(change)
	s.t.Cleanup(stop)
	eventually(s.t, c.Bound)
	return c
}

func (s *centre) unbound(change func(o *Options)) (c *Client, stop func()) {
	s.t.Helper()
	o := Options{
		Address: s.l.Addr().String(), SystemID: "tuma", Password: "right", Rand: rand.NewChaCha8([32]byte{1}), Log: slog.New(slog.DiscardHandler),
		Deliver:   func(context.Context, Message) (Status, func()) { return OK, nil },
		FirstWait: time.Millisecond, LastWait: 5 * time.Millisecond,
	}
	if change != nil {
		change(&o)
	}
	c, err := New(o)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := c.Run(ctx); err != nil {
			s.t.Errorf("run: %v", err)
		}
	})
	return c, func() { cancel(); running.Wait() }
}

func eventually(t *testing.T, there func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !there(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never happened")
		}
	}
}

func body(s string) Message { return Message{Dest: Address{1, 1, "254712000001"}, Body: []byte(s)} }

// Many callers on one connection each get their own answer, and no more than the
// window are under way, although the centre answers backwards.
func TestWindow(t *testing.T) {
	t.Parallel()
	const window, callers = 4, 40
	var mu sync.Mutex
	var held []PDU
	most := 0
	s := newCentre(t, nil)
	s.answer = func(c net.Conn, p PDU) {
		mu.Lock()
		defer mu.Unlock()
		held = append(held, p)
		if most = max(most, len(held)); len(held) < window {
			return
		}
		for i := len(held) - 1; i >= 0; i-- {
			take(c, held[i])
		}
		held = nil
	}
	c := s.client(func(o *Options) { o.Window = window })
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			want := fmt.Sprintf("message %d", i)
			if id, err := c.Submit(t.Context(), body(want)); err != nil || id != want {
				t.Errorf("%q: %q %v", want, id, err)
			}
		})
	}
	all.Wait()
	if most != window {
		t.Errorf("%d were under way at once, want %d", most, window)
	}
}

// What each verdict, and each way not to give one, says about the message.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	s := newCentre(t, func(c net.Conn, p PDU) {
		switch string(p.Message.Body) {
		case "throttled":
			say(c, PDU{Command: p.Command.Response(), Status: Throttled, Sequence: p.Sequence})
		case "nack":
			say(c, PDU{Command: GenericNack, Status: InvalidCommand, Sequence: p.Sequence})
		case "malformed":
			c.Write([]byte{0, 0, 0, 17, 0x80, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, byte(p.Sequence), 'x'})
		case "cut":
			c.Close()
		case "twice":
			take(c, p)
			take(c, p)
		case "silent":
		default:
			take(c, p)
		}
	})
	c := s.client(func(o *Options) { o.Timeout = 300 * time.Millisecond })
	for _, test := range []struct {
		body    string
		status  Status
		unknown bool
		err     error
	}{
		{"throttled", Throttled, false, nil}, {"nack", InvalidCommand, false, nil}, {"malformed", OK, true, errMalformed},
		{"silent", OK, true, ErrSilent}, {"twice", OK, false, nil}, {"fine", OK, false, nil}, {"cut", OK, true, ErrBroken},
	} {
		id, err := c.Submit(t.Context(), body(test.body))
		e, failed := errors.AsType[*Error](err)
		if !failed {
			if test.status != OK || test.unknown || id != test.body {
				t.Errorf("%s: %q, no error", test.body, id)
			}
			continue
		}
		if e.Status != test.status || e.Unknown != test.unknown || test.err != nil && !errors.Is(err, test.err) {
			t.Errorf("%s: %+v", test.body, e)
		}
	}
	eventually(t, func() bool { return s.bound() == 2 && c.Bound() })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Submit(ctx, body("silent")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A connection that drops in the middle of a window leaves doubts, all of them
// at once, and the client comes back by itself.
func TestDroppedInMidWindow(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 8)
	s := newCentre(t, func(net.Conn, PDU) { arrived <- struct{}{} })
	c := s.client(func(o *Options) { o.Window = 4 })
	var all sync.WaitGroup
	var mu sync.Mutex
	var doubts, certain int
	for i := range 8 {
		all.Go(func() {
			_, err := c.Submit(t.Context(), body(fmt.Sprint(i)))
			e, ok := errors.AsType[*Error](err)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case !ok:
				t.Errorf("no error")
			case e.Unknown:
				doubts++
			default:
				certain++
			}
		})
	}
	for range 4 {
		<-arrived
	}
	s.cut()
	all.Wait()
	if doubts != 4 || certain != 4 {
		t.Errorf("%d in doubt and %d certainly not sent, want 4 and 4", doubts, certain)
	}
	eventually(t, func() bool { return s.bound() == 2 && c.Bound() })
}

// Deliveries are answered after their handler, which may send messages itself;
// when too many are under way, the centre is asked to come again.
func TestDeliveries(t *testing.T) {
	t.Parallel()
	verdicts := make(chan Status, 16)
	s := newCentre(t, func(c net.Conn, p PDU) {
		if p.Command == DeliverSM.Response() {
			verdicts <- p.Status
			return
		}
		take(c, p)
	})
	free, ready := make(chan struct{}), make(chan struct{}, 2)
	after := make(chan string, 2)
	var c *Client
	c = s.client(func(o *Options) {
		o.Workers = 2
		o.Deliver = func(ctx context.Context, m Message) (Status, func()) {
			ready <- struct{}{}
			<-free
			return OK, func() {
				id, err := c.Submit(ctx, body("answer to "+string(m.Body)))
				if err != nil {
					t.Error(err)
				}
				after <- id
			}
		}
	})
	conn := s.last()
	for i, text := range []string{"a", "b"} {
		m := body(text)
		say(conn, PDU{Command: DeliverSM, Sequence: uint32(i + 1), Message: &m})
		<-ready
	}
	m := body("c")
	say(conn, PDU{Command: DeliverSM, Sequence: 3, Message: &m})
	if v := <-verdicts; v != TemporaryError {
		t.Errorf("the third was answered %v", v)
	}
	close(free)
	got := map[string]bool{<-after: true, <-after: true}
	if !got["answer to a"] || !got["answer to b"] {
		t.Errorf("%v", got)
	}
	for range 2 {
		if v := <-verdicts; v != OK {
			t.Errorf("answered %v", v)
		}
	}
}

// The client answers enquiries, refuses what it does not know, and leaves a
// centre that does not answer its own.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	answers := make(chan PDU, 16)
	s := newCentre(t, func(_ net.Conn, p PDU) {
		if p.Command&response != 0 {
			answers <- p
		}
	})
	c := s.client(func(o *Options) { o.Timeout = time.Minute })
	conn := s.last()
	say(conn, PDU{Command: EnquireLink, Sequence: 77})
	say(conn, PDU{Command: 0x103, Sequence: 78})
	conn.Write([]byte{0, 0, 0, 17, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 79, 'x'})
	for _, want := range []PDU{
		{Command: EnquireLink.Response(), Sequence: 77}, {Command: GenericNack, Status: InvalidCommand, Sequence: 78},
		{Command: GenericNack, Status: InvalidLength, Sequence: 79},
	} {
		if got := <-answers; got.Command != want.Command || got.Status != want.Status || got.Sequence != want.Sequence {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	say(conn, PDU{Command: Unbind, Sequence: 80})
	eventually(t, func() bool { return s.bound() == 2 && c.Bound() })

	deaf := newCentre(t, func(net.Conn, PDU) {})
	deaf.client(func(o *Options) { o.KeepAlive, o.Timeout = 5*time.Millisecond, 100*time.Millisecond })
	eventually(t, func() bool { return deaf.bound() >= 2 })
}

// Stopping waits for the answers to what is under way, and unbinds.
func TestUnbind(t *testing.T) {
	t.Parallel()
	arrived, free := make(chan struct{}), make(chan struct{})
	s := newCentre(t, func(c net.Conn, p PDU) {
		arrived <- struct{}{}
		<-free
		take(c, p)
	})
	c, stop := s.unbound(nil)
	eventually(t, c.Bound)
	var all sync.WaitGroup
	all.Go(func() {
		if id, err := c.Submit(t.Context(), body("last")); err != nil || id != "last" {
			t.Errorf("%q %v", id, err)
		}
	})
	<-arrived
	all.Go(stop)
	eventually(t, func() bool { return !c.Bound() })
	if _, err := c.Submit(t.Context(), body("late")); !errors.Is(err, ErrNotBound) {
		t.Errorf("after the end: %v", err)
	}
	close(free)
	all.Wait()
}

// A wrong password is tried again, and so is a centre that is not there.
func TestBindRefused(t *testing.T) {
	t.Parallel()
	s := newCentre(t, take)
	c, stop := s.unbound(func(o *Options) { o.Password = "wrong" })
	eventually(t, func() bool { return s.bound() >= 3 })
	if c.Bound() {
		t.Error("bound")
	}
	s.l.Close()
	stop()
	for _, o := range []Options{{}, {Address: "nowhere", SystemID: "x"}, {Address: "h:1", SystemID: "sixteen letters!"}, {Address: "h:1", SystemID: "a", Timeout: -1}} {
		o.Deliver = func(context.Context, Message) (Status, func()) { return OK, nil }
		o.Rand, o.Log = rand.NewChaCha8([32]byte{1}), slog.New(slog.DiscardHandler)
		if _, err := New(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}
