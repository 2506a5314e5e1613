package dialogues

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Paths of the Africa's Talking dialect, where dialogues are spoken.
const (
	stepPath  = "/ussd/africastalking"
	eventPath = "/ussd/africastalking/events"
)

func (h Hop) form(prefix string) url.Values {
	name := fmt.Sprintf("%s%d", prefix, h.Session)
	if h.Pushed != "" {
		name = h.Pushed
	}
	return url.Values{
		"sessionId": {name}, "phoneNumber": {h.From.Number}, "networkCode": {"63902"},
		"serviceCode": {h.ServiceCode}, "text": {h.Text},
	}
}

func eventForm(f url.Values) url.Values {
	f.Set("status", "Incomplete")
	f.Set("input", f.Get("text")) // the gateway repeats it all, PIN included
	f.Del("text")
	return f
}

// Local is a stage in process: a handler to dial through, and functions for
// what cannot be done with a phone. A dialogue fails where it needs a function
// that is nil.
type Local struct {
	Handler http.Handler // serves the Africa's Talking dialect
	Peer    string       // the gateway's address, HOST:PORT
	People  func(ctx context.Context, cast []Person) error
	Money   func(ctx context.Context, p Person, amount string) error
	Inbox   func(ctx context.Context, p Person) ([]string, error) // oldest first
	Message func(ctx context.Context, p Person, body string) error
	Sleep   func(d time.Duration)
	Ledger  func(ctx context.Context, cast []Person) ([]Balance, error)
	Office  func(ctx context.Context, deed string) error

	mu     sync.Mutex
	busy   map[string]bool      // numbers of phones in a session
	pushed map[string][2]string // to a number: session and screen
}

// Show is the network's side of a push: the phone shows the screen, unless it is
// in a session.
func (l *Local) Show(number, session, screen string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy[number] {
		return false
	}
	if l.pushed == nil {
		l.pushed = map[string][2]string{}
	}
	l.pushed[number] = [2]string{session, screen}
	l.note(number, true)
	return true
}

// note remembers whether a phone is in a session. Entered with mu held.
func (l *Local) note(number string, busy bool) {
	if l.busy == nil {
		l.busy = map[string]bool{}
	}
	l.busy[number] = busy
}

// Pushed implements Stage.
func (l *Local) Pushed(_ context.Context, p Person) (session, screen string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.pushed[p.Number]
	delete(l.pushed, p.Number)
	return was[0], was[1], nil
}

var errMissing = errors.New("this stage cannot do that")

// Begin implements Stage.
func (l *Local) Begin(ctx context.Context, cast []Person) ([]Person, error) {
	if l.People == nil {
		return cast, nil
	}
	return cast, l.People(ctx, cast)
}

// Give implements Stage.
func (l *Local) Give(ctx context.Context, p Person, amount string) error {
	if l.Money == nil {
		return errMissing
	}
	return l.Money(ctx, p, amount)
}

// Hop implements Stage.
func (l *Local) Hop(ctx context.Context, h Hop) (string, error) {
	l.mu.Lock()
	l.note(h.From.Number, true)
	l.mu.Unlock()
	reply, err := l.post(ctx, stepPath, h.form("dialogue-"))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note(h.From.Number, err == nil && !strings.HasPrefix(reply, "END"))
	return reply, err
}

// Drop implements Stage.
func (l *Local) Drop(ctx context.Context, h Hop) error {
	_, err := l.post(ctx, eventPath, eventForm(h.form("dialogue-")))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note(h.From.Number, false)
	return err
}

func (l *Local) post(ctx context.Context, path string, form url.Values) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.RemoteAddr = l.Peer
	a := answer{header: http.Header{}, status: http.StatusOK}
	l.Handler.ServeHTTP(&a, r)
	if a.status != http.StatusOK {
		return "", fmt.Errorf("status %d: %s", a.status, a.body.String())
	}
	return a.body.String(), nil
}

