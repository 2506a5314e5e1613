package ussd_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"tuma/internal/callers"
	"tuma/ussd"
)

const secret = "a-secret-of-the-gateway-2026"

// From the gateway's raw bytes to what comes back, for every way to be wrong.
func TestAfricasTalking(t *testing.T) {
	t.Parallel()
	w := demo(t)
	const good = "sessionId=ATUid_1&phoneNumber=%2B254712000001&networkCode=63902&serviceCode=%2A334%23&text="
	const form = "application/x-www-form-urlencoded"
	type request struct{ method, path, kind, body string }
	for _, c := range []struct {
		name   string
		r      request
		status int
		body   string // the answer begins with it
	}{
		{"first request", request{"POST", "/ussd/africastalking", form, good}, 200, "CON Tuma\n1 Send money"},
		{"charset", request{"POST", "/ussd/africastalking", form + "; charset=UTF-8", good}, 200, "CON Tuma"},
		{"more fields than we know", request{"POST", "/ussd/africastalking", form, good + "&cost=1&x=y"}, 200, "CON Tuma"},
		{"get", request{"GET", "/ussd/africastalking?" + good, "", ""}, 405, "use POST"},
		{"put", request{"PUT", "/ussd/africastalking", form, good}, 405, "use POST"},
		{"json", request{"POST", "/ussd/africastalking", "application/json", "{}"}, 415, "the body must be"},
		{"no type", request{"POST", "/ussd/africastalking", "", good}, 415, "the body must be"},
		{"bad escape", request{"POST", "/ussd/africastalking", form, "sessionId=%zz"}, 400, "the body is not"},
		{"semicolon", request{"POST", "/ussd/africastalking", form, good + ";a=b"}, 400, "the body is not"},
		{"huge", request{"POST", "/ussd/africastalking", form, good + strings.Repeat("1", 17<<10)}, 413, "the body is larger"},
		{"empty", request{"POST", "/ussd/africastalking", form, ""}, 400, "sessionId must"},
		{"in the query", request{"POST", "/ussd/africastalking?" + good, form, ""}, 400, "sessionId must"},
		{"session with a space", request{"POST", "/ussd/africastalking", form, strings.Replace(good, "ATUid_1", "AT+1", 1)}, 400, "sessionId must"},
		{"session with a newline", request{"POST", "/ussd/africastalking", form, strings.Replace(good, "ATUid_1", "AT%0A1", 1)}, 400, "sessionId must"},
		{"long session", request{"POST", "/ussd/africastalking", form, strings.Replace(good, "ATUid_1", strings.Repeat("x", 129), 1)}, 400, "sessionId must"},
		{"two numbers", request{"POST", "/ussd/africastalking", form, good + "&phoneNumber=%2B254712000002"}, 400, "phoneNumber is there twice"},
		{"national number", request{"POST", "/ussd/africastalking", form, strings.Replace(good, "%2B254", "0", 1)}, 400, "phoneNumber must"},
		{"full-width number", request{"POST", "/ussd/africastalking", form, strings.Replace(good, "712000001", url.QueryEscape("７12000001"), 1)}, 400, "phoneNumber must"},
		{"no service code", request{"POST", "/ussd/africastalking", form, strings.Replace(good, "%2A334%23", "", 1)}, 400, "serviceCode must"},
		{"odd service code", request{"POST", "/ussd/africastalking", form, strings.Replace(good, "334", "3a4", 1)}, 400, "serviceCode must"},
		{"odd network", request{"POST", "/ussd/africastalking", form, strings.Replace(good, "63902", "6%0A3", 1)}, 400, "networkCode must"},
		{"no text", request{"POST", "/ussd/africastalking", form, strings.TrimSuffix(good, "&text=")}, 400, "text is missing"},
		{"event", request{"POST", "/ussd/africastalking/events", form, strings.TrimSuffix(good, "&text=") + "&status=Incomplete&input=1*" + canary + "&lastAppResponse=CON&durationInMillis=100&hopsCount=2"}, 200, "OK"},
		{"event without a number", request{"POST", "/ussd/africastalking/events", form, "sessionId=a&serviceCode=%2A334%23"}, 400, "phoneNumber must"},
		{"event by get", request{"GET", "/ussd/africastalking/events", "", ""}, 405, "use POST"},
		{"elsewhere", request{"POST", "/ussd/africastalking/other", form, good}, 404, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(c.r.method, c.r.path, strings.NewReader(c.r.body))
			if c.r.kind != "" {
				r.Header.Set("Content-Type", c.r.kind)
			}
			rec := httptest.NewRecorder()
			w.handler.ServeHTTP(rec, r)
			if rec.Code != c.status || !strings.HasPrefix(rec.Body.String(), c.body) {
				t.Errorf("got %d %q, want %d %q", rec.Code, rec.Body, c.status, c.body)
			}
			if kind := rec.Header().Get("Content-Type"); !strings.HasPrefix(kind, "text/plain") {
				t.Errorf("Content-Type %q", kind)
			}
		})
	}
	w.wantNoPIN()
}

