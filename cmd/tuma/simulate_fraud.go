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

	"tuma/internal/db"
	"tuma/internal/phone"
	"tuma/simulator/people"
)

// fraudFigures are how much of the labelled fraud the brakes saw, and how often
// they said something at all.
type fraudFigures struct {
	Labels  map[string]*recall `json:"labels"`
	Rules   map[string]int     `json:"rules"` // events
	Events  int                `json:"events"`
	False   int                `json:"unlabelled"` // events about nothing that was labelled
	Per1000 float64            `json:"per_1000_entries"`
}

type recall struct {
	Tried int `json:"tried"`
	Seen  int `json:"seen"`
}

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

const sqlSeenByBrakes = `
select e.rule, e.at, coalesce((select s.msisdn from sim s where e.subject = 'customer:' || s.customer), split_part(e.subject, ':', 2)) as who
from brake_event e order by e.id`

// measureBrakes joins what the brakes have done with what people know they did.
func measureBrakes(ctx context.Context, pool *db.Pool, history string) (*fraudFigures, error) {
	var events []struct {
		Rule string    `db:"rule"`
		At   time.Time `db:"at"`
		Who  string    `db:"who"`
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
			whose := slices.Contains(d.Parties, e.Who) || d.Label == people.SprayPIN && strings.HasPrefix(e.Rule, "pin_spray")
			if whose && !e.At.Before(d.At.Add(-deedMargin)) && !e.At.After(d.Ended.Add(deedMargin)) {
				seen, about[i] = true, true
			}
		}
		if f.Labels[d.Label] == nil {
			f.Labels[d.Label] = &recall{}
		}
		f.Labels[d.Label].Tried++
		if seen {
			f.Labels[d.Label].Seen++
		}
		return nil
	})
	for i, e := range events {
		f.Rules[e.Rule]++
		if !about[i] {
			f.False++
		}
	}
	return f, err
}

func (f *fraudFigures) weigh(entries int64) {
	f.Per1000 = 1000 * float64(f.Events) / float64(max(1, entries))
}

func (f *fraudFigures) print(w io.Writer) {
	if f == nil {
		return
	}
	var parts []string
	for _, label := range slices.Sorted(maps.Keys(f.Labels)) {
		parts = append(parts, fmt.Sprintf("%s %d of %d", label, f.Labels[label].Seen, f.Labels[label].Tried))
	}
	fmt.Fprintf(w, "fraud seen by the brakes: %s\n", strings.Join(parts, ", "))
	fmt.Fprintf(w, "%d events of brakes (%s), %.1f in 1,000 entries, %d about nothing labelled\n", f.Events, counts(f.Rules), f.Per1000, f.False)
}

// bars are the labels with how many were tried, and seen.
func (f *fraudFigures) bars() (all []bar) {
	for _, label := range slices.Sorted(maps.Keys(f.Labels)) {
		r := f.Labels[label]
		all = append(all, bar{Label: fmt.Sprintf("%s, %d of %d seen", strings.ReplaceAll(label, "_", " "), r.Seen, r.Tried), Count: int64(r.Tried), Width: 100 * float64(r.Seen) / float64(max(1, r.Tried))})
	}
	return all
}
