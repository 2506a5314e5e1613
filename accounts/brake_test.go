package accounts

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/internal/money"
)

const brakeHeader = "rule,outcome,most,amount,within,explanation\n"

// braked is a world with the rules that come with the program, changed by lines.
func braked(t *testing.T, lines string) *world {
	rules, err := ParseBrakes(strings.NewReader(brakeHeader+lines), kenya(t).Currency)
	if err != nil {
		t.Fatal(err)
	}
	return newWorld(t, func(c *Config) { c.Brakes = rules })
}

// events are what the brakes have done, oldest first: "sim_swap refuse customer:1".
func (w *world) events() string {
	w.t.Helper()
	list, err := w.BrakeEvents(w.t.Context(), "", w.Now().Add(-72*time.Hour), 100)
	w.must(err)
	var all []string
	for i := range list {
		e := list[len(list)-1-i]
		all = append(all, e.Rule+" "+e.Outcome+" "+e.Subject)
	}
	return strings.Join(all, "; ")
}

func TestBrakesAreRead(t *testing.T) {
	rules, err := ParseBrakes(nil, kenya(t).Currency)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range rules {
		if b.Why == "" || b.Outcome == "" || b.Within == 0 {
			t.Errorf("%s is not whole: %+v", b.Rule, b)
		}
	}
	changed, err := ParseBrakes(strings.NewReader(brakeHeader+"# ours\nsim_swap,alert,,700,48h,\n"), kenya(t).Currency)
	if b, on := changed.On("sim_swap"); err != nil || !on || b.Outcome != BrakeAlert || b.Amount != 700*shilling || b.Within != 48*time.Hour || b.Why == "" {
		t.Errorf("%v: %+v", err, b)
	}
	for line, want := range map[string]string{
		"simswap,alert,,,,":         `there is no rule "simswap"`,
		"till_deposits,refuse,,,,":  "looks back",
		"sim_swap,stop,,,,":         "not \"stop\"",
		"customer_pace,,many,,,":    "most is a number",
		"customer_pace,,0,,,":       "most is a number",
		"sim_swap,,,much,,":         "amount",
		"sim_swap,,,,a day,":        "within is a time",
		"sim_swap,,,,1s,":           "within is a time",
		"sim_swap,refuse":           "wrong number of fields",
		"rule\n":                    "wrong number of fields",
		"customer_pace,off,1,1,1h,": "",
	} {
		_, err := ParseBrakes(strings.NewReader(brakeHeader+line), kenya(t).Currency)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}

// TestHeldAfterAChangeOfSIM: large payments wait, small ones do not, and no way
// leads to another PIN.
func TestHeldAfterAChangeOfSIM(t *testing.T) {
	w := braked(t, "new_payee_drain,off,,,,\n")
	ctx := t.Context()
	asha, baraka := w.customer("+254712000001", "Asha Mwangi", 50_000*shilling), w.customer("+254712000002", "Baraka Otieno", 0)
	send := func(ref string, a money.Amount) error {
		_, err := w.Send(ctx, ref, w.again(asha), baraka.Phone, a)
		return err
	}
	w.must(send("before", 6_000*shilling))
	w.must(w.MoveNumber(ctx, asha, number(t, "+254712000009")))
	w.clock.pass(23 * time.Hour)
	w.refused(send("large", 5_001*shilling), "held (hours=24, max=Ksh5,000.00)")
	w.must(send("small", 5_000*shilling))
	_, err := w.Airtime(ctx, "airtime", w.again(asha), baraka.Phone, 5_001*shilling)
	w.refused(err, "held (hours=24, max=Ksh5,000.00)")
	w.refused(w.PINs().Unlock(ctx, asha.PIN, asha.IDNumber, asha.IDNumber), "pin_held (hours=24)")
	w.refused(w.PINs().Reset(ctx, asha.PIN), "pin_held (hours=24)")
	// What stands is answered as it was, whatever the brakes say by now.
	again, err := w.Send(ctx, "before", w.again(asha), baraka.Phone, 6_000*shilling)
	if w.must(err); !again.Again {
		t.Error("the payment of before was made twice")
	}
	w.clock.pass(time.Hour)
	w.must(w.PINs().Unlock(ctx, asha.PIN, asha.IDNumber, asha.IDNumber))
	w.must(send("a day later", 5_001*shilling))

	w.must(w.PINs().Reset(ctx, asha.PIN))
	w.refused(send("after a reset", 5_001*shilling), "held (hours=24, max=Ksh5,000.00)")
	w.clock.pass(24 * time.Hour)
	w.must(send("a day after it", 5_001*shilling))
	w.must(w.SwappedSIM(ctx, asha))
	w.refused(send("another card", 5_001*shilling), "held (hours=24, max=Ksh5,000.00)")
	id := fmt.Sprint("customer:", asha.ID)
	if got, want := w.events(), "sim_swap refuse "+id+"; sim_swap refuse "+id+"; pin_reset refuse "+id+"; sim_swap refuse "+id; got != want {
		t.Errorf("events\n got %s\nwant %s", got, want)
	}
	w.proven()
}

// TestPaceOfACustomer: number and sum within the time, out of one wallet.
func TestPaceOfACustomer(t *testing.T) {
	w := braked(t, "customer_pace,,3,,,\ncustomer_sum,,,1000,30m,\n")
	ctx := t.Context()
	asha, baraka := w.customer("+254712000001", "Asha Mwangi", 5_000*shilling), w.customer("+254712000002", "Baraka Otieno", 5_000*shilling)
	n := 0
	send := func(a money.Amount) error {
		n++
		_, err := w.Send(ctx, fmt.Sprint("send:", n), asha, baraka.Phone, a)
		return err
	}
	w.must(send(900 * shilling))
	w.refused(send(101*shilling), "too_often")
	w.clock.pass(30 * time.Minute)
	w.must(send(101 * shilling))
	w.must(send(101 * shilling))
	w.refused(send(101*shilling), "too_often") // the fourth within an hour
	_, err := w.Send(ctx, "back", baraka, asha.Phone, 500*shilling)
	w.must(err) // what comes in counts for nobody
	w.clock.pass(30 * time.Minute)
	w.must(send(101 * shilling))
	if got := w.events(); got != fmt.Sprintf("customer_sum refuse customer:%d; customer_pace refuse customer:%[1]d", asha.ID) {
		t.Error(got)
	}
}

// TestNewPayeeAndDrain: nearly all of a wallet goes to no stranger at once.
func TestNewPayeeAndDrain(t *testing.T) {
	w := braked(t, "")
	ctx := t.Context()
	asha, baraka, chausiku := w.customer("+254712000001", "Asha Mwangi", 20_000*shilling), w.customer("+254712000002", "Baraka Otieno", 0), w.customer("+254712000003", "Chausiku Juma", 0)
	n := 0
	send := func(to Customer, a money.Amount) error {
		n++
		_, err := w.Send(ctx, fmt.Sprint("send:", n), asha, to.Phone, a)
		return err
	}
	refusal := "new_payee (max=Ksh10,000.00, minutes=60)"
	w.refused(send(baraka, 17_000*shilling), refusal)
	w.must(send(baraka, 8_000*shilling)) // two fifths
	w.clock.pass(59 * time.Minute)
	w.refused(send(baraka, 11_000*shilling), refusal)
	w.refused(send(baraka, 9_900*shilling), refusal) // in two parts is the same
	w.clock.pass(2 * time.Minute)
	w.must(send(baraka, 11_000*shilling))
	w.fund(asha.Wallet, 20_000*shilling)
	w.must(send(chausiku, 12_000*shilling)) // a stranger, and not nearly all
	if got := w.events(); strings.Count(got, "new_payee_drain refuse") != 3 {
		t.Error(got)
	}
}

// TestMuleIsNoticed: cash out of a drained wallet, a moment after; and refused
// where that is the rule.
func TestMuleIsNoticed(t *testing.T) {
	w := braked(t, "")
	ctx := t.Context()
	asha, mule := w.customer("+254712000001", "Asha Mwangi", 3_000*shilling), w.customer("+254712000002", "Baraka Otieno", 0)
	_, err := w.Send(ctx, "drain", asha, mule.Phone, 2_900*shilling)
	w.must(err)
	out := func(ref string, a money.Amount) error {
		return w.Brake(ctx, Outgoing{Ref: ref, Kind: "withdraw", Payer: mule, Amount: a})
	}
	w.must(out("a little", 1_400*shilling))
	w.must(out("most", 1_500*shilling))
	w.must(out("most", 1_500*shilling)) // the same payment again is one event
	w.clock.pass(10 * time.Minute)
	w.must(out("later", 2_800*shilling))
	if got := w.events(); got != fmt.Sprint("drain_and_cash_out alert customer:", mule.ID) {
		t.Error(got)
	}
	strict, err := ParseBrakes(strings.NewReader(brakeHeader+"drain_and_cash_out,refuse,,,20m,\n"), w.country.Currency)
	w.must(err)
	w.brakes = strict
	w.refused(out("strictly", 1_500*shilling), "fresh_money (minutes=20)")
}

// TestBrakesLookBackSoFar: a wallet with many entries costs no more than one with
// a few, and months make no difference.
func TestBrakesLookBackSoFar(t *testing.T) {
	w := braked(t, "customer_pace,,2,,,\n")
	asha := w.customer("+254712000001", "Asha Mwangi", shilling)
	for range 30 {
		w.fund(asha.Wallet, shilling)
	}
	list, err := w.recent(t.Context(), Outgoing{Payer: asha}, w.Now())
	if w.must(err); len(list) != leastRecent {
		t.Errorf("%d entries were read", len(list))
	}
	if list[0].Credit != asha.Wallet || list[0].Amount != shilling || list[0].Debit == 0 {
		t.Errorf("%+v", list[0])
	}
	w.clock.pass(32 * 24 * time.Hour)
	_, err = w.book.Post(t.Context(), ledger.Entry{Ref: "next month", Kind: "fund", Postings: []ledger.Posting{{Why: ledger.Principal, Debit: w.house.Trust, Credit: asha.Wallet, Amount: shilling}}})
	w.must(err)
	if list, err = w.recent(t.Context(), Outgoing{Payer: asha}, w.Now()); err != nil || len(list) != 1 {
		t.Errorf("%v: %+v", err, list)
	}
}

// TestSprayedPINs: one PIN on many numbers stops at so many wrong ones, first for
// who has not paid for long, then for everybody; the minute after all goes on.
func TestSprayedPINs(t *testing.T) {
	w := braked(t, "pin_spray_quiet,,2,,,\npin_spray,,4,,,\n")
	ctx := t.Context()
	var all []Customer
	for i := range 8 {
		all = append(all, w.customer(fmt.Sprintf("+25471200001%d", i), "Asha Mwangi", 0))
	}
	w.clock.pass(31 * 24 * time.Hour)
	for _, c := range all[4:] { // these pay
		w.must(w.PINs().Verify(ctx, c.PIN, "4826"))
	}
	try := func(i int) error { return w.PINs().Verify(ctx, all[i].PIN, "7294") }
	w.refused(try(0), "wrong_pin (left=2)")
	w.refused(try(1), "wrong_pin (left=2)")
	w.refused(try(2), "pins_paused")
	w.refused(w.PINs().Verify(ctx, all[2].PIN, "4826"), "pins_paused") // a right one says nothing either
	w.must(w.PINs().Verify(ctx, all[4].PIN, "4826"))
	w.refused(try(4), "wrong_pin (left=2)")
	w.refused(try(5), "wrong_pin (left=2)")
	w.refused(try(6), "pins_paused")
	w.refused(w.PINs().Verify(ctx, all[7].PIN, "4826"), "pins_paused")
	if got := w.events(); got != "pin_spray_quiet refuse ; pin_spray refuse " {
		t.Error(got)
	}
	w.clock.pass(time.Minute)
	w.must(w.PINs().Verify(ctx, all[2].PIN, "4826")) // and it had cost no try
	w.refused(try(2), "wrong_pin (left=2)")
	w.refused(try(7), "wrong_pin (left=2)")
}

// TestARepeatIsNotRefusedBeforeTheFirstHasLanded: while a payment's commit is
// under way, a brake's refusal of the same ref waits for it, and gives way to it.
func TestARepeatIsNotRefusedBeforeTheFirstHasLanded(t *testing.T) {
	w := braked(t, "")
	ctx := t.Context()
	asha, baraka := w.customer("+254712000001", "Asha Mwangi", 20_000*shilling), w.customer("+254712000002", "Baraka Otieno", 0)
	for _, lands := range []bool{true, false} {
		ref := fmt.Sprint("send:", lands)
		w.must(w.SwappedSIM(ctx, asha)) // as far as the brakes know, since the first try
		arrived, goOn := make(chan struct{}), make(chan error)
		first, err := ledger.New(w.pool, ledger.Config{Zone: nairobi, ReceiptKey: []byte("a receipt key of tests"), Posters: 1, Hooks: []ledger.Hook{
			func([]ledger.Accepted) (ledger.Also, error) {
				return ledger.Also{Write: func(context.Context, *db.Tx) error { close(arrived); return <-goOn }}, nil
			},
		}})
		w.must(err)
		t.Cleanup(first.Close)
		go first.Post(ctx, ledger.Entry{
			Ref: ref, Kind: "send", Memo: map[string]string{"to": string(baraka.Phone)},
			Postings: []ledger.Posting{{Why: ledger.Principal, Debit: asha.Wallet, Credit: baraka.Wallet, Amount: 6_000 * shilling}},
		})
		<-arrived // all is written but the commit
		type told struct {
			Done
			error
		}
		again := make(chan told, 1)
		go func() {
			d, err := w.Send(ctx, ref, w.again(asha), baraka.Phone, 6_000*shilling)
			again <- told{d, err}
		}()
		eventually(t, "the repeat waits, or is answered", func() bool {
			var waiting bool
			w.must(w.pool.Get(ctx, &waiting, `select exists (select from pg_locks l join pg_stat_activity a using (pid) where not l.granted and a.datname = current_database())`))
			return waiting || len(again) > 0
		})
		if len(again) > 0 {
			t.Error("the repeat was answered while the first try could still land")
		}
		if lands {
			goOn <- nil
			got := <-again
			if w.must(got.error); !got.Again || got.Amount != 6_000*shilling {
				t.Errorf("%+v", got)
			}
			if w.events() != "" {
				t.Error(w.events())
			}
			continue
		}
		goOn <- errors.New("it does not")
		got := <-again
		w.refused(got.error, "held (hours=24, max=Ksh5,000.00)")
		if got := w.events(); got != fmt.Sprint("sim_swap refuse customer:", asha.ID) {
			t.Error(got)
		}
	}
	if w.has(baraka.Wallet) != 6_000*shilling {
		t.Error("it was paid twice, or not at all")
	}
}
