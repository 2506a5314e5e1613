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

// slip is a world in which asha has sent 500 to baraka, and chausiku looks on.
type slip struct {
	*world
	asha, baraka, chausiku accounts.Customer
	code                   string
}

func newSlip(t *testing.T) *slip {
	t.Helper()
	w := newWorld(t)
	juma := w.till("100001", "Mama Pima Shop", "+254722000001", 100_000*shilling)
	s := &slip{world: w, asha: w.customer("+254712000001", "Asha Juma", accounts.TierFull), baraka: w.customer("+254712000002", "Baraka Otieno", accounts.TierFull),
		chausiku: w.customer("+254712000003", "Chausiku Mwangi", accounts.TierFull)}
	w.give(juma, s.asha, 5000*shilling)
	s.code = s.sends(s.asha, s.baraka, 500)
	return s
}

func (s *slip) sends(from, to accounts.Customer, shillings money.Amount) string {
	s.t.Helper()
	s.n++
	d, err := s.accounts.Send(s.t.Context(), fmt.Sprint("send:", s.n), from, to.Phone, shillings*shilling)
	s.must(err)
	return d.Code
}

func (s *slip) asks(want string) Reversal {
	s.t.Helper()
	v, err := s.AskSentBack(s.t.Context(), s.asha, s.code)
	s.refused(err, want)
	return v
}

func TestSentMoneyGoesBackWhenThePayeeAgrees(t *testing.T) {
	t.Parallel()
	s := newSlip(t)
	ctx := t.Context()
	s.sends(s.baraka, s.chausiku, 300) // and 7 for it: 193 are left
	before := s.has(s.asha.Wallet)

	for who, want := range map[*accounts.Customer]string{&s.baraka: "not_sent", &s.chausiku: "no_receipt"} {
		_, err := s.AskSentBack(ctx, *who, s.code)
		s.refused(err, want)
	}
	v, err := s.AskSentBack(ctx, s.asha, s.code)
	s.must(err)
	if left := s.has(s.baraka.Wallet); v.Held != 193*shilling || left != 0 || v.State != "held" || v.Till != "" {
		t.Errorf("%+v, %d left", v, left)
	}
	s.refused(nil, "")
	if again, err := s.AskSentBack(ctx, s.asha, s.code); err != nil || again.ID != v.ID || again.Held != v.Held {
		t.Errorf("again: %+v, %v", again, err)
	}
	if got, want := s.last(s.baraka.Phone), "UKM* Confirmed. 0712000001 says "+s.code+" was a mistake: Ksh193.00 is held. Yours? Dial *334#, choose 9. New Tuma balance is Ksh0.00."; got != want {
		t.Errorf("baraka was told\n%s", got)
	}
	open, err := s.OpenReversals(ctx)
	s.must(err)
	if len(open) != 1 || open[0].Payer != s.asha.ID {
		t.Errorf("a checker sees %+v", open)
	}
	if err := s.Agree(ctx, s.chausiku, v.ID); !errors.Is(err, ErrNoReversal) {
		t.Errorf("somebody else agrees: %v", err)
	}
	for range 2 {
		s.must(s.Agree(ctx, s.baraka, v.ID))
	}
	if got := s.has(s.asha.Wallet); got != before+193*shilling || s.has(s.accounts.House().Held) != 0 {
		t.Errorf("asha has %d, %d are held", got, s.has(s.accounts.House().Held))
	}
	if got, want := s.last(s.asha.Phone), "UKM* Confirmed. Transaction "+s.code+" has been reversed: Ksh193.00 came back on 22/11/26 at 9:15 AM. New Tuma balance is Ksh"; got[:min(len(got), len(want))] != want {
		t.Errorf("asha was told\n%s", got)
	}
	s.asks("reverse_done")
	if err := s.Object(ctx, s.baraka, v.ID); !errors.Is(err, ErrNoReversal) {
		t.Errorf("objects when it has gone back: %v", err)
	}
	if open, err = s.OpenReversals(ctx); err != nil || len(open) != 0 {
		t.Errorf("still open: %+v, %v", open, err)
	}
	s.proven()
}

