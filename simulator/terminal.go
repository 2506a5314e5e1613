package simulator

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// TerminalOptions says whose phone a terminal is and where it is connected.
type TerminalOptions struct {
	In          io.Reader // one line each: a code, an answer, or a command that begins with a dot
	Out         io.Writer
	MSISDN      string
	USSDURL     string
	EventsURL   string // may be empty
	BaseURL     string // of the simulator that keeps the inbox; empty: no messages
	ServiceCode string
	Now         func() time.Time
	Rand        io.Reader
	Client      *http.Client  // nil: a plain one
	Poll        time.Duration // how often the inbox is looked at; 0: every 300 ms
	Linger      time.Duration // how long messages are still awaited after In has ended; 0: 1 s

	Record     io.Writer // writes the conversation as a dialogue; nil: none
	RecordName string    // what the dialogue calls the person; empty: the number without "+"
}

const terminalHelp = `  *334#      dials a code (*334*1*2# keys in several answers at once)
  1          anything else answers the menu on the screen
  .sms       shows the inbox
  .text BAL  sends an SMS to the service
  .drop      ends the session
  .retry     sends the last request again, exactly
  .help      shows this
  .quit      switches the phone off
`

// terminal is one run of RunTerminal. One goroutine does everything but reading In, so that what is printed and
// recorded never mixes.
type terminal struct {
	TerminalOptions
	phone *Phone
	seen  map[string]bool
	deaf  bool // the inbox could not be read last time; said once
}

// RunTerminal is a phone in line mode. It returns nil at .quit and at the end of In, and ctx's error when ctx ends
// (its goroutine that reads In then ends with In's next line). A session that is open at the end is dropped.
func RunTerminal(ctx context.Context, o TerminalOptions) error {
	phone, err := NewPhone(Line{USSDURL: o.USSDURL, EventsURL: o.EventsURL, ServiceCode: o.ServiceCode, Now: o.Now, Rand: o.Rand, Client: o.Client}, o.MSISDN)
	if err != nil {
		return err
	}
	if o.Poll == 0 {
		o.Poll = 300 * time.Millisecond
	}
	if o.Linger == 0 {
		o.Linger = time.Second
	}
	if o.RecordName == "" {
		o.RecordName = strings.TrimPrefix(phone.msisdn, "+")
	}
	t := &terminal{TerminalOptions: o, phone: phone, seen: map[string]bool{}}
	for _, m := range t.inbox(ctx) {
		t.seen[m.ID] = true // what came earlier is in .sms
	}
	return t.run(ctx)
}

