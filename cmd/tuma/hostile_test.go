package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// asking are the screens that ask, and how to get there. Of two that look the
// same the name is the first one's.
var asking = []struct{ number, path, screen string }{
	{"+254712000001", "", "customer"}, {"+254712000001", "1", "send"}, {"+254712000001", "1*0712000002", "send_amount"}, {"+254712000001", "1*0712000002*10", "send_pin"},
	{"+254712000001", "2", "withdraw"}, {"+254712000001", "2*100001", "withdraw_amount"}, {"+254712000001", "2*100001*50", "withdraw_pin"},
	{"+254712000001", "3", "airtime"}, {"+254712000001", "3*2", "airtime_other"}, {"+254712000001", "3*1", "airtime_amount"}, {"+254712000001", "3*1*10", "airtime_pin"},
	{"+254712000001", "4", "account"}, {"+254712000001", "4*1", "balance"}, {"+254712000001", "4*2", "mini"}, {"+254712000001", "4*3", "change_pin"}, {"+254712000001", "4*4", "first_language"},
	{"+254722000001", "", "operator"}, {"+254722000001", "1", "deposit"}, {"+254722000001", "1*0712000001", "deposit_amount"}, {"+254722000001", "1*0712000001*10", "deposit_pin"},
	{"+254722000001", "2", "deposit"}, {"+254722000001", "2*0733000005", "enrol_name"}, {"+254722000001", "2*0733000005*BETI OTI", "enrol_id"},
	{"+254722000001", "2*0733000005*BETI OTI*34567899", "enrol_pin"}, {"+254722000001", "3", "float"}, {"+254722000001", "4", "last"},
	{"+254722000001", "9", "counter"}, {"+254722000001", "9*3", "float_buy"}, {"+254722000001", "9*4", "float_move"}, {"+254722000001", "9*5", "float_return"},
	{"+254722000001", "9*6", "earned"}, {"+254722000001", "9*6*2", "payout"}, {"+254722000001", "9*7", "undo"}, {"+254722000001", "9*8", "staff"},
	{"+254733000009", "", "stranger"}, {"+254733000009", "1", "register"}, {"+254733000009", "1*WANJA OTI", "register_id"}, {"+254733000009", "1*WANJA OTI*34567801", "first_pin"},
	{"+254733000009", "2", "first_language"},
}

// books is everything that money and people are, in one line.
func (b *bank) books() string {
	b.t.Helper()
	var all []string
	for _, table := range []string{"account", "entry", "posting", "entry_ref", "customer", "sim", "pin", "airtime_order", "till", "operator", "staff", "float_request", "agent", "tariff", "tier", "tax"} {
		var n int
		var sum string
		b.must(b.super.QueryRow(`select count(*), coalesce(md5(string_agg(t::text, ',' order by t::text)), '') from `+table+` t`).Scan(&n, &sum))
		all = append(all, fmt.Sprintf("%s %d %s", table, n, sum))
	}
	return strings.Join(all, "\n")
}

// unchanged compares with what the books were when it was called.
func (b *bank) unchanged() func() {
	b.t.Helper()
	b.settled()
	before := b.books()
	return func() {
		b.t.Helper()
		if after := b.books(); after != before {
			b.t.Errorf("the books have changed from\n%s\nto\n%s", before, after)
		}
	}
}

// TestHostileAnswers keys everything hostile in wherever something is asked:
// each time the question is asked again, under a line that says why.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	defer b.unchanged()()
	for i, q := range asking {
		b.flush() // no "continue?" from the last one
		session, text := fmt.Sprintf("h%d", i), q.path
		if s, err := look(b.ask(session, q.number, text)); err != nil || s.Screen != q.screen {
			t.Errorf("%s leads to %+v %v, not %s", q.path, s, err, q.screen)
			continue
		}
		for n, v := range hostile {
			if harmless(q.screen, v) {
				continue
			}
			if n%40 == 39 { // a session has an end
				b.flush()
				session, text = session+"-on", q.path
				b.ask(session, q.number, text)
			}
			if text != "" {
				text += "*"
			}
			text += v
			if text == "" { // the first request once more
				continue
			}
			s, err := look(b.ask(session, q.number, text))
			switch {
			case err != nil:
				t.Errorf("%q at %s: %v", v, q.screen, err)
			case s.Screen == "over" || s.End || s.Screen != q.screen || s.Problem == "":
				t.Errorf("%q at %s: %+v", v, q.screen, s)
			}
		}
	}
	if strings.Contains(b.log.String(), "level=ERROR") {
		t.Errorf("the log has errors:\n%s", b.log)
	}
}