// answer keeps what a handler writes.
type answer struct {
	header http.Header
	status int
	body   strings.Builder
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

// Text implements Stage.
func (l *Local) Text(ctx context.Context, p Person, body string) error {
	if l.Message == nil {
		return errMissing
	}
	return l.Message(ctx, p, body)
}

// SMS implements Stage.
func (l *Local) SMS(ctx context.Context, p Person, _ int) ([]string, error) {
	if l.Inbox == nil {
		return nil, nil
	}
	return l.Inbox(ctx, p)
}

// Wait implements Stage.
func (l *Local) Wait(_ context.Context, d time.Duration) error {
	if l.Sleep == nil {
		return errMissing
	}
	l.Sleep(d)
	return nil
}

// Staff implements Stage.
func (l *Local) Staff(ctx context.Context, deed string) error {
	if l.Office == nil {
		return errMissing
	}
	return l.Office(ctx, deed)
}

// Books implements Stage.
func (l *Local) Books(ctx context.Context, cast []Person) ([]Balance, error) {
	if l.Ledger == nil {
		return nil, errMissing
	}
	return l.Ledger(ctx, cast)
}

// Remote is a running server with its simulator, spoken to over HTTP alone. Its
// customers are registered for each dialogue at the till of the first operator
// of the cast, under new numbers, so that a dialogue can be played any number
// of times; they get their money there too.
type Remote struct {
	BaseURL     string
	Client      *http.Client
	ServiceCode string
	Rand        io.Reader     // makes numbers, documents and names of sessions
	Patience    time.Duration // for SMS that are under way

	prefix string
	hops   int
	till   Person
}

// Begin implements Stage.
func (r *Remote) Begin(ctx context.Context, cast []Person) ([]Person, error) {
	name, err := r.digits(12)
	if err != nil {
		return nil, err
	}
	r.prefix, r.hops = "play-"+name+"-", 1_000_000 // its own sessions are far from the dialogue's
	real := slices.Clone(cast)
	for i, p := range real {
		if p.Role == Operator {
			if r.till.Handle == "" {
				r.till = p
			}
			continue
		}
		fresh, err := r.digits(14)
		if err != nil {
			return nil, err
		}
		real[i].Number = "+25471" + fresh[:7]
		if p.IDNumber != "" {
			real[i].IDNumber = "1" + fresh[7:]
		}
	}
	for _, p := range real {
		if p.Role == Customer {
			if err := r.enrol(ctx, p); err != nil {
				return nil, fmt.Errorf("registering %s: %w", p.Handle, err)
			}
		}
	}
	return real, nil
}

// digits makes a number in which the PIN is not: it would be too weak for its
// owner then.
func (r *Remote) digits(n int) (string, error) {
	b := make([]byte, n)
	for {
		if _, err := io.ReadFull(r.Rand, b); err != nil {
			return "", fmt.Errorf("dialogues: %w", err)
		}
		for i := range b {
			b[i] = '0' + b[i]%10
		}
		if !strings.Contains(string(b), PIN) {
			return string(b), nil
		}
	}
}

// enrol registers a customer at the till and chooses the PIN on the new phone.
func (r *Remote) enrol(ctx context.Context, p Person) error {
	if err := r.walk(ctx, r.till, "2*"+p.National()+"*"+p.FullName+"*"+p.IDNumber, PIN); err != nil {
		return err
	}
	return r.walk(ctx, p, "", p.IDNumber, PIN, PIN)
}

// walk dials a string and gives answers to an end.
func (r *Remote) walk(ctx context.Context, p Person, dialled string, answers ...string) error {
	r.hops++
	h := Hop{Session: r.hops, From: p, ServiceCode: r.ServiceCode, Text: dialled}
	reply, err := r.Hop(ctx, h)
	for _, a := range answers {
		if err != nil || strings.HasPrefix(reply, "END") {
			break
		}
		h.Text = strings.TrimPrefix(h.Text+"*"+a, "*")
		reply, err = r.Hop(ctx, h)
	}
	if err == nil && !strings.HasPrefix(reply, "END") {
		err = fmt.Errorf("no end was reached: %s", reply)
	}
	return err
}

// Give implements Stage: a deposit at the till.
func (r *Remote) Give(ctx context.Context, p Person, amount string) error {
	if p.Role == Operator {
		return fmt.Errorf("%w: a till's float", ErrOnlyInside)
	}
	if strings.Trim(amount, "0.") == "" {
		return nil
	}
	before, err := r.SMS(ctx, p, 0)
	if err != nil {
		return err
	}
	if err := r.walk(ctx, r.till, "1*"+p.National()+"*"+amount, PIN); err != nil {
		return err
	}
	// What registering brought may come as late as this.
	for n := len(before) + 1; ; n++ {
		after, err := r.SMS(ctx, p, n)
		switch {
		case err != nil:
			return err
		case len(after) < n:
			return errors.New("the deposit was not confirmed by SMS")
		case slices.ContainsFunc(after[len(before):], codeShape.MatchString):
			return nil
		}
	}
}

// Hop implements Stage.
func (r *Remote) Hop(ctx context.Context, h Hop) (string, error) {
	return r.post(ctx, stepPath, h.form(r.prefix))
}

// Drop implements Stage.
func (r *Remote) Drop(ctx context.Context, h Hop) error {
	_, err := r.post(ctx, eventPath, eventForm(h.form(r.prefix)))
	return err
}

func (r *Remote) post(ctx context.Context, path string, form url.Values) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(r.BaseURL, "/")+path, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r.do(req)
}

