package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tuma/internal/phone"
	"tuma/sms"
	"tuma/sms/outbox"
)

// nodeCentre is a message centre that is not ours: npm's package smpp, in a
// process of its own.
type nodeCentre struct {
	t       testing.TB
	address string
	in      io.WriteCloser

	mu     sync.Mutex
	events []centreEvent
}

type centreEvent struct {
	Event, Name, What, ID, From, To, Text, UDH, Service, Info string
	Port, Coding, Registered, Op, Status                      int
}

func startNodeCentre(t testing.TB) *nodeCentre {
	t.Helper()
	modules, err := filepath.Abs("../../.tools/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "smpp", "package.json")); err != nil {
		t.Fatalf("npm's smpp is not there: run scripts/setup.sh test (%v)", err)
	}
	c := &nodeCentre{t: t}
	cmd := exec.Command("node", "testdata/smsc.js", modules)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		c.in, err = cmd.StdinPipe()
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var e centreEvent
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Errorf("the centre says %q", lines.Text())
			}
			c.mu.Lock()
			c.events = append(c.events, e)
			c.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		c.in.Close() // it ends with that
		reading.Wait()
		cmd.Wait()
	})
	port := c.next("listening", func(centreEvent) bool { return true }).Port
	c.address = "127.0.0.1:" + strconv.Itoa(port)
	return c
}

// next waits for the first event of a kind that fits, and takes it away.
func (c *nodeCentre) next(kind string, fits func(e centreEvent) bool) (found centreEvent) {
	c.t.Helper()
	eventually(c.t, 20*time.Second, "the centre's "+kind, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i, e := range c.events {
			if e.Event == kind && fits(e) {
				found = e
				c.events = append(c.events[:i:i], c.events[i+1:]...)
				return true
			}
		}
		return false
	})
	return found
}

func of(name string) func(e centreEvent) bool {
	return func(e centreEvent) bool { return e.Name == name }
}