// harmless are answers that a screen may take: a name of letters, an ID that
// looks like a scientific number, and what is an answer to nothing anywhere.
func harmless(screen, v string) bool {
	switch screen {
	case "register", "enrol_name":
		return v == "NaN" || v == "Infinity"
	case "register_id", "enrol_id":
		return v == "1E309"
	}
	return false
}

// TestHostileForms sends the two USSD endpoints everything that is not a
// gateway's form.
func TestHostileForms(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	defer b.unchanged()()
	for _, path := range []string{"/ussd/africastalking", "/ussd/africastalking/events"} {
		for _, field := range []string{"sessionId", "phoneNumber", "serviceCode", "networkCode", "text", "input", "date"} {
			for i, v := range append(hostile, strings.Repeat("x", 15_000), "+2547120000011111111", "254712000001", "+000000000000", "*334", "*334#*334#") {
				form := ussdForm(fmt.Sprintf("f%d", i), "+254712000001", "")
				form.Set(field, v)
				status, body, err := postForm(b.url+path, form)
				if err != nil {
					t.Fatal(err)
				}
				b.wantAnswer(fmt.Sprintf("%s %s=%.40q", path, field, v), status, body, status == 200 || status == 400)
				must400 := (field == "phoneNumber" || field == "serviceCode") || field == "sessionId" && strings.TrimSpace(v) == ""
				if must400 && status != 400 {
					t.Errorf("%s=%.40q: %d %s", field, v, status, body)
				}
				if _, err := look(body); status == 200 && path == "/ussd/africastalking" && err != nil {
					t.Errorf("%s=%.40q: %v", field, v, err)
				}
			}
		}
		good := ussdForm("g", "+254712000001", "").Encode()
		const kind = "application/x-www-form-urlencoded"
		for _, c := range []struct {
			name, method, kind, body string
			want                     int
		}{
			{"nothing", "POST", kind, "", 400},
			{"no fields", "POST", kind, "&&&", 400},
			{"a bad escape", "POST", kind, good + "%zz", 400},
			{"a semicolon", "POST", kind, strings.ReplaceAll(good, "&", ";"), 400},
			{"a field twice", "POST", kind, good + "&text=1", 400},
			{"a number twice", "POST", kind, good + "&phoneNumber=%2B254712000002", 400},
			{"JSON", "POST", "application/json", `{"sessionId":"g","phoneNumber":"+254712000001","serviceCode":"*334#","text":""}`, 415},
			{"a form as JSON", "POST", "application/json", good, 415},
			{"a form as multipart", "POST", "multipart/form-data; boundary=x", good, 415},
			{"no type", "POST", "", good, 415},
			{"a broken type", "POST", "application/x-www-form-urlencoded; charset=", good, 415},
			{"a megabyte", "POST", kind, good + "&more=" + strings.Repeat("x", 1<<20), 413},
			{"a megabyte of text", "POST", kind, good + strings.Repeat("9", 1<<20), 413},
			{"a thousand fields", "POST", kind, good + strings.Repeat("&a=b", 1000), 200},
			{"GET", "GET", kind, "", 405}, {"PUT", "PUT", kind, good, 405}, {"DELETE", "DELETE", "", "", 405}, {"PATCH", "PATCH", kind, good, 405},
			{"OPTIONS", "OPTIONS", "", "", 405}, {"TRACE", "TRACE", "", "", 405}, {"a method of its own", "PAY", kind, good, 405},
		} {
			status, body := b.request(c.method, path, c.kind, c.body, nil)
			b.wantAnswer(path+" "+c.name, status, body, status == c.want)
		}
	}
}

