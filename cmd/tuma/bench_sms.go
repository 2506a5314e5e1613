package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"crypto/rand"

	"github.com/HdrHistogram/hdrhistogram-go"

	"tuma/internal/db"
	"tuma/internal/phone"
	"tuma/sms"
	"tuma/sms/outbox"
)

type benchSMS struct {
	Notices  int           `default:"100000" help:"Notices that wait when the relays start."`
	Phones   int           `default:"20000" help:"Different recipients; the notices of each go out one after the other."`
	Relays   int           `default:"1" help:"Relays that share the outbox."`
	Latency  time.Duration `default:"0s" help:"How long the provider thinks about each message."`
	Rate     int           `default:"500" help:"Then: notices owed a second, to measure the delay of each."`
	Duration time.Duration `default:"10s" help:"How long."`
	JSON     bool          `help:"End with one JSON object."`
}

// smsFigures are what a run measured.
type smsFigures struct {
	NoticesPerS float64 `json:"notices_per_s"`
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
	Memory      float64 `json:"memory_mb"`
	Notices     int     `json:"notices"`
	Steady      int     `json:"steady_notices"`
	Rate        int     `json:"rate_per_s"`
	Relays      int     `json:"relays"`
	Cores       int     `json:"cores"`
}

// Run drains an outbox through a provider that speaks Twilio's HTTP on this
// machine, in this process: its work is part of what is measured.
func (c *benchSMS) Run(ctx context.Context) (err error) {
	b, err := startBench(ctx, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	pool, err := db.Open(ctx, db.Options{URL: b.databaseURL})
	if err != nil {
		return err
	}
	defer pool.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p := &benchProvider{latency: c.Latency, taken: map[string]int{}, sent: map[string]time.Time{}, delays: hdrhistogram.New(1, 600_000_000, 3)}
	serving, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- serveUntil(serving, l, p, slog.New(slog.DiscardHandler), nil) }()
	f, err := c.measure(ctx, pool, p, "http://"+l.Addr().String())
	stop()
	if err := errors.Join(err, <-done); err != nil {
		return err
	}
	fmt.Printf("%.0f notices/s, %d drained; at %d/s the delay from commit to provider is p50 %.1f ms, p99 %.1f ms (%d notices); %.0f MB of memory (%d relays, %d cores); each was taken once\n",
		f.NoticesPerS, f.Notices, f.Rate, f.P50, f.P99, f.Steady, f.Memory, f.Relays, f.Cores)
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(f)
	}
	return nil
}

