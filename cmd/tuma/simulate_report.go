package main

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tuma/simulator/people"
)

//go:embed report.html
var reportFile embed.FS

// report is what a simulation ends with.
type report struct {
	Command    *simulateCommand `json:"-"`
	Began      time.Time        `json:"began"`
	Figures    people.Figures   `json:"figures"`
	Faults     []faultDone      `json:"faults"`
	Doubled    int64            `json:"requests_doubled"`
	Commits    int64            `json:"unknown_commits"` // COMMITs whose sender did not hear what became of them
	Landed     int64            `json:"unknown_landed"`  // those that the server was seen to do
	SMS        int64            `json:"sms"`
	Reconciled *reconciled      `json:"reconciled"`
	Entries    int64            `json:"entries"`
	Postings   int64            `json:"postings"`
	Breaks     []string         `json:"breaks"`
	Fraud      *fraudFigures    `json:"fraud"`
}

// brief is the report without its seconds.
func (r *report) brief() map[string]any {
	f := r.Figures
	return map[string]any{
		"seed": r.Command.Seed, "customers": r.Command.Customers, "agents": r.Command.Agents, "sessions": f.Sessions, "hops": f.Hops, "hops_lost": f.Lost,
		"payments": f.Payments, "payments_per_s": f.PaymentsPerSecond(), "p50_ms": f.P50, "p95_ms": f.P95, "p99_ms": f.P99, "max_ms": f.Max,
		"refusals": f.Refusals, "unknown": f.Unknown, "resolved": f.Resolved, "sms": r.SMS, "faults": faultCounts(r.Faults), "requests_doubled": r.Doubled,
		"unknown_commits": r.Commits, "unknown_landed": r.Landed,
		"reconciled": r.Reconciled, "entries": r.Entries, "breaks": r.Breaks, "fraud": r.Fraud,
	}
}

func faultCounts(done []faultDone) map[string]int {
	n := map[string]int{}
	for _, f := range done {
		n[f.Name]++
	}
	return n
}

// write puts report.json and report.html into the folder.
func (r *report) write(dir string) error {
	all := r.brief()
	all["seconds"], all["bars"], all["fault_times"] = r.Figures.PerSecond, r.Figures.Bars, r.Faults
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "report.json"), b, 0o644); err != nil {
		return err
	}
	page, err := template.ParseFS(reportFile, "report.html")
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "report.html"))
	if err != nil {
		return err
	}
	if err := page.Execute(f, r.drawn()); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func (r *report) print(w io.Writer) {
	f := r.Figures
	fmt.Fprintf(w, "%d sessions, %d key presses (%d without an answer), p50 %.1f ms, p99 %.1f ms\n", f.Sessions, f.Hops, f.Lost, f.P50, f.P99)
	fmt.Fprintf(w, "%.1f payments a second: %s\n", f.PaymentsPerSecond(), counts(f.Payments))
	fmt.Fprintf(w, "refusals: %s\n", counts(f.Refusals))
	fmt.Fprintf(w, "faults: %d (%s), %d requests doubled\n", len(r.Faults), counts(faultCounts(r.Faults)), r.Doubled)
	fmt.Fprintf(w, "commits with unknown outcome: %d, of which the server had done %d\n", r.Commits, r.Landed)
	if c := r.Reconciled; c != nil {
		fmt.Fprintf(w, "%d attempts: %d ok, %d refused, %d without an answer at first, %d unknown to the end (%d of which stand)\n", c.Attempts, c.OK, c.Refused, c.Ambiguous, c.Unknown, c.UnknownStood)
		fmt.Fprintf(w, "%d notices, %d SMS received, %d tries in doubt, %d given up after them\n", c.Notices, c.Received, c.Doubted, c.GivenUp)
		for _, k := range findKinds {
			fmt.Fprintf(w, "  %-15s %d\n", k, c.Found[k])
		}
		for _, x := range c.First {
			fmt.Fprintln(w, "FOUND", x)
		}
	}
	fmt.Fprintf(w, "audit: %d entries, %d postings, %d breaks\n", r.Entries, r.Postings, len(r.Breaks))
	r.Fraud.print(w)
	for _, b := range r.Breaks {
		fmt.Fprintln(w, "BROKEN", b)
	}
}

func counts[N int | int64](n map[string]N) string {
	names := slices.SortedFunc(maps.Keys(n), func(a, b string) int { return int(n[b]) - int(n[a]) })
	var parts []string
	for _, k := range names {
		parts = append(parts, fmt.Sprintf("%s %d", k, n[k]))
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}
