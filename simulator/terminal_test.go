package simulator

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// paper collects what a terminal prints.
type paper struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (p *paper) Write(s []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.Write(s)
}

func (p *paper) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.String()
}

func terminalOptions(w *world, in io.Reader, out, record io.Writer) TerminalOptions {
	return TerminalOptions{
		In: in, Out: out, MSISDN: asha, USSDURL: w.app.URL + "/ussd", EventsURL: w.app.URL + "/events", BaseURL: w.server.URL, ServiceCode: "*334#",
		Now: w.clock.Now, Rand: &counting{n: 1 << 20}, Poll: 10 * time.Millisecond, Record: record, RecordName: "asha",
	}
}

// A conversation, line by line, each after the last one's answer is on the paper.
func TestTerminalRecordsADialogue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.app.tell(asha, "An old message")
	in, keys := io.Pipe()
	out, record := &paper{}, &paper{}
	done := make(chan error, 1)
	go func() { done <- RunTerminal(context.Background(), terminalOptions(w, in, out, record)) }()
	for _, step := range [][2]string{
		{"*334#", "98 Swahili"}, {"1", "0 Back"}, {".retry", "0 Back\n" + asha}, {".drop", "session over"}, {"7", "no open session"}, {"*334*1*0712000002*500#", "Enter PIN"},
		{".help", "switches the phone off"}, {".what", "no such command"}, {"*1#", "no service answers *1#"}, {"*334*1*0712000002*500*4826#", "session over"}, {"", "Fee Ksh7.00."},
		{".sms", "An old message"},
	} {
		before := len(out.String())
		if step[0] == "" {
			before = 0 // a message comes when it comes
		}
		io.WriteString(keys, step[0]+"\n")
		eventually(t, "after "+step[0]+": "+step[1], func() bool {
			return strings.Contains(strings.ReplaceAll(out.String()[before:], "  ", ""), step[1])
		})
	}
	io.WriteString(keys, ".quit\n")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	want := `asha dials *334#
    CON Karibu Pesa
    1 Send money
    2 Withdraw cash
    3 Airtime
    4 Balance
    5 My account
    98 Swahili
asha types 1
    CON Send to (phone number)
    0 Back
asha retries
    CON Send to (phone number)
    0 Back
asha drops
asha dials *334*1*0712000002*500#
    CON Send Ksh500.00 to BARAKA OTIENO 0712000002? Fee Ksh7.00
    Enter PIN
asha dials *1#
asha dials *334*1*0712000002*500*4826#
    END Sent. You will get an SMS.
asha receives
    UKM4Q7X2PA Confirmed. Ksh500.00 sent to BARAKA OTIENO 0712000002 on 22/11/26 at 9:15 AM. New balance is Ksh493.00. Fee Ksh7.00.
`
	if d := cmp.Diff(want, record.String()); d != "" {
		t.Errorf("record (-want +got):\n%s", d)
	}
}

func TestTerminalEndsWithItsInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var out, record bytes.Buffer
	o := terminalOptions(w, strings.NewReader("*334*1*0712000002*500*4826#\n*334#\n"), &out, &record)
	o.Linger = 50 * time.Millisecond
	if err := RunTerminal(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(record.String(), "asha receives\n    UKM4Q7X2PA") || !strings.HasSuffix(strings.SplitN(record.String(), "asha receives", 2)[0], "SMS.\n") {
		t.Errorf("record:\n%s", record.String())
	}
	if _, events := w.app.heard(); len(events) != 2 || events[1].Get("status") != "Incomplete" {
		t.Errorf("the open session was not dropped: %v", events)
	}
}

func TestTerminalEndsWithItsContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, keys := io.Pipe()
	defer keys.Close()
	ctx, cancel := context.WithCancel(t.Context())
	out, done := &paper{}, make(chan error, 1)
	go func() { done <- RunTerminal(ctx, terminalOptions(w, in, out, nil)) }()
	eventually(t, "the prompt", func() bool { return strings.Contains(out.String(), asha+"> ") })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestTerminalTroubles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := terminalOptions(w, strings.NewReader(""), io.Discard, nil)
	o.MSISDN = "12"
	if err := RunTerminal(t.Context(), o); !errors.Is(err, ErrInput) {
		t.Errorf("a bad number: %v", err)
	}
	var out bytes.Buffer
	o = terminalOptions(w, strings.NewReader("*334#\n"), &out, nil)
	o.BaseURL, o.USSDURL, o.Linger = "http://127.0.0.1:1", "http://127.0.0.1:1/ussd", time.Millisecond
	if err := RunTerminal(t.Context(), o); err != nil {
		t.Error(err)
	}
	if strings.Count(out.String(), "no messages can be shown") != 1 || !strings.Contains(out.String(), "-- network error") {
		t.Errorf("printed:\n%s", out.String())
	}
	o = terminalOptions(w, strings.NewReader(strings.Repeat("x", 1<<20)), io.Discard, nil)
	o.Linger = time.Millisecond
	if err := RunTerminal(t.Context(), o); err == nil || !strings.Contains(err.Error(), "token too long") {
		t.Errorf("an endless line: %v", err)
	}
}
