package simulator

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const pushBearer = "Bearer " + appPush

func (w *world) push(t *testing.T, body, token string) int {
	t.Helper()
	status, _, _ := w.do(t, "POST", pushPath, body, "Authorization", token)
	return status
}

func TestPushedScreenIsAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.app.answers(func(text string) (int, string) { return 200, "END You said " + text })
	if status := w.push(t, `{"phoneNumber":"+254712000001","sessionId":"push-7","text":"Pay Ksh500.00?\n1 Yes\n2 No"}`, pushBearer); status != 200 {
		t.Fatalf("status %d", status)
	}
	phone, err := w.network.Phone(asha)
	if err != nil {
		t.Fatal(err)
	}
	st := phone.State()
	if !st.Open || st.Session != "push-7" || st.Screen != "Pay Ksh500.00?\n1 Yes\n2 No" || len(st.Raw) != 1 || st.Raw[0].Kind != "push" {
		t.Errorf("pushed: %+v", st)
	}
	if status := w.push(t, `{"phoneNumber":"+254712000001","sessionId":"push-8","text":"Another"}`, pushBearer); status != 409 {
		t.Errorf("a phone in a session: %d", status)
	}
	end := must(t)(phone.Type(t.Context(), "1"))
	phone.Wait()
	if end.Open || end.Screen != "You said 1" {
		t.Errorf("answered: %+v", end)
	}
	steps, events := w.app.heard()
	want := []url.Values{{"sessionId": {"push-7"}, "phoneNumber": {asha}, "networkCode": {"63902"}, "serviceCode": {"*334#"}, "text": {"1"}}}
	if d := cmp.Diff(want, steps); d != "" {
		t.Errorf("requests (-want +got):\n%s", d)
	}
	if len(events) != 1 || events[0].Get("sessionId") != "push-7" || events[0].Get("status") != "Success" {
		t.Errorf("events: %v", events)
	}
}

func TestPushesThatAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const body = `{"phoneNumber":"+254712000001","sessionId":"s","text":"Hello"}`
	with := func(old, new string) string { return strings.Replace(body, old, new, 1) }
	if err := w.network.Deliver(SMS{To: "+254733000001", Body: "only a message"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		body, token string
		status      int
	}{
		{body, "", 401},
		{body, "Bearer x", 401},
		{``, pushBearer, 400},
		{`{}`, pushBearer, 400},
		{with(asha, "1"), pushBearer, 400},
		{with(`"s"`, `""`), pushBearer, 400},
		{with(`"s"`, `"a b"`), pushBearer, 400},
		{with(`"s"`, `"`+strings.Repeat("s", 129)+`"`), pushBearer, 400},
		{with("Hello", ""), pushBearer, 400},
		{with("Hello", strings.Repeat("x", 183)), pushBearer, 400},
		{with("Hello", `a\tb`), pushBearer, 400},
		{with("Hello", "привет"), pushBearer, 400},
		{with(asha, "+254733000009"), pushBearer, 404},
		{with(asha, "+254733000001"), pushBearer, 404}, // nobody has switched it on
		{body, pushBearer, 200},
	} {
		if got := w.push(t, c.body, c.token); got != c.status {
			t.Errorf("%s with %q: %d, want %d", c.body, c.token, got, c.status)
		}
	}
	if _, err := w.network.Phone("+254733000001"); err != nil {
		t.Fatal(err)
	}
	if status := w.push(t, with(asha, "+254733000001"), pushBearer); status != 200 {
		t.Errorf("a phone that is on: %d", status)
	}
	quiet := newWorld(t, func(c *Config) { c.PushToken = "" })
	if status := quiet.push(t, body, "Bearer "); status != 401 {
		t.Errorf("without a token of its own: %d", status)
	}
}

// A session that was pushed ends like any other.
func TestPushedSessionEnds(t *testing.T) {
	t.Parallel()
	p, app, clock := newTestPhone(t)
	must(t)(p.Push("push-1", "Hello"))
	clock.pass(sessionLimit)
	if _, err := p.Type(t.Context(), "1"); !errors.Is(err, ErrNoSession) {
		t.Errorf("after the time limit: %v", err)
	}
	p.Wait()
	must(t)(p.Push("push-2", "Hello"))
	if st := must(t)(p.Dial(t.Context(), "*334#")); !strings.HasPrefix(st.Session, "ATUid_") {
		t.Errorf("dialled: %+v", st)
	}
	p.Wait()
	if _, events := app.heard(); len(events) != 2 || events[0].Get("sessionId") != "push-1" || events[1].Get("sessionId") != "push-2" || events[1].Get("status") != "Incomplete" {
		t.Errorf("events: %v", events)
	}
}
