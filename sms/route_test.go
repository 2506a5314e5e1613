package sms

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tuma/internal/db"
	"tuma/internal/db/dbtest"
	"tuma/internal/phone"
	"tuma/sms/outbox"
)

// another is a second account at Twilio, as a gateway of its own.
type another struct {
	*Twilio
	name string
}

func (a another) Name() string { return a.name }

// two starts a relay with two gateways, "first" and "second".
func two(t *testing.T, pool *db.Pool, first, second *network, change ...func(o *RelayOptions)) *running {
	t.Helper()
	return start(t, pool, nil, append([]func(o *RelayOptions){func(o *RelayOptions) {
		o.Gateways = []Gateway{another{first.twilio(t), "first"}, another{second.twilio(t), "second"}}
	}}, change...)...)
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	named := func(name string) *gate { return &gate{Gateway: another{name: name}, workers: 4} }
	a, b, c := named("a"), named("b"), named("c")
	all := []*gate{a, b, c}
	r, err := newRoutes(all, []Route{{"+1", []string{"b"}}, {"+1876", []string{"c", "a"}}, {"+254", []string{"a", "b"}}},
		[]Sender{{"", "+254", "TUMA"}, {"b", "+254", "TUMA-B"}, {"", "+1", "334"}, {"", "+1876", "876"}})
	if err != nil {
		t.Fatal(err)
	}
	names := func(gates []*gate) (s string) {
		for _, g := range gates {
			s += g.Name()
		}
		return s
	}
	for to, want := range map[phone.Number]string{"+254712000001": "ab TUMA TUMA-B", "+15005550006": "b 334 334", "+18765550006": "ca 876 876", "+33612345678": "abc  "} {
		if got := names(r.of(to)) + " " + r.from("a", to) + " " + r.from("b", to); got != want {
			t.Errorf("%s takes %q, want %q", to, got, want)
		}
	}
	// Whom each gateway is leased for, as they fail.
	now := time.Date(2026, 11, 22, 9, 15, 0, 0, time.UTC)
	orders := func() (s []string) {
		for _, o := range r.orders(now) {
			only := "all"
			if o.only != nil {
				only = ""
				for i, p := range o.only.Prefixes {
					if o.only.Open[i] {
						only += "[" + p + "]"
					}
				}
			}
			s = append(s, fmt.Sprint(o.gate.Name(), o.n, only))
		}
		return s
	}
	for _, g := range all {
		g.breaker = breaker{after: 1, pause: func(int) time.Duration { return time.Second }, told: func(bool, time.Duration) {}}
	}
	check := func(what string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, orders()); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	check("all are well", "a4[+254][]", "b4[+1]", "c4[+1876]")
	a.breaker.failed(now)
	check("a is dead", "b4[+254][+1][]", "c4[+1876]")
	now = now.Add(time.Second)
	check("a is tried by one", "a1[+254][]", "b4[+254][+1][]", "c4[+1876]")
	c.hold(now.Add(time.Minute))
	check("c rests", "a1[+1876][+254][]", "b4[+254][+1][]")
	a.breaker.answered()
	check("a is well, c rests", "a4[+1876][+254][]", "b4[+1]")

	one, err := newRoutes([]*gate{a}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if o := one.orders(now); len(o) != 1 || o[0].only != nil {
		t.Errorf("one gateway: %+v", o)
	}
	for name, bad := range map[string]struct {
		gates   []*gate
		routes  []Route
		senders []Sender
	}{
		"two of a name":      {[]*gate{a, named("a")}, nil, nil},
		"no prefix":          {all, []Route{{"254", []string{"a"}}}, nil},
		"letters":            {all, []Route{{"+25x", []string{"a"}}}, nil},
		"no gateway":         {all, []Route{{"+254", nil}}, nil},
		"unknown gateway":    {all, []Route{{"+254", []string{"d"}}}, nil},
		"gateway twice":      {all, []Route{{"+254", []string{"a", "a"}}}, nil},
		"route twice":        {all, []Route{{"+254", []string{"a"}}, {"+254", []string{"b"}}}, nil},
		"sender of nobody":   {all, nil, []Sender{{"d", "+254", "X"}}},
		"empty sender":       {all, nil, []Sender{{"", "+254", ""}}},
		"sender to anywhere": {all, nil, []Sender{{"", "", "X"}}},
	} {
		if _, err := newRoutes(bad.gates, bad.routes, bad.senders); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRateOfAGateway(t *testing.T) {
	t.Parallel()
	g := &gate{Gateway: another{name: "a"}, workers: 64, breaker: breaker{after: 9}}
	g.pace(30)
	now := time.Date(2026, 11, 22, 9, 15, 0, 0, time.UTC)
	sent, began := 0, now
	for now.Sub(began) < 10*time.Second {
		n := g.room(now)
		g.takes(now, n)
		sent += n
		now = now.Add(7 * time.Millisecond)
	}
	if sent < 298 || sent > 304 { // 30 a second and what a tenth of a second leaves at once
		t.Errorf("%d messages in 10 s, want 300", sent)
	}
	now = now.Add(time.Hour)
	if n := g.room(now); n != 3 {
		t.Errorf("%d at once after an hour, want a tenth of a second's", n)
	}
	if g.takes(now, 3); g.instead(now) || g.refill(now) == 0 {
		t.Error("more than the rate")
	}
	slow := &gate{Gateway: another{name: "b"}, workers: 64, breaker: breaker{after: 9}}
	slow.pace(1)
	for range 3 {
		if n := slow.room(now); n != 1 {
			t.Errorf("%d at once, want 1", n)
		}
		slow.takes(now, 1)
		if n := slow.room(now.Add(999 * time.Millisecond)); n != 0 {
			t.Errorf("%d more within a second", n)
		}
		now = now.Add(time.Second)
	}
}

// A gateway that certainly did not take a notice is followed by the next at
// once; when it is dead it is left out, but for a probe.
func TestFailover(t *testing.T) {
	t.Parallel()
	c := stand()
	pool := dbtest.New(t, c.now)
	var dead atomic.Bool
	dead.Store(true)
	first := newNetwork(t, func(w http.ResponseWriter, r *http.Request, nth int) bool {
		return dead.Load() && failing(503)(w, r, 1)
	})
	second := newNetwork(t, nil)
	const notices, after = 40, 3
	for i := range notices {
		owe(t, pool, outbox.Notice{Key: fmt.Sprint(i), To: phone.Number(fmt.Sprintf("+254712%06d", i)), Body: fmt.Sprint(i)})
	}
	r := two(t, pool, first, second, func(o *RelayOptions) {
		o.Workers, o.PauseAfter, o.FirstWait, o.LongestPause = 1, after, time.Second, time.Second
		o.Rand = strings.NewReader("")
	})
	eventually(t, "all are sent", func() bool { return r.Stats().Sent == notices })
	if got := len(second.bodies("")); got != notices || first.asked() != after {
		t.Errorf("%d taken by the second, %d tries at the first", got, first.asked())
	}
	if s := r.Stats(); s.Failovers != after || s.Retried != 0 || s.Pauses != 1 {
		t.Errorf("%+v", s)
	}
	dead.Store(false)
	c.advance(time.Second)
	sentBy(t, pool, "first") // the probe
	sentBy(t, pool, "first")
	if g := r.Gateways(); g[0].Name != "first" || g[0].Paused || g[0].Sent < 2 || g[1].Sent < notices {
		t.Errorf("%+v", g)
	}
}

// sentBy owes notices until that gateway sends one: the relay may have looked at
// the clock in the moment before it was moved.
func sentBy(t *testing.T, pool *db.Pool, gateway string) {
	t.Helper()
	eventually(t, gateway+" sends", func() bool {
		key := rand.Text()
		owe(t, pool, outbox.Notice{Key: key, To: asha, Body: key})
		return became(t, pool, asha, key, "sent").Gateway == gateway
	})
}

// A doubt stays with its gateway: another one's SMS would be a second.
func TestADoubtStaysWithItsGateway(t *testing.T) {
	t.Parallel()
	for _, over := range []bool{false, true} {
		t.Run(fmt.Sprint("failover ", over), func(t *testing.T) {
			t.Parallel()
			pool := dbtest.New(t, nil)
			first := newNetwork(t, nil)
			first.answer = func(w http.ResponseWriter, r *http.Request, nth int) bool {
				if nth <= 2 {
					first.take(drop{}, r) // it takes the message and its answer is lost
					panic(http.ErrAbortHandler)
				}
				return false
			}
			second := newNetwork(t, nil)
			owe(t, pool, outbox.Notice{Key: "a", To: asha, Body: "a"})
			r := two(t, pool, first, second, func(o *RelayOptions) { o.FailoverDoubts = over })
			record := became(t, pool, asha, "a", "sent")
			want := []int{3, 0, 2}
			if over {
				want = []int{1, 1, 1}
			}
			if got := []int{len(first.bodies("")), len(second.bodies("")), record.Doubts}; !slices.Equal(got, want) {
				t.Errorf("first, second, doubts: %v, want %v", got, want)
			}
			r.stop()
			if s := r.Stats(); s.Doubtful != int64(want[2]) {
				t.Errorf("%+v", s)
			}
		})
	}
}

// drop is an answer that nobody reads.
type drop struct{}

func (drop) Header() http.Header         { return http.Header{} }
func (drop) Write(b []byte) (int, error) { return len(b), nil }
func (drop) WriteHeader(int)             {}

// Whoever told the number STOP gets no receipt from it, and the gateway is not
// asked again; codes come from another gateway. START ends it.
func TestOptOut(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t, nil)
	first, second := newNetwork(t, failing(400)), newNetwork(t, nil)
	r := two(t, pool, first, second)
	owe(t, pool, outbox.Notice{Key: "a", To: asha, Body: "a"})
	if record := became(t, pool, asha, "a", "failed"); !strings.Contains(record.Error, "21610") {
		t.Errorf("%+v", record)
	}
	owe(t, pool, outbox.Notice{Key: "b", To: asha, Body: "b"}, outbox.Notice{Key: "c", To: baraka, Body: "a"})
	if record := became(t, pool, asha, "b", "failed"); !strings.Contains(record.Error, "opted out") {
		t.Errorf("%+v", record)
	}
	became(t, pool, baraka, "c", "sent")
	writeCode := func(key string) {
		if err := pool.InTx(t.Context(), func(tx *db.Tx) error {
			return outbox.WriteOnce(t.Context(), tx, []outbox.Notice{{Key: key, To: asha, Body: key, Priority: outbox.Code}})
		}); err != nil {
			t.Fatal(err)
		}
	}
	writeCode("code")
	if record := became(t, pool, asha, "code", "sent"); record.Gateway != "second" {
		t.Errorf("%+v", record)
	}
	if asked := first.asked(); asked != 2 { // "a" of each
		t.Errorf("the first gateway was asked %d times, want 2", asked)
	}
	if n, err := outbox.ResendAll(t.Context(), pool, time.Time{}); n != 0 || err != nil {
		t.Errorf("resent to whoever has opted out: %d, %v", n, err)
	}
	if err := outbox.OptIn(t.Context(), pool, "first", asha); err != nil {
		t.Fatal(err)
	}
	if n, err := outbox.ResendAll(t.Context(), pool, time.Time{}); n != 2 || err != nil {
		t.Errorf("resent after START: %d, %v", n, err)
	}
	became(t, pool, asha, "a", "sent")
	became(t, pool, asha, "b", "failed") // this network refuses each body once
	if s := r.Stats(); s.OptedOut != 3 {
		t.Errorf("%+v", s)
	}
}

// 429 with Retry-After rests the gateway, and not only the message: the next one
// is not tried there either.
func TestRetryAfterRestsTheGateway(t *testing.T) {
	t.Parallel()
	c := stand()
	pool := dbtest.New(t, c.now)
	first := newNetwork(t, func(w http.ResponseWriter, r *http.Request, nth int) bool {
		w.Header().Set("Retry-After", "120")
		return r.PostForm.Get("Body") == "a" && failing(429)(w, r, nth)
	})
	second := newNetwork(t, nil)
	r := two(t, pool, first, second)
	for _, key := range []string{"a", "b"} {
		owe(t, pool, outbox.Notice{Key: key, To: asha, Body: key})
		if record := became(t, pool, asha, key, "sent"); record.Gateway != "second" {
			t.Errorf("%s sent by %s", key, record.Gateway)
		}
	}
	if first.asked() != 1 {
		t.Errorf("%d asked while it rests", first.asked())
	}
	c.advance(2 * time.Minute)
	sentBy(t, pool, "first")
	if s := r.Stats(); s.Failovers != 1 || s.Pauses != 0 || first.asked() != 2 {
		t.Errorf("%+v, %d asked", s, first.asked())
	}
}
