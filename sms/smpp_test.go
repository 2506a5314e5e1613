package sms

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tuma/internal/phone"
	"tuma/internal/smpp"
	"tuma/sms/outbox"
)

// centre is a message centre that remembers what it was given, and answers with
// the statuses that it was told, then with OK.
type centre struct {
	t        *testing.T
	l        net.Listener
	mu       sync.Mutex
	conn     net.Conn
	got      []smpp.Message
	statuses []smpp.Status
	verdicts chan smpp.Status
}

func newMessageCentre(t *testing.T) *centre {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &centre{t: t, l: l, verdicts: make(chan smpp.Status, 64)}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.conn = conn
			c.mu.Unlock()
			all.Go(func() { c.serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return c
}

func (c *centre) serve(conn net.Conn) {
	defer conn.Close()
	for {
		p, err := smpp.Read(conn)
		if err != nil {
			return
		}
		answer := smpp.PDU{Command: p.Command.Response(), Sequence: p.Sequence}
		switch p.Command {
		case smpp.DeliverSM.Response():
			c.verdicts <- p.Status
			continue
		case smpp.SubmitSM:
			c.mu.Lock()
			c.got = append(c.got, *p.Message)
			answer.ID = fmt.Sprintf("1F%02d", len(c.got))
			if len(c.statuses) > 0 {
				answer.Status, c.statuses = c.statuses[0], c.statuses[1:]
			}
			c.mu.Unlock()
		}
		c.say(conn, answer)
	}
}

func (c *centre) say(conn net.Conn, p smpp.PDU) {
	b, err := p.Encode()
	if err != nil {
		c.t.Error(err)
		return
	}
	conn.Write(b)
}

// deliver delivers a message and returns what it was answered.
func (c *centre) deliver(m smpp.Message) smpp.Status {
	c.t.Helper()
	c.mu.Lock()
	conn := c.conn
	c.mu.Unlock()
	c.say(conn, smpp.PDU{Command: smpp.DeliverSM, Sequence: 1, Message: &m})
	return <-c.verdicts
}

// heard is what a gateway handed on.
type heard struct {
	mu      sync.Mutex
	in      []Inbound
	reports []outbox.Report
	fail    error
}

func (h *heard) receive(_ context.Context, in Inbound) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fail == nil {
		h.in = append(h.in, in)
	}
	return h.fail
}

func (h *heard) report(_ context.Context, r outbox.Report) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.ID == "" || r.State == 0 {
		return outbox.ErrBadReport
	}
	h.reports = append(h.reports, r)
	return h.fail
}

// still is a clock that stands until it is moved.
type still struct {
	mu sync.Mutex
	at time.Time
}

func (s *still) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

func (s *still) move(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = s.at.Add(d)
}

func (c *centre) gateway(change func(o *SMPPOptions)) (*SMPP, *heard, *still) {
	c.t.Helper()
	h, clock := &heard{}, &still{at: time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)}
	ke, err := phone.CountryOf("KE")
	if err != nil {
		c.t.Fatal(err)
	}
	o := SMPPOptions{
		Address: c.l.Addr().String(), SystemID: "tuma", Password: "secret", From: "Tuma", Country: ke,
		Receive: h.receive, Report: h.report, Key: []byte("a key of tests, 16+"), Now: clock.now, Rand: rand.NewChaCha8([32]byte{1}), Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	g, err := NewSMPP(o)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { g.Run(ctx) })
	c.t.Cleanup(func() { cancel(); running.Wait() })
	eventually(c.t, "bound", g.client.Bound)
	return g, h, clock
}

