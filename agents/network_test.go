package agents

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"tuma/accounts"
	"tuma/internal/db"
	"tuma/internal/money"
)

// office puts the world's agent under a head office with a person of its own.
func (w *world) office(share int64) Operator {
	w.t.Helper()
	ctx := w.t.Context()
	_, err := w.CreateHeadOffice(ctx, "Coast Distributors", share)
	w.must(err)
	w.must(w.AttachAgent(ctx, "Mama Mboga Stores", "Coast Distributors"))
	n := number(w.t, "+254722000090")
	w.must(w.CreateOperator(ctx, NewOperator{Office: "Coast Distributors", Phone: n, Name: "Amina Said", IDNumber: "31313131", Lang: "en", Role: "head"}))
	return w.operator("+254722000090")
}

func TestHeadOfficeTakesItsShare(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	if _, err := w.CreateHeadOffice(ctx, "Coast", 10_001); err == nil {
		t.Error("more than the whole")
	}
	amina := w.office(2500)
	if _, err := w.CreateHeadOffice(ctx, "coast distributors", 0); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	juma := w.till("100001", "Mama Mboga", "+254722000001", 50_000*shilling)
	asha := w.customer("+254712000001", "Asha Juma", accounts.TierFull)
	_, err := w.Deposit(ctx, "1", juma, asha.Phone, 1500*shilling) // earns 10.00
	w.must(err)
	w.books("asha 1500.00 100001 48500.00 earned 7.50 earned 2.50 commission -10.00 trust -50000.00", asha, juma, amina)
	_, err = w.Withdraw(ctx, "2", asha, "100001", 1000*shilling)
	w.must(err)
	w.must(w.SetShare(ctx, "Coast Distributors", 0))
	before := w.has(amina.Till.commission)
	_, err = w.Deposit(ctx, "3", w.operator("+254722000001"), asha.Phone, 1500*shilling)
	w.must(err)
	if w.has(amina.Till.commission) != before {
		t.Error("a share of nothing")
	}
	w.must(w.SetShare(ctx, "Coast Distributors", 10_000))
	_, err = w.Deposit(ctx, "4", w.operator("+254722000001"), asha.Phone, 1500*shilling)
	w.must(err)
	if got := w.has(amina.Till.commission) - before; got != 10_00 {
		t.Errorf("the whole is %d", got)
	}
	// What the second try finds is what the first did, whatever the share is by now.
	d, err := w.Deposit(ctx, "1", w.operator("+254722000001"), asha.Phone, 1500*shilling)
	if err != nil || !d.Again {
		t.Errorf("%+v, %v", d, err)
	}
	w.must(w.AttachAgent(ctx, "Mama Mboga Stores", ""))
	if o := w.operator("+254722000001"); o.Till.office != 0 || o.Till.share != 0 {
		t.Errorf("%+v", o.Till)
	}
	if err := w.AttachAgent(ctx, "Mama Mboga Stores", "Nobody"); !errors.Is(err, ErrNoHeadOffice) {
		t.Error(err)
	}
	w.proven()
}

// Both parts are the whole, and half a cent is the head office's.
func TestSplitIsExact(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		earned       money.Amount
		share        int64
		till, office money.Amount
	}{
		{1000, 2500, 750, 250}, {1, 5000, 0, 1}, {3, 5000, 1, 2}, {1, 4999, 1, 0}, {999, 3333, 666, 333}, {7, 0, 7, 0}, {7, 10_000, 0, 7}, {0, 2500, 0, 0},
		{1e15, 9999, 1e11, 1e15 - 1e11},
	} {
		till, office := Till{office: 1, share: c.share}.split(c.earned)
		if till != c.till || office != c.office || till+office != c.earned {
			t.Errorf("%d at %d: %d and %d, want %d and %d", c.earned, c.share, till, office, c.till, c.office)
		}
	}
	if till, office := (Till{share: 5000}).split(10); till != 10 || office != 0 {
		t.Error("a share without a head office")
	}
}

