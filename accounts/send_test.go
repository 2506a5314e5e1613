package accounts

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/internal/money"
	"tuma/internal/phone"
)

func TestSend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	asha, baraka := w.customer("+254712000001", "Asha Juma", 2000*shilling), w.customer("+254712000002", "Baraka Otieno", 0)
	w.must(w.SetLang(ctx, baraka, "fr"))

	name, err := w.LookUp(ctx, asha, baraka.Phone)
	if err != nil || name != "BARAKA OTIENO" {
		t.Errorf("%q, %v", name, err)
	}
	q, err := w.QuoteSend(ctx, asha, baraka.Phone, 500*shilling)
	w.must(err)
	if diff := cmp.Diff(Quote{Amount: 500_00, Fee: 7_00, Total: 507_00, Payee: baraka.Phone, Name: "BARAKA OTIENO", Balance: 2000_00}, q); diff != "" {
		t.Error(diff)
	}
	d, err := w.Send(ctx, "ref", asha, baraka.Phone, 500*shilling)
	w.must(err)
	want := Done{Code: d.Code, At: w.Now(), Amount: 500_00, Fee: 7_00, Balance: 1493_00, Name: "BARAKA OTIENO"}
	if diff := cmp.Diff(want, d); diff != "" || len(d.Code) != 10 {
		t.Error(diff)
	}
	if d.Amount != q.Amount || d.Fee != q.Fee || d.Balance != q.Balance-q.Total {
		t.Errorf("posted %+v, quoted %+v", d, q)
	}
	// 15/115 of the fee of 7.00 is tax.
	w.books("asha 1493.00 baraka 500.00 fees 6.09 tax 0.91 trust -2000.00", asha, baraka)
	if got, want := w.texts(asha.Phone)[1], d.Code+" Confirmed. Ksh500.00 sent to BARAKA OTIENO 0712000002 on 22/11/26 at 9:15 AM. New Tuma balance is Ksh1,493.00. Transaction cost, Ksh7.00."; got != want {
		t.Errorf("payer\n got %s\nwant %s", got, want)
	}
	if got, want := w.texts(baraka.Phone)[1], d.Code+" Confirmé. ASHA JUMA 0712000001 vous a envoyé Ksh500.00 le 22/11/26 à 9:15 AM. Nouveau solde Tuma Ksh500.00."; got != want {
		t.Errorf("payee\n got %s\nwant %s", got, want)
	}

	// The same ref again: the first receipt, nothing posted, nothing owed twice.
	w.clock.pass(time.Hour)
	again, err := w.Send(ctx, "ref", asha, baraka.Phone, 500*shilling)
	w.must(err)
	want.Again = true
	if diff := cmp.Diff(want, again); diff != "" {
		t.Error(diff)
	}
	if n := len(w.texts(asha.Phone)) + len(w.texts(baraka.Phone)); n != 4 {
		t.Errorf("%d notices are owed", n)
	}
	for what, try := range map[string]func() (Done, error){
		"amount": func() (Done, error) { return w.Send(ctx, "ref", asha, baraka.Phone, 501*shilling) },
		"payer":  func() (Done, error) { return w.Send(ctx, "ref", baraka, asha.Phone, 500*shilling) },
		"kind":   func() (Done, error) { return w.Airtime(ctx, "ref", asha, baraka.Phone, 500*shilling) },
	} {
		if _, err := try(); !errors.Is(err, ErrRefReused) {
			t.Errorf("the same ref with another %s: %v", what, err)
		}
	}
	// Free of charge: one posting, no fee.
	d, err = w.Send(ctx, "free", asha, baraka.Phone, 100*shilling)
	if err != nil || d.Fee != 0 {
		t.Errorf("%+v, %v", d, err)
	}
	w.books("asha 1393.00 baraka 600.00 fees 6.09 tax 0.91 trust -2000.00", asha, baraka)
	w.proven()
}

