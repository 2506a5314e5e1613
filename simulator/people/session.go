package people

import (
	"context"
	"time"

	"tuma/simulator"
)

// errand is what somebody wants from a session, and what is keyed in for it.
type errand struct {
	kind  string   // send, withdraw, airtime, deposit, approve, ask, balance, register
	code  string   // what is dialled
	keys  []string // the answers, in order; the PIN is given where it is asked for
	slips int      // wrong PINs first
	again int      // other amounts to try when one is refused
	label string   // of a fraud
	drop  int      // hang up before this key; 0: never
	rude  bool     // hang up while the payment is being made
}

// pays tells whether a PIN given for it moves money.
func (e errand) pays() bool {
	switch e.kind {
	case "send", "withdraw", "airtime", "deposit", "approve":
		return true
	}
	return false
}

// end is how a session went.
type end struct {
	outcome Outcome // of the payment; "" when there was none
	screen  string  // the last one seen
	reason  string  // of a refusal
}

// hop is one key press, timed.
func (c *Country) hop(press func() (simulator.State, error)) (simulator.State, error) {
	began := time.Now()
	st, err := press()
	c.tally.hop(time.Since(began), err == nil)
	return st, err
}

// talk dials and does the errand.
func (c *Country) talk(ctx context.Context, p *Person, e errand) end {
	c.tally.sessions.Add(1)
	st, err := c.hop(func() (simulator.State, error) { return p.phone.Dial(ctx, e.code) })
	if err != nil {
		return end{reason: "network"}
	}
	return c.follow(ctx, p, e, st)
}

// follow goes through a session that is open: it reads the screen and presses the next key, until the session ends,
// the network fails, or the person hangs up.
func (c *Country) follow(ctx context.Context, p *Person, e errand, st simulator.State) end {
	for hop := 1; hop <= maxHops; hop++ {
		if !st.Open {
			reason := complaint(st.Screen)
			if reason != "" {
				c.tally.refused(reason)
			}
			return end{screen: st.Screen, reason: reason}
		}
		key, confirms := c.read(p, &e, st.Screen)
		if key == "" || e.drop == hop {
			c.hangUp(ctx, p)
			return end{screen: st.Screen, reason: complaint(st.Screen)}
		}
		c.think(ctx)
		if !confirms {
			var err error
			if st, err = c.hop(func() (simulator.State, error) { return p.phone.Type(ctx, key) }); err != nil {
				return end{reason: "network"}
			}
			continue
		}
		a := c.o.History.begin(c.deal(p, e, st))
		next, err := c.confirm(ctx, p, e, key)
		c.judge(p, a, next, err)
		switch a.Outcome {
		case Unknown:
			c.wonder(ctx, p, a)
			return end{outcome: a.Outcome, screen: next.Screen}
		case OK:
			return end{outcome: OK, screen: next.Screen}
		}
		if st = next; !st.Open {
			return end{outcome: Refused, screen: st.Screen, reason: a.Reason}
		}
	}
	c.hangUp(ctx, p)
	return end{}
}

// confirm gives the PIN; a rude person hangs up meanwhile.
func (c *Country) confirm(ctx context.Context, p *Person, e errand, key string) (simulator.State, error) {
	if e.rude {
		go func() {
			time.Sleep(time.Duration(c.dice.intN(20)) * time.Millisecond)
			p.phone.Drop(ctx)
		}()
	}
	return c.hop(func() (simulator.State, error) { return p.phone.Type(ctx, key) })
}

func (c *Country) hangUp(ctx context.Context, p *Person) {
	c.tally.dropped.Add(1)
	p.phone.Drop(ctx) // it may have ended by itself meanwhile
}

