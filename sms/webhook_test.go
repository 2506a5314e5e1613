package sms

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tuma/internal/callers"
	"tuma/internal/db"
	"tuma/internal/db/dbtest"
	"tuma/sms/outbox"
)

const (
	public       = "https://tuma.example/pay"
	secretInPath = "0123456789abcdefghijklmn"
)

// callbacks are webhooks and what they have received.
type callbacks struct {
	http.Handler
	pool *db.Pool
	log  *journal
	mu   sync.Mutex
	got  []Inbound
	fail error // of the next Receive
}

func serveCallbacks(t *testing.T, change ...func(o *WebhookOptions)) *callbacks {
	t.Helper()
	c := &callbacks{log: &journal{}}
	o := WebhookOptions{
		Log: slog.New(slog.NewTextHandler(c.log, nil)), PublicURL: public, TwilioSID: account, TwilioToken: token,
		AfricasTalking: true, Kannel: true, Callers: callers.Callers{Secret: secretInPath},
		Receive: func(_ context.Context, in Inbound) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.fail != nil {
				return c.fail
			}
			c.got = append(c.got, in)
			return in.check()
		},
	}
	for _, f := range change {
		f(&o)
	}
	if o.Pool == nil {
		o.Pool = dbtest.New(t, nil)
	}
	c.pool = o.Pool
	var err error
	if c.Handler, err = Webhooks(o); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *callbacks) received() []Inbound {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

// call makes a request: the body is a form, unless it is empty.
func (c *callbacks) call(method, path, body, signature string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if signature != "" {
		r.Header.Set("X-Twilio-Signature", signature)
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w
}

// From a gateway's raw bytes to what they say, and our answer.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	c := serveCallbacks(t)
	// As captured; the signatures are those of npm's twilio for the token of the tests.
	const sid1, sid2 = "SM00000000000000000000000000000001", "SM00000000000000000000000000000002"
	inTwilio := "ToCountry=KE&ToState=&SmsMessageSid=" + sid1 + "&NumMedia=0&ToCity=&FromZip=&SmsSid=" + sid1 + "&FromState=&SmsStatus=received&FromCity=&Body=Sal%C3%ADo+%26+%F0%9F%98%80&FromCountry=KE&To=%2B15005550006&ToZip=&NumSegments=1&MessageSid=" + sid1 + "&AccountSid=" + account + "&From=%2B254712000001&ApiVersion=2010-04-01"
	status := func(s string) string {
		return "SmsSid=" + sid2 + "&SmsStatus=" + s + "&MessageStatus=" + s + "&To=%2B254712000001&MessageSid=" + sid2 + "&AccountSid=" + account + "&From=%2B15005550006&ApiVersion=2010-04-01&ErrorCode=30003"
	}
	at, kannel := "/sms/africastalking/"+secretInPath, "/sms/kannel/"+secretInPath
	signed := signatures(t, []toSign{{public + "/sms/twilio/inbound", fields(t, inTwilio)}, {public + "/sms/twilio/status?ref=7-8", fields(t, status("undelivered"))}, {public + "/sms/twilio/status?ref=7-8", fields(t, status("dancing"))}})
	twilioIn := &Inbound{Gateway: "twilio", ID: sid1, From: asha, To: "+15005550006", Text: "Salío & 😀"}
	for _, test := range []struct {
		name, method, path, body, signature string
		status                              int
		answer                              string
		in                                  *Inbound
		gateway, id                         string // of a report
		state                               outbox.State
	}{
		{"twilio message", "POST", "/sms/twilio/inbound", inTwilio, signed[0], 200, `<?xml version="1.0" encoding="UTF-8"?><Response/>`, twilioIn, "", "", 0},
		{"twilio report", "POST", "/sms/twilio/status?ref=7-8", status("undelivered"), signed[1], 200, "", nil, "twilio", sid2, outbox.Failed},
		{"twilio report of a status to come", "POST", "/sms/twilio/status?ref=7-8", status("dancing"), signed[2], 200, "", nil, "", "", 0},
		{"twilio message whose SID's end was moved", "POST", "/sms/twilio/inbound", strings.Replace(strings.Replace(inTwilio, "&NumMedia=0", "", 1), "&MessageSid="+sid1, "&MessageSid="+sid1+"NumMedia0", 1), signed[0], 400, "MessageSid is not Twilio's\n", nil, "", "", 0},
		{"twilio by GET", "GET", "/sms/twilio/inbound?" + inTwilio, "", signed[0], 405, "Method Not Allowed\n", nil, "", "", 0},

		{"africastalking message", "POST", at + "/inbound", "date=2026-11-22+09%3A15%3A00&from=%2B254712000001&id=ATXid_1&linkId=L&text=BAL+%E2%82%AC&to=20334&networkCode=63902", "", 200, "", &Inbound{Gateway: "africastalking", ID: "ATXid_1", From: asha, To: "20334", Text: "BAL €"}, "", "", 0},
		{"africastalking from a name", "POST", at + "/inbound", "from=SAFARICOM&id=ATXid_2&text=x&to=20334", "", 200, "", nil, "", "", 0},
		{"africastalking without an id", "POST", at + "/inbound", "from=%2B254712000001&text=x&to=20334", "", 400, "sms: this is no message: its id is missing or odd\n", nil, "", "", 0},
		{"africastalking delivered", "POST", at + "/status", "id=ATPid_1&status=Success&phoneNumber=%2B254712000001&networkCode=63902&retryCount=0", "", 200, "", nil, "africastalking", "ATPid_1", outbox.Delivered},
		{"africastalking failed", "POST", at + "/status", "id=ATPid_2&status=Failed&phoneNumber=%2B254712000001&failureReason=DeliveryFailure", "", 200, "", nil, "africastalking", "ATPid_2", outbox.Failed},
		{"africastalking without its id", "POST", at + "/status", "status=Failed", "", 400, "outbox: this is no delivery report\n", nil, "", "", 0},
		{"a field twice", "POST", at + "/inbound", "from=%2B254712000001&id=1&id=2&text=x&to=20334", "", 400, "a field is there twice\n", nil, "", "", 0},
		{"not a form", "POST", at + "/inbound", "from=%zz", "", 400, "the fields are not well-formed\n", nil, "", "", 0},
		{"no body", "POST", at + "/inbound", "", "", 400, "the body must be application/x-www-form-urlencoded\n", nil, "", "", 0},
		{"too large", "POST", at + "/inbound", "text=" + strings.Repeat("x", maxCallback), "", 400, "the body could not be read, or is larger than 65536 bytes\n", nil, "", "", 0},
		{"wrong secret", "POST", "/sms/africastalking/0123456789abcdefghijklmX/inbound", "from=%2B254712000001&id=3&text=1234&to=20334", "", 403, errRefused.Error() + "\n", nil, "", "", 0},
		{"no secret", "POST", "/sms/africastalking/inbound", "id=4", "", 404, "404 page not found\n", nil, "", "", 0},

		{"kannel message", "GET", kannel + "/inbound?id=9d84&from=%2B254712000001&to=334&coding=0&text=BAL++%C3%A9+x", "", "", 200, "", &Inbound{Gateway: "kannel", ID: "9d84", From: asha, To: "334", Text: "BAL  é x"}, "", "", 0},
		{"kannel message in UCS-2", "GET", kannel + "/inbound?id=9d85&from=254712000001&to=334&coding=2&text=%04%3F%4E%2D%D8%3D%DE%00", "", "", 200, "", &Inbound{Gateway: "kannel", ID: "9d85", From: asha, To: "334", Text: "п中😀"}, "", "", 0},
		{"kannel message of bytes", "GET", kannel + "/inbound?id=9d86&from=%2B254712000001&to=334&coding=1&text=K%FFz", "", "", 200, "", &Inbound{Gateway: "kannel", ID: "9d86", From: asha, To: "334", Text: "K?z"}, "", "", 0},
		{"kannel accepted", "GET", kannel + "/status?id=5-6&status=8", "", "", 200, "", nil, "kannel", "5-6", outbox.OnItsWay},
		{"kannel delivered", "GET", kannel + "/status?id=5-6&status=1", "", "", 200, "", nil, "kannel", "5-6", outbox.Delivered},
		{"kannel rejected", "GET", kannel + "/status?id=5-7&status=16", "", "", 200, "", nil, "kannel", "5-7", outbox.Failed},
		{"kannel, wrong secret", "GET", "/sms/kannel/x/inbound?id=1&from=%2B254712000001&text=1234", "", "", 403, errRefused.Error() + "\n", nil, "", "", 0},
		{"nobody's", "POST", "/sms/pigeon/inbound", "x=y", "", 404, "404 page not found\n", nil, "", "", 0},
	} {
		c.mu.Lock()
		c.got = nil
		c.mu.Unlock()
		w := c.call(test.method, test.path, test.body, test.signature)
		if w.Code != test.status || w.Body.String() != test.answer {
			t.Errorf("%s: %d %q, want %d %q", test.name, w.Code, w.Body, test.status, test.answer)
		}
		var want []Inbound
		if test.in != nil {
			want = []Inbound{*test.in}
		}
		if got := c.received(); test.status == 200 && !cmp.Equal(want, got) {
			t.Errorf("%s: %s", test.name, cmp.Diff(want, got))
		}
		if test.state != 0 {
			var state outbox.State
			if err := c.pool.Get(t.Context(), &state, "select state from delivery where gateway = $1 and provider_id = $2", test.gateway, test.id); err != nil || state != test.state {
				t.Errorf("%s: %v, %v", test.name, state, err)
			}
		}
	}
	// What cannot be taken now is asked for again.
	c.fail = errors.New("no database: SECRET 1234")
	if w := c.call("POST", "/sms/twilio/inbound", inTwilio, signed[0]); w.Code != 503 || strings.Contains(w.Body.String(), "SECRET") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	log := strings.Join(c.log.lines(), "")
	for _, secret := range []string{secretInPath, string(asha), "Sal", "text=1234"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log says %q: %s", secret, log)
		}
	}
}

