package accounts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tuma/accounts/ledger"
)

// operator is a mobile network whose answers a test decides.
type operator struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []request
	answer func(n int, r request) (status int, body string) // n counts the asks of one reference, from 1
}

type request struct{ Reference, MSISDN, Amount, Currency string }

func newOperator(t testing.TB, answer func(n int, r request) (int, string)) *operator {
	o := &operator{answer: answer}
	o.Server = httptest.NewServer(o)
	t.Cleanup(o.Close)
	return o
}

func (o *operator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in request
	err := json.NewDecoder(r.Body).Decode(&in)
	o.mu.Lock()
	o.asked = append(o.asked, in)
	n := 0
	for _, a := range o.asked {
		if a.Reference == in.Reference {
			n++
		}
	}
	o.mu.Unlock()
	if err != nil || r.Method != http.MethodPost || r.Header.Get("Authorization") != "Bearer secret" || r.Header.Get("Content-Type") != "application/json" {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	status, body := o.answer(n, in)
	if status == 0 { // no answer: the connection breaks
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(status)
	fmt.Fprint(w, body)
}

func (o *operator) requests() []request {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]request{}, o.asked...)
}

func (o *operator) as() AirtimeOperator {
	return AirtimeOperator{URL: o.URL, Token: "secret", Client: &http.Client{Timeout: 5 * time.Second}}
}

func done(r request) (int, string) {
	return 200, fmt.Sprintf(`{"status":"done","id":"net-%s"}`, r.Reference)
}

// orders are what is in the table, "status tries operator_id" by receipt.
func (w *world) orders() map[string]string {
	w.t.Helper()
	var rows []struct {
		Reference string `db:"reference"`
		Says      string `db:"says"`
	}
	w.must(w.pool.Select(w.t.Context(), &rows, `select reference, status || ' ' || tries || ' ' || operator_id as says from airtime_order`))
	m := map[string]string{}
	for _, r := range rows {
		m[r.Reference] = strings.TrimSpace(r.Says)
	}
	return m
}

func (w *world) serve(o *operator) int {
	w.t.Helper()
	n, err := w.topUps(w.t.Context(), o.as())
	w.must(err)
	return n
}

func TestAirtime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	asha := w.customer("+254712000001", "Asha Juma", 500*shilling)
	friend := number(t, "+254733000009")
	q, err := w.QuoteAirtime(ctx, asha, friend, 50*shilling)
	w.must(err)
	if diff := cmp.Diff(Quote{Amount: 50_00, Total: 50_00, Payee: friend, Balance: 500_00}, q); diff != "" {
		t.Error(diff)
	}
	d, err := w.Airtime(ctx, "1", asha, friend, 50*shilling)
	w.must(err)
	if diff := cmp.Diff(Done{Code: d.Code, At: w.Now(), Amount: 50_00, Balance: 450_00, Name: "0733000009"}, d); diff != "" {
		t.Error(diff)
	}
	if got := w.last(asha.Phone); got != "UKM* Confirmed. You bought Ksh50.00 airtime for 0733000009 on 22/11/26 at 9:15 AM. New Tuma balance is Ksh450.00. Transaction cost, Ksh0.00" {
		t.Error(got)
	}
	own, err := w.Airtime(ctx, "2", asha, asha.Phone, 5*shilling)
	w.must(err)
	if got := w.last(asha.Phone); got != "UKM* Confirmed. You bought Ksh5.00 of airtime on 22/11/26 at 9:15 AM. New Tuma balance is Ksh445.00. Transaction cost, Ksh0.00." {
		t.Error(got)
	}
	for _, c := range []struct {
		a    int64
		want string
	}{
		{4_99, "below_min (min=Ksh5.00)"}, {10_000_01, "over_entry (max=Ksh10,000.00)"}, {500_00, "insufficient (balance=Ksh445.00)"},
	} {
		_, err := w.QuoteAirtime(ctx, asha, friend, amountOf(c.a))
		w.refused(err, c.want)
		_, err = w.Airtime(ctx, "3", asha, friend, amountOf(c.a))
		w.refused(err, c.want)
	}
	// The orders stand since the commit that took the money; the same ref again orders nothing.
	again, err := w.Airtime(ctx, "1", asha, friend, 50*shilling)
	if err != nil || !again.Again || again.Code != d.Code {
		t.Errorf("%+v, %v", again, err)
	}
	want := map[string]string{d.Code: "pending 0", own.Code: "pending 0"}
	if diff := cmp.Diff(want, w.orders()); diff != "" {
		t.Error(diff)
	}
	w.books("asha 445.00 airtime 55.00 trust -500.00", asha)

	o := newOperator(t, func(_ int, r request) (int, string) { return done(r) })
	if n := w.serve(o); n != 2 {
		t.Errorf("%d orders served", n)
	}
	want = map[string]string{d.Code: "done 1 net-" + d.Code, own.Code: "done 1 net-" + own.Code}
	if diff := cmp.Diff(want, w.orders()); diff != "" {
		t.Error(diff)
	}
	for _, r := range o.requests() {
		if r.Reference == d.Code && r != (request{d.Code, "+254733000009", "50.00", "KES"}) || r.Reference != d.Code && r != (request{own.Code, "+254712000001", "5.00", "KES"}) {
			t.Errorf("asked %+v", r)
		}
	}
	if n := w.serve(o); n != 0 || len(o.requests()) != 2 {
		t.Errorf("served %d again", n)
	}
	w.proven()
}