// From a message to the units that go out.
func TestSMPPSends(t *testing.T) {
	t.Parallel()
	to := smpp.Address{TON: 1, NPI: 1, Addr: "254712000001"}
	name, code := smpp.Address{TON: 5, Addr: "Tuma"}, smpp.Address{TON: 3, Addr: "22384"}
	long := strings.Repeat("a", 160)
	same := cmp.Comparer(func(a, b []byte) bool { return bytes.Equal(a, b) })
	for _, test := range []struct {
		name   string
		change func(o *SMPPOptions)
		m      Message
		want   []smpp.Message
	}{
		{"plain", nil, Message{To: asha, Body: "Ksh5 @ [€]", Valid: 25 * time.Hour},
			[]smpp.Message{{Source: name, Dest: to, Registered: 1, Validity: "000001010000000R", Body: []byte("Ksh5 \x00 \x1b\x3c\x1b\x65\x1b\x3e")}}},
		{"wide, from a short code", func(o *SMPPOptions) { o.From = "22384" }, Message{To: asha, Body: "ç"},
			[]smpp.Message{{Source: code, Dest: to, Registered: 1, Coding: 8, Body: []byte{0, 0xe7}}}},
		{"from somebody else", nil, Message{To: asha, Body: "x", From: "+254700000000", Valid: 1000 * time.Hour},
			[]smpp.Message{{Source: smpp.Address{TON: 1, NPI: 1, Addr: "254700000000"}, Dest: to, Registered: 1, Validity: "000003000000000R", Body: []byte("x")}}},
		{"long, with headers", nil, Message{Key: "k", To: asha, Body: long + "b"}, []smpp.Message{
			{Source: name, Dest: to, ESMClass: 0x40, Body: []byte("\x05\x00\x03\xea\x02\x01" + long[:153])},
			{Source: name, Dest: to, ESMClass: 0x40, Registered: 1, Body: []byte("\x05\x00\x03\xea\x02\x02" + long[:7] + "b")}}},
		{"long, with fields", func(o *SMPPOptions) { o.SAR = true }, Message{Key: "k", To: asha, Body: long + "b"}, []smpp.Message{
			{Source: name, Dest: to, Body: []byte(long[:153]), TLVs: []smpp.TLV{{Tag: 0x20c, Value: []byte{0, 0xea}}, {Tag: 0x20e, Value: []byte{2}}, {Tag: 0x20f, Value: []byte{1}}}},
			{Source: name, Dest: to, Registered: 1, Body: []byte(long[:7] + "b"), TLVs: []smpp.TLV{{Tag: 0x20c, Value: []byte{0, 0xea}}, {Tag: 0x20e, Value: []byte{2}}, {Tag: 0x20f, Value: []byte{2}}}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newMessageCentre(t)
			g, _, _ := c.gateway(test.change)
			sent, err := g.Send(t.Context(), test.m)
			if want := fmt.Sprintf("1F%02d", len(test.want)); err != nil || sent.ID != want {
				t.Errorf("sent %+v %v, want %s", sent, err, want)
			}
			if diff := cmp.Diff(test.want, c.got, same); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What a verdict means for the relay.
func TestSMPPVerdicts(t *testing.T) {
	t.Parallel()
	c := newMessageCentre(t)
	g, _, _ := c.gateway(nil)
	for _, test := range []struct {
		status         smpp.Status
		retry, unknown bool
		wait           time.Duration
	}{
		{smpp.Throttled, true, false, time.Second}, {smpp.QueueFull, true, false, 20 * time.Second}, {smpp.SystemError, true, false, 0},
		{0x0B, false, false, 0}, {0x0A, true, false, 0}, {0x400, true, false, 0},
	} {
		c.mu.Lock()
		c.statuses = []smpp.Status{test.status}
		c.mu.Unlock()
		_, err := g.Send(t.Context(), Message{To: asha, Body: "SECRET BODY"})
		e, ok := errors.AsType[*SendError](err)
		if !ok || e.Code != int(test.status) || e.Retry != test.retry || e.Unknown != test.unknown || e.Wait != test.wait || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%v: %+v", test.status, err)
		}
	}
	for err, want := range map[*smpp.Error][2]bool{{Err: smpp.ErrNotBound}: {true, false}, {Err: smpp.ErrSilent, Unknown: true}: {true, true}} {
		if e := g.classify(err); e.Retry != want[0] || e.Unknown != want[1] {
			t.Errorf("%v: %+v", err, e)
		}
	}
	for _, bad := range []string{"", "twelve chars", "é", "+25471200000112345"} {
		if a, err := smppSource(bad); err == nil {
			t.Errorf("%q became %+v", bad, a)
		}
	}
}

// Receipts, as centres write them.
func TestSMPPReceipts(t *testing.T) {
	t.Parallel()
	const head, tail = "sub:001 dlvrd:001 submit date:2611251200 done date:2611251201 ", " text:Your PIN"
	tlv := func(id string, state byte) []smpp.TLV {
		return []smpp.TLV{{Tag: smpp.TagReceiptedID, Value: []byte(id + "\x00")}, {Tag: smpp.TagMessageState, Value: []byte{state}}}
	}
	for _, test := range []struct {
		quirk IDQuirk
		m     smpp.Message
		want  outbox.Report
	}{
		{SameIDs, smpp.Message{ESMClass: 4, Body: []byte("id:1F01 " + head + "stat:DELIVRD err:000" + tail)}, outbox.Report{ID: "1F01", State: outbox.Delivered}},
		{SameIDs, smpp.Message{ESMClass: 4, Body: []byte("ID:1F01 " + head + "Stat:undeliv Err:0A1" + tail)}, outbox.Report{ID: "1F01", State: outbox.Failed, Code: "UNDELIV 0A1"}},
		{SameIDs, smpp.Message{ESMClass: 4, Body: []byte("id:x stat:EXPIRED")}, outbox.Report{ID: "x", State: outbox.Failed, Code: "EXPIRED"}},
		{SameIDs, smpp.Message{ESMClass: 0x20, Body: []byte("id:x stat:ENROUTE")}, outbox.Report{ID: "x", State: outbox.OnItsWay}},
		{SameIDs, smpp.Message{ESMClass: 4, TLVs: tlv("1F01", 2)}, outbox.Report{ID: "1F01", State: outbox.Delivered}},
		{SameIDs, smpp.Message{TLVs: tlv("1F01", 8)}, outbox.Report{ID: "1F01", State: outbox.Failed, Code: "REJECTD"}},
		{GivenInHex, smpp.Message{ESMClass: 4, Body: []byte("id:0000007937 stat:DELIVRD")}, outbox.Report{ID: "7937", State: outbox.Delivered}},
		{GivenInHex, smpp.Message{ESMClass: 4, Body: []byte("id:7937 stat:DELIVRD"), TLVs: tlv("1F01", 2)}, outbox.Report{ID: "7937", State: outbox.Delivered}},
		{ReceiptsInHex, smpp.Message{ESMClass: 4, Body: []byte("id:1f01 stat:DELIVRD")}, outbox.Report{ID: "7937", State: outbox.Delivered}},
		{SameIDs, smpp.Message{ESMClass: 4, Body: []byte("id:1 stat:WHAT")}, outbox.Report{ID: "1"}},
		{SameIDs, smpp.Message{ESMClass: 4, Body: []byte("nothing")}, outbox.Report{}},
	} {
		test.want.Gateway = "smpp"
		got, ok := (&SMPP{o: SMPPOptions{IDs: test.quirk}}).receipt(test.m)
		if diff := cmp.Diff(test.want, got); !ok || diff != "" {
			t.Errorf("%q: %v %s", test.m.Body, ok, diff)
		}
	}
	if GivenInHex.given("1F01") != "7937" || ReceiptsInHex.given("7937") != "7937" || SameIDs.given("1F01") != "1F01" || GivenInHex.given("a-b") != "a-b" {
		t.Error("ids that were given are not written as receipts write them")
	}
	c := newMessageCentre(t)
	_, h, _ := c.gateway(nil)
	if s := c.deliver(smpp.Message{ESMClass: 4, Body: []byte("id:1 stat:DELIVRD")}); s != smpp.OK || len(h.reports) != 1 {
		t.Errorf("%v %+v", s, h.reports)
	}
	if s := c.deliver(smpp.Message{ESMClass: 4, Body: []byte("nonsense")}); s != smpp.OK {
		t.Errorf("nonsense: %v", s)
	}
	h.fail = errors.New("no database")
	if s := c.deliver(smpp.Message{ESMClass: 4, Body: []byte("id:1 stat:DELIVRD")}); s != smpp.TemporaryError {
		t.Errorf("not noted: %v", s)
	}
}

// What people send, whole and in parts, doubled and out of order.
func TestSMPPReceives(t *testing.T) {
	t.Parallel()
	c := newMessageCentre(t)
	_, h, clock := c.gateway(nil)
	me, code := smpp.Address{TON: 1, NPI: 1, Addr: "254712000001"}, smpp.Address{Addr: "22384"}
	wide := []byte{0x04, 0x3f, 0x04, 0x40}
	deliver := func(m smpp.Message) {
		t.Helper()
		if s := c.deliver(m); s != smpp.OK {
			t.Errorf("%x: %v", m.Body, s)
		}
	}
	deliver(smpp.Message{Source: me, Dest: code, Body: []byte("BAL\x00")})
	deliver(smpp.Message{Source: me, Dest: code, Body: []byte("BAL\x00")}) // again
	clock.move(59 * time.Second)
	deliver(smpp.Message{Source: me, Dest: code, Body: []byte("BAL\x00")})
	clock.move(2 * time.Second)
	deliver(smpp.Message{Source: me, Dest: code, Body: []byte("BAL\x00")}) // another minute, another message
	deliver(smpp.Message{Source: smpp.Address{TON: 2, Addr: "0712000001"}, Dest: code, Coding: 8, Body: wide})
	deliver(smpp.Message{Source: me, Dest: code, Coding: 3, Body: []byte{0xe9}})
	for _, nth := range []byte{2, 2, 1, 1} {
		deliver(smpp.Message{Source: me, Dest: code, ESMClass: 0x40, Body: append([]byte{5, 0, 3, 7, 2, nth}, "part"+string('0'+nth)...)})
	}
	sar := func(nth byte) smpp.Message {
		return smpp.Message{Source: me, Dest: code, Body: []byte{'s', '0' + nth}, TLVs: []smpp.TLV{{Tag: smpp.TagSARReference, Value: []byte{1, 2}}, {Tag: smpp.TagSARTotal, Value: []byte{2}}, {Tag: smpp.TagSARSequence, Value: []byte{nth}}}}
	}
	deliver(sar(1))
	h.fail = errors.New("no database")
	if s := c.deliver(sar(2)); s != smpp.TemporaryError {
		t.Errorf("not kept: %v", s)
	}
	h.fail = nil
	deliver(sar(2))
	// What is no message is taken and put aside.
	deliver(smpp.Message{Source: smpp.Address{TON: 5, Addr: "Bank"}, Dest: code, Body: []byte("x")})
	deliver(smpp.Message{Source: me, Dest: code, Coding: 4, Body: []byte("x")})
	deliver(smpp.Message{Source: me, Dest: code, ESMClass: 0x40, Body: []byte{9, 1}})
	deliver(smpp.Message{Source: me, Dest: code, ESMClass: 0x40, Body: []byte{5, 0, 3, 7, 200, 1, 'x'}})
	var texts []string
	ids := map[string]bool{}
	for _, in := range h.in {
		if in.Gateway != "smpp" || in.From != asha || in.To != "22384" || len(in.ID) != 32 {
			t.Errorf("%+v", in)
		}
		texts = append(texts, in.Text)
		ids[in.ID] = true
	}
	want := []string{"BAL@", "BAL@", "BAL@", "BAL@", "пр", "é", "part1part2", "s1s2"}
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Error(diff)
	}
	if len(ids) != len(want)-2 { // the first three are one
		t.Errorf("%d ids", len(ids))
	}
}

// What is never whole does not pile up.
func TestSMPPPartsAreBounded(t *testing.T) {
	t.Parallel()
	clock := &still{at: time.Unix(1e9, 0)}
	a := newAssembler(clock.now)
	for i := range 3 * maxPending {
		a.add(smpp.Message{Source: smpp.Address{Addr: fmt.Sprint(i)}}, part{number: 1, all: 2, nth: 1, text: "x"})
		if len(a.pending) > maxPending {
			t.Fatalf("%d are kept", len(a.pending))
		}
		clock.move(time.Millisecond)
	}
	clock.move(pendingLife + time.Second)
	if _, whole := a.add(smpp.Message{Source: smpp.Address{Addr: fmt.Sprint(3*maxPending - 1)}}, part{number: 1, all: 2, nth: 2, text: "x"}); whole || len(a.pending) != 1 {
		t.Errorf("too old: whole %v, %d are kept", whole, len(a.pending))
	}
}

// Whatever a centre delivers is a message, a receipt, or put aside.
func FuzzSMPPDelivery(f *testing.F) {
	f.Add(byte(0x40), byte(0), []byte{5, 0, 3, 1, 2, 1, 'a'}, []byte{0, 1})
	f.Add(byte(4), byte(0), []byte("id:1 sub:001 dlvrd:001 stat:DELIVRD err:000 text:x"), []byte{})
	f.Add(byte(0), byte(8), []byte{0xd8, 0, 0}, []byte{1})
	ke, err := phone.CountryOf("KE")
	if err != nil {
		f.Fatal(err)
	}
	clock := &still{at: time.Unix(1e9, 0)}
	f.Fuzz(func(t *testing.T, class, coding byte, body, field []byte) {
		h := &heard{}
		o := SMPPOptions{Receive: h.receive, Report: h.report, Country: ke, Log: slog.New(slog.DiscardHandler)}
		g := &SMPP{o: o, inbound: newAssembler(clock.now), identify: newIdentifier(make([]byte, 16), clock.now)}
		m := smpp.Message{Source: smpp.Address{Addr: "254712000001"}, ESMClass: class, Coding: coding, Body: body, TLVs: []smpp.TLV{
			{Tag: smpp.TagSARReference, Value: field}, {Tag: smpp.TagSARTotal, Value: []byte{1}}, {Tag: smpp.TagSARSequence, Value: []byte{1}}}}
		if status, _ := g.deliver(t.Context(), m); status != smpp.OK {
			t.Errorf("answered %v", status)
		}
		if len(h.in) > 1 || len(h.in) == 1 && len(h.in[0].Text) > 4*len(body) {
			t.Errorf("%+v", h.in)
		}
	})
}
