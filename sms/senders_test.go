package sms

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// asked is a request that a provider was sent, and how it answers.
type provider struct {
	*httptest.Server
	path   string
	header http.Header
	form   url.Values
}

func provide(t *testing.T, answer http.HandlerFunc) *provider {
	t.Helper()
	p := &provider{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		p.path, p.header, p.form = r.Method+" "+r.URL.Path, r.Header, r.Form
		answer(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func says(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func silent(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// judge sends to a provider that answers so, and compares what follows.
func judge(t *testing.T, g Gateway, want SendError, secrets ...string) {
	t.Helper()
	_, err := g.Send(t.Context(), Message{Key: "k", Ref: "7-8", To: asha, Body: "SECRET BODY"})
	failure, ok := errors.AsType[*SendError](err)
	if !ok {
		t.Fatalf("%v is not a *SendError", err)
	}
	got := *failure
	got.Gateway, got.Err = "", nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, secret := range append(secrets, "SECRET", string(asha)) {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q is in the error %q", secret, err)
		}
	}
}

func TestAfricasTalkingSends(t *testing.T) {
	t.Parallel()
	recipient := func(code int, id string) string {
		return fmt.Sprintf(`{"SMSMessageData":{"Message":"Sent to 1/1 Total Cost: KES 0.8000","Recipients":[{"statusCode":%d,"number":"+254712000001","cost":"KES 0.8000","status":"Success","messageId":%q}]}}`, code, id)
	}
	gateway := func(p *provider) *AfricasTalking {
		g, err := NewAfricasTalking(AfricasTalkingOptions{Username: "tuma", Key: "apikey123", From: "TUMA", BaseURL: p.URL + "/", Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(g.transport.CloseIdleConnections)
		return g
	}
	p := provide(t, says(201, recipient(101, "ATPid_1")))
	sent, err := gateway(p).Send(t.Context(), Message{To: asha, Body: "Ksh5.00 & é €\n+1"})
	if err != nil || sent.ID != "ATPid_1" {
		t.Errorf("%+v, %v", sent, err)
	}
	want := url.Values{"username": {"tuma"}, "to": {"+254712000001"}, "message": {"Ksh5.00 & é €\n+1"}, "from": {"TUMA"}, "bulkSMSMode": {"1"}}
	if diff := cmp.Diff(want, p.form); diff != "" || p.path != "POST /version1/messaging" || p.header.Get("apiKey") != "apikey123" || p.header.Get("Accept") != "application/json" {
		t.Errorf("%s %v %s", p.path, p.header, diff)
	}
	if _, err := gateway(p).Send(t.Context(), Message{To: asha, From: "334", Body: "x"}); err != nil || p.form.Get("from") != "334" {
		t.Errorf("from %q, %v", p.form.Get("from"), err)
	}
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		want   SendError
	}{
		{"blacklist", says(201, recipient(406, "None")), SendError{Code: 406, OptedOut: true}},
		{"no such number", says(201, recipient(403, "None")), SendError{Code: 403}},
		{"rejected", says(201, recipient(502, "None")), SendError{Code: 502}},
		{"no balance", says(201, recipient(405, "None")), SendError{Code: 405, Retry: true}},
		{"no route", says(201, recipient(407, "None")), SendError{Code: 407, Retry: true}},
		{"fault of theirs", says(201, recipient(500, "None")), SendError{Code: 500, Retry: true}},
		{"our sender id", says(201, `{"SMSMessageData":{"Message":"InvalidSenderId","Recipients":[]}}`), SendError{Code: 201, Retry: true}},
		{"not JSON", says(200, "<html>"), SendError{Code: 200, Retry: true, Unknown: true}},
		{"truncated JSON", says(201, recipient(101, "ATPid_1")[:60]), SendError{Code: 201, Retry: true, Unknown: true}},
		{"credentials", says(401, "The supplied authentication is invalid"), SendError{Code: 401, Retry: true}},
		{"malformed", says(400, "SECRET BODY"), SendError{Code: 400}},
		{"too many", says(429, "", "Retry-After", "30"), SendError{Code: 429, Retry: true, Wait: 30 * time.Second}},
		{"unavailable", says(503, ""), SendError{Code: 503, Retry: true}},
		{"cut off", hangUp, SendError{Retry: true, Unknown: true}},
		{"silent", silent, SendError{Retry: true, Unknown: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := gateway(provide(t, test.answer))
			if test.name == "silent" {
				g.o.Timeout = 50 * time.Millisecond
			}
			judge(t, g, test.want, "apikey123")
		})
	}
	gone := provide(t, says(200, ""))
	gone.Close()
	judge(t, gateway(gone), SendError{Retry: true}, "apikey123")
	for _, bad := range []AfricasTalkingOptions{{}, {Username: "u"}, {Username: "u", Key: "k\n"}, {Username: "u", Key: "k", BaseURL: "ftp://x"}, {Username: "u", Key: "k", Timeout: -1}} {
		if _, err := NewAfricasTalking(bad); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}

func TestKannelSends(t *testing.T) {
	t.Parallel()
	gateway := func(p *provider, change ...func(o *KannelOptions)) *Kannel {
		o := KannelOptions{URL: p.URL, Username: "tuma", Password: "p&ss", From: "334", StatusURL: "https://tuma.example/sms/kannel/s/status", Timeout: time.Second}
		for _, c := range change {
			c(&o)
		}
		g, err := NewKannel(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(g.transport.CloseIdleConnections)
		return g
	}
	base := url.Values{"username": {"tuma"}, "password": {"p&ss"}, "to": {"+254712000001"}, "from": {"334"}, "charset": {"UTF-8"}, "dlr-mask": {"31"},
		"dlr-url": {"https://tuma.example/sms/kannel/s/status?id=7-8&status=%d"}}
	for _, test := range []struct {
		name string
		m    Message
		more url.Values
	}{
		{"GSM 7-bit", Message{Ref: "7-8", To: asha, Body: "é € & +1"}, url.Values{"text": {"é € & +1"}, "coding": {"0"}}},
		{"UCS-2", Message{Ref: "7-8", To: asha, Body: "中"}, url.Values{"text": {"中"}, "coding": {"2"}}},
		{"validity", Message{Ref: "7-8", To: asha, Body: "x", Valid: 150 * time.Second}, url.Values{"text": {"x"}, "coding": {"0"}, "validity": {"2"}}},
		{"short validity and another sender", Message{Ref: "7-8", To: asha, From: "TUMA", Body: "x", Valid: time.Second}, url.Values{"text": {"x"}, "coding": {"0"}, "validity": {"1"}, "from": {"TUMA"}}},
	} {
		p := provide(t, says(202, "0: Accepted for delivery"))
		sent, err := gateway(p).Send(t.Context(), test.m)
		want := url.Values{}
		for _, part := range []url.Values{base, test.more} {
			for k, v := range part {
				want[k] = v
			}
		}
		if diff := cmp.Diff(want, p.form); err != nil || sent.ID != "7-8" || diff != "" || p.path != "GET /cgi-bin/sendsms" {
			t.Errorf("%s: %+v, %v: %s %s", test.name, sent, err, p.path, diff)
		}
	}
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		want   SendError
	}{
		{"credentials", says(403, "Authorization failed for sendsms"), SendError{Code: 403, Retry: true}},
		{"malformed", says(400, "Missing receiver number"), SendError{Code: 400}},
		{"no bearerbox", says(503, "Temporal failure, try again later."), SendError{Code: 503, Retry: true}},
		{"cut off", hangUp, SendError{Retry: true, Unknown: true}},
		{"silent", silent, SendError{Retry: true, Unknown: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := gateway(provide(t, test.answer))
			if test.name == "silent" {
				g.o.Timeout = 50 * time.Millisecond
			}
			judge(t, g, test.want, "p&ss", "p%26ss")
		})
	}
	for _, bad := range []KannelOptions{{}, {URL: "http://k", Username: "u"}, {URL: "k:13013", Username: "u", Password: "p"}, {URL: "http://k", Username: "u", Password: "p", StatusURL: "/x"}, {URL: "http://k", Username: "u", Password: "p", Timeout: -1}} {
		if _, err := NewKannel(bad); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}
