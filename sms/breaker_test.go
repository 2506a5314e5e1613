package sms

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tuma/internal/db/dbtest"
	"tuma/internal/phone"
	"tuma/sms/outbox"
)

func TestBreaker(t *testing.T) {
	t.Parallel()
	var told []string
	b := &breaker{
		after: 3,
		pause: func(nth int) time.Duration { return time.Duration(nth) * time.Second },
		told:  func(open bool, d time.Duration) { told = append(told, fmt.Sprint(open, d)) },
	}
	now := time.Date(2026, 11, 22, 9, 15, 0, 0, time.UTC)
	room := func(idle, want int) {
		t.Helper()
		if got := b.room(now, idle, 8); got != want {
			t.Errorf("room for %d, want %d", got, want)
		}
	}
	b.failed(now)
	b.failed(now)
	b.answered() // not in a row
	b.failed(now)
	b.failed(now)
	room(5, 5)
	b.failed(now)
	room(8, 0)
	now = now.Add(time.Second - 1)
	b.failed(now) // it was on its way: the pause does not grow
	room(8, 0)
	now = now.Add(1)
	room(7, 0) // a probe goes alone
	room(8, 1)
	b.failed(now) // the probe: the next pause is longer
	now = now.Add(2*time.Second - 1)
	room(8, 0)
	now = now.Add(1)
	room(8, 1)
	b.answered()
	room(8, 8)
	b.failed(now)
	room(8, 8)
	b.failed(now)
	b.failed(now)
	room(8, 0)
	b.answered() // one that was on its way got through after all
	room(8, 8)
	if diff := cmp.Diff([]string{"true 1s", "false 0s", "true 1s", "false 0s"}, told); diff != "" {
		t.Error(diff)
	}
}

// While the gateway is dead the notices stay where they are, but for one probe
// after each pause; when it answers, all go out.
func TestRelayPausesWhileTheGatewayIsDead(t *testing.T) {
	t.Parallel()
	c := stand()
	pool := dbtest.New(t, c.now)
	var dead atomic.Bool
	dead.Store(true)
	n := newNetwork(t, func(w http.ResponseWriter, r *http.Request, nth int) bool {
		return dead.Load() && failing(503)(w, r, 1)
	})
	const notices, workers, after = 100, 4, 6
	for i := range notices {
		owe(t, pool, outbox.Notice{Key: fmt.Sprint(i), To: phone.Number(fmt.Sprintf("+254712%06d", i)), Body: fmt.Sprint(i)})
	}
	r := start(t, pool, n.twilio(t), func(o *RelayOptions) {
		o.Workers, o.PauseAfter = workers, after
		o.FirstWait, o.LongestWait, o.LongestPause = time.Second, time.Hour, 4*time.Second
		o.Rand = strings.NewReader("") // whole waits
	})
	settled := func() bool { // several polls long nothing happens
		asked := n.asked()
		for range 10 {
			time.Sleep(10 * time.Millisecond) // a poll of the relay
		}
		return n.asked() == asked && r.Stats().InFlight == 0 && int64(asked) == r.Stats().Retried
	}
	eventually(t, "the relay pauses", func() bool { return r.Stats().Pauses == 1 })
	eventually(t, "nothing is tried in the pause", settled)
	if asked := n.asked(); asked < after || asked >= after+workers {
		t.Errorf("%d tries before the pause, want %d and at most those that were on their way", asked, after)
	}
	for _, pause := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 4 * time.Second} {
		before := n.asked()
		c.advance(pause - time.Microsecond)
		if eventually(t, "nothing", settled); n.asked() != before {
			t.Errorf("tried within a pause of %v", pause)
		}
		c.advance(time.Microsecond)
		eventually(t, "a probe", func() bool { return n.asked() > before })
		if eventually(t, "nothing", settled); n.asked() != before+1 {
			t.Errorf("%d probes after a pause of %v", n.asked()-before, pause)
		}
	}
	dead.Store(false)
	c.advance(time.Hour)
	eventually(t, "all are sent", func() bool { return r.Stats().Sent == notices })
	r.stop()
	if s := r.Stats(); s.Pauses != 1 || s.Failed+s.Doubtful+s.Lost != 0 {
		t.Errorf("%+v", s)
	}
	var lines []string
	for _, line := range r.log.lines() {
		if strings.Contains(line, "gateway=twilio") {
			lines = append(lines, line)
		}
	}
	if len(lines) != 2 || !strings.Contains(lines[0], "takes nothing") || !strings.Contains(lines[1], "answers again") {
		t.Errorf("log: %q", lines)
	}
}
