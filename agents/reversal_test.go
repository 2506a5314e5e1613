package agents

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/internal/money"
)

func (w *world) held() money.Amount { return w.has(w.accounts.House().Held) }

func TestReversalOfADeposit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	juma := w.till("100001", "Mama Mboga", "+254722000001", 50_000*shilling)
	asha := w.customer("+254712000001", "Asha Juma", accounts.TierFull)
	d, err := w.Deposit(ctx, "1", juma, asha.Phone, 1500*shilling)
	w.must(err)
	v, err := w.AskReversal(ctx, juma, strings.ToLower(d.Code), "wrong number")
	w.must(err)
	if v.State != "held" || v.Held != 1500_00 || v.Amount != 1500_00 || v.Receipt != d.Code || v.Till != "100001" || v.Customer != asha.ID {
		t.Errorf("%+v", v)
	}
	w.books("100001 48500.00 earned 10.00 commission -10.00 trust -50000.00", asha, juma)
	if w.held() != 1500_00 {
		t.Errorf("%d held", w.held())
	}
	if got := w.last(asha.Phone); got != "UKM* Confirmed. Till 100001 says "+d.Code+" was a mistake: Ksh1,500.00 is held. Is it yours? Dial *334#, choose 9. New Tuma balance is Ksh0.00." {
		t.Error(got)
	}
	// Once, however often it is asked, also for money that came in since.
	_, err = w.Deposit(ctx, "2", juma, asha.Phone, 400*shilling)
	w.must(err)
	again, err := w.AskReversal(ctx, juma, d.Code, "wrong number")
	if err != nil || again != v || w.held() != 1500_00 {
		t.Errorf("%+v, %v", again, err)
	}
	w.proven()

	baraka := w.customer("+254712000002", "Baraka Otieno", accounts.TierFull)
	if err := w.Object(ctx, baraka, v.ID); !errors.Is(err, ErrNoReversal) {
		t.Error(err)
	}
	w.must(w.Object(ctx, asha, v.ID))
	w.must(w.Object(ctx, asha, v.ID))
	if open, err := w.OpenReversals(ctx); err != nil || len(open) != 1 || !open[0].Objected.Valid {
		t.Errorf("%+v, %v", open, err)
	}
	if _, err := w.DecideReversal(ctx, "mary", v.ID, true, "one digit"); !errors.Is(err, ErrNotStaff) {
		t.Error(err)
	}
	v, err = w.DecideReversal(ctx, "charles", v.ID, true, "one digit")
	if err != nil || v.State != "approved" || v.Settled == "" || v.Checker != "charles" || v.Decision != "one digit" {
		t.Errorf("%+v, %v", v, err)
	}
	// The float is back, and what the deposit had earned is gone.
	w.books("asha 400.00 100001 49600.00 earned 8.00 commission -8.00 trust -50000.00", asha, juma)
	for to, want := range map[string]string{
		"+254722000001": "UKM* Confirmed. Ksh1,500.00 of deposit " + d.Code + " came back to till 100001 on 22/11/26 at 9:15 AM. New float is Ksh49,600.00.",
		"+254712000001": "UKM* Confirmed. On 22/11/26 at 9:15 AM Ksh1,500.00 of deposit " + d.Code + " went back to till 100001. Questions? Call 0800 721 000.",
	} {
		if got := w.last(number(t, to)); got != want {
			t.Errorf("%s\n got %s\nwant %s", to, got, want)
		}
	}
	same, err := w.DecideReversal(ctx, "charles", v.ID, true, "one digit")
	if err != nil || same != v {
		t.Errorf("%+v, %v", same, err)
	}
	w.staff("chloe", "checker")
	for _, approve := range []bool{true, false} {
		if _, err := w.DecideReversal(ctx, "chloe", v.ID, approve, "another view"); err == nil || !strings.Contains(err.Error(), "approved already") {
			t.Error(err)
		}
	}
	if _, err := w.DecideReversal(ctx, "charles", v.ID, false, "a change of mind"); err == nil {
		t.Error("decided both ways")
	}
	if err := w.Object(ctx, asha, v.ID); err != nil {
		t.Errorf("objected before: %v", err)
	}
	w.books("asha 400.00 100001 49600.00 earned 8.00 commission -8.00 trust -50000.00", asha, juma)
	w.proven()
	w.sql(`update reversal_request set held = held - 1`)
	w.breaks("a disputed deposit is held and settled")
}

