package sms

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tuma/internal/db/dbtest"
	"tuma/internal/phone"
	"tuma/sms/outbox"
)

// misbehaving is a provider that does all that one does on a bad day. It tells us what it has
// taken twice, in any order, and sometimes before it answers.
type misbehaving struct {
	*network
	to    *callbacks // ours
	dead  atomic.Bool
	mu    sync.Mutex
	dice  *rand.Rand
	wrong map[string]int // what it did
}

// report sends status callbacks for a message that it has taken, signed.
func (m *misbehaving) report(t *testing.T, callback, sid string, statuses ...string) {
	for _, status := range statuses {
		params := map[string]string{"MessageSid": sid, "MessageStatus": status, "AccountSid": account, "From": "+15005550006"}
		mac := hmac.New(sha1.New, []byte(token))
		mac.Write([]byte(callback))
		for _, k := range slices.Sorted(maps.Keys(params)) {
			mac.Write([]byte(k + params[k]))
		}
		if w := m.to.call("POST", strings.TrimPrefix(callback, public), encode(params), base64.StdEncoding.EncodeToString(mac.Sum(nil))); w.Code != http.StatusOK {
			t.Errorf("report: %d %s", w.Code, w.Body)
		}
	}
}

func (m *misbehaving) answer(t *testing.T) func(http.ResponseWriter, *http.Request, int) bool {
	return func(w http.ResponseWriter, r *http.Request, nth int) bool {
		form := r.PostForm
		if m.dead.Load() {
			return failing(503)(w, r, 1)
		}
		if form.Get("To") == string(asha) {
			return failing(400)(w, r, 1) // has opted out
		}
		m.mu.Lock()
		deed, order := m.dice.IntN(16), m.dice.IntN(4)
		names := []string{"429", "500", "503", "silent", "taken, then silent", "taken, then cut off", "taken, half an answer", "well"}
		name := names[min(deed, len(names)-1)]
		if nth > 2 {
			name = "well" // three doubts would give the notice up
		}
		m.wrong[name]++
		m.mu.Unlock()
		take := func(to http.ResponseWriter) {
			m.take(to, r)
			m.network.mu.Lock()
			sid := fmt.Sprintf("SM%032d", slices.IndexFunc(m.taken, func(f url.Values) bool { return f.Get("StatusCallback") == form.Get("StatusCallback") })+1)
			m.network.mu.Unlock()
			statuses := [][]string{{"sent", "delivered", "delivered"}, {"delivered", "sent", "queued"}, {"failed", "delivered", "sent"}, nil}[order]
			m.report(t, form.Get("StatusCallback"), sid, statuses...)
		}
		switch name {
		case "429":
			w.Header().Set("Retry-After", "7")
			return failing(429)(w, r, 1)
		case "500":
			return failing(500)(w, r, 1)
		case "503":
			return failing(503)(w, r, 1)
		case "silent":
			<-r.Context().Done()
		case "taken, then silent":
			take(drop{})
			<-r.Context().Done()
		case "taken, then cut off":
			take(drop{})
			panic(http.ErrAbortHandler)
		case "taken, half an answer":
			take(drop{})
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"sid":"SM00`)
		default:
			take(w) // the reports come before the answer
		}
		return true
	}
}

// Nothing is lost, whatever the provider does, and what comes twice had an unknown outcome.
func TestAMisbehavingProvider(t *testing.T) {
	t.Parallel()
	clock := stand()
	pool := dbtest.New(t, clock.now)
	c := serveCallbacks(t, func(o *WebhookOptions) { o.Pool = pool })
	m := &misbehaving{network: newNetwork(t, nil), to: c, dice: rand.New(rand.NewPCG(9, 334)), wrong: map[string]int{}}
	m.network.answer = m.answer(t)
	r := start(t, pool, m.twilio(t, func(o *TwilioOptions) {
		o.Timeout, o.StatusCallback = 300*time.Millisecond, public+"/sms/twilio/status"
	}), func(o *RelayOptions) {
		o.FirstWait, o.LongestWait, o.LongestPause = time.Second, time.Minute, 30*time.Second
	})
	const notices, phones = 300, 100
	for i := range notices {
		to := phone.Number(fmt.Sprintf("+254722%06d", i%phones))
		if i%50 == 49 {
			to = asha
		}
		owe(t, pool, outbox.Notice{Key: fmt.Sprint(i), To: to, Body: fmt.Sprint(i)})
	}
	const refused = notices / 50
	through := func() bool {
		clock.advance(time.Second)
		var left int
		if err := pool.Get(t.Context(), &left, "select count(*) from every_notice where status not in ('sent', 'failed')"); err != nil {
			t.Fatal(err)
		}
		return left == 0
	}
	eventually(t, "half are through", func() bool { clock.advance(time.Second); return r.Stats().Sent > notices/2 })
	m.dead.Store(true)
	time.Sleep(20 * time.Millisecond)
	before := m.asked()
	for range 120 { // an hour
		clock.advance(30 * time.Second)
		time.Sleep(2 * time.Millisecond)
	}
	if asked := m.asked() - before; asked > 64+16+130 {
		t.Errorf("a dead provider was asked %d times in an hour", asked)
	}
	m.dead.Store(false)
	eventually(t, "all are through", through)
	r.stop()

	takes := map[string]int{}
	m.network.mu.Lock()
	for _, f := range m.taken {
		takes[f.Get("Body")]++
	}
	m.network.mu.Unlock()
	var rows []struct {
		Key    string `db:"key"`
		Status string `db:"status"`
		Doubts int    `db:"doubts"`
		Error  string `db:"error"`
	}
	if err := pool.Select(t.Context(), &rows, "select key, status, doubts, coalesce(error, '') as error from notice where id > $1", 0); err != nil {
		t.Fatal(err)
	}
	doubles, doubts, out := 0, 0, 0
	for _, row := range rows {
		if row.Status == "failed" && strings.Contains(row.Error, "21610") || strings.Contains(row.Error, "opted out") {
			out++
			continue
		}
		if row.Status != "sent" || takes[row.Key] == 0 {
			t.Errorf("%s is %s after all: %s", row.Key, row.Status, row.Error)
		}
		if takes[row.Key] > 1+row.Doubts {
			t.Errorf("%s was taken %d times with %d doubts", row.Key, takes[row.Key], row.Doubts)
		}
		doubles += takes[row.Key] - 1
		doubts += row.Doubts
	}
	if len(rows) != notices || out != refused || int64(doubts) != r.Stats().Doubtful || doubles > doubts {
		t.Errorf("%d notices, %d opted out, %d doubles, %d doubts; %+v", len(rows), out, doubles, doubts, r.Stats())
	}
	for _, name := range []string{"429", "500", "503", "silent", "taken, then silent", "taken, then cut off", "taken, half an answer"} {
		if m.wrong[name] == 0 {
			t.Errorf("it never did: %s", name)
		}
	}
	var low int
	if err := pool.Get(t.Context(), &low, "select count(*) from delivery where state <> $1", int(outbox.Delivered)); err != nil || low != 0 {
		t.Errorf("%d deliveries went back, %v", low, err)
	}
	t.Logf("%d doubles, %d doubts, %v", doubles, doubts, m.wrong)
}
