package main

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"tuma/simulator"
	"tuma/simulator/people"
)

// townNetwork is a network whose application confirms whatever is dialled with
// the receipt of the test.
func townNetwork(t *testing.T, change func(*simulator.Config)) (*simulator.Network, string) {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "END UKM4Q7X2PA Confirmed. Ksh500.00 sent to BARAKA OTIENO 0712000002.")
	}))
	t.Cleanup(app.Close)
	c := simulator.Config{
		USSDURL: app.URL, ServiceCode: "*334#", TwilioSID: devTwilioSID, TwilioToken: "t", AirtimeToken: "a", Now: time.Now, Rand: rand.Reader,
	}
	change(&c)
	n, err := simulator.NewNetwork(c)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(n)
	t.Cleanup(server.Close)
	t.Cleanup(n.Close)
	return n, server.URL
}

type townHeard struct {
	Moves   []simulator.Move
	Figures []simulator.Figure
	Tiles   []struct{ MSISDN string }
}

// hearTown follows the town's news; the channel ends with the test.
func hearTown(t *testing.T, base string) <-chan townHeard {
	t.Helper()
	resp, err := http.Get(base + "/simulator/town/events")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	heard := make(chan townHeard, 1000)
	go func() {
		defer close(heard)
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var h townHeard
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok && json.Unmarshal([]byte(data), &h) == nil {
				heard <- h
			}
		}
	}()
	<-heard // everything that was before
	return heard
}

func nextMove(t *testing.T, heard <-chan townHeard) simulator.Move {
	t.Helper()
	for end := time.After(20 * time.Second); ; {
		select {
		case h, ok := <-heard:
			if !ok {
				t.Fatal("the stream has ended")
			}
			if len(h.Moves) > 0 {
				return h.Moves[0]
			}
		case <-end:
			t.Fatal("no money moved")
		}
	}
}

// TestNoticesBecomeMoves: in tuma dev the town knows of a payment by its two SMS,
// and who paid by the screen that has the receipt.
func TestNoticesBecomeMoves(t *testing.T) {
	t.Parallel()
	const asha, baraka = "+254712000001", "+254712000002"
	told := &notices{first: map[string]simulator.SMS{}}
	network, base := townNetwork(t, func(c *simulator.Config) { c.Received = told.received })
	told.network = network
	heard := hearTown(t, base)
	phone, err := network.Phone(asha)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := phone.Dial(t.Context(), "*334#"); err != nil {
		t.Fatal(err)
	}
	for _, m := range []simulator.SMS{
		{To: baraka, Body: "Your code is 123456."},
		{To: baraka, Body: "UKM4Q7X2PA Confirmed. You have received Ksh500.00 from ASHA JUMA 0712000001."},
		{To: asha, Body: "UKM4Q7X2PA Confirmed. Ksh500.00 sent to BARAKA OTIENO 0712000002."},
	} {
		if err := network.Deliver(m); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := nextMove(t, heard), (simulator.Move{From: asha, To: baraka, Amount: "Ksh500.00", Outcome: "paid"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

var townToken = regexp.MustCompile(`data-token="([0-9a-f]+)"`)

// TestTownOfASimulation: a till stands where its operator does, and each fault of
// the list is done when its button is pressed, until the traffic has ended.
func TestTownOfASimulation(t *testing.T) {
	t.Parallel()
	network, base := townNetwork(t, func(*simulator.Config) {})
	s := &simulation{simulateCommand: &simulateCommand{}, network: network, hand: make(chan fault, 1)}
	if err := s.openTown(); err != nil {
		t.Fatal(err)
	}
	heard := hearTown(t, base)
	watch := moves(network.Town(), []people.Till{{Number: "200001", Operator: "+254720000000"}})
	watch(people.Event{Kind: "withdraw", From: "+254710000001", To: "200001", Amount: 500_00, Outcome: people.OK})
	if got, want := nextMove(t, heard), (simulator.Move{From: "+254710000001", To: "+254720000000", Amount: "Ksh500.00", Outcome: "paid"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}

	resp, err := http.Get(base + "/simulator/town")
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	token := townToken.FindSubmatch(page)
	if token == nil {
		t.Fatalf("no token on %s", page)
	}
	press := func(name string) int {
		t.Helper()
		req, err := http.NewRequest("POST", base+"/simulator/town/faults", strings.NewReader(`{"name":"`+name+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Town-Token", string(token[1]))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	kinds, err := faultKinds([]string{"all"}, (&simulateCommand{}).cannot())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range kinds {
		if status := press(f.name); status != http.StatusNoContent {
			t.Fatalf("%s: %d", f.name, status)
		}
		if got := <-s.hand; got.name != f.name {
			t.Errorf("%s was done for %s", got.name, f.name)
		}
	}
	press("kill-app")
	if status := press("kill-app"); status != http.StatusConflict {
		t.Errorf("one more than can wait: %d", status)
	}
	for _, name := range []string{"all", "help", "", fullDisk, upgradeFault} {
		if status := press(name); status != http.StatusNotFound {
			t.Errorf("%q: %d", name, status)
		}
	}
	<-s.hand
	s.harmless.Store(true)
	if status := press("kill-app"); status != http.StatusConflict {
		t.Errorf("after the end: %d", status)
	}
}
