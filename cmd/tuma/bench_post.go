package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/internal/money"
	"tuma/internal/phone"
	"tuma/internal/text"
)

type benchPost struct {
	Callers   int           `default:"256" help:"Callers at once."`
	Accounts  int           `default:"100000" help:"Wallets."`
	Duration  time.Duration `default:"20s" help:"Of each round."`
	Rounds    int           `default:"1" help:"Rounds; with --vs-pgbench each is followed by pgbench."`
	Hot       int           `default:"0" help:"Percent of the payments that go to one payee."`
	Refused   int           `default:"0" help:"Percent of the payments that the payer cannot afford."`
	Legs      int           `default:"4" help:"Postings of a payment, 1 to 4: amount, fee, tax, commission."`
	Posters   int           `default:"2" help:"Commits under way at once, in all processes together; one at least in each."`
	Processes int           `default:"1" help:"Books on the one database, each with its own posters."`
	VsOne     bool          `name:"vs-one" help:"With several processes: run each round with one as well, which has all the posters."`
	VsPgbench bool          `name:"vs-pgbench" help:"Run pgbench's TPC-B-like script on the same server in turn."`
	Plot      string        `placeholder:"FILE" help:"Draw throughput and latency over time as an SVG."`
	History   int           `default:"0" help:"Postings that stand in the book before the first round, at least one a wallet."`
	Plans     bool          `help:"Show how statements and receipts are looked up at that size."`
	Profile   string        `placeholder:"FILE" help:"Write a CPU profile of the rounds."`
	JSON      bool          `help:"End with one JSON object."`
}

// postFigures are what a run measured.
type postFigures struct {
	PaymentsPerS float64 `json:"payments_per_s"`
	P50          float64 `json:"p50_ms"`
	P99          float64 `json:"p99_ms"`
	Max          float64 `json:"max_ms"`
	WAL          float64 `json:"wal_bytes_per_payment"`
	CostServer   float64 `json:"server_cpu_us_per_payment"`
	CostProcess  float64 `json:"process_cpu_us_per_payment"` // the callers' included
	Pgbench      float64 `json:"pgbench_tps,omitempty"`
	PgbenchP50   float64 `json:"pgbench_one_client_p50_ms,omitempty"`
	Ratio        float64 `json:"ratio,omitempty"`
	One          float64 `json:"one_process_payments_per_s,omitempty"`
	VsOne        float64 `json:"vs_one,omitempty"`
	Payments     int64   `json:"payments"`
	Refused      int64   `json:"refused"`
	Busy         int64   `json:"busy"`
	Callers      int     `json:"callers"`
	Accounts     int     `json:"accounts"`
	History      int64   `json:"postings_before"`
	Hot          int     `json:"hot_percent"`
	Legs         int     `json:"legs"`
	Posters      int     `json:"posters"`
	Processes    int     `json:"processes"`
	Cores        int     `json:"cores"`
	PeakMB       float64 `json:"process_mb"`
}

