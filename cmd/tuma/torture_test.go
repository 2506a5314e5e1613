package main

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"
)

// runTorture runs the command as a process, with a few wallets only, so that
// callers meet.
func runTorture(t *testing.T, args ...string) (summary, result) {
	t.Helper()
	args = append([]string{"torture", "book", "--json", "--wallets", "40"}, args...)
	r := execute(t, "", nil, args...)
	var s summary
	if err := json.Unmarshal([]byte(r.out), &s); err != nil {
		t.Fatalf("%v: status %d\n%s%s", err, r.status, r.out, r.errors)
	}
	t.Logf("%s", r.out)
	return s, r
}

// The book holds when everything around it is killed and cut.
func TestTortureBook(t *testing.T) {
	t.Parallel()
	for name, seed := range map[string]uint64{"fixed seed": 20261122, "fresh seed": uint64(time.Now().UnixNano())} {
		t.Run(name, func(t *testing.T) {
			s, r := runTorture(t, "--minutes", "0.12", "--every", "3s", "--seed", strconv.FormatUint(seed, 10))
			if r.status != 0 || s.Findings != 0 {
				t.Errorf("seed %d: status %d\n%s", seed, r.status, strings.Join(s.First, "\n"))
			}
			var faults int64
			for _, n := range s.Faults {
				faults += n
			}
			if s.Commits == 0 || s.Landed == 0 || s.Landed > s.Commits || s.Open > 0 {
				t.Errorf("seed %d: %d commits were cut, %d of them had landed, %d entries are undecided", seed, s.Commits, s.Landed, s.Open)
			}
			if s.Acknowledged < 100 || s.Refused == 0 || s.Unknown == 0 || s.Resolved == 0 || faults < 10 || s.Checks < 2 {
				t.Errorf("too little happened to prove anything: %+v", s)
			}
		})
	}
}

// The checks of the torture see faults that are planted for them.
func TestTortureSeesPlantedFaults(t *testing.T) {
	t.Parallel()
	for plant, say := range map[string][]string{
		"lost-update":   {"what was acknowledged gives", "audit: balance equals postings"},
		"doubled-retry": {"which nobody asked for"}, // balances differ, too, when the first try stands
		"half-entry":    {"with other content than its receipt", "audit: entry is as it was written"},
		"async-commit":  {"was acknowledged as", "but is not in the book"},
	} {
		t.Run(plant, func(t *testing.T) {
			s, r := runTorture(t, "--minutes", "0.05", "--every", "2s", "--seed", "1", "--plant", plant)
			if r.status != 1 || s.Findings == 0 {
				t.Fatalf("not found: status %d\n%s", r.status, r.errors)
			}
			all := strings.Join(s.First, "\n")
			for _, want := range say {
				if !strings.Contains(all, want) {
					t.Errorf("no finding says %q:\n%s", want, all)
				}
			}
		})
	}
}