// STOP and START at Twilio's number count for us as they do for Twilio.
func TestStopAndStart(t *testing.T) {
	t.Parallel()
	c := serveCallbacks(t)
	for i, test := range []struct {
		gateway, text string
		out           bool
	}{
		{"twilio", "BAL", false}, {"twilio", " Stop\n", true}, {"twilio", "BAL", true}, {"twilio", "start", false},
		{"kannel", "STOP", false}, {"twilio", "STOPALL", true}, {"kannel", "START", true}, {"twilio", "UNSTOP", false},
	} {
		in := Inbound{Gateway: test.gateway, ID: fmt.Sprint(i), From: asha, To: "334", Text: test.text}
		if err := (&webhooks{WebhookOptions{Pool: c.pool, Receive: func(context.Context, Inbound) error { return nil }}}).act(t.Context(), callback{in: &in}); err != nil {
			t.Fatal(err)
		}
		var out bool
		if err := c.pool.Get(t.Context(), &out, "select exists (select from opted_out where msisdn = $1 and gateway = 'twilio')", string(asha)); err != nil || out != test.out {
			t.Errorf("after %s %q: opted out %v, %v", test.gateway, test.text, out, err)
		}
	}
}

// toSign is a request for npm's twilio to sign.
type toSign struct {
	URL    string            `json:"url"`
	Params map[string]string `json:"params"`
}

