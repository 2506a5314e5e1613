package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"tuma/internal/db"
	"tuma/internal/phone"
)

// ways are the hops of a payment: a hop is one request of the gateway and the
// screen that answers it.
var ways = map[string][]string{
	"send": {"dial", "menu", "number", "amount", "PIN"},
	"slip": {"dial", "menu", "mistake", "number", "amount", "PIN"},
	"back": {"dial", "menu", "number", "back", "number", "amount", "PIN"},
}

// leastWarmUp is time for each connection to PostgreSQL to plan what it is asked.
const leastWarmUp = 5 * time.Second

// ussdLoad is a gateway with many phones in sessions at a time.
type ussdLoad struct {
	*benchUSSD
	address string
	numbers []phone.Number
	bench   *bench
	pool    *db.Pool
	admin   string
	warm    atomic.Bool
}

// caller is one phone after another, each making one payment.
type caller struct {
	*ussdLoad
	wire *benchWire
	dice *rand.Rand
	id   int

	hops              []*hdrhistogram.Histogram // of each hop of the way
	payments, refused int64
}

// measure lets all callers pay for a while.
func (l *ussdLoad) measure(ctx context.Context) (figures, error) {
	if len(l.numbers) < 2*l.Callers {
		return figures{}, fmt.Errorf("%d callers need %d customers or more", l.Callers, 2*l.Callers)
	}
	warmUp := max(l.Duration/10, leastWarmUp)
	callers := make([]*caller, l.Callers)
	errs := make([]error, l.Callers)
	running, stop := context.WithTimeout(ctx, warmUp+l.Duration)
	defer stop()
	var wg sync.WaitGroup
	for i := range callers {
		wire, err := newBenchWire(l.address)
		if err != nil {
			return figures{}, err
		}
		defer wire.conn.Close()
		k := &caller{ussdLoad: l, wire: wire, id: i, dice: rand.New(rand.NewPCG(uint64(i), 334))}
		for range ways[l.Way] {
			k.hops = append(k.hops, newHops())
		}
		callers[i] = k
		wg.Go(func() { errs[i] = k.run(running) })
	}
	time.Sleep(warmUp)
	asked := func(context.Context, int64) error { return nil }
	if l.Statements {
		var err error
		if asked, err = l.bench.counting(ctx); err != nil {
			return figures{}, err
		}
	}
	busy, idle := machineNow()
	before := costNow()
	l.warm.Store(true)
	var profiled error
	if l.Profile != "" {
		profiled = l.profile(ctx)
	}
	<-running.Done()
	spent := costNow().minus(before)
	nowBusy, nowIdle := machineNow()
	wg.Wait()
	f := l.figure(callers)
	f.Cost = map[string]float64{"load": each(spent.process, f.Hops)}
	for name, d := range spent.servers {
		if name == ownName() {
			name = "service"
		}
		f.Cost[name] = each(d, f.Hops)
	}
	f.Busy = float64(nowBusy-busy) / float64(max(1, nowBusy-busy+nowIdle-idle))
	return f, errors.Join(errors.Join(errs...), profiled, asked(ctx, f.Hops), l.pool.Get(ctx, &f.Unsent, sqlUnsent))
}

func (k *caller) run(ctx context.Context) error {
	for n := 0; ctx.Err() == nil; n++ {
		if err := k.pay(ctx, fmt.Sprintf("bench-%d-%d", k.id, n)); err != nil {
			return err
		}
	}
	return nil
}

// pay makes one payment as a phone does.
func (k *caller) pay(ctx context.Context, session string) error {
	from, to, other := k.payer(k), k.numbers[k.dice.IntN(len(k.numbers))], k.numbers[k.dice.IntN(len(k.numbers))]
	if from == to || from == other {
		return nil
	}
	amount := fmt.Sprintf("%d.%02d", 101+k.dice.IntN(399), k.dice.IntN(100))
	text, way := "", ways[k.Way]
	for i, kind := range way {
		if ctx.Err() != nil {
			return nil
		}
		input := ""
		switch kind {
		case "menu":
			input = "1"
		case "mistake":
			input = string(to[:len(to)-1])
		case "number":
			if input = string(to); k.Way == "back" && i == 2 {
				input = string(other)
			}
		case "back":
			input = "0"
		case "amount":
			input = amount
		case "PIN":
			input = demoPIN
		}
		if i > 1 {
			text += "*"
		}
		text += input
		answer, err := k.hop(i, session, from, text)
		if err != nil {
			return err
		}
		last := i == len(way)-1
		goesOn := strings.HasPrefix(answer, "CON ")
		if k.warm.Load() && (last || !goesOn) {
			if strings.HasPrefix(answer, "END ") && strings.Contains(answer, "Confirmed") {
				k.payments++
			} else if k.refused++; k.refused == 1 {
				fmt.Fprintf(os.Stderr, "refused: %q\n", answer)
			}
		}
		if !goesOn {
			return nil
		}
	}
	return nil
}

// hop is one request, the i-th of its payment.
func (k *caller) hop(i int, session string, from phone.Number, text string) (string, error) {
	body := "networkCode=63902&serviceCode=%2A334%23&sessionId=" + session + "&phoneNumber=" + url.QueryEscape(string(from)) + "&text=" + url.QueryEscape(text)
	began := time.Now()
	answer, err := k.wire.post(body)
	if err == nil && k.warm.Load() {
		err = k.hops[i].RecordValue(max(1, time.Since(began).Microseconds()))
	}
	return answer, err
}

// profile fetches a CPU profile of the service while it is being measured.
func (l *ussdLoad) profile(ctx context.Context) error {
	url := fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", l.admin, max(1, int(l.Duration.Seconds())-1))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	f, err := os.Create(l.Profile)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, resp.Body); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}
