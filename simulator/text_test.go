package simulator

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/twilio/twilio-go/client"
)

// A message leaves as Twilio posts it, and Twilio's own library finds its
// signature right for what arrived and for nothing else.
func TestTextIsSignedAsTwilioDoes(t *testing.T) {
	t.Parallel()
	status, got := http.StatusOK, url.Values{}
	var address, signature string
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		got, address, signature = r.PostForm, "http://"+r.Host+r.URL.RequestURI(), r.Header.Get("X-Twilio-Signature")
		w.WriteHeader(status)
	}))
	defer app.Close()
	w := newWorld(t)
	w.network.config.SMSURL = app.URL + "/sms/twilio/inbound"
	send := func(body string) (int, string) {
		status, _, answer := w.do(t, "POST", "/simulator/phones/254712000001/sms", body)
		return status, answer
	}
	if status, answer := send(`{"body":"TUMA 500 0712000002 é €"}`); status != 204 {
		t.Fatalf("%d %s", status, answer)
	}
	if got.Get("Body") != "TUMA 500 0712000002 é €" || got.Get("From") != asha || got.Get("To") != "22334" || !strings.HasPrefix(got.Get("MessageSid"), "SM") || got.Get("AccountSid") != appSID {
		t.Errorf("arrived: %v", got)
	}
	params := map[string]string{}
	for name := range got {
		params[name] = got.Get(name)
	}
	validator := client.NewRequestValidator(appToken)
	if !validator.Validate(address, params, signature) {
		t.Error("Twilio's library refuses the signature")
	}
	if params["From"] = baraka; validator.Validate(address, params, signature) {
		t.Error("the signature is good for another sender")
	}
	first := got.Get("MessageSid")
	if send(`{"body":"BAL"}`); got.Get("MessageSid") == first {
		t.Error("two messages have one id")
	}
	status = http.StatusServiceUnavailable
	if status, answer := send(`{"body":"BAL"}`); status != 502 || !strings.Contains(answer, "the application answered 503") {
		t.Errorf("%d %s", status, answer)
	}
	for _, body := range []string{`{"body":" "}`, `{"body":"\u0000"}`, `{"body":"` + strings.Repeat("x", 1601) + `"}`, `{}`, `x`} {
		if status, _ := send(body); status != 400 {
			t.Errorf("%.40s: %d", body, status)
		}
	}
	w.network.config.SMSURL = ""
	if status, _ := send(`{"body":"BAL"}`); status != 502 {
		t.Errorf("nobody takes messages, and the answer is %d", status)
	}
}
