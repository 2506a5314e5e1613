package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBrakesAreListed is the operator's look at the rules and at what they have
// done.
func TestBrakesAreListed(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	env := environment(settings(t, b.databaseURL, ""))
	says := func(want string, args ...string) {
		t.Helper()
		// The bank's clock is not that of the command.
		r := execute(t, "", env, append([]string{"brakes", "--since", "1000h"}, args...)...)
		if got := strings.Join(strings.Fields(r.out+r.errors), " "); !strings.Contains(got, want) || r.status != 0 {
			t.Errorf("tuma brakes %v: status %d\n%s\nwant %s", args, r.status, got, want)
		}
	}
	says("sim_swap refuse - Ksh5,000.00 24h0m0s none")
	says("pin_flood refuse 25 - 1m0s none")
	says("sim_swap: After a change of SIM or number: larger payments wait")
	says("nothing", "--events", "5")

	r := execute(t, demoPassword+"\n", env, "customer", "swapped", "--as", demoCare, "+254712000001")
	if r.status != 0 {
		t.Fatal(r.out, r.errors)
	}
	if s := b.key("s1", "+254712000001", "1*0712000002*900*"+demoPIN); s.Screen != "send_done" {
		t.Fatalf("%+v", s)
	}
	says("swap_and_drain alert 50 Ksh50.00 24h0m0s alert 1")
	says("swap_and_drain alert customer:1 ussd:at:s1:pay send of Ksh900.00: of Ksh1,000.00, SIM changed at", "--events", "5")
	says("swap_and_drain alert", "--events", "5", "--rule", "swap_and_drain")
	says("nothing", "--events", "5", "--rule", "pin_flood")

	file := filepath.Join(t.TempDir(), "brakes.csv")
	if err := os.WriteFile(file, []byte("rule,outcome,most,amount,within,explanation\nsim_swap,,,2000,48h,\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env = append(env, "TUMA_BRAKES="+file)
	says("sim_swap refuse - Ksh2,000.00 48h0m0s none")
	if err := os.WriteFile(file, []byte("rule,outcome,most,amount,within,explanation\nsimswap,,,2000,48h,\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := execute(t, "", env, "brakes"); r.status != 1 || !strings.Contains(r.errors, "there is no rule") {
		t.Errorf("a rule that there is not: status %d %s", r.status, r.errors)
	}
}
