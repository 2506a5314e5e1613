package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"tuma/simulator"
)

// press does something on a simulated phone, over HTTP, and gives what it shows then.
func press(t testing.TB, base, number, what, field, value string) simulator.State {
	t.Helper()
	body, err := json.Marshal(map[string]string{field: value})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := impatient.Post(base+"/simulator/phones/"+number+"/"+what, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return stateIn(t, resp)
}

// shows is what is on a simulated phone's screen.
func shows(t testing.TB, base, number string) simulator.State {
	t.Helper()
	resp, err := impatient.Get(base + "/simulator/phones/" + number)
	if err != nil {
		t.Fatal(err)
	}
	return stateIn(t, resp)
}

func stateIn(t testing.TB, resp *http.Response) (s simulator.State) {
	t.Helper()
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %v", resp.StatusCode, err)
	}
	return s
}

// cashOut plays both phones of a withdrawal that the till asks for, on the
// simulated network of a running service.
func cashOut(t testing.TB, base string) {
	t.Helper()
	const asha, juma = "+254712000001", "+254722000001"
	ask := func(amount string) {
		t.Helper()
		press(t, base, juma, "dial", "code", "*334*8*0712000001*"+amount+"#")
		if s := press(t, base, juma, "type", "input", demoPIN); s.Open || !strings.HasPrefix(s.Screen, "Asked. ASHA JUMA") {
			t.Fatalf("asked: %q", s.Screen)
		}
	}
	shows(t, base, asha) // switches the phone on
	ask("200")
	if s := shows(t, base, asha); !s.Open || !strings.HasPrefix(s.Screen, "100001 MAMA PIMA SHOP asks: withdraw Ksh200.00. Fee Ksh29.00.") {
		t.Fatalf("pushed: %+v", s)
	}
	press(t, base, asha, "type", "input", "1")
	if s := press(t, base, asha, "type", "input", demoPIN); s.Open || !strings.Contains(s.Screen, "Confirmed. MAMA PIMA SHOP pays you Ksh200.00") {
		t.Fatalf("approved: %q %s", s.Screen, s.Error)
	}
	// In the middle of something else, the next one waits in the menu.
	if s := press(t, base, asha, "dial", "code", "*334*1#"); !strings.HasPrefix(s.Screen, "Send to") {
		t.Fatalf("dialled: %q", s.Screen)
	}
	ask("100")
	if s := press(t, base, asha, "type", "input", "00"); !strings.Contains(s.Screen, "\n9 Approvals (1)\n") {
		t.Fatalf("the menu: %q", s.Screen)
	}
	press(t, base, asha, "type", "input", "9")
	press(t, base, asha, "type", "input", "1")
	if s := press(t, base, asha, "type", "input", "2"); s.Open || !strings.HasPrefix(s.Screen, "Declined.") {
		t.Fatalf("declined: %q", s.Screen)
	}
}

// A cash-out with two phones of the simulated network, over its own wires both
// ways.
func TestCashOutOverTheNetwork(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	cashOut(t, b.url)
	b.settled()
	if n := b.count(`select count(*) from entry where kind = 'withdraw'`); n != 1 {
		t.Errorf("%d withdrawals", n)
	}
	if n := b.count(`select count(*) from approval where (state, pushed) in (('approved', true), ('declined', false))`); n != 2 {
		t.Errorf("%d approvals are as they should be", n)
	}
	inbox, err := b.network.Inbox("+254712000001")
	b.must(err)
	waiting := 0
	for _, m := range inbox {
		if strings.Contains(m.Body, "asks you to confirm Ksh100.00") {
			waiting++
		}
	}
	if waiting != 1 {
		t.Errorf("told %d times of what waits: %+v", waiting, inbox)
	}
	eventually(t, 10*time.Second, "the operator's SMS", func() bool {
		inbox, err := b.network.Inbox("+254722000001")
		return err == nil && len(inbox) > 0 && strings.Contains(inbox[len(inbox)-1].Body, "pay Ksh200.00 cash to ASHA JUMA")
	})
}