const signer = `
const { getExpectedTwilioSignature, validateRequest } = require(process.argv[1]);
const token = process.argv[2];
const out = [];
for (const line of require("fs").readFileSync(0, "utf8").trim().split("\n")) {
  const { url, params } = JSON.parse(line);
  const signature = getExpectedTwilioSignature(token, url, params);
  if (!validateRequest(token, signature, url, params)) throw new Error("its own signature");
  out.push(signature);
}
console.log(out.join("\n"));
`

// signatures has the requests signed as Twilio does.
func signatures(t *testing.T, list []toSign) (signed []string) {
	t.Helper()
	module, err := filepath.Abs("../.tools/node_modules/twilio/lib/webhooks/webhooks.js")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(module); err != nil {
		t.Fatalf("%v; `make setup` fetches it", err)
	}
	var in, errs bytes.Buffer
	for _, s := range list {
		if err := json.NewEncoder(&in).Encode(s); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "node", "-e", signer, module, token)
	cmd.Stdin, cmd.Stderr = &in, &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v: %s", err, errs.String())
	}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		signed = append(signed, lines.Text())
	}
	if len(signed) != len(list) {
		t.Fatalf("%d signatures of %d", len(signed), len(list))
	}
	return signed
}

func fields(t *testing.T, encoded string) map[string]string {
	t.Helper()
	form, err := url.ParseQuery(encoded)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for name := range form {
		m[name] = form.Get(name)
	}
	return m
}