func TestReversalIsDeclined(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	juma := w.till("100001", "Mama Mboga", "+254722000001", 50_000*shilling)
	asha := w.customer("+254712000001", "Asha Juma", accounts.TierFull)
	d, err := w.Deposit(ctx, "1", juma, asha.Phone, 1500*shilling)
	w.must(err)
	_, err = w.Withdraw(ctx, "2", asha, "100001", 500*shilling) // 29 of fee
	w.must(err)
	left := w.has(asha.Wallet)
	v, err := w.AskReversal(ctx, juma, d.Code, "wrong number")
	if err != nil || v.Held != left || v.Amount != 1500_00 || w.has(asha.Wallet) != 0 {
		t.Errorf("%+v, %v", v, err)
	}
	// A frozen wallet takes nothing; the decision stands and is completed later.
	w.must(w.accounts.Freeze(ctx, asha, true))
	_, err = w.DecideReversal(ctx, "charles", v.ID, false, "he brought the cash")
	w.refused(err, "payee_frozen")
	if open, err := w.OpenReversals(ctx); err != nil || len(open) != 1 || open[0].State != "declined" {
		t.Errorf("%+v, %v", open, err)
	}
	if _, err = w.DecideReversal(ctx, "charles", v.ID, true, "he brought the cash"); err == nil {
		t.Error("decided both ways")
	}
	w.must(w.accounts.Freeze(ctx, asha, false))
	v, err = w.DecideReversal(ctx, "charles", v.ID, false, "he brought the cash")
	if err != nil || v.State != "declined" || w.has(asha.Wallet) != left || w.held() != 0 {
		t.Errorf("%+v, %v", v, err)
	}
	if got := w.last(asha.Phone); !strings.HasPrefix(got, "UKM* Confirmed. "+w.accounts.Money(left)+" of deposit "+d.Code+" is yours and was given back on 22/11/26 at 9:15 AM.") {
		t.Error(got)
	}
	if got := w.last(juma.Phone); got != "UKM* Confirmed. The request about deposit "+d.Code+" was declined on 22/11/26 at 9:15 AM: "+w.accounts.Money(left)+" stays with the customer." {
		t.Error(got)
	}
	// What the till was paid out in the meantime is not taken back.
	d, err = w.Deposit(ctx, "3", juma, asha.Phone, 1500*shilling)
	w.must(err)
	_, err = w.PayOutCommission(ctx, "p", juma, w.has(juma.Till.commission))
	w.must(err)
	v, err = w.AskReversal(ctx, juma, d.Code, "wrong number")
	w.must(err)
	v, err = w.DecideReversal(ctx, "charles", v.ID, true, "one digit")
	if err != nil || v.State != "approved" || w.held() != 0 {
		t.Errorf("%+v, %v", v, err)
	}
	w.proven()
}

func TestWhoMayDisputeWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	juma := w.till("100001", "Mama Mboga", "+254722000001", 50_000*shilling)
	neema := w.till("100002", "Neema Kiosk", "+254722000002", 0)
	asha := w.customer("+254712000001", "Asha Juma", accounts.TierFull)
	d, err := w.Deposit(ctx, "1", juma, asha.Phone, 1500*shilling)
	w.must(err)
	out, err := w.Withdraw(ctx, "2", asha, "100001", 1000*shilling)
	w.must(err)
	ask := func(o Operator, code, reason string, want error) {
		t.Helper()
		if _, err := w.AskReversal(ctx, o, code, reason); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", code, err, want)
		}
	}
	ask(neema, d.Code, "wrong number", ErrNoDeposit)
	ask(juma, out.Code, "wrong number", ErrNoDeposit)
	ask(juma, "nonsense", "wrong number", ErrNoDeposit)
	ask(juma, d.Code, "", ErrNoReason)
	o := juma
	o.Role = "auditor"
	_, err = w.AskReversal(ctx, o, d.Code, "wrong number")
	w.refused(err, "not_allowed")
	_, err = w.accounts.Airtime(ctx, "3", asha, asha.Phone, w.has(asha.Wallet))
	w.must(err)
	ask(juma, d.Code, "wrong number", ErrNothingLeft)
	_, err = w.Deposit(ctx, "4", juma, asha.Phone, 1500*shilling)
	w.must(err)
	ask(juma, d.Code, "wrong number", ErrNothingLeft) // what came later is not that deposit
	late, err := w.Deposit(ctx, "5", juma, asha.Phone, 1500*shilling)
	w.must(err)
	in, err := w.Deposit(ctx, "6", juma, asha.Phone, 500*shilling)
	w.must(err)
	w.clock.pass(24 * time.Hour)
	_, err = w.AskReversal(ctx, juma, in.Code, "wrong number")
	w.must(err)
	w.clock.pass(time.Microsecond)
	ask(juma, late.Code, "wrong number", ErrTooLate)
	_, err = w.AskReversal(ctx, juma, in.Code, "wrong number") // the first answer
	w.must(err)
	if list, err := w.Reversals(ctx, juma, 10); err != nil || len(list) != 2 || list[1].State != "empty" {
		t.Errorf("%+v, %v", list, err)
	}
	w.proven()
}

