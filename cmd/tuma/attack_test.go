package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// attacked runs the command as a process.
func attacked(t *testing.T, args ...string) (a struct {
	Callbacks, Inputs, Victims int
	Verdicts                   map[string]int
	Found                      map[string]int
	First                      []string
}, r result,
) {
	t.Helper()
	r = execute(t, "", nil, append([]string{"attack", "--json", "--attackers", "4"}, args...)...)
	if err := json.Unmarshal([]byte(r.out), &a); err != nil {
		t.Fatalf("%v: status %d\n%s%s", err, r.status, r.out, r.errors)
	}
	return a, r
}

// TestAttack is a short attack on a running service of two processes: nothing
// that was forged is taken, nothing malformed makes it fail, no PIN is compared
// too often or kept. The long one is `tuma attack` itself.
func TestAttack(t *testing.T) {
	t.Parallel()
	a, r := attacked(t, "--inputs", "1500", "--callbacks", "1500", "--guesses", "150", "--timing", "4")
	if r.status != 0 || len(a.First) > 0 {
		t.Errorf("status %d\n%s\n%s", r.status, strings.Join(a.First, "\n"), r.errors)
	}
	if a.Callbacks != 1500 || a.Inputs != 1500 || a.Victims != 3 || a.Verdicts["locked"] < 2*a.Victims || a.Verdicts["right"] != 0 {
		t.Errorf("too little happened to prove anything: %+v", a)
	}
}

// TestAttackSeesAWeakService: what the attack is for, it finds.
func TestAttackSeesAWeakService(t *testing.T) {
	t.Parallel()
	a, r := attacked(t, "--inputs", "50", "--callbacks", "300", "--guesses", "50", "--timing", "0", "--seed", "1", "--plant")
	var kinds []string
	for k := range a.Found {
		kinds = append(kinds, k)
	}
	for _, want := range []string{"forged callback taken", "forged callback left something", "a PIN was not locked", "a locked PIN was compared", "a PIN is kept", "error in the log", "panic"} {
		if !slices.Contains(kinds, want) {
			t.Errorf("not found: %s in %v", want, kinds)
		}
	}
	if r.status != 1 {
		t.Errorf("status %d", r.status)
	}
}