func TestPayOutCommission(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	amina := w.office(2500)
	juma := w.till("100001", "Mama Mboga", "+254722000001", 50_000*shilling)
	asha := w.customer("+254712000001", "Asha Juma", accounts.TierFull)
	for i := range 4 {
		_, err := w.Deposit(ctx, fmt.Sprint("d", i), juma, asha.Phone, 1500*shilling)
		w.must(err)
	}
	d, err := w.PayOutCommission(ctx, "p1", juma, 20*shilling)
	w.must(err)
	if d.Amount != 20_00 || d.Balance != 10_00 || d.Again {
		t.Errorf("%+v", d)
	}
	if got := w.last(juma.Phone); got != "UKM* Confirmed. Commission of Ksh20.00 was paid into the float of till 100001 on 22/11/26 at 9:15 AM. New float is Ksh44,020.00." {
		t.Error(got)
	}
	again, err := w.PayOutCommission(ctx, "p1", juma, 20*shilling)
	if d.Again = true; err != nil || again != d {
		t.Errorf("%+v, %v", again, err)
	}
	_, err = w.PayOutCommission(ctx, "p1", juma, 21*shilling)
	if !errors.Is(err, accounts.ErrRefReused) {
		t.Error(err)
	}
	_, err = w.PayOutCommission(ctx, "p2", juma, 10_01)
	w.refused(err, "insufficient (balance=Ksh10.00)")
	for _, bad := range []money.Amount{0, -1, 1 << 62} {
		_, err = w.PayOutCommission(ctx, "p3", juma, bad)
		w.refused(err, "bad_amount")
	}
	o := juma
	o.Role = "assistant"
	_, err = w.PayOutCommission(ctx, "p4", o, shilling)
	w.refused(err, "not_allowed")

	paid, err := w.PayOutAll(ctx)
	if err != nil || len(paid) != 2 || paid[0].Place != "COAST DISTRIBUTORS" || paid[0].Done.Amount != 10_00 || paid[1].Place != "100001" || paid[1].Done.Amount != 10_00 {
		t.Errorf("%+v, %v", paid, err)
	}
	w.books("asha 6000.00 100001 44030.00 commission -40.00 trust -50000.00", asha, juma)
	_, err = w.Deposit(ctx, "more", juma, asha.Phone, 1500*shilling)
	w.must(err)
	if paid, err = w.PayOutAll(ctx); err != nil || len(paid) != 0 {
		t.Errorf("twice in a day: %+v, %v", paid, err)
	}
	w.clock.pass(24 * time.Hour)
	if paid, err = w.PayOutAll(ctx); err != nil || len(paid) != 2 {
		t.Errorf("%+v, %v", paid, err)
	}
	if got := w.has(amina.Till.float); got != 12_50 {
		t.Errorf("the head office has %d", got)
	}
	w.proven()
}

