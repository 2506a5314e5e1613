package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// twilioSignature is what Twilio sends: HMAC-SHA1 of the address and the sorted fields.
func twilioSignature(token, address string, form url.Values) string {
	h := hmac.New(sha1.New, []byte(token))
	h.Write([]byte(address))
	for _, name := range slices.Sorted(maps.Keys(form)) {
		h.Write([]byte(name + form.Get(name)))
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// forge sends callbacks that no gateway has sent. What each would do, were it
// taken, would show: a payment with the right PIN, a message, a report.
func (a *attack) forge(ctx context.Context) error {
	if err := a.genuine(ctx); err != nil {
		return err
	}
	if err := a.atRest(ctx); err != nil {
		return err
	}
	before, keys, err := a.standing(ctx)
	if err != nil {
		return err
	}
	err = a.many(ctx, "forged callbacks", a.Callbacks, func(ctx context.Context, w *attacker) error {
		s := w.forgery().send(ctx)
		if w.judge(s); s.status >= 200 && s.status < 300 { // an address with dots in it is redirected to a clean one, which is refused
			w.result.found("forged callback taken", "%d %.100q to %s %s %v %.200q", s.status, s.said, s.method, s.path, s.header, s.body)
		}
		return nil
	})
	if err != nil {
		return err
	}
	a.result.Callbacks = a.Callbacks
	if err := a.atRest(ctx); err != nil {
		return err
	}
	after, more, err := a.standing(ctx)
	if err == nil && (after != before || more > keys) {
		a.result.found("forged callback left something", "from %s, %d keys, to %s, %d keys", before, keys, after, more)
	}
	return err
}

const sqlAttackStanding = `
select concat_ws(' ', (select count(*) from entry), (select count(*) from inbound), (select count(*) from delivery), (select count(*) from approval), (select count(*) from customer),
                 (select count(*) from every_notice), (select count(*) from opted_out), (select sum(tries) from pin), (select md5(string_agg(id || ':' || balance, ',' order by id)) from account))`

// standing is everything that a callback could change, and the sessions there are.
func (a *attack) standing(ctx context.Context) (all string, keys int64, err error) {
	if err = a.pool.Get(ctx, &all, sqlAttackStanding); err != nil {
		return "", 0, err
	}
	keys, err = a.redis.DBSize(ctx).Result()
	return all, keys, err
}

const genuineSID = "SM0123456789abcdef0123456789abcdef"

// genuineMessage is one that Twilio has sent, and somebody has seen.
func genuineMessage(from string) url.Values {
	return url.Values{"AccountSid": {devTwilioSID}, "MessageSid": {genuineSID}, "From": {from}, "To": {"22334"}, "Body": {"BAL"}}
}

// genuine shows that what the forgeries imitate is taken from a real gateway.
func (a *attack) genuine(ctx context.Context) error {
	w := a.attackers[0]
	form := genuineMessage(w.customer)
	signed := shot{by: a.foreign, method: "POST", base: a.byAddress, path: "/sms/twilio/inbound", body: form.Encode(), header: typed(formType)}
	signed.header.Set("X-Twilio-Signature", twilioSignature(attackToken, attackPublic+signed.path, form))
	kannel := "?id=k1&from=254713000000&to=22334&text=BAL"
	for _, s := range []shot{
		signed,
		{by: a.ours, method: "GET", base: a.byAddress, path: "/sms/kannel/inbound" + kannel},
		{by: a.foreign, method: "GET", base: a.bySecret, path: "/sms/kannel/" + attackSMS + "/inbound" + kannel},
		{by: a.proxy, method: "GET", base: a.byAddress, path: "/sms/kannel/inbound" + kannel, header: http.Header{"X-Forwarded-For": {"127.0.0.1"}}},
		a.ussd(false, "genuine-1", w.customer, ""), a.ussd(true, "genuine-2", w.customer, ""),
	} {
		if r := s.send(ctx); r.status != http.StatusOK {
			return fmt.Errorf("a genuine callback was refused: %s %s: %d %s", s.method, s.path, r.status, r.said)
		}
	}
	return nil
}

// forgery is one of a kind chosen at random.
func (w *attacker) forgery() shot {
	if w.IntN(3) == 0 {
		return w.twilioForgery()
	}
	s := w.unsigned()
	if w.IntN(2) == 0 {
		return w.fromElsewhere(s)
	}
	return w.withoutSecret(s)
}

// twilioForgery is signed wrongly, or signed for something else.
func (w *attacker) twilioForgery() shot {
	w.serial++
	form := url.Values{"AccountSid": {devTwilioSID}, "MessageSid": {fmt.Sprintf("SM%016x%016x", w.n, w.serial)}, "From": {w.customer}, "To": {"22334"}, "Body": {oneOf(w.dice, []string{"BAL", "SEND 50 0712000002", "STOP"})}}
	path := "/sms/twilio/inbound"
	if w.IntN(3) == 0 {
		path = "/sms/twilio/status"
		form = url.Values{"AccountSid": {devTwilioSID}, "MessageSid": form["MessageSid"], "MessageStatus": {"delivered"}}
	}
	s := shot{kind: "forged twilio", by: oneOf(w.dice, []*http.Client{w.ours, w.foreign}), method: "POST", base: oneOf(w.dice, []string{w.byAddress, w.bySecret}), path: path, header: typed(formType)}
	right := twilioSignature(attackToken, attackPublic+path, form)
	signature := right
	other := func(change func(f url.Values)) {
		f := maps.Clone(form)
		change(f)
		form = f
	}
	switch w.IntN(18) {
	case 0:
		signature = ""
	case 1:
		signature = base64.StdEncoding.EncodeToString([]byte(w.junk()))
	case 2:
		signature = twilioSignature(w.mutate(attackToken)+"x", attackPublic+path, form)
	case 3: // made for another address
		signature = twilioSignature(attackToken, oneOf(w.dice, []string{"http://tuma.example", "https://tuma.example.", "https://TUMA.example", "https://tuma.example:8443", "https://elsewhere.example", "https://user@tuma.example", w.byAddress, ""})+path, form)
	case 4:
		signature = twilioSignature(attackToken, attackPublic+oneOf(w.dice, []string{"/sms/twilio/status", "/sms/twilio/inbound/", "/sms/twilio", path + "?x=1"}), url.Values{"AccountSid": {devTwilioSID}})
	case 5: // altered after it was signed
		other(func(f url.Values) { f.Set("Body", "SEND 9000 0712000003"); f.Set("MessageStatus", "failed") })
	case 6:
		other(func(f url.Values) { f.Set("From", w.attackers[(w.n+1)%len(w.attackers)].customer+"0") })
	case 7:
		other(func(f url.Values) { f.Set("More", w.junk()+"x") })
	case 8:
		other(func(f url.Values) { f.Del("MessageSid") })
	case 9: // a genuine one, with a field's end moved: names and values are signed without anything between them
		s.path = "/sms/twilio/inbound"
		form = genuineMessage(w.attackers[0].customer)
		signature = twilioSignature(attackToken, attackPublic+s.path, form)
		other(func(f url.Values) { f.Del("To"); f.Set("MessageSid", genuineSID+"To22334") })
	case 10: // doubled
		s.body = form.Encode() + "&Body=" + url.QueryEscape("SEND 50 0712000002") + "&Body=x"
	case 11: // what is signed goes on in the address
		s.path += "?" + oneOf(w.dice, []string{"Body=BAL", "x", "ref=entry:1", "%2e%2e"})
	case 12:
		s.header.Add("X-Twilio-Signature", "x")
	case 13:
		signature = oneOf(w.dice, []string{right[:len(right)-1], right + "=", strings.ToLower(right), " " + right[1:], right[:27] + "A"})
	case 14:
		s.header = typed("application/json")
		b, _ := json.Marshal(form)
		s.body = string(b)
	case 15:
		other(func(f url.Values) { f.Set("AccountSid", "AC00000000000000000000000000000000") })
		signature = twilioSignature(attackToken, attackPublic+path, form)
	case 16:
		s.path += "?X-Twilio-Signature=" + url.QueryEscape(right)
		signature = ""
	default: // a genuine one, whose text is replaced
		form = genuineMessage(w.customer)
		signature = twilioSignature(attackToken, attackPublic+"/sms/twilio/inbound", form)
		other(func(f url.Values) { f.Set("Body", w.junk()+"x") })
	}
	if signature != "" {
		s.header.Add("X-Twilio-Signature", printable(signature))
	}
	if s.body == "" {
		s.body = form.Encode()
	}
	return s
}

// unsigned is a request that a gateway which signs nothing could have sent, were
// it the gateway's: well-formed, and with the right PIN where one is asked for.
func (w *attacker) unsigned() shot {
	w.serial++
	id := fmt.Sprintf("forged-%d-n%d", w.n, w.serial)
	number := w.customer[1:]
	text := oneOf(w.dice, []string{"", "1*0712000002*10", "4*1*" + w.pins[w.n%3], "1*0712000002*10*" + w.pins[w.n%3]})
	query := func(pairs ...string) string {
		f := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			f.Set(pairs[i], pairs[i+1])
		}
		return f.Encode()
	}
	object := func(v map[string]any) string { b, _ := json.Marshal(v); return string(b) }
	form, js := typed(formType), typed("application/json")
	all := []shot{
		{path: "/ussd/africastalking", method: "POST", header: form, body: query("sessionId", id, "phoneNumber", "+"+number, "serviceCode", "*334#", "text", text)},
		{path: "/ussd/africastalking", method: "POST", header: form, body: query("sessionId", "genuine-1", "phoneNumber", "+"+number, "serviceCode", "*334#", "text", text)},
		{path: "/ussd/africastalking/events", method: "POST", header: form, body: query("sessionId", id, "phoneNumber", "+"+number, "serviceCode", "*334#", "input", text)},
		{path: "/ussd/safaricom", method: "GET", body: query("ORIG", number, "DEST", "334", "SESSION_ID", id, "USSD_PARAMS", text)},
		{path: "/ussd/airtel", method: "GET", body: query("SessionID", id, "MSISDN", number, "MSC", "x", "input", "334")},
		{path: "/ussd/arkesel", method: "POST", header: js, body: object(map[string]any{"sessionID": id, "userID": "U", "newSession": true, "msisdn": number, "userData": "*334#"})},
		{path: "/ussd/nalo", method: "POST", header: js, body: object(map[string]any{"SESSIONID": id, "USERID": "U", "MSGTYPE": true, "MSISDN": number, "USERDATA": "*334#"})},
		{path: "/ussd/hubtel", method: "POST", header: js, body: object(map[string]any{"SessionId": id, "Mobile": number, "Type": "Initiation", "Message": "*334#", "Sequence": 1})},
		{path: "/ussd/beem", method: "POST", header: js, body: object(map[string]any{"command": "initiate", "msisdn": number, "session_id": id, "operator": "x", "payload": map[string]any{"request_id": 0, "response": 0}})},
		{path: "/ussd/infobip", method: "POST", header: js, body: object(map[string]any{"msisdn": number, "text": "*334#"})},
		{path: "/ussd/mtech", method: "POST", header: typed("text/xml"), body: "<r><session_id>" + id + "</session_id><page_id>0</page_id><mobile_number>" + number + "</mobile_number><data>*334#</data></r>"},
		{path: "/sms/africastalking/inbound", method: "POST", header: form, body: query("from", "+"+number, "to", "22334", "text", "BAL", "id", id)},
		{path: "/sms/africastalking/status", method: "POST", header: form, body: query("id", id, "status", "Success")},
		{path: "/sms/kannel/inbound", method: "GET", body: query("id", id, "from", number, "to", "22334", "text", "BAL")},
		{path: "/sms/kannel/status", method: "GET", body: query("id", id, "status", "1")},
	}
	s := oneOf(w.dice, all)
	if parts := strings.Split(s.path, "/"); len(parts) > 2 {
		s.kind = "forged " + parts[1] + " " + parts[2]
	}
	if s.path == "/ussd/infobip" {
		s.path += "/session/" + id + "/start"
	}
	s.by = w.foreign
	return s
}

// asSent puts a GET's fields into its address.
func (s shot) asSent() shot {
	if s.method == "GET" {
		s.path, s.body = s.path+"?"+s.body, ""
	}
	if s.header = s.header.Clone(); s.header == nil {
		s.header = http.Header{}
	}
	return s
}

// fromElsewhere calls the process that knows gateways by their address, from
// another one, and says that it is theirs.
func (w *attacker) fromElsewhere(s shot) shot {
	s = s.asSent()
	s.base = w.byAddress
	says := func(name string, values ...string) { s.header[http.CanonicalHeaderKey(name)] = values }
	switch w.IntN(10) {
	case 0: // says nothing
	case 1:
		says("X-Forwarded-For", "127.0.0.1")
	case 2:
		says("X-Forwarded-For", "127.0.0.1, 127.0.0.1", "127.0.0.1")
	case 3:
		says("X-Real-IP", "127.0.0.1")
		says("Forwarded", "for=127.0.0.1")
		says("True-Client-IP", "127.0.0.1")
		says("CF-Connecting-IP", "127.0.0.1")
	case 4:
		says("X-Forwarded-For", "127.0.0.9")
	case 5: // through our own proxy, which says who called: what the caller said stands before that
		s.by = w.proxy
		says("X-Forwarded-For", "127.0.0.1, 203.0.113.7")
	case 6:
		s.by = w.proxy
		says("X-Forwarded-For", "127.0.0.1", "203.0.113.7")
	case 7:
		s.by = w.proxy
		says("X-Forwarded-For", oneOf(w.dice, []string{"", "unknown", "127.0.0.1:80, x", "127.0.0.1, 127.0.0.2", "::ffff:203.0.113.7", printable(w.junk()) + ","}))
	case 8:
		says("Host", "127.0.0.1")
		says("X-Forwarded-Host", "127.0.0.1")
		says("Origin", "http://127.0.0.1")
	default: // with the other process's secret, which this one does not know
		parts := strings.SplitN(s.path, "/", 4)
		if len(parts) == 4 {
			s.path = "/" + parts[1] + "/" + parts[2] + "/" + attackSMS + "/" + parts[3]
		} else if at := strings.IndexByte(s.path, '?'); at > 0 {
			s.path = s.path[:at] + "/" + attackUSSD + s.path[at:]
		} else {
			s.path += "/" + attackUSSD
		}
	}
	return s
}

// withoutSecret calls the process that knows gateways by a secret, with another.
func (w *attacker) withoutSecret(s shot) shot {
	right := attackUSSD
	if strings.HasPrefix(s.path, "/sms/") {
		right = attackSMS
	}
	parts := strings.SplitN(s.path, "/", 4) // "", room, gateway, the rest
	wrong := oneOf(w.dice, []string{
		"", right[:len(right)-1], right + "x", strings.ToLower(right), right[:23] + "5", "x" + right, url.PathEscape(right + "/"), url.PathEscape("../" + right), right + "%00", "%2e%2e", right + ";x", right + "%20",
		strings.Repeat("A", 24), map[string]string{attackUSSD: attackSMS, attackSMS: attackUSSD}[right], url.PathEscape(w.junk()),
	})
	if len(wrong) > 2000 {
		wrong = wrong[:1998]
	}
	path := "/" + parts[1] + "/" + parts[2]
	if wrong != "" {
		path += "/" + strings.TrimRight(wrong, "%")
	}
	if len(parts) == 4 {
		path += "/" + parts[3]
	}
	s.path = path
	s = s.asSent()
	s.base = w.bySecret
	if w.IntN(3) == 0 {
		s.header.Set("Authorization", "Bearer "+right)
		s.header.Set("X-Secret", right)
	}
	if w.IntN(4) == 0 && s.method == "POST" {
		s.path += "?secret=" + right
	}
	return s
}
