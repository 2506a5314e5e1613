package simulator

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// keptExchanges is how many of its last exchanges a phone shows.
const keptExchanges = 30

// Delay slows the network between the phone and the application, in both directions. The gateway's patience
// (Line.AnswerTimeout) runs meanwhile: a request delayed beyond it is never sent, an answer delayed beyond it is lost.
type Delay struct {
	Before time.Duration
	After  time.Duration
}

// State is what a phone shows.
type State struct {
	MSISDN   string     `json:"msisdn"`
	Rev      int64      `json:"rev"`     // counts changes: the larger of two states is the newer one
	Session  string     `json:"session"` // id of the open or last session
	Open     bool       `json:"open"`
	Waiting  bool       `json:"waiting"` // a request is under way
	Screen   string     `json:"screen"`  // the text of the last CON or END
	Error    string     `json:"error"`   // why the session ended, where it was not the application's END
	BeforeMS int64      `json:"before_ms"`
	AfterMS  int64      `json:"after_ms"`
	Raw      []Exchange `json:"raw"` // oldest first
}

// Phone is one handset on a Line. It has at most one session at a time, as real ones do. All methods may be called
// from several goroutines.
type Phone struct {
	line    Line
	msisdn  string
	changed func(State) // called with mu held

	mu       sync.Mutex
	rev, seq int64
	delay    Delay
	session  *session // open or last; nil before the first
	screen   string
	trouble  string
	raw      []*Exchange
	events   sync.WaitGroup
}

// session is one USSD session as the gateway sees it. Phone.mu guards it.
type session struct {
	id      string
	began   time.Time
	text    string // everything keyed in so far, joined by *
	open    bool
	hops    int
	waiting int           // requests under way
	last    Form          // the last request, for Retry
	answer  string        // the last answer, for the end-of-session event
	dropped chan struct{} // closed when the session ends other than by an answer
	limit   *time.Timer
}

// NewPhone puts a phone with that number on the line.
func NewPhone(line Line, number string) (*Phone, error) {
	line, err := line.ready()
	if err != nil {
		return nil, err
	}
	return newPhone(line, number, func(State) {})
}

func newPhone(line Line, number string, changed func(State)) (*Phone, error) {
	number, err := msisdn(number)
	if err != nil {
		return nil, err
	}
	return &Phone{line: line, msisdn: number, changed: changed}, nil
}

// SetDelay slows the network from the next request on.
func (p *Phone) SetDelay(d Delay) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
	p.touch()
}

// State is what the phone shows now.
func (p *Phone) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state()
}

// Wait returns when the application has taken (or refused) the end-of-session events sent so far.
func (p *Phone) Wait() { p.events.Wait() }

// Dial opens a session with a code: *334#, or *334*1*0712000001*500# to key in several answers at once. A session
// that is still open is dropped first. Errors: ErrInput, ErrBusy, ErrNetwork, ErrDropped.
func (p *Phone) Dial(ctx context.Context, code string) (State, error) {
	code = strings.TrimSpace(code)
	p.mu.Lock()
	p.expireIfDue()
	if s := p.session; s != nil && s.open {
		if s.waiting > 0 {
			defer p.mu.Unlock()
			return p.state(), fmt.Errorf("simulator: dial: %w", ErrBusy)
		}
		p.end(s, "Incomplete", "Dropped by the customer", "")
	}
	text, err := p.line.textOf(code)
	id := ""
	if err == nil {
		id, err = p.line.newSessionID()
	}
	if err != nil {
		defer p.mu.Unlock()
		if !isInput(err) { // well keyed in, but nothing answers
			p.screen, p.trouble = "", err.Error()
			p.touch()
		}
		return p.state(), fmt.Errorf("simulator: dial: %w", err)
	}
	return p.hop(ctx, p.open(id, text), "ussd")
}

// Type answers the open session. Errors: ErrInput, ErrNoSession, ErrBusy, ErrNetwork, ErrDropped.
func (p *Phone) Type(ctx context.Context, input string) (State, error) {
	p.mu.Lock()
	p.expireIfDue()
	err := error(nil)
	switch s := p.session; {
	case s == nil || !s.open:
		err = ErrNoSession
	case s.waiting > 0:
		err = ErrBusy
	case input == "" || len([]rune(input)) > maxInput || !printable(input):
		err = fmt.Errorf("%w: an answer is one line of 1 to %d characters", ErrInput, maxInput)
	}
	if err != nil {
		defer p.mu.Unlock()
		return p.state(), fmt.Errorf("simulator: type: %w", err)
	}
	s := p.session
	if s.text != "" {
		s.text += "*"
	}
	s.text += input
	s.last = p.line.request(s.id, p.msisdn, s.text)
	return p.hop(ctx, s, "ussd")
}

