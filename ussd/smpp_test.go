package ussd_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tuma/accounts"
	"tuma/internal/smpp"
	"tuma/internal/text"
	"tuma/ussd"
	"tuma/ussd/dialogues"
)

// centre is a network's message centre and the phones behind it.
type centre struct {
	t       testing.TB
	l       net.Listener
	mu      sync.Mutex
	conn    net.Conn
	refuse  []smpp.Status // the next screens' verdicts
	screens chan smpp.Message
	taken   chan smpp.Status // of deliveries
}

func newCentre(t testing.TB) *centre {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &centre{t: t, l: l, screens: make(chan smpp.Message, 16), taken: make(chan smpp.Status, 16)}
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
			c.taken <- p.Status
			continue
		case smpp.SubmitSM:
			c.mu.Lock()
			if len(c.refuse) > 0 {
				answer.Status, c.refuse = c.refuse[0], c.refuse[1:]
			}
			c.mu.Unlock()
			if answer.Status == smpp.OK {
				c.screens <- *p.Message
			}
		}
		c.say(conn, answer)
	}
}

func (c *centre) say(conn net.Conn, p smpp.PDU) {
	b, err := p.Encode()
	if err != nil {
		c.t.Error(err)
	}
	conn.Write(b)
}

// deliver delivers what a phone keyed in and returns the verdict.
func (c *centre) deliver(from, body string, tlvs ...smpp.TLV) smpp.Status {
	c.t.Helper()
	c.mu.Lock()
	conn := c.conn
	c.mu.Unlock()
	septets, _ := text.ToSeptets(body)
	c.say(conn, smpp.PDU{Command: smpp.DeliverSM, Sequence: 7, Message: &smpp.Message{
		ServiceType: "USSD", Source: smpp.Address{TON: 1, NPI: 1, Addr: strings.TrimPrefix(from, "+")}, Dest: smpp.Address{Addr: "334"}, Body: septets, TLVs: tlvs,
	}})
	return <-c.taken
}

// screen waits for the next one that a phone shows.
func (c *centre) screen() (m smpp.Message, body string) {
	c.t.Helper()
	select {
	case m = <-c.screens:
	case <-time.After(20 * time.Second):
		c.t.Fatal("no screen")
	}
	return m, text.FromSeptets(m.Body)
}

func op(o byte) smpp.TLV          { return smpp.TLV{Tag: smpp.TagUSSDServiceOp, Value: []byte{o}} }
func info(bytes ...byte) smpp.TLV { return smpp.TLV{Tag: smpp.TagITSSessionInfo, Value: bytes} }

