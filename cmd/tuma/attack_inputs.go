package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tuma/agents/portal"
	"tuma/ussd"
)

// malformed throws junk at every way in. Nothing may fail for it, and no money
// may move.
func (a *attack) malformed(ctx context.Context) error {
	if err := a.atRest(ctx); err != nil {
		return err
	}
	before, err := a.money(ctx)
	if err != nil {
		return err
	}
	until := time.Now().Add(24 * time.Hour)
	if a.For > 0 {
		until = time.Now().Add(a.For)
	}
	var thrown atomic.Int64
	err = a.manyUntil(ctx, until, "malformed inputs", a.Inputs, func(ctx context.Context, w *attacker) error {
		thrown.Add(1)
		switch n := w.IntN(100); {
		case n < 30:
			return w.keyIn(ctx)
		case n < 54:
			w.judge(w.dialectShot().send(ctx))
		case n < 74:
			w.judge(w.callbackShot().send(ctx))
		case n < 92:
			return w.portalShot(ctx)
		case n < 98:
			w.judge(w.addressShot().send(ctx))
		default:
			w.rawShot()
		}
		return nil
	})
	if err != nil {
		return err
	}
	a.result.Inputs = int(thrown.Load())
	if err := a.atRest(ctx); err != nil {
		return err
	}
	after, err := a.money(ctx)
	if err == nil && after != before {
		a.result.found("money moved", "from %s to %s", before, after)
	}
	return err
}

const sqlMoney = `
select concat_ws(' ', (select count(*) from entry), (select count(*) from airtime_order), (select count(*) from float_request where receipt is not null),
                 (select md5(string_agg(id || ':' || balance, ',' order by id)) from account))`

// money is what no junk may change.
func (a *attack) money(ctx context.Context) (all string, err error) {
	err = a.pool.Get(ctx, &all, sqlMoney)
	return all, err
}

// atRest waits until nothing is owed to anybody any more.
func (a *attack) atRest(ctx context.Context) error {
	for until := time.Now().Add(quietLimit); ; time.Sleep(50 * time.Millisecond) {
		var left int
		if err := a.pool.Get(ctx, &left, sqlAtRest); err != nil || left == 0 {
			return err
		}
		if time.Now().After(until) {
			return fmt.Errorf("%d notices are still waiting after %v", left, quietLimit)
		}
	}
}

// answered is what came of one shot.
type answered struct {
	shot
	status int
	said   string
}

func (s shot) send(ctx context.Context) answered {
	status, said, _ := s.fire(ctx)
	return answered{s, status, said}
}

// insides are signs that an answer tells of the service's inside.
var insides = []string{"pq:", "panic", "goroutine", ".go:", "sql:", "redis:", "tuma/internal"}

// judge wants what any answer must be, whatever was asked.
func (a *attack) judge(s answered) {
	a.result.status(s.kind, s.status)
	if s.status >= 500 && (s.status != http.StatusServiceUnavailable || len(s.said) < 5) {
		a.result.found("5xx", "%d %.200q to %s %.200q %.300q", s.status, s.said, s.method, s.path, s.body)
	}
	for _, word := range insides {
		if s.status >= 400 && strings.Contains(s.said, word) && !strings.Contains(s.body+s.path, word) {
			a.result.found("tells of the inside", "%d %.300q to %s %.200q", s.status, s.said, s.method, s.path)
		}
	}
	if slices.ContainsFunc(sorry(), func(text string) bool { return strings.Contains(s.said, text) }) {
		a.result.mu.Lock()
		a.result.Sorry++ // the log says why, and is searched
		a.result.mu.Unlock()
	}
}

// sorry is what phones and browsers are told when something of ours went wrong.
var sorry = sync.OnceValue(func() (texts []string) {
	words, err := ussd.Words()
	if err != nil {
		panic(err) // they are part of this program
	}
	for _, lang := range words.Languages() {
		t, _ := words.Text(lang, "sorry")
		texts = append(texts, t.Body)
	}
	return texts
})

// dialogue is a session under way, into which junk is keyed.
type dialogue struct {
	session, number, text string
	left                  int // answers before another is begun
}

