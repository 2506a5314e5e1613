package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var pgbenchTPS = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)

// pgbench runs PostgreSQL's own TPC-B-like script on the same server: the best of
// 16, 32 and 64 clients in transactions a second, and the median of one client's
// transactions in ms.
func pgbench(ctx context.Context, tool, url string, d time.Duration, fresh bool) (tps, p50 float64, err error) {
	if fresh {
		if out, err := exec.CommandContext(ctx, tool, "-i", "-q", "-s", "64", url).CombinedOutput(); err != nil {
			return 0, 0, fmt.Errorf("pgbench -i: %w: %s", err, out)
		}
	}
	seconds := strconv.Itoa(max(3, int(d.Seconds())/2))
	for _, clients := range []int{16, 32, 64} {
		out, err := exec.CommandContext(ctx, tool, "-M", "prepared", "-c", strconv.Itoa(clients), "-j", "2", "-T", seconds, "-n", url).CombinedOutput()
		if err != nil {
			return 0, 0, fmt.Errorf("pgbench: %w: %s", err, out)
		}
		m := pgbenchTPS.FindSubmatch(out)
		if m == nil {
			return 0, 0, fmt.Errorf("pgbench said no figure: %s", out)
		}
		got, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			return 0, 0, fmt.Errorf("pgbench: %w", err)
		}
		tps = max(tps, got)
	}
	p50, err = pgbenchAlone(ctx, tool, url, seconds)
	return tps, p50, err
}

// pgbenchAlone has one client write down each of its transactions.
func pgbenchAlone(ctx context.Context, tool, url, seconds string) (p50 float64, err error) {
	dir, err := os.MkdirTemp("", "tuma-pgbench-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	c := exec.CommandContext(ctx, tool, "-M", "prepared", "-c", "1", "-T", seconds, "-n", "-l", "--log-prefix", "one", url)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("pgbench: %w: %s", err, out)
	}
	files, err := filepath.Glob(filepath.Join(dir, "one*"))
	if err != nil || len(files) != 1 {
		return 0, fmt.Errorf("pgbench wrote %d logs (%w)", len(files), err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		return 0, err
	}
	var took []int // client, transaction, microseconds, ...
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 2 {
			us, err := strconv.Atoi(f[2])
			if err != nil {
				return 0, fmt.Errorf("pgbench's log: %w", err)
			}
			took = append(took, us)
		}
	}
	if len(took) == 0 {
		return 0, errors.New("pgbench's log is empty")
	}
	slices.Sort(took)
	return float64(took[len(took)/2]) / 1000, nil
}

// median is the round in the middle, by payments a second; its ratios are those
// in the middle of theirs.
func median(rounds []postFigures) postFigures {
	middle := func(of func(postFigures) float64) postFigures {
		sorted := slices.SortedFunc(slices.Values(rounds), func(a, b postFigures) int { return cmp.Compare(of(a), of(b)) })
		return sorted[len(sorted)/2]
	}
	m := middle(func(f postFigures) float64 { return f.PaymentsPerS })
	m.Ratio = middle(func(f postFigures) float64 { return f.Ratio }).Ratio
	m.VsOne = middle(func(f postFigures) float64 { return f.VsOne }).VsOne
	return m
}
