package ussd_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tuma/internal/callers"
	"tuma/ussd"
)

var (
	goesOn = ussd.Reply{Text: "Choose <1>\n& 2"}
	ends   = ussd.Reply{Text: "UKM4Q7X2PA", End: true}
)

// From the gateway's raw bytes to a request, and from a reply to what the
// gateway reads.
func TestDialects(t *testing.T) {
	t.Parallel()
	latest := func(gateway, session, text string, first bool) ussd.Request {
		return ussd.Request{Gateway: gateway, Session: session, From: asha, ServiceCode: "*334#", Text: text, Latest: true, First: first}
	}
	sequence := func(r ussd.Request, n int) ussd.Request { r.Sequence = n; return r }
	guessed := func(r ussd.Request) ussd.Request { r.Guessed = true; return r }
	nobodys := func(r ussd.Request) ussd.Request { r.From = ""; return r }
	history := func(gateway, session, text string) ussd.Request {
		return ussd.Request{Gateway: gateway, Session: session, From: asha, ServiceCode: "*334#", Text: text}
	}
	for _, c := range []struct {
		dialect, path, body string
		want                ussd.Request
		reply               ussd.Reply
		answer              string
	}{
		{"africastalking", "", "sessionId=a&phoneNumber=%2B254712000001&serviceCode=*334%23&networkCode=1&text=1*2", history("at", "a", "1*2"), goesOn, "CON Choose <1>\n& 2"},
		{"africastalking", "/events", "sessionId=a&phoneNumber=%2B254712000001&serviceCode=*334%23&input=1*2", history("at", "a", ""), goesOn, "OK"},
		{"safaricom", "", "ORIG=254712000001&DEST=334&SESSION_ID=77&USSD_PARAMS=1*2", history("safaricom", "77", "1*2"), ends, "END UKM4Q7X2PA"},
		{"safaricom", "", "ORIG=%2B254712000001&DEST=*334%23&SESSION_ID=77&USSD_PARAMS=", history("safaricom", "77", ""), goesOn, "CON Choose <1>\n& 2"},
		{"airtel", "", "SessionID=9&MSISDN=254712000001&MSC=x&input=334&userid=u&password=p", guessed(latest("airtel", "9", "334", true)), goesOn, "Choose <1>\n& 2"},
		{"airtel", "", "SessionID=9&MSISDN=254712000001&MSC=x&input=334*1", guessed(latest("airtel", "9", "334*1", true)), goesOn, "Choose <1>\n& 2"},
		{"airtel", "", "SessionID=9&MSISDN=254712000001&MSC=x&input=3341", latest("airtel", "9", "3341", false), ends, "UKM4Q7X2PA"},
		{"airtel", "", "SessionID=9&msisdn=254712000001&clean=clean-session&error=522", latest("airtel", "9", "", false), ends, ""},
		{"arkesel", "", `{"sessionID":"s","userID":"U","newSession":true,"msisdn":"254712000001","userData":"*334#","network":"MTN"}`, latest("arkesel", "s", "*334#", true),
			goesOn, `{"continueSession":true,"message":"Choose \u003c1\u003e\n\u0026 2","msisdn":"254712000001","sessionID":"s","userID":"U"}`},
		{"arkesel", "", `{"sessionID":"s","userID":"U","newSession":false,"msisdn":"254712000001","userData":"1"}`, latest("arkesel", "s", "1", false),
			ends, `{"continueSession":false,"message":"UKM4Q7X2PA","msisdn":"254712000001","sessionID":"s","userID":"U"}`},
		{"nalo", "", `{"USERID":"U","MSISDN":"254712000001","USERDATA":"*334*1#","MSGTYPE":true,"NETWORK":"MTN","SESSIONID":"s"}`, latest("nalo", "s", "*334*1#", true),
			ends, `{"MSG":"UKM4Q7X2PA","MSGTYPE":false,"MSISDN":"254712000001","USERID":"U"}`},
		{"nalo", "", `{"USERID":"U","MSISDN":"254712000001","USERDATA":"1","MSGTYPE":"false","SESSIONID":17}`, latest("nalo", "17", "1", false),
			ends, `{"MSG":"UKM4Q7X2PA","MSGTYPE":false,"MSISDN":"254712000001","USERID":"U"}`},
		{"hubtel", "", `{"SessionId":"s","Mobile":"254712000001","ServiceCode":"334","Operator":"mtn","Type":"Initiation","Message":"*334#","Sequence":1,"ClientState":null}`,
			sequence(latest("hubtel", "s", "*334#", true), 1), goesOn, `{"Message":"Choose \u003c1\u003e\n\u0026 2","Type":"Response"}`},
		{"hubtel", "", `{"SessionId":"s","Mobile":"254712000001","Type":"Response","Message":"1"}`, latest("hubtel", "s", "1", false), ends, `{"Message":"UKM4Q7X2PA","Type":"Release"}`},
		{"hubtel", "", `{"SessionId":"s","Mobile":"254712000001","Type":"Timeout","Message":"1"}`, latest("hubtel", "s", "", false), ends, `{"Message":"","Type":"Release"}`},
		{"beem", "", `{"command":"initiate","msisdn":"254712000001","session_id":"s","operator":"vodacom","payload":{"request_id":0,"response":0}}`, latest("beem", "s", "0", true),
			goesOn, `{"command":"continue","msisdn":"254712000001","operator":"vodacom","payload":{"request":"Choose \u003c1\u003e\n\u0026 2","request_id":"0"},"session_id":"s"}`},
		{"beem", "", `{"command":"continue","msisdn":"254712000001","session_id":"s","operator":"vodacom","payload":{"request_id":"2","response":"1"}}`, latest("beem", "s", "1", false),
			ends, `{"command":"terminate","msisdn":"254712000001","operator":"vodacom","payload":{"request":"UKM4Q7X2PA","request_id":"2"},"session_id":"s"}`},
		{"beem", "", `{"command":"terminate","msisdn":"254712000001","session_id":"s","operator":"v","payload":{}}`, latest("beem", "s", "", false),
			ends, `{"command":"terminate","msisdn":"254712000001","operator":"v","payload":{"request":"","request_id":""},"session_id":"s"}`},
		{"infobip", "/session/{session}/start", `{"msisdn":"254712000001","imsi":"1","shortCode":"*334#","text":"*334*1#","ussdGwId":"live2"}`, latest("infobip", "s1", "*334*1#", true),
			goesOn, `{"responseExitCode":200,"responseMessage":"","shouldClose":false,"ussdMenu":"Choose \u003c1\u003e\n\u0026 2"}`},
		{"infobip", "/session/{session}/start", `{"msisdn":"254712000001","text":"hello"}`, latest("infobip", "s1", "*334#", true),
			goesOn, `{"responseExitCode":200,"responseMessage":"","shouldClose":false,"ussdMenu":"Choose \u003c1\u003e\n\u0026 2"}`},
		{"infobip", "/session/{session}/response", `{"msisdn":"254712000001","text":"1","shortCode":null}`, latest("infobip", "s1", "1", false),
			ends, `{"responseExitCode":200,"responseMessage":"","shouldClose":true,"ussdMenu":"UKM4Q7X2PA"}`},
		{"infobip", "/session/{session}/end", `{"msisdn":"254712000001","exitCode":500,"reason":"x"}`, ussd.Request{Gateway: "infobip", Session: "s1", From: asha}, ends, `{"responseExitCode":200,"responseMessage":""}`},
		{"infobip", "/session/{session}/status", ``, ussd.Request{Gateway: "infobip", Session: "s1"}, goesOn, `{"responseExitCode":200,"responseMessage":"","sessionActive":true}`},
		{"mtech", "", `<?xml version="1.0" encoding="UTF-8"?><request><session_id>s&lt;1</session_id><page_id>0</page_id><mobile_number>254712000001</mobile_number><gate>334</gate><data>*334*1#</data></request>`,
			latest("mtech", "s<1", "*334*1#", true), goesOn, `<?xml version="1.0" encoding="UTF-8"?><page version="2.0"><session_id>s&lt;1</session_id><div>Choose &lt;1&gt;<br/>&amp; 2</div><navigation><link pageId="indexX" accesskey="*"/></navigation></page>`},
		{"mtech", "", `<r><session_id>s</session_id><page_id>indexX</page_id><data>1</data></r>`, nobodys(latest("mtech", "s", "1", false)),
			ends, `<?xml version="1.0" encoding="UTF-8"?><page version="2.0"><session_id>s</session_id><div>UKM4Q7X2PA</div></page>`},
		{"mtech", "", `<r><session_id>s</session_id><status>CANCEL</status></r>`, nobodys(latest("mtech", "s", "", false)),
			ends, `<?xml version="1.0" encoding="UTF-8"?><page version="2.0"><session_id>s</session_id></page>`},
	} {
		r, say, err := ussd.Decode(c.dialect, c.path, c.body)
		if err != nil {
			t.Errorf("%s %s: %v", c.dialect, c.body, err)
			continue
		}
		if diff := cmp.Diff(c.want, r); diff != "" {
			t.Errorf("%s %s: %s", c.dialect, c.body, diff)
		}
		if got := say(c.reply); got != c.answer {
			t.Errorf("%s %s:\n got %s\nwant %s", c.dialect, c.body, got, c.answer)
		}
	}
	for _, c := range []struct{ dialect, path, body, want string }{
		{"safaricom", "", "ORIG=254712000001&DEST=334&SESSION_ID=7", "USSD_PARAMS is missing"},
		{"safaricom", "", "ORIG=254712000001&DEST=x&SESSION_ID=7&USSD_PARAMS=", "DEST must"},
		{"safaricom", "", "ORIG=254712000001&ORIG=254712000002&DEST=334&SESSION_ID=7&USSD_PARAMS=", "ORIG is there twice"},
		{"safaricom", "", "%zz", "the query is not"},
		{"airtel", "", "SessionID=9&MSISDN=254712000001", "input is missing"},
		{"airtel", "", "SessionID=9&MSISDN=0712000001&input=334", "MSISDN must"},
		{"airtel", "", "SessionID=9&clean=x", "msisdn must"},
		{"arkesel", "", `{"sessionID":"s","sessionID":"t","newSession":true,"msisdn":"254712000001"}`, "sessionID is there twice"},
		{"arkesel", "", `{"sessionID":"s","msisdn":"254712000001","newSession":"maybe"}`, "newSession must"},
		{"arkesel", "", `{"sessionID":["s"],"msisdn":"254712000001","newSession":true}`, "the body is not a JSON"},
		{"arkesel", "", `{"sessionID":"s"} {}`, "the body is not a JSON"},
		{"arkesel", "", `[]`, "the body is not a JSON"},
		{"nalo", "", `{"SESSIONID":"s","MSISDN":"+254712000001"}`, "MSGTYPE must"},
		{"nalo", "", `{"SESSIONID":"","MSISDN":"+254712000001","MSGTYPE":true}`, "SESSIONID must"},
		{"hubtel", "", `{"SessionId":"s","Mobile":"254712000001","Type":"Other","Message":"1"}`, "the field Type must"},
		{"hubtel", "", `{"SessionId":"s","Mobile":"254712000001","Type":"Response","Sequence":"x"}`, "the field Sequence must"},
		{"hubtel", "", `{"SessionId":"s","Mobile":"254712000001","Type":"Response","Sequence":-1}`, "the field Sequence must"},
		{"beem", "", `{"session_id":"s","msisdn":"254712000001"}`, "command must"},
		{"infobip", "/session/{session}/response", `{"msisdn":"254712000001"}`, "text is missing"},
		{"mtech", "", `<a><session_id>s</session_id><session_id>t</session_id></a>`, "session_id is there twice"},
		{"mtech", "", `<!DOCTYPE a [<!ENTITY x "y">]><a><session_id>&x;</session_id></a>`, "the body is not a well-formed XML"},
		{"mtech", "", `<a><session_id><b>s</b></session_id></a>`, "the body is not a well-formed XML"},
		{"mtech", "", `<a/><b/>`, "the body is not a well-formed XML"},
		{"mtech", "", `<a><mobile_number>1</mobile_number></a>`, "session_id must"},
	} {
		if _, _, err := ussd.Decode(c.dialect, c.path, c.body); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s %s: %v, want %s", c.dialect, c.body, err, c.want)
		}
	}
}