// What leads to each of the screens that ask, for who dials. %s is a customer.
var (
	customerPaths = []string{"", "1", "1*%s", "1*%s*10", "2", "2*100001", "2*100001*50", "3", "3*2", "3*1", "3*1*10", "4", "4*1", "4*2", "4*3", "4*4", "5"}
	operatorPaths = []string{"", "1", "1*%s", "1*%s*10", "2", "2*0733999999", "2*0733999999*BETI OTI", "2*0733999999*BETI OTI*34567899", "3", "4", "5", "6", "7"}
	strangerPaths = []string{"", "1", "1*WANJA OTI", "1*WANJA OTI*34567801", "2"}
)

// keyIn gives one more answer that is none to a question of the menu.
func (w *attacker) keyIn(ctx context.Context) error {
	if w.menu.left == 0 {
		w.serial++
		who := []struct {
			number string
			paths  []string
		}{{w.customer, customerPaths}, {w.customer, customerPaths}, {w.operator, operatorPaths}, {w.stranger, strangerPaths}}
		p := oneOf(w.dice, who)
		path := oneOf(w.dice, p.paths)
		if strings.Contains(path, "%s") {
			path = fmt.Sprintf(path, "0"+w.attackers[(w.n+1)%len(w.attackers)].customer[4:])
		}
		w.menu = dialogue{session: fmt.Sprintf("in-%d-n%d", w.n, w.serial), number: p.number, text: path, left: 1 + w.IntN(30)}
		w.judge(w.ussd(w.serial%2 == 0, w.menu.session, w.menu.number, path).send(ctx)) // not counted: it is well-formed
	}
	w.menu.left--
	if w.menu.text += "*" + w.junk(); len(w.menu.text) > 12_000 {
		w.menu.left = 0
	}
	s := w.ussd(w.IntN(2) == 0, w.menu.session, w.menu.number, w.menu.text).send(ctx)
	w.judge(s)
	switch {
	case s.status == 200 && strings.HasPrefix(s.said, "END "):
		w.menu.left = 0
	case s.status == 200 && !strings.HasPrefix(s.said, "CON "):
		w.result.found("neither CON nor END", "%.200q to %.300q", s.said, s.body)
	}
	return nil
}

// wire is a gateway's request in its own form.
type wire struct {
	path, kind string // form, query, json or xml
	fields     []string
}

var wires = map[string][]wire{
	"africastalking": {{"", "form", []string{"sessionId", "phoneNumber", "serviceCode", "networkCode", "text"}}, {"/events", "form", []string{"sessionId", "phoneNumber", "serviceCode", "input", "status", "durationInMillis"}}},
	"airtel":         {{"", "query", []string{"SessionID", "MSISDN", "MSC", "input"}}, {"", "query", []string{"SessionID", "msisdn", "clean", "error"}}},
	"arkesel":        {{"", "json", []string{"sessionID", "userID", "newSession", "msisdn", "userData"}}},
	"beem":           {{"", "json", []string{"command", "msisdn", "session_id", "operator", "payload.request_id", "payload.response"}}},
	"hubtel":         {{"", "json", []string{"SessionId", "Mobile", "Type", "Message", "Sequence"}}},
	"infobip":        {{"/session/{}/start", "json", []string{"msisdn", "text"}}, {"/session/{}/response", "json", []string{"msisdn", "text"}}, {"/session/{}/end", "json", []string{"msisdn"}}, {"/session/{}/status", "query", nil}},
	"mtech":          {{"", "xml", []string{"session_id", "page_id", "mobile_number", "gate", "data", "status"}}},
	"nalo":           {{"", "json", []string{"USERID", "SESSIONID", "MSISDN", "USERDATA", "MSGTYPE"}}},
	"safaricom":      {{"", "query", []string{"ORIG", "DEST", "SESSION_ID", "USSD_PARAMS"}}},
}

func attackDialects() []string { return ussd.Dialects() }

// plausible is a value that a field could have.
func (w *attacker) plausible(field string) string {
	switch f := strings.ToLower(field); {
	case strings.Contains(f, "session"):
		return fmt.Sprintf("d-%d-%d", w.n, w.IntN(50))
	case strings.Contains(f, "msisdn"), strings.Contains(f, "number"), f == "mobile", f == "orig", f == "from", f == "to", f == "who", f == "whom":
		return oneOf(w.dice, []string{w.customer, w.stranger, w.operator})
	case f == "dest", f == "gate", f == "servicecode", f == "msc":
		return kenyaSettings.ServiceCode
	case f == "newsession", f == "msgtype":
		return oneOf(w.dice, []string{"true", "false"})
	case f == "type":
		return oneOf(w.dice, []string{"Initiation", "Response", "Release", "Timeout"})
	case f == "command":
		return oneOf(w.dice, []string{"initiate", "continue", "terminate"})
	case f == "till":
		return "100001"
	case f == "amount", f == "cash", f == "closing", f == "low", f == "sequence", strings.HasSuffix(f, "_id"), f == "code", f == "id":
		return fmt.Sprint(1 + w.IntN(900))
	}
	return oneOf(w.dice, []string{"1", "2", "*334#", "0", "x"})
}

