package main

import (
	"bytes"
	"strings"
	"testing"
)

// rehearse runs a rehearsal to its end, however long that takes on a busy machine.
func rehearse(t *testing.T, args ...string) result {
	t.Helper()
	cmd := withContext(t.Context(), tuma(append([]string{"rehearse"}, args...)))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// A database that is lost under load comes back as of an instant, with whatever
// had been acknowledged by then.
func TestRehearseRestore(t *testing.T) {
	r := rehearse(t, "restore", "--seconds", "1.5", "--wallets", "40")
	if r.status != 0 || !strings.Contains(r.out, "every one of") || !strings.Contains(r.out, "are forgotten, as asked") {
		t.Errorf("status %d\n%s%s", r.status, r.out, r.errors)
	}
}

// A standby that is promoted knows everything that was acknowledged, and the old
// primary confirms nothing any more.
func TestRehearseFailover(t *testing.T) {
	r := rehearse(t, "failover", "--seconds", "1", "--wallets", "40")
	if r.status != 0 || !strings.Contains(r.out, "none was lost, none doubled") || !strings.Contains(r.out, "confirmed nothing and follows") {
		t.Errorf("status %d\n%s%s", r.status, r.out, r.errors)
	}
}

// The rehearsals see what they are there to see.
func TestRehearsalsSeePlantedFaults(t *testing.T) {
	for _, args := range [][]string{{"restore", "--plant", "early"}, {"failover", "--plant", "async"}} {
		r := rehearse(t, append(args, "--seconds", "1", "--wallets", "40")...)
		if r.status != 1 || !strings.Contains(r.out, "but is not in the book") {
			t.Errorf("%v: status %d\n%s%s", args, r.status, r.out, r.errors)
		}
	}
}
