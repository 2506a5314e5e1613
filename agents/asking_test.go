package agents

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"tuma/accounts"
	"tuma/internal/money"
)

// A till that asks with growing amounts hears nothing before it asks, and soon
// nothing at all.
func TestAskingTellsLittle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	juma, asha := w.counter(1000 * shilling)
	baraka := w.customer("+254712000002", "Baraka Otieno", accounts.TierFull)
	other := w.till("100002", "Uhuru Stores", "+254722000002", 0)
	ctx := t.Context()
	if err := w.LimitAsking(AskLimits{PerCustomer: 3, PerTill: 2}); err == nil {
		t.Error("a till may ask all customers less often than each of them")
	}
	w.must(w.LimitAsking(AskLimits{PerCustomer: 3, PerTill: 5}))
	ask := func(o Operator, c accounts.Customer, ref string, a money.Amount, want string) (got accounts.Approval) {
		t.Helper()
		got, err := w.AskWithdraw(ctx, ref, o, c.Phone, a)
		w.refused(err, want)
		return got
	}

	// The price is told, whatever she has, and whether her wallet is frozen.
	w.must(w.accounts.Freeze(ctx, asha, true))
	for _, a := range []money.Amount{100 * shilling, 249_000 * shilling} {
		if _, err := w.QuoteAskWithdraw(ctx, juma, asha.Phone, a); err != nil {
			t.Errorf("%d: %v", a, err)
		}
	}
	w.must(w.accounts.Freeze(ctx, asha, false))

	ask(juma, asha, "1", 4000*shilling, "customer_cannot")
	ask(juma, asha, "1", 4000*shilling, "customer_cannot") // the same try
	first := ask(juma, asha, "2", 500*shilling, "")
	ask(juma, asha, "3", 600*shilling, "ask_open") // and is no try
	if again := ask(juma, asha, "2", 500*shilling, ""); again.ID != first.ID {
		t.Errorf("the same ref made approvals %d and %d", first.ID, again.ID)
	}
	if open, err := w.OpenAsk(ctx, juma, asha); err != nil || open.ID != first.ID {
		t.Errorf("open: %+v, %v", open, err)
	}
	if _, err := w.OpenAsk(ctx, other, asha); !errors.Is(err, accounts.ErrNoApproval) {
		t.Errorf("open at another till: %v", err)
	}
	ask(other, asha, "other", 100*shilling, "") // another till has its own
	w.must(w.CancelAsked(ctx, juma, first.ID))
	third := ask(juma, asha, "4", 600*shilling, "")
	w.clock.pass(time.Minute)
	w.must(w.accounts.Decline(ctx, asha, third.ID))
	ask(juma, asha, "5", 700*shilling, "asks_spent")
	ask(juma, asha, "5", 20*shilling, "below_min (min=Ksh50.00)")
	ask(juma, baraka, "6", 700*shilling, "customer_cannot")
	ask(juma, baraka, "7", 700*shilling, "customer_cannot")
	ask(juma, baraka, "8", 700*shilling, "asks_spent") // of all together

	// What is approved does not count, and another day is another day.
	w.must(w.LimitAsking(AskLimits{PerCustomer: 4, PerTill: 9}))
	for i := range 6 {
		a := ask(juma, asha, fmt.Sprint("approved:", i), 50*shilling, "")
		_, err := w.accounts.Approve(ctx, asha, a.ID)
		w.must(err)
		w.clock.pass(3 * time.Minute)
	}
	ask(juma, asha, "9", 249_000*shilling, "customer_cannot")
	ask(juma, asha, "10", 249_000*shilling, "asks_spent")
	w.clock.pass(15 * time.Hour)
	ask(juma, asha, "11", 50*shilling, "")
	w.proven()
}

// Asking all at once is no way round it.
func TestAskingAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	juma, asha := w.counter(1000 * shilling)
	told := map[string]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range 40 {
		amount := money.Amount(500+i) * shilling
		if i%2 == 0 {
			amount += 100_000 * shilling // what she has not
		}
		all.Go(func() {
			_, err := w.AskWithdraw(t.Context(), fmt.Sprint("at once:", i), juma, asha.Phone, amount)
			r, refused := errors.AsType[accounts.Refusal](err)
			if err != nil && !refused {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			told[r.Key]++
		})
	}
	all.Wait()
	waiting, err := w.accounts.Approvals(t.Context(), asha)
	if err != nil || len(waiting) != told[""] || told[""] > 1 {
		t.Errorf("%d wait, %v: %v", len(waiting), err, told)
	}
	if heard := told[""] + told["customer_cannot"]; heard > DefaultAskLimits().PerCustomer {
		t.Errorf("%d tries were answered: %v", heard, told)
	}
	w.proven()
}