// spoiled are a request's fields with something wrong in them: junk, nothing,
// the same twice, what nobody asked for.
func (w *attacker) spoiled(fields []string) (pairs [][2]string) {
	bad := w.IntN(max(1, len(fields)))
	for i, f := range fields {
		switch {
		case i != bad && w.IntN(6) > 0:
			pairs = append(pairs, [2]string{f, w.plausible(f)})
		case w.IntN(8) == 0: // missing
		case w.IntN(8) == 0:
			pairs = append(pairs, [2]string{f, w.plausible(f)}, [2]string{f, w.junk()})
		default:
			pairs = append(pairs, [2]string{f, w.junk()})
		}
	}
	if w.IntN(8) == 0 {
		pairs = append(pairs, [2]string{w.junk(), w.junk()})
	}
	return pairs
}

func encoded(pairs [][2]string) string {
	var parts []string
	for _, p := range pairs {
		parts = append(parts, url.QueryEscape(p[0])+"="+url.QueryEscape(p[1]))
	}
	return strings.Join(parts, "&")
}

// write puts fields into a body, and often breaks its form, too.
func (w *attacker) write(kind string, pairs [][2]string) (body, contentType string) {
	switch kind {
	case "json":
		var parts []string
		inner := map[string][]string{}
		for _, p := range pairs {
			v, _ := json.Marshal(p[1])
			switch w.IntN(12) {
			case 0:
				v = []byte(oneOf(w.dice, []string{"null", "[]", "{}", "1e309", "-1", "[[[[1]]]]", `{"a":{"b":{}}}`, "true", "0x10", `"\ud800"`}))
			case 1:
				v = []byte(w.junk())
			}
			if outer, name, nested := strings.Cut(p[0], "."); nested {
				inner[outer] = append(inner[outer], fmt.Sprintf("%q:%s", name, v))
				continue
			}
			name, _ := json.Marshal(p[0])
			parts = append(parts, string(name)+":"+string(v))
		}
		for name, members := range inner {
			parts = append(parts, fmt.Sprintf("%q:{%s}", name, strings.Join(members, ",")))
		}
		body, contentType = "{"+strings.Join(parts, ",")+"}", "application/json"
	case "xml":
		var b strings.Builder
		for _, p := range pairs {
			v := p[1]
			if w.IntN(3) > 0 {
				v = strings.NewReplacer("<", "&lt;", "&", "&amp;").Replace(v)
			}
			fmt.Fprintf(&b, "<%s>%s</%[1]s>", p[0], v)
		}
		body, contentType = oneOf(w.dice, []string{"", `<?xml version="1.0"?>`, `<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>`})+"<request>"+b.String()+"</request>", "text/xml"
	default:
		body, contentType = encoded(pairs), formType
	}
	switch w.IntN(25) {
	case 0:
		body = w.mutate(body)
	case 1:
		body = body[:w.IntN(len(body)+1)]
	case 2:
		body += body
	case 3:
		contentType = oneOf(w.dice, []string{"", "text/plain", "application/json", formType, "multipart/form-data; boundary=x", formType + "; charset=utf-16", ";;", "application/xml"})
	}
	return body, contentType
}

func (w *attacker) dialectShot() shot {
	name := oneOf(w.dice, attackDialects())
	k := oneOf(w.dice, wires[name])
	s := shot{kind: "ussd " + name, by: w.ours, method: "POST", base: w.byAddress, path: "/ussd/" + name, header: http.Header{}}
	if w.IntN(2) == 0 {
		s.base, s.path = w.bySecret, s.path+"/"+attackUSSD
	}
	s.path += strings.Replace(k.path, "{}", url.PathEscape(oneOf(w.dice, []string{fmt.Sprintf("d-%d-%d", w.n, w.IntN(50)), w.junk()})), 1)
	return w.filled(s, k)
}