func TestSentMoneyIsDecidedByAChecker(t *testing.T) {
	t.Parallel()
	for _, approve := range []bool{true, false} {
		s := newSlip(t)
		ctx := t.Context()
		asha, baraka := s.has(s.asha.Wallet), s.has(s.baraka.Wallet)
		v := s.asks("")
		s.must(s.Object(ctx, s.baraka, v.ID))
		if err := s.Agree(ctx, s.baraka, v.ID); !errors.Is(err, ErrNoReversal) {
			t.Errorf("agrees after all: %v", err)
		}
		for range 2 {
			if _, err := s.DecideReversal(ctx, "charles", v.ID, approve, "heard both"); err != nil {
				t.Fatal(err)
			}
		}
		moved := money.Amount(0)
		if approve {
			moved = 500 * shilling
		}
		if s.has(s.asha.Wallet) != asha+moved || s.has(s.baraka.Wallet) != baraka-moved {
			t.Errorf("approved %v: %d and %d", approve, s.has(s.asha.Wallet)-asha, s.has(s.baraka.Wallet)-baraka)
		}
		s.proven()
	}
}

func TestSentMoneyIsAskedBackSeldom(t *testing.T) {
	t.Parallel()
	s := newSlip(t)
	ctx := t.Context()
	late := s.code
	s.clock.pass(24*time.Hour + time.Second)
	s.asks("reverse_late")
	for range sentPerMonth {
		s.code = s.sends(s.asha, s.baraka, 50)
		s.asks("")
	}
	s.code = s.sends(s.asha, s.baraka, 50)
	s.asks("reverses_spent")
	s.clock.pass(9 * 24 * time.Hour) // December
	s.code = s.sends(s.asha, s.baraka, 60)
	s.sends(s.baraka, s.chausiku, 100)
	s.sql(`update account set balance = 0 where id = $1`, int64(s.baraka.Wallet))
	s.asks("reverse_empty")
	s.asks("reverse_empty")
	_, err := s.AskSentBack(ctx, s.asha, late)
	s.refused(err, "reverse_late")
	frozen := s.asha
	frozen.Frozen = true
	_, err = s.AskSentBack(ctx, frozen, s.code)
	s.refused(err, "payer_frozen")
}

// What is asked for by SMS moves nothing before the PIN; the hold settles it,
// whichever way the PIN was given, and one that was declined is in nobody's way.
func TestSentMoneyIsAskedBackBySMS(t *testing.T) {
	t.Parallel()
	s := newSlip(t)
	ctx := t.Context()
	wish := func(ref, want string) accounts.Approval {
		t.Helper()
		a, held, err := s.AskOwnBack(ctx, ref, s.asha, s.code)
		s.refused(err, want)
		if held != nil {
			t.Errorf("held already: %+v", held)
		}
		return a
	}
	state := func(id int64, want accounts.ApprovalState) {
		t.Helper()
		a, err := s.accounts.Approval(ctx, id)
		s.must(err)
		if a.State != want {
			t.Errorf("the approval is %s, want %s", a.State, want)
		}
	}
	for who, want := range map[*accounts.Customer]string{&s.baraka: "not_sent", &s.chausiku: "no_receipt"} {
		_, _, err := s.AskOwnBack(ctx, "sms:test:forged", *who, s.code)
		s.refused(err, want)
	}
	declined := wish("sms:test:1", "")
	if again := wish("sms:test:1", ""); again.ID != declined.ID {
		t.Errorf("the same message asked twice: %d, %d", declined.ID, again.ID)
	}
	s.must(s.accounts.Decline(ctx, s.asha, declined.ID))
	a := wish("sms:test:2", "")
	if s.has(s.accounts.House().Held) != 0 || len(s.openReversals()) != 0 {
		t.Error("something was held without the PIN")
	}
	s.clock.pass(23 * time.Hour) // the question came in time, and waits for a day
	for range 2 {
		if d, err := s.accounts.Approve(ctx, s.asha, a.ID); err != nil || d.Code == "" {
			t.Errorf("%+v, %v", d, err)
		}
	}
	state(a.ID, accounts.ApprovalApproved)
	if n := s.has(s.accounts.House().Held); n != 500*shilling {
		t.Errorf("%d are held", n)
	}
	if _, held, err := s.AskOwnBack(ctx, "sms:test:3", s.asha, s.code); err != nil || held == nil || held.Held != 500*shilling {
		t.Errorf("%+v, %v", held, err)
	}
	s.must(s.Agree(ctx, s.baraka, s.openReversals()[0].ID))
	_, _, err := s.AskOwnBack(ctx, "sms:test:4", s.asha, s.code)
	s.refused(err, "reverse_done")

	s.code = s.sends(s.asha, s.baraka, 50)
	a = wish("sms:test:5", "")
	s.asks("") // in the menu
	state(a.ID, accounts.ApprovalApproved)

	s.code = s.sends(s.asha, s.baraka, 60)
	a = wish("sms:test:6", "")
	v := s.asks("")
	s.must(s.Object(ctx, s.baraka, v.ID))
	_, err = s.DecideReversal(ctx, "charles", v.ID, false, "heard both")
	s.must(err)
	state(a.ID, accounts.ApprovalApproved)
	if n := s.has(s.accounts.House().Held); n != 50*shilling {
		t.Errorf("%d are held", n)
	}
	s.code = s.sends(s.asha, s.baraka, 70)
	wish("sms:test:7", "reverses_spent")
	s.proven()
}

