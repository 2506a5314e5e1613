package sms

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTwilioSpeaksMessages(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(o *TwilioOptions)
		m      Message
		want   url.Values
	}{
		{"plain", func(*TwilioOptions) {}, Message{To: asha, Body: "Ksh5.00 & é €\n+1"},
			url.Values{"To": {"+254712000001"}, "From": {"+15005550006"}, "Body": {"Ksh5.00 & é €\n+1"}}},
		{"service and callback", func(o *TwilioOptions) {
			o.From, o.MessagingService, o.StatusCallback = "", "MG1", "https://tuma.example/sms/twilio/status"
		}, Message{Ref: "7-8", To: asha, Body: "x", Valid: 90 * time.Second},
			url.Values{"To": {"+254712000001"}, "MessagingServiceSid": {"MG1"}, "Body": {"x"}, "ValidityPeriod": {"90"},
				"StatusCallback": {"https://tuma.example/sms/twilio/status?ref=7-8"}}},
		{"another sender", func(*TwilioOptions) {}, Message{To: asha, From: "TUMA", Body: "x"},
			url.Values{"To": {"+254712000001"}, "From": {"TUMA"}, "Body": {"x"}}},
		{"long validity", func(*TwilioOptions) {}, Message{To: asha, Body: "x", Valid: 1000 * time.Hour},
			url.Values{"To": {"+254712000001"}, "From": {"+15005550006"}, "Body": {"x"}, "ValidityPeriod": {"36000"}}},
		{"short validity", func(*TwilioOptions) {}, Message{To: asha, Body: "x", Valid: time.Millisecond},
			url.Values{"To": {"+254712000001"}, "From": {"+15005550006"}, "Body": {"x"}, "ValidityPeriod": {"1"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, nil)
			sent, err := n.twilio(t, test.change).Send(t.Context(), test.m)
			if err != nil || sent.ID != "SM00000000000000000000000000000001" {
				t.Errorf("sent %+v, %v", sent, err)
			}
			if diff := cmp.Diff([]url.Values{test.want}, n.taken); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A base URL may have a path of its own, and an API key may stand in for the
// account's token.
func TestTwilioBaseURLWithAPathAndAPIKey(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	server := newNetwork(t, nil)
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		got <- r.URL.Path + " " + user + " " + password
		server.take(w, r)
	})
	g := server.twilio(t, func(o *TwilioOptions) {
		o.BaseURL += "/simulator/twilio/"
		o.Username = "SK1"
		o.Password = "keysecret"
	})
	if _, err := g.Send(t.Context(), Message{To: asha, Body: "x"}); err != nil {
		t.Fatal(err)
	}
	if want := "/simulator/twilio/2010-04-01/Accounts/" + account + "/Messages.json SK1 keysecret"; <-got != want {
		t.Errorf("called another address or with other credentials than %s", want)
	}
}

func TestTwilioErrors(t *testing.T) {
	t.Parallel()
	answer := func(status, code int) func(http.ResponseWriter, *http.Request, int) bool {
		return func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			refuse(w, status, code)
			return true
		}
	}
	raw := func(status int, body string) func(http.ResponseWriter, *http.Request, int) bool {
		return func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			w.Header().Set("Retry-After", "17")
			if status == http.StatusFound {
				w.Header().Set("Location", "/elsewhere")
			}
			w.WriteHeader(status)
			w.Write([]byte(body))
			return true
		}
	}
	drop := func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			conn.Close()
		}
		return true
	}
	truncate := func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		w.Header().Set("Content-Length", "500")
		w.WriteHeader(http.StatusCreated)
		w.Write([]byte(`{"sid":"SM1`))
		http.NewResponseController(w).Flush()
		return drop(w, nil, 0)
	}
	hang := func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		<-r.Context().Done()
		return true
	}
	for _, test := range []struct {
		name   string
		answer func(http.ResponseWriter, *http.Request, int) bool
		want   SendError
	}{
		{"opted out", answer(400, 21610), SendError{Code: 21610, OptedOut: true}},
		{"no such number", answer(400, 21211), SendError{Code: 21211}},
		{"queue full", answer(400, 21611), SendError{Code: 21611, Retry: true}},
		{"our from number", answer(400, 21606), SendError{Code: 21606, Retry: true}},
		{"400 without JSON", raw(400, "<html>"), SendError{Code: 400, Wait: 17 * time.Second}},
		{"credentials", answer(401, 20003), SendError{Code: 20003, Retry: true}},
		{"suspended", answer(403, 0), SendError{Code: 403, Retry: true}},
		{"wrong address", answer(404, 20404), SendError{Code: 20404, Retry: true}},
		{"too many", raw(429, `{"code":20429,"status":429}`), SendError{Code: 20429, Retry: true, Wait: 17 * time.Second}},
		{"broken", answer(500, 20500), SendError{Code: 20500, Retry: true}},
		{"unavailable", raw(503, "<html>no</html>"), SendError{Code: 503, Retry: true, Wait: 17 * time.Second}},
		{"moved", raw(302, ""), SendError{Code: 302, Retry: true, Wait: 17 * time.Second}},
		{"success that is none", raw(200, "<html>Welcome to our WiFi</html>"), SendError{Code: 200, Retry: true, Unknown: true, Wait: 17 * time.Second}},
		{"success without a SID", raw(201, "{}"), SendError{Code: 201, Retry: true, Unknown: true, Wait: 17 * time.Second}},
		{"cut off before the answer", drop, SendError{Retry: true, Unknown: true}},
		{"cut off in the answer", truncate, SendError{Retry: true, Unknown: true}},
		{"silent", hang, SendError{Retry: true, Unknown: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, test.answer)
			g := n.twilio(t, func(o *TwilioOptions) {
				if test.name == "silent" {
					o.Timeout = 50 * time.Millisecond
				}
			})
			_, err := g.Send(t.Context(), Message{Key: "k", To: asha, Body: "SECRET BODY"})
			failure, ok := errors.AsType[*SendError](err)
			if !ok {
				t.Fatalf("error %v is not a *SendError", err)
			}
			got := *failure
			got.Gateway, got.Err = "", nil
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			for _, secret := range []string{"SECRET", string(asha), account, token} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q is in the error %q", secret, err)
				}
			}
			if n.asked() != 1 {
				t.Errorf("%d requests, want 1", n.asked())
			}
		})
	}
}

