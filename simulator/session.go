package simulator

import (
	"context"
	"errors"
	"strconv"
	"time"
)

// Everything here is entered with Phone.mu held.

// end closes a session, tells the application with the end-of-session event, and says when it has been told. status
// is the gateway's word (Success, Incomplete, Failed), reason goes into the event, trouble on the phone's screen.
func (p *Phone) end(s *session, status, reason, trouble string) <-chan struct{} {
	s.open = false
	s.limit.Stop()
	if status == "Incomplete" {
		close(s.dropped)
	}
	if status != "Success" {
		p.screen = ""
	}
	p.trouble = trouble
	told := make(chan struct{})
	if p.line.EventsURL == "" {
		close(told)
		p.touch()
		return told
	}
	now := p.line.Now()
	ex := p.record("event", s.id, p.line.EventsURL, Form{
		{"date", now.UTC().Format(time.DateTime)},
		{"sessionId", s.id},
		{"serviceCode", p.line.ServiceCode},
		{"networkCode", p.line.NetworkCode},
		{"phoneNumber", p.msisdn},
		{"status", status},
		{"cost", p.line.Cost},
		{"durationInMillis", strconv.FormatInt(now.Sub(s.began).Milliseconds(), 10)},
		{"hopsCount", strconv.Itoa(s.hops)},
		{"input", s.text},
		{"lastAppResponse", s.answer},
		{"errorMessage", reason},
	})
	p.touch()
	p.events.Add(1)
	go func() {
		defer p.events.Done()
		defer close(told)
		ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
		defer cancel()
		a, err := post(ctx, p.line.Client, p.line.EventsURL, ex.Form)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.finish(ex, a, err)
		p.touch()
	}()
	return told
}

// expire ends a session that has lasted as long as the network lets it.
func (p *Phone) expire(s *session) {
	if s.open {
		p.end(s, "Incomplete", "Session timed out", "session timed out after "+p.line.SessionLimit.String())
	}
}

// expireIfDue does so by the line's clock, which may run faster than the timer's.
func (p *Phone) expireIfDue() {
	if s := p.session; s != nil && s.open && p.line.Now().Sub(s.began) >= p.line.SessionLimit {
		p.expire(s)
	}
}

// record starts the record of an exchange.
func (p *Phone) record(kind, session, address string, form Form) *Exchange {
	p.seq++
	ex := &Exchange{Seq: p.seq, Kind: kind, Session: session, At: p.line.Now(), URL: address, Form: form, Pending: true}
	if p.raw = append(p.raw, ex); len(p.raw) > p.line.Kept {
		p.raw = append([]*Exchange(nil), p.raw[len(p.raw)-p.line.Kept:]...)
	}
	return ex
}

// finish completes it.
func (p *Phone) finish(ex *Exchange, a answer, err error) {
	ex.Pending, ex.MS = false, p.line.Now().Sub(ex.At).Milliseconds()
	ex.fill(a)
	if err != nil {
		ex.Error = err.Error()
	}
}

// touch counts a change and tells whoever watches.
func (p *Phone) touch() {
	p.rev++
	p.changed(p.state())
}

func (p *Phone) state() State {
	st := State{
		MSISDN: p.msisdn, Rev: p.rev, Screen: p.screen, Error: p.trouble,
		BeforeMS: p.delay.Before.Milliseconds(), AfterMS: p.delay.After.Milliseconds(),
		Raw: make([]Exchange, len(p.raw)),
	}
	for i, ex := range p.raw {
		st.Raw[i] = *ex
	}
	if s := p.session; s != nil {
		st.Session, st.Open, st.Waiting = s.id, s.open, s.waiting > 0
	}
	return st
}

// isInput says whether err is a mistake of whoever holds the phone.
func isInput(err error) bool {
	return errors.Is(err, ErrInput) || errors.Is(err, ErrNoSession) || errors.Is(err, ErrBusy)
}
