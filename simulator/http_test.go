package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func state(t *testing.T, body string) State {
	t.Helper()
	var st State
	if err := json.Unmarshal([]byte(body), &st); err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	return st
}

func TestHTTPSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	press := func(action, body string) State {
		t.Helper()
		status, header, answer := w.do(t, "POST", "/simulator/phones/254712000001/"+action, body)
		if status != 200 || header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s: %d %s", action, status, answer)
		}
		return state(t, answer)
	}
	if st := press("dial", `{"code":"*334#"}`); !st.Open || st.MSISDN != asha || !strings.HasPrefix(st.Screen, "Karibu") || len(st.Raw) != 1 {
		t.Errorf("dial: %+v", st)
	}
	if st := press("type", `{"input":"1"}`); st.Screen != "Send to (phone number)\n0 Back" {
		t.Errorf("type: %+v", st)
	}
	if st := press("retry", ""); st.Screen != "Send to (phone number)\n0 Back" || !st.Open {
		t.Errorf("retry: %+v", st)
	}
	if st := press("delay", `{"before_ms":1,"after_ms":2}`); st.BeforeMS != 1 || st.AfterMS != 2 {
		t.Errorf("delay: %+v", st)
	}
	if st := press("drop", ""); st.Open {
		t.Errorf("drop: %+v", st)
	}
	w.app.answers(func(string) (int, string) { return 503, "" })
	if st := press("dial", `{"code":"*334#"}`); st.Open || st.Error != "network error: the application answered 503" {
		t.Errorf("a dial that fails: %+v", st)
	}
	if st := press("dial", `{"code":"*999#"}`); st.Open || !strings.Contains(st.Error, "no service answers *999#") {
		t.Errorf("another service's code: %+v", st)
	}
	_, _, answer := w.do(t, "GET", "/simulator/phones/+254712000001", "")
	if st := state(t, answer); st.Error == "" || len(st.Raw) == 0 {
		t.Errorf("state: %+v", st)
	}
}

