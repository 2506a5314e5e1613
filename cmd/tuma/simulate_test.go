package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tuma/simulator/people"
	"tuma/ussd"
)

// simulated is what a run said at its end.
type simulated struct {
	Seed       uint64         `json:"seed"`
	Payments   map[string]int `json:"payments"`
	Refusals   map[string]int `json:"refusals"`
	Faults     map[string]int `json:"faults"`
	Doubled    int            `json:"requests_doubled"`
	Entries    int            `json:"entries"`
	SMS        int            `json:"sms"`
	Breaks     []string       `json:"breaks"`
	Reconciled reconciled     `json:"reconciled"`
}

// simulate runs the command as a process.
func simulate(t *testing.T, dir string, args ...string) (s simulated, status int, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], append([]string{"simulate", "--json", "--plain", "--report", dir}, args...)...)
	cmd.Env = append(os.Environ(), asCommand+"=1", "GOMAXPROCS=2")
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatalf("%v: %s\n%s", err, out, errs.String())
	}
	return s, cmd.ProcessState.ExitCode(), errs.String()
}

// TestSimulate has a small country live through a handful of all kinds of fault: nothing is
// lost, doubled or invented, by everybody's own account.
func TestSimulate(t *testing.T) {
	t.Parallel()
	seed, dir := uint64(time.Now().UnixNano()), t.TempDir()
	s, status, said := simulate(t, dir, "--customers", "60", "--agents", "4", "--rate", "20", "--duration", "30s", "--speed", "200", "--faults", "all", "--every", "1500ms", "--seed", strconv.FormatUint(seed, 10))
	t.Logf("%+v", s)
	if status != 0 || s.Reconciled.problems() != 0 || len(s.Breaks) != 0 {
		t.Errorf("seed %d: status %d\n%s\n%s\n%s", seed, status, strings.Join(s.Reconciled.First, "\n"), strings.Join(s.Breaks, "\n"), said)
	}
	if s.Reconciled.OK < 50 || len(s.Faults) < 4 || s.Reconciled.Notices < 100 || s.Entries < 100 {
		t.Errorf("too little happened to prove anything: %+v", s)
	}
	for _, name := range []string{"report.html", "report.json", "history.jsonl", "serve-1.log", "serve-2.log"} {
		if f, err := os.Stat(filepath.Join(dir, name)); err != nil || f.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSimulateSeesPlantedFaults: the comparison finds what it is for.
func TestSimulateSeesPlantedFaults(t *testing.T) {
	t.Parallel()
	for plant, want := range map[string]string{"drop-history": "phantom", "false-receipt": "lost", "forget-sms": "missing notice"} {
		t.Run(plant, func(t *testing.T) {
			s, status, said := simulate(t, t.TempDir(), "--customers", "80", "--agents", "3", "--rate", "15", "--duration", "4s", "--speed", "1000", "--seed", "334", "--plant", plant)
			if status != 1 || s.Reconciled.Found[want] == 0 {
				t.Errorf("not found: status %d %v\n%s", status, s.Reconciled.Found, said)
			}
		})
	}
}

// TestPeopleReadTheScreens: what the population recognises screens by is what
// the service says, in each language.
func TestPeopleReadTheScreens(t *testing.T) {
	words, err := ussd.Words()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{"pin": "send_pin", "resume": "resume", "pending": "pending", "sorry": "sorry", "over": "over", "slow": "slow_down", "unlock": "unlock", "welcome": "registered", "asked": "cash_out_asked"}
	for name, says := range people.Phrases() {
		screen := names[name]
		if screen == "" {
			screen = "refusal." + name
		}
		if len(says) != 3 {
			t.Errorf("%s is known in %d languages", name, len(says))
			continue
		}
		for i, lang := range []string{"en", "sw", "fr"} {
			text, _ := words.Text(lang, screen)
			if body := strings.ReplaceAll(text.Body, "{brand}", "Tuma"); !strings.Contains(body, says[i]) {
				t.Errorf("%s: people look for %q, the screen %s says %q", lang, says[i], screen, body)
			}
		}
	}
}
