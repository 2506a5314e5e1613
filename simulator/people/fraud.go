package people

import (
	"context"
	"strconv"
)

// The labels, as they stand in the history. The service is never told; its own rules are measured by them.
const (
	DrainAndCashOut = "drain_and_cash_out" // a whole balance goes to a mule, who takes it out at once
	GuessPIN        = "guess_pin"          // a stolen phone: PINs are tried
	SplitDeposit    = "split_deposit"      // one sum of cash in several deposits
	CommissionPair  = "commission_pair"    // cash in and out again at one till, for the commission
	HarvestNames    = "harvest_names"      // numbers are keyed in for the names that come up
	SwapSIM         = "swap_sim"           // a number on a thief's card, with the PIN talked out of its owner: all goes to a mule
	SprayPIN        = "spray_pin"          // one wrong PIN on each of many numbers
)

// mules are customers whose wallets are used for it: one in two hundred.
func (c *Country) recruit() {
	for i, p := range c.people {
		if i%200 == 7 {
			p.Label = DrainAndCashOut
		}
	}
}

func (c *Country) mule() *Person {
	n := (len(c.people) + 192) / 200
	return c.people[min(len(c.people)-1, 200*c.dice.intN(max(1, n))+7)]
}

// deceive is one fraud, of one of the kinds.
func (c *Country) deceive(ctx context.Context) {
	victim, _ := c.somebody()
	if victim == nil {
		return
	}
	defer victim.leave()
	d := Deed{Parties: []string{victim.Number}, At: c.o.History.now().UTC()}
	defer func() {
		if d.Label != "" {
			c.o.History.done(d)
		}
	}()
	till := c.tills[victim.home]
	switch c.dice.intN(7) {
	case 0:
		c.drain(ctx, victim, &d, DrainAndCashOut)
	case 1:
		d.Label = GuessPIN
		r := c.talk(ctx, victim, errand{kind: "balance", code: "*334#", keys: []string{"4", "1"}, slips: 9, label: GuessPIN})
		d.note(r)
	case 2:
		d.Done = true
		for range 3 {
			r := c.byTill(ctx, victim, "deposit", strconv.Itoa(11_200+c.dice.intN(400)), SplitDeposit)
			if d.Done = d.Done && r.outcome == OK; r.outcome == OK {
				d.Label, d.Parties = SplitDeposit, []string{victim.Number, till.Till}
			}
			d.note(r)
		}
	case 3:
		amount := strconv.Itoa(101 + c.dice.intN(9))
		if r := c.byTill(ctx, victim, "deposit", amount, CommissionPair); r.outcome == OK {
			d.Label, d.Parties = CommissionPair, []string{victim.Number, till.Till}
			r = c.talk(ctx, victim, errand{kind: "withdraw", code: "*334#", keys: []string{"2", till.Till, "100"}, label: CommissionPair})
			d.Done = r.outcome == OK
			d.note(r)
		}
	case 4:
		d.Label, d.Done = HarvestNames, true
		for range 25 {
			to := c.people[c.dice.intN(len(c.people))]
			r := c.talk(ctx, victim, errand{kind: "send", code: "*334#", keys: []string{"1", national(to.Number)}, label: HarvestNames})
			d.Done = d.Done && r.reason == ""
			d.note(r)
		}
	case 5:
		if c.o.Swap != nil && c.o.Swap(ctx, victim.Number) == nil {
			c.drain(ctx, victim, &d, SwapSIM)
		}
	case 6:
		d.Label, d.Done = SprayPIN, true
		for range 40 {
			if p, _ := c.somebody(); p != nil {
				r := c.talk(ctx, p, errand{kind: "balance", code: "*334#", keys: []string{"4", "1"}, slips: 9, drop: 4, label: SprayPIN})
				p.leave()
				if r.reason != "wrong_pin" { // which is what was to be found out
					d.Done = false
					d.note(r)
				}
			}
		}
	}
}

// note keeps what a session was refused for.
func (d *Deed) note(r end) {
	if r.reason != "" {
		d.Reason = r.reason
	}
}

// drain sends nearly all that a victim is known to have to a mule, who withdraws it.
func (c *Country) drain(ctx context.Context, victim *Person, d *Deed, label string) {
	mule := c.mule()
	all := victim.knowledge()/100 - 30
	if all > 500 { // fees are higher
		all -= 90
	}
	if mule == victim || all < 50 || !mule.take() {
		return
	}
	defer mule.leave()
	d.Label, d.Parties = label, append(d.Parties, mule.Number)
	amount := strconv.FormatInt(all, 10)
	r := c.talk(ctx, victim, errand{kind: "send", code: "*334#", keys: []string{"1", national(mule.Number), amount}, label: label})
	if r.outcome == OK {
		out := all - 60
		if all <= 112 {
			out = max(50, all-12)
		}
		r = c.talk(ctx, mule, errand{kind: "withdraw", code: "*334#", keys: []string{"2", c.o.Tills[mule.home].Number, strconv.FormatInt(out, 10)}, label: label})
		d.Done = r.outcome == OK
	}
	d.note(r)
}

// byTill has an operator do something for a customer at the till around the corner.
func (c *Country) byTill(ctx context.Context, p *Person, kind, amount, label string) end {
	o := c.tills[p.home]
	if !o.take() {
		return end{}
	}
	defer o.leave()
	return c.talk(ctx, o, errand{kind: kind, code: "*334#", keys: []string{"1", national(p.Number), amount}, label: label})
}