func TestTransferFloat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	amina := w.office(0)
	juma := w.till("100001", "Mama Mboga", "+254722000001", 5000*shilling)
	neema := w.till("100002", "Neema Kiosk", "+254722000002", 0)
	d, err := w.TransferFloat(ctx, "t1", juma, "100002", 2000*shilling)
	w.must(err)
	if d.Balance != 3000_00 || d.Amount != 2000_00 || d.Name != "NEEMA KIOSK" {
		t.Errorf("%+v", d)
	}
	again, err := w.TransferFloat(ctx, "t1", juma, "100002", 2000*shilling)
	if d.Again = true; err != nil || again != d {
		t.Errorf("%+v, %v", again, err)
	}
	for to, want := range map[string]string{
		"+254722000001": "UKM* Confirmed. Ksh2,000.00 of float was moved to 100002 NEEMA KIOSK on 22/11/26 at 9:15 AM. New float is Ksh3,000.00.",
		"+254722000002": "UKM* Confirmed. Till 100002 received Ksh2,000.00 of float from MAMA MBOGA on 22/11/26 at 9:15 AM. New float is Ksh2,000.00.",
	} {
		if got := w.last(number(t, to)); got != want {
			t.Errorf("%s\n got %s\nwant %s", to, got, want)
		}
	}
	_, err = w.TransferFloat(ctx, "t2", juma, "100002", 3000_01)
	w.refused(err, "float_low")
	_, err = w.TransferFloat(ctx, "t3", juma, "100001", shilling)
	w.refused(err, "self")
	_, err = w.TransferFloat(ctx, "t4", juma, "999999", shilling)
	w.refused(err, "till_unknown")
	_, err = w.TransferFloat(ctx, "t5", juma, "100002", 0)
	w.refused(err, "bad_amount")
	// A stranger's till is out of reach, one of the same head office is not.
	_, err = w.CreateAgent(ctx, "Other Shops")
	w.must(err)
	other, err := w.CreateTill(ctx, "Other Shops", "Other One", "")
	w.must(err)
	_, err = w.TransferFloat(ctx, "t6", juma, other, shilling)
	if !errors.Is(err, ErrOtherNetwork) {
		t.Error(err)
	}
	_, err = w.TransferFloat(ctx, "t7", amina, other, shilling)
	if !errors.Is(err, ErrOtherNetwork) {
		t.Error(err)
	}
	w.must(w.AttachAgent(ctx, "Other Shops", "Coast Distributors"))
	_, err = w.TransferFloat(ctx, "t8", w.operator("+254722000001"), other, 100*shilling)
	w.must(err)
	_, err = w.TransferFloat(ctx, "t9", amina, other, shilling)
	w.refused(err, "float_low")
	// The head office buys float, passes it on, and takes it back.
	w.float("Coast Distributors", 1000*shilling)
	if got := w.last(amina.Phone); got != "UKM* Confirmed. Ksh1,000.00 of float was added to till COAST D on 22/11/26 at 9:15 AM. New float is Ksh1,000.00." {
		t.Error(got)
	}
	_, err = w.TransferFloat(ctx, "t10", amina, other, 600*shilling)
	w.must(err)
	_, err = w.TransferFloat(ctx, "t11", w.operator("+254722000001"), "coast distributors", 100*shilling)
	w.must(err)
	again, err = w.TransferFloat(ctx, "t11", w.operator("+254722000001"), "Coast Distributors", 100*shilling)
	if err != nil || !again.Again {
		t.Errorf("%+v, %v", again, err)
	}
	_, err = w.TransferFloat(ctx, "t12", amina, "Coast Distributors", shilling)
	w.refused(err, "self")
	_, err = w.TransferFloat(ctx, "t13", juma, "Nobody at all", shilling)
	if !errors.Is(err, ErrNoHeadOffice) {
		t.Error(err)
	}
	back, err := w.ReturnFloat(ctx, "r1", amina, 500*shilling)
	w.must(err)
	w.must(w.TakeFloat(ctx, "mary", back, "OUT-7"))
	_, err = w.ApproveFloat(ctx, "charles", back)
	w.must(err)
	if requests, err := w.FloatRequests(ctx, amina, 0, 5); err != nil || len(requests) != 2 || requests[0].Till != "COAST DISTRIBUTORS" || w.has(amina.Till.float) != 0 {
		t.Errorf("%+v, %v", requests, err)
	}
	list, err := w.Tills(ctx, amina)
	if err != nil || len(list) != 3 || list[0].Number != "100001" || list[0].Float != 2800_00 || list[2].Number != other || list[2].Float != 700_00 || list[0].LastAt.IsZero() {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err = w.Tills(ctx, neema); err != nil || len(list) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	w.proven()
}

