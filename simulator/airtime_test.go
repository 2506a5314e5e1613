package simulator

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
)

func (w *world) topUp(t *testing.T, body, token string) (int, string) {
	t.Helper()
	status, _, answer := w.do(t, "POST", "/simulator/airtime/topup", body, "Authorization", token)
	return status, answer
}

func TestAirtime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const bearer, body = "Bearer " + appAirtime, `{"reference":"r1","msisdn":"+254712000001","amount":"1050.5","currency":"KES"}`
	answers := make([]string, 8)
	var all sync.WaitGroup
	for i := range answers { // the same reference at once is one top-up
		all.Go(func() { _, answers[i] = w.topUp(t, body, bearer) })
	}
	all.Wait()
	var done topUpDone
	if err := json.Unmarshal([]byte(answers[0]), &done); err != nil || done.Status != "done" || !strings.HasPrefix(done.ID, "AT") {
		t.Fatalf("%v: %s", err, answers[0])
	}
	for _, a := range answers {
		if a != answers[0] {
			t.Errorf("another answer to the same reference: %s", a)
		}
	}
	inbox, _ := w.network.Inbox(asha)
	if len(inbox) != 1 || !strings.HasPrefix(inbox[0].Body, "You have received Ksh1,050.50 airtime.") || inbox[0].From != "Airtime" {
		t.Errorf("inbox: %+v", inbox)
	}
	if status, _ := w.topUp(t, strings.Replace(body, "1050.5", "1050.50", 1), bearer); status != 200 {
		t.Errorf("the same amount spelled otherwise: %d", status)
	}
	if status, _ := w.topUp(t, strings.Replace(body, "1050.5", "1050.51", 1), bearer); status != 409 {
		t.Errorf("a reference used for something else: %d", status)
	}

	with := func(old, new string) string {
		return strings.Replace(strings.Replace(body, `"r1"`, `"r2"`, 1), old, new, 1)
	}
	for _, test := range []struct {
		body, token string
		status      int
	}{
		{body, "", 401},
		{body, "Bearer x", 401},
		{body, appAirtime, 401},
		{``, bearer, 400},
		{`{}`, bearer, 400},
		{`[1]`, bearer, 400},
		{with(`"r2"`, `""`), bearer, 400},
		{with(`"r2"`, `"`+strings.Repeat("r", 65)+`"`), bearer, 400},
		{with(`"r2"`, `"a\u0000"`), bearer, 400},
		{with(`"r2"`, `1`), bearer, 400},
		{with("+254712000001", "0712000001"), bearer, 400},
		{with("+254712000001", ""), bearer, 400},
		{with(`"1050.5"`, `1050.5`), bearer, 400},
		{with("1050.5", "0"), bearer, 400},
		{with("1050.5", "0.00"), bearer, 400},
		{with("1050.5", "-5"), bearer, 400},
		{with("1050.5", "1."), bearer, 400},
		{with("1050.5", ".5"), bearer, 400},
		{with("1050.5", "1.005"), bearer, 400},
		{with("1050.5", "1e3"), bearer, 400},
		{with("1050.5", "１０"), bearer, 400},
		{with("1050.5", "1234567890"), bearer, 400},
		{with("KES", "kes"), bearer, 400},
		{with("KES", "KESH"), bearer, 400},
		{with("+254712000001", "+254712009999"), bearer, 422},
		{with(`"r2"`, `"`+strings.Repeat("r", maxBody)+`"`), bearer, 413},
	} {
		status, answer := w.topUp(t, test.body, test.token)
		var said problem
		if err := json.Unmarshal([]byte(answer), &said); status != test.status || err != nil || said.Error == "" {
			t.Errorf("%.120s with %q: %d %s, want %d", test.body, test.token, status, answer, test.status)
		}
	}
	if inbox, _ := w.network.Inbox(asha); len(inbox) != 1 {
		t.Errorf("refused top-ups were told: %v", inbox)
	}
}

func TestAmountText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"50": "50.00", "50.5": "50.50", "0.05": "0.05", "1000": "1,000.00", "123456789.12": "123,456,789.12", "007": "7.00", "999": "999.00"} {
		if got, ok := amountText(in); !ok || got != want {
			t.Errorf("%s: %s %v, want %s", in, got, ok, want)
		}
	}
}