func encode(params map[string]string) string {
	form := url.Values{}
	for name, value := range params {
		form.Set(name, value)
	}
	return form.Encode()
}

// What npm's twilio signs is taken; 10,000 requests that are altered after that, or
// not signed, are not.
func TestTwilioSignatures(t *testing.T) {
	t.Parallel()
	c := serveCallbacks(t)
	dice := rand.New(rand.NewPCG(7, 334))
	texts := []string{"BAL", "SALIO ", "SEND 500 0712000002", "1234", "é € 😀 ' ~ *()", "a=b&c=d\nnext", "", "%41+%2B"}
	var list []toSign
	for i := range 200 {
		path, params := "/sms/twilio/inbound", map[string]string{"AccountSid": account, "MessageSid": fmt.Sprintf("SM%032d", i), "From": string(asha), "To": "+15005550006", "ApiVersion": "2010-04-01"}
		if i%4 == 3 {
			path = fmt.Sprintf("/sms/twilio/status?ref=%d-%d", i, i*7)
			params["MessageStatus"] = "delivered"
		} else {
			params["Body"] = texts[dice.IntN(len(texts))]
			params[fmt.Sprint("New", i)] = "a field to come" // the set may grow
		}
		list = append(list, toSign{public + path, params})
	}
	signed := signatures(t, list)
	for i, s := range list {
		if w := c.call("POST", strings.TrimPrefix(s.URL, public), encode(s.Params), signed[i]); w.Code != 200 {
			t.Fatalf("%+v: %d %s", s, w.Code, w.Body)
		}
	}
	var reports int
	count := func() {
		if err := c.pool.Get(t.Context(), &reports, "select count(*) from delivery"); err != nil {
			t.Fatal(err)
		}
	}
	if count(); reports != 50 || len(c.received()) != 150 {
		t.Fatalf("%d reports, %d messages", reports, len(c.received()))
	}

	kinds := map[string]func(s *toSign, signature string) string{
		"unsigned":            func(*toSign, string) string { return "" },
		"another's signature": func(s *toSign, old string) string { return other(dice, signed, old) },
		"a character of the signature": func(_ *toSign, old string) string {
			b := []byte(old)
			i := dice.IntN(26) // the last of 27 digits has bits that say nothing
			b[i] = other(dice, strings.Split("ABCXYZabcxyz0189+/", ""), string(b[i]))[0]
			return string(b)
		},
		"cut off": func(_ *toSign, old string) string { return old[:dice.IntN(len(old)-1)+1] },
		"a value": func(s *toSign, old string) string {
			s.Params[key(dice, s.Params)] += "x"
			return old
		},
		"the sender":   func(s *toSign, old string) string { s.Params["From"] = string(baraka); return old },
		"the account":  func(s *toSign, old string) string { s.Params["AccountSid"] = "AC2"; return old },
		"a field more": func(s *toSign, old string) string { s.Params["Zusatz"] = "1"; return old },
		"a field less": func(s *toSign, old string) string { delete(s.Params, key(dice, s.Params)); return old },
		"a query more": func(s *toSign, old string) string {
			s.URL += map[bool]string{true: "&", false: "?"}[strings.Contains(s.URL, "?")] + "ref=1-1"
			return old
		},
		"another path": func(s *toSign, old string) string {
			s.URL = map[bool]string{true: public + "/sms/twilio/status", false: public + "/sms/twilio/inbound"}[strings.HasSuffix(s.URL, "inbound")]
			return old
		},
	}
	names := slices.Sorted(maps.Keys(kinds))
	for n := range 10_000 {
		i := dice.IntN(len(list))
		s := toSign{list[i].URL, maps.Clone(list[i].Params)}
		kind := names[n%len(names)]
		signature := kinds[kind](&s, signed[i])
		if w := c.call("POST", strings.TrimPrefix(s.URL, public), encode(s.Params), signature); w.Code != http.StatusForbidden {
			t.Fatalf("%s was taken with %d: %+v", kind, w.Code, s)
		}
	}
	twice := httptest.NewRequest("POST", "/sms/twilio/inbound", strings.NewReader(encode(list[0].Params)))
	twice.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "X-Twilio-Signature": {signed[0], signed[1]}}
	w := httptest.NewRecorder()
	if c.ServeHTTP(w, twice); w.Code != http.StatusForbidden {
		t.Errorf("two signatures: %d", w.Code)
	}
	if count(); reports != 50 || len(c.received()) != 150 {
		t.Errorf("afterwards %d reports, %d messages", reports, len(c.received()))
	}
	if log := strings.Join(c.log.lines(), ""); strings.Contains(log, "0712000002") || strings.Contains(log, token) {
		t.Error("the log says what was in a message")
	}
}