// overSMPP is a world whose network speaks SMPP.
func overSMPP(t testing.TB, profile string) (*world, *centre, *ussd.SMPP) {
	t.Helper()
	c := newCentre(t)
	p, err := ussd.ProfileOf(profile)
	if err != nil {
		t.Fatal(err)
	}
	country := kenya(t)
	way, err := ussd.NewSMPP(ussd.SMPPOptions{
		Address: c.l.Addr().String(), SystemID: "tuma", Profile: p, Country: country.Phone, Code: country.ServiceCode, Rand: newSeeded(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorldPushing(t, way)
	w.people(dialogues.DefaultCast())
	w.give(asha, 2000_00)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { way.Run(ctx, w.machine) })
	t.Cleanup(func() { cancel(); running.Wait() })
	for end := time.Now().Add(20 * time.Second); !way.Bound(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never bound")
		}
	}
	return w, c, way
}

// A whole payment in every profile, with a unit that comes twice.
func TestPaymentOverSMPP(t *testing.T) {
	t.Parallel()
	for _, profile := range ussd.Profiles() {
		t.Run(profile.Name, func(t *testing.T) {
			t.Parallel()
			w, c, _ := overSMPP(t, profile.Name)
			first := func(session byte) []smpp.TLV { return []smpp.TLV{op(1), info(session, 0)} }
			next := func(session, nth byte) []smpp.TLV { return []smpp.TLV{op(18), info(session, nth<<1)} }
			switch profile.Info {
			case ussd.NoInfo:
				first = func(byte) []smpp.TLV { return []smpp.TLV{op(1)} }
				next = func(byte, byte) []smpp.TLV { return []smpp.TLV{op(18)} }
			case ussd.OpaqueInfo:
				first = func(session byte) []smpp.TLV { return []smpp.TLV{op(1), info(9, 9, session)} }
				next = func(session, _ byte) []smpp.TLV { return []smpp.TLV{op(18), info(9, 9, session)} }
			}
			for round, amount := range []string{"50", "60"} { // the same session number again
				for i, step := range []struct{ in, want string }{
					{"*334#", "Tuma\n1 Send money"}, {"1", "Send to"}, {"0712000002", "Send to BARAKA"}, {amount, "Send Ksh" + amount}, {canary, "UKM"},
				} {
					tlvs := next(5, byte(i))
					if i == 0 {
						tlvs = first(5)
					}
					w.clock.wait(5 * time.Second)
					var screens [2]string
					for again := range screens {
						if s := c.deliver(asha, step.in, tlvs...); s != smpp.OK {
							t.Fatalf("%q: answered %v", step.in, s)
						}
						var m smpp.Message
						m, screens[again] = c.screen()
						want := byte(2)
						if i == 4 {
							want = profile.End
						}
						if o, _ := m.TLV(smpp.TagUSSDServiceOp); !bytes.Equal(o, []byte{want}) || m.Dest.Addr != "254712000001" || m.Source.Addr != "334" || m.ServiceType != "USSD" {
							t.Errorf("%q: operation %v, %+v", step.in, o, m)
						}
						if got, _ := m.TLV(smpp.TagITSSessionInfo); profile.Info == ussd.NumberInfo && (len(got) != 2 || got[0] != 5 || got[1]&1 == 1 != (i == 4)) ||
							profile.Info == ussd.OpaqueInfo && !bytes.Equal(got, []byte{9, 9, 5}) || profile.Info == ussd.NoInfo && got != nil {
							t.Errorf("%q: its_session_info %x", step.in, got)
						}
					}
					if !strings.HasPrefix(screens[0], step.want) || screens[1] != screens[0] {
						t.Errorf("%q: %q, again %q, want %q", step.in, screens[0], screens[1], step.want)
					}
				}
				w.wantPaid(round + 1)
			}
			w.wantNoPIN()
			if strings.Contains(w.log.String(), "712000001") {
				t.Error("a number stands in the log in clear")
			}
		})
	}
}

// A till asks, the network puts the question on the phone, and the customer
// approves there; who is in a session is not asked.
func TestPushOverSMPP(t *testing.T) {
	t.Parallel()
	for _, profile := range []string{"standard", "msisdn"} {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			w, c, _ := overSMPP(t, profile)
			answer := func(m smpp.Message, in string) (smpp.Message, string) {
				t.Helper()
				w.clock.wait(5 * time.Second)
				tlvs := []smpp.TLV{op(18)}
				if i, ok := m.TLV(smpp.TagITSSessionInfo); ok {
					tlvs = append(tlvs, info(i...))
				}
				if s := c.deliver(asha, in, tlvs...); s != smpp.OK {
					t.Fatalf("answered %v", s)
				}
				return c.screen()
			}
			a := w.askCashOut("one")
			m, screen := c.screen()
			if o, _ := m.TLV(smpp.TagUSSDServiceOp); !a.Pushed || !bytes.Equal(o, []byte{2}) || !strings.HasPrefix(screen, "100001 MAMA PIMA SHOP asks: withdraw Ksh500.00") {
				t.Fatalf("pushed %v, operation %v: %q", a.Pushed, o, screen)
			}
			m, screen = answer(m, "1")
			want(t, screen, "Approve Ksh500.00 at 100001 MAMA PIMA SHOP")
			_, screen = answer(m, canary)
			want(t, screen, "UKM")
			w.withdrawn(1)

			// In the middle of something else, the next one waits in the menu; and
			// whoever dials is in a session of his own.
			w.clock.wait(5 * time.Second)
			dial := []smpp.TLV{op(1), info(77, 0)}
			c.deliver(asha, "*334*1#", dial...)
			_, screen = c.screen()
			want(t, screen, "Send to")
			if b := w.askCashOut("two"); b.Pushed {
				t.Error("pushed into a session")
			}
			if seen, err := w.accounts.Approval(t.Context(), a.ID); err != nil || seen.State != accounts.ApprovalApproved {
				t.Errorf("%+v %v", seen, err)
			}
			w.wantNoPIN()
		})
	}
}