// Retry sends the last request again exactly as it was, as a gateway does that has not seen the answer: also while
// the first one is still under way, and also when its session is over (which it does not reopen). Errors: ErrNoSession
// when nothing was ever sent, ErrNetwork, ErrDropped.
func (p *Phone) Retry(ctx context.Context) (State, error) {
	p.mu.Lock()
	if p.session == nil {
		defer p.mu.Unlock()
		return p.state(), fmt.Errorf("simulator: retry: %w", ErrNoSession)
	}
	return p.hop(ctx, p.session, "retry")
}

// Drop ends the session from the phone's side and returns when the application has been told by the end-of-session
// event. A request that has already left still reaches the application; its answer is lost. Error: ErrNoSession.
func (p *Phone) Drop(ctx context.Context) (State, error) {
	p.mu.Lock()
	p.expireIfDue()
	s := p.session
	if s == nil || !s.open {
		defer p.mu.Unlock()
		return p.state(), fmt.Errorf("simulator: drop: %w", ErrNoSession)
	}
	told := p.end(s, "Incomplete", "Dropped by the customer", "")
	p.mu.Unlock()
	select {
	case <-told:
		return p.State(), nil
	case <-ctx.Done():
		return p.State(), ctx.Err()
	}
}

// hop carries the session's last request to the application and waits for what comes of it. It is entered with mu
// held and leaves with it released.
func (p *Phone) hop(ctx context.Context, s *session, kind string) (State, error) {
	ex := p.record(kind, s.id, p.line.USSDURL, s.last)
	if kind == "ussd" {
		s.hops++
	}
	s.waiting++
	delay, open := p.delay, s.open
	var dropped chan struct{} // never, for a session that is over already
	if open {
		dropped = s.dropped
	}
	p.touch()
	p.mu.Unlock()

	done := make(chan error, 1)
	// The request belongs to the network, not to whoever pressed the key: it goes on when they have gone.
	go func() { done <- p.carry(context.WithoutCancel(ctx), s, ex, delay, dropped) }()
	select {
	case err := <-done:
		return p.State(), err
	case <-dropped:
		return p.State(), fmt.Errorf("simulator: %w", ErrDropped)
	case <-ctx.Done():
		return p.State(), ctx.Err()
	}
}

// carry takes one request to the application and the answer back, with the network's delays, within the gateway's
// patience.
func (p *Phone) carry(ctx context.Context, s *session, ex *Exchange, delay Delay, dropped <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, p.line.AnswerTimeout)
	defer cancel()
	var a answer
	err := pause(ctx, dropped, delay.Before)
	if err == nil {
		a, err = post(ctx, p.line.Client, p.line.USSDURL, ex.Form)
	}
	if err == nil {
		err = pause(ctx, dropped, delay.After)
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("no answer within %s", p.line.AnswerTimeout)
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.touch()
	s.waiting--
	p.finish(ex, a, err)
	text, more := "", false
	if err == nil {
		text, more, err = screenOf(a)
	}
	if err == nil && ex.Kind == "ussd" && !s.open {
		err = ErrDropped // the answer found the phone gone
	}
	if err != nil {
		ex.Error = err.Error()
		// A lost duplicate ends nothing: the gateway still has the first answer.
		if s.open && ex.Kind == "ussd" {
			p.end(s, "Failed", err.Error(), ErrNetwork.Error()+": "+err.Error())
		}
		return fmt.Errorf("simulator: %w: %w", ErrNetwork, err)
	}
	if p.session != s {
		return nil // the customer has dialled again meanwhile
	}
	p.screen = text
	if s.open {
		s.answer = a.body
		if !more {
			p.end(s, "Success", "", "")
		}
	}
	return nil
}

// pause lets d pass; it ends early with an error when ctx ends or the phone is gone.
func pause(ctx context.Context, gone <-chan struct{}, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-gone:
		return ErrDropped
	case <-ctx.Done():
		return ctx.Err()
	}
}
