package sms

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
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

func TestRelaySendsOnce(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t, nil)
	n := newNetwork(t, nil)
	r := start(t, pool, n.twilio(t))
	owe(t, pool, outbox.Notice{Key: "a", To: asha, Body: "Confirmed."})
	record := became(t, pool, asha, "a", "sent")
	if record.Gateway != "twilio" || record.ProviderID != "SM00000000000000000000000000000001" || record.Attempts != 1 || record.Error != "" || record.Sent.IsZero() {
		t.Errorf("record: %+v", record)
	}
	// Its key again, and polls that find nothing, send nothing.
	owe(t, pool, outbox.Notice{Key: "a", To: asha, Body: "Confirmed."}, outbox.Notice{Key: "b", To: baraka, Body: "Other."})
	became(t, pool, baraka, "b", "sent")
	r.stop()
	if diff := cmp.Diff([]string{"Confirmed.", "Other."}, n.bodies("")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Stats{Sent: 2}, r.Stats()); diff != "" {
		t.Error(diff)
	}
	if len(r.log.lines()) != 0 {
		t.Errorf("log: %q", r.log.lines())
	}
}

// While customers wait the relay looks less often, and sends all the same.
func TestRelayYields(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t, nil)
	n := newNetwork(t, nil)
	var asked atomic.Int64
	r := start(t, pool, n.twilio(t), func(o *RelayOptions) {
		o.Busy = func() bool { asked.Add(1); return true }
	})
	owe(t, pool, outbox.Notice{Key: "a", To: asha, Body: "Confirmed."})
	became(t, pool, asha, "a", "sent")
	r.stop()
	if yielded := r.Stats().Yielded; yielded == 0 || yielded != asked.Load() {
		t.Errorf("asked %d times whether customers wait, it yielded %d times", asked.Load(), yielded)
	}
}

func wake(t *testing.T, pool *db.Pool) {
	t.Helper()
	if err := outbox.Wake(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
}

// The wake-up alone suffices, also for the notices that wait behind each other
// (and so does the poll alone: the tests with a clock would not end without it).
func TestRelayIsWoken(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t, nil)
	n := newNetwork(t, nil)
	start(t, pool, n.twilio(t), func(o *RelayOptions) { o.Poll = time.Hour })
	i := 0
	eventually(t, "a notice goes out without a poll", func() bool { // LISTEN starts in the background
		i++
		owe(t, pool, outbox.Notice{Key: fmt.Sprint(i), To: asha, Body: "x"})
		wake(t, pool)
		return len(n.bodies("")) > 0
	})
	var queue []outbox.Notice
	var want []string
	for i := range 20 {
		want = append(want, fmt.Sprint("baraka", i))
		queue = append(queue, outbox.Notice{Key: want[i], To: baraka, Body: want[i]})
	}
	owe(t, pool, queue...)
	wake(t, pool)
	eventually(t, "a whole queue goes out without a poll", func() bool { return len(n.bodies(baraka)) == len(want) })
	if diff := cmp.Diff(want, n.bodies(baraka)); diff != "" {
		t.Error(diff)
	}
}

func TestRelayTriesAgain(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t, nil)
	n := newNetwork(t, failing(500, 429, 401))
	r := start(t, pool, n.twilio(t))
	owe(t, pool, outbox.Notice{Key: "a", To: asha, Body: "SECRET BODY"})
	if record := became(t, pool, asha, "a", "sent"); record.Attempts != 4 {
		t.Errorf("record: %+v", record)
	}
	r.stop()
	if diff := cmp.Diff(Stats{Sent: 1, Retried: 3}, r.Stats()); diff != "" {
		t.Error(diff)
	}
	lines := r.log.lines()
	if len(lines) != 3 {
		t.Errorf("log has %d lines, want one a failure: %q", len(lines), lines)
	}
	for _, line := range lines {
		if !strings.Contains(line, "key=a") || !strings.Contains(line, "to=+2547****0001") || !strings.Contains(line, "next_try_in=") {
			t.Errorf("log: %q", line)
		}
		for _, secret := range []string{"SECRET", string(asha), account, token} {
			if strings.Contains(line, secret) {
				t.Errorf("%q is in the log: %q", secret, line)
			}
		}
	}
}