// Run measures whole payments at the book.
func (c *benchPost) Run(ctx context.Context) (err error) {
	b, err := startBench(ctx, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	cfg, err := b.config()
	if err != nil {
		return err
	}
	var services, one []*service
	open := func(to *[]*service, posters int) error {
		cfg.posters = posters
		s, err := cfg.books(ctx)
		if err == nil {
			*to = append(*to, s)
			b.stops = append(b.stops, s.close)
		}
		return err
	}
	for range c.Processes {
		if err := open(&services, max(1, c.Posters/c.Processes)); err != nil {
			return err
		}
	}
	if c.VsOne {
		if err := open(&one, c.Posters); err != nil {
			return err
		}
	}
	load, err := c.prepare(ctx, services)
	if err != nil {
		return err
	}
	if c.Profile != "" {
		f, err := os.Create(c.Profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	if c.Plans {
		text, err := ledger.Plans(ctx, services[0].pool, load.wallets[len(load.wallets)/2])
		if err != nil {
			return err
		}
		fmt.Print(text)
	}
	var rounds []postFigures
	for n := range c.Rounds {
		f, err := load.beside(ctx, n, one)
		if err != nil {
			return err
		}
		if err := load.check(ctx); err != nil {
			return err
		}
		if c.VsPgbench {
			if f.Pgbench, f.PgbenchP50, err = pgbench(ctx, b.pgbench, b.databaseURL, c.Duration, n == 0); err != nil {
				return err
			}
			f.Ratio = f.PaymentsPerS / f.Pgbench
		}
		f.print()
		rounds = append(rounds, f)
	}
	if c.Plot != "" {
		if err := load.plot(c.Plot); err != nil {
			return err
		}
	}
	middle := median(rounds)
	if c.VsOne && len(rounds) > 1 {
		fmt.Printf("%d processes make %.2f times as many as one, in the middle of %d rounds\n", c.Processes, middle.VsOne, len(rounds))
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(middle)
	}
	return nil
}

// beside is a round and, when there is one, a round of the other services: which
// of the two is first changes from round to round, since the book grows.
func (l *postLoad) beside(ctx context.Context, n int, one []*service) (f postFigures, err error) {
	if len(one) == 0 {
		return l.round(ctx, n)
	}
	many := l.services
	defer func() { l.services = many }()
	var alone postFigures
	for k := range 2 {
		if l.services = many; k == n%2 {
			l.services = one
		}
		got, err := l.round(ctx, 2*n+k)
		if err != nil {
			return postFigures{}, err
		}
		if k == n%2 {
			alone = got
		} else {
			f = got
		}
	}
	f.One, f.VsOne = alone.PaymentsPerS, f.PaymentsPerS/alone.PaymentsPerS
	return f, nil
}

func (f postFigures) print() {
	fmt.Printf("%.0f payments/s, p50 %.2f ms, p99 %.1f ms, each %.0f bytes of WAL and %.0f us of processor in the server, %.0f in the process (%d callers, %d wallets, %d %% to one payee, %d refused, %d busy, %.0f MB); the book is right\n",
		f.PaymentsPerS, f.P50, f.P99, f.WAL, f.CostServer, f.CostProcess, f.Callers, f.Accounts, f.Hot, f.Refused, f.Busy, f.PeakMB)
	if f.VsOne > 0 {
		fmt.Printf("one process %.0f payments/s: %d processes make %.2f times as many\n", f.One, f.Processes, f.VsOne)
	}
	if f.Ratio > 0 {
		fmt.Printf("pgbench at its best %.0f transactions/s, one client's p50 %.2f ms: ratio %.1f\n", f.Pgbench, f.PgbenchP50, f.Ratio)
	}
}

// check refuses figures of a book that is not right. The wallets were filled
// from the trust account without a bank, so only the book itself and its
// notices are proven; of a large book, what the rounds have added.
func (l *postLoad) check(ctx context.Context) error {
	pool := l.services[0].pool
	o := ledger.AuditOptions{}
	if l.history > benchFullAudit {
		o.Since = &l.filled
	}
	p, err := ledger.Audit(ctx, pool, o)
	if err != nil {
		return err
	}
	owed, err := accounts.Audit(ctx, pool)
	if err != nil {
		return err
	}
	if breaks := append(p.Breaks, owed...); len(breaks) > 0 {
		return fmt.Errorf("no figures: the audit failed in %d places, first %s: %s", len(breaks), breaks[0].Check, breaks[0].What)
	}
	return nil
}

// postLoad is a book with wallets and money in them.
type postLoad struct {
	*benchPost
	services []*service
	house    accounts.House
	wallets  []ledger.AccountID
	earned   []ledger.AccountID // tills' commission
	seconds  []second
	history  int64        // postings before the first round
	filled   ledger.Heads // and where the chains stood
}

const (
	sqlBenchAccounts = `
insert into account (id, kind, currency, floor, ceiling, day_limit)
select nextval('account_id'), 'wallet', $1, 0, 100000000000, 100000000000 from generate_series(1, $2) returning id`
	benchSlice = 10_000

	benchWalletsPerTill = 100
	benchFullAudit      = 5_000_000 // postings
)

func (c *benchPost) prepare(ctx context.Context, services []*service) (*postLoad, error) {
	s := services[0]
	l := &postLoad{benchPost: c, services: services, house: s.accounts.House()}
	fmt.Fprintf(os.Stderr, "opening %d wallets\n", c.Accounts)
	for len(l.wallets) < c.Accounts {
		var ids []ledger.AccountID
		err := s.pool.InTx(ctx, func(tx *db.Tx) error {
			return tx.Select(ctx, &ids, sqlBenchAccounts, "KES", min(benchSlice, c.Accounts-len(l.wallets)))
		})
		if err != nil {
			return nil, err
		}
		l.wallets = append(l.wallets, ids...)
	}
	err := s.pool.InTx(ctx, func(tx *db.Tx) error {
		for range max(1, c.Accounts/benchWalletsPerTill) {
			id, err := ledger.OpenAccount(ctx, tx, ledger.CommissionEarned, "KES", ledger.Rules{Floor: ledger.Zero()})
			if err != nil {
				return err
			}
			l.earned = append(l.earned, id)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return l, l.fill(ctx)
}

// fill puts money into every wallet, as many as an entry can hold at a time, and
// then makes payments, whose SMS are long forgotten, until the history is long
// enough.
func (l *postLoad) fill(ctx context.Context) (err error) {
	var done atomic.Int64
	said := time.NewTicker(time.Second)
	defer said.Stop()
	go func() {
		for range said.C {
			fmt.Fprintf(os.Stderr, "\r%d postings of history   ", done.Load())
		}
	}()
	book := l.services[0].accounts.Book()
	post := func(n int64, entry func(i int64) ledger.Entry) error {
		var next atomic.Int64
		errs := make([]error, l.Callers)
		var wg sync.WaitGroup
		for c := range l.Callers {
			wg.Go(func() {
				for i := next.Add(1) - 1; i < n && errs[c] == nil; i = next.Add(1) - 1 {
					e := entry(i)
					_, errs[c] = book.Post(ctx, e)
					done.Add(int64(len(e.Postings)))
				}
			})
		}
		wg.Wait()
		return errors.Join(errs...)
	}
	wide := int64(len(l.wallets)+ledger.MaxPostings-1) / ledger.MaxPostings
	err = post(wide, func(i int64) ledger.Entry {
		first := int(i) * ledger.MaxPostings
		e := ledger.Entry{Ref: fmt.Sprintf("fill:%08d", first), Kind: "fill"}
		for _, w := range l.wallets[first:min(first+ledger.MaxPostings, len(l.wallets))] {
			e.Postings = append(e.Postings, ledger.Posting{Why: ledger.Principal, Debit: l.house.Trust, Credit: w, Amount: 1_000_000_00})
		}
		return e
	})
	if err != nil {
		return err
	}
	err = post((int64(l.History)-done.Load()+3)/4, func(i int64) ledger.Entry {
		e := l.payment(rand.New(rand.NewPCG(0, uint64(i))), fmt.Sprintf("history:%010d", i), 4)
		e.Kind, e.Rider = "fill", nil
		return e
	})
	if err != nil {
		return err
	}
	l.history = done.Load()
	fmt.Fprintf(os.Stderr, "\r%d postings of history   \n", l.history)
	l.filled, err = ledger.Seal(ctx, l.services[0].pool)
	return err
}

// payment is what a send is: an amount, its fee, the tax in it, a commission,
// and a notice for each party.
func (l *postLoad) payment(dice *rand.Rand, ref string, legs int) ledger.Entry {
	from := l.wallets[dice.IntN(len(l.wallets))]
	to := l.wallets[dice.IntN(len(l.wallets))]
	if dice.IntN(100) < l.Hot {
		to = l.wallets[0]
	}
	if from == to {
		to = l.wallets[(int(from)+1)%len(l.wallets)]
		if from == to {
			to = l.wallets[(int(from)+2)%len(l.wallets)]
		}
	}
	amount := money.Amount(101_00 + dice.IntN(399_00))
	if dice.IntN(100) < l.Refused {
		amount = 2_000_000_000_00
	}
	h := l.house
	postings := []ledger.Posting{
		{Why: ledger.Principal, Debit: from, Credit: to, Amount: amount},
		{Why: ledger.Fee, Debit: from, Credit: h.Fees, Amount: 7_00},
		{Why: ledger.Tax, Debit: h.Fees, Credit: h.Tax, Amount: 91},
		{Why: ledger.Commission, Debit: h.CommissionExpense, Credit: l.earned[int(to)%len(l.earned)], Amount: 2_00},
	}
	s := l.services[0].accounts
	payer, payee := benchNumber(from), benchNumber(to)
	return ledger.Entry{
		Ref: ref, Kind: "send", Postings: postings[:legs],
		Memo: map[string]string{"from": string(payer), "from_name": "ASHA JUMA", "to": string(payee), "to_name": "BARAKA OTIENO"},
		Rider: accounts.Rider{Owed: []accounts.Owed{
			{Party: "payer", To: payer, Lang: "en", Text: "send_payer", Account: from, Holes: text.Holes{"amount": s.Money(amount), "fee": "Ksh7.00", "name": "BARAKA OTIENO", "number": "0" + string(payee[4:])}},
			{Party: "payee", To: payee, Lang: "sw", Text: "send_payee", Account: to, Holes: text.Holes{"amount": s.Money(amount), "name": "ASHA JUMA", "number": "0" + string(payer[4:])}},
		}},
	}
}

// benchNumber is the phone of a wallet's owner.
func benchNumber(wallet ledger.AccountID) phone.Number {
	return phone.Number("+2547" + strconv.FormatInt(100_000_000+int64(wallet)%100_000_000, 10)[1:])
}

// second is what one second of a round looked like.
type second struct {
	payments int64
	p50, p99 float64 // ms
}

const sqlWAL = `select (pg_current_wal_lsn() - '0/0'::pg_lsn)::float8`

func (l *postLoad) round(ctx context.Context, n int) (postFigures, error) {
	pool := l.services[0].pool
	var before, after float64
	if err := pool.Get(ctx, &before, sqlWAL); err != nil {
		return postFigures{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.Duration)
	defer cancel()
	var done, refused, busy atomic.Int64
	now := make(chan int64, 8192) // microseconds of each payment
	all := hdrhistogram.New(1, 60_000_000, 3)
	var watching sync.WaitGroup
	watching.Go(func() { l.watch(now, all) })
	var wg sync.WaitGroup
	errs := make([]error, l.Callers)
	began, cost := time.Now(), costNow()
	for i := range l.Callers {
		wg.Go(func() {
			dice := rand.New(rand.NewPCG(uint64(n), uint64(i)))
			book := l.services[i%len(l.services)].accounts.Book()
			for k := 0; ctx.Err() == nil; k++ {
				e := l.payment(dice, "bench:"+strconv.Itoa(n)+":"+strconv.Itoa(i)+":"+strconv.Itoa(k), l.Legs)
				start := time.Now()
				// The entry is posted to its end even when the time is over.
				_, err := book.Post(context.WithoutCancel(ctx), e)
				_, isRefusal := errors.AsType[ledger.Refusal](err)
				switch {
				case err == nil:
					done.Add(1)
					now <- max(1, time.Since(start).Microseconds())
				case isRefusal:
					refused.Add(1)
				case errors.Is(err, ledger.ErrBusy):
					busy.Add(1)
				default:
					errs[i] = err
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	cost = costNow().minus(cost)
	close(now)
	watching.Wait()
	if err := errors.Join(errs...); err != nil {
		return postFigures{}, err
	}
	if err := pool.Get(context.WithoutCancel(ctx), &after, sqlWAL); err != nil {
		return postFigures{}, err
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return postFigures{
		PaymentsPerS: float64(done.Load()) / took.Seconds(), P50: float64(all.ValueAtQuantile(50)) / 1000, P99: float64(all.ValueAtQuantile(99)) / 1000, Max: float64(all.Max()) / 1000,
		WAL: (after - before) / float64(done.Load()), CostServer: each(cost.server(), done.Load()), CostProcess: each(cost.process, done.Load()), Payments: done.Load(), Refused: refused.Load(), Busy: busy.Load(),
		Callers: l.Callers, Accounts: l.Accounts, History: l.history, Hot: l.Hot, Legs: l.Legs, Posters: l.Posters, Processes: l.Processes, Cores: runtime.NumCPU(), PeakMB: float64(m.Sys) / (1 << 20),
	}, nil
}

// watch gathers latencies and shows each second as it passes.
func (l *postLoad) watch(now <-chan int64, all *hdrhistogram.Histogram) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	this := hdrhistogram.New(1, 60_000_000, 2)
	for {
		select {
		case us, ok := <-now:
			if !ok {
				fmt.Fprintln(os.Stderr)
				return
			}
			all.RecordValue(us)
			this.RecordValue(us)
		case <-tick.C:
			s := second{this.TotalCount(), float64(this.ValueAtQuantile(50)) / 1000, float64(this.ValueAtQuantile(99)) / 1000}
			l.seconds = append(l.seconds, s)
			this.Reset()
			fmt.Fprintf(os.Stderr, "\r%4d s  %6d payments/s  p50 %6.1f ms  p99 %6.1f ms   ", len(l.seconds), s.payments, s.p50, s.p99)
		}
	}
}
