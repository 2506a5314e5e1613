package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/phone"
	"tuma/ussd"
)

type benchUSSD struct {
	Callers   int           `default:"32" help:"Phones in a session at any moment."`
	Customers int           `default:"2000" help:"Registered customers."`
	Duration  time.Duration `default:"20s" help:"How long to measure, after a warm-up of a tenth of it."`
	Redis     string        `enum:"inprocess,server" default:"server" help:"Session store: an installed redis-server, or inprocess."`
	Provider  string        `enum:"none,well,ill" default:"none" help:"An SMS provider on this machine that takes every message, or one that fails in all ways at once."`
	JSON      bool          `help:"End with one JSON object."`
}

// figures are what a run measured.
type figures struct {
	StepsPerS    float64 `json:"steps_per_s"`
	PaymentsPerS float64 `json:"payments_per_s"`
	P50          float64 `json:"p50_ms"`
	P99          float64 `json:"p99_ms"`
	Steps        int64   `json:"steps"`
	Payments     int64   `json:"payments"`
	Refused      int64   `json:"refused"`
	Callers      int     `json:"callers"`
	Customers    int     `json:"customers"`
	Cores        int     `json:"cores"`
	Redis        string  `json:"redis"`
	Provider     string  `json:"sms_provider"`
}

// Run measures whole payments: dial, menu, number, amount, PIN.
func (c *benchUSSD) Run(ctx context.Context) (err error) {
	b, err := startBench(ctx, c.Redis)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	cfg, err := b.config()
	if err != nil {
		return err
	}
	if c.Provider != "none" {
		stop, err := benchSending(ctx, &cfg, c.Provider == "ill")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	cfg.limits = ussd.LimitOptions{DialsPerMinute: 1_000_000, LookUpsPerDay: 1_000_000} // counted as ever, never reached
	s, err := cfg.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	fmt.Fprintf(os.Stderr, "registering %d customers\n", c.Customers)
	numbers, err := benchPeople(ctx, s, c.Customers)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- serveUntil(serving, l, s.handler, cfg.log, nil) }()
	f, err := c.measure(ctx, "http://"+l.Addr().String()+"/ussd/africastalking", numbers)
	stop()
	if err := errors.Join(err, <-done); err != nil {
		return err
	}
	if err := checkBook(ctx, s.pool); err != nil {
		return err
	}
	fmt.Printf("%.0f payments/s, %.0f steps/s, a step p50 %.1f ms, p99 %.1f ms (%d callers, %d customers, %d cores, %d payments, %d refused); the book is right\n",
		f.PaymentsPerS, f.StepsPerS, f.P50, f.P99, f.Callers, f.Customers, f.Cores, f.Payments, f.Refused)
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(f)
	}
	return nil
}

// benchPeople registers customers with money, all with the demo PIN.
func benchPeople(ctx context.Context, s *service, n int) ([]phone.Number, error) {
	if err := seed(ctx, s); err != nil {
		return nil, err
	}
	o, err := benchFloat(ctx, s, n)
	if err != nil {
		return nil, err
	}
	pin, err := s.accounts.PINs().Seal(demoPIN)
	if err != nil {
		return nil, err
	}
	numbers := make([]phone.Number, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			numbers[i], errs[i] = benchCustomer(ctx, s, o, i, pin)
		})
	}
	wg.Wait()
	return numbers, errors.Join(errs...)
}

const benchBalance = 90_000_00 // under the basic tier's ceiling

// benchFloat gives the demo till the cash that all customers will bring.
func benchFloat(ctx context.Context, s *service, n int) (agents.Operator, error) {
	till, err := phone.Parse(demoTills[0].operatorNumber)
	if err != nil {
		return agents.Operator{}, err
	}
	o, err := s.agents.ByPhone(ctx, till)
	if err != nil {
		return o, err
	}
	id, err := s.agents.RequestFloat(ctx, demoMaker, o.Till.Number, benchBalance*1_000_000/100, "BENCH-1")
	if err != nil {
		return o, err
	}
	_, err = s.agents.ApproveFloat(ctx, demoChecker, id)
	return o, err
}