// request sends anything anywhere.
func (b *bank) request(method, path, kind, body string, header http.Header) (int, string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	b.must(err)
	for name, values := range header {
		r.Header[name] = values
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	resp, err := impatient.Do(r)
	b.must(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	b.must(err)
	return resp.StatusCode, string(answer)
}

// wantAnswer wants a clear one: as expected, never a 5xx, a sentence with every
// 4xx, and nothing of the service's inside.
func (b *bank) wantAnswer(what string, status int, body string, expected bool) {
	b.t.Helper()
	if !expected || status >= 500 || status >= 400 && len(strings.TrimSpace(body)) < 5 {
		b.t.Errorf("%s: %d %.300q", what, status, body)
	}
	for _, inside := range []string{"pq:", "panic", "goroutine", ".go:", "sql:", "redis:", "SELECT", "tuma/"} {
		if strings.Contains(body, inside) && status >= 400 {
			b.t.Errorf("%s tells about the inside: %d %.300q", what, status, body)
		}
	}
}

// TestHostileOthers does the same to every other address: the fake Twilio, the
// airtime operator, the simulator's phones, and the probes.
func TestHostileOthers(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	defer b.unchanged()()
	twilio := "/2010-04-01/Accounts/" + devTwilioSID + "/Messages.json"
	form := "application/x-www-form-urlencoded"
	basic := func(user, password string) http.Header {
		r := &http.Request{Header: http.Header{}}
		r.SetBasicAuth(user, password)
		return r.Header
	}
	right := basic(devTwilioSID, b.twilioToken)
	for _, h := range []http.Header{nil, basic(devTwilioSID, "wrong"), basic("", ""), {"Authorization": {"Basic !!!"}}, {"Authorization": {"Bearer x"}}} {
		status, body := b.request("POST", twilio, form, "To=%2B254712000001&From=Tuma&Body=x", h)
		b.wantAnswer("Twilio with another's key", status, body, status == 401)
	}
	for _, field := range []string{"To", "From", "Body", "MessagingServiceSid", "StatusCallback"} {
		for _, v := range append(hostile, strings.Repeat("x", 2000)) {
			f := url.Values{"To": {"+254733000077"}, "From": {"Tuma"}, "Body": {"x"}}
			f.Set(field, v)
			status, body := b.request("POST", twilio, form, f.Encode(), right)
			b.wantAnswer(fmt.Sprintf("Twilio %s=%.40q", field, v), status, body, status == 400 || status == 201 && field != "To")
		}
	}
	status, body := b.request("POST", twilio, form, "To=%2B254733000077&From=Tuma&Body="+strings.Repeat("x", 1<<20), right)
	b.wantAnswer("Twilio, a megabyte", status, body, status == 413 || status == 400)

	bearer := http.Header{"Authorization": {"Bearer " + b.airtimeKey}}
	phone := "/simulator/phones/+254733000077"
	var documents []string
	for _, v := range hostile {
		documents = append(documents, fmt.Sprintf(`{"reference":%q,"msisdn":%q,"amount":%q,"currency":%q,"code":%q,"input":%q}`, v, v, v, v, v, v), v)
	}
	documents = append(documents, `{}`, `[]`, `null`, `1`, `"x"`, `{`, `{"reference":1}`, `{"amount":1e309}`, `{"amount":-5,"before_ms":-5}`, `{"before_ms":1e309}`, `{"before_ms":"1"}`, `{"before_ms":99999999999}`,
		`{"code":null,"input":null}`, `{"code":["*334#"],"input":{}}`, `{} {}`, strings.Repeat("[", 20_000), `{"code":"`+strings.Repeat("x", 1<<20)+`"}`,
		`{"reference":"r","msisdn":"+254733000077","amount":"-5","currency":"KES"}`, `{"reference":"r","msisdn":"+254733000077","amount":"1e3","currency":"KES"}`,
		`{"reference":"r","msisdn":"+254733000077","amount":"99999999999999999999","currency":"KES"}`, `{"reference":"r","msisdn":"+254733000077","amount":"5","currency":"kes"}`)
	for _, c := range []struct {
		path   string
		header http.Header
	}{{"/simulator/airtime/topup", bearer}, {phone + "/dial", nil}, {phone + "/type", nil}, {phone + "/delay", nil}} {
		for _, d := range documents {
			status, body := b.request("POST", c.path, "application/json", d, c.header)
			fine := status == 400 || status == 409 || status == 413 || status == 422
			if strings.HasSuffix(c.path, "/delay") { // fields that it does not know are none of its business
				fine = fine || status == 200
			}
			b.wantAnswer(fmt.Sprintf("%s %.60q", c.path, d), status, body, fine)
		}
		status, body := b.request("POST", c.path, form, "a=b", c.header)
		b.wantAnswer(c.path+" with a form", status, body, status == 400 || status == 415)
		status, body = b.request("GET", c.path, "", "", c.header)
		b.wantAnswer(c.path+" with GET", status, body, status == 405)
	}
	status, body = b.request("POST", "/simulator/airtime/topup", "application/json", `{}`, nil)
	b.wantAnswer("airtime without the token", status, body, status == 401)
	status, body = b.request("POST", phone+"/drop", "", "", nil)
	b.wantAnswer("dropping nothing", status, body, status == 409)
	status, body = b.request("POST", phone+"/dial", "application/json", `{"code":"*334#"}`, http.Header{"Origin": {"https://elsewhere.example"}, "Sec-Fetch-Site": {"cross-site"}})
	b.wantAnswer("another site's page", status, body, status == 403)

	for _, v := range hostile {
		for _, path := range []string{"/simulator/phones/%s", "/simulator/phones/%s/sms", "/simulator/static/%s", "/simulator/events?phone=%s", "/2010-04-01/Accounts/%s/Messages.json", "/ussd/africastalking/%s", "/%s"} {
			status, body := b.request("GET", fmt.Sprintf(path, url.PathEscape(v)), "", "", nil)
			b.wantAnswer(fmt.Sprintf("GET "+path, v), status, body, status < 500)
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		status, body := b.request("GET", path+"?x="+strings.Repeat("y", 4000), "", "", nil)
		b.wantAnswer(path, status, body, status == 200)
		for _, method := range []string{"POST", "PUT", "DELETE", "PAY"} {
			status, body := b.request(method, path, "text/plain", strings.Repeat("x", 1<<20), nil)
			b.wantAnswer(method+" "+path, status, body, status == 405)
		}
	}
}

// TestHostileConnections: what does not end is ended.
func TestHostileConnections(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	defer b.unchanged()()
	head := "POST /ussd/africastalking HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	for _, c := range []struct {
		name, begin, more, want string
	}{
		{"a body in chunks without an end", head + "Transfer-Encoding: chunked\r\n\r\n", "1000\r\n" + strings.Repeat("x", 4096) + "\r\n", "413"},
		{"a body longer than it says", head + "Content-Length: 5\r\n\r\n", "text=\r\n\r\n", "400"},
		{"a chunk that is none", head + "Transfer-Encoding: chunked\r\n\r\n", "zz\r\n", "400"},
		{"two lengths", head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "text=1", "400"},
		{"a header without an end", head, "X-More: " + strings.Repeat("y", 1000) + "\r\n", "431"},
		{"not HTTP", "\x16\x03\x01\x02\x00\x01", strings.Repeat("\x00", 100), "4"},
		{"a header that never comes", "POST /ussd", "", "4"}, // after ReadHeaderTimeout
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(12 * time.Second)); err != nil {
				t.Fatal(err)
			}
			go func() {
				_, err := io.WriteString(conn, c.begin)
				for range 2000 {
					if err != nil || c.more == "" {
						return
					}
					_, err = io.WriteString(conn, c.more)
				}
			}()
			line, err := bufio.NewReader(conn).ReadString('\n')
			if !strings.HasPrefix(line, "HTTP/1.") || !strings.HasPrefix(line[min(9, len(line)):], c.want) {
				t.Errorf("%q %v, want %s", line, err, c.want)
			}
		})
	}
	if status, body := get(t, b.url+"/healthz"); status != 200 {
		t.Errorf("afterwards: %d %s", status, body)
	}
}

