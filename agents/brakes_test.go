package agents

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tuma/accounts"
	"tuma/internal/money"
)

// braked is a world with the rules that come with the program, changed by lines.
func braked(t *testing.T, lines string) *world {
	t.Helper()
	w := newWorld(t)
	rules, err := accounts.ParseBrakes(strings.NewReader("rule,outcome,most,amount,within,explanation\n"+lines), w.accounts.Country().Currency)
	w.must(err)
	w.Service = w.process(w.pool, func(c *accounts.Config) { c.Brakes = rules })
	return w
}

// noticed are the events since the last call, oldest first: "cash_in_out till:100001".
func (w *world) noticed() string {
	w.t.Helper()
	list, err := w.accounts.BrakeEvents(w.t.Context(), accounts.BrakeFind{Limit: 1000})
	w.must(err)
	var all []string
	for i := range list[:len(list)-w.told] {
		e := list[len(list)-1-w.told-i]
		all = append(all, e.Rule+" "+e.Subject)
	}
	w.told = len(list)
	return strings.Join(all, "; ")
}

// person is a customer with a PIN, and with money from a till.
func (w *world) person(i int, o Operator, has money.Amount) accounts.Customer {
	w.t.Helper()
	pin, err := w.accounts.PINs().Seal("4826")
	w.must(err)
	w.n++
	c, err := w.accounts.Register(w.t.Context(), accounts.Registration{
		Ref: fmt.Sprint("test:", w.n), Phone: number(w.t, fmt.Sprintf("+2547120%05d", i)), Name: "Asha Juma", IDNumber: fmt.Sprintf("2345%04d", w.n), Lang: "en", Tier: accounts.TierBasic, PIN: pin,
	})
	w.must(err)
	if has > 0 {
		w.cashIn(o, c, has)
	}
	return c
}

func (w *world) ref() string { w.n++; return fmt.Sprint("test:", w.n) }

func (w *world) fresh(c accounts.Customer) accounts.Customer {
	w.t.Helper()
	c, err := w.accounts.ByID(w.t.Context(), c.ID)
	w.must(err)
	return c
}

func (w *world) cashIn(o Operator, c accounts.Customer, a money.Amount) {
	w.t.Helper()
	_, err := w.Deposit(w.t.Context(), w.ref(), o, c.Phone, a)
	w.must(err)
}

func (w *world) cashOut(c accounts.Customer, o Operator, a money.Amount) {
	w.t.Helper()
	_, err := w.Withdraw(w.t.Context(), w.ref(), w.fresh(c), o.Till.Number, a)
	w.must(err)
}

func (w *world) pays(from, to accounts.Customer, a money.Amount) {
	w.t.Helper()
	_, err := w.accounts.Send(w.t.Context(), w.ref(), w.fresh(from), to.Phone, a)
	w.must(err)
}

// mistypes gives so many wrong PINs, as the ways in do.
func (w *world) mistypes(ctx context.Context, c accounts.Customer, times int) {
	for range times {
		if err := w.accounts.PINs().Verify(ctx, c.PIN, "7294"); accounts.Refused(err, "pin_locked") {
			w.must(w.accounts.TellPINLocked(ctx, c.PIN, c.Phone, c.Lang))
		}
	}
}

// TestFraudIsSeen plays what the simulation's people do who are up to no good, in
// its amounts: each is seen, by its own rule. Names that are collected are seen by
// the ways in, which count them.
func TestFraudIsSeen(t *testing.T) {
	t.Parallel()
	w := braked(t, "")
	ctx := t.Context()
	juma := w.till("100001", "Mama Mboga", "+254722000001", 900_000*shilling)
	mule := w.person(0, juma, 0)
	n := 0
	victim := func() accounts.Customer { n++; return w.person(n, juma, 900*shilling) }
	for _, fraud := range []struct {
		name, seen string
		deed       func(accounts.Customer)
	}{
		{"drain and cash out", "drain_and_cash_out customer:%[3]d", func(c accounts.Customer) {
			w.pays(c, mule, 780*shilling)
			w.cashOut(mule, juma, 720*shilling)
		}},
		{"guess a PIN", "pin_locked phone:%[2]s", func(c accounts.Customer) { w.mistypes(ctx, c, 4) }},
		{"split a deposit", "split_deposit till:100001", func(c accounts.Customer) {
			for range 3 {
				w.cashIn(juma, c, 11_300*shilling)
			}
		}},
		{"in and out for the commission", "cash_in_out till:100001", func(c accounts.Customer) {
			w.cashIn(juma, c, 105*shilling)
			w.cashOut(c, juma, 100*shilling)
		}},
		{"swap a SIM", "swap_and_drain customer:%[1]d", func(c accounts.Customer) {
			w.must(w.accounts.SwappedSIM(ctx, c))
			w.pays(c, mule, 780*shilling)
		}},
		{"spray a PIN", "pin_spray ", func(accounts.Customer) {
			for i := range 20 {
				w.mistypes(ctx, w.person(1000+i, juma, 0), 1)
			}
		}},
	} {
		c := victim()
		w.clock.pass(time.Hour)
		fraud.deed(c)
		want := fraud.seen
		if strings.Contains(want, "%") {
			want = strings.SplitN(fmt.Sprintf(want+"\x00", c.ID, c.Phone, mule.ID), "\x00", 2)[0]
		}
		if got := w.noticed(); got != want {
			t.Errorf("%s: %q, want %q", fraud.name, got, want)
		}
	}
	w.proven()
}

