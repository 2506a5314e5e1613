package agents

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tuma/accounts"
	"tuma/internal/money"
)

func TestDeposit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	juma := w.till("100001", "Mama Mboga", "+254722000001", 50_000*shilling)
	asha := w.customer("+254712000001", "Asha Juma", accounts.TierFull)
	q, err := w.QuoteDeposit(ctx, juma, asha.Phone, 1500*shilling)
	w.must(err)
	if diff := cmp.Diff(accounts.Quote{Amount: 1500_00, Total: 1500_00, Payee: asha.Phone, Name: "ASHA JUMA", Balance: 50_000_00}, q); diff != "" {
		t.Error(diff)
	}
	d, err := w.Deposit(ctx, "1", juma, asha.Phone, 1500*shilling)
	w.must(err)
	want := accounts.Done{Code: d.Code, At: w.accounts.Now(), Amount: 1500_00, Balance: 48_500_00, Name: "ASHA JUMA"}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Error(diff)
	}
	w.books("asha 1500.00 100001 48500.00 earned 10.00 commission -10.00 trust -50000.00", asha, juma)
	if got := w.last(asha.Phone); got != "UKM* Confirmed. On 22/11/26 at 9:15 AM you gave Ksh1,500.00 cash to 100001 - MAMA MBOGA. New Tuma balance is Ksh1,500.00." {
		t.Error(got)
	}
	if got := w.last(juma.Phone); got != "UKM* Confirmed. On 22/11/26 at 9:15 AM take Ksh1,500.00 cash from ASHA JUMA 0712000001. New float is Ksh48,500.00." {
		t.Error(got)
	}
	// Again within two minutes: asked in the quote, done once for the same ref.
	q, err = w.QuoteDeposit(ctx, juma, asha.Phone, 1500*shilling)
	if err != nil || q.Again == nil || q.Again.Code != d.Code {
		t.Errorf("%+v, %v", q.Again, err)
	}
	again, err := w.Deposit(ctx, "1", juma, asha.Phone, 1500*shilling)
	want.Again = true
	if diff := cmp.Diff(want, again); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if _, err := w.Deposit(ctx, "1", juma, asha.Phone, 1501*shilling); !errors.Is(err, accounts.ErrRefReused) {
		t.Error(err)
	}
	// An answer that was lost is found, though the operator may not any more.
	w.sql(`update operator set frozen = true`)
	again, err = w.Deposit(ctx, "1", w.operator("+254722000001"), asha.Phone, 1500*shilling)
	if diff := cmp.Diff(want, again); err != nil || diff != "" {
		t.Error(err, diff)
	}
	_, err = w.Deposit(ctx, "2", w.operator("+254722000001"), asha.Phone, 1500*shilling)
	w.refused(err, "frozen")
	w.proven()
}

func TestWithdraw(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	juma := w.till("100001", "Mama Mboga Corner Shop", "+254722000001", 50_000*shilling)
	w.must(w.CreateOperator(ctx, NewOperator{Till: "100001", Phone: number(t, "+254722000002"), Name: "Neema Achieng", IDNumber: "99990001", Lang: "sw", Role: "assistant"}))
	w.must(w.CreateOperator(ctx, NewOperator{Till: "100001", Phone: number(t, "+254722000003"), Name: "Otieno Ouma", IDNumber: "99990002", Lang: "en", Role: "auditor"}))
	asha := w.customer("+254712000001", "Asha Juma", accounts.TierFull)
	_, err := w.Deposit(ctx, "0", juma, asha.Phone, 5000*shilling)
	w.must(err)
	q, err := w.QuoteWithdraw(ctx, asha, "100001", 2000*shilling)
	w.must(err)
	if diff := cmp.Diff(accounts.Quote{Amount: 2000_00, Fee: 29_00, Total: 2029_00, Name: "MAMA MBOGA CORNER SHOP", Balance: 5000_00}, q); diff != "" {
		t.Error(diff)
	}
	d, err := w.Withdraw(ctx, "1", asha, "100001", 2000*shilling)
	w.must(err)
	want := accounts.Done{Code: d.Code, At: w.accounts.Now(), Amount: 2000_00, Fee: 29_00, Balance: 2971_00, Name: "MAMA MBOGA CORNER SHOP"}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Error(diff)
	}
	// 29.00 with 15 % of the fee before tax in it: 3.78. The till earns 14 and 15.
	w.books("asha 2971.00 100001 47000.00 earned 29.00 fees 25.22 tax 3.78 commission -29.00 trust -50000.00", asha, juma)
	for to, want := range map[string]string{
		"+254712000001": "UKM* Confirmed. On 22/11/26 at 9:15 AM Withdraw Ksh2,000.00 from 100001 - MAMA MBOGA C. New Tuma balance is Ksh2,971.00. Transaction cost, Ksh29.00.",
		"+254722000001": "UKM* Confirmed. On 22/11/26 at 9:15 AM pay Ksh2,000.00 cash to ASHA JUMA 0712000001. New float is Ksh47,000.00.",
		"+254722000002": "UKM* Imethibitishwa. 22/11/26 9:15 AM Mpe ASHA JUMA 0712000001 Ksh2,000.00 taslimu. Salio la float ni Ksh47,000.00.",
		"+254722000003": "", // an auditor pays no cash
	} {
		if got := w.last(number(t, to)); got != want && !(want == "" && got == "") {
			t.Errorf("%s\n got %s\nwant %s", to, got, want)
		}
	}
	want.Again = true
	w.sql(`update till set closed = true`)
	again, err := w.Withdraw(ctx, "1", asha, "100001", 2000*shilling)
	if diff := cmp.Diff(want, again); err != nil || diff != "" {
		t.Error(err, diff)
	}
	_, err = w.Withdraw(ctx, "2", asha, "100001", 2000*shilling)
	w.refused(err, "till_closed")
	w.proven()
}