func (c *benchSMS) measure(ctx context.Context, pool *db.Pool, p *benchProvider, url string) (smsFigures, error) {
	f := smsFigures{Notices: c.Notices, Rate: c.Rate, Relays: c.Relays, Cores: runtime.NumCPU()}
	for at := 0; at < c.Notices; at += 256 { // as many as a commit of the book owes at most
		if err := c.owe(ctx, pool, at, min(256, c.Notices-at)); err != nil {
			return f, err
		}
	}
	running, stop := context.WithCancel(ctx)
	var relays sync.WaitGroup
	defer relays.Wait()
	defer stop()
	began := time.Now()
	for i := range c.Relays {
		g, err := sms.NewTwilio(sms.TwilioOptions{AccountSID: devTwilioSID, Password: "bench", From: "TUMA", BaseURL: url})
		if err != nil {
			return f, err
		}
		r, err := sms.NewRelay(sms.RelayOptions{Pool: pool, Gateways: []sms.Gateway{g}, Name: fmt.Sprint("bench", i), Rand: rand.Reader, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return f, err
		}
		relays.Go(func() { r.Run(running) })
	}
	if err := p.wait(ctx, c.Notices); err != nil {
		return f, err
	}
	f.NoticesPerS = float64(c.Notices) / time.Since(began).Seconds()

	step := 20 * time.Millisecond
	each := max(1, c.Rate*int(step)/int(time.Second))
	began = time.Now()
	for i := 1; time.Since(began) < c.Duration; i++ {
		at := c.Notices + f.Steady
		p.owed(at, each)
		if err := c.owe(ctx, pool, at, each); err != nil {
			return f, err
		}
		if err := outbox.Wake(ctx, pool); err != nil {
			return f, err
		}
		f.Steady += each
		time.Sleep(time.Until(began.Add(time.Duration(i) * step)))
	}
	if err := p.wait(ctx, c.Notices+f.Steady); err != nil {
		return f, err
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	f.Memory = float64(memory.Sys) / (1 << 20)
	stop()
	relays.Wait()
	f.P50, f.P99 = float64(p.delays.ValueAtQuantile(50))/1000, float64(p.delays.ValueAtQuantile(99))/1000
	return f, c.check(ctx, pool, p, c.Notices+f.Steady)
}

// owe writes notices as the book does, a lot in a commit.
func (c *benchSMS) owe(ctx context.Context, pool *db.Pool, from, n int) error {
	var notices []outbox.Notice
	for i := from; i < from+n; i++ {
		notices = append(notices, outbox.Notice{
			Key: fmt.Sprint("bench:", i), To: phone.Number(fmt.Sprintf("+2547%08d", i%c.Phones)), Lang: "en", Priority: outbox.Receipt,
			Body: fmt.Sprintf("%010d Confirmed. Ksh500.00 sent to BARAKA OTIENO 0712000002 on 22/11/26 at 9:15 AM. New balance is Ksh493.00. Cost Ksh7.00.", i),
		})
	}
	lot, err := outbox.Pack(notices)
	if err != nil {
		return err
	}
	return pool.InTx(ctx, func(tx *db.Tx) error { return lot.Write(ctx, tx) })
}

// check refuses figures of a run that lost or doubled something.
func (c *benchSMS) check(ctx context.Context, pool *db.Pool, p *benchProvider, want int) error {
	var noted int
	if err := pool.Get(ctx, &noted, "select count(*) from notice where status = 'sent' and doubts = 0 and provider_id is not null"); err != nil {
		return err
	}
	twice := 0
	for _, n := range p.taken {
		if n > 1 {
			twice++
		}
	}
	if noted != want || len(p.taken) != want || twice > 0 {
		return fmt.Errorf("no figures: of %d notices %d are noted as sent, %d were taken, %d of them more than once", want, noted, len(p.taken), twice)
	}
	return nil
}

// benchSending is a provider for a bench's service to send through, and the
// settings for it.
func benchSending(ill bool) (set map[string]string, stop func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	p := &benchProvider{ill: ill, taken: map[string]int{}}
	serving, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serveUntil(serving, l, p, slog.New(slog.DiscardHandler), nil) }()
	set = map[string]string{
		"TUMA_SMS": "twilio", "TUMA_TWILIO_SID": devTwilioSID, "TUMA_TWILIO_TOKEN": "bench", "TUMA_TWILIO_FROM": "TUMA", "TUMA_TWILIO_URL": "http://" + l.Addr().String(),
	}
	return set, func() error {
		cancel()
		return <-done
	}, nil
}

// benchProvider takes every message, as Twilio does, unless it is ill.
type benchProvider struct {
	latency time.Duration
	ill     bool
	mu      sync.Mutex
	taken   map[string]int       // by the first word of the body
	sent    map[string]time.Time // when those were owed whose delay counts
	delays  *hdrhistogram.Histogram
}

func (p *benchProvider) owed(from, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := from; i < from+n; i++ {
		p.sent[fmt.Sprintf("%010d", i)] = time.Now()
	}
}

func (p *benchProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	time.Sleep(p.latency)
	id, _, _ := strings.Cut(r.PostFormValue("Body"), " ")
	p.mu.Lock()
	p.taken[id]++
	nth := len(p.taken) % 8
	if at, ok := p.sent[id]; ok {
		p.delays.RecordValue(max(1, time.Since(at).Microseconds()))
	}
	p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if p.ill && nth < 5 {
		fallIll(w, r, nth)
		return
	}
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"sid":"SM%s","status":"queued"}`, id)
}

// fallIll fails in one of five ways.
func fallIll(w http.ResponseWriter, r *http.Request, way int) {
	switch way {
	case 0:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	case 1:
		w.WriteHeader(http.StatusInternalServerError)
	case 2:
		select { // the relay's own time-out comes first
		case <-r.Context().Done():
		case <-time.After(20 * time.Second):
		}
	case 3:
		panic(http.ErrAbortHandler)
	default:
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"sid":"SM`)
	}
}

// wait returns when so many different messages have come.
func (p *benchProvider) wait(ctx context.Context, n int) error {
	for deadline := time.Now().Add(10 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		p.mu.Lock()
		have := len(p.taken)
		p.mu.Unlock()
		if have >= n {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no figures: only %d of %d notices came", have, n)
		}
	}
}
