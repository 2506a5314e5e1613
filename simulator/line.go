package simulator

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// What the gateway allows, as Africa's Talking publishes it for Kenya.
const (
	answerTimeout = 15 * time.Second  // for the application to answer one request
	sessionLimit  = 180 * time.Second // for a whole session
	eventTimeout  = 5 * time.Second   // for the application to take an end-of-session event
)

// Line connects phones to a USSD application. The zero values of the last five fields take the real network's ones.
type Line struct {
	USSDURL     string           // where the gateway posts each step
	EventsURL   string           // where it posts the end of a session; empty: nowhere
	ServiceCode string           // the application's code, like *334#
	Now         func() time.Time // the clock
	Rand        io.Reader        // session ids; phones on one line draw from it one after the other

	NetworkCode   string        // 63902
	Client        *http.Client  // redirects are never followed: a gateway does not
	AnswerTimeout time.Duration // 15 s
	SessionLimit  time.Duration // 180 s
	Cost          string        // what the end-of-session event says the session cost
	Kept          int           // exchanges that a phone remembers, 30
}

// ready checks a line and fills in what was left out.
func (l Line) ready() (Line, error) {
	for name, address := range map[string]string{"USSD": l.USSDURL, "events": l.EventsURL} {
		if address == "" && name == "events" {
			continue
		}
		if u, err := url.Parse(address); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return l, fmt.Errorf("simulator: the %s address %q is not an http address", name, address)
		}
	}
	if !isCode(l.ServiceCode) {
		return l, fmt.Errorf("simulator: the service code %q does not look like *334#", l.ServiceCode)
	}
	if l.Now == nil || l.Rand == nil {
		return l, errors.New("simulator: a line needs a clock and a source of randomness")
	}
	if _, locked := l.Rand.(*lockedReader); !locked {
		l.Rand = &lockedReader{r: l.Rand}
	}
	client := http.Client{}
	if l.Client != nil {
		client = *l.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	l.Client = &client
	if l.NetworkCode == "" {
		l.NetworkCode = "63902"
	}
	if l.AnswerTimeout == 0 {
		l.AnswerTimeout = answerTimeout
	}
	if l.SessionLimit == 0 {
		l.SessionLimit = sessionLimit
	}
	if l.Kept == 0 {
		l.Kept = keptExchanges
	}
	if l.Cost == "" {
		l.Cost = "0.0000"
	}
	return l, nil
}

// isCode says whether s can be dialled as a USSD code: *, digits and stars, one # at the end.
func isCode(s string) bool {
	if len(s) < 3 || len(s) > maxInput || s[0] != '*' || s[1] == '*' || s[len(s)-1] != '#' {
		return false
	}
	return strings.Trim(s[:len(s)-1], "*0123456789") == ""
}

// textOf splits a dialled code into the service code and what was keyed in after it: *334*1*500# is text 1*500.
func (l Line) textOf(code string) (string, error) {
	if !isCode(code) {
		return "", fmt.Errorf("%w: a code looks like %s", ErrInput, l.ServiceCode)
	}
	rest, ok := strings.CutPrefix(strings.TrimSuffix(code, "#"), strings.TrimSuffix(l.ServiceCode, "#"))
	if ok && rest == "" {
		return "", nil
	}
	if ok && rest[0] == '*' {
		return rest[1:], nil
	}
	return "", fmt.Errorf("%w: no service answers %s", ErrNetwork, code)
}

func (l Line) newSessionID() (string, error) {
	var id [16]byte
	if _, err := io.ReadFull(l.Rand, id[:]); err != nil {
		return "", fmt.Errorf("%w: no session id: %w", ErrNetwork, err)
	}
	return "ATUid_" + hex.EncodeToString(id[:]), nil
}

// request is the form of one step.
func (l Line) request(session, from, text string) Form {
	return Form{
		{"sessionId", session},
		{"phoneNumber", from},
		{"networkCode", l.NetworkCode},
		{"serviceCode", l.ServiceCode},
		{"text", text},
	}
}