func TestRelayGivesUp(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t, nil)
	n := newNetwork(t, func(w http.ResponseWriter, r *http.Request, nth int) bool {
		switch r.PostForm.Get("Body") {
		case "opted out":
			return failing(400)(w, r, 1)
		case "never answered":
			<-r.Context().Done()
			return true
		}
		return false
	})
	r := start(t, pool, n.twilio(t, func(o *TwilioOptions) { o.Timeout = 100 * time.Millisecond }),
		func(o *RelayOptions) { o.MaxDoubts = 2 })
	owe(t, pool,
		outbox.Notice{Key: "1", To: "+254712000001", Body: "opted out"},
		outbox.Notice{Key: "3", To: "+254712000003", Body: "never answered"},
		outbox.Notice{Key: "4", To: "+254712000003", Body: "the next one"})
	for _, want := range []struct {
		to       phone.Number
		key      string
		attempts int
		error    string
	}{
		{"+254712000001", "1", 1, "sms: twilio: 21610: HTTP status 400"},
		{"+254712000003", "3", 2, "sms: twilio: outcome unknown: context deadline exceeded"},
	} {
		if got := became(t, pool, want.to, want.key, "failed"); got.Attempts != want.attempts || got.Error != want.error || got.Gateway != "twilio" {
			t.Errorf("%s: %+v, want %+v", want.key, got, want)
		}
	}
	became(t, pool, "+254712000003", "4", "sent") // one that was given up holds nobody back
	r.stop()
	if diff := cmp.Diff(Stats{Sent: 1, Retried: 1, Failed: 2, Doubtful: 2, OptedOut: 1}, r.Stats()); diff != "" {
		t.Error(diff)
	}
	if n.asked() != 1+2+1 {
		t.Errorf("%d requests", n.asked())
	}
}

// tries waits until the phone's notice has had so many tries and is back in the
// queue.
func tries(t *testing.T, pool *db.Pool, key string, want int) outbox.Record {
	t.Helper()
	var found outbox.Record
	eventually(t, fmt.Sprintf("try %d of %s fails", want, key), func() bool {
		records, err := outbox.For(t.Context(), pool, asha, 1)
		if err != nil {
			t.Fatal(err)
		}
		found = records[0]
		return found.Status == "queued" && found.Attempts == want
	})
	return found
}

// A notice that certainly did not go out is tried for three days, each wait
// twice the last up to ten minutes.
func TestRelayTriesForThreeDays(t *testing.T) {
	t.Parallel()
	c := stand()
	pool := dbtest.New(t, c.now)
	n := newNetwork(t, func(w http.ResponseWriter, r *http.Request, nth int) bool { return failing(503)(w, r, 1) })
	written := c.now()
	owe(t, pool, outbox.Notice{Key: "a", To: asha, Body: "a"})
	start(t, pool, n.twilio(t), func(o *RelayOptions) {
		o.Rand = strings.NewReader("") // whole waits
		o.FirstWait, o.LongestWait = 0, 0
		o.PauseAfter = 1000
	})
	attempt := 0
	for wait := 2 * time.Second; c.now().Sub(written) < time.Hour; wait = min(2*wait, 10*time.Minute) {
		attempt++
		if r := tries(t, pool, "a", attempt); r.NextAttempt.Sub(c.now()) != wait {
			t.Fatalf("after attempt %d it waits %v, want %v", attempt, r.NextAttempt.Sub(c.now()), wait)
		}
		c.advance(wait)
	}
	attempt++
	tries(t, pool, "a", attempt)
	c.advance(written.Add(72*time.Hour - 10*time.Minute).Sub(c.now()))
	attempt++
	tries(t, pool, "a", attempt) // the next one is at the age of 72 hours, to the second
	c.advance(10 * time.Minute)
	if r := became(t, pool, asha, "a", "failed"); r.Attempts != attempt+1 || !strings.Contains(r.Error, "503") {
		t.Errorf("given up: %+v", r)
	}
}

// However long nobody looked after the outbox, each notice gets a try.
func TestRelayTriesTheOldOnce(t *testing.T) {
	t.Parallel()
	c := stand()
	pool := dbtest.New(t, c.now)
	n := newNetwork(t, func(w http.ResponseWriter, r *http.Request, nth int) bool {
		return r.PostForm.Get("Body") == "fails" && failing(503)(w, r, nth)
	})
	owe(t, pool, outbox.Notice{Key: "a", To: asha, Body: "goes out"}, outbox.Notice{Key: "b", To: baraka, Body: "fails"})
	c.advance(73 * time.Hour)
	start(t, pool, n.twilio(t))
	became(t, pool, asha, "a", "sent")
	if r := became(t, pool, baraka, "b", "failed"); r.Attempts != 1 {
		t.Errorf("%+v", r)
	}
}

