package main

import (
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"time"
)

var (
	pgbenchTPS     = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)
	pgbenchLatency = regexp.MustCompile(`(?m)^latency average = ([0-9.]+) ms`)
)

// pgbench runs PostgreSQL's own TPC-B-like script on the same server: the best of
// 16, 32 and 64 clients in transactions a second, and one client's latency in ms.
func pgbench(ctx context.Context, tool, url string, d time.Duration, fresh bool) (tps, alone float64, err error) {
	if fresh {
		if out, err := exec.CommandContext(ctx, tool, "-i", "-q", "-s", "64", url).CombinedOutput(); err != nil {
			return 0, 0, fmt.Errorf("pgbench -i: %w: %s", err, out)
		}
	}
	run := func(clients int, seconds int, figure *regexp.Regexp) (float64, error) {
		out, err := exec.CommandContext(ctx, tool, "-M", "prepared", "-c", strconv.Itoa(clients), "-j", strconv.Itoa(min(clients, 2)), "-T", strconv.Itoa(seconds), "-n", url).CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("pgbench: %w: %s", err, out)
		}
		m := figure.FindSubmatch(out)
		if m == nil {
			return 0, fmt.Errorf("pgbench said no figure: %s", out)
		}
		return strconv.ParseFloat(string(m[1]), 64)
	}
	seconds := max(3, int(d.Seconds())/2)
	for _, clients := range []int{16, 32, 64} {
		got, err := run(clients, seconds, pgbenchTPS)
		if err != nil {
			return 0, 0, err
		}
		tps = max(tps, got)
	}
	alone, err = run(1, seconds, pgbenchLatency)
	return tps, alone, err
}

// median is the round in the middle, by payments a second.
func median(rounds []postFigures) postFigures {
	sorted := slices.SortedFunc(slices.Values(rounds), func(a, b postFigures) int { return cmp.Compare(a.PaymentsPerS, b.PaymentsPerS) })
	return sorted[len(sorted)/2]
}