// A refusal gives the money back, once, and tells the buyer.
func TestAirtimeRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asha := w.customer("+254712000001", "Asha Juma", 500*shilling)
	d, err := w.Airtime(t.Context(), "1", asha, number(t, "+254733009999"), 50*shilling)
	w.must(err)
	o := newOperator(t, func(int, request) (int, string) { return 422, `{"error":"unknown subscriber"}` })
	w.clock.pass(time.Minute)
	w.serve(o)
	if got := w.orders()[d.Code]; got != "refunded 1" {
		t.Error(got)
	}
	w.books("asha 500.00 trust -500.00", asha)
	if got := w.last(asha.Phone); got != "UKM* Confirmed. The airtime of "+d.Code+" could not be delivered: Ksh50.00 was returned on 22/11/26 at 9:16 AM. New Tuma balance is Ksh500.00." {
		t.Error(got)
	}
	// A crash between the refund and its note: the order is tried again, the money is not.
	w.sql(`update airtime_order set status = 'pending', next_try_at = $1`, w.Now())
	before := len(w.texts(asha.Phone))
	w.serve(o)
	if got := w.orders()[d.Code]; got != "refunded 2" || len(w.texts(asha.Phone)) != before {
		t.Errorf("%s, %q", got, w.texts(asha.Phone))
	}
	w.books("asha 500.00 trust -500.00", asha)
	lines, err := w.Mini(t.Context(), asha, 1)
	w.must(err)
	if l := lines[0]; l.Kind != "reversal" || !l.In || l.Amount != 50_00 || l.Other != "Airtime" {
		t.Errorf("%+v", l)
	}
	w.proven()
}

// A refund with a fee gives the fee back as well; one that has no room waits.
func TestAirtimeRefundIsWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fees, err := parse(t, "fees.csv", "+2026-11-23,airtime,5,10000,10")
	w.must(err)
	w.Service = w.process(w.pool, func(c *Config) { c.Tariff = fees })
	w.clock.pass(24 * time.Hour)
	asha := w.customerOf(TierBasic, "+254712000001", "Asha Juma", 1000*shilling)
	d, err := w.Airtime(t.Context(), "1", asha, asha.Phone, 50*shilling)
	if err != nil || d.Fee != 10*shilling {
		t.Errorf("%+v, %v", d, err)
	}
	w.books("asha 940.00 fees 8.70 tax 1.30 airtime 50.00 trust -1000.00", asha)
	w.fund(asha.Wallet, 99_050*shilling)
	o := newOperator(t, func(int, request) (int, string) { return 400, "" })
	w.serve(o)
	if got := w.orders()[d.Code]; got != "pending 1" {
		t.Error(got)
	}
	_, err = w.Send(t.Context(), "2", asha, w.customer("+254712000002", "Baraka Otieno", 0).Phone, 100*shilling)
	w.must(err)
	if n := w.serve(o); n != 0 {
		t.Error("not yet due")
	}
	w.clock.pass(topUpBackOff)
	w.serve(o)
	if got := w.orders()[d.Code]; got != "refunded 2" {
		t.Error(got)
	}
	if got := w.last(asha.Phone); !strings.Contains(got, "could not be delivered: Ksh60.00 was returned") {
		t.Error(got)
	}
	w.books("asha 99950.00 trust -100050.00", asha)
	w.proven()
}

// Whoever reverses the purchase by hand has given the money back: not again.
func TestAirtimeReversedByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asha := w.customer("+254712000001", "Asha Juma", 500*shilling)
	d, err := w.Airtime(t.Context(), "1", asha, asha.Phone, 50*shilling)
	w.must(err)
	first, err := w.book.ByCode(t.Context(), d.Code)
	w.must(err)
	_, err = w.book.Post(t.Context(), ledger.Entry{Ref: "by hand", Kind: "correction", Reverses: first.ID})
	w.must(err)
	w.serve(newOperator(t, func(int, request) (int, string) { return 422, "" }))
	if got := w.orders()[d.Code]; got != "refunded 1" {
		t.Error(got)
	}
	w.books("asha 500.00 trust -500.00", asha)
	w.proven()
}