// A request that broke off between its row and its hold is completed, under the
// approval or, when that was declined since, without it.
func TestSentMoneyBrokeOff(t *testing.T) {
	t.Parallel()
	for _, decline := range []bool{false, true} {
		s := newSlip(t)
		ctx := t.Context()
		a, _, err := s.AskOwnBack(ctx, "sms:test:1", s.asha, s.code)
		s.must(err)
		made, err := s.accounts.Book().ByCode(ctx, s.code)
		s.must(err)
		s.sql(`insert into reversal_request (id, entry, receipt, payer, customer, amount, reason, asked_by, asked_at, approval)
values (nextval('reversal_request_id'), $1, $2, $3, $4, $5, 'sent to a wrong number', $6, now(), $7)`, int64(made.ID), s.code, s.asha.ID, s.baraka.ID, int64(500*shilling), string(s.asha.Phone), a.ID)
		if decline {
			s.must(s.accounts.Decline(ctx, s.asha, a.ID))
		}
		v := s.asks("")
		if v.State != "held" || s.has(s.accounts.House().Held) != 500*shilling {
			t.Errorf("declined %v: %+v", decline, v)
		}
		s.must(s.Agree(ctx, s.baraka, v.ID))
		s.proven()
	}
}

// A payee whose wallet is frozen keeps what is in it; the payer reads something else
// than that his own is frozen.
func TestSentMoneyToAFrozenWallet(t *testing.T) {
	t.Parallel()
	s := newSlip(t)
	s.must(s.accounts.Freeze(t.Context(), s.baraka, true))
	s.asks("reverse_stopped")
	s.must(s.accounts.Freeze(t.Context(), s.baraka, false))
	if v := s.asks(""); v.State != "held" {
		t.Errorf("%+v", v)
	}
	s.proven()
}

func (s *slip) openReversals() []Reversal {
	s.t.Helper()
	open, err := s.OpenReversals(s.t.Context())
	s.must(err)
	return open
}

// Many ask, the payee spends, agrees and objects, and a checker decides, all at
// once: one hold, one end, nothing below zero, and the audit finds no fault.
func TestSentMoneyRaces(t *testing.T) {
	t.Parallel()
	s := newSlip(t)
	ctx := t.Context()
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			if _, err := s.AskSentBack(ctx, s.asha, s.code); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			_, err := s.accounts.Send(ctx, fmt.Sprint("spend:", i), s.baraka, s.chausiku.Phone, 100*shilling)
			if err != nil && !accounts.Refused(err, "insufficient") {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := s.has(s.baraka.Wallet); n < 0 {
		t.Errorf("baraka has %d", n)
	}
	v := s.asks("")
	for range 2 {
		all.Go(func() { _ = s.Agree(ctx, s.baraka, v.ID) })
		all.Go(func() { _ = s.Object(ctx, s.baraka, v.ID) })
		all.Go(func() { _, _ = s.DecideReversal(ctx, "charles", v.ID, false, "heard both") })
	}
	all.Wait()
	if n := s.has(s.accounts.House().Held); n != 0 {
		t.Errorf("%d are still held", n)
	}
	s.proven()
}
