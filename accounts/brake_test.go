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
	list, err := w.BrakeEvents(w.t.Context(), BrakeFind{Limit: 100})
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
		"pin_locked,alert,,,,":      "refused elsewhere",
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
// where that is the rule. Who has been paid by the same number before is none.
func TestMuleIsNoticed(t *testing.T) {
	w := braked(t, "")
	ctx := t.Context()
	asha, mule, chausiku := w.customer("+254712000001", "Asha Mwangi", 3_000*shilling), w.customer("+254712000002", "Baraka Otieno", 0), w.customer("+254712000003", "Chausiku Juma", 100*shilling)
	send := func(ref string, from, to Customer, a money.Amount) {
		_, err := w.Send(ctx, ref, from, to.Phone, a)
		w.must(err)
	}
	out := func(ref string, who Customer, a money.Amount) error {
		return w.Brake(ctx, Outgoing{Ref: ref, Kind: "withdraw", Payer: who, Amount: a})
	}
	send("drain", asha, mule, 2_900*shilling)
	w.must(out("a little", mule, 1_400*shilling))
	w.must(out("a merchant's week", mule, 3_700*shilling))
	w.must(out("most", mule, 1_500*shilling))
	w.must(out("most", mule, 1_500*shilling)) // the same payment again is one event
	w.clock.pass(10 * time.Minute)
	w.must(out("later", mule, 2_800*shilling))
	if got := w.events(); got != fmt.Sprint("drain_and_cash_out alert customer:", mule.ID) {
		t.Error(got)
	}
	w.fund(asha.Wallet, 1_000*shilling)
	send("a part", asha, chausiku, 200*shilling)
	w.clock.pass(24 * time.Hour)
	send("the rest", asha, chausiku, 800*shilling) // to a daughter
	w.must(out("to a daughter", chausiku, 700*shilling))
	if got := w.events(); strings.Contains(got, ";") {
		t.Error(got)
	}
	strict, err := ParseBrakes(strings.NewReader(brakeHeader+"drain_and_cash_out,refuse,,,20m,\n"), w.country.Currency)
	w.must(err)
	w.brakes = strict
	w.fund(asha.Wallet, 5_000*shilling)
	send("drain again", asha, w.customer("+254712000004", "Daudi Said", 0), 4_900*shilling)
	daudi, err := w.ByPhone(ctx, "+254712000004")
	w.must(err)
	w.refused(out("strictly", daudi, 4_500*shilling), "fresh_money (minutes=20)")
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

// TestSprayedPINs: wallets that are left with a wrong PIN are told from people who
// mistype. First it is noticed, then PINs of those who have not paid for long are
// not tried; the minute after all goes on.
func TestSprayedPINs(t *testing.T) {
	w := braked(t, "pin_spray,,3,,,\npin_spray_quiet,,5,,,\n")
	ctx := t.Context()
	var all []Customer
	for i := range 10 {
		all = append(all, w.customer(fmt.Sprintf("+25471200001%d", i), "Asha Mwangi", 0))
	}
	w.clock.pass(31 * 24 * time.Hour)
	for _, c := range all[7:] { // these pay
		w.must(w.PINs().Verify(ctx, c.PIN, "4826"))
	}
	try := func(i int) error { return w.PINs().Verify(ctx, all[i].PIN, "7294") }
	for _, c := range all[7:] { // mistypes twice, and makes good
		w.refused(w.PINs().Verify(ctx, c.PIN, "7294"), "wrong_pin (left=2)")
		w.refused(w.PINs().Verify(ctx, c.PIN, "7294"), "wrong_pin (left=1)")
		w.must(w.PINs().Verify(ctx, c.PIN, "4826"))
	}
	w.refused(try(0), "wrong_pin (left=2)")
	w.refused(try(0), "wrong_pin (left=1)") // the same wallet
	w.refused(try(1), "wrong_pin (left=2)")
	if got := w.events(); got != "" {
		t.Error(got)
	}
	w.refused(try(2), "wrong_pin (left=2)")
	w.refused(try(3), "wrong_pin (left=2)")
	if got := w.events(); got != "pin_spray alert " {
		t.Error(got)
	}
	w.refused(try(4), "wrong_pin (left=2)")
	w.refused(try(5), "pins_paused")
	w.refused(w.PINs().Verify(ctx, all[5].PIN, "4826"), "pins_paused") // a right one says nothing either
	w.must(w.PINs().Verify(ctx, all[8].PIN, "4826"))                   // who pays goes on
	w.refused(try(8), "wrong_pin (left=2)")
	if got := w.events(); got != "pin_spray alert ; pin_spray_quiet refuse " {
		t.Error(got)
	}
	w.clock.pass(2 * time.Minute)
	w.must(w.PINs().Verify(ctx, all[5].PIN, "4826")) // and it had cost no try
	w.refused(try(6), "wrong_pin (left=2)")
}

// TestSprayIsMeasuredByWhatIsUsual: the same number is an accident where many
// customers come, and a spray where few do; and a flood is a part of all PINs.
func TestSprayIsMeasuredByWhatIsUsual(t *testing.T) {
	w := braked(t, "")
	ctx := t.Context()
	asha := w.customer("+254712000001", "Asha Mwangi", 0)
	past := func(back time.Duration, given, wrong, begun, good int) {
		m := minute(w.Now().Add(-back))
		w.sql(`insert into pin_minute values ($1 % 64, 9, $1, $2, $3, $4, $5) on conflict (slot, shard) do update set minute = $1, given = $2, wrong = $3, begun = $4, made_good = $5`, m, given, wrong, begun, good)
	}
	wrong := func() { w.refused(w.PINs().Verify(ctx, asha.PIN, "7294"), "wrong_pin (left=2)") }
	right := func() { w.must(w.PINs().Verify(ctx, asha.PIN, "4826")) }

	past(30*time.Minute, 10_000, 400, 300, 250) // of 200 PINs, one wallet is left
	past(0, 4_000, 160, 120, 61)                // 59 and this one of 4,000, where 19 would be usual
	wrong()
	if got := w.events(); !strings.HasPrefix(got, "pin_spray alert ; pin_spray_quiet refuse ") {
		t.Error(got)
	}
	w.clock.pass(time.Hour + 5*time.Minute)
	right()
	past(30*time.Minute, 10_000, 400, 300, 250)
	past(0, 6_000, 160, 120, 61) // the same of 6,000, where 29 would be
	wrong()
	right()
	if got := w.events(); got != "pin_spray alert ; pin_spray_quiet refuse " {
		t.Error(got)
	}

	w.clock.pass(2 * time.Hour)
	past(0, 10_000, 2_000, 0, 0) // a fifth of many
	wrong()
	right()
	past(0, 300, 150, 0, 0) // half of few
	wrong()
	right()
	if got := w.events(); strings.Contains(got, "pin_flood") {
		t.Error(got)
	}
	past(0, 700, 199, 0, 0)
	wrong()
	w.refused(w.PINs().Verify(ctx, asha.PIN, "4826"), "pins_paused")
	if got := w.events(); !strings.HasSuffix(got, "; pin_flood refuse ") {
		t.Error(got)
	}
	w.clock.pass(2 * time.Minute)
	right()
}

// TestDrainedAfterASwap: small amounts pass after a change of SIM, and most of a
// wallet is noticed.
func TestDrainedAfterASwap(t *testing.T) {
	w := braked(t, "")
	ctx := t.Context()
	asha, baraka := w.customer("+254712000001", "Asha Mwangi", 1_000*shilling), w.customer("+254712000002", "Baraka Otieno", 0)
	send := func(ref string, a money.Amount) {
		_, err := w.Send(ctx, ref, w.again(asha), baraka.Phone, a)
		w.must(err)
	}
	send("before", 500*shilling)
	w.fund(asha.Wallet, 500*shilling)
	w.must(w.SwappedSIM(ctx, asha))
	send("a little", 49*shilling)
	if got := w.events(); got != "" {
		t.Error(got)
	}
	send("half", 475*shilling)
	if got := w.events(); got != fmt.Sprint("swap_and_drain alert customer:", asha.ID) {
		t.Error(got)
	}
	w.clock.pass(24 * time.Hour)
	send("a day later", 300*shilling)
	if got := w.events(); strings.Contains(got, ";") {
		t.Error(got)
	}
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