func other(dice *rand.Rand, list []string, than string) string {
	for {
		if s := list[dice.IntN(len(list))]; s != than {
			return s
		}
	}
}

func key(dice *rand.Rand, params map[string]string) string {
	keys := slices.Sorted(maps.Keys(params))
	return keys[dice.IntN(len(keys))]
}

func TestWhoMayCallBack(t *testing.T) {
	t.Parallel()
	c := serveCallbacks(t, func(o *WebhookOptions) {
		o.Callers.Secret = ""
		o.Callers.Allow = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
		o.Callers.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}
	})
	for _, test := range []struct {
		peer, forwarded string
		want            int
	}{
		{"10.1.2.3:1", "", 200}, {"[::ffff:10.1.2.3]:1", "", 200}, {"10.2.2.3:1", "", 403}, {"10.2.2.3:1", "10.1.2.3", 403},
		{"10.9.0.1:1", "10.1.2.3", 200}, {"10.9.0.1:1", "10.1.2.3, 10.9.0.2", 200}, {"10.9.0.1:1", "10.1.2.3, 6.6.6.6", 403}, {"10.9.0.1:1", "", 403}, {"10.9.0.1:1", "unknown", 403}, {"?", "", 403},
	} {
		r := httptest.NewRequest("GET", "/sms/kannel/status?id=1-2&status=4", nil)
		r.RemoteAddr = test.peer
		r.Header.Set("X-Forwarded-For", test.forwarded)
		w := httptest.NewRecorder()
		if c.ServeHTTP(w, r); w.Code != test.want {
			t.Errorf("%s for %q: %d, want %d", test.peer, test.forwarded, w.Code, test.want)
		}
	}
	good := WebhookOptions{Pool: c.pool, Log: slog.Default(), Receive: func(context.Context, Inbound) error { return nil }, PublicURL: public, TwilioToken: token, Kannel: true, Callers: callers.Callers{Secret: secretInPath}}
	for name, spoil := range map[string]func(o *WebhookOptions){
		"no pool":       func(o *WebhookOptions) { o.Pool = nil },
		"no receiver":   func(o *WebhookOptions) { o.Receive = nil },
		"no log":        func(o *WebhookOptions) { o.Log = nil },
		"no public URL": func(o *WebhookOptions) { o.PublicURL = "" },
		"nobody known":  func(o *WebhookOptions) { o.Callers.Secret = "" },
		"short secret":  func(o *WebhookOptions) { o.Callers.Secret = "short" },
		"odd secret":    func(o *WebhookOptions) { o.Callers.Secret += "/?" },
	} {
		o := good
		spoil(&o)
		if _, err := Webhooks(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// While gateways change over, the secret and the token of before are good, too.
func TestSecretsOfBefore(t *testing.T) {
	t.Parallel()
	c := serveCallbacks(t)
	sid := "SM" + strings.Repeat("2", 32)
	strange := "SmsSid=" + sid + "&MessageStatus=dancing&MessageSid=" + sid + "&AccountSid=" + account
	path := "/sms/twilio/status?ref=7-8"
	signed := signatures(t, []toSign{{public + path, fields(t, strange)}})[0]
	call := func(o WebhookOptions) (kannel, twilio int) {
		o.Pool, o.Log, o.PublicURL, o.TwilioSID, o.Kannel = c.pool, slog.Default(), public, account, true
		o.Receive = func(context.Context, Inbound) error { return nil }
		h, err := Webhooks(o)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/sms/kannel/"+secretInPath+"/inbound?id=1&from=BANK&text=x&to=1", nil))
		r := httptest.NewRequest("POST", path, strings.NewReader(strange))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Twilio-Signature", signed)
		v := httptest.NewRecorder()
		h.ServeHTTP(v, r)
		return w.Code, v.Code
	}
	if k, w := call(WebhookOptions{Callers: callers.Callers{Secret: secretInPath + "-new", OldSecret: secretInPath}, TwilioToken: "new", OldTwilioToken: token}); k/100 != 2 || w != 200 {
		t.Errorf("those of before: %d, %d", k, w)
	}
	if k, w := call(WebhookOptions{Callers: callers.Callers{Secret: secretInPath + "-new"}, TwilioToken: "new"}); k != 403 || w != 403 {
		t.Errorf("those of before that are no longer good: %d, %d", k, w)
	}
	if _, err := Webhooks(WebhookOptions{Pool: c.pool, Log: slog.Default(), Receive: func(context.Context, Inbound) error { return nil }, Kannel: true, Callers: callers.Callers{Secret: secretInPath, OldSecret: "short"}}); err == nil {
		t.Error("a short old secret: no error")
	}
}

// Whatever a gateway sends is decoded into something whole, or refused.
func FuzzDecoders(f *testing.F) {
	for _, seed := range []string{
		"MessageSid=SM1&From=%2B254712000001&To=%2B1&Body=BAL", "MessageSid=SM1&MessageStatus=delivered&ref=1-2&ErrorCode=30003",
		"id=A&from=254712000001&to=334&text=x", "id=A&status=Failed&failureReason=UserInBlackList", "id=A&from=%2B254712000001&to=334&coding=2&text=%D8%3D%DE", "id=1-2&status=16",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, encoded string) {
		form, err := once(encoded)
		if err != nil {
			return
		}
		for name, decode := range map[string]func(url.Values) (callback, error){
			"twilio": twilioInbound, "africastalking": africasTalkingInbound, "kannel": kannelInbound,
		} {
			c, err := decode(form)
			if err != nil || c.report != nil || c.in != nil && (c.in.Gateway != name || c.in.From == "" || c.in.From[0] != '+') {
				t.Errorf("%s: %+v, %v", name, c, err)
			}
		}
		for name, decode := range map[string]func(url.Values) (callback, error){
			"twilio": twilioReport, "africastalking": africasTalkingReport, "kannel": kannelReport,
		} {
			c, err := decode(form)
			if err != nil || c.in != nil || c.report != nil && (c.report.Gateway != name || c.report.State < outbox.OnItsWay || c.report.State > outbox.Delivered || len(c.report.Code) > 40) {
				t.Errorf("%s: %+v, %v", name, c, err)
			}
		}
	})
}
