// Package simulator is the outside world of a mobile-money service, small enough to run on a laptop: phones with a
// keypad, a screen and an inbox, the mobile network that carries their USSD sessions, the SMS provider that delivers
// messages to them, and the operator that tops up their airtime. It shows them in a browser (Network) and in a
// terminal (RunTerminal), and Go programs can hold a Phone themselves.
//
// It refuses to know what the service behind the gateway is: menus, money, customers and receipts mean nothing here.
// Everything passes over the public wires that the real parties use, so that what works here works out there:
//
//   - phones dial through the USSD dialect of Africa's Talking (phone.go),
//   - the application puts a screen on a phone through a small JSON interface of the network's own (push.go),
//   - messages arrive through Twilio's REST call (twilio.go) and leave as its signed webhook (text.go),
//   - airtime is bought from an operator with a small JSON interface of its own (airtime.go).
//
// Nothing here is a place to keep things: inboxes and sessions live in memory, within fixed bounds.
package simulator

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Errors that a Phone returns. ErrInput, ErrNoSession and ErrBusy are mistakes of whoever holds the phone and change
// nothing; the others are what the network did to the session.
var (
	ErrInput     = errors.New("not something a phone can send")
	ErrNoSession = errors.New("no open session")
	ErrBusy      = errors.New("still waiting for the last answer")
	ErrNetwork   = errors.New("network error")
	ErrDropped   = errors.New("session dropped")
)

// maxInput is the longest answer or dial string in characters: 160 octets carry 182 septets.
const maxInput = 182

// msisdn brings a phone number to its one spelling, "+" and 7 to 15 digits (E.164). The "+" may be missing.
func msisdn(s string) (string, error) {
	digits := s
	if len(digits) > 0 && digits[0] == '+' {
		digits = digits[1:]
	}
	if len(digits) < 7 || len(digits) > 15 || digits[0] == '0' {
		return "", fmt.Errorf("%w: a phone number has 7 to 15 digits with the country code first", ErrInput)
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return "", fmt.Errorf("%w: a phone number has digits only", ErrInput)
		}
	}
	return "+" + digits, nil
}

// printable says whether s is one line of valid text without control or other invisible characters.
func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// lockedReader lets many phones draw from one source of randomness.
type lockedReader struct {
	mu sync.Mutex
	r  io.Reader
}

func (l *lockedReader) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return io.ReadFull(l.r, p)
}