// Whatever the bytes and the dialect, there is a request that could be one and
// an answer to it, or a sentence that does not quote them.
func FuzzDialects(f *testing.F) {
	paths := map[string]string{"infobip": "/session/{session}/start"}
	names := ussd.Dialects()
	for i := range names {
		f.Add(uint8(i), "sessionId=a&phoneNumber=%2B254712000001&ORIG=254712000001&SESSION_ID=1&DEST=334&SessionID=1&input=334&MSISDN=254712000001")
		f.Add(uint8(i), `{"sessionID":"s","newSession":true,"msisdn":"254712000001","userData":"x","payload":{"request_id":0,"response":{"a":[1]}}}`)
		f.Add(uint8(i), `<a><session_id>s</session_id><page_id>0</page_id><data>`+"\u00e9"+`</data></a>`)
	}
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		name := names[int(which)%len(names)]
		r, say, err := ussd.Decode(name, paths[name], body)
		if err != nil {
			if len(err.Error()) > 120 || len(body) > 12 && strings.Contains(err.Error(), body) {
				t.Errorf("%s: %v", name, err)
			}
			return
		}
		if r.Session == "" || len(r.Session) > 128 || strings.ContainsAny(r.Session, " \n\r\t\x00") || r.Sequence < 0 {
			t.Errorf("%s: %+v", name, r)
		}
		if r.From != "" && (len(r.From) < 8 || r.From[0] != '+') {
			t.Errorf("%s: from %q", name, r.From)
		}
		for _, reply := range []ussd.Reply{goesOn, ends} {
			say(reply)
		}
	})
}

