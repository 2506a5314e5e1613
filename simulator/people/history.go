package people

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"tuma/simulator"
)

// Outcome is what somebody knows of an attempt.
type Outcome string

// The outcomes.
const (
	Unknown Outcome = "unknown" // asked for, and no answer came that says
	OK      Outcome = "ok"      // "Confirmed", with a receipt
	Refused Outcome = "refused" // told that nothing happened
)

// Attempt is one key press that confirms a payment with a PIN. It is written down before the request leaves and again
// when its outcome is known. Amounts are in minor units.
type Attempt struct {
	N       int64     `json:"n"`
	Session string    `json:"session"` // the gateway's name for it: at most one payment is made in one
	By      string    `json:"by"`      // whose phone
	Kind    string    `json:"kind"`    // send, withdraw, deposit, airtime, approve
	From    string    `json:"from"`    // a number, or a till's
	To      string    `json:"to"`
	Amount  int64     `json:"amount"`
	Fee     int64     `json:"fee"`
	Label   string    `json:"label,omitempty"` // kind of fraud; never told to the service
	At      time.Time `json:"at"`
	Outcome Outcome   `json:"outcome"`
	Code    string    `json:"code,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Ended   time.Time `json:"ended,omitzero"`
}

// Line is one line of a history file: an attempt that begins, one that has ended, or an SMS that a phone has got.
type Line struct {
	What    string         `json:"what"` // try, end, sms, deed
	Attempt *Attempt       `json:"attempt,omitempty"`
	SMS     *simulator.SMS `json:"sms,omitempty"`
	Deed    *Deed          `json:"deed,omitempty"`
}

// Deed is one fraud, whole: the service's rules are measured by whether they saw it.
type Deed struct {
	Label   string    `json:"label"`
	Parties []string  `json:"parties"` // numbers of phones, and of tills
	At      time.Time `json:"at"`
	Ended   time.Time `json:"ended"`
	Done    bool      `json:"done"`             // it came about as it was meant
	Reason  string    `json:"reason,omitempty"` // the last refusal on the way
}

// History is the people's own account. It is a file of JSON lines that is only added to: it does not grow in memory.
type History struct {
	mu  sync.Mutex
	w   *bufio.Writer
	n   int64
	err error
	now func() time.Time
}

// NewHistory writes to w, which outlives what is being tried.
func NewHistory(w io.Writer, now func() time.Time) *History {
	return &History{w: bufio.NewWriter(w), now: now}
}

func (h *History) write(l Line) {
	if h.err == nil {
		h.err = json.NewEncoder(h.w).Encode(l)
	}
}

// begin notes an attempt before its request leaves.
func (h *History) begin(a Attempt) *Attempt {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.n++
	a.N, a.At, a.Outcome = h.n, h.now().UTC(), Unknown
	h.write(Line{What: "try", Attempt: &a})
	return &a
}

// end notes what became of it.
func (h *History) end(a *Attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a.Ended = h.now().UTC()
	h.write(Line{What: "end", Attempt: a})
}

// done notes a fraud that has been tried.
func (h *History) done(d Deed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d.Ended = h.now().UTC()
	h.write(Line{What: "deed", Deed: &d})
}

// Received notes an SMS that a phone has got.
func (h *History) Received(m simulator.SMS) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.write(Line{What: "sms", SMS: &m})
}

// Flush has everything written down; the error is the first of all writes.
func (h *History) Flush() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = h.w.Flush()
	}
	if h.err != nil {
		return fmt.Errorf("people: history: %w", h.err)
	}
	return nil
}

// ReadHistory gives each line of a history to f.
func ReadHistory(r io.Reader, f func(Line) error) error {
	d := json.NewDecoder(bufio.NewReader(r))
	for {
		var l Line
		switch err := d.Decode(&l); {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("people: history: %w", err)
		}
		if err := f(l); err != nil {
			return err
		}
	}
}