// What refuses a payment, in order: each line breaks the rules below it as well.
func TestRefusalsOfSendInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	asha := w.customerOf(TierBasic, "+254712000001", "Asha Juma", 60_000*shilling)
	baraka := w.customerOf(TierBasic, "+254712000002", "Baraka Otieno", 90_000*shilling)
	poor := w.customerOf(TierBasic, "+254712000003", "Chausiku Mwangi", 100*shilling)
	stranger := number(t, "+254733000009")
	try := func(payer Customer, payee Customer, a money.Amount, quoted, posted string) {
		t.Helper()
		payer = w.again(payer)
		check := func(err error, want string) {
			t.Helper()
			if want == "" {
				if err != nil {
					t.Errorf("got %v, want no refusal", err)
				}
				return
			}
			w.refused(err, want)
		}
		_, err := w.QuoteSend(ctx, payer, payee.Phone, a)
		check(err, quoted)
		w.n++
		_, err = w.Send(ctx, fmt.Sprint("refused:", w.n), payer, payee.Phone, a)
		check(err, posted)
	}
	both := func(payer, payee Customer, a money.Amount, want string) {
		t.Helper()
		try(payer, payee, a, want, want)
	}
	w.must(w.Freeze(ctx, poor, true))
	both(poor, poor, 0, "self")
	both(poor, Customer{Phone: stranger}, 0, "payee_unregistered (number=0733000009)")
	w.must(w.Freeze(ctx, baraka, true))
	both(poor, baraka, 0, "payee_frozen")
	w.must(w.Freeze(ctx, baraka, false))
	both(poor, baraka, 0, "below_min (min=Ksh1.00)")
	both(poor, baraka, -1, "below_min (min=Ksh1.00)")
	both(poor, baraka, 99, "below_min (min=Ksh1.00)")
	both(poor, baraka, 35_000_01, "over_entry (max=Ksh35,000.00)")
	both(poor, baraka, 1<<62, "over_entry (max=Ksh35,000.00)")
	both(poor, baraka, 35_000*shilling, "payer_frozen")
	w.must(w.Freeze(ctx, poor, false))
	w.status(poor, ledger.DebitsBlocked)
	both(poor, baraka, 35_000*shilling, "payer_blocked")
	w.status(poor, ledger.Open)
	both(poor, baraka, 35_000*shilling, "insufficient (balance=Ksh100.00)")
	w.fund(poor.Wallet, 34_992*shilling) // one shilling under the amount and its fee of 108
	w.fund(poor.Wallet, 15*shilling)
	both(poor, baraka, 35_000*shilling, "insufficient (balance=Ksh35,107.00)")

	// The day's limit comes before the payee's ceiling.
	for i := range 2 {
		_, err := w.Send(ctx, fmt.Sprint("day:", i), asha, poor.Phone, 20_000*shilling)
		w.must(err)
		_, err = w.Send(ctx, fmt.Sprint("back:", i), poor, asha.Phone, 20_000*shilling)
		w.must(err)
	}
	both(asha, baraka, 30_000*shilling+1, "over_day (left=Ksh30,000.00)")
	both(asha, baraka, 35_000*shilling, "over_day (left=Ksh30,000.00)")
	try(asha, baraka, 30_000*shilling, "", "payee_full")
	try(asha, baraka, 10_000*shilling+1, "", "payee_full")
	both(asha, baraka, 10_000*shilling, "")
	if b := w.has(baraka.Wallet); b != 100_000*shilling {
		t.Errorf("baraka has %d", b)
	}
	left, err := w.Left(ctx, asha)
	if err != nil || left.Today != 20_000*shilling {
		t.Errorf("%+v, %v", left, err)
	}
	// Tomorrow is another day: from midnight in Nairobi.
	both(asha, poor, 20_000*shilling+1, "over_day (left=Ksh20,000.00)")
	w.clock.pass(14*time.Hour + 44*time.Minute)
	both(asha, poor, 20_000*shilling+1, "over_day (left=Ksh20,000.00)")
	w.clock.pass(time.Minute)
	both(asha, poor, 20_000*shilling+1, "")
	w.proven()
}

