package simulator

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func newTestPhone(t *testing.T, change ...func(*Line)) (*Phone, *application, *testClock) {
	t.Helper()
	app, clock := newApplication(t), newClock()
	line := Line{USSDURL: app.URL + "/ussd", EventsURL: app.URL + "/events", ServiceCode: "*334#", Now: clock.Now, Rand: &counting{}}
	for _, f := range change {
		f(&line)
	}
	p, err := NewPhone(line, "254712000001")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Wait)
	return p, app, clock
}

func must(t *testing.T) func(State, error) State {
	return func(st State, err error) State {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
}

func TestPhoneWalksASession(t *testing.T) {
	t.Parallel()
	p, app, clock := newTestPhone(t)
	st := must(t)(p.Dial(t.Context(), "*334#"))
	if !st.Open || !strings.HasPrefix(st.Screen, "Karibu Pesa\n1 Send") || !strings.HasPrefix(st.Session, "ATUid_") {
		t.Fatalf("after dialling: %+v", st)
	}
	must(t)(p.Type(t.Context(), "1"))
	must(t)(p.Type(t.Context(), "0712000002"))
	clock.pass(2500 * time.Millisecond)
	must(t)(p.Type(t.Context(), "500"))
	end := must(t)(p.Type(t.Context(), "4826"))
	if end.Open || end.Screen != "Sent. You will get an SMS." || end.Session != st.Session {
		t.Errorf("at the end: %+v", end)
	}
	p.Wait()

	steps, events := app.heard()
	form := func(text string) url.Values {
		return url.Values{"sessionId": {st.Session}, "phoneNumber": {asha}, "networkCode": {"63902"}, "serviceCode": {"*334#"}, "text": {text}}
	}
	want := []url.Values{form(""), form("1"), form("1*0712000002"), form("1*0712000002*500"), form("1*0712000002*500*4826")}
	if d := cmp.Diff(want, steps); d != "" {
		t.Errorf("requests (-want +got):\n%s", d)
	}
	wantEvents := []url.Values{{
		"date": {"2026-11-22 09:15:02"}, "sessionId": {st.Session}, "serviceCode": {"*334#"}, "networkCode": {"63902"}, "phoneNumber": {asha},
		"status": {"Success"}, "cost": {"0.0000"}, "durationInMillis": {"2500"}, "hopsCount": {"5"},
		"input": {"1*0712000002*500*4826"}, "lastAppResponse": {"END Sent. You will get an SMS."}, "errorMessage": {""},
	}}
	if d := cmp.Diff(wantEvents, events); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
	raw := p.State().Raw
	if len(raw) != 6 || raw[0].Kind != "ussd" || raw[5].Kind != "event" || raw[0].Status != 200 || raw[4].Body != "END Sent. You will get an SMS." ||
		raw[4].Form.Get("text") != "1*0712000002*500*4826" || raw[4].Septets != 26 || raw[0].Pending {
		t.Errorf("raw exchanges: %+v", raw)
	}
	if d := cmp.Diff([]Field{{"Content-Type", "text/plain"}, {"Content-Length", "88"}}, raw[0].Headers); d != "" {
		t.Errorf("headers (-want +got):\n%s", d)
	}
}

func TestPhoneDialStrings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		code, text string
		err        error
	}{
		{"*334#", "", nil},
		{" *334# ", "", nil},
		{"*334*1*0712345678*500#", "1*0712345678*500", nil},
		{"*334**5#", "*5", nil},
		{"*3345#", "", ErrNetwork},
		{"*100#", "", ErrNetwork},
		{"334", "", ErrInput},
		{"*334", "", ErrInput},
		{"", "", ErrInput},
		{"*334*1#5#", "", ErrInput},
		{"*334*abc#", "", ErrInput},
		{"*334*\x00#", "", ErrInput},
		{"*３３４#", "", ErrInput}, // full-width digits
		{"*334*" + strings.Repeat("1", 200) + "#", "", ErrInput},
	}
	for _, test := range tests {
		p, app, _ := newTestPhone(t)
		st, err := p.Dial(t.Context(), test.code)
		if !errors.Is(err, test.err) {
			t.Errorf("dialling %q: %v, want %v", test.code, err, test.err)
		}
		steps, _ := app.heard()
		switch {
		case test.err == nil && (len(steps) != 1 || steps[0].Get("text") != test.text || steps[0].Get("serviceCode") != "*334#"):
			t.Errorf("dialling %q sent %v", test.code, steps)
		case test.err != nil && len(steps) != 0:
			t.Errorf("dialling %q sent %v", test.code, steps)
		case errors.Is(test.err, ErrNetwork) && (st.Open || st.Error == ""):
			t.Errorf("dialling %q shows %+v", test.code, st)
		}
	}
}