func TestWhoMayCall(t *testing.T) {
	t.Parallel()
	w := demo(t)
	one := []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}
	proxy := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	const path = "/ussd/africastalking"
	for _, c := range []struct {
		name      string
		o         callers.Callers
		path      string
		peer      string
		forwarded string
		status    int
	}{
		{"allowed", callers.Callers{Allow: one}, path, "192.0.2.7:9", "", 200},
		{"mapped", callers.Callers{Allow: one}, path, "[::ffff:192.0.2.7]:9", "", 200},
		{"not allowed", callers.Callers{Allow: one}, path, "192.0.2.8:9", "", 403},
		{"claims to be forwarded", callers.Callers{Allow: one}, path, "192.0.2.8:9", "192.0.2.7", 403},
		{"from our proxy", callers.Callers{Allow: one, TrustedProxies: proxy}, path, "10.1.1.1:9", "192.0.2.7", 200},
		{"through two of our proxies", callers.Callers{Allow: one, TrustedProxies: proxy}, path, "10.1.1.1:9", "192.0.2.7, 10.2.2.2", 200},
		{"lies to our proxy", callers.Callers{Allow: one, TrustedProxies: proxy}, path, "10.1.1.1:9", "192.0.2.7, 192.0.2.8", 403},
		{"rubbish from our proxy", callers.Callers{Allow: one, TrustedProxies: proxy}, path, "10.1.1.1:9", "unknown", 403},
		{"our proxy itself", callers.Callers{Allow: one, TrustedProxies: proxy}, path, "10.1.1.1:9", "", 403},
		{"secret", callers.Callers{Secret: secret}, path + "/" + secret, "203.0.113.1:9", "", 200},
		{"secret of before", callers.Callers{Secret: secret + "-new", OldSecret: secret}, path + "/" + secret, "203.0.113.1:9", "", 200},
		{"neither secret", callers.Callers{Secret: secret + "-new", OldSecret: secret}, path + "/" + secret + "-ne", "203.0.113.1:9", "", 403},
		{"wrong secret", callers.Callers{Secret: secret}, path + "/" + secret + "x", "203.0.113.1:9", "", 403},
		{"no secret", callers.Callers{Secret: secret}, path, "203.0.113.1:9", "", 404},
		{"secret from elsewhere", callers.Callers{Secret: secret, Allow: one}, path + "/" + secret, "203.0.113.1:9", "", 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, err := ussd.Handler(w.machine, "africastalking", c.o)
			w.must(err)
			for _, p := range []string{c.path, c.path + "/events"} {
				form := url.Values{"sessionId": {"w-" + strings.ReplaceAll(c.name, " ", "-")}, "phoneNumber": {nobody}, "serviceCode": {"*334#"}, "text": {""}}
				r := httptest.NewRequest(http.MethodPost, p, strings.NewReader(form.Encode()))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.RemoteAddr = c.peer
				if c.forwarded != "" {
					r.Header.Set("X-Forwarded-For", c.forwarded)
				}
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, r)
				if want := c.status; rec.Code != want && !(c.name == "no secret" && rec.Code == http.StatusForbidden) {
					t.Errorf("%s: %d %s, want %d", p, rec.Code, rec.Body, want)
				}
			}
		})
	}
	for _, bad := range []callers.Callers{{}, {OldSecret: secret}, {Secret: secret, OldSecret: "short"}, {Secret: "short"}, {Secret: "has/a/slash/in/it/and/more"}} {
		if _, err := ussd.Handler(w.machine, "africastalking", bad); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
	if strings.Contains(w.log.String(), secret) {
		t.Error("the secret is in the log")
	}
}

