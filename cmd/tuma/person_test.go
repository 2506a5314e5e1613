package main

import (
	"fmt"
	"slices"
	"strings"
)

// person is somebody at a phone, and the network between the phone and the
// service, which may lose, repeat, delay and reorder what it carries. The
// person reads the screens and knows no other state of the service.
type person struct {
	line    // how requests get there
	h       *history
	number  string
	id      string // number of the ID document
	till    string // an operator's
	pin     string
	friends []string // numbers to pay
	amounts []string

	session  string // "" when none is open on the phone
	dials    int
	text     string // all that was keyed in
	hops     int
	seen     sight
	hung     bool // the last request's answer has not come
	wants    wish
	sent     []request // all ever sent, to arrive again later
	confirms *attempt  // what the last request asks for
}

// line carries requests; err says that no answer came.
type line struct {
	ask    func(session, number, text string) (string, error)
	choose func(n int, what string) int // a number under n
}

type request struct{ session, text string }

// wish is what a person wants from a session.
type wish struct {
	kind   string // send, withdraw, airtime, balance, deposit, float
	amount string
	to     string
	till   string
	slip   bool // a wrong PIN first
}

func pick[T any](l line, what string, list ...T) T { return list[l.choose(len(list), what)] }

// hangUp forgets the session on the phone's side.
func (c *person) hangUp() { c.session, c.hung, c.confirms = "", false, nil }

// dial prepares the first request of a new session.
func (c *person) dial() {
	c.hangUp()
	c.dials++
	c.session = fmt.Sprintf("%s-%d", strings.TrimPrefix(c.number, "+"), c.dials)
	c.text, c.hops, c.seen = "", 0, sight{}
	c.wants = wish{
		amount: pick(c.line, "amount", c.amounts...),
		slip:   c.choose(6, "slip") == 0,
		till:   pick(c.line, "till", "100001", "100002", "100001", "999999"),
		to:     pick(c.line, "payee", c.friends...),
	}
	if c.till != "" {
		c.wants.kind = pick(c.line, "wish", "deposit", "deposit", "float")
	} else {
		c.wants.kind = pick(c.line, "wish", "send", "send", "send", "withdraw", "airtime", "balance")
	}
}

// answer is what the person keys in on the screen seen; ok is false when there
// is nothing more to do.
func (c *person) answer() (input string, goOn bool) {
	w := c.wants
	switch s := c.seen.Screen; s {
	case "resume":
		return pick(c.line, "resume", "1", "2"), true
	case "customer":
		return map[string]string{"send": "1", "withdraw": "2", "airtime": "3", "balance": "4"}[w.kind], true
	case "operator":
		return map[string]string{"deposit": "1", "float": "3"}[w.kind], true
	case "account", "till_locked":
		return "1", true
	case "send", "deposit", "airtime_other":
		return national(w.to), c.seen.Problem == ""
	case "withdraw":
		return w.till, c.seen.Problem == ""
	case "send_amount", "deposit_amount", "withdraw_amount", "airtime_amount":
		if c.seen.Problem != "" {
			return "20", c.hops < 12
		}
		return w.amount, true
	case "send_again", "deposit_again", "withdraw_again", "airtime_again":
		return pick(c.line, "again", "1", "2"), true
	case "airtime":
		return pick(c.line, "own", "1", "2"), true
	case "send_pin", "deposit_pin", "withdraw_pin", "airtime_pin", "balance", "float":
		if w.slip {
			c.wants.slip = false
			return "9035", true
		}
		return c.pin, true
	case "unlock":
		return c.id, c.seen.Problem == ""
	}
	return "", false
}

// next composes the next request, and writes the attempt down when it confirms
// a payment. goOn is false when the person hangs up instead.
func (c *person) next() (r request, goOn bool) {
	if c.session == "" {
		c.dial()
		return request{c.session, ""}, true
	}
	in, goOn := c.answer()
	if !goOn || c.hops > 15 {
		c.hangUp()
		return request{}, false
	}
	if c.text != "" {
		c.text += "*"
	}
	c.text += in
	c.confirms = nil
	if d, pays := c.deal(); pays {
		c.confirms = c.h.begin(attempt{session: c.session, number: c.number, text: c.text, deal: d})
	}
	return request{c.session, c.text}, true
}

// deal reads from the screen what the PIN would confirm.
func (c *person) deal() (deal, bool) {
	kind, isPIN := strings.CutSuffix(c.seen.Screen, "_pin")
	if !isPIN || !slices.Contains([]string{"send", "withdraw", "deposit", "airtime"}, kind) {
		return deal{}, false
	}
	h := c.seen.Holes
	d := deal{kind: kind, from: c.number, amount: cents(h["amount"])}
	switch kind {
	case "withdraw":
		d.to = h["till"]
	case "deposit":
		d.from, d.to = c.till, international(h["number"])
	default:
		d.to = international(h["number"])
	}
	if kind != "deposit" {
		d.fee = cents(h["fee"])
	}
	return d, true
}

// take reads an answer to the last request. first tells that the request had
// not been sent before: only then does a "no" say that nothing happened.
func (c *person) take(body string, first bool) error {
	s, err := look(body)
	if err != nil {
		return err
	}
	c.h.show(c.session, s)
	c.seen, c.hung = s, false
	c.hops++
	if a := c.confirms; a != nil {
		a.told = s.Text
		switch {
		case s.Screen == a.kind+"_done":
			a.outcome, a.code = ok, s.Holes["code"]
		case s.Screen == "pending", s.Screen == "sorry":
		case first:
			a.outcome = refused
		}
		c.confirms = nil
	}
	if s.End {
		c.hangUp()
	}
	return nil
}

// resolve sends an attempt of unknown outcome again, exactly as it was. When
// the service has forgotten the session it asks for the PIN once more, for the
// same payment or not at all. When it asks first whether the same payment is
// meant again, it is: a session pays once, whatever has become of another one.
// The receipt on that screen says nothing of this attempt. It is of the newest
// payment like it, which may be another one that got no answer.
func (c *person) resolve(a *attempt) error {
	text := a.text
	for range 6 {
		body, err := c.ask(a.session, a.number, text)
		if err != nil {
			return err
		}
		s, err := look(body)
		if err != nil {
			return err
		}
		c.h.show(a.session, s)
		c.session, c.seen, a.told = a.session, s, s.Text
		d, asks := c.deal()
		switch {
		case s.Screen == a.kind+"_done":
			a.outcome, a.code = ok, s.Holes["code"]
			return nil
		case s.Screen == a.kind+"_again":
			text += "*1"
		case asks && s.Problem == "" && d == a.deal:
			text += "*" + c.pin
		default:
			return nil // stays unknown
		}
	}
	return nil
}
