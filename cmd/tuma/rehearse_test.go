package main

import (
	"strings"
	"testing"
)

func rehearse(t *testing.T, args ...string) result {
	t.Helper()
	return execute(t, "", nil, append([]string{"rehearse"}, args...)...)
}

// A database that is lost under load comes back as of an instant, with whatever
// had been acknowledged by then.
func TestRehearseRestore(t *testing.T) {
	t.Parallel()
	r := rehearse(t, "restore", "--seconds", "1.5", "--wallets", "40")
	if r.status != 0 || !strings.Contains(r.out, "every one of") || !strings.Contains(r.out, "are forgotten, as asked") {
		t.Errorf("status %d\n%s%s", r.status, r.out, r.errors)
	}
	t.Log(r.out)
}

// A standby that is promoted knows everything that was acknowledged, and the old
// primary confirms nothing any more.
func TestRehearseFailover(t *testing.T) {
	t.Parallel()
	r := rehearse(t, "failover", "--seconds", "1", "--wallets", "40")
	if r.status != 0 || !strings.Contains(r.out, "none was lost, none doubled") || !strings.Contains(r.out, "confirmed nothing and follows") {
		t.Errorf("status %d\n%s%s", r.status, r.out, r.errors)
	}
	t.Log(r.out)
}

// The rehearsals see what they are there to see.
func TestRehearsalsSeePlantedFaults(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"restore", "--plant", "early"}, {"failover", "--plant", "async"}} {
		r := rehearse(t, append(args, "--seconds", "1", "--wallets", "40")...)
		if r.status != 1 || !strings.Contains(r.out, "but is not in the book") {
			t.Errorf("%v: status %d\n%s%s", args, r.status, r.out, r.errors)
		}
	}
}
