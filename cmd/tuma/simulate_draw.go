package main

import (
	"fmt"
	"html/template"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"tuma/simulator/people"
)

// Sizes of the report's drawings, in pixels.
const (
	drawWidth  = 900.0
	drawHeight = 180.0
)

// drawn is what report.html shows.
type drawn struct {
	Report                  *report
	Command                 *simulateCommand
	Problems                int
	Verdict                 string
	Took                    time.Duration
	Throughput, Latency     seriesChart
	Bars, Refusals, Payings []bar
	Found                   []bar
	FaultKinds, Deeds       []bar
	PerSecond               float64
}

// seriesChart is lines over the seconds of a run.
type seriesChart struct {
	Width, Height float64
	Top           string // what the upper edge means
	Lines         []seriesLine
	Bands         []seriesBand // faults
	Seconds       int
	Marks         []seriesMark
}

type seriesLine struct {
	Name, Class string
	Points      template.HTMLAttr
}

type seriesBand struct {
	X, W float64
	Name string
}

type seriesMark struct {
	X     float64
	Label string
}

type bar struct {
	Label string
	Count int64
	Width float64 // percent
	Bad   bool
}

func (r *report) drawn() drawn {
	f := r.Figures
	d := drawn{Report: r, Command: r.Command, Took: time.Duration(len(f.PerSecond)) * time.Second, PerSecond: f.PaymentsPerSecond()}
	d.Problems = len(r.Breaks)
	if r.Reconciled != nil {
		d.Problems += r.Reconciled.problems()
		for _, k := range findKinds {
			d.Found = append(d.Found, bar{Label: k, Count: int64(r.Reconciled.Found[k]), Bad: r.Reconciled.Found[k] > 0})
		}
	}
	series := func(of func(people.Second) float64) (v []float64) {
		for _, s := range f.PerSecond {
			v = append(v, of(s))
		}
		return v
	}
	d.Throughput = r.chart(false, map[string][]float64{
		"payments": series(func(s people.Second) float64 { return float64(s.Payments) }),
		"refused":  series(func(s people.Second) float64 { return float64(s.Refused) }),
		"unknown":  series(func(s people.Second) float64 { return float64(s.Unknown) }),
	})
	d.Latency = r.chart(true, map[string][]float64{
		"p50": series(func(s people.Second) float64 { return s.P50 }),
		"p99": series(func(s people.Second) float64 { return s.P99 }),
	})
	for _, b := range f.Bars {
		d.Bars = append(d.Bars, bar{Label: fmt.Sprintf("up to %v", time.Duration(b.To)*time.Millisecond), Count: b.Count})
	}
	widths(d.Bars)
	d.Refusals, d.Payings, d.FaultKinds = bars(f.Refusals), bars(f.Payments), bars(faultCounts(r.Faults))
	if r.Fraud != nil {
		d.Deeds = r.Fraud.bars()
	}
	d.Verdict = "Everything agrees: nothing was lost, doubled or invented."
	if d.Problems > 0 {
		d.Verdict = fmt.Sprintf("%d things are not as they should be.", d.Problems)
	}
	return d
}

// chart draws series over the seconds, with the faults behind them.
func (r *report) chart(logarithmic bool, series map[string][]float64) seriesChart {
	n := len(r.Figures.PerSecond)
	c := seriesChart{Width: drawWidth, Height: drawHeight, Seconds: n}
	if n == 0 {
		return c
	}
	top := 1.0
	for _, v := range series {
		top = max(top, slices.Max(v))
	}
	unit := ""
	if logarithmic {
		unit = " ms"
	}
	c.Top = fmt.Sprintf("%.0f%s", top, unit)
	height := func(v float64) float64 {
		if logarithmic {
			return drawHeight * (1 - math.Log(1+v)/math.Log(1+top))
		}
		return drawHeight * (1 - v/top)
	}
	x := func(second float64) float64 { return drawWidth * second / float64(max(1, n)) }
	for _, name := range slices.Sorted(maps.Keys(series)) {
		var b strings.Builder
		b.WriteString(`points="`)
		for i, v := range series[name] {
			fmt.Fprintf(&b, "%.1f,%.1f ", x(float64(i)+0.5), height(v))
		}
		b.WriteString(`"`)
		c.Lines = append(c.Lines, seriesLine{Name: name, Class: name, Points: template.HTMLAttr(b.String())})
	}
	began := r.Figures.Began
	for _, f := range r.Faults {
		from, to := f.From.Sub(began).Seconds(), f.To.Sub(began).Seconds()
		c.Bands = append(c.Bands, seriesBand{X: x(max(0, from)), W: max(2, x(to)-x(max(0, from))), Name: f.Name})
	}
	step := max(1, n/10)
	for s := step; s < n; s += step {
		c.Marks = append(c.Marks, seriesMark{X: x(float64(s)), Label: (time.Duration(s) * time.Second).String()})
	}
	return c
}

func bars[N int | int64](n map[string]N) (all []bar) {
	for _, k := range slices.SortedFunc(maps.Keys(n), func(a, b string) int { return int(n[b]) - int(n[a]) }) {
		all = append(all, bar{Label: strings.ReplaceAll(k, "_", " "), Count: int64(n[k])})
	}
	widths(all)
	return all
}

func widths(all []bar) {
	var most int64 = 1
	for _, b := range all {
		most = max(most, b.Count)
	}
	for i := range all {
		all[i].Width = 100 * float64(all[i].Count) / float64(most)
	}
}
