package agents

import (
	"strings"
	"testing"
	"time"

	"tuma/accounts"
)

// Every role against every action: the list of who may is written out here once
// more, so that a right given by a slip of the pen is seen.
func TestEveryRightOfEveryRole(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"owner": "deposit withdraw_ask register float_view float_request float_transfer float_return float_threshold commission_view commission_payout " +
			"operators_manage day_view day_open day_close entries_view reversal_ask log_view",
		"assistant": "deposit withdraw_ask register float_view float_request commission_view day_view day_open day_close entries_view reversal_ask",
		"auditor":   "float_view commission_view day_view entries_view log_view",
		"head":      "float_view float_request float_transfer float_return commission_view commission_payout operators_manage entries_view log_view network_view",
		"maker":     "float_waiting float_make reconcile reconcile_note factor_reset till_watch",
		"checker":   "float_waiting float_check freeze unfreeze reversal_decide customer_lookup reconcile reconcile_close photo_view log_view_all factor_reset brakes_view brake_review brake_release till_watch",
		"care":      "freeze unfreeze customer_lookup photo_view factor_reset brakes_view brake_review till_watch",
		"king":      "",
		"":          "",
	}
	for role, list := range want {
		var operator, staff []string
		for _, a := range Actions() {
			if (Operator{Role: role}).May(a) == nil {
				operator = append(operator, string(a))
			}
			if StaffMay(role, a) == nil {
				staff = append(staff, string(a))
			}
		}
		if len(operator) > 0 && len(staff) > 0 {
			t.Errorf("%q is a role of operators and of staff", role)
		}
		if got := strings.Join(append(operator, staff...), " "); got != list {
			t.Errorf("%q\n may %s\nwant %s", role, got, list)
		}
	}
	for _, a := range []Action{"", "nonsense", "deposit money"} {
		if (Operator{Role: "owner"}).May(a) == nil || StaffMay("checker", a) == nil {
			t.Errorf("%q is an action", a)
		}
	}
}

func TestWhatRefusesAnOperatorInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := Operator{Role: "auditor", Frozen: true, OffHours: true, Till: Till{Closed: true}}
	w.refused(o.May(ActDeposit), "frozen")
	w.refused(o.May(ActFloatView), "frozen")
	o.Frozen = false
	w.refused(o.May(ActFloatView), "")
	w.refused(o.May(ActDeposit), "till_closed")
	w.refused(o.May(ActDayOpen), "till_closed")
	o.Till.Closed = false
	w.refused(o.May(ActDeposit), "not_allowed")
	o.Role = "owner"
	w.refused(o.May(ActDeposit), "out_of_hours")
	w.refused(o.May(ActDayOpen), "")
	o.OffHours = false
	w.refused(o.May(ActDeposit), "")
}

func TestHours(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		h      Hours
		minute int
		want   bool
	}{
		{Hours{480, 1050}, 479, false}, {Hours{480, 1050}, 480, true}, {Hours{480, 1050}, 1049, true}, {Hours{480, 1050}, 1050, false},
		{Hours{1200, 120}, 1199, false}, {Hours{1200, 120}, 1200, true}, {Hours{1200, 120}, 0, true}, {Hours{1200, 120}, 119, true}, {Hours{1200, 120}, 120, false},
	} {
		if c.h.on(c.minute) != c.want {
			t.Errorf("%+v at %d", c.h, c.minute)
		}
	}
	w := newWorld(t)
	ctx := t.Context()
	juma := w.till("100001", "Mama Mboga", "+254722000001", 50_000*shilling)
	neema := NewOperator{Till: "100001", Phone: number(t, "+254722000002"), Name: "Neema Achieng", IDNumber: "99990001", Lang: "sw", Role: "assistant"}
	w.must(w.AddOperator(ctx, juma, neema))
	asha := w.customer("+254712000001", "Asha Juma", accounts.TierFull)
	w.must(w.SetOperatorHours(ctx, juma, neema.Phone, &Hours{480, 555})) // to 9:15
	_, err := w.Deposit(ctx, "1", w.operator("+254722000002"), asha.Phone, 100*shilling)
	w.refused(err, "out_of_hours")
	_, err = w.Float(ctx, w.operator("+254722000002"))
	w.refused(err, "")
	w.must(w.SetOperatorHours(ctx, juma, neema.Phone, &Hours{480, 556}))
	_, err = w.Deposit(ctx, "2", w.operator("+254722000002"), asha.Phone, 100*shilling)
	w.refused(err, "")
	w.clock.pass(time.Minute)
	_, err = w.Deposit(ctx, "3", w.operator("+254722000002"), asha.Phone, 100*shilling)
	w.refused(err, "out_of_hours")
	w.must(w.SetOperatorHours(ctx, juma, neema.Phone, nil))
	_, err = w.Deposit(ctx, "4", w.operator("+254722000002"), asha.Phone, 100*shilling)
	w.refused(err, "")
	for _, bad := range []Hours{{-1, 5}, {5, 1440}, {5, 5}} {
		if err := w.SetOperatorHours(ctx, juma, neema.Phone, &bad); err == nil {
			t.Errorf("%+v", bad)
		}
	}
	w.proven()
}
