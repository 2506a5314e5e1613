package main

import (
	"fmt"
	"os"
	"sync"
	"time"

	"errors"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// hopKind is what became of a request.
type hopKind int

const (
	hopWell    hopKind = iota
	hopBusy            // "very busy, nothing was paid"
	hopPending         // "being processed, an SMS will tell"
	hopFailed          // "something went wrong", another status, a broken connection
	hopSilent          // the gateway gave up
)

// overloadSecond is one second of a run. People and hops count when they are due,
// answers and payments when they come.
type overloadSecond struct {
	Second   int     `json:"second"`
	Phase    string  `json:"phase"`
	People   int64   `json:"people"`
	Hops     int64   `json:"hops"`
	Well     int64   `json:"well"`
	Busy     int64   `json:"busy"`
	Pending  int64   `json:"pending"`
	Failed   int64   `json:"failed"`
	Silent   int64   `json:"silent"`
	Payments int64   `json:"payments"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`

	times *hdrhistogram.Histogram // microseconds, of all that were answered
}

// overloadSeconds collects them.
type overloadSeconds struct {
	before, during time.Duration

	mu    sync.Mutex
	begun time.Time
	list  []*overloadSecond
}

func newOverloadSeconds(c *benchOverload) *overloadSeconds {
	s := &overloadSeconds{before: c.Before, during: c.During}
	for i := range int((c.Before + c.During + c.After) / time.Second) {
		x := &overloadSecond{Second: i, Phase: "before", times: hdrhistogram.New(1, 60_000_000, 3)}
		switch at := time.Duration(i) * time.Second; {
		case at >= c.Before+c.During:
			x.Phase = "after"
		case at >= c.Before:
			x.Phase = "during"
		}
		s.list = append(s.list, x)
	}
	return s
}

func (s *overloadSeconds) begin(at time.Time) { s.begun = at }

// at does something to the second of an instant; what comes after the end is
// left out.
func (s *overloadSeconds) at(t time.Time, do func(*overloadSecond)) {
	i := int(t.Sub(s.begun) / time.Second)
	if i < 0 || i >= len(s.list) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	do(s.list[i])
}

func (s *overloadSeconds) person(due time.Time) { s.at(due, func(x *overloadSecond) { x.People++ }) }

func (s *overloadSeconds) payment(now time.Time) { s.at(now, func(x *overloadSecond) { x.Payments++ }) }

func (s *overloadSeconds) hop(due, now time.Time, kind hopKind) {
	s.at(due, func(x *overloadSecond) { x.Hops++ })
	s.at(now, func(x *overloadSecond) {
		switch kind {
		case hopWell:
			x.Well++
		case hopBusy:
			x.Busy++
		case hopPending:
			x.Pending++
		case hopFailed:
			x.Failed++
		case hopSilent:
			x.Silent++
			return
		}
		x.times.RecordValue(min(60_000_000, max(1, now.Sub(due).Microseconds())))
	})
}

func millisAt(h *hdrhistogram.Histogram, quantile float64) float64 {
	return float64(h.ValueAtQuantile(quantile)) / 1000
}

// settling is how long a phase takes to be itself: sessions that began in the
// one before go on in it.
const settling = 5

// figures sums the seconds up.
func (o *overload) figures(rate float64) *overloadFigures {
	l := o.load
	f := &overloadFigures{
		Capacity: o.Capacity, Offered: rate, Slower: o.Slower, Paying: -1, Recovered: -1,
		People: l.people.Load(), Paid: l.paid.Load(), Warned: l.warned.Load(), Pending: l.pending.Load(), GaveUp: l.gaveUp.Load(),
	}
	for i, to := range []struct{ answers, own *float64 }{{&f.Answers.Before, &f.Own.Before}, {&f.Answers.During, &f.Own.During}, {&f.Answers.After, &f.Own.After}} {
		*to.answers, *to.own = millisAt(o.answers.waited[i], 50), millisAt(o.answers.took[i], 50)
	}
	var people, hops int64
	for _, to := range []struct {
		name               string
		payments, p50, p99 *float64
	}{{"before", &f.Payments.Before, &f.P50.Before, &f.P99.Before}, {"during", &f.Payments.During, &f.P50.During, &f.P99.During}, {"after", &f.Payments.After, &f.P50.After, &f.P99.After}} {
		all := hdrhistogram.New(1, 60_000_000, 3)
		var payments int64
		seconds := 0
		for i, x := range l.seconds.list {
			if x.Phase != to.name || i < settling {
				continue
			}
			all.Merge(x.times)
			payments += x.Payments
			seconds++
			if x.Phase == "before" {
				people, hops = people+x.People, hops+x.Hops
			}
		}
		*to.payments = float64(payments) / float64(max(1, seconds))
		*to.p50, *to.p99 = millisAt(all, 50), millisAt(all, 99)
	}
	f.Usual = float64(hops) / float64(max(1, people))
	for _, x := range l.seconds.list {
		x.P50, x.P99 = millisAt(x.times, 50), millisAt(x.times, 99)
		f.Hops, f.Busy, f.Failed, f.Silent = f.Hops+x.Hops, f.Busy+x.Busy, f.Failed+x.Failed, f.Silent+x.Silent
		f.Longest = max(f.Longest, float64(x.times.Max())/1000)
		f.Seconds = append(f.Seconds, *x)
		if x.Phase != "after" || float64(x.Payments) < 0.95*f.Payments.Before {
			continue
		}
		passed := float64(x.Second) + 1 - (l.Before + l.During).Seconds()
		if f.Paying < 0 {
			f.Paying = passed
		}
		if f.Recovered < 0 && x.P99 < 2*f.P99.Before {
			f.Recovered = passed
		}
	}
	f.Ratio = float64(f.Hops) / float64(max(1, f.People))
	return f
}

// plot draws the seconds.
func (f *overloadFigures) plot(path string) (err error) {
	var people, payments, busy, bad, p50, p99 []float64
	for _, s := range f.Seconds {
		people, payments, busy = append(people, float64(s.People)), append(payments, float64(s.Payments)), append(busy, float64(s.Busy))
		bad = append(bad, float64(s.Failed+s.Silent))
		p50, p99 = append(p50, s.P50), append(p99, s.P99)
	}
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	from, to := 0, 0 // of the slowness
	for _, s := range f.Seconds {
		switch s.Phase {
		case "before":
			from = s.Second + 1
			fallthrough
		case "during":
			to = s.Second + 1
		}
	}
	top, slow := max(highest(people), highest(payments), highest(busy), highest(bad)), highest(p99)
	return chart.Execute(out, map[string]any{
		"Title": fmt.Sprintf("%.0f people a second; PostgreSQL %d times slower from second %d to %d of %d", f.Offered, f.Slower, from, to, len(f.Seconds)),
		"Panels": []chartPanel{
			{Name: "per second", Highest: fmt.Sprintf("%.0f", top), Top: 60, Lines: []chartLine{
				{"people", "#868e96", points(people, top), 0}, {"payments", "#1864ab", points(payments, top), 70},
				{"told: busy", "#e67700", points(busy, top), 160}, {"failed or silent", "#c92a2a", points(bad, top), 250},
			}},
			{Name: "milliseconds of a hop", Highest: fmt.Sprintf("%.0f", slow), Top: 270, Lines: []chartLine{{"p50", "#2b8a3e", points(p50, slow), 0}, {"p99", "#c92a2a", points(p99, slow), 60}}},
		},
	})
}