func TestPhoneRefusesWhatNoPhoneCanSend(t *testing.T) {
	t.Parallel()
	p, app, _ := newTestPhone(t)
	if _, err := p.Type(t.Context(), "1"); !errors.Is(err, ErrNoSession) {
		t.Errorf("typing without a session: %v", err)
	}
	if _, err := p.Retry(t.Context()); !errors.Is(err, ErrNoSession) {
		t.Errorf("retrying without a request: %v", err)
	}
	if _, err := p.Drop(t.Context()); !errors.Is(err, ErrNoSession) {
		t.Errorf("dropping without a session: %v", err)
	}
	must(t)(p.Dial(t.Context(), "*334#"))
	for _, input := range []string{"", "a\nb", "\x00", "a\x7f", "\u202e1", "\xff", strings.Repeat("1", 183)} {
		if _, err := p.Type(t.Context(), input); !errors.Is(err, ErrInput) {
			t.Errorf("typing %q: %v", input, err)
		}
	}
	if st := must(t)(p.Type(t.Context(), strings.Repeat("é", 182))); st.Open {
		t.Errorf("the longest answer did not get through: %+v", st)
	}
	if steps, _ := app.heard(); len(steps) != 2 {
		t.Errorf("%d requests, want 2", len(steps))
	}
}

func TestPhoneRetrySendsTheSameRequest(t *testing.T) {
	t.Parallel()
	p, app, _ := newTestPhone(t)
	must(t)(p.Dial(t.Context(), "*334*1*0712000002*500*4826#"))
	p.Wait()
	st := must(t)(p.Retry(t.Context()))
	if st.Open || st.Screen != "Sent. You will get an SMS." {
		t.Errorf("the retry shows %+v", st)
	}
	steps, events := app.heard()
	if len(steps) != 2 || len(events) != 1 {
		t.Fatalf("%d requests and %d events, want 2 and 1", len(steps), len(events))
	}
	if d := cmp.Diff(steps[0], steps[1]); d != "" {
		t.Errorf("the retry is another request:\n%s", d)
	}
	if raw := st.Raw; raw[len(raw)-1].Kind != "retry" {
		t.Errorf("the retry is recorded as %q", raw[len(raw)-1].Kind)
	}
}

func TestPhoneDropTellsTheApplication(t *testing.T) {
	t.Parallel()
	p, app, _ := newTestPhone(t)
	first := must(t)(p.Dial(t.Context(), "*334#"))
	st := must(t)(p.Drop(t.Context()))
	if st.Open || st.Screen != "" {
		t.Errorf("after the drop: %+v", st)
	}
	_, events := app.heard()
	if len(events) != 1 || events[0].Get("status") != "Incomplete" || events[0].Get("sessionId") != first.Session {
		t.Fatalf("events: %v", events)
	}
	second := must(t)(p.Dial(t.Context(), "*334#"))
	third := must(t)(p.Dial(t.Context(), "*334#")) // one session per phone: the open one goes
	if first.Session == second.Session || second.Session == third.Session {
		t.Error("a session id came twice")
	}
	p.Wait()
	if _, events := app.heard(); len(events) != 2 || events[1].Get("sessionId") != second.Session {
		t.Errorf("events after dialling over an open session: %v", events)
	}
}

