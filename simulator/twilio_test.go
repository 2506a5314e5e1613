package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twilio/twilio-go"
	twilioclient "github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

const messages = "/2010-04-01/Accounts/" + appSID + "/Messages.json"

func (w *world) twilio(t *testing.T, path, sid, token string, form url.Values) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequest("POST", w.server.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(sid, token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	d := json.NewDecoder(resp.Body)
	d.UseNumber()
	if err := d.Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

func TestTwilioMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	status, got := w.twilio(t, messages, appSID, appToken, url.Values{"To": {asha}, "From": {"+15017122661"}, "Body": {"Hello"}, "StatusCallback": {"http://127.0.0.1/x"}})
	sid, _ := got["sid"].(string)
	if status != 201 || !regexp.MustCompile(`^SM[0-9a-f]{32}$`).MatchString(sid) {
		t.Fatalf("%d %v", status, got)
	}
	uri := "/2010-04-01/Accounts/" + appSID + "/Messages/" + sid
	want := map[string]any{
		"account_sid": appSID, "api_version": "2010-04-01", "body": "Hello", "date_created": "Sun, 22 Nov 2026 09:15:00 +0000", "date_sent": nil,
		"date_updated": "Sun, 22 Nov 2026 09:15:00 +0000", "direction": "outbound-api", "error_code": nil, "error_message": nil, "from": "+15017122661",
		"messaging_service_sid": nil, "num_media": "0", "num_segments": "1", "price": nil, "price_unit": nil, "sid": sid, "status": "queued",
		"subresource_uris": map[string]any{"media": uri + "/Media.json"}, "to": asha, "uri": uri + ".json",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("answer (-want +got):\n%s", d)
	}
	if inbox, _ := w.network.Inbox(asha); len(inbox) != 1 || inbox[0].Body != "Hello" || inbox[0].From != "+15017122661" || inbox[0].ID != sid {
		t.Errorf("inbox: %+v", inbox)
	}
	status, got = w.twilio(t, messages, appSID, appToken, url.Values{"To": {asha}, "MessagingServiceSid": {"MG00000000000000000000000000000001"}, "Body": {"Hello"}})
	if status != 201 || got["status"] != "accepted" || got["from"] != nil || got["num_segments"] != "0" {
		t.Errorf("by a service: %d %v", status, got)
	}
}

func TestTwilioRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	form := func(to, from, body string) url.Values { return url.Values{"To": {to}, "From": {from}, "Body": {body}} }
	good := form(asha, "PESA", "x")
	tests := map[string]struct {
		path, sid, token string
		form             url.Values
		status, code     int
	}{
		"no password":       {messages, appSID, "", good, 401, 20003},
		"wrong sid":         {messages, "AC2", appToken, good, 401, 20003},
		"nobody":            {messages, "", "", good, 401, 20003},
		"other account":     {"/2010-04-01/Accounts/AC2/Messages.json", appSID, appToken, good, 404, 20404},
		"nothing":           {messages, appSID, appToken, url.Values{}, 400, 21604},
		"no sender":         {messages, appSID, appToken, form(asha, "", "x"), 400, 21603},
		"odd sender":        {messages, appSID, appToken, form(asha, "a\x00b", "x"), 400, 21212},
		"long sender":       {messages, appSID, appToken, form(asha, strings.Repeat("x", 21), "x"), 400, 21212},
		"no body":           {messages, appSID, appToken, form(asha, "PESA", ""), 400, 21602},
		"blank body":        {messages, appSID, appToken, form(asha, "PESA", " \n"), 400, 21602},
		"long body":         {messages, appSID, appToken, form(asha, "PESA", strings.Repeat("x", 1601)), 400, 21617},
		"long emoji body":   {messages, appSID, appToken, form(asha, "PESA", strings.Repeat("😀", 801)), 400, 21617},
		"no plus":           {messages, appSID, appToken, form("254712000001", "PESA", "x"), 400, 21211},
		"letters":           {messages, appSID, appToken, form("+2547x", "PESA", "x"), 400, 21211},
		"full width":        {messages, appSID, appToken, form("+２５４７１２０００００１", "PESA", "x"), 400, 21211},
		"control character": {messages, appSID, appToken, form("+254712000001\x00", "PESA", "x"), 400, 21211},
		"callback":          {messages, appSID, appToken, url.Values{"To": {asha}, "From": {"PESA"}, "Body": {"x"}, "StatusCallback": {"ftp:x"}}, 400, 21609},
		"magic invalid":     {messages, appSID, appToken, form("+15005550001", "PESA", "x"), 400, 21211},
		"magic unroutable":  {messages, appSID, appToken, form("+15005550002", "PESA", "x"), 400, 21612},
		"magic region":      {messages, appSID, appToken, form("+15005550003", "PESA", "x"), 400, 21408},
		"magic stopped":     {messages, appSID, appToken, form("+15005550004", "PESA", "x"), 400, 21610},
		"magic landline":    {messages, appSID, appToken, form("+15005550009", "PESA", "x"), 400, 21614},
		"magic sender":      {messages, appSID, appToken, form(asha, "+15005550007", "x"), 400, 21606},
		"magic full":        {messages, appSID, appToken, form(asha, "+15005550008", "x"), 400, 21611},
		"magic bad sender":  {messages, appSID, appToken, form(asha, "+15005550001", "x"), 400, 21212},
		"huge":              {messages, appSID, appToken, form(asha, "PESA", strings.Repeat("x", maxBody)), 413, 20001},
	}
	for name, test := range tests {
		status, got := w.twilio(t, test.path, test.sid, test.token, test.form)
		if status != test.status || fmt.Sprint(got["code"]) != fmt.Sprint(test.code) || got["message"] == "" || fmt.Sprint(got["status"]) != fmt.Sprint(status) {
			t.Errorf("%s: %d %v, want %d and %d", name, status, got, test.status, test.code)
		}
	}
	if inbox, _ := w.network.Inbox(asha); len(inbox) != 0 {
		t.Errorf("refused messages arrived: %v", inbox)
	}
	if status, got := w.twilio(t, messages, appSID, appToken, form(asha, "PESA", strings.Repeat("x", 1600))); status != 201 || got["num_segments"] != "11" {
		t.Errorf("the longest body: %d %v", status, got)
	}
}

