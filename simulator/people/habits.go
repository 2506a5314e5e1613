package people

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tuma/simulator"
)

// Profile is how the rate of sessions changes over a run.
type Profile string

// The profiles: a day with its evening, its busiest hour for the whole time, or its mean.
const (
	Day  Profile = "day"
	Peak Profile = "peak"
	Soak Profile = "soak"
)

// Profiles lists them.
var Profiles = []Profile{Day, Peak, Soak}

func (p Profile) known() bool { return slices.Contains(Profiles, p) }

// hours is how busy each hour of a day is, beside a mean of 1: nearly nothing at night, 46.6 % of all between 18 and
// 21 h, and the busiest hour well above the others (PaySim's aggregate of 24.6 million transactions).
var hours = [24]float64{
	0.15, 0.08, 0.03, 0.01, 0.01, 0.02, 0.10, 0.35, 0.60, 0.75, 0.85, 0.90,
	0.95, 0.95, 0.90, 0.95, 1.05, 1.30, 3.40, 5.00, 2.80, 1.35, 0.90, 0.60,
}

// at is the rate beside the mean, at a part (0 to 1) of the run.
func (p Profile) at(part float64) float64 {
	switch p {
	case Peak:
		return 5
	case Soak:
		return 1
	}
	return max(hours[min(23, int(part*24))], 0.01)
}

// habit is one thing that people do and how often, in thousandths of all sessions: PaySim's mix, with a tenth of
// sessions that only look.
type habit struct {
	often int
	do    func(*Country, context.Context)
}

func habits() []habit {
	return []habit{
		{260, (*Country).cashOut},
		{70, (*Country).cashOutAtTheTill},
		{314, (*Country).payMerchant},
		{180, (*Country).cashIn},
		{73, (*Country).payFriend},
		{5, (*Country).buyAirtime},
		{98, (*Country).look},
	}
}

// errand has somebody do what people do.
func (c *Country) errand(ctx context.Context) {
	if c.o.Fraud > 0 && c.dice.chance(c.o.Fraud) {
		c.deceive(ctx)
		return
	}
	n := c.dice.intN(1000)
	for _, h := range habits() {
		if n -= h.often; n < 0 {
			h.do(c, ctx)
			return
		}
	}
}

// somebody takes up a phone that is not in use; nil when everybody who was tried has it in hand. Merchants come for
// their cash more often than others.
func (c *Country) somebody() (*Person, int) {
	for range 20 {
		i := c.dice.intN(len(c.people))
		if p := c.people[i]; p.take() {
			return p, i
		}
	}
	return nil, 0
}

// operator is one at a till that is free, near a person if it can be.
func (c *Country) operator(home int) *Person {
	for try := range 20 {
		i := home
		if try > 0 {
			i = c.dice.rank(len(c.tills))
		}
		if o := c.tills[i]; o.take() {
			return o
		}
	}
	return nil
}

// with lets a customer do an errand, with the accidents that people have.
func (c *Country) with(ctx context.Context, p *Person, e errand) end {
	defer p.leave()
	d := c.dice
	switch {
	case d.chance(0.03): // the network drops the session
		e.drop = 1 + d.intN(5)
	case d.chance(0.01):
		e.rude = true
	case d.chance(0.03):
		e.slips = 1
	case d.chance(0.002): // forgot it
		e.slips = 3
	}
	e.again = d.intN(2)
	if len(e.keys) > 1 && d.chance(0.02) { // a slip of the finger
		i := 1 + d.intN(len(e.keys)-1)
		e.keys = slices.Clone(e.keys)
		e.keys[i] = mistyped(e.keys[i], d.intN(10))
	}
	if e.code == "" {
		e.code = "*334#"
		if all := strings.Join(e.keys, "*"); d.chance(0.1) && len(all) < 100 { // knows the way by heart
			e.code, e.keys = "*334*"+all+"#", nil
		}
	}
	r := c.talk(ctx, p, e)
	p.mu.Lock()
	if p.tired++; r.outcome == OK {
		p.tired = 0
	}
	p.mu.Unlock()
	return r
}

// mistyped is a key with one digit wrong.
func mistyped(key string, digit int) string {
	if key == "" {
		return key
	}
	i := digit % len(key)
	return key[:i] + strconv.Itoa(digit) + key[i+1:]
}

// about is an amount in whole shillings around a mean, many small ones and a few large.
func (c *Country) about(mean float64) string {
	return strconv.Itoa(max(1, int(mean*c.dice.exponential()+0.5)))
}

func (c *Country) cashOut(ctx context.Context) {
	p, _ := c.somebody()
	if p == nil {
		return
	}
	amount := c.about(400)
	if b := p.knowledge() / 100; b > 100 { // most of what is there, and the fee must be, too
		amount = strconv.FormatInt(max(50, b*int64(30+c.dice.intN(60))/100), 10)
	}
	c.with(ctx, p, errand{kind: "withdraw", keys: []string{"2", c.o.Tills[p.home].Number, amount}})
}