func TestRelayWaitsAsLongAsTheGatewayAsks(t *testing.T) {
	t.Parallel()
	c := stand()
	pool := dbtest.New(t, c.now)
	n := newNetwork(t, func(w http.ResponseWriter, r *http.Request, nth int) bool {
		w.Header().Set("Retry-After", "120")
		return failing(429)(w, r, nth)
	})
	start(t, pool, n.twilio(t))
	owe(t, pool, outbox.Notice{Key: "a", To: asha, Body: "x"})
	eventually(t, "a failed try is noted", func() bool {
		records, _ := outbox.For(t.Context(), pool, asha, 1)
		return len(records) == 1 && records[0].Error != ""
	})
	if record := became(t, pool, asha, "a", "queued"); !record.NextAttempt.Equal(c.now().Add(2 * time.Minute)) {
		t.Errorf("next attempt %v, now %v", record.NextAttempt, c.now())
	}
	c.advance(2 * time.Minute)
	became(t, pool, asha, "a", "sent")
}

func TestRelayLeavesTheExpired(t *testing.T) {
	t.Parallel()
	c := stand()
	pool := dbtest.New(t, c.now)
	n := newNetwork(t, nil)
	owe(t, pool,
		outbox.Notice{Key: "late", To: asha, Body: "late", Expires: c.now().Add(time.Minute)},
		outbox.Notice{Key: "in time", To: asha, Body: "in time", Expires: c.now().Add(time.Hour)})
	c.advance(time.Minute)
	r := start(t, pool, n.twilio(t))
	became(t, pool, asha, "in time", "sent")
	became(t, pool, asha, "late", "expired")
	r.stop()
	if diff := cmp.Diff([]string{"in time"}, n.bodies("")); diff != "" {
		t.Error(diff)
	}
	if got := n.taken[0].Get("ValidityPeriod"); got != "3540" {
		t.Errorf("validity %q, want the 59 minutes left", got)
	}
	if diff := cmp.Diff(Stats{Sent: 1, Expired: 1}, r.Stats()); diff != "" {
		t.Error(diff)
	}
}

// A relay that is killed between leasing and noting leaves a lease that runs
// out; then another sends.
func TestAfterAKillItIsSentAgain(t *testing.T) {
	t.Parallel()
	c := stand()
	pool := dbtest.New(t, c.now)
	n := newNetwork(t, nil)
	owe(t, pool, outbox.Notice{Key: "a", To: asha, Body: "a"}, outbox.Notice{Key: "b", To: asha, Body: "b"})
	killed, _, err := outbox.Lease(t.Context(), pool, 1, time.Minute, "killed", nil)
	if err != nil || len(killed) != 1 {
		t.Fatal(killed, err)
	}
	if _, err := n.twilio(t).Send(t.Context(), Message{To: killed[0].To, Body: killed[0].Body}); err != nil {
		t.Fatal(err)
	}
	r := start(t, pool, n.twilio(t))
	owe(t, pool, outbox.Notice{Key: "c", To: baraka, Body: "c"})
	became(t, pool, baraka, "c", "sent")
	if diff := cmp.Diff([]string{"a", "c"}, n.bodies("")); diff != "" {
		t.Errorf("before the lease ran out: %s", diff)
	}
	c.advance(time.Minute)
	became(t, pool, asha, "b", "sent")
	r.stop()
	if diff := cmp.Diff([]string{"a", "a", "b"}, n.bodies(asha)); diff != "" {
		t.Error(diff)
	}
}

// What comes back from the dead too often is not sent for ever.
func TestWhatKillsRelaysIsGivenUp(t *testing.T) {
	t.Parallel()
	c := stand()
	pool := dbtest.New(t, c.now)
	n := newNetwork(t, nil)
	owe(t, pool, outbox.Notice{Key: "a", To: asha, Body: "a"})
	for range 3 {
		if due, _, err := outbox.Lease(t.Context(), pool, 1, time.Minute, "killed", nil); err != nil || len(due) != 1 {
			t.Fatal(due, err)
		}
		c.advance(time.Minute)
	}
	start(t, pool, n.twilio(t))
	became(t, pool, asha, "a", "failed")
	if n.asked() != 0 {
		t.Errorf("%d requests", n.asked())
	}
}