func (w *attacker) filled(s shot, k wire) shot {
	pairs := w.spoiled(k.fields)
	if k.kind == "query" {
		s.method = "GET"
		s.path += "?" + encoded(pairs)
		return s
	}
	body, contentType := w.write(k.kind, pairs)
	s.body = body
	s.header.Set("Content-Type", contentType)
	return s
}

// callbackShot is an SMS gateway's, signed where it signs, with junk in it.
func (w *attacker) callbackShot() shot {
	s := shot{by: w.ours, method: "POST", base: w.byAddress, header: http.Header{}}
	secret := ""
	if w.IntN(2) == 0 {
		s.base, secret = w.bySecret, "/"+attackSMS
	}
	switch w.IntN(6) {
	case 0, 1:
		s.kind, s.path = "sms twilio", oneOf(w.dice, []string{"/sms/twilio/inbound", "/sms/twilio/status", "/sms/twilio/status?ref=" + url.QueryEscape(w.junk())})
		form := url.Values{"AccountSid": {devTwilioSID}}
		for _, p := range w.spoiled([]string{"MessageSid", "From", "To", "Body", "MessageStatus", "ErrorCode", "NumMedia"}) {
			form.Set(p[0], p[1])
		}
		if w.IntN(4) > 0 {
			form.Set("MessageSid", fmt.Sprintf("SM%016x%016x", w.n, w.Uint64()))
		}
		s.body = form.Encode()
		s.header = typed(formType)
		s.header.Set("X-Twilio-Signature", twilioSignature(attackToken, attackPublic+s.path, form))
		return s
	case 2:
		s.kind, s.path = "sms africastalking", "/sms/africastalking"+secret+"/inbound"
		return w.filled(s, wire{kind: "form", fields: []string{"from", "to", "text", "date", "id", "linkId"}})
	case 3:
		s.kind, s.path = "sms africastalking", "/sms/africastalking"+secret+"/status"
		return w.filled(s, wire{kind: "form", fields: []string{"id", "status", "phoneNumber", "networkCode", "failureReason"}})
	case 4:
		s.kind, s.path = "sms kannel", "/sms/kannel"+secret+"/inbound"
		return w.filled(s, wire{kind: "query", fields: []string{"id", "from", "to", "text", "coding"}})
	}
	s.kind, s.path = "sms kannel", "/sms/kannel"+secret+"/status"
	return w.filled(s, wire{kind: "query", fields: []string{"id", "status"}})
}

// portalFields are what the portal's forms have, beside the form's own key.
var portalFields = []string{"all", "amount", "bank", "before", "born", "cash", "closing", "code", "day", "decide", "do", "find", "from", "id", "kind", "lang", "low", "name", "next", "number", "outcome", "password", "pin", "reason", "ref", "role", "rule", "statement", "till", "to", "was", "what", "who", "whom"}

// portalShot is any address of the portal, asked by somebody or by nobody, with
// junk in its path, query, form and headers.
func (w *attacker) portalShot(ctx context.Context) error {
	who := oneOf(w.dice, []string{"", w.operator, w.operator, demoMaker, demoChecker, demoCare})
	v, err := w.visit(ctx, who)
	if err != nil {
		return err
	}
	method, path, _ := strings.Cut(oneOf(w.dice, portal.Routes()), " ")
	if path == "/agents/out" || strings.HasPrefix(path, "/agents/staff/in") && method == "POST" && w.IntN(200) > 0 { // a password takes 75 ms of a core
		path, method = "/agents/in", "GET"
	}
	parts := strings.Split(strings.TrimSuffix(path, "{$}"), "/")
	for i, p := range parts {
		if strings.HasPrefix(p, "{") {
			parts[i] = url.PathEscape(w.junk())
			if len(parts[i]) > 4000 {
				parts[i] = parts[i][:4000]
			}
		}
	}
	s := shot{kind: "portal", by: w.ours, method: method, base: oneOf(w.dice, []string{w.byAddress, w.bySecret}), path: strings.Join(parts, "/"), header: v.header()}
	var names []string
	for range 1 + w.IntN(8) {
		names = append(names, oneOf(w.dice, portalFields))
	}
	pairs := w.spoiled(names)
	switch {
	case method == "GET":
		if s.path += "?" + encoded(pairs); len(s.path) > 12_000 {
			s.path = s.path[:12_000]
		}
	case w.IntN(10) == 0:
		s.header.Set("Content-Type", "multipart/form-data; boundary=b")
		s.body = fmt.Sprintf("--b\r\nContent-Disposition: form-data; name=\"form\"\r\n\r\n%s\r\n", v.form)
		for _, p := range pairs {
			s.body += fmt.Sprintf("--b\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", p[0], p[1])
		}
		s.body += "--b\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"x.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8\xff" + w.junk() + oneOf(w.dice, []string{"\r\n--b--\r\n", "", "\r\n--b"})
	default:
		if w.IntN(10) > 0 {
			pairs = append(pairs, [2]string{"form", v.form})
		}
		body, contentType := w.write("form", pairs)
		s.body = body
		s.header.Set("Content-Type", contentType)
	}
	switch w.IntN(20) {
	case 0:
		s.header.Set("Accept-Language", printable(w.junk()))
	case 1:
		s.header.Add("Cookie", printable("tuma-lang="+w.junk()))
	case 2:
		s.header.Set("Origin", oneOf(w.dice, []string{"https://elsewhere.example", "null", printable(w.junk())}))
	}
	w.judge(s.send(ctx))
	return nil
}