// FuzzUSSDForm sends bodies that nobody thought of.
func FuzzUSSDForm(f *testing.F) {
	b := startBank(f)
	for _, v := range hostile {
		f.Add(ussdForm("s", "+254712000001", v).Encode(), false)
	}
	f.Add(ussdForm("s", "+254722000001", "1*0712000001*10").Encode(), true)
	f.Add("sessionId=%00&phoneNumber=%2B254712000001&serviceCode=%2A334%23&text=1*2*3", false)
	entries := b.count(`select count(*) from entry`)
	f.Fuzz(func(t *testing.T, body string, event bool) {
		path := "/ussd/africastalking"
		if event {
			path += "/events"
		}
		resp, err := impatient.Post(b.url+path, "application/x-www-form-urlencoded", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode >= 500 || len(answer) == 0 {
			t.Errorf("%d %q %v", resp.StatusCode, answer, err)
		}
		if resp.StatusCode == 200 && !event && string(answer) != "END " {
			if _, err := look(string(answer)); err != nil {
				t.Error(err)
			}
		}
		var n int
		if err := b.super.QueryRow(`select count(*) from entry`).Scan(&n); err != nil || n != entries && !strings.Contains(body, demoPIN) {
			t.Errorf("%d entries, there were %d (%v)", n, entries, err)
		}
	})
}