func (t *terminal) run(ctx context.Context) error {
	defer func() {
		if t.phone.State().Open {
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), eventTimeout)
			defer cancel()
			_, _ = t.phone.Drop(end)
		}
		t.phone.Wait()
	}()
	t.printf("Phone %s. Dial %s, or .help\n", t.phone.msisdn, t.ServiceCode)
	lines, gone := make(chan string), make(chan struct{})
	defer close(gone)
	failed := make(chan error, 1)
	go read(t.In, lines, failed, gone)
	tick := time.NewTicker(t.Poll)
	defer tick.Stop()
	var off <-chan time.Time // set at the end of In
	for prompt := true; ; {
		if prompt && off == nil {
			t.printf("%s> ", t.phone.msisdn)
		}
		prompt = true
		select {
		case line, more := <-lines:
			if !more {
				off, lines = time.After(t.Linger), nil
				t.printf("\n")
				break
			}
			if t.do(ctx, strings.TrimSpace(line)) {
				t.news(ctx, "")
				return nil
			}
			t.news(ctx, "")
		case <-tick.C:
			prompt = t.news(ctx, "\n")
		case <-off:
			t.news(ctx, "")
			select {
			case err := <-failed:
				return fmt.Errorf("simulator: terminal: %w", err)
			default:
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// read hands In over line by line; lines is closed at its end.
func read(in io.Reader, lines chan<- string, failed chan<- error, gone <-chan struct{}) {
	defer close(lines)
	scan := bufio.NewScanner(in)
	for scan.Scan() {
		select {
		case lines <- scan.Text():
		case <-gone:
			return
		}
	}
	if err := scan.Err(); err != nil {
		failed <- err
	}
}

// do obeys one line and says whether it was the last.
func (t *terminal) do(ctx context.Context, line string) (quit bool) {
	switch {
	case line == "":
	case line == ".quit":
		return true
	case line == ".help":
		t.printf("%s", terminalHelp)
	case line == ".sms":
		t.list(ctx)
	case strings.HasPrefix(line, ".text "):
		t.text(ctx, strings.TrimSpace(strings.TrimPrefix(line, ".text ")))
	case line == ".drop":
		st, err := t.phone.Drop(ctx)
		t.show(st, err, "drops")
	case line == ".retry":
		st, err := t.phone.Retry(ctx)
		t.show(st, err, "retries")
	case line[0] == '.':
		t.printf("  no such command; .help shows them\n")
	case line[0] == '*':
		st, err := t.phone.Dial(ctx, line)
		t.show(st, err, "dials "+line)
	default:
		st, err := t.phone.Type(ctx, line)
		t.show(st, err, "types "+line)
	}
	return false
}

// text sends a message by the simulator that keeps the inbox.
func (t *terminal) text(ctx context.Context, body string) {
	if t.BaseURL == "" {
		t.printf("  no messages can be sent from this phone\n")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, textTimeout)
	defer cancel()
	if err := SendText(ctx, t.Client, t.BaseURL, t.phone.msisdn, body); err != nil {
		t.printf("  -- %s\n", strings.TrimPrefix(err.Error(), "simulator: "))
		return
	}
	t.printf("  -- sent\n")
	t.record("texts "+body, "")
}

// show prints and records what came of what somebody did.
func (t *terminal) show(st State, err error, did string) {
	if isInput(err) { // it did not leave the phone, so it is no part of the dialogue
		t.printf("  %s\n", strings.TrimPrefix(err.Error(), "simulator: "))
		return
	}
	screen := ""
	if err == nil {
		screen = st.Screen
	}
	t.record(did, onTheWire(screen, st.Open))
	if screen != "" {
		t.printf("%s", indented(screen, "  "))
	}
	switch {
	case errors.Is(err, ErrNetwork) && st.Error == "":
		t.printf("  -- %s\n", strings.TrimPrefix(err.Error(), "simulator: "))
	case st.Error != "":
		t.printf("  -- %s\n", st.Error)
	case !st.Open:
		t.printf("  -- session over\n")
	}
}

// onTheWire is a screen as the application sent it, which is how dialogues have
// it: they say whether the session goes on.
func onTheWire(screen string, goesOn bool) string {
	switch {
	case screen == "":
		return ""
	case goesOn:
		return "CON " + screen
	}
	return "END " + screen
}

// list prints the inbox, newest last.
func (t *terminal) list(ctx context.Context) {
	inbox := t.inbox(ctx)
	if len(inbox) == 0 {
		t.printf("  no messages\n")
	}
	for _, m := range inbox {
		t.message(m)
	}
}

func (t *terminal) message(m SMS) {
	t.printf("  [SMS from %s, %s]\n%s", m.From, m.At.Format("15:04:05"), indented(m.Body, "  "))
}

// news prints and records the messages that are new, after the text before, and says whether there were any.
func (t *terminal) news(ctx context.Context, before string) bool {
	any := false
	for _, m := range t.inbox(ctx) {
		if t.seen[m.ID] {
			continue
		}
		if !any {
			t.printf("%s", before)
		}
		any, t.seen[m.ID] = true, true
		t.message(m)
		t.record("receives", m.Body)
	}
	return any
}

func (t *terminal) inbox(ctx context.Context) []SMS {
	if t.BaseURL == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, eventTimeout)
	defer cancel()
	inbox, err := FetchInbox(ctx, t.Client, t.BaseURL, t.phone.msisdn)
	if err != nil && !t.deaf && ctx.Err() == nil {
		t.printf("  (no messages can be shown: %v)\n", err)
	}
	t.deaf = err != nil
	return inbox
}

func (t *terminal) printf(format string, args ...any) { fmt.Fprintf(t.Out, format, args...) }

// record writes one turn of the dialogue: who does what at the margin, what the system says four spaces in.
func (t *terminal) record(did, said string) {
	if t.Record == nil {
		return
	}
	fmt.Fprintf(t.Record, "%s %s\n", t.RecordName, did)
	if said != "" {
		io.WriteString(t.Record, indented(said, "    "))
	}
}

// indented puts each line of text after the indent. An empty line stays empty.
func indented(text, indent string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		if line != "" {
			b.WriteString(indent + line)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