func TestPhoneBadAnswersEndTheSession(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status  int
		body    string
		trouble string
	}{
		"error":      {500, "END oops", "network error: the application answered 500"},
		"redirect":   {302, "CON x", "network error: the application answered 302"},
		"created":    {201, "CON x", "network error: the application answered 201"},
		"no word":    {200, "Welcome", "network error: the answer begins with neither CON nor END"},
		"one word":   {200, "CONTINUE", "network error: the answer begins with neither CON nor END"},
		"lower case": {200, "con x", "network error: the answer begins with neither CON nor END"},
		"empty":      {200, "", "network error: the answer begins with neither CON nor END"},
		"huge":       {200, "CON " + strings.Repeat("x", maxAnswer), "network error: the answer is longer than 65536 bytes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, app, _ := newTestPhone(t)
			app.answers(func(string) (int, string) { return test.status, test.body })
			st, err := p.Dial(t.Context(), "*334#")
			if !errors.Is(err, ErrNetwork) || st.Open || st.Screen != "" || st.Error != test.trouble {
				t.Errorf("%v, open %v, screen %.20q, error %q", err, st.Open, st.Screen, st.Error)
			}
			p.Wait()
			if _, events := app.heard(); len(events) != 1 || events[0].Get("status") != "Failed" || events[0].Get("errorMessage") == "" {
				t.Errorf("events: %v", events)
			}
		})
	}
}

func TestPhoneAnswersAreReadAsTheGatewayReadsThem(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"CON":                "",
		"CON \n1 a":          "\n1 a",
		"CON\n1 a":           "\n1 a",
		"CON a\r\nb\r\n":     "a\nb",
		"END  a":             " a",
		"CON \xff":           "\uFFFD",
		"END Ksh1,000 ok? é": "Ksh1,000 ok? é",
	} {
		p, app, _ := newTestPhone(t)
		app.answers(func(string) (int, string) { return 200, body })
		if st := must(t)(p.Dial(t.Context(), "*334#")); st.Screen != want || st.Open != strings.HasPrefix(body, "CON") {
			t.Errorf("%q shows %q (open %v), want %q", body, st.Screen, st.Open, want)
		}
	}
}

func TestPhoneLosesWhatTheGatewayDoesNotWaitFor(t *testing.T) {
	t.Parallel()
	p, app, _ := newTestPhone(t, func(l *Line) { l.AnswerTimeout = 250 * time.Millisecond })
	must(t)(p.Dial(t.Context(), "*334#"))

	p.SetDelay(Delay{After: time.Minute}) // the application does its part, the phone never learns
	st, err := p.Type(t.Context(), "1")
	if !errors.Is(err, ErrNetwork) || st.Open || st.Error != "network error: no answer within 250ms" {
		t.Errorf("a late answer: %v, %+v", err, st)
	}
	if steps, _ := app.heard(); len(steps) != 2 {
		t.Errorf("%d requests arrived, want 2", len(steps))
	}
	p.SetDelay(Delay{})
	if st := must(t)(p.Retry(t.Context())); st.Open || !strings.HasPrefix(st.Screen, "Send to") {
		t.Errorf("the retry of the lost request: %+v", st)
	}

	p.SetDelay(Delay{Before: time.Minute}) // the request never leaves
	if _, err := p.Dial(t.Context(), "*334#"); !errors.Is(err, ErrNetwork) {
		t.Errorf("a late request: %v", err)
	}
	if steps, _ := app.heard(); len(steps) != 3 {
		t.Errorf("%d requests arrived, want 3", len(steps))
	}
}

func TestPhoneWhileWaiting(t *testing.T) {
	t.Parallel()
	p, app, _ := newTestPhone(t)
	asked, release := make(chan struct{}, 4), make(chan struct{})
	app.answers(func(string) (int, string) {
		asked <- struct{}{}
		<-release
		return 200, "CON late"
	})
	dialled := make(chan error, 1)
	go func() {
		_, err := p.Dial(context.Background(), "*334#")
		dialled <- err
	}()
	<-asked
	if !p.State().Waiting {
		t.Error("the phone does not wait")
	}
	if _, err := p.Type(t.Context(), "1"); !errors.Is(err, ErrBusy) {
		t.Errorf("typing meanwhile: %v", err)
	}
	if _, err := p.Dial(t.Context(), "*334#"); !errors.Is(err, ErrBusy) {
		t.Errorf("dialling meanwhile: %v", err)
	}
	retried := make(chan error, 1)
	go func() { // the gateway may send it twice at once
		_, err := p.Retry(context.Background())
		retried <- err
	}()
	<-asked
	must(t)(p.Drop(t.Context()))
	if err := <-dialled; !errors.Is(err, ErrDropped) {
		t.Errorf("the dropped dial returned %v", err)
	}
	if err := <-retried; !errors.Is(err, ErrDropped) {
		t.Errorf("the dropped retry returned %v", err)
	}
	close(release)
	eventually(t, "the late answers are recorded", func() bool { return !p.State().Waiting })
	if st := p.State(); st.Open || st.Raw[0].Error == "" {
		t.Errorf("after the late answers: %+v", st)
	}
}