func (c *nodeCentre) do(o map[string]any) {
	c.t.Helper()
	b, err := json.Marshal(o)
	if err == nil {
		_, err = c.in.Write(append(b, '\n'))
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// key has a phone key something in, and gives the screen that it shows then.
func (c *nodeCentre) key(number, in string, op int, info string) centreEvent {
	c.t.Helper()
	c.do(map[string]any{"name": "ussd", "from": strings.TrimPrefix(number, "+"), "to": "334", "text": in, "op": op, "info": info})
	if e := c.next("delivered", of("ussd")); e.Status != 0 {
		c.t.Fatalf("%q: refused with %d", in, e.Status)
	}
	return c.screen(number)
}

func (c *nodeCentre) screen(number string) centreEvent {
	c.t.Helper()
	return c.next("submit", func(e centreEvent) bool { return e.Name == "ussd" && "+"+e.To == number })
}

// The whole service on a network that speaks SMPP, and a centre that we have not
// written: payments and an approval by USSD, notices with receipts, throttling,
// a connection that drops with messages under way, and people's own SMS.
func TestSMPPWithNode(t *testing.T) {
	t.Parallel()
	const asha, baraka, juma = "+254712000001", "+254712000002", "+254722000001"
	c := startNodeCentre(t)
	b := startBankWith(t, func(g *gateways) {
		g.SMS, g.PushURL = []string{"smpp"}, ""
		g.SMPPAddress, g.SMPPSystemID, g.SMPPPassword, g.SMPPFrom, g.SMPPWindow, g.SMPPIDs = c.address, "sms", "secret", "22384", 8, "same"
		g.USSDSMPPAddress, g.USSDSMPPSystemID, g.USSDSMPPPassword, g.USSDSMPPProfile = c.address, "ussd", "secret", "standard"
	})
	c.next("bound", of("sms"))
	c.next("bound", of("ussd"))
	b.relayed() // what the demo people are owed
	notice := func(to, text string) {
		t.Helper()
		e := c.next("submit", func(e centreEvent) bool { return e.Name == "sms" && "+"+e.To == to && strings.Contains(e.Text, text) })
		if e.From != "22384" || e.Registered != 1 || e.Coding != 0 {
			t.Errorf("%+v", e)
		}
	}

	// A payment.
	session := 0
	dial := func(number string, keys ...string) (last centreEvent) {
		t.Helper()
		session++
		for i, in := range keys {
			op := 18
			if i == 0 {
				op = 1
			}
			b.clock.wait(4 * time.Second)
			last = c.key(number, in, op, hex.EncodeToString([]byte{byte(session), byte(i << 1)}))
		}
		return last
	}
	if e := dial(asha, "*334#", "1", "0712000002", "300", demoPIN); !strings.Contains(e.Text, "Ksh300.00") || e.Op != 17 || e.Info != "010b" {
		t.Errorf("paid: %+v", e)
	}
	notice(asha, "Ksh300.00")
	notice(baraka, "Ksh300.00")

	// A till asks; the network puts it on the phone.
	if e := dial(juma, "*334*8*0712000001*200#", demoPIN); e.Op != 17 || !strings.HasPrefix(e.Text, "Asked. ASHA JUMA") {
		t.Errorf("asked: %+v", e)
	}
	e := c.screen(asha)
	if e.Op != 2 || !strings.HasPrefix(e.Text, "100001 MAMA PIMA SHOP asks: withdraw Ksh200.00") {
		t.Fatalf("pushed: %+v", e)
	}
	b.clock.wait(4 * time.Second)
	if e = c.key(asha, "1", 18, e.Info); e.Op != 2 || !strings.HasPrefix(e.Text, "Approve Ksh200.00") {
		t.Fatalf("chosen: %+v", e)
	}
	b.clock.wait(4 * time.Second)
	if e = c.key(asha, demoPIN, 18, e.Info); e.Op != 17 || !strings.Contains(e.Text, "MAMA PIMA SHOP pays you Ksh200.00") {
		t.Fatalf("approved: %+v", e)
	}
	if n := b.count(`select count(*) from entry where kind = 'withdraw'`); n != 1 {
		t.Errorf("%d withdrawals", n)
	}

	// The centre throttles, then says nothing and drops the connection with
	// messages under way; all go out in the end, and only what was written and
	// not answered is in doubt.
	c.do(map[string]any{"name": "sms", "todo": []string{"throttle", "throttle", "silent", "cut"}})
	dial(asha, "*334#", "1", "0712000002", "400", demoPIN)
	dial(baraka, "*334#", "1", "0712000001", "70", demoPIN)
	eventually(t, 30*time.Second, "every notice sent", func() bool {
		b.clock.wait(2 * time.Second)
		return b.count(`select count(*) from every_notice where status in ('owed', 'queued', 'sending')`) == 0
	})
	if n := b.count(`select count(*) from notice where doubts > 0`); n < 2 || n > 4 {
		t.Errorf("%d notices were in doubt, want those that were under way: 2 to 4", n)
	}
	if n := b.count(`select count(*) from notice where status <> 'sent'`); n != 0 {
		t.Errorf("%d notices are not sent", n)
	}
	// Each has its receipt, but for those whose answer was lost.
	eventually(t, 20*time.Second, "the receipts", func() bool {
		return b.count(`select count(*) from notice join delivery using (gateway, provider_id) where delivery.state = 3`) == b.count(`select count(*) from notice`)
	})

	// What people send, in one part and in two, and one that comes twice.
	before := b.count(`select count(*) from inbound`)
	for _, o := range []map[string]any{
		{"text": "BAL"}, {"text": "BAL"}, {"text": "CHE", "udh": "050003070201"}, {"text": "CK x", "udh": "050003070202"},
	} {
		o["name"], o["from"], o["to"] = "sms", "254712000001", "22384"
		c.do(o)
		if e := c.next("delivered", of("sms")); e.Status != 0 {
			t.Errorf("%v: refused with %d", o, e.Status)
		}
	}
	if n := b.count(`select count(*) from inbound`) - before; n != 2 {
		t.Errorf("%d messages came, want 2", n)
	}
	if strings.Contains(b.log.String(), "712000001") {
		t.Error("a number stands in the log in clear")
	}
	b.close()
	c.next("unbound", of("sms"))
	c.next("unbound", of("ussd"))
}

// Long messages and other alphabets, as a centre that is not ours reads them.
func TestSMPPTextsWithNode(t *testing.T) {
	t.Parallel()
	c := startNodeCentre(t)
	ke, err := phone.CountryOf("KE")
	if err != nil {
		t.Fatal(err)
	}
	g, err := sms.NewSMPP(sms.SMPPOptions{
		Address: c.address, SystemID: "texts", Password: "secret", From: "Tuma", Country: ke, Key: []byte(testKey1), Now: newClock().now, Rand: newSeeded(), Log: slog.New(slog.DiscardHandler),
		Receive: func(context.Context, sms.Inbound) error { return nil },
		Report:  func(context.Context, outbox.Report) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { g.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	c.next("bound", of("texts"))
	for _, text := range []string{"Ksh5 @£$ [€] {~} ÆæßÉ ñà", "ç, пр, 金 and 😀", strings.Repeat("€uro ", 70), strings.Repeat("金", 150)} {
		sent, err := sendWhenBound(t, g, sms.Message{Key: text, To: "+254712000001", Body: text})
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		var whole strings.Builder
		for {
			e := c.next("submit", of("texts"))
			whole.WriteString(e.Text)
			if e.ID == sent.ID {
				break
			}
		}
		if whole.String() != text {
			t.Errorf("%q was read as %q", text, whole.String())
		}
	}
}

// sendWhenBound waits until our side has read that it is bound, too.
func sendWhenBound(t testing.TB, g *sms.SMPP, m sms.Message) (sent sms.Sent, err error) {
	t.Helper()
	eventually(t, 20*time.Second, "a message taken", func() bool {
		sent, err = g.Send(t.Context(), m)
		return err == nil
	})
	return sent, err
}