// read makes of a screen what to key in; "" is to hang up. confirms tells that it moves money.
func (c *Country) read(p *Person, e *errand, screen string) (key string, confirms bool) {
	problem := complaint(screen)
	switch {
	case says(screen, "resume"):
		return "2", false // from the beginning
	case receiptAsked.MatchString(screen) && optionShown.MatchString(screen):
		if c.dice.chance(0.3) { // "you have just sent this": yes, once more
			return "1", false
		}
		return "", false
	case says(screen, "pin"):
		if problem == "wrong_pin" {
			e.slips--
		}
		if e.slips > 0 {
			return p.PIN[1:] + p.PIN[:1], e.pays()
		}
		return p.PIN, e.pays()
	case says(screen, "unlock"):
		return p.ID, false
	case problem != "":
		c.tally.refused(problem)
		if e.again--; e.again < 0 {
			return "", false
		}
		return "50", false
	case len(e.keys) > 0:
		key, e.keys = e.keys[0], e.keys[1:]
		return key, false
	}
	return "", false
}

// deal reads from the screen what the PIN would confirm.
func (c *Country) deal(p *Person, e errand, st simulator.State) Attempt {
	a := Attempt{Session: st.Session, By: p.Number, Kind: e.kind, From: p.Number, Label: e.label}
	if sums := amounts(st.Screen); len(sums) > 0 {
		a.Amount = sums[0]
		if len(sums) > 1 && e.kind != "deposit" {
			a.Fee = sums[1]
		}
	}
	switch e.kind {
	case "withdraw", "approve":
		a.To = tillShown.FindString(st.Screen)
	case "deposit":
		a.From = p.Till
		fallthrough
	default:
		a.To = international(numberShown.FindString(st.Screen))
	}
	return a
}

// judge says what an answer means for the attempt, and writes it down.
func (c *Country) judge(p *Person, a *Attempt, st simulator.State, err error) {
	switch {
	case err != nil:
		a.Outcome, a.Reason = Unknown, "network"
	case !st.Open && receiptFirst.MatchString(st.Screen):
		a.Outcome, a.Code = OK, st.Screen[:10]
		if sums := amounts(st.Screen); len(sums) > 1 {
			p.knows(sums[len(sums)-1])
		}
	case says(st.Screen, "pending"):
		a.Outcome, a.Reason = Unknown, "pending"
	case says(st.Screen, "sorry"):
		a.Outcome, a.Reason = Unknown, "sorry"
	default:
		a.Outcome, a.Reason = Refused, complaint(st.Screen)
		if a.Reason == "" {
			a.Reason = "other"
		}
		if sums := amounts(st.Screen); a.Reason == "insufficient" && len(sums) > 0 {
			p.knows(sums[0])
		}
	}
	c.finish(a)
}

func (c *Country) finish(a *Attempt) {
	c.o.History.end(a)
	c.tally.ended(a)
	if c.o.Watch != nil {
		c.o.Watch(Event{At: a.Ended, Kind: a.Kind, From: a.From, To: a.To, Amount: a.Amount, Outcome: a.Outcome, Reason: a.Reason, Code: a.Code})
	}
}

// wonder is what somebody does who does not know: the gateway, or the person, sends the same request again. When
// that leads nowhere the attempt stays unknown, until an SMS says.
func (c *Country) wonder(ctx context.Context, p *Person, a *Attempt) {
	if c.dice.chance(0.3) {
		return // and dials again, one day
	}
	for wait := 500 * time.Millisecond; wait < patience; wait *= 2 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		st, err := c.hop(func() (simulator.State, error) { return p.phone.Retry(ctx) })
		if err != nil || st.Session != a.Session {
			continue
		}
		if receiptFirst.MatchString(st.Screen) {
			a.Outcome, a.Code, a.Reason = OK, st.Screen[:10], ""
			c.finish(a)
			c.tally.cleared()
			return
		}
		if !says(st.Screen, "pending") && !says(st.Screen, "sorry") {
			return
		}
	}
}

// think is the time between reading a screen and pressing a key.
func (c *Country) think(ctx context.Context) {
	d := time.Duration((1 + 2*c.dice.exponential()) / c.o.Speed * float64(time.Second))
	if d < time.Millisecond {
		return
	}
	select {
	case <-time.After(min(d, 40*time.Second)):
	case <-ctx.Done():
	}
}