// maxAnswer bounds what is read of any answer.
const maxAnswer = 1 << 20

func (r *Remote) do(req *http.Request) (string, error) {
	res, err := r.Client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err == nil && res.StatusCode != http.StatusOK && res.StatusCode != http.StatusNoContent {
		err = fmt.Errorf("status %d: %s", res.StatusCode, body)
	}
	return string(body), err
}

// Pushed implements Stage.
func (r *Remote) Pushed(context.Context, Person) (string, string, error) {
	return "", "", fmt.Errorf("%w: a push", ErrOnlyInside)
}

// Text implements Stage: the simulator's phone sends it.
func (r *Remote) Text(ctx context.Context, p Person, body string) error {
	message, err := json.Marshal(map[string]string{"body": body})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(r.BaseURL, "/")+"/simulator/phones/"+url.PathEscape(p.Number)+"/sms", bytes.NewReader(message))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	_, err = r.do(req)
	return err
}

// SMS implements Stage, with the simulator's list of what a phone has got.
func (r *Remote) SMS(ctx context.Context, p Person, atLeast int) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Patience)
	defer cancel()
	for {
		all, err := r.inbox(ctx, p)
		if err != nil || len(all) >= atLeast {
			return all, err
		}
		select {
		case <-ctx.Done():
			return all, nil
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (r *Remote) inbox(ctx context.Context, p Person) ([]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(r.BaseURL, "/")+"/simulator/phones/"+url.PathEscape(p.Number)+"/sms", nil)
	if err != nil {
		return nil, err
	}
	body, err := r.do(req)
	if err != nil {
		return nil, err
	}
	var messages []struct { // oldest first
		Body string `json:"body"`
	}
	if err := json.Unmarshal([]byte(body), &messages); err != nil {
		return nil, fmt.Errorf("dialogues: the simulator's SMS: %w", err)
	}
	bodies := make([]string, len(messages))
	for i, m := range messages {
		bodies[i] = m.Body
	}
	return bodies, nil
}

// Wait implements Stage.
func (r *Remote) Wait(context.Context, time.Duration) error {
	return fmt.Errorf("%w: the clock", ErrOnlyInside)
}

// Staff implements Stage.
func (r *Remote) Staff(context.Context, string) error {
	return fmt.Errorf("%w: the service's staff", ErrOnlyInside)
}

// Books implements Stage.
func (r *Remote) Books(context.Context, []Person) ([]Balance, error) {
	return nil, fmt.Errorf("%w: the books", ErrOnlyInside)
}