// Whatever the bytes, the answer is a request that could be one, or a sentence
// that does not quote them.
func FuzzAfricasTalkingForm(f *testing.F) {
	f.Add("sessionId=ATUid_1&phoneNumber=%2B254712000001&networkCode=63902&serviceCode=%2A334%23&text=1*2")
	f.Add("sessionId=a&sessionId=b&phoneNumber=+254&text=%00")
	f.Add("%zz;&&==")
	sentences := map[string]bool{
		"the body is not a well-formed form":                    true,
		"sessionId must be 1 to 128 printable ASCII characters": true, "serviceCode must look like *334#": true,
		"networkCode must be at most 10 digits": true, "phoneNumber must be in international form, +254712000001": true,
		"sessionId is there twice": true, "phoneNumber is there twice": true, "serviceCode is there twice": true,
		"networkCode is there twice": true, "text is there twice": true,
	}
	f.Fuzz(func(t *testing.T, body string) {
		r, _, err := ussd.Decode("africastalking", "", body)
		if err != nil {
			if !sentences[err.Error()] {
				t.Errorf("%q is not one of our sentences", err)
			}
			return
		}
		if r.Session == "" || len(r.Session) > 128 || strings.ContainsAny(r.Session, " \n\r\t\x00") {
			t.Errorf("session %q", r.Session)
		}
		if len(r.From) < 8 || r.From[0] != '+' || r.ServiceCode[0] != '*' {
			t.Errorf("%+v", r)
		}
	})
}

// Whatever is keyed in, in whatever order, the answer fits a screen, nothing
// moves without the PIN, and the PIN is nowhere afterwards.
func FuzzInput(f *testing.F) {
	w := demo(f)
	for _, path := range []string{"1*0712000002*500*0*00", "4*4*2", "3*1*98*98", "2*100001*50", "*1**", "4*5*7", "1*0712000002*500*1379", "4*3*1111*0*0"} {
		f.Add(path, uint8(0))
	}
	n := 0
	callers := []string{asha, baraka, juma, nobody}
	f.Fuzz(func(t *testing.T, keys string, who uint8) {
		if strings.Contains(keys, canary) {
			t.Skip("knows the PIN")
		}
		n++
		w.t = t
		w.must(w.redis.FlushAll(t.Context()).Err())
		w.exec(`update pin set tries = 0, id_tries = 0`)
		caller := callers[int(who)%len(callers)]
		text := ""
		for i, in := range append([]string{""}, strings.Split(keys, "*")...) {
			if i > 12 {
				break
			}
			if i == 1 {
				text = in
			} else if i > 1 {
				text += "*" + in
			}
			reply := w.machine.Answer(t.Context(), ussd.Request{Gateway: "at", Session: "f", From: phoneNumber(caller), ServiceCode: "*334#", Text: text})
			if strings.HasPrefix(reply.Text, "Sorry") {
				t.Fatalf("%q: our fault\n%s", text, w.log)
			}
			if s := septetsOf(reply.Text); s > ussd.MaxSeptets || s == 0 {
				t.Fatalf("%q: %d septets: %q", text, s, reply.Text)
			}
		}
		w.wantPaid(0)
	})
}