// Bad input: a clear 4xx with a JSON error, never a 500, and nothing of it reaches the application.
func TestHTTPBadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const p = "/simulator/phones/254712000001"
	huge := `{"code":"` + strings.Repeat("1", maxBody) + `"}`
	tests := []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/simulator/phones/abc/dial", `{"code":"*334#"}`, 400},
		{"POST", "/simulator/phones/0712000001/dial", `{"code":"*334#"}`, 400},
		{"POST", "/simulator/phones/%2B%2B254712000001/dial", `{"code":"*334#"}`, 400},
		{"POST", "/simulator/phones/254712000001%00/dial", `{"code":"*334#"}`, 400},
		{"POST", "/simulator/phones/%EF%BC%92%EF%BC%95%EF%BC%94712000001/dial", `{"code":"*334#"}`, 400},
		{"POST", "/simulator/phones/" + strings.Repeat("1", 5000) + "/dial", `{"code":"*334#"}`, 400},
		{"POST", p + "/dial", ``, 400},
		{"POST", p + "/dial", `null`, 400},
		{"POST", p + "/dial", `[]`, 400},
		{"POST", p + "/dial", `{}`, 400},
		{"POST", p + "/dial", `{"code":`, 400},
		{"POST", p + "/dial", `{"code":334}`, 400},
		{"POST", p + "/dial", `{"code":null}`, 400},
		{"POST", p + "/dial", `{"code":["*334#"]}`, 400},
		{"POST", p + "/dial", `{"code":""}`, 400},
		{"POST", p + "/dial", `{"code":"*334#"}{}`, 400},
		{"POST", p + "/dial", `{"code":"*334*\u0000#"}`, 400},
		{"POST", p + "/dial", `{"code":"*３３４#"}`, 400},
		{"POST", p + "/dial", huge, 413},
		{"POST", p + "/type", `{"input":"1"}`, 409},
		{"POST", p + "/type", `{"input":1}`, 400},
		{"POST", p + "/type", `{}`, 400},
		{"POST", p + "/drop", ``, 409},
		{"POST", p + "/retry", ``, 409},
		{"POST", p + "/delay", `{"before_ms":-1}`, 400},
		{"POST", p + "/delay", `{"before_ms":60001}`, 400},
		{"POST", p + "/delay", `{"after_ms":1e30}`, 400},
		{"POST", p + "/delay", `{"after_ms":"1"}`, 400},
		{"POST", p + "/delay", `{"after_ms":1.5}`, 400},
		{"POST", p + "/explode", `{}`, 404},
		{"GET", p + "/dial", ``, 405},
		{"PUT", p + "/sms", `{}`, 405},
		{"GET", "/simulator/phones/x/sms", ``, 400},
		{"DELETE", "/simulator/phones/x/sms", ``, 400},
		{"GET", "/simulator/phones/x/events", ``, 400},
		{"GET", "/simulator/events", ``, 400},
		{"GET", "/simulator/events?phone=x", ``, 400},
		{"GET", "/simulator/events?" + strings.Repeat("phone=254712000001&", maxWatched+1), ``, 400},
		{"GET", "/simulator/nothing", ``, 404},
		{"GET", "/simulator/static/", ``, 404},
		{"GET", "/simulator/static/index.html", ``, 404},
		{"GET", "/simulator/static/..%2f..%2fphone.go", ``, 404},
		{"GET", "/2010-04-01/Accounts", ``, 404},
	}
	for _, test := range tests {
		name := fmt.Sprintf("%s %.60s %.40s", test.method, test.path, test.body)
		status, header, answer := w.do(t, test.method, test.path, test.body)
		var said struct{ Error string }
		if err := json.Unmarshal([]byte(answer), &said); status != test.status || err != nil || said.Error == "" || header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %.200q, want %d", name, status, answer, test.status)
		}
	}
	if status, _, _ := w.do(t, "POST", p+"/dial", `{"code":"*334#"}`, "Content-Type", "text/plain"); status != 400 {
		t.Errorf("a body that is not said to be JSON: %d", status)
	}
	if status, _, _ := w.do(t, "POST", p+"/dial", `{"code":"*334#"}`, "Origin", "https://elsewhere.example"); status != 403 {
		t.Errorf("another site's page pressing keys: %d", status)
	}
	if steps, events := w.app.heard(); len(steps)+len(events) != 0 {
		t.Errorf("the application heard of it: %v %v", steps, events)
	}
}

