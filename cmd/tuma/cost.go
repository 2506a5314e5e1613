package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cost is processor time spent so far. Unlike a rate it hardly depends on what
// else the machine does, so it tells whether a change made a payment cheaper.
type cost struct{ process, server time.Duration }

func (c cost) minus(d cost) cost { return cost{c.process - d.process, c.server - d.server} }

// each is the microseconds of one of n.
func each(d time.Duration, n int64) float64 { return float64(d.Microseconds()) / float64(max(1, n)) }

// costNow counts this process, callers and all, and the servers that it has
// started; of these only where there is a /proc.
func costNow() cost {
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return cost{}
	}
	const tick = 10 * time.Millisecond // of /proc, on every Linux there is
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	parent, spent := map[int]int{}, map[int]time.Duration{}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		_, rest, _ := strings.Cut(string(text), ") ") // the name may have blanks
		f := strings.Fields(rest)
		if len(f) < 13 {
			continue
		}
		parent[pid], _ = strconv.Atoi(f[1])
		for _, ticks := range f[11:13] { // user and system
			n, _ := strconv.Atoi(ticks)
			spent[pid] += time.Duration(n) * tick
		}
	}
	c := cost{process: time.Duration(self.Utime.Nano() + self.Stime.Nano())}
	for pid, d := range spent {
		if parent[pid] == os.Getpid() || parent[parent[pid]] == os.Getpid() {
			c.server += d
		}
	}
	return c
}
