package main

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/ussd"
)

// metrics are what a process says of itself. The rooms know nothing of
// Prometheus: they tell what they have done (ussd.Seen, ledger.Batch) or can be
// asked where they stand (standing.go), and it is named here. No label holds a
// phone number, a name, or anything else that grows with the customers.
type metrics struct {
	registry *prometheus.Registry

	requests *prometheus.CounterVec   // channel, outcome
	seconds  *prometheus.HistogramVec // channel
	refusals *prometheus.CounterVec   // channel, reason

	entries      *prometheus.CounterVec // kind
	again        prometheus.Counter
	refused      *prometheus.CounterVec // rule
	failed       prometheus.Counter
	brakes       *prometheus.CounterVec // rule, outcome
	batchEntries prometheus.Histogram
	batchSeconds prometheus.Histogram
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.CounterOpts { return prometheus.CounterOpts{Name: name, Help: help} }
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(counter("tuma_requests_total", "Requests answered, by channel and outcome."), []string{"channel", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tuma_request_seconds", Help: "How long an answer took.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 8}, // a USSD step has 8 s
		}, []string{"channel"}),
		refusals: prometheus.NewCounterVec(counter("tuma_refusals_total", "Refusals shown to people, by reason: the keys of the menu's table."), []string{"channel", "reason"}),
		entries:  prometheus.NewCounterVec(counter("tuma_entries_total", "Entries posted, by kind."), []string{"kind"}),
		again:    prometheus.NewCounter(counter("tuma_entries_again_total", "Entries whose Ref stood in the book already.")),
		refused:  prometheus.NewCounterVec(counter("tuma_entries_refused_total", "Entries that the book refused, by rule."), []string{"rule"}),
		failed:   prometheus.NewCounter(counter("tuma_entries_failed_total", "Entries that could not be decided: the database's fault.")),
		brakes:   prometheus.NewCounterVec(counter("tuma_brakes_total", "What rules against fraud and abuse have refused or noticed."), []string{"rule", "outcome"}),
		batchEntries: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tuma_book_batch_entries", Help: "Entries of one commit.", Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256},
		}),
		batchSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tuma_book_batch_seconds", Help: "How long one commit of the book took, all tries.", Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 12},
		}),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.refusals, m.entries, m.again, m.refused, m.failed, m.brakes, m.batchEntries, m.batchSeconds,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector())
	return m
}

// handler is GET /metrics.
func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// step counts a USSD request.
func (m *metrics) step(s ussd.Seen) {
	channel := "ussd_" + s.Gateway
	m.requests.WithLabelValues(channel, s.Outcome).Inc()
	m.seconds.WithLabelValues(channel).Observe(s.Took.Seconds())
	if s.Refusal != "" {
		m.refusals.WithLabelValues(channel, s.Refusal).Inc()
	}
}

// batch counts what the book has decided.
func (m *metrics) batch(b ledger.Batch) {
	for kind, n := range b.Posted {
		m.entries.WithLabelValues(kind).Add(float64(n))
	}
	for rule, n := range b.Refused {
		m.refused.WithLabelValues(string(rule)).Add(float64(n))
	}
	m.again.Add(float64(b.Again))
	m.failed.Add(float64(b.Failed))
	m.batchEntries.Observe(float64(b.Entries()))
	m.batchSeconds.Observe(b.Took.Seconds())
}

// brake has each rule that is on begin at zero, so that its first event counts.
func (m *metrics) brake(rules accounts.Brakes) {
	for _, b := range rules {
		if b.Outcome != accounts.BrakeOff {
			m.brakes.WithLabelValues(b.Rule, b.Outcome)
		}
	}
}

// braked counts what a rule has done.
func (m *metrics) braked(rule, outcome string) { m.brakes.WithLabelValues(rule, outcome).Inc() }

// portal counts the portal's requests. A page that waits for news is open for
// minutes and says nothing of speed.
func (m *metrics) portal(next http.Handler) http.Handler {
	return m.measured("portal", func(r *http.Request) bool { return !strings.HasPrefix(r.URL.Path, "/agents/live/") }, next)
}

// measured counts the requests of a channel by the hundreds of their status.
func (m *metrics) measured(channel string, timed func(*http.Request) bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(seen, r)
		m.requests.WithLabelValues(channel, strconv.Itoa(seen.status/100)+"xx").Inc()
		if timed(r) {
			m.seconds.WithLabelValues(channel).Observe(time.Since(began).Seconds())
		}
	})
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach what is underneath: pages flush and
// set deadlines.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
