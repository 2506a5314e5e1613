package simulator

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// application is a small application behind the gateway, played over HTTP: it knows nothing of the simulator.
type application struct {
	*httptest.Server
	smsURL string // Twilio's REST address, to tell the payee; empty: nobody is told

	mu     sync.Mutex
	steps  []url.Values
	events []url.Values
	answer func(text string) (status int, body string) // nil: the menu below
}

const (
	appSID, appToken, appAirtime = "AC00000000000000000000000000000001", "secret", "airtime-secret"
	appPush                      = "push-secret"
	asha, baraka                 = "+254712000001", "+254712000002"
)

func newApplication(t testing.TB) *application {
	a := &application{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /ussd", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			http.Error(w, "bad form", http.StatusBadRequest)
			return
		}
		a.mu.Lock()
		a.steps = append(a.steps, r.PostForm)
		answer := a.answer
		a.mu.Unlock()
		if answer == nil {
			answer = a.menu
		}
		status, body := answer(r.PostForm.Get("text"))
		w.Header().Set("Content-Type", "text/plain")
		if status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
	mux.HandleFunc("POST /events", func(w http.ResponseWriter, r *http.Request) {
		if r.ParseForm() == nil {
			a.mu.Lock()
			a.events = append(a.events, r.PostForm)
			a.mu.Unlock()
		}
	})
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)
	return a
}

// menu is send money: 1, number, amount, PIN.
func (a *application) menu(text string) (int, string) {
	in := strings.Split(text, "*")
	switch {
	case text == "":
		return 200, "CON Karibu Pesa\n1 Send money\n2 Withdraw cash\n3 Airtime\n4 Balance\n5 My account\n98 Swahili"
	case text == "5":
		return 200, "CON My account\n1 Change PIN\n2 Language\n3 My limits\n4 Mini statement\n5 My number\n6 Close wallet\n7 Next of kin\n8 Terms\n98 More\n0 Back"
	case in[0] != "1":
		return 200, "END Thank you."
	case len(in) == 1:
		return 200, "CON Send to (phone number)\n0 Back"
	case len(in) == 2:
		return 200, "CON Amount in Ksh\n0 Back"
	case len(in) == 3:
		return 200, "CON Send Ksh" + in[2] + ".00 to BARAKA OTIENO " + in[1] + "? Fee Ksh7.00\nEnter PIN"
	}
	if a.smsURL != "" {
		a.tell(baraka, "UKM4Q7X2PA Confirmed. You have received Ksh"+in[2]+".00 from ASHA JUMA 0712000001 on 22/11/26 at 9:15 AM. New balance is Ksh750.00.")
		a.tell(asha, "UKM4Q7X2PA Confirmed. Ksh"+in[2]+".00 sent to BARAKA OTIENO 0712000002 on 22/11/26 at 9:15 AM. New balance is Ksh493.00. Fee Ksh7.00.")
	}
	return 200, "END Sent. You will get an SMS."
}

func (a *application) tell(to, body string) {
	form := url.Values{"To": {to}, "From": {"PESA"}, "Body": {body}}
	req, _ := http.NewRequest(http.MethodPost, a.smsURL, strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(appSID, appToken)
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
	}
}

// heard returns what the gateway has sent so far.
func (a *application) heard() (steps, events []url.Values) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]url.Values(nil), a.steps...), append([]url.Values(nil), a.events...)
}

func (a *application) answers(f func(text string) (int, string)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = f
}

// counting is a source of "randomness" that never repeats within a test.
type counting struct{ n uint64 }

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		c.n++
		p[i] = byte(c.n >> (8 * (uint(i) % 4)))
	}
	return len(p), nil
}

// testClock moves only when told to.
type testClock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *testClock { return &testClock{at: time.Date(2026, 11, 22, 9, 15, 0, 0, time.UTC)} }

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *testClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// world is a network and its application, each on its own address.
type world struct {
	app     *application
	network *Network
	server  *httptest.Server
	clock   *testClock
}

func newWorld(t testing.TB, change ...func(*Config)) *world {
	t.Helper()
	w := &world{app: newApplication(t), clock: newClock()}
	config := Config{
		USSDURL: w.app.URL + "/ussd", EventsURL: w.app.URL + "/events", ServiceCode: "*334#",
		TwilioSID: appSID, TwilioToken: appToken, AirtimeToken: appAirtime, PushToken: appPush, CurrencySymbol: "Ksh",
		Now: w.clock.Now, Rand: &counting{},
		People: []Person{
			{Name: "Asha Juma", MSISDN: asha, Note: "Customer, Ksh1,000.00", PIN: "4826"},
			{Name: "Baraka Otieno", MSISDN: baraka, Note: "Customer, Ksh250.00", PIN: "4826"},
			{Name: "Wambui's shop", MSISDN: "254722000001", Note: "Agent, till 100001", PIN: "4826"},
			{Name: "Chausiku", MSISDN: "254712000003", Note: "Customer, empty wallet", PIN: "4826"},
		},
	}
	for _, f := range change {
		f(&config)
	}
	network, err := NewNetwork(config)
	if err != nil {
		t.Fatal(err)
	}
	w.network, w.server = network, httptest.NewServer(network)
	w.app.mu.Lock()
	w.app.smsURL = w.server.URL + "/2010-04-01/Accounts/" + appSID + "/Messages.json"
	w.app.mu.Unlock()
	t.Cleanup(w.server.Close)
	t.Cleanup(network.Close)
	return w
}

// do sends one request to the network's server and returns status, headers and body.
func (w *world) do(t testing.TB, method, path, body string, headers ...string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequest(method, w.server.URL+path, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(got)
}

// eventually polls until ok says so, for at most ten seconds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("still not after ten seconds: %s", what)
}