// The session ends on the phone; what is no USSD is refused; a screen that the
// network throttles is shown again.
func TestEndsAndRefusalsOverSMPP(t *testing.T) {
	t.Parallel()
	w, c, _ := overSMPP(t, "standard")
	c.deliver(asha, "*334#", op(1), info(1, 0))
	c.screen()
	if s := c.deliver(asha, "", op(18), info(1, 3)); s != smpp.OK {
		t.Errorf("an end: %v", s)
	}
	for end := time.Now().Add(20 * time.Second); len(w.redis.Keys(t.Context(), "ussd:dropped:*").Val()) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the end was not noted")
		}
	}
	c.deliver(asha, "1", op(18), info(1, 4))
	_, screen := c.screen()
	want(t, screen, "This session is over")
	for _, bad := range [][]smpp.TLV{{op(2), info(1, 0)}, {op(1)}, {op(1), info(1)}, {{Tag: smpp.TagUSSDServiceOp}, info(1, 0)}} {
		if s := c.deliver(asha, "*334#", bad...); s != smpp.PermanentError {
			t.Errorf("%v: answered %v", bad, s)
		}
	}
	if s := c.deliver("+1", "*334#", op(1), info(1, 0)); s != smpp.PermanentError {
		t.Errorf("no number: %v", s)
	}
	if s := c.deliver(asha, "", op(19), info(1, 0)); s != smpp.OK {
		t.Errorf("a notification's answer: %v", s)
	}
	c.mu.Lock()
	c.refuse = []smpp.Status{smpp.Throttled, smpp.QueueFull}
	c.mu.Unlock()
	w.clock.wait(time.Minute)
	c.deliver(asha, "*334#", info(2, 0)) // without an operation, by the look of it
	_, screen = c.screen()
	if !strings.Contains(screen, "Send money") {
		t.Errorf("%q", screen)
	}
	if _, err := ussd.ProfileOf("morse"); err == nil {
		t.Error("a profile that there is not")
	}
}

// From the unit's fields to what is made of them, and whatever they are.
func FuzzSMPPUnit(f *testing.F) {
	f.Add(byte(1), []byte{1, 0}, "*334#", byte(0))
	f.Add(byte(18), []byte{}, "1", byte(8))
	f.Add(byte(32), []byte{1, 2, 3, 4, 5, 6, 7, 8, 9}, "", byte(0x48))
	f.Fuzz(func(t *testing.T, operation byte, its []byte, body string, coding byte) {
		for _, p := range ussd.Profiles() {
			r, err := ussd.ReadUnit(p, kenya(t).Phone, smpp.Message{ServiceType: "USSD", Source: smpp.Address{Addr: "254712000001"}, Coding: coding, Body: []byte(body), TLVs: []smpp.TLV{op(operation), info(its...)}})
			if err != nil {
				continue
			}
			if r.From != asha || len(r.Session) > 16 {
				t.Errorf("%s: %+v", p.Name, r)
			}
			for _, reply := range []ussd.Reply{goesOn, ends, {Text: "пр"}} {
				if _, err := (smpp.PDU{Command: smpp.SubmitSM, Message: ussd.UnitAnswer(p, r, reply)}).Encode(); err != nil {
					t.Errorf("%s: %v", p.Name, err)
				}
			}
		}
	})
}

// What goes out for each kind of screen.
func TestUnitAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		profile string
		its     []byte
		reply   ussd.Reply
		want    string
	}{
		{"standard", []byte{5, 0}, goesOn, "coding 0 op 02 info 0502"},
		{"standard", []byte{5, 4}, ends, "coding 0 op 11 info 0507"},
		{"standard", []byte{5, 4}, ussd.Reply{Text: "ç"}, "coding 8 op 02 info 0506"},
		{"msisdn", nil, ends, "coding 0 op 03 info "},
		{"opaque", []byte{1, 2, 3}, goesOn, "coding 15 op 02 info 010203"},
		{"opaque", []byte{1, 2, 3}, ussd.Reply{Text: "ç", End: true}, "coding 72 op 11 info 010203"},
	} {
		p, err := ussd.ProfileOf(c.profile)
		if err != nil {
			t.Fatal(err)
		}
		r, err := ussd.ReadUnit(p, kenya(t).Phone, smpp.Message{ServiceType: "USSD", Source: smpp.Address{Addr: "254712000001"}, TLVs: []smpp.TLV{op(18), info(c.its...)}})
		if err != nil {
			t.Fatal(err)
		}
		m := ussd.UnitAnswer(p, r, c.reply)
		o, _ := m.TLV(smpp.TagUSSDServiceOp)
		i, _ := m.TLV(smpp.TagITSSessionInfo)
		if diff := cmp.Diff(c.want, fmt.Sprintf("coding %d op %x info %x", m.Coding, o, i)); diff != "" {
			t.Errorf("%s: %s", c.profile, diff)
		}
	}
}