// What refuses cash, in order: each line breaks the rules below it as well.
func TestRefusalsOfCashInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	juma := w.till("100001", "Mama Mboga", "+254722000001", 200_000*shilling)
	asha, stranger := w.customer("+254712000001", "Asha Juma", accounts.TierBasic), number(t, "+254733000009")
	deposit := func(o Operator, c accounts.Customer, a money.Amount, want string) {
		t.Helper()
		_, err := w.QuoteDeposit(ctx, o, c.Phone, a)
		w.refused(err, want)
		w.n++
		_, err = w.Deposit(ctx, fmt.Sprint("d", w.n), o, c.Phone, a)
		w.refused(err, want)
	}
	withdraw := func(c accounts.Customer, till string, a money.Amount, want string) {
		t.Helper()
		c, err := w.accounts.ByPhone(ctx, c.Phone)
		w.must(err)
		_, err = w.QuoteWithdraw(ctx, c, till, a)
		w.refused(err, want)
		w.n++
		_, err = w.Withdraw(ctx, fmt.Sprint("w", w.n), c, till, a)
		w.refused(err, want)
	}
	freeze := func(frozen bool) {
		t.Helper()
		w.must(w.accounts.Freeze(ctx, asha, frozen))
	}

	o := juma
	o.Frozen, o.Till.Closed, o.Role = true, true, "auditor"
	deposit(o, accounts.Customer{Phone: stranger}, 0, "frozen")
	o.Frozen = false
	deposit(o, accounts.Customer{Phone: stranger}, 0, "till_closed")
	o.Till.Closed = false
	deposit(o, accounts.Customer{Phone: stranger}, 0, "not_allowed")
	deposit(juma, accounts.Customer{Phone: stranger}, 0, "payee_unregistered (number=0733000009)")
	freeze(true)
	deposit(juma, asha, 0, "payee_frozen")
	freeze(false)
	deposit(juma, asha, 0, "below_min (min=Ksh10.00)")
	deposit(juma, asha, -1, "below_min (min=Ksh10.00)")
	deposit(juma, asha, 250_000_01, "over_entry (max=Ksh250,000.00)")
	deposit(juma, asha, 1<<62, "over_entry (max=Ksh250,000.00)")
	deposit(juma, asha, 200_000_01, "float_low")
	deposit(juma, asha, 200_000*shilling, "payee_full")
	deposit(juma, asha, 100_000_01, "payee_full")
	deposit(juma, asha, 100_000*shilling, "") // cash in is not bound by the tier's limit of an entry
	deposit(juma, asha, 10*shilling, "payee_full")

	freeze(true)
	for _, bad := range []string{"", "10000", "1000011", "10000a", "１００００１", "100 01", "100001\n"} {
		withdraw(asha, bad, 0, "bad_till")
	}
	withdraw(asha, "999999", 0, "till_unknown")
	w.sql(`update till set closed = true`)
	withdraw(asha, "100001", 0, "till_closed")
	w.sql(`update till set closed = false`)
	withdraw(asha, "100001", 49_99, "below_min (min=Ksh50.00)")
	withdraw(asha, "100001", 35_000_01, "over_entry (max=Ksh35,000.00)")
	withdraw(asha, "100001", 100*shilling, "payer_frozen")
	freeze(false)
	withdraw(asha, "100001", 35_000*shilling, "")
	withdraw(asha, "100001", 34_900*shilling, "")
	withdraw(asha, "100001", 29_800*shilling, "insufficient (balance=Ksh29,706.00)")
	withdraw(asha, "100001", 1000*shilling, "over_day (left=Ksh100.00)")
	withdraw(asha, "100001", 100*shilling, "")
	withdraw(asha, "100001", 50*shilling, "over_day (left=Ksh0.00)")
	w.clock.pass(14*time.Hour + 45*time.Minute)
	withdraw(asha, "100001", 1000*shilling, "")
	w.proven()
}

func TestFloatAndLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	juma := w.till("100001", "Mama Mboga", "+254722000001", 50_000*shilling)
	asha := w.customer("+254712000001", "Asha Juma", accounts.TierFull)
	position := func(want Position) {
		t.Helper()
		p, err := w.Float(ctx, juma)
		if err != nil || p != want {
			t.Errorf("%+v, %v, want %+v", p, err, want)
		}
	}
	position(Position{Float: 50_000_00})
	_, err := w.Deposit(ctx, "1", juma, asha.Phone, 5000*shilling)
	w.must(err)
	w.clock.pass(time.Minute)
	_, err = w.Withdraw(ctx, "2", asha, "100001", 1000*shilling)
	w.must(err)
	position(Position{Float: 46_000_00, Commission: 24_00, CommissionToday: 24_00})
	w.clock.pass(14*time.Hour + 43*time.Minute) // 23:59
	position(Position{Float: 46_000_00, Commission: 24_00, CommissionToday: 24_00})
	w.clock.pass(time.Minute)
	position(Position{Float: 46_000_00, Commission: 24_00})
	_, err = w.Deposit(ctx, "3", juma, asha.Phone, 100*shilling)
	w.must(err)
	position(Position{Float: 45_900_00, Commission: 28_00, CommissionToday: 4_00})

	lines, err := w.Last(ctx, juma, 4)
	w.must(err)
	var got []string
	for _, l := range lines {
		got = append(got, fmt.Sprintf("%s in=%v %d %s", l.Kind, l.In, l.Amount, l.Other))
	}
	want := []string{"deposit in=false 10000 ASHA JUMA", "withdraw in=true 100000 ASHA JUMA", "deposit in=false 500000 ASHA JUMA", "float in=true 5000000 Bank"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	w.proven()
}

func TestRegisterCustomer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	juma := w.till("100001", "Mama Mboga", "+254722000001", 0)
	r := accounts.Registration{Phone: number(t, "+254712000001"), Name: "Asha Juma", IDNumber: "11112222", PIN: "a PIN that no till may choose", Tier: 1}
	c, err := w.RegisterCustomer(ctx, "1", juma, r)
	w.must(err)
	if c.Tier.Number != accounts.TierFull || c.PINState != accounts.PINUnset || c.Lang != "en" || c.Name != "ASHA JUMA" {
		t.Errorf("%+v", c)
	}
	if again, err := w.RegisterCustomer(ctx, "1", juma, r); err != nil || again.ID != c.ID {
		t.Errorf("%+v, %v", again, err)
	}
	_, err = w.RegisterCustomer(ctx, "2", juma, r)
	w.refused(err, "already_registered")

	// Who registered alone, with the same document, goes up; with another one not.
	alone := w.customer("+254712000002", "Baraka Otieno", accounts.TierBasic)
	w.must(w.accounts.Freeze(ctx, alone, true))
	r.Phone = alone.Phone
	_, err = w.RegisterCustomer(ctx, "3", juma, r)
	w.refused(err, "already_registered")
	r.IDNumber = alone.IDNumber
	up, err := w.RegisterCustomer(ctx, "4", juma, r)
	if err != nil || up.ID != alone.ID || up.Tier.Number != accounts.TierFull || !up.Frozen || up.Name != "BARAKA OTIENO" {
		t.Errorf("%+v, %v", up, err)
	}
	r.Phone = number(t, "+254712000003")
	_, err = w.RegisterCustomer(ctx, "5", juma, r)
	w.refused(err, "id_taken")
	r.Name = "x"
	_, err = w.RegisterCustomer(ctx, "6", juma, r)
	w.refused(err, "bad_name")
	juma.Role = "auditor"
	_, err = w.RegisterCustomer(ctx, "7", juma, r)
	w.refused(err, "not_allowed")
	w.proven()
}
