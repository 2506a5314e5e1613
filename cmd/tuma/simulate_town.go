package main

import (
	"errors"
	"fmt"
	"time"

	"tuma/internal/money"
	"tuma/simulator"
	"tuma/simulator/people"
)

// openTown offers the faults on the town's page.
func (s *simulation) openTown() error {
	kinds, err := faultKinds([]string{"all"}, s.cannot())
	if err != nil {
		return err
	}
	var offered []simulator.Fault
	for _, f := range kinds {
		offered = append(offered, simulator.Fault{Name: f.name, What: f.what})
	}
	return s.network.Town().Offer(offered, func(name string) error {
		chosen, err := faultKinds([]string{name}, s.cannot())
		if err != nil {
			return err
		}
		if s.harmless.Load() {
			return errors.New("the traffic has ended: nothing is broken any more")
		}
		if !s.byHand(chosen[0]) {
			return errors.New("enough of them wait already")
		}
		return nil
	})
}

// settleTown has the population live in the town.
func (s *simulation) settleTown() error {
	var all []simulator.Person
	for _, p := range s.country.People() {
		who := simulator.Person{Name: p.Name, MSISDN: p.Number, PIN: p.PIN, Till: p.Till, Note: p.Label}
		switch {
		case p.Till != "":
			who.Role = "till"
		case p.Merchant:
			who.Role = "merchant"
		}
		all = append(all, who)
	}
	return s.network.Town().Settle(all...)
}

// moves shows payments in the town, as whoever made them knows how they went. A
// till is where its operator is.
func moves(town *simulator.Town, tills []people.Till) func(people.Event) {
	shillings, _ := money.CurrencyOf(kenyaSettings.Currency)
	operators := map[string]string{}
	for _, t := range tills {
		operators[t.Number] = t.Operator
	}
	at := func(party string) string {
		if operator := operators[party]; operator != "" {
			return operator
		}
		return party
	}
	return func(e people.Event) {
		outcome := string(e.Outcome)
		if e.Outcome == people.OK {
			outcome = "paid"
		}
		town.Moved(simulator.Move{From: at(e.From), To: at(e.To), Amount: shillings.Format(money.Amount(e.Amount)), Outcome: outcome})
	}
}

// tellTown says what a second has brought.
func (s *simulation) tellTown(now people.Second) {
	f := s.country.Tally().Figures()
	var paid int64
	for _, n := range f.Payments {
		paid += n
	}
	left := max(0, s.Duration-time.Duration(len(f.PerSecond))*time.Second)
	shillings, _ := money.CurrencyOf(kenyaSettings.Currency)
	in := s.inside.Load()
	emoney := shillings.Format(money.Amount(in.EMoney))
	if in.Stale {
		emoney += " ?"
	}
	s.network.Town().Tell(
		simulator.Figure{Name: "payments/s", Value: fmt.Sprint(now.Payments)}, simulator.Figure{Name: "payments", Value: fmt.Sprint(paid)},
		simulator.Figure{Name: "refused/s", Value: fmt.Sprint(now.Refused)}, simulator.Figure{Name: "unknown", Value: fmt.Sprint(f.Unknown - f.Resolved)},
		simulator.Figure{Name: "in a session", Value: fmt.Sprint(now.Busy)}, simulator.Figure{Name: "p99", Value: fmt.Sprintf("%.0f ms", now.P99)},
		simulator.Figure{Name: "e-money", Value: emoney}, simulator.Figure{Name: "SMS to send", Value: fmt.Sprint(in.Waiting)},
		simulator.Figure{Name: "left", Value: left.String()},
	)
}
