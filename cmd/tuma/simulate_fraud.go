package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"tuma/accounts"
	"tuma/internal/db"
	"tuma/internal/phone"
	"tuma/simulator/people"
)

// fraudFigures are how much of the labelled fraud the brakes saw, and how often
// they said something at all.
type fraudFigures struct {
	Labels  map[string]*recall `json:"labels"`
	Rules   map[string]int     `json:"rules"`      // events
	Events  int                `json:"events"`     // alerts and refusals
	Alerts  int                `json:"alerts"`     // which somebody is to look at
	False   int                `json:"unlabelled"` // events about nothing that was labelled
	Per1000 float64            `json:"per_1000_entries"`
	Looks   float64            `json:"alerts_per_1000_entries"`
}

// recall is what became of the deeds of a kind. A deed that neither came about nor
// was seen or stopped is idle: there was no money, or no float.
type recall struct {
	Tried   int `json:"tried"`
	Seen    int `json:"seen"`
	Stopped int `json:"stopped"` // by a brake, and not seen
	Idle    int `json:"idle"`
}

func (r recall) found() int { return r.Seen + r.Stopped }
func (r recall) real() int  { return r.Tried - r.Idle }

// brakesSay are the refusals by which a brake stops somebody.
var brakesSay = []string{"pin_locked", "held", "pin_held", "pins_paused", "too_often", "new_payee", "fresh_money", "slow", "lookups_spent"}

// swapSIM is the operator's verb, as the network's notice would run it.
func (s *simulation) swapSIM(ctx context.Context, number string) error {
	books, err := s.site.books(ctx, s.set)
	if err != nil {
		return err
	}
	defer books.close()
	who, err := books.accounts.ByPhone(ctx, phone.Number(number))
	if err != nil {
		return err
	}
	return books.accounts.SwappedSIM(ctx, who)
}

// An event belongs to a deed when it is about one of its parties and came while
// it was done, or a moment later.
const deedMargin = 2 * time.Second

// belongs tells whether an event is of a deed. What is told of all customers
// together is told once in a minute.
func belongs(rule, who string, at time.Time, d *people.Deed) bool {
	from := d.At.Add(-deedMargin)
	whose := slices.Contains(d.Parties, who)
	if d.Label == people.SprayPIN && (strings.HasPrefix(rule, "pin_spray") || rule == "pin_flood") {
		whose, from = true, d.At.Truncate(time.Minute)
	}
	return whose && !at.Before(from) && !at.After(d.Ended.Add(deedMargin))
}

const sqlSeenByBrakes = `
select e.rule, e.outcome, e.at, coalesce((select s.msisdn from sim s where e.subject = 'customer:' || s.customer), split_part(e.subject, ':', 2)) as who
from brake_event e order by e.id`

// measureBrakes joins what the brakes have done with what people know they did.
func measureBrakes(ctx context.Context, pool *db.Pool, history string) (*fraudFigures, error) {
	var events []struct {
		Rule    string    `db:"rule"`
		Outcome string    `db:"outcome"`
		At      time.Time `db:"at"`
		Who     string    `db:"who"`
	}
	if err := pool.Select(ctx, &events, sqlSeenByBrakes); err != nil {
		return nil, err
	}
	file, err := os.Open(history)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	f := &fraudFigures{Labels: map[string]*recall{}, Rules: map[string]int{}, Events: len(events)}
	about := make([]bool, len(events))
	err = people.ReadHistory(file, func(l people.Line) error {
		if l.What != "deed" {
			return nil
		}
		d, seen := l.Deed, false
		for i, e := range events {
			if belongs(e.Rule, e.Who, e.At, d) {
				seen, about[i] = true, true
			}
		}
		r := f.Labels[d.Label]
		if r == nil {
			r = &recall{}
			f.Labels[d.Label] = r
		}
		r.Tried++
		switch {
		case seen:
			r.Seen++
		case slices.Contains(brakesSay, d.Reason):
			r.Stopped++
		case !d.Done:
			r.Idle++
		}
		return nil
	})
	for i, e := range events {
		f.Rules[e.Rule]++
		if e.Outcome == accounts.BrakeAlert {
			f.Alerts++
		}
		if !about[i] {
			f.False++
		}
	}
	return f, err
}

func (f *fraudFigures) weigh(entries int64) {
	f.Per1000 = 1000 * float64(f.Events) / float64(max(1, entries))
	f.Looks = 1000 * float64(f.Alerts) / float64(max(1, entries))
}

func (f *fraudFigures) print(w io.Writer) {
	if f == nil {
		return
	}
	var parts []string
	for _, label := range slices.Sorted(maps.Keys(f.Labels)) {
		r := f.Labels[label]
		part := fmt.Sprintf("%s %d of %d", label, r.found(), r.real())
		if r.Stopped > 0 {
			part += fmt.Sprintf(" (%d stopped unseen)", r.Stopped)
		}
		parts = append(parts, part)
	}
	fmt.Fprintf(w, "fraud seen or stopped by the brakes: %s\n", strings.Join(parts, ", "))
	fmt.Fprintf(w, "%d events of brakes (%s), %.1f in 1,000 entries, %d about nothing labelled; %d of them alerts, %.1f in 1,000 entries\n", f.Events, counts(f.Rules), f.Per1000, f.False, f.Alerts, f.Looks)
}

// bars are the labels with how many came about, and were seen or stopped.
func (f *fraudFigures) bars() (all []bar) {
	for _, label := range slices.Sorted(maps.Keys(f.Labels)) {
		r := f.Labels[label]
		all = append(all, bar{Label: fmt.Sprintf("%s, %d of %d seen or stopped", strings.ReplaceAll(label, "_", " "), r.found(), r.real()), Count: int64(r.real()), Width: 100 * float64(r.found()) / float64(max(1, r.real()))})
	}
	return all
}