// status sets what only the book can do so far: a wallet that takes and does not give.
func (w *world) status(c Customer, status ledger.Status) {
	w.t.Helper()
	rules := c.Tier.rules(false)
	rules.Status = status
	w.must(w.pool.InTx(w.t.Context(), func(tx *db.Tx) error { return ledger.SetRules(w.t.Context(), tx, c.Wallet, rules) }))
}

// A try whose answer was lost is answered as it went, whatever has changed since.
func TestLostAnswersAreFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	asha, baraka := w.customer("+254712000001", "Asha Juma", 2000*shilling), w.customer("+254712000002", "Baraka Otieno", 0)
	first, err := w.Send(ctx, "ref", asha, baraka.Phone, 500*shilling)
	w.must(err)
	air, err := w.Airtime(ctx, "air", asha, baraka.Phone, 50*shilling)
	w.must(err)
	first.Again, air.Again = true, true
	fees, err := parse(t, "fees.csv", "+2026-11-23,send,1,300000,50")
	w.must(err)
	w.process(w.pool, func(c *Config) { c.Tariff = fees })
	w.must(w.Freeze(ctx, baraka, true))
	w.must(w.MoveNumber(ctx, asha, number(t, "+254712000007")))
	asha = w.again(asha)
	found := func(why string) {
		t.Helper()
		d, err := w.Send(ctx, "ref", asha, baraka.Phone, 500*shilling)
		if diff := cmp.Diff(first, d); err != nil || diff != "" {
			t.Errorf("%s: %v %s", why, err, diff)
		}
		d, err = w.Airtime(ctx, "air", asha, baraka.Phone, 50*shilling)
		if diff := cmp.Diff(air, d); err != nil || diff != "" {
			t.Errorf("%s: %v %s", why, err, diff)
		}
	}
	found("the payee is frozen, the payer has moved")
	w.must(w.Freeze(ctx, baraka, false))
	w.must(w.Freeze(ctx, asha, true))
	found("the payer is frozen")
	w.clock.pass(24 * time.Hour)
	found("the tariff is another")
	w.must(w.MoveNumber(ctx, baraka, number(t, "+254712000008")))
	found("nobody is at the number")
	if _, err := w.Send(ctx, "ref", asha, baraka.Phone, 600*shilling); Refused(err, "payee_unregistered") || !errors.Is(err, ErrRefReused) {
		t.Errorf("another amount: %v", err)
	}
	_, err = w.Send(ctx, "new", w.again(asha), baraka.Phone, 600*shilling)
	w.refused(err, "payee_unregistered (number=0712000002)")
	w.books("asha 1443.00 baraka 500.00 fees 6.09 tax 0.91 airtime 50.00 trust -2000.00", asha, baraka)
}

func TestTheSamePaymentWithinTwoMinutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	asha, baraka := w.customer("+254712000001", "Asha Juma", 2000*shilling), w.customer("+254712000002", "Baraka Otieno", 500*shilling)
	d, err := w.Send(ctx, "1", asha, baraka.Phone, 200*shilling)
	w.must(err)
	quote := func(again bool) {
		t.Helper()
		q, err := w.QuoteSend(ctx, asha, baraka.Phone, 200*shilling)
		w.must(err)
		if want := (&Earlier{Code: d.Code, At: d.At}); again && !cmp.Equal(q.Again, want) || !again && q.Again != nil {
			t.Errorf("at %s: %+v, want %v", w.clock.now(), q.Again, again)
		}
	}
	quote(true)
	// Other amounts, kinds, payees and directions are no repetition.
	_, err = w.Airtime(ctx, "2", asha, baraka.Phone, 300*shilling)
	w.must(err)
	for name, f := range map[string]func() (Quote, error){
		"amount":    func() (Quote, error) { return w.QuoteSend(ctx, asha, baraka.Phone, 201*shilling) },
		"kind":      func() (Quote, error) { return w.QuoteAirtime(ctx, asha, baraka.Phone, 200*shilling) },
		"payee":     func() (Quote, error) { return w.QuoteAirtime(ctx, asha, asha.Phone, 300*shilling) },
		"direction": func() (Quote, error) { return w.QuoteSend(ctx, baraka, asha.Phone, 200*shilling) },
	} {
		if q, err := f(); err != nil || q.Again != nil {
			t.Errorf("another %s: %+v, %v", name, q.Again, err)
		}
	}
	if q, err := w.QuoteAirtime(ctx, asha, baraka.Phone, 300*shilling); err != nil || q.Again == nil {
		t.Errorf("airtime: %+v, %v", q.Again, err)
	}
	w.clock.pass(2 * time.Minute)
	quote(true)
	w.clock.pass(time.Second)
	quote(false)
}

func TestInvitationOnceADay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	asha, baraka := w.customer("+254712000001", "Asha Juma", 0), w.customer("+254712000002", "Baraka Otieno", 0)
	stranger := number(t, "+254733000009")
	for _, c := range []Customer{asha, asha, baraka} {
		_, err := w.LookUp(ctx, c, stranger)
		w.refused(err, "payee_unregistered (number=0733000009)")
	}
	if got := w.texts(stranger); len(got) != 1 || got[0] != "ASHA JUMA 0712000001 wants to send you money with Tuma. Dial *334# to register, or visit an agent with your ID." {
		t.Errorf("%q", got)
	}
	w.clock.pass(15 * time.Hour) // past midnight
	_, err := w.LookUp(ctx, baraka, stranger)
	w.refused(err, "payee_unregistered (number=0733000009)")
	if got := w.texts(stranger); len(got) != 2 || !strings.HasPrefix(got[1], "BARAKA OTIENO 0712000002 ") {
		t.Errorf("%q", got)
	}
	_, err = w.LookUp(ctx, asha, asha.Phone)
	w.refused(err, "self")
	w.must(w.Freeze(ctx, baraka, true))
	_, err = w.LookUp(ctx, asha, baraka.Phone)
	w.refused(err, "payee_frozen")
}

