package people

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Second is what happened in one second of the traffic.
type Second struct {
	Hops     int     `json:"hops"`
	Payments int     `json:"payments"`
	Refused  int     `json:"refused"`
	Unknown  int     `json:"unknown"`
	Lost     int     `json:"lost"` // hops without an answer
	Busy     int     `json:"busy"` // people in a session at its end
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
}

// Bar is one bar of the histogram of answer times: from From to To milliseconds.
type Bar struct {
	From  float64 `json:"from_ms"`
	To    float64 `json:"to_ms"`
	Count int64   `json:"count"`
}

// Figures are a tally's sums.
type Figures struct {
	Began                time.Time
	Sessions, Hops, Lost int64
	Payments             map[string]int64 // by kind
	Moved                int64            // minor units
	Refusals             map[string]int64 // by reason
	Unknown, Resolved    int64
	Dropped, Crowded     int64
	P50, P95, P99, Max   float64 // ms of a hop
	PerSecond            []Second
	Bars                 []Bar
}

// Tally counts what people see. It is safe for concurrent use.
type Tally struct {
	crowded  atomic.Int64 // would have come, but too many were in a session
	sessions atomic.Int64
	dropped  atomic.Int64

	mu       sync.Mutex
	began    time.Time
	all, now *hdrhistogram.Histogram // microseconds of a hop
	seconds  []Second
	this     Second
	payments map[string]int64
	refusals map[string]int64
	moved    int64
	hops     int64
	lost     int64
	unknown  int64
	resolved int64
}

// longestHop is beyond the gateway's patience, in microseconds.
const longestHop = 20_000_000

func newTally() *Tally {
	return &Tally{
		all: hdrhistogram.New(1, longestHop, 3), now: hdrhistogram.New(1, longestHop, 2), payments: map[string]int64{}, refusals: map[string]int64{},
	}
}

// begin starts the seconds; what was counted before (people who registered) is forgotten.
func (t *Tally) begin(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.began = at
	t.all.Reset()
	t.now.Reset()
	t.seconds, t.this = nil, Second{}
	clear(t.payments)
	clear(t.refusals)
	t.moved, t.hops, t.lost, t.unknown, t.resolved = 0, 0, 0, 0, 0
	t.sessions.Store(0)
	t.dropped.Store(0)
}

// Tick ends a second; busy is how many people are in a session.
func (t *Tally) Tick(busy int) Second {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.this
	s.Busy = busy
	s.P50, s.P99 = float64(t.now.ValueAtQuantile(50))/1000, float64(t.now.ValueAtQuantile(99))/1000
	t.seconds = append(t.seconds, s)
	t.this = Second{}
	t.now.Reset()
	return s
}

func (t *Tally) hop(took time.Duration, answered bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hops++
	t.this.Hops++
	if !answered {
		t.lost++
		t.this.Lost++
		return
	}
	us := min(max(1, took.Microseconds()), longestHop)
	t.all.RecordValue(us)
	t.now.RecordValue(us)
}

func (t *Tally) ended(a *Attempt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch a.Outcome {
	case OK:
		t.payments[a.Kind]++
		t.moved += a.Amount
		t.this.Payments++
	case Refused:
		t.refusals[a.Reason]++
		t.this.Refused++
	case Unknown:
		t.unknown++
		t.this.Unknown++
	}
}

func (t *Tally) refused(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refusals[reason]++
	t.this.Refused++
}

func (t *Tally) cleared() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.resolved++
}

// Figures reads everything.
func (t *Tally) Figures() Figures {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := Figures{
		Began:    t.began,
		Sessions: t.sessions.Load(), Hops: t.hops, Lost: t.lost, Payments: map[string]int64{}, Moved: t.moved, Refusals: map[string]int64{},
		Unknown: t.unknown, Resolved: t.resolved, Dropped: t.dropped.Load(), Crowded: t.crowded.Load(),
		P50: float64(t.all.ValueAtQuantile(50)) / 1000, P95: float64(t.all.ValueAtQuantile(95)) / 1000, P99: float64(t.all.ValueAtQuantile(99)) / 1000, Max: float64(t.all.Max()) / 1000,
		PerSecond: append([]Second{}, t.seconds...),
	}
	for k, n := range t.payments {
		f.Payments[k] = n
	}
	for k, n := range t.refusals {
		f.Refusals[k] = n
	}
	for _, edge := range [...]float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000} {
		b := Bar{To: edge}
		if n := len(f.Bars); n > 0 {
			b.From = f.Bars[n-1].To
		}
		f.Bars = append(f.Bars, b)
	}
	for _, d := range t.all.Distribution() {
		for i := range f.Bars {
			if ms := float64(d.To) / 1000; ms <= f.Bars[i].To || i == len(f.Bars)-1 {
				f.Bars[i].Count += d.Count
				break
			}
		}
	}
	return f
}

// PaymentsPerSecond is the mean of the seconds there were.
func (f Figures) PaymentsPerSecond() float64 {
	if len(f.PerSecond) == 0 {
		return 0
	}
	n := 0
	for _, s := range f.PerSecond {
		n += s.Payments
	}
	return float64(n) / float64(len(f.PerSecond))
}