func TestFloatIsAskedForAndReturned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	juma := w.till("100001", "Mama Mboga", "+254722000001", 5000*shilling)
	id, err := w.AskFloat(ctx, "a1", juma, 700*shilling, "eq-77")
	w.must(err)
	if again, err := w.AskFloat(ctx, "a1", juma, 700*shilling, "EQ-77"); err != nil || again != id {
		t.Errorf("%d, %v", again, err)
	}
	if _, err := w.AskFloat(ctx, "a1", juma, 701*shilling, "EQ-77"); !errors.Is(err, accounts.ErrRefReused) {
		t.Error(err)
	}
	if _, err := w.AskFloat(ctx, "a2", juma, 700*shilling, "EQ-77"); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	if _, err := w.ApproveFloat(ctx, "charles", id); err == nil || !strings.Contains(err.Error(), "no maker") {
		t.Error(err)
	}
	if err := w.TakeFloat(ctx, "charles", id, ""); !errors.Is(err, ErrNotStaff) {
		t.Error(err)
	}
	if err := w.TakeFloat(ctx, "mary", id, "EQ-78"); err == nil {
		t.Error("another reference")
	}
	w.must(w.TakeFloat(ctx, "mary", id, ""))
	if err := w.TakeFloat(ctx, "mary", id, ""); err == nil {
		t.Error("taken twice")
	}
	_, err = w.ApproveFloat(ctx, "charles", id)
	w.must(err)

	back, err := w.ReturnFloat(ctx, "r1", juma, 5700_01)
	w.must(err)
	if err := w.TakeFloat(ctx, "mary", back, ""); err == nil {
		t.Error("a return without a reference")
	}
	w.must(w.TakeFloat(ctx, "mary", back, "OUT-1"))
	_, err = w.ApproveFloat(ctx, "charles", back)
	w.refused(err, "float_low")
	w.float("100001", shilling)
	d, err := w.ApproveFloat(ctx, "charles", back) // the approval stands, and is completed
	if err != nil || d.Balance != 99 {
		t.Errorf("%+v, %v", d, err)
	}
	if got := w.last(juma.Phone); got != "UKM* Confirmed. Ksh5,700.01 of float of till 100001 was returned to the bank on 22/11/26 at 9:15 AM. New float is Ksh0.99." {
		t.Error(got)
	}
	w.books("100001 0.99 trust -0.99", juma)

	// Declined, by a checker, and told.
	no, err := w.AskFloat(ctx, "a3", juma, 100*shilling, "EQ-80")
	w.must(err)
	w.must(w.TakeFloat(ctx, "mary", no, ""))
	if err := w.DeclineFloat(ctx, "charles", no, " x "); !errors.Is(err, ErrNoReason) {
		t.Error(err)
	}
	if err := w.DeclineFloat(ctx, "mary", no, "no such credit"); !errors.Is(err, ErrNotStaff) {
		t.Error(err)
	}
	w.must(w.DeclineFloat(ctx, "charles", no, "no such credit"))
	w.must(w.DeclineFloat(ctx, "charles", no, "no such credit"))
	if _, err := w.ApproveFloat(ctx, "charles", no); err == nil || !strings.Contains(err.Error(), "declined") {
		t.Error(err)
	}
	if err := w.DeclineFloat(ctx, "charles", id, "too late"); err == nil || !strings.Contains(err.Error(), "was approved") {
		t.Error(err)
	}
	if got := w.last(juma.Phone); got != "The request of till 100001 about Ksh100.00 of float was declined on 22/11/26 at 9:15 AM. Questions? Call 0800 721 000." {
		t.Error(got)
	}
	list, err := w.FloatRequests(ctx, juma, 0, 10)
	w.must(err)
	var got []string
	for _, f := range list {
		got = append(got, f.Kind+" "+f.State+" "+f.Reason)
	}
	if s := strings.Join(got, ","); s != "issue declined no such credit,issue approved ,return approved ,issue approved ,issue approved " {
		t.Error(s)
	}
	o := juma
	o.Role = "assistant"
	_, err = w.ReturnFloat(ctx, "r2", o, shilling)
	w.refused(err, "not_allowed")
	w.proven()
}

func TestLowFloatWarnsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	juma := w.till("100001", "Mama Mboga", "+254722000001", 5000*shilling)
	asha := w.customer("+254712000001", "Asha Juma", accounts.TierFull)
	w.must(w.SetLowFloat(ctx, juma, 4000*shilling))
	juma = w.operator("+254722000001")
	warnings := func(want int) {
		t.Helper()
		var n int
		w.must(w.pool.Get(ctx, &n, `select count(*) from every_notice where key like 'float_low:%'`))
		if n != want {
			t.Errorf("%d warnings, want %d", n, want)
		}
	}
	n := 0
	deposit := func(a money.Amount) {
		t.Helper()
		n++
		_, err := w.Deposit(ctx, fmt.Sprint("d", n), juma, asha.Phone, a)
		w.must(err)
	}
	deposit(1000 * shilling) // 4000: not below
	warnings(0)
	deposit(100 * shilling)
	warnings(1)
	if got := w.last(juma.Phone); !strings.HasPrefix(got, "The float of till 100001 is low: Ksh3,900.00") {
		t.Error(got)
	}
	deposit(100 * shilling) // it is below already
	warnings(1)
	_, err := w.Withdraw(ctx, "w1", asha, "100001", 500*shilling)
	w.must(err)
	deposit(400 * shilling) // over and below again within the hour
	warnings(1)
	p, err := w.Float(ctx, juma)
	if err != nil || !p.FloatIsLow || p.LowFloat != 4000_00 {
		t.Errorf("%+v, %v", p, err)
	}
	_, err = w.Withdraw(ctx, "w2", asha, "100001", 500*shilling)
	w.must(err)
	w.clock.pass(time.Hour)
	_, err = w.TransferFloat(ctx, "t", juma, w.till("100002", "Neema Kiosk", "+254722000002", 0).Till.Number, 600*shilling)
	w.must(err)
	warnings(2)
	w.refused(w.SetLowFloat(ctx, juma, -1), "bad_amount")
	w.must(w.SetLowFloat(ctx, juma, 0))
	if o := w.operator("+254722000001"); o.Till.low != 0 {
		t.Error(o.Till.low)
	}
	w.proven()
}