func TestStatement(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	asha, baraka := w.customer("+254712000001", "Asha Juma", 2000*shilling), w.customer("+254712000002", "Baraka Otieno", 500*shilling)
	var codes []string
	pay := func(d Done, err error) {
		t.Helper()
		w.must(err)
		codes = append(codes, d.Code)
		w.clock.pass(time.Minute)
	}
	start := w.Now()
	pay(w.Send(ctx, "1", asha, baraka.Phone, 600*shilling))
	pay(w.Send(ctx, "2", baraka, asha.Phone, 50*shilling))
	pay(w.Airtime(ctx, "3", asha, number(t, "+254733000009"), 20*shilling))
	lines, err := w.Mini(ctx, asha, 3)
	w.must(err)
	want := []Line{
		{Code: codes[2], Kind: "airtime", At: start.Add(2 * time.Minute), Amount: 20_00, Other: "0733000009"},
		{Code: codes[1], Kind: "receive", At: start.Add(time.Minute), In: true, Amount: 50_00, Other: "BARAKA OTIENO"},
		{Code: codes[0], Kind: "send", At: start, Amount: 600_00, Fee: 13_00, Other: "BARAKA OTIENO"},
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
	if b, err := w.Balance(ctx, asha); err != nil || b != 1417*shilling {
		t.Errorf("%d, %v", b, err)
	}
	left, err := w.Left(ctx, asha)
	if err != nil || left != (Left{Today: 499_380 * shilling, ToMax: 498_583 * shilling}) {
		t.Errorf("%+v, %v", left, err)
	}
	lines, err = w.Mini(ctx, baraka, 10)
	w.must(err)
	if kinds := slices.Collect(func(yield func(string) bool) {
		for _, l := range lines {
			if !yield(l.Kind) {
				return
			}
		}
	}); !slices.Equal(kinds, []string{"send", "receive", "fund"}) {
		t.Errorf("%q", kinds)
	}
}

// Money that many send at once, to and fro, is neither made nor lost.
func TestManySendAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.process(w.pool)
	asha, baraka := w.customer("+254712000001", "Asha Juma", 1000*shilling), w.customer("+254712000002", "Baraka Otieno", 1000*shilling)
	var all sync.WaitGroup
	var mu sync.Mutex
	sent := map[bool]money.Amount{}
	for i := range 40 {
		s, from, to := w.Service, asha, baraka
		if i%2 == 1 {
			s, from, to = other, baraka, asha
		}
		for range 2 { // every one asked twice at once
			all.Go(func() {
				d, err := s.Send(t.Context(), fmt.Sprint(i), from, to.Phone, 90*shilling)
				if err != nil && !Refused(err, "insufficient") {
					t.Error(err)
				} else if err == nil && !d.Again {
					mu.Lock()
					defer mu.Unlock()
					sent[i%2 == 1] += 90 * shilling
				}
			})
		}
	}
	all.Wait()
	if got, want := w.has(asha.Wallet), 1000*shilling-sent[false]+sent[true]; got != want {
		t.Errorf("asha has %d, want %d", got, want)
	}
	if got, want := w.has(baraka.Wallet), 1000*shilling+sent[false]-sent[true]; got != want {
		t.Errorf("baraka has %d, want %d", got, want)
	}
	w.proven()
}

// Payer and payee can be read in one look, and nothing else is different.
func TestTwoCustomersInOneLook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	asha, baraka := w.customer("+254712000001", "Asha Juma", 2000*shilling), w.customer("+254712000002", "Baraka Otieno", 0)
	look := func(other phone.Number) Customer {
		t.Helper()
		c, err := w.ByPhoneBeside(ctx, asha.Phone, other)
		w.must(err)
		plain := c
		if plain.beside = nil; plain != asha {
			t.Errorf("beside %s: %+v, want %+v", other, c, asha)
		}
		return c
	}
	const stranger = "+254712000009"
	if c := look(baraka.Phone); c.beside == nil || *c.beside != baraka {
		t.Errorf("%+v", c.beside)
	}
	for _, other := range []phone.Number{"", asha.Phone, stranger} {
		if c := look(other); c.beside != nil {
			t.Errorf("beside %q: %+v", other, c.beside)
		}
	}
	if _, err := w.ByPhoneBeside(ctx, stranger, asha.Phone); !errors.Is(err, ErrNoCustomer) {
		t.Error(err)
	}
	// Somebody else is paid than was read.
	_, err := w.QuoteSend(ctx, look(baraka.Phone), stranger, 500*shilling)
	w.refused(err, "payee_unregistered (number=0712000009)")
	_, err = w.QuoteSend(ctx, look(baraka.Phone), asha.Phone, 500*shilling)
	w.refused(err, "self")
	_, err = w.Send(ctx, "ref", look(baraka.Phone), baraka.Phone, 500*shilling)
	w.must(err)
	// Who was frozen since is refused by the book.
	before := look(baraka.Phone)
	w.must(w.Freeze(ctx, baraka, true))
	_, err = w.Send(ctx, "late", before, baraka.Phone, 500*shilling)
	w.refused(err, "payee_frozen")
	_, err = w.QuoteSend(ctx, look(baraka.Phone), baraka.Phone, 500*shilling)
	w.refused(err, "payee_frozen")
	if n := w.has(baraka.Wallet); n != 500_00 {
		t.Errorf("%d", n)
	}
}