func TestStopFinishesWhatIsInFlight(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t, nil)
	reached, answer := make(chan struct{}), make(chan struct{})
	n := newNetwork(t, func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		if r.PostForm.Get("Body") == "first" {
			close(reached)
			<-answer
		}
		return false
	})
	r := start(t, pool, n.twilio(t), func(o *RelayOptions) { o.Workers = 1 })
	owe(t, pool, outbox.Notice{Key: "1", To: asha, Body: "first"}, outbox.Notice{Key: "2", To: baraka, Body: "second"})
	<-reached
	stopped := make(chan struct{})
	go func() {
		r.stop()
		close(stopped)
	}()
	select {
	case <-stopped:
		t.Error("stopped before the answer came")
	case <-time.After(100 * time.Millisecond):
	}
	close(answer)
	<-stopped
	if record := became(t, pool, asha, "1", "sent"); record.Attempts != 1 {
		t.Errorf("first: %+v", record)
	}
	if record := became(t, pool, baraka, "2", "queued"); record.Attempts != 0 {
		t.Errorf("second: %+v", record)
	}
}

// Two relays, a network that fails now and then, two thousand notices for a
// hundred phones, in lots before and while they run: each arrives once and every phone gets its own in order.
func TestTwoRelaysDrainTheOutbox(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t, nil)
	n := newNetwork(t, func(w http.ResponseWriter, r *http.Request, nth int) bool {
		i, err := strconv.Atoi(r.PostForm.Get("Body"))
		return err == nil && i%50 == 7 && failing(503)(w, r, nth)
	})
	const phones, each = 100, 20
	var notices []outbox.Notice
	want := map[phone.Number][]string{}
	for i := range phones * each {
		to := phone.Number(fmt.Sprintf("+254712%06d", i%phones))
		body := fmt.Sprintf("%04d", i)
		notices = append(notices, outbox.Notice{Key: body, To: to, Body: body, Priority: outbox.Receipt})
		want[to] = append(want[to], body)
	}
	began := time.Now()
	lots := slices.Collect(slices.Chunk(notices, 2*phones))
	oweLots(t, pool, lots[:3]...)
	one := start(t, pool, n.twilio(t), func(o *RelayOptions) { o.Name = "one" })
	two := start(t, pool, n.twilio(t), func(o *RelayOptions) { o.Name = "two" })
	oweLots(t, pool, lots[3:]...)
	eventually(t, "all are sent", func() bool { return one.Stats().Sent+two.Stats().Sent >= phones*each })
	t.Logf("%d notices in %v", phones*each, time.Since(began))
	one.stop()
	two.stop()
	got := map[phone.Number][]string{}
	for to := range want {
		got[to] = n.bodies(to)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if a, b := one.Stats(), two.Stats(); a.Sent == 0 || b.Sent == 0 || a.Retried+b.Retried != 40 || a.Lost+b.Lost+a.Failed+b.Failed+a.DBErrors+b.DBErrors != 0 {
		t.Errorf("one: %+v\ntwo: %+v", a, b)
	}
}

func TestNewRelayRefuses(t *testing.T) {
	t.Parallel()
	good := RelayOptions{Pool: new(db.Pool), Gateways: []Gateway{NewLog(slog.Default())}, Name: "r", Rand: rand.Reader, Log: slog.Default()}
	if _, err := NewRelay(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(o *RelayOptions){
		"pool":     func(o *RelayOptions) { o.Pool = nil },
		"gateways": func(o *RelayOptions) { o.Gateways = nil },
		"name":     func(o *RelayOptions) { o.Name = "" },
		"rand":     func(o *RelayOptions) { o.Rand = nil },
		"log":      func(o *RelayOptions) { o.Log = nil },
		"workers":  func(o *RelayOptions) { o.Workers = -1 },
		"lease":    func(o *RelayOptions) { o.Lease = -1 },
		"age":      func(o *RelayOptions) { o.GiveUp = -1 },
		"doubts":   func(o *RelayOptions) { o.MaxDoubts = -1 },
		"failures": func(o *RelayOptions) { o.PauseAfter = -1 },
	} {
		bad := good
		spoil(&bad)
		if _, err := NewRelay(bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