func TestFreezes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.staff("zawadi", "care")
	juma := w.till("100001", "Mama Mboga", "+254722000001", 5000*shilling)
	neema := w.till("100002", "Neema Kiosk", "+254722000002", 5000*shilling)
	asha := w.customer("+254712000001", "Asha Juma", accounts.TierFull)
	n := 0
	deposit := func(o Operator, want string) {
		t.Helper()
		n++
		_, err := w.Deposit(ctx, fmt.Sprint("d", n), o, asha.Phone, 100*shilling)
		w.refused(err, want)
	}
	withdraw := func(till, want string) {
		t.Helper()
		n++
		_, err := w.Withdraw(ctx, fmt.Sprint("w", n), asha, till, 50*shilling)
		w.refused(err, want)
	}
	fresh := func(o Operator) Operator { return w.operator(string(o.Phone)) }
	deposit(juma, "")
	deposit(neema, "")
	deposit(juma, "")
	w.must(w.FreezeTill(ctx, "zawadi", "100001", true, "reported stolen"))
	w.must(w.FreezeTill(ctx, "zawadi", "100001", true, "reported stolen"))
	deposit(juma, "till_closed") // read before the freeze: the book says no
	deposit(fresh(juma), "till_closed")
	withdraw("100001", "till_closed")
	withdraw("100002", "")
	w.must(w.FreezeAgent(ctx, "charles", "mama mboga stores", true, "fraud is suspected"))
	deposit(neema, "till_closed")
	withdraw("100002", "till_closed")
	w.proven()
	w.must(w.FreezeTill(ctx, "zawadi", "100001", false, "found again"))
	deposit(juma, "till_closed") // its agent is still frozen
	w.must(w.FreezeTill(ctx, "zawadi", "100001", true, "lost again"))
	w.must(w.FreezeAgent(ctx, "charles", "mama mboga stores", false, "cleared"))
	deposit(neema, "")
	deposit(juma, "till_closed")
	w.must(w.FreezeTill(ctx, "zawadi", "100001", false, "found again"))
	deposit(juma, "")
	w.must(w.FreezeOperator(ctx, "zawadi", juma.Phone, true, "the phone was lost"))
	deposit(fresh(juma), "frozen")
	w.must(w.FreezeOperator(ctx, "zawadi", juma.Phone, false, "the phone was found"))
	w.must(w.FreezeCustomer(ctx, "zawadi", asha, true, "the phone was stolen"))
	deposit(fresh(juma), "payee_frozen")
	withdraw("100002", "payer_frozen")
	w.must(w.FreezeCustomer(ctx, "zawadi", asha, false, "he has come in person"))
	withdraw("100002", "")
	for _, err := range []error{
		w.FreezeTill(ctx, "mary", "100001", true, "a maker may not"), w.FreezeAgent(ctx, "nobody", "Mama Mboga Stores", true, "who is it"),
		w.FreezeOperator(ctx, "mary", juma.Phone, true, "a maker may not"), w.FreezeCustomer(ctx, "mary", asha, true, "a maker may not"),
	} {
		if !errors.Is(err, ErrNotStaff) {
			t.Error(err)
		}
	}
	for _, reason := range []string{"", " x ", strings.Repeat("x", 201)} {
		if err := w.FreezeTill(ctx, "zawadi", "100001", true, reason); !errors.Is(err, ErrNoReason) {
			t.Errorf("%q: %v", reason, err)
		}
	}
	w.refused(w.FreezeTill(ctx, "zawadi", "999999", true, "no such till"), "till_unknown")
	w.refused(w.FreezeTill(ctx, "zawadi", "1", true, "no such till"), "bad_till")
	lines, err := w.LogOf(ctx, "", LogFind{Limit: 1000})
	w.must(err)
	var got []string
	for _, l := range lines {
		if l.Action == "freeze" || l.Action == "unfreeze" {
			got = append(got, l.Actor+" "+l.Action+" "+l.Subject[:4]+" "+l.Reason)
		}
	}
	want := []string{
		"staff:zawadi unfreeze cust he has come in person", "staff:zawadi freeze cust the phone was stolen",
		"staff:zawadi unfreeze oper the phone was found", "staff:zawadi freeze oper the phone was lost",
		"staff:zawadi unfreeze till found again", "staff:charles unfreeze agen cleared", "staff:zawadi freeze till lost again",
		"staff:zawadi unfreeze till found again", "staff:charles freeze agen fraud is suspected", "staff:zawadi freeze till reported stolen",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	w.proven()
	w.sql(`update till set frozen = true where number = '100001'`)
	w.breaks("a frozen till's accounts are frozen")
}

