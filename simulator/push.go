package simulator

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Network-initiated USSD: the application has the network put a screen on a phone that has not dialled, and begins a
// session with it. What is then keyed in goes to the application as in any other session.

// Errors of a push beside ErrInput.
var (
	ErrInSession   = errors.New("the phone is in a session")
	ErrUnreachable = errors.New("the phone is off or unknown")
)

// maxSession is the longest name of a session, in bytes.
const maxSession = 128

// Push puts a screen on the phone and opens the session that the application calls session. Errors: ErrInput,
// ErrInSession.
func (p *Phone) Push(session, text string) (State, error) {
	screen := strings.TrimRight(text, "\n")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expireIfDue()
	if err := p.pushable(session, screen); err != nil {
		return p.state(), fmt.Errorf("simulator: push: %w", err)
	}
	p.open(session, "")
	p.screen, p.session.answer = screen, "CON "+screen
	ex := p.record("push", session, pushPath, Form{{"phoneNumber", p.msisdn}, {"sessionId", session}, {"text", screen}})
	p.finish(ex, answer{status: http.StatusOK}, nil)
	p.touch()
	return p.state(), nil
}

// pushable is entered with mu held.
func (p *Phone) pushable(session, screen string) error {
	if p.session != nil && p.session.open {
		return ErrInSession
	}
	if session == "" || len(session) > maxSession || !printable(session) || strings.Contains(session, " ") {
		return fmt.Errorf("%w: sessionId has 1 to %d printable characters", ErrInput, maxSession)
	}
	for line := range strings.SplitSeq(screen, "\n") {
		if !printable(line) {
			return fmt.Errorf("%w: text has characters that no phone shows", ErrInput)
		}
	}
	if n, known := septets(screen); screen == "" || !known || n > maxInput {
		return fmt.Errorf("%w: text has 1 to %d characters of GSM 7-bit", ErrInput, maxInput)
	}
	return nil
}

// open begins a session. Entered with mu held.
func (p *Phone) open(id, text string) *session {
	s := &session{id: id, began: p.line.Now(), text: text, open: true, dropped: make(chan struct{})}
	s.limit = time.AfterFunc(p.line.SessionLimit, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.expire(s)
	})
	p.session, p.screen, p.trouble = s, "", ""
	s.last = p.line.request(s.id, p.msisdn, s.text)
	return s
}

// Push puts a screen on the phone with that number, when it is switched on: one of the people's, or one that somebody
// has used. Errors: ErrInput, ErrInSession, ErrUnreachable.
func (n *Network) Push(number, session, text string) error {
	number, err := msisdn(number)
	if err != nil {
		return fmt.Errorf("simulator: push: %w", err)
	}
	if !n.isOn(number) {
		return fmt.Errorf("simulator: push: %w", ErrUnreachable)
	}
	phone, err := n.Phone(number)
	if err != nil {
		return err
	}
	_, err = phone.Push(session, text)
	return err
}

func (n *Network) isOn(number string) bool {
	for _, person := range n.config.People {
		if person.MSISDN == number {
			return true
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	e, ok := n.handsets[number]
	return ok && e.Value.(*handset).on
}

const pushPath = "/simulator/push"

// push is the network's `POST /simulator/push`, for the application: 200 the phone shows the text, 400 malformed, 401
// without the token, 404 the phone is off or unknown, 409 it is in a session.
func (n *Network) push(w http.ResponseWriter, r *http.Request) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || n.config.PushToken == "" || !same(token, n.config.PushToken) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="push"`)
		fail(w, http.StatusUnauthorized, "wrong or missing bearer token")
		return
	}
	var in struct {
		PhoneNumber string `json:"phoneNumber"`
		SessionID   string `json:"sessionId"`
		Text        string `json:"text"`
	}
	err := decode(r, &in)
	if err == nil {
		err = n.Push(in.PhoneNumber, in.SessionID, in.Text)
	}
	tooLarge := (*http.MaxBytesError)(nil)
	switch {
	case err == nil:
		reply(w, http.StatusOK, map[string]string{"status": "shown"})
	case errors.As(err, &tooLarge):
		fail(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a request has at most %d bytes", maxBody))
	case errors.Is(err, ErrInSession):
		fail(w, http.StatusConflict, err.Error())
	case errors.Is(err, ErrUnreachable):
		fail(w, http.StatusNotFound, err.Error())
	default:
		fail(w, http.StatusBadRequest, err.Error())
	}
}