func benchCustomer(ctx context.Context, s *service, o agents.Operator, i int, pin accounts.SealedPIN) (phone.Number, error) {
	n, err := phone.Parse(fmt.Sprintf("+2547%08d", 20_000_000+i))
	if err != nil {
		return "", err
	}
	_, err = s.accounts.Register(ctx, accounts.Registration{
		Ref: "bench:" + string(n), Phone: n, Name: "Bench Customer", IDNumber: fmt.Sprint(60_000_000 + i), Lang: "en", Tier: accounts.TierFull, PIN: pin,
	})
	if err != nil {
		return "", err
	}
	_, err = s.agents.Deposit(ctx, "bench:"+string(n), o, n, benchBalance)
	return n, err
}

// caller is one phone after another, each making one payment.
type caller struct {
	client  *http.Client
	address string
	numbers []phone.Number
	dice    *rand.Rand
	id      int
	warm    *atomic.Bool

	steps             *hdrhistogram.Histogram // microseconds
	payments, refused int64
}

func (c *benchUSSD) measure(ctx context.Context, address string, numbers []phone.Number) (figures, error) {
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: c.Callers, MaxConnsPerHost: c.Callers}}
	defer client.CloseIdleConnections()
	warmUp := c.Duration / 10
	ctx, cancel := context.WithTimeout(ctx, warmUp+c.Duration)
	defer cancel()
	var warm atomic.Bool
	callers := make([]*caller, c.Callers)
	errs := make([]error, c.Callers)
	var wg sync.WaitGroup
	for i := range callers {
		callers[i] = &caller{client: client, address: address, numbers: numbers, id: i, warm: &warm,
			dice: rand.New(rand.NewPCG(uint64(i), 334)), steps: hdrhistogram.New(1, 60_000_000, 3)}
		wg.Go(func() { errs[i] = callers[i].run(ctx) })
	}
	time.Sleep(warmUp)
	warm.Store(true)
	wg.Wait()
	all := hdrhistogram.New(1, 60_000_000, 3)
	f := figures{Callers: c.Callers, Customers: c.Customers, Cores: runtime.NumCPU(), Redis: c.Redis, Provider: c.Provider}
	for _, k := range callers {
		all.Merge(k.steps)
		f.Payments += k.payments
		f.Refused += k.refused
	}
	f.Steps = all.TotalCount()
	f.StepsPerS = float64(f.Steps) / c.Duration.Seconds()
	f.PaymentsPerS = float64(f.Payments) / c.Duration.Seconds()
	f.P50 = float64(all.ValueAtQuantile(50)) / 1000
	f.P99 = float64(all.ValueAtQuantile(99)) / 1000
	return f, errors.Join(errs...)
}

func (k *caller) run(ctx context.Context) error {
	for n := 0; ; n++ {
		if err := k.pay(ctx, fmt.Sprintf("bench-%d-%d", k.id, n)); ctx.Err() != nil {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// pay makes one payment as a phone does.
func (k *caller) pay(ctx context.Context, session string) error {
	from := k.numbers[k.dice.IntN(len(k.numbers))]
	to := k.numbers[k.dice.IntN(len(k.numbers))]
	if from == to {
		return nil
	}
	amount := fmt.Sprintf("%d.%02d", 101+k.dice.IntN(399), k.dice.IntN(100))
	keyed := []string{"", "1", string(to), amount, demoPIN}
	text := ""
	for i, input := range keyed {
		if i > 1 {
			text += "*"
		}
		text += input
		answer, err := k.step(ctx, session, from, text)
		if err != nil {
			return err
		}
		last := i == len(keyed)-1
		if k.warm.Load() && (last || !strings.HasPrefix(answer, "CON ")) {
			if strings.HasPrefix(answer, "END ") && strings.Contains(answer, "Confirmed") {
				k.payments++
			} else {
				k.refused++
			}
		}
		if !strings.HasPrefix(answer, "CON ") {
			return nil
		}
	}
	return nil
}

func (k *caller) step(ctx context.Context, session string, from phone.Number, text string) (string, error) {
	form := url.Values{"sessionId": {session}, "phoneNumber": {string(from)}, "networkCode": {"63902"}, "serviceCode": {"*334#"}, "text": {text}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.address, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	began := time.Now()
	resp, err := k.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if k.warm.Load() {
		if err := k.steps.RecordValue(max(1, time.Since(began).Microseconds())); err != nil {
			return "", err
		}
	}
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the service answered %d: %s", resp.StatusCode, b)
	}
	return string(b), err
}
