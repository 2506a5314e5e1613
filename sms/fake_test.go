package sms

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"tuma/internal/phone"
)

const (
	account = "AC00000000000000000000000000000001"
	token   = "authtoken0000000000000000000000"
	asha    = phone.Number("+254712000001")
	baraka  = phone.Number("+254712000002")
)

// network is an HTTP server that speaks Twilio's Messages.json and remembers
// what it was asked.
type network struct {
	*httptest.Server
	mu       sync.Mutex
	requests []url.Values
	// answer, when set, decides about the nth request (from 1) for one body
	// and says whether it has answered; otherwise the message is taken.
	answer func(w http.ResponseWriter, r *http.Request, nth int) bool
	taken  []url.Values
}

func newNetwork(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, nth int) bool) *network {
	t.Helper()
	n := &network{answer: answer}
	n.Server = httptest.NewServer(n)
	t.Cleanup(n.Close)
	return n
}

func (n *network) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	if r.Method != http.MethodPost || r.URL.Path != "/2010-04-01/Accounts/"+account+"/Messages.json" {
		refuse(w, http.StatusNotFound, 20404)
		return
	}
	if user != account || password != token {
		refuse(w, http.StatusUnauthorized, 20003)
		return
	}
	if err := r.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, 0)
		return
	}
	n.mu.Lock()
	n.requests = append(n.requests, r.PostForm)
	nth := 0
	for _, earlier := range n.requests {
		if earlier.Get("Body") == r.PostForm.Get("Body") {
			nth++
		}
	}
	n.mu.Unlock()
	if n.answer != nil && n.answer(w, r, nth) {
		return
	}
	n.take(w, r)
}

// take accepts the message.
func (n *network) take(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	n.taken = append(n.taken, r.PostForm)
	sid := fmt.Sprintf("SM%032d", len(n.taken))
	n.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(map[string]any{"sid": sid, "status": "queued", "to": r.PostForm.Get("To"), "error_code": nil})
}

// refuse answers the way Twilio words its errors.
func refuse(w http.ResponseWriter, status, code int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"code": code, "status": status, "more_info": "https://www.twilio.com/docs/errors",
		"message": "The 'To' number " + string(asha) + " SECRET BODY"})
}

// bodies lists what was taken, in order, optionally of one phone.
func (n *network) bodies(to phone.Number) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := []string{}
	for _, form := range n.taken {
		if to == "" || form.Get("To") == string(to) {
			list = append(list, form.Get("Body"))
		}
	}
	return list
}

func (n *network) asked() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.requests)
}

func (n *network) twilio(t *testing.T, change ...func(o *TwilioOptions)) *Twilio {
	t.Helper()
	o := TwilioOptions{AccountSID: account, Password: token, From: "+15005550006", BaseURL: n.URL}
	for _, c := range change {
		c(&o)
	}
	g, err := NewTwilio(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.transport.CloseIdleConnections)
	return g
}

// eventually polls until ok, and fails after a while.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}