// cashOutAtTheTill has the operator ask, and the customer answer on the phone.
func (c *Country) cashOutAtTheTill(ctx context.Context) {
	p, _ := c.somebody()
	if p == nil {
		return
	}
	defer p.leave()
	o := c.operator(p.home)
	if o == nil {
		return
	}
	r := c.talk(ctx, o, errand{kind: "ask", code: "*334#", keys: []string{"8", national(p.Number), c.about(300)}})
	o.leave()
	if !says(r.screen, "asked") {
		return
	}
	c.think(ctx)
	if st := p.phone.State(); st.Open { // it was pushed
		c.follow(ctx, p, errand{kind: "approve", keys: []string{"1"}}, st)
		return
	}
	c.talk(ctx, p, errand{kind: "approve", code: "*334#", keys: []string{"9", "1", "1"}})
}

func (c *Country) payMerchant(ctx context.Context) {
	p, _ := c.somebody()
	if p == nil {
		return
	}
	c.pay(ctx, p, c.merchant(), c.about(120))
}

func (c *Country) payFriend(ctx context.Context) {
	p, i := c.somebody()
	if p == nil {
		return
	}
	c.pay(ctx, p, c.friend(i), c.about(500))
}

func (c *Country) pay(ctx context.Context, p, to *Person, amount string) {
	c.with(ctx, p, errand{kind: "send", keys: []string{"1", national(to.Number), amount}})
}

func (c *Country) buyAirtime(ctx context.Context) {
	if p, _ := c.somebody(); p != nil {
		c.with(ctx, p, errand{kind: "airtime", keys: []string{"3", "1", c.about(50)}})
	}
}

func (c *Country) look(ctx context.Context) {
	if p, _ := c.somebody(); p != nil {
		c.with(ctx, p, errand{kind: "balance", keys: []string{"4", []string{"1", "2"}[c.dice.intN(2)]}})
	}
}

// cashIn is somebody at a till with cash: the operator's phone is used.
func (c *Country) cashIn(ctx context.Context) {
	p := c.people[c.dice.intN(len(c.people))]
	if o := c.operator(p.home); o != nil {
		c.with(ctx, o, errand{kind: "deposit", keys: []string{"1", national(p.Number), c.about(900)}})
	}
}

// Bringing people in.

// openingTries are made of registering somebody, and of the first deposit.
const openingTries = 8

var errWeak = errors.New("people: the PIN is refused")

var errNotWelcome = errors.New("people: not registered")

// welcome registers somebody who is a stranger to the service, and has the first money paid in.
func (c *Country) welcome(ctx context.Context, p *Person) error {
	var err error
	for range openingTries {
		if err = c.enrol(ctx, p); err == nil || ctx.Err() != nil {
			break
		}
		if errors.Is(err, errWeak) {
			p.PIN = c.dice.pin() // one that looks like the ID or the number is refused
		}
		c.pause(ctx)
	}
	if err != nil {
		return err
	}
	amount := 20 + c.dice.intN(80) // two thirds have next to nothing
	if c.dice.chance(1.0/3) || p.Merchant {
		amount = 300 + c.dice.intN(6000)
	}
	var last end
	for try := 0; try < openingTries && ctx.Err() == nil; {
		o := c.tills[c.dice.intN(len(c.tills))]
		if !o.take() {
			c.pause(ctx)
			continue
		}
		last = c.talk(ctx, o, errand{kind: "deposit", code: "*334#", keys: []string{"1", national(p.Number), strconv.Itoa(amount)}})
		o.leave()
		if last.outcome == OK {
			p.knows(int64(amount) * 100)
			return nil
		}
		if last.reason != "float_low" { // any other till will do
			try++
		}
	}
	return fmt.Errorf("people: %s's first deposit: %s (%s)", p.Number, last.screen, last.reason)
}

func (c *Country) pause(ctx context.Context) {
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
	}
}

// enrol registers somebody by phone; a customer already is left alone.
func (c *Country) enrol(ctx context.Context, p *Person) error {
	st, err := c.hop(func() (simulator.State, error) { return p.phone.Dial(ctx, "*334#") })
	if err != nil {
		return err
	}
	switch known := st.Open && optionShown.MatchString(st.Screen); {
	case says(st.Screen, "resume"): // it broke off the last time
		if st, err = c.hop(func() (simulator.State, error) { return p.phone.Type(ctx, "2") }); err != nil {
			return err
		}
	case !says(st.Screen, "welcome") && known:
		p.phone.Drop(ctx)
		return nil
	case !known:
		return fmt.Errorf("%w: %s: %s", errNotWelcome, p.Number, st.Screen)
	}
	keys := []string{"1", p.Name, p.ID, p.PIN, p.PIN}
	if i := slices.Index([]string{"en", "sw", "fr"}, p.Lang); i > 0 {
		keys = append([]string{"2", strconv.Itoa(i + 1)}, keys...)
	}
	for _, key := range keys {
		if st, err = c.hop(func() (simulator.State, error) { return p.phone.Type(ctx, key) }); err != nil {
			return err
		}
	}
	if st.Open {
		p.phone.Drop(ctx)
		return errWeak
	}
	if !says(st.Screen, "welcome") {
		return fmt.Errorf("%w: %s: %s", errNotWelcome, p.Number, st.Screen)
	}
	return nil
}