// What is on its way when a till is frozen is in the book before the freeze, or never.
func TestNothingLandsAfterAFreeze(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.staff("zawadi", "care")
	other := w.process(w.pool)
	juma := w.till("100001", "Mama Mboga", "+254722000001", 5000*shilling)
	asha := w.customer("+254712000001", "Asha Juma", accounts.TierFull)
	for round := range 4 {
		var all sync.WaitGroup
		for i := range 12 {
			all.Go(func() {
				_, err := []*Service{w.Service, other}[i%2].Deposit(ctx, fmt.Sprint(round, " ", i), juma, asha.Phone, 20*shilling)
				if err != nil && !accounts.Refused(err, "till_closed") {
					t.Error(err)
				}
			})
		}
		w.must(w.FreezeTill(ctx, "zawadi", "100001", true, "reported stolen"))
		then := w.has(juma.Till.float)
		all.Wait()
		if now := w.has(juma.Till.float); now != then {
			t.Errorf("%d when it was frozen, %d afterwards", then, now)
		}
		w.must(w.FreezeTill(ctx, "zawadi", "100001", false, "found again"))
	}
	w.proven()
}

// breaks wants the audit of this floor to name these proofs.
func (w *world) breaks(want ...string) {
	w.t.Helper()
	found, err := Audit(w.t.Context(), w.pool)
	w.must(err)
	var got []string
	for _, b := range found {
		got = append(got, b.Check)
	}
	if strings.Join(got, ",") != strings.Join(want, ",") {
		w.t.Errorf("breaks %+v, want %v", found, want)
	}
}

func TestOwnersManageTheirOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	amina := w.office(0)
	juma := w.till("100001", "Mama Mboga", "+254722000001", 0)
	_, err := w.CreateAgent(ctx, "Other Shops")
	w.must(err)
	other, err := w.CreateTill(ctx, "Other Shops", "Other One", "")
	w.must(err)
	theirs := NewOperator{Till: other, Phone: number(t, "+254722000009"), Name: "Otieno Ouma", IDNumber: "99990009", Lang: "en", Role: "owner"}
	w.must(w.CreateOperator(ctx, theirs))
	n := NewOperator{Till: "100001", Phone: number(t, "+254722000002"), Name: "Neema Achieng", IDNumber: "99990001", Lang: "sw", Role: "assistant"}
	w.must(w.AddOperator(Acting(ctx, "", "portal 10.0.0.1"), juma, n))
	neema := w.operator("+254722000002")
	list, err := w.Operators(ctx, juma)
	if err != nil || len(list) != 2 || list[1].Phone != n.Phone {
		t.Errorf("%+v, %v", list, err)
	}
	elsewhere := n
	elsewhere.Till, elsewhere.Phone = other, number(t, "+254722000003")
	if err := w.AddOperator(ctx, juma, elsewhere); !errors.Is(err, ErrOtherNetwork) {
		t.Error(err)
	}
	elsewhere.Till, elsewhere.Role = "100001", "head"
	if err := w.AddOperator(ctx, juma, elsewhere); err == nil {
		t.Error("a head at a till")
	}
	w.must(w.AddOperator(ctx, amina, elsewhere))
	w.refused(w.AddOperator(ctx, neema, elsewhere), "not_allowed")
	verbs := map[string]func(o Operator, who NewOperator) error{
		"freeze": func(o Operator, who NewOperator) error {
			return w.FreezeOwnOperator(ctx, o, who.Phone, true, "has left us")
		},
		"role": func(o Operator, who NewOperator) error { return w.SetOperatorRole(ctx, o, who.Phone, "auditor") },
		"hours": func(o Operator, who NewOperator) error {
			return w.SetOperatorHours(ctx, o, who.Phone, &Hours{480, 1020})
		},
		"pin": func(o Operator, who NewOperator) error { return w.ResetOperatorPIN(ctx, o, who.Phone) },
	}
	for name, verb := range verbs {
		for _, who := range []NewOperator{theirs, elsewhere, {Phone: number(t, "+254799999999")}} {
			if err := verb(juma, who); !errors.Is(err, ErrNoOperator) {
				t.Errorf("%s of %s: %v", name, who.Phone, err)
			}
		}
		if err := verb(juma, NewOperator{Phone: juma.Phone}); !errors.Is(err, ErrSelf) {
			t.Errorf("%s of himself: %v", name, err)
		}
		w.refused(verb(neema, n), "not_allowed")
	}
	for _, name := range []string{"role", "hours", "pin", "freeze"} {
		w.must(verbs[name](juma, n))
	}
	o := w.operator("+254722000002")
	if o.Role != "auditor" || !o.Frozen || o.Hours == nil || *o.Hours != (Hours{480, 1020}) || o.PINState != accounts.PINUnset {
		t.Errorf("%+v", o)
	}
	if err := w.SetOperatorRole(ctx, juma, n.Phone, "king"); err == nil || !strings.Contains(err.Error(), "a role is") {
		t.Error(err)
	}
	lines, err := w.LogOf(ctx, juma.Scope(), LogFind{Limit: 100})
	w.must(err)
	var got []string
	for _, l := range lines {
		got = append(got, strings.Join([]string{l.Actor, l.From, l.Action, l.Before, l.After}, "|"))
	}
	want := []string{
		"operator:+254722000001||freeze|free|frozen", "operator:+254722000001||pin_reset||", "operator:+254722000001||operator_hours|always|08:00-17:00",
		"operator:+254722000001||operator_role|assistant|auditor", "operator:+254722000001|portal 10.0.0.1|operator_create||assistant at 100001",
		"system||operator_create||owner at 100001", "system||till_create||MAMA MBOGA", "system||agent_attach||COAST DISTRIBUTORS", "system||agent_create||MAMA MBOGA STORES",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	page, err := w.LogOf(ctx, juma.Scope(), LogFind{Before: lines[1].ID, Limit: 2})
	if err != nil || len(page) != 2 || page[0].ID != lines[2].ID {
		t.Errorf("%+v, %v", page, err)
	}
}

func TestLogIsChained(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.till("100001", "Mama Mboga", "+254722000001", 100*shilling)
	other := w.process(w.pool)
	done := make(chan error)
	for i := range 8 {
		go func() {
			_, err := []*Service{w.Service, other}[i%2].CreateAgent(ctx, fmt.Sprint("Shop ", i))
			done <- err
		}()
	}
	for range 8 {
		w.must(<-done)
	}
	w.proven()
	lines, err := w.LogOf(ctx, "", LogFind{Limit: 100})
	if err != nil || len(lines) < 13 || lines[0].ID != int64(len(lines)) {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	// The service itself may not.
	for _, query := range []string{`update log set reason = 'x'`, `delete from log`, `delete from log_head`, `insert into log_head (one, id, digest) values (false, 1, '')`} {
		err := w.pool.InTx(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(ctx, query)
			return err
		})
		if err == nil {
			t.Errorf("%s was allowed", query)
		}
	}
	w.sql(`update log_head set id = id + 1`)
	w.breaks("log is as it was written")
}