func TestTwilioThatCannotBeReached(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody listens there now
	n := newNetwork(t, nil)
	g := n.twilio(t, func(o *TwilioOptions) { o.BaseURL = "http://" + l.Addr().String() })
	_, err = g.Send(t.Context(), Message{To: asha, Body: "x"})
	failure, ok := errors.AsType[*SendError](err)
	if !ok || !failure.Retry || failure.Unknown || strings.Contains(err.Error(), account) {
		t.Errorf("%+v", err)
	}
}

func TestTwilioObeysItsContext(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{})
	n := newNetwork(t, func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		close(reached)
		<-r.Context().Done()
		return true
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-reached
		cancel()
	}()
	_, err := n.twilio(t).Send(ctx, Message{To: asha, Body: "x"})
	if failure, ok := errors.AsType[*SendError](err); !ok || !failure.Unknown || !errors.Is(err, context.Canceled) {
		t.Errorf("%+v", err)
	}
}

func TestNewTwilioRefuses(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(o *TwilioOptions){
		"no account":      func(o *TwilioOptions) { o.AccountSID = "" },
		"odd account":     func(o *TwilioOptions) { o.AccountSID = "AC/../x" },
		"no password":     func(o *TwilioOptions) { o.Password = "" },
		"odd password":    func(o *TwilioOptions) { o.Password = "SECRET-1" },
		"no sender":       func(o *TwilioOptions) { o.From = "" },
		"two senders":     func(o *TwilioOptions) { o.MessagingService = "MG1" },
		"base URL":        func(o *TwilioOptions) { o.BaseURL = "api.twilio.com" },
		"ftp":             func(o *TwilioOptions) { o.BaseURL = "ftp://api.twilio.com" },
		"callback":        func(o *TwilioOptions) { o.StatusCallback = "/status" },
		"negative time":   func(o *TwilioOptions) { o.Timeout = -1 },
		"control in base": func(o *TwilioOptions) { o.BaseURL = "http://x\n" },
	} {
		o := TwilioOptions{AccountSID: account, Password: token, From: "+15005550006"}
		if _, err := NewTwilio(o); err != nil {
			t.Fatal(err)
		}
		spoil(&o)
		if _, err := NewTwilio(o); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLogSaysNoBody(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	sent, err := NewLog(slog.New(slog.NewTextHandler(&out, nil))).Send(t.Context(), Message{Key: "UKM4Q7X2PA:payer", To: asha, Body: "SECRET é"})
	if err != nil || sent.ID != "" {
		t.Errorf("sent %+v, %v", sent, err)
	}
	line := out.String()
	for _, s := range []string{"key=UKM4Q7X2PA:payer", "to=+2547****0001", "characters=8"} {
		if !strings.Contains(line, s) {
			t.Errorf("no %q in %q", s, line)
		}
	}
	if strings.Contains(line, "SECRET") || strings.Contains(line, string(asha)) || strings.Count(line, "\n") != 1 {
		t.Errorf("log: %q", line)
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	full := strings.NewReader("") // no randomness: the whole wait
	for attempt, want := range map[int]time.Duration{0: 2, 1: 2, 2: 4, 3: 8, 4: 16, 9: 512, 10: 600, 11: 600, 1 << 40: 600} {
		if got := backoff(2*time.Second, 600*time.Second, attempt, full); got != want*time.Second {
			t.Errorf("attempt %d: %v, want %v", attempt, got, want*time.Second)
		}
	}
	for _, test := range []struct {
		random string
		want   time.Duration
	}{
		{"\x00\x00\x00\x00\x00\x00\x00\x00", time.Second},
		{"\x00\x00\x00\x00\x3b\x9a\xca\x00", 2 * time.Second}, // 10^9 of 10^9+1
		{"\x00\x00\x00\x00\x3b\x9a\xca\x01", time.Second},
		{"\x00\x00\x00\x00\x1d\xcd\x65\x00", 1500 * time.Millisecond},
	} {
		if got := backoff(2*time.Second, time.Minute, 1, strings.NewReader(test.random)); got != test.want {
			t.Errorf("random %x: %v, want %v", test.random, got, test.want)
		}
	}
	if got := backoff(0, 0, 1, strings.NewReader("12345678")); got != 0 {
		t.Errorf("no wait: %v", got)
	}
}
