package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Time moves forward for everything: limits of the day, approvals, Redis, receipts,
// and the data after a restart.
func TestDevClock(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	if r := execute(t, "", nil, "dev", "--data", dir, "--listen", "127.0.0.1:0", "--clock", "--redis", "server"); r.status != 1 || !strings.Contains(r.errors, "--clock") {
		t.Errorf("with a Redis of its own clock: status %d, %s", r.status, r.errors)
	}
	tiers := brokenTariff(t, "tiers.csv", "2,Full,250000,500000,", "2,Full,300,300,")
	p := startDev(t, dir, "--clock", "--look-ups-per-day", "2", "--tariff", tiers)
	move := func(order string) (int, time.Time) {
		t.Helper()
		resp, err := impatient.Post(p.url+"/simulator/clock", "application/json", strings.NewReader(order))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		var said struct{ Now time.Time }
		json.Unmarshal(b, &said) // a refusal is no JSON
		return resp.StatusCode, said.Now
	}
	asks := func(session string) string {
		t.Helper()
		_, body, err := postForm(p.url+"/ussd/africastalking", ussdForm(session, "+254712000001", "1*0712000002*100"))
		if err != nil {
			t.Fatal(err)
		}
		s, err := look(body)
		if err != nil {
			t.Fatal(err)
		}
		return s.Screen
	}
	const asha, juma = "+254712000001", "+254722000001"
	approvals := func() bool {
		return strings.Contains(press(t, p.url, asha, "dial", "code", "*334#").Screen, "\n9 Approvals (1)\n")
	}
	spends := func(session string) string {
		t.Helper()
		_, body, err := postForm(p.url+"/ussd/africastalking", ussdForm(session, asha, "1*0712000002*150"))
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	press(t, p.url, juma, "dial", "code", "*334*8*0712000001*100#")
	press(t, p.url, juma, "type", "input", demoPIN)
	if !approvals() {
		t.Error("what the till asks for does not wait")
	}
	p.pay("d1", asha, "1*0712000002*200")
	if got := spends("d2"); !strings.Contains(got, "Over the day's limit") {
		t.Errorf("200 and 150 on one day, of 300: %s", got)
	}
	first := asks("c1")
	if again := asks("c2"); again == first {
		t.Errorf("a second name on one day: %s", again)
	}
	status, now := move(`{"forward":"48h"}`)
	if d := time.Until(now); status != http.StatusOK || d < 47*time.Hour || d > 49*time.Hour {
		t.Errorf("forward by 48h: status %d, %v", status, now)
	}
	if later := asks("c3"); later != first {
		t.Errorf("two days later: %s, want %s", later, first)
	}
	if approvals() {
		t.Error("two days later the till's request still waits")
	}
	if got := spends("d3"); !strings.Contains(got, "Enter PIN") {
		t.Errorf("two days later, 150 of 300: %s", got)
	}
	for _, order := range []string{`{"forward":"-1h"}`, `{"forward":"0s"}`, `{"forward":"100000h"}`, `{}`, `x`} {
		if status, _ := move(order); status != http.StatusBadRequest {
			t.Errorf("%s: status %d", order, status)
		}
	}
	p.end(syscall.SIGTERM)

	// Without --clock it cannot be moved, but it has not gone back, either.
	p = startDev(t, dir, "--tariff", tiers)
	if status, _ := move(`{"forward":"1h"}`); status == http.StatusOK {
		t.Error("the clock moves without --clock")
	}
	p.pay("c4", "+254712000001", "1*0712000002*100")
	country := time.FixedZone("Nairobi", 3*60*60)
	eventually(t, 20*time.Second, "the payee's SMS, of the day after tomorrow", func() bool {
		resp, err := impatient.Get(p.url + "/simulator/phones/+254712000002/sms")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return err == nil && strings.Contains(string(b), time.Now().Add(48*time.Hour).In(country).Format("2/1/06"))
	})
}
