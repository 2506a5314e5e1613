package agents

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tuma/accounts"
)

// What a till looks back on: its commission by entry and day, what it has asked
// for, what it has disputed, and the log, all of its own alone.
func TestLookingBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	amina := w.office(2500)
	juma := w.till("100001", "Mama Mboga", "+254722000001", 50_000*shilling)
	neema := w.till("100002", "Neema Kiosk", "+254722000002", 50_000*shilling)
	asha := w.customer("+254712000001", "Asha Juma", accounts.TierFull)
	var codes []string
	for i := range 4 {
		d, err := w.Deposit(ctx, fmt.Sprint("d", i), juma, asha.Phone, 1500*shilling)
		w.must(err)
		codes = append(codes, d.Code)
		w.clock.pass(8 * time.Hour)
	}
	_, err := w.PayOutCommission(ctx, "p", juma, 20*shilling)
	w.must(err)

	list, err := w.Earnings(ctx, juma, Find{Limit: 10})
	w.must(err)
	var got []string
	for _, e := range list {
		got = append(got, fmt.Sprint(e.Kind, " ", e.Other, " ", int64(e.Earned), " ", int64(e.PaidOut), " ", int64(e.After)))
	}
	want := "payout  0 2000 1000,deposit ASHA JUMA 750 0 3000,deposit ASHA JUMA 750 0 2250,deposit ASHA JUMA 750 0 1500,deposit ASHA JUMA 750 0 750"
	if s := strings.Join(got, ","); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
	if list, err = w.Earnings(ctx, juma, Find{Before: codes[1], Limit: 10}); err != nil || len(list) != 1 || list[0].Code != codes[0] {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err = w.Earnings(ctx, neema, Find{Before: codes[1], Limit: 10}); !errors.Is(err, ErrNoEntry) {
		t.Error(err)
	}
	if list, err = w.Earnings(ctx, amina, Find{Limit: 1}); err != nil || len(list) != 1 || list[0].Other != "MAMA MBOGA" || list[0].Earned != 250 {
		t.Errorf("%+v, %v", list, err) // the office hears of its till, not of the till's customers
	}
	midnight := time.Date(2026, 11, 22, 0, 0, 0, 0, nairobi)
	days, err := w.EarnedByDay(ctx, juma, midnight, midnight.AddDate(0, 0, 2))
	if err != nil || len(days) != 2 || days[1] != (EarnedDay{midnight, 2, 1500, 0}) || days[0] != (EarnedDay{midnight.AddDate(0, 0, 1), 2, 1500, 2000}) {
		t.Errorf("%+v, %v", days, err)
	}
	if days, err = w.EarnedByDay(ctx, juma, midnight, midnight.AddDate(0, 0, 1)); err != nil || len(days) != 1 {
		t.Errorf("%+v, %v", days, err)
	}

	id, err := w.AskFloat(ctx, "f", juma, 500*shilling, "eq-77")
	w.must(err)
	if f, err := w.FloatByRef(ctx, juma, "f"); err != nil || f.ID != id || f.BankRef != "EQ-77" || f.State != "asked" {
		t.Errorf("%+v, %v", f, err)
	}
	for who, ref := range map[*Operator]string{&neema: "f", &amina: "f", &juma: "g"} {
		if _, err := w.FloatByRef(ctx, *who, ref); !errors.Is(err, ErrNoFloatRequest) {
			t.Errorf("%s of %s: %v", ref, who.Till.place(), err)
		}
	}
	if all, err := w.FloatRequests(ctx, juma, id, 5); err != nil || len(all) != 1 || all[0].ID == id {
		t.Errorf("%+v, %v", all, err)
	}

	v, err := w.AskReversal(ctx, juma, codes[3], "one digit wrong")
	w.must(err)
	if again, err := w.ReversalOf(ctx, juma, codes[3]); err != nil || again.ID != v.ID || again.State != "held" {
		t.Errorf("%+v, %v", again, err)
	}
	for _, who := range []Operator{neema, amina} {
		if _, err := w.ReversalOf(ctx, who, codes[3]); !errors.Is(err, ErrNoReversal) {
			t.Error(err)
		}
	}
	old, err := w.Entry(ctx, juma, codes[0])
	w.must(err)
	fresh, err := w.Entry(ctx, juma, codes[3])
	w.must(err)
	if w.Disputable(old) || !w.Disputable(fresh) {
		t.Error("a deposit can be disputed for a day")
	}

	lines, err := w.OwnLog(ctx, juma, LogFind{Actor: juma.Actor(), Limit: 9})
	if err != nil || len(lines) != 2 || lines[0].Action != "reversal_ask" || lines[1].Action != "float_ask" {
		t.Errorf("%+v, %v", lines, err)
	}
	today := time.Date(2026, 11, 23, 0, 0, 0, 0, nairobi)
	if lines, err = w.OwnLog(ctx, juma, LogFind{From: today, Until: today.AddDate(0, 0, 1), Limit: 9}); err != nil || len(lines) != 2 {
		t.Errorf("%+v, %v", lines, err)
	}
	if lines, err = w.OwnLog(ctx, juma, LogFind{Until: today, Actor: juma.Actor(), Limit: 9}); err != nil || len(lines) != 0 {
		t.Errorf("%+v, %v", lines, err)
	}
	o := juma
	o.Role = "assistant"
	_, err = w.OwnLog(ctx, o, LogFind{Limit: 9})
	w.refused(err, "not_allowed")
	if d, err := w.Days(ctx, juma, time.Time{}, 5); err != nil || len(d) != 0 {
		t.Errorf("%+v, %v", d, err)
	}
	for range 3 {
		_, err := w.OpenDay(ctx, juma, 0)
		w.must(err)
		_, err = w.CloseDay(ctx, juma, 0)
		w.must(err)
		w.clock.pass(24 * time.Hour)
	}
	if d, err := w.Days(ctx, juma, time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC), 5); err != nil || len(d) != 2 || d[0].Date.Day() != 24 {
		t.Errorf("%+v, %v", d, err)
	}
	w.proven()
}