// way is one gateway's handler in a world.
func (w *world) way(dialect string) http.Handler {
	w.t.Helper()
	h, err := ussd.Handler(w.machine, dialect, callers.Callers{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	w.must(err)
	return h
}

func (w *world) send(h http.Handler, method, path, kind, body string) string {
	w.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	if rec.Code != http.StatusOK {
		w.t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
	}
	return rec.Body.String()
}

// A payment through every dialect, with each request sent twice.
func TestPaymentInEveryDialect(t *testing.T) {
	t.Parallel()
	w := demo(t)
	type ask func(h http.Handler, session string, nth int, text string, all []string) string
	post := func(path, kind, body string) func(h http.Handler) string {
		return func(h http.Handler) string { return w.send(h, http.MethodPost, path, kind, body) }
	}
	ways := map[string]ask{
		"safaricom": func(h http.Handler, s string, _ int, _ string, all []string) string {
			return w.send(h, "GET", "/ussd/safaricom?ORIG=254712000001&DEST=334&SESSION_ID="+s+"&USSD_PARAMS="+url.QueryEscape(strings.Join(all, "*")), "", "")
		},
		"airtel": func(h http.Handler, s string, nth int, text string, _ []string) string {
			if nth == 1 {
				text = "334"
			}
			return w.send(h, "GET", "/ussd/airtel?SessionID="+s+"&MSISDN=254712000001&MSC=x&input="+text, "", "")
		},
		"arkesel": func(h http.Handler, s string, nth int, text string, _ []string) string {
			first := "false"
			if nth == 1 {
				first, text = "true", "*334#"
			}
			return post("/ussd/arkesel", "application/json", `{"sessionID":"`+s+`","newSession":`+first+`,"msisdn":"254712000001","userData":"`+text+`"}`)(h)
		},
		"nalo": func(h http.Handler, s string, nth int, text string, _ []string) string {
			first := "false"
			if nth == 1 {
				first, text = "true", "*334#"
			}
			return post("/ussd/nalo", "application/json", `{"SESSIONID":"`+s+`","MSGTYPE":`+first+`,"MSISDN":"254712000001","USERDATA":"`+text+`"}`)(h)
		},
		"hubtel": func(h http.Handler, s string, nth int, text string, _ []string) string {
			kind := "Response"
			if nth == 1 {
				kind, text = "Initiation", "*334#"
			}
			return post("/ussd/hubtel", "application/json", `{"SessionId":"`+s+`","Type":"`+kind+`","Mobile":"254712000001","Message":"`+text+`","Sequence":`+string(rune('0'+nth))+`}`)(h)
		},
		"beem": func(h http.Handler, s string, nth int, text string, _ []string) string {
			command := "continue"
			if nth == 1 {
				command = "initiate"
			}
			return post("/ussd/beem", "application/json", `{"session_id":"`+s+`","command":"`+command+`","msisdn":"254712000001","payload":{"request_id":"0","response":"`+text+`"}}`)(h)
		},
		"infobip": func(h http.Handler, s string, nth int, text string, _ []string) string {
			method := "response"
			if nth == 1 {
				method = "start"
			}
			return post("/ussd/infobip/session/"+s+"/"+method, "application/json", `{"msisdn":"254712000001","text":"`+text+`"}`)(h)
		},
		"mtech": func(h http.Handler, s string, nth int, text string, _ []string) string {
			page, number := "indexX", ""
			if nth == 1 {
				page, number = "0", "<mobile_number>254712000001</mobile_number>"
			}
			return post("/ussd/mtech", "text/xml", `<r><session_id>`+s+`</session_id><page_id>`+page+`</page_id>`+number+`<data>`+text+`</data></r>`)(h)
		},
	}
	paid := 0
	for _, name := range ussd.Dialects() {
		if name == "africastalking" {
			continue // the dialogues speak it
		}
		if ways[name] == nil {
			t.Fatalf("%s has no payment here", name)
		}
		h, amount := w.way(name), string(rune('1'+paid))+"0"
		var all []string
		for i, text := range []string{"", "1", "0712000002", amount, canary} {
			if i > 0 {
				all = append(all, text)
			}
			w.clock.wait(5 * time.Second)
			got := ways[name](h, "s1", i+1, text, all)
			again := ways[name](h, "s1", i+1, text, all)
			if got != again {
				t.Errorf("%s: %q answered %q, then %q", name, text, got, again)
			}
			for n, word := range []string{"Send money", "Send to", "BARAKA", "Ksh" + amount, "UKM"} {
				if n == i && !strings.Contains(got, word) {
					t.Errorf("%s: %q answered %q, want %s", name, text, got, word)
				}
			}
		}
		paid++
		w.wantPaid(paid)
		w.clock.wait(5 * time.Minute) // so that nobody asks whether it is the same again
	}
	w.wantNoPIN()
}

func (w *world) arkesel(h http.Handler, session, first, text string) string {
	w.t.Helper()
	return w.send(h, "POST", "/ussd/arkesel", "application/json",
		`{"sessionID":"`+session+`","newSession":`+first+`,"msisdn":"254712000001","userData":"`+text+`"}`)
}

// A gateway that uses the name of a session again gets a new one, with a payment
// of its own.
func TestSessionNamesUsedAgain(t *testing.T) {
	t.Parallel()
	w := demo(t)
	h := w.way("arkesel")
	var receipts []string
	for i, amount := range []string{"50", "60"} {
		for j, text := range []string{"*334#", "1", "0712000002", amount, canary} {
			w.clock.wait(5 * time.Second)
			got := w.arkesel(h, "7", map[bool]string{true: "true", false: "false"}[j == 0], text)
			if j == 4 {
				receipts = append(receipts, got)
			}
		}
		w.wantPaid(i + 1)
	}
	if len(receipts) != 2 || receipts[0] == receipts[1] || !strings.Contains(receipts[1], "Ksh60.00") {
		t.Errorf("receipts: %q", receipts)
	}
	// A receipt that did not arrive is shown again, whenever it is asked for.
	w.clock.wait(30 * time.Second)
	if got := w.arkesel(h, "7", "false", canary); got != receipts[1] {
		t.Errorf("the PIN again: %s", got)
	}
	w.wantPaid(2)
	// Also after the network has said that the phone left.
	w.clock.wait(5 * time.Second)
	w.arkesel(h, "8", "true", "*334#")
	w.machine.Drop(t.Context(), "arkesel", "8", asha)
	w.clock.wait(5 * time.Second)
	if got := w.arkesel(h, "8", "false", "1"); !strings.Contains(got, "This session is over") {
		t.Errorf("after its end: %s", got)
	}
	w.clock.wait(10 * time.Second)
	w.arkesel(h, "8", "true", "*334#")
	w.clock.wait(5 * time.Second)
	if got := w.arkesel(h, "8", "false", "1"); !strings.Contains(got, "Send to") {
		t.Errorf("in the new one: %s", got)
	}
}

// What was dialled behind the code is answers, up to the PIN; and a session that
// Redis has lost is over.
func TestLatestInput(t *testing.T) {
	t.Parallel()
	w := demo(t)
	h := w.way("arkesel")
	if got := w.arkesel(h, "1", "true", "*334*1*0712000002*500*"+canary+"#"); !strings.Contains(got, "Send Ksh500.00 to BARAKA") {
		t.Errorf("a dial string: %s", got)
	}
	w.clock.wait(5 * time.Second)
	w.must(w.redis.FlushAll(t.Context()).Err())
	if got := w.arkesel(h, "1", "false", canary); !strings.Contains(got, "This session is over") {
		t.Errorf("a lost session: %s", got)
	}
	if got := w.arkesel(h, "2", "true", "*999*1#"); !strings.Contains(got, "Send money") {
		t.Errorf("another code: %s", got)
	}
	// The same answer to two screens, at a person's pace and faster.
	w.clock.wait(5 * time.Second)
	list := w.arkesel(h, "2", "false", "4")
	if got := w.arkesel(h, "2", "false", "4"); got != list {
		t.Errorf("a repeated request moved the session: %s", got)
	}
	w.clock.wait(5 * time.Second)
	if got := w.arkesel(h, "2", "false", "4"); got == list {
		t.Error("the same answer to the next screen was taken for a repetition")
	}
	w.wantPaid(0)
	w.wantNoPIN()
}