func TestPhoneCallerGivesUp(t *testing.T) {
	t.Parallel()
	p, app, _ := newTestPhone(t)
	release := make(chan struct{})
	app.answers(func(string) (int, string) { <-release; return 200, "CON here" })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Dial(ctx, "*334#"); !errors.Is(err, context.Canceled) {
		t.Errorf("dial: %v", err)
	}
	close(release)
	eventually(t, "the request goes on without its caller", func() bool { return p.State().Screen == "here" })
}

func TestPhoneSessionLimit(t *testing.T) {
	t.Parallel()
	t.Run("by the clock", func(t *testing.T) {
		t.Parallel()
		p, app, clock := newTestPhone(t)
		must(t)(p.Dial(t.Context(), "*334#"))
		clock.pass(179 * time.Second)
		must(t)(p.Type(t.Context(), "1"))
		clock.pass(time.Second)
		st, err := p.Type(t.Context(), "1")
		if !errors.Is(err, ErrNoSession) || st.Open || st.Error != "session timed out after 3m0s" {
			t.Errorf("%v, %+v", err, st)
		}
		p.Wait()
		if _, events := app.heard(); len(events) != 1 || events[0].Get("errorMessage") != "Session timed out" {
			t.Errorf("events: %v", events)
		}
	})
	t.Run("by itself", func(t *testing.T) {
		t.Parallel()
		p, _, _ := newTestPhone(t, func(l *Line) { l.SessionLimit = 50 * time.Millisecond })
		must(t)(p.Dial(t.Context(), "*334#"))
		eventually(t, "the session ends", func() bool { return !p.State().Open })
	})
}

func TestPhoneKeepsItsLastExchanges(t *testing.T) {
	t.Parallel()
	p, app, _ := newTestPhone(t)
	app.answers(func(string) (int, string) { return 200, "CON " + strings.Repeat("x", 2*keptAnswer) })
	must(t)(p.Dial(t.Context(), "*334#"))
	for range keptExchanges + 5 {
		must(t)(p.Type(t.Context(), "1"))
	}
	raw := p.State().Raw
	if len(raw) != keptExchanges || raw[len(raw)-1].Seq != keptExchanges+6 {
		t.Errorf("%d exchanges kept, the last is %d", len(raw), raw[len(raw)-1].Seq)
	}
	if len(raw[0].Body) > keptAnswer+3 {
		t.Errorf("%d bytes of an answer kept", len(raw[0].Body))
	}
}

func TestNewPhoneChecksItsLine(t *testing.T) {
	t.Parallel()
	good := Line{USSDURL: "http://127.0.0.1:1/ussd", ServiceCode: "*334#", Now: newClock().Now, Rand: &counting{}}
	for name, change := range map[string]func(*Line) string{
		"no address":     func(l *Line) string { l.USSDURL = ""; return asha },
		"odd address":    func(l *Line) string { l.USSDURL = "ftp://x/"; return asha },
		"odd events":     func(l *Line) string { l.EventsURL = "x"; return asha },
		"code":           func(l *Line) string { l.ServiceCode = "334"; return asha },
		"clock":          func(l *Line) string { l.Now = nil; return asha },
		"randomness":     func(l *Line) string { l.Rand = nil; return asha },
		"short number":   func(*Line) string { return "+254712" },
		"leading zero":   func(*Line) string { return "0712000001" },
		"letters":        func(*Line) string { return "+25471200000a" },
		"other digits":   func(*Line) string { return "+٢٥٤٧١٢٠٠٠٠٠١" },
		"only the plus":  func(*Line) string { return "+" },
		"sixteen digits": func(*Line) string { return "+2547120000011111" },
	} {
		line := good
		number := change(&line)
		if _, err := NewPhone(line, number); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := NewPhone(good, asha); err != nil {
		t.Error(err)
	}
}

// A phone does not follow a redirect: the gateway would not.
func TestPhoneClientIsNotChanged(t *testing.T) {
	t.Parallel()
	client := &http.Client{}
	newTestPhone(t, func(l *Line) { l.Client = client })
	if client.CheckRedirect != nil {
		t.Error("the caller's client was changed")
	}
}