func TestHTTPInbox(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, _, body := w.do(t, "GET", "/simulator/phones/"+asha+"/sms", ""); body != "[]\n" {
		t.Errorf("an empty inbox is %q", body)
	}
	long := strings.Repeat("x", 161)
	for i, body := range []string{"first", long, "with {} €", "ほん"} {
		if err := w.network.Deliver(SMS{ID: fmt.Sprint(i), From: "PESA", To: asha, Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	_, _, body := w.do(t, "GET", "/simulator/phones/254712000001/sms", "")
	want := `[{"id":"0","from":"PESA","to":"+254712000001","body":"first","at":"2026-11-22T09:15:00Z","segments":1},` +
		`{"id":"1","from":"PESA","to":"+254712000001","body":"` + long + `","at":"2026-11-22T09:15:00Z","segments":2},` +
		`{"id":"2","from":"PESA","to":"+254712000001","body":"with {} €","at":"2026-11-22T09:15:00Z","segments":1},` +
		`{"id":"3","from":"PESA","to":"+254712000001","body":"ほん","at":"2026-11-22T09:15:00Z","segments":1}]` + "\n"
	if d := cmp.Diff(want, body); d != "" {
		t.Errorf("inbox (-want +got):\n%s", d)
	}
	inbox, err := FetchInbox(t.Context(), nil, w.server.URL+"/", "254712000001")
	if err != nil || len(inbox) != 4 || inbox[3].Body != "ほん" {
		t.Errorf("FetchInbox: %v %v", inbox, err)
	}
	if status, _, _ := w.do(t, "DELETE", "/simulator/phones/"+asha+"/sms", ""); status != http.StatusNoContent {
		t.Errorf("DELETE: %d", status)
	}
	if _, _, body := w.do(t, "GET", "/simulator/phones/"+asha+"/sms", ""); body != "[]\n" {
		t.Errorf("after DELETE the inbox is %q", body)
	}
}

func TestHTTPPhones(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do(t, "POST", "/simulator/phones/254733000009/dial", `{"code":"*334#"}`)
	if err := w.network.Deliver(SMS{ID: "1", From: "PESA", To: baraka, Body: "x"}); err != nil {
		t.Fatal(err)
	}
	_, _, body := w.do(t, "GET", "/simulator/phones", "")
	var list []struct {
		Name, MSISDN, Note, PIN string
		SMS                     int
		Open                    bool
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list) != 5 {
		t.Fatalf("%v: %s", err, body)
	}
	if l := list[1]; l.MSISDN != baraka || l.SMS != 1 || l.Open || l.Name != "Baraka Otieno" || l.PIN != "4826" {
		t.Errorf("baraka: %+v", l)
	}
	if l := list[4]; l.MSISDN != "+254733000009" || !l.Open || l.Name != "" {
		t.Errorf("the stranger: %+v", l)
	}
}

func TestInboxIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range maxInbox + 7 {
		if err := w.network.Deliver(SMS{ID: fmt.Sprint(i), To: asha, Body: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	inbox, err := w.network.Inbox(asha)
	if err != nil || len(inbox) != maxInbox || inbox[0].ID != "7" {
		t.Errorf("%d messages from %s on, %v", len(inbox), inbox[0].ID, err)
	}
	if want := maxInbox * (1 + smsOverhead); w.network.size != want {
		t.Errorf("size %d, want %d", w.network.size, want)
	}
}

func TestPhonesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range maxPhones + 10 {
		if err := w.network.Deliver(SMS{ID: "x", To: fmt.Sprintf("+2547%08d", i), Body: "x"}); err != nil {
			t.Fatal(err)
		}
		if i == maxPhones/2 {
			if err := w.network.Deliver(SMS{ID: "y", To: "+254700000000", Body: "used again"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := len(w.network.handsets); n != maxPhones || w.network.recent.Len() != n {
		t.Errorf("%d phones kept", n)
	}
	if inbox, _ := w.network.Inbox("+254700000000"); len(inbox) != 2 {
		t.Errorf("a phone in use was forgotten: %v", inbox)
	}
	if inbox, _ := w.network.Inbox("+254700000001"); len(inbox) != 0 {
		t.Error("the least recently used phone was not forgotten")
	}
	if _, _, body := w.do(t, "GET", "/simulator/phones", ""); strings.Count(body, "msisdn") != maxListed {
		t.Errorf("%d phones listed", strings.Count(body, "msisdn"))
	}
}

func TestPageIsServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	status, header, body := w.do(t, "GET", "/simulator/", "")
	if status != 200 || !strings.Contains(body, `data-code="*334#"`) || !strings.Contains(body, `data-patience="15000"`) {
		t.Errorf("%d %.300s", status, body)
	}
	if !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("policy: %q", header.Get("Content-Security-Policy"))
	}
	for _, bad := range []string{"<style", " style=", "onclick", "http://", "https://"} {
		if strings.Contains(body, bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
	files, err := pageFiles.ReadDir("page")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".html") {
			continue
		}
		if status, header, _ := w.do(t, "GET", "/simulator/static/"+f.Name(), ""); status != 200 || header.Get("Content-Type") == "" {
			t.Errorf("%s: %d", f.Name(), status)
		}
	}
}

func TestNewNetworkChecksItsConfiguration(t *testing.T) {
	t.Parallel()
	good := newWorld(t).network.config
	for name, change := range map[string]func(*Config){
		"address": func(c *Config) { c.USSDURL = "" }, "sid": func(c *Config) { c.TwilioSID = "" }, "token": func(c *Config) { c.TwilioToken = "" },
		"airtime": func(c *Config) { c.AirtimeToken = "" }, "person": func(c *Config) { c.People = []Person{{MSISDN: "1"}} }, "clock": func(c *Config) { c.Now = nil },
	} {
		c := good
		change(&c)
		if _, err := NewNetwork(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