// TestAnHonestDayMakesNoEvent: a village goes about its business from morning to
// night, and nobody is called to look.
func TestAnHonestDayMakesNoEvent(t *testing.T) {
	t.Parallel()
	w := braked(t, "")
	ctx := t.Context()
	r := rand.New(rand.NewPCG(334, 6))
	tills := []Operator{
		w.till("100001", "Mama Mboga", "+254722000001", 900_000*shilling), w.till("100002", "Neema Kiosk", "+254722000002", 900_000*shilling),
	}
	var people []accounts.Customer
	for i := range 24 {
		people = append(people, w.person(i, tills[i%2], money.Amount(100+r.IntN(3000))*shilling))
	}
	entries := 0
	for at := 0; at < 400; at++ {
		w.clock.pass(2 * time.Minute)
		i := r.IntN(len(people))
		c := w.fresh(people[i])
		has := w.has(c.Wallet)
		if r.IntN(30) == 0 {
			w.mistypes(ctx, c, 1+r.IntN(2))
		}
		w.must(w.accounts.PINs().Verify(ctx, c.PIN, "4826"))
		switch act := r.IntN(10); {
		case act < 2:
			w.cashIn(tills[i%2], c, money.Amount(50+r.IntN(2000))*shilling)
		case act < 5 && has > 150*shilling: // takes out a good part
			w.cashOut(c, tills[i%2], (has-100*shilling)*money.Amount(40+r.IntN(50))/100/100*100+50*shilling)
		case has > 30*shilling: // to the shop, or to somebody near
			to := people[(i+1+r.IntN(4))%len(people)]
			if r.IntN(2) == 0 {
				to = people[0]
			}
			if to.ID == c.ID {
				continue
			}
			w.pays(c, to, min(has-20*shilling, money.Amount(10+r.IntN(200))*shilling))
		default:
			continue
		}
		entries++
	}
	if got := w.noticed(); got != "" || entries < 200 {
		t.Errorf("%d entries: %s", entries, got)
	}
	w.proven()
}

// TestPaceOfATill: a new till is measured by the rule's number, one with a past by
// what is usual for it; each time is told once.
func TestPaceOfATill(t *testing.T) {
	t.Parallel()
	w := braked(t, "till_deposits,,8,,,\n")
	juma := w.till("100001", "Mama Mboga", "+254722000001", 900_000*shilling)
	neema := w.till("100002", "Neema Kiosk", "+254722000002", 900_000*shilling)
	asha := w.person(1, juma, 0)
	hour := func(o Operator, n int, want string) {
		t.Helper()
		w.clock.pass(time.Hour)
		for range n {
			w.cashIn(o, asha, 50*shilling)
		}
		if got := w.noticed(); got != want {
			t.Errorf("%d deposits at %s: %q, want %q", n, o.Till.Number, got, want)
		}
	}
	hour(juma, 8, "")
	hour(juma, 11, "till_deposits till:100001")
	for range 7 {
		hour(neema, 3, "")
	}
	hour(neema, 8, "") // seven hours are no past
	hour(neema, 3, "")
	hour(neema, 12, "till_deposits till:100002") // three or four are usual
	for range 16 {
		hour(neema, 1, "")
	}
	hour(neema, 9, "till_deposits till:100002") // less than two by now
	off, err := accounts.ParseBrakes(strings.NewReader("rule,outcome,most,amount,within,explanation\ntill_deposits,off,,,,\n"), w.accounts.Country().Currency)
	w.must(err)
	w.Service = w.process(w.pool, func(c *accounts.Config) { c.Brakes = off })
	hour(neema, 9, "")
}

// TestPairsThatDoNotPay: the same cash in and out, and cash in for somebody who is
// elsewhere, are kept for the till's pages, and told when there is more of it than
// there was.
func TestPairsThatDoNotPay(t *testing.T) {
	t.Parallel()
	w := braked(t, "cash_in_out,,2,,,\ndirect_deposit,,1,,,\n")
	juma := w.till("100001", "Mama Mboga", "+254722000001", 900_000*shilling)
	neema := w.till("100002", "Neema Kiosk", "+254722000002", 900_000*shilling)
	asha := w.person(1, juma, 5_000*shilling)
	w.clock.pass(2 * time.Hour)
	for i := range 4 {
		w.cashIn(juma, asha, 1_000*shilling)
		w.cashOut(asha, juma, 950*shilling) // costs 29, earns 9 and 10
		want := ""
		if i == 2 {
			want = "cash_in_out till:100001"
		}
		if got := w.noticed(); got != want {
			t.Errorf("%d: %q, want %q", i, got, want)
		}
		w.clock.pass(2 * time.Hour)
	}
	for i := range 2 {
		w.cashIn(juma, asha, 2_000*shilling)
		w.cashOut(asha, neema, 2_000*shilling)
		want := ""
		if i == 1 {
			want = "direct_deposit till:100001"
		}
		if got := w.noticed(); got != want {
			t.Errorf("%d: %q, want %q", i, got, want)
		}
		w.clock.pass(2 * time.Hour)
	}
	flags, err := w.Flags(t.Context(), "100001", 0, 10)
	if err != nil || len(flags) != 6 {
		t.Errorf("%v: %+v", err, flags)
	}
}