// A customer who spends, two operators who ask and two checkers who decide
// differently, all at once: the money is somewhere once.
func TestReversalRaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	other := w.process(w.pool)
	w.staff("chloe", "checker")
	juma := w.till("100001", "Mama Mboga", "+254722000001", 50_000*shilling)
	for i := range 6 {
		asha := w.customer("+25471200001"+string(rune('0'+i)), "Asha Juma", accounts.TierFull)
		d, err := w.Deposit(ctx, "d"+string(rune('0'+i)), juma, asha.Phone, 1500*shilling)
		w.must(err)
		var all sync.WaitGroup
		for k := range 4 {
			all.Go(func() {
				_, err := w.accounts.Airtime(ctx, d.Code+string(rune('0'+k)), asha, asha.Phone, 400*shilling)
				if err != nil && !accounts.Refused(err, "insufficient") {
					t.Error(err)
				}
			})
			all.Go(func() {
				s := []*Service{w.Service, other}[k%2]
				if _, err := s.AskReversal(ctx, juma, d.Code, "wrong number"); err != nil && !errors.Is(err, ErrNothingLeft) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		v, err := w.reversal(ctx, sqlReversalOf, w.entry("d"+string(rune('0'+i))))
		w.must(err)
		if v.State != "held" {
			continue // all was spent before
		}
		total := w.has(asha.Wallet) + v.Held
		float := w.has(juma.Till.float)
		for k := range 4 {
			all.Go(func() {
				_, err := []*Service{w.Service, other}[k%2].DecideReversal(ctx, []string{"charles", "chloe"}[k%2], v.ID, k%2 == 0, "so it is")
				if err != nil && !strings.Contains(err.Error(), "already") {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if w.held() != 0 || w.has(asha.Wallet)+w.has(juma.Till.float)-float != total {
			t.Errorf("held %d, wallet %d, float %d more, %d in all", w.held(), w.has(asha.Wallet), w.has(juma.Till.float)-float, total)
		}
	}
	w.proven()
}

// entry is the number of the entry with a Ref.
func (w *world) entry(ref string) int64 {
	w.t.Helper()
	r, err := w.accounts.Book().ByRef(w.t.Context(), ref)
	w.must(err)
	return int64(r.ID)
}

func TestDayOfATill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	juma := w.till("100001", "Mama Mboga", "+254722000001", 50_000*shilling)
	asha := w.customer("+254712000001", "Asha Juma", accounts.TierFull)
	_, err := w.Deposit(ctx, "0", juma, asha.Phone, 5000*shilling)
	w.must(err)
	if _, err := w.CloseDay(ctx, juma, 0); !errors.Is(err, ErrDayNotOpen) {
		t.Error(err)
	}
	if p, err := w.Float(ctx, juma); err != nil || p.Day != nil {
		t.Errorf("%+v, %v", p, err)
	}
	w.clock.pass(time.Minute)
	_, err = w.OpenDay(ctx, juma, -1)
	w.refused(err, "bad_amount")
	_, err = w.OpenDay(ctx, juma, 2000*shilling)
	w.must(err)
	if _, err := w.OpenDay(ctx, juma, 2000*shilling); !errors.Is(err, ErrDayOpen) {
		t.Error(err)
	}
	w.clock.pass(time.Minute)
	d, err := w.Deposit(ctx, "1", juma, asha.Phone, 1500*shilling)
	w.must(err)
	_, err = w.Withdraw(ctx, "2", asha, "100001", 1000*shilling)
	w.must(err)
	w.float("100001", 700*shilling) // no cash of the drawer
	_, err = w.PayOutCommission(ctx, "p", juma, 5*shilling)
	w.must(err)
	v, err := w.AskReversal(ctx, juma, d.Code, "wrong number")
	w.must(err)
	expected := func(want money.Amount) {
		t.Helper()
		p, err := w.Float(ctx, juma)
		if err != nil || p.Day == nil || p.Day.ExpectedCash != want {
			t.Errorf("%+v, %v, want %d", p.Day, err, want)
		}
	}
	expected(2500_00) // 2000 + 1500 - 1000
	_, err = w.DecideReversal(ctx, "charles", v.ID, true, "one digit")
	w.must(err)
	expected(1000_00) // the cash of the wrong deposit is the depositor's again
	day, err := w.CloseDay(ctx, juma, 990*shilling)
	w.must(err)
	if !day.Closed || day.ExpectedCash != 1000_00 || day.OverShort != -10_00 || day.CashIn != 1500_00 || day.CashOut != 2500_00 {
		t.Errorf("%+v", day)
	}
	if _, err := w.CloseDay(ctx, juma, 0); !errors.Is(err, ErrDayNotOpen) {
		t.Error(err)
	}
	if _, err := w.OpenDay(ctx, juma, 0); !errors.Is(err, ErrDayOpen) {
		t.Errorf("twice in a day: %v", err)
	}
	w.clock.pass(24 * time.Hour)
	_, err = w.OpenDay(ctx, juma, 990*shilling)
	w.must(err)
	days, err := w.Days(ctx, juma, time.Time{}, 10)
	if err != nil || len(days) != 2 || days[0].Closed || days[0].ExpectedCash != 990_00 || days[1].OverShort != -10_00 || !days[1].Date.Equal(time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v, %v", days, err)
	}
	o := juma
	o.Role = "auditor"
	_, err = w.OpenDay(ctx, o, 0)
	w.refused(err, "not_allowed")
	w.proven()
}

func TestFlags(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	juma := w.till("100001", "Mama Mboga", "+254722000001", 900_000*shilling)
	neema := w.till("100002", "Neema Kiosk", "+254722000002", 900_000*shilling)
	asha := w.customer("+254712000001", "Asha Juma", accounts.TierBasic) // 35,000 an entry: its edge is 33,250
	n := 0
	deposit := func(o Operator, a money.Amount) {
		t.Helper()
		n++
		_, err := w.Deposit(ctx, "d"+w.accounts.Money(money.Amount(n)), o, asha.Phone, a)
		w.must(err)
	}
	flags := func(till, want string) {
		t.Helper()
		list, err := w.Flags(ctx, till, 0, 10)
		w.must(err)
		var got []string
		for _, f := range list {
			if f.Customer != asha.ID || f.Receipt == "" || f.Entries[len(f.Entries)-1] == f.Entries[0] {
				t.Errorf("%+v", f)
			}
			got = append(got, f.Kind)
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("till %s: %q, want %q", till, s, want)
		}
	}
	deposit(juma, 11_000*shilling)
	deposit(juma, 11_000*shilling)
	deposit(neema, 11_250*shilling) // another till's
	deposit(juma, 11_249_99)
	flags("100001", "")
	flags("100002", "")
	deposit(juma, 50*shilling)
	flags("100001", FlagSplit)
	w.clock.pass(time.Hour + time.Minute)
	deposit(juma, 1000*shilling)
	flags("100001", FlagSplit)

	out := func(ref, till string, a money.Amount) {
		t.Helper()
		c, err := w.accounts.ByPhone(ctx, asha.Phone)
		w.must(err)
		_, err = w.Withdraw(ctx, ref, c, till, a)
		w.must(err)
	}
	out("w1", "100002", 1200*shilling) // not alike
	flags("100001", FlagSplit)
	out("w2", "100002", 1000*shilling) // elsewhere: her phone was not where the cash came in
	flags("100001", FlagDirect+" "+FlagSplit)
	flags("100002", "")
	out("w3", "100001", 1200*shilling) // not alike
	out("w4", "100001", 950*shilling)
	out("w4", "100001", 950*shilling) // the same again
	flags("100001", FlagInOut+" "+FlagDirect+" "+FlagSplit)
	w.clock.pass(time.Hour + time.Microsecond)
	out("w5", "100001", 1000*shilling)
	out("w6", "100002", 1000*shilling)
	flags("100001", FlagInOut+" "+FlagDirect+" "+FlagSplit)
	w.proven()
}

// Held money is e-money: the audit's sums hold while it is nobody's.
func TestHeldIsAHouseAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, err := w.accounts.Book().Account(t.Context(), w.accounts.House().Held)
	if err != nil || a.Kind != ledger.Held || a.Balance != 0 {
		t.Errorf("%+v, %v", a, err)
	}
}
