package main

import (
	"fmt"
	"io"

	"tuma/simulator/people"
)

// screen shows how a simulation goes.
type screen interface {
	second(s *simulation, now people.Second)
	close()
}

// lines is a line every five seconds, for a log.
type lines struct{ w io.Writer }

func (l lines) second(s *simulation, now people.Second) {
	f := s.country.Tally().Figures()
	n := len(f.PerSecond)
	if n%5 != 0 {
		return
	}
	var paid, hops int
	for _, x := range f.PerSecond[max(0, n-5):] {
		paid, hops = paid+x.Payments, hops+x.Hops
	}
	fault, faults := s.done.underWay()
	fmt.Fprintf(l.w, "%4d s  %5.1f payments/s  %6.1f keys/s  p50 %6.1f ms  p99 %7.1f ms  %d in a session  %d unknown  %d faults %s\n",
		n, float64(paid)/5, float64(hops)/5, now.P50, now.P99, now.Busy, f.Unknown-f.Resolved, faults, fault)
}

func (l lines) close() {}