// toServer sends every request to one server, whatever its address says.
type toServer struct{ host string }

func (s toServer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", s.host
	return http.DefaultTransport.RoundTrip(r)
}

// Twilio's own client takes the fake for the real thing.
func TestTwilioClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := &twilioclient.Client{
		Credentials: twilioclient.NewCredentials(appSID, appToken),
		HTTPClient:  &http.Client{Transport: toServer{strings.TrimPrefix(w.server.URL, "http://")}},
	}
	c.SetAccountSid(appSID)
	rest := twilio.NewRestClientWithParams(twilio.ClientParams{Client: c})
	params := (&api.CreateMessageParams{}).SetTo(baraka).SetFrom("PESA").SetBody("Karibu €")
	m, err := rest.Api.CreateMessage(params)
	if err != nil {
		t.Fatal(err)
	}
	if *m.Status != "queued" || *m.To != baraka || *m.NumSegments != "1" || !strings.HasPrefix(*m.Sid, "SM") {
		t.Errorf("%+v", m)
	}
	_, err = rest.Api.CreateMessage(params.SetTo("12"))
	refused := (*twilioclient.TwilioRestError)(nil)
	if !errors.As(err, &refused) || refused.Code != 21211 || refused.Status != 400 {
		t.Errorf("an invalid number: %v", err)
	}
	if inbox, _ := w.network.Inbox(baraka); len(inbox) != 1 || inbox[0].Body != "Karibu €" {
		t.Errorf("inbox: %v", inbox)
	}
}

func TestSegments(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		body string
		want int
	}{
		{"", 1}, {strings.Repeat("a", 160), 1}, {strings.Repeat("a", 161), 2}, {strings.Repeat("a", 306), 2}, {strings.Repeat("a", 307), 3},
		{strings.Repeat("€", 80), 1}, {strings.Repeat("€", 81), 2}, {strings.Repeat("a", 152) + "€" + strings.Repeat("a", 152), 3},
		{strings.Repeat("ç", 70), 1}, {strings.Repeat("ç", 71), 2}, {strings.Repeat("ç", 134), 2}, {strings.Repeat("ç", 135), 3},
		{strings.Repeat("😀", 35), 1}, {strings.Repeat("😀", 36), 2}, {strings.Repeat("😀", 67), 3}, {strings.Repeat("Ç", 160), 1},
	} {
		if got := segments(test.body); got != test.want {
			t.Errorf("%d characters of %.4q: %d segments, want %d", len([]rune(test.body)), test.body, got, test.want)
		}
	}
}