// printable leaves out what a client does not send in a header.
func printable(v string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, v[:min(len(v), 6000)])
}

// addressShot asks for what there is not, in ways that nobody should.
func (w *attacker) addressShot() shot {
	path := oneOf(w.dice, []string{"/healthz", "/readyz", "/ussd/", "/ussd/nobody", "/sms/", "/sms/nobody/inbound", "/agents/static/", "/metrics", "/debug/pprof/", "/.git/config", "/agents/../../etc/passwd", "/"})
	if w.IntN(2) == 0 {
		path += url.PathEscape(w.junk())
	}
	s := shot{kind: "other addresses", by: w.ours, base: oneOf(w.dice, []string{w.byAddress, w.bySecret}), path: path[:min(len(path), 8000)], header: http.Header{}}
	s.method = oneOf(w.dice, []string{"GET", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PAY"})
	if s.method != "GET" && s.method != "HEAD" {
		s.body = w.junk()
	}
	for range w.IntN(4) {
		s.header.Set(oneOf(w.dice, []string{"X-Forwarded-For", "X-HTTP-Method-Override", "Host", "Range", "If-None-Match", "Content-Encoding", "Authorization", "Expect", "Accept", "Forwarded"}), printable(w.junk()))
	}
	if s.header.Get("Host") != "" {
		s.header.Set("Host", "elsewhere.example")
	}
	return s
}

// rawShot is bytes that no client would send.
func (w *attacker) rawShot() {
	to := strings.TrimPrefix(oneOf(w.dice, []string{w.byAddress, w.bySecret}), "http://")
	conn, err := net.Dial("tcp", to)
	if err != nil {
		w.result.status("raw bytes", 0)
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	head := "POST /ussd/africastalking HTTP/1.1\r\nHost: x\r\nContent-Type: " + formType + "\r\n"
	all := oneOf(w.dice, []string{
		w.junk() + "\r\n\r\n", "GET " + w.junk() + " HTTP/1.1\r\nHost: x\r\n\r\n", head + w.junk() + ": " + w.junk() + "\r\n\r\n", head + "Content-Length: -1\r\n\r\n",
		head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\ntext=1", head + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
		head + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", head + "Content-Length: 99999999999999999999\r\n\r\n", "GET //agents/ HTTP/1.1\r\nHost: " + w.junk() + "\r\n\r\n",
		"GET /agents/ HTTP/1.1\r\n\r\n", "GET /agents/ HTTP/9.9\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00", head + "X: " + strings.Repeat("y", 40_000) + "\r\n\r\n",
		"GET http://169.254.169.254/latest/meta-data HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n", "CONNECT 127.0.0.1:5432 HTTP/1.1\r\nHost: x\r\n\r\n", head + "Connection: keep-alive, Upgrade\r\nUpgrade: h2c\r\n\r\n",
	})
	go func() { // the service may answer before it has read everything
		io.WriteString(conn, all)
		if c, ok := conn.(*net.TCPConn); ok {
			c.CloseWrite()
		}
	}()
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	s := answered{shot: shot{kind: "raw bytes", path: all}}
	if err == nil {
		b, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
		s.status, s.said = answer.StatusCode, string(b)
		answer.Body.Close()
	}
	// 501 and 505 are what HTTP itself says to a coding or version that it does not know.
	if s.status == http.StatusNotImplemented || s.status == http.StatusHTTPVersionNotSupported {
		w.result.status(s.kind, s.status)
		return
	}
	w.judge(s)
}