// Whatever is in doubt is asked again with the same reference, ever more slowly.
func TestAirtimeInDoubt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asha := w.customer("+254712000001", "Asha Juma", 500*shilling)
	d, err := w.Airtime(t.Context(), "1", asha, asha.Phone, 50*shilling)
	w.must(err)
	answers := []func(request) (int, string){
		func(request) (int, string) { return 0, "" },
		func(request) (int, string) { return 500, "" },
		func(request) (int, string) { return 503, "" },
		func(request) (int, string) { return 401, "" },
		func(request) (int, string) { return 409, "" },
		func(request) (int, string) { return 200, "<html>" },
		func(request) (int, string) { return 200, `{"status":"queued"}` },
		done,
	}
	o := newOperator(t, func(n int, r request) (int, string) { return answers[n-1](r) })
	for i, pause := range []time.Duration{2, 4, 8, 16, 32, 64, 128} {
		if n := w.serve(o); n != 1 {
			t.Fatalf("try %d: %d orders", i+1, n)
		}
		if got, want := w.orders()[d.Code], fmt.Sprintf("pending %d", i+1); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		w.clock.pass(pause*time.Second - time.Millisecond)
		if n := w.serve(o); n != 0 {
			t.Errorf("try %d came too early", i+2)
		}
		w.clock.pass(time.Millisecond)
	}
	w.serve(o)
	if got := w.orders()[d.Code]; got != "done 8 net-"+d.Code {
		t.Error(got)
	}
	for _, r := range o.requests() {
		if r.Reference != d.Code {
			t.Errorf("asked %+v", r)
		}
	}
	w.books("asha 450.00 airtime 50.00 trust -500.00", asha)

	// A network that does not answer at all is a doubt as well.
	slow := newOperator(t, func(int, request) (int, string) { return 200, "" })
	d, err = w.Airtime(t.Context(), "2", asha, asha.Phone, 50*shilling)
	w.must(err)
	hold := make(chan struct{})
	slow.answer = func(_ int, r request) (int, string) { <-hold; return done(r) }
	defer close(hold)
	impatient := slow.as()
	impatient.Client = &http.Client{Timeout: 50 * time.Millisecond}
	if n, err := w.topUps(t.Context(), impatient); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if got := w.orders()[d.Code]; got != "pending 1" {
		t.Error(got)
	}
	w.proven()
}

// Several processes serve the orders together: each is asked for once, and a
// worker that dies leaves its orders to the others.
func TestAirtimeWorkers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asha := w.customer("+254712000001", "Asha Juma", 5000*shilling)
	const n = 60
	for i := range n {
		_, err := w.Airtime(t.Context(), fmt.Sprint(i), asha, asha.Phone, 10*shilling)
		w.must(err)
	}
	o := newOperator(t, func(_ int, r request) (int, string) { return done(r) })
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the first dies while it asks
	if _, err := w.topUps(ctx, o.as()); !errors.Is(err, context.Canceled) && err != nil {
		t.Error(err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	var all sync.WaitGroup
	for _, s := range []*Service{w.Service, w.process(w.pool), w.process(w.pool)} {
		all.Go(func() {
			if err := s.RunTopUps(ctx, o.as()); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "all orders are done", func() bool {
		for _, says := range w.orders() {
			if !strings.HasPrefix(says, "done") {
				return false
			}
		}
		return true
	})
	cancel()
	all.Wait()
	if got := len(o.requests()); got != n {
		t.Errorf("%d requests for %d orders", got, n)
	}
	w.books("asha 4400.00 airtime 600.00 trust -5000.00", asha)
	w.proven()
}

// A worker that died in the middle holds its orders for the time of a lease.
func TestAirtimeLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asha := w.customer("+254712000001", "Asha Juma", 500*shilling)
	d, err := w.Airtime(t.Context(), "1", asha, asha.Phone, 50*shilling)
	w.must(err)
	hold := make(chan struct{})
	o := newOperator(t, func(n int, r request) (int, string) {
		if n == 1 {
			<-hold
		}
		return done(r)
	})
	ctx, cancel := context.WithCancel(t.Context())
	var dies sync.WaitGroup
	dies.Go(func() { w.topUps(ctx, o.as()) })
	eventually(t, "the first worker asks", func() bool { return len(o.requests()) == 1 })
	cancel()
	dies.Wait()
	close(hold)
	if n := w.serve(o); n != 0 {
		t.Error("the lease did not hold")
	}
	w.clock.pass(topUpLease)
	w.serve(o)
	if got := w.orders()[d.Code]; got != "done 2 net-"+d.Code {
		t.Error(got)
	}
	w.proven()
}
