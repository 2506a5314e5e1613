package agents

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/internal/money"
)

// counter is a till with float, its operator, and a customer with money.
func (w *world) counter(has money.Amount) (Operator, accounts.Customer) {
	w.t.Helper()
	juma := w.till("100001", "Mama Mboga Kiosk", "+254722000001", 500_000*shilling)
	asha := w.customer("+254712000001", "Asha Juma", accounts.TierFull)
	if has > 0 {
		w.give(juma, asha, has)
	}
	return juma, asha
}

// give pays cash in for a customer.
func (w *world) give(o Operator, c accounts.Customer, a money.Amount) {
	w.t.Helper()
	w.n++
	_, err := w.Deposit(w.t.Context(), fmt.Sprint("give:", w.n), o, c.Phone, a)
	w.must(err)
}

// asks has the till ask as often as a test likes: past the limits of AskWithdraw.
func (w *world) asks(ref string, o Operator, c accounts.Customer, a money.Amount) accounts.Approval {
	w.t.Helper()
	q, err := w.QuoteAskWithdraw(w.t.Context(), o, c.Phone, a)
	w.must(err)
	asked, err := w.accounts.Ask(w.t.Context(), accounts.Ask{
		Ref: ref, Kind: "withdraw", Customer: c, Asker: o.Till.Number, AskerName: o.Till.Name, AskedBy: o.Phone, Amount: a, Fee: q.Fee,
	})
	w.must(err)
	return asked
}

// pushes has the service put approvals on phones; nil stands for a network that
// always can.
func (w *world) pushes(push func(context.Context, accounts.Approval) error) {
	w.t.Helper()
	if push == nil {
		push = func(context.Context, accounts.Approval) error { return nil }
	}
	w.Service = w.process(w.pool, func(c *accounts.Config) { c.Push = push })
}

func TestAskedWithdrawalIsPaidOnceApproved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	juma, asha := w.counter(1000 * shilling)
	ctx := t.Context()
	a, err := w.AskWithdraw(ctx, "ask:1", juma, asha.Phone, 500*shilling)
	w.must(err)
	if a.State != accounts.ApprovalPending || a.Fee != 29*shilling || a.Total != 529*shilling || a.Pushed || a.Expires.Sub(a.At) != 24*time.Hour || a.Phone != asha.Phone {
		t.Errorf("asked: %+v", a)
	}
	again, err := w.AskWithdraw(ctx, "ask:1", juma, asha.Phone, 500*shilling)
	w.must(err)
	if again.ID != a.ID {
		t.Errorf("the same ref made approvals %d and %d", a.ID, again.ID)
	}
	if _, err := w.AskWithdraw(ctx, "ask:1", juma, asha.Phone, 400*shilling); !errors.Is(err, accounts.ErrRefReused) {
		t.Errorf("the same ref for something else: %v", err)
	}
	if waiting, err := w.accounts.Approvals(ctx, asha); err != nil || len(waiting) != 1 || waiting[0].ID != a.ID {
		t.Errorf("waiting: %+v %v", waiting, err)
	}
	d, err := w.accounts.Approve(ctx, asha, a.ID)
	w.must(err)
	if d.Amount != 500*shilling || d.Fee != 29*shilling || d.Balance != 471*shilling || d.Again {
		t.Errorf("approved: %+v", d)
	}
	twice, err := w.accounts.Approve(ctx, asha, a.ID)
	w.must(err)
	if !twice.Again || twice.Code != d.Code || twice.Balance != d.Balance {
		t.Errorf("approved again: %+v", twice)
	}
	again, err = w.AskWithdraw(ctx, "ask:1", juma, asha.Phone, 500*shilling) // she could not pay it twice
	w.must(err)
	if again.State != accounts.ApprovalApproved || again.Receipt != d.Code || again.DecidedAt.IsZero() {
		t.Errorf("after it was approved: %+v", again)
	}
	w.refused(w.accounts.Decline(ctx, asha, a.ID), "approval_gone")
	w.refused(w.CancelAsked(ctx, juma, a.ID), "approval_gone")
	w.proven()
}

func TestWhoMayAskAndAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	juma, asha := w.counter(1000 * shilling)
	baraka := w.customer("+254712000002", "Baraka Otieno", accounts.TierFull)
	other := w.till("100002", "Uhuru Stores", "+254722000002", 0)
	ctx := t.Context()

	frozen, auditor, closed := juma, juma, juma
	frozen.Frozen, auditor.Role, closed.Till.Closed = true, "auditor", true
	for _, c := range []struct {
		o      Operator
		to     string
		amount money.Amount
		want   string
	}{
		{frozen, "+254712000001", 500 * shilling, "frozen"},
		{closed, "+254712000001", 500 * shilling, "till_closed"},
		{auditor, "+254712000001", 500 * shilling, "not_allowed"},
		{juma, "+254733000009", 500 * shilling, "payee_unregistered (number=0733000009)"},
		{juma, "+254712000001", 20 * shilling, "below_min (min=Ksh50.00)"},
		{juma, "+254712000001", 1000 * shilling, "customer_cannot"}, // and not how much she has
	} {
		_, err := w.AskWithdraw(ctx, "refused:"+c.want, c.o, number(t, c.to), c.amount)
		w.refused(err, c.want)
	}

	a, err := w.AskWithdraw(ctx, "ask:1", juma, asha.Phone, 500*shilling)
	w.must(err)
	if _, err := w.Asked(ctx, other, a.ID); !errors.Is(err, accounts.ErrNoApproval) {
		t.Errorf("another till sees it: %v", err)
	}
	w.refused(w.CancelAsked(ctx, other, a.ID), "approval_gone")
	w.refused(w.accounts.Decline(ctx, baraka, a.ID), "approval_gone")
	_, err = w.accounts.Approve(ctx, baraka, a.ID)
	w.refused(err, "approval_gone")
	_, err = w.accounts.Approve(ctx, asha, 4711)
	w.refused(err, "approval_gone")
	if seen, err := w.Asked(ctx, juma, a.ID); err != nil || seen.State != accounts.ApprovalPending {
		t.Errorf("after all that: %+v %v", seen, err)
	}
	w.must(w.accounts.Decline(ctx, asha, a.ID))
	w.must(w.accounts.Decline(ctx, asha, a.ID)) // the same key press again
	_, err = w.accounts.Approve(ctx, asha, a.ID)
	w.refused(err, "approval_gone")

	// Who may not serve any more has nobody's cash-out approved.
	a, err = w.AskWithdraw(ctx, "ask:2", juma, asha.Phone, 500*shilling)
	w.must(err)
	w.sql(`update operator set frozen = true where msisdn = $1`, string(juma.Phone))
	_, err = w.accounts.Approve(ctx, asha, a.ID)
	w.refused(err, "till_closed")
	w.sql(`update operator set frozen = false where msisdn = $1`, string(juma.Phone))

	// Nor does anybody pay another fee than was shown.
	w.sql(`update approval set fee = fee - 100, total = total - 100 where id = $1`, a.ID)
	_, err = w.accounts.Approve(ctx, asha, a.ID)
	w.refused(err, "price_changed")

	last, err := w.LastAsked(ctx, juma, 10)
	if err != nil || len(last) != 2 || last[0].ID != a.ID || last[1].State != accounts.ApprovalDeclined {
		t.Errorf("last asked: %+v %v", last, err)
	}
	w.proven()
}

// Approve against decline against cancel against the clock: one of them wins,
// the row says which, and money has moved if and only if it was approved. They
// begin at instants that the dice choose, so that each is sometimes the first.
func TestOneAnswerWins(t *testing.T) {
	t.Parallel()
	const rounds = 2000
	w := newWorld(t)
	w.pushes(nil)
	juma, asha := w.counter(200_000 * shilling)
	ctx := t.Context()
	dice := rand.New(rand.NewPCG(1, 2))
	wins := map[accounts.ApprovalState]int{}
	for round := range rounds {
		before := w.has(asha.Wallet)
		a := w.asks(fmt.Sprint("round:", round), juma, asha, 50*shilling)
		if !a.Pushed || a.Expires.Sub(a.At) != 2*time.Minute {
			t.Fatalf("asked: %+v", a)
		}
		var mu sync.Mutex
		told := map[accounts.ApprovalState]int{}
		var all sync.WaitGroup
		contend := func(state accounts.ApprovalState, f func() (bool, error)) {
			if dice.IntN(5) == 0 {
				return
			}
			pause := time.Duration(dice.IntN(8000)) * time.Microsecond
			if state == accounts.ApprovalApproved {
				pause /= 4 // it is the slowest
			}
			all.Go(func() {
				time.Sleep(pause)
				won, err := f()
				if r, refused := errors.AsType[accounts.Refusal](err); err != nil && !(refused && r.Key == "approval_gone") {
					t.Errorf("round %d: %s: %v", round, state, err)
				}
				if won && err == nil {
					mu.Lock()
					told[state]++
					mu.Unlock()
				}
			})
		}
		contend(accounts.ApprovalApproved, func() (bool, error) { _, err := w.accounts.Approve(ctx, asha, a.ID); return true, err })
		contend(accounts.ApprovalDeclined, func() (bool, error) { return true, w.accounts.Decline(ctx, asha, a.ID) })
		contend(accounts.ApprovalCancelled, func() (bool, error) { return true, w.CancelAsked(ctx, juma, a.ID) })
		contend(accounts.ApprovalExpired, func() (bool, error) {
			w.clock.pass(2 * time.Minute)
			seen, err := w.Asked(ctx, juma, a.ID)
			return err == nil && seen.State == accounts.ApprovalExpired, err
		})
		all.Wait()
		w.clock.pass(2 * time.Minute)
		seen, err := w.Asked(ctx, juma, a.ID)
		w.must(err)
		wins[seen.State]++
		delete(told, seen.State)
		if len(told) > 0 {
			t.Errorf("round %d: it is %s, but others were told %v", round, seen.State, told)
		}
		entry, err := w.accounts.Book().ByRef(ctx, a.Ref)
		moved := before - w.has(asha.Wallet)
		switch approved := seen.State == accounts.ApprovalApproved; {
		case approved && (err != nil || moved != a.Total || entry.Code != seen.Receipt || !entry.At.Before(a.Expires) || !entry.At.Equal(seen.DecidedAt)):
			t.Errorf("round %d: approved at %s, until %s; entry %+v %v, %d moved", round, seen.DecidedAt, a.Expires, entry, err, moved)
		case !approved && (!errors.Is(err, ledger.ErrNotFound) || moved != 0):
			t.Errorf("round %d: %s, but the entry is %+v %v, %d moved", round, seen.State, entry, err, moved)
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("%d rounds: %v", rounds, wins)
	for _, state := range []accounts.ApprovalState{accounts.ApprovalApproved, accounts.ApprovalDeclined, accounts.ApprovalCancelled, accounts.ApprovalExpired} {
		if !t.Failed() && wins[state] < rounds/50 {
			t.Errorf("%s won %d times only", state, wins[state])
		}
	}
	w.proven()
}

// A hundred approvals at once over a balance that allows twenty.
func TestApprovalsShareABalance(t *testing.T) {
	t.Parallel()
	const asked, affordable = 100, 20
	w := newWorld(t)
	juma, asha := w.counter(0)
	ctx := t.Context()
	w.give(juma, asha, 529*shilling)
	ids := make([]int64, asked)
	for i := range ids {
		ids[i] = w.asks(fmt.Sprint("ask:", i), juma, asha, 500*shilling).ID
	}
	w.give(juma, asha, (affordable-1)*529*shilling)
	var all sync.WaitGroup
	var mu sync.Mutex
	paid := 0
	for _, id := range ids {
		all.Go(func() {
			_, err := w.accounts.Approve(ctx, asha, id)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				paid++
			} else if !accounts.Refused(err, "insufficient") {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if paid != affordable || w.has(asha.Wallet) != 0 {
		t.Errorf("%d were paid of a balance for %d; %d is left", paid, affordable, w.has(asha.Wallet))
	}
	if waiting, err := w.accounts.Approvals(ctx, asha); err != nil || len(waiting) != asked-affordable {
		t.Errorf("%d still wait, %v", len(waiting), err)
	}
	w.proven()
}

// A batch in which one approval is too late pays all the others.
func TestALateApprovalHurtsNobodyElse(t *testing.T) {
	t.Parallel()
	const asked = 40
	w := newWorld(t)
	juma, asha := w.counter(100_000 * shilling)
	ctx := t.Context()
	approvals := make([]accounts.Approval, asked)
	for i := range approvals {
		approvals[i] = w.asks(fmt.Sprint("ask:", i), juma, asha, 50*shilling)
	}
	for i, a := range approvals {
		if i%8 == 0 {
			w.must(w.accounts.Decline(ctx, asha, a.ID))
		}
	}
	var all sync.WaitGroup
	for i, a := range approvals {
		all.Go(func() {
			_, err := w.settleWithdraw(ctx, asha, a) // past the look beforehand, as in a race
			if late := i%8 == 0; late != accounts.Refused(err, "approval_gone") || !late && err != nil {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	all.Wait()
	w.proven()
}

// What cannot be pushed waits in the menu, and the customer is told by SMS.
func TestWhatCannotBePushedWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var pushed []accounts.Approval
	var fails error
	w.pushes(func(_ context.Context, a accounts.Approval) error {
		pushed = append(pushed, a)
		return fails
	})
	juma, asha := w.counter(1000 * shilling)
	ctx := t.Context()
	told := func() (bodies []string) {
		w.must(w.pool.Select(ctx, &bodies, `select body from every_notice where to_msisdn = $1 and key like 'approval:%'`, string(asha.Phone)))
		return bodies
	}

	a, err := w.AskWithdraw(ctx, "ask:1", juma, asha.Phone, 500*shilling)
	w.must(err)
	if !a.Pushed || a.Expires.Sub(a.At) != 2*time.Minute || len(pushed) != 1 || len(told()) != 0 {
		t.Errorf("pushed %d times, told %q: %+v", len(pushed), told(), a)
	}
	w.clock.pass(2 * time.Minute)
	_, err = w.accounts.Approve(ctx, asha, a.ID)
	w.refused(err, "approval_gone")

	fails = errors.New("the phone is in a session")
	a, err = w.AskWithdraw(ctx, "ask:2", juma, asha.Phone, 500*shilling)
	w.must(err)
	if a.Pushed || a.Expires.Sub(a.At) != 24*time.Hour || len(pushed) != 2 || len(told()) != 1 {
		t.Errorf("pushed %d times, told %q: %+v", len(pushed), told(), a)
	}
	if _, err = w.AskWithdraw(ctx, "ask:2", juma, asha.Phone, 500*shilling); err != nil || len(pushed) != 2 || len(told()) != 1 {
		t.Errorf("asked again: pushed %d times, told %q, %v", len(pushed), told(), err)
	}
	w.clock.pass(23 * time.Hour)
	_, err = w.accounts.Approve(ctx, asha, a.ID)
	w.must(err)

	// Nobody has looked at this one before the list is made.
	late, err := w.AskWithdraw(ctx, "ask:3", juma, asha.Phone, 100*shilling)
	w.must(err)
	w.clock.pass(24 * time.Hour)
	last, err := w.LastAsked(ctx, juma, 2)
	if err != nil || len(last) != 2 || last[0].ID != late.ID || last[0].State != accounts.ApprovalExpired || last[1].State != accounts.ApprovalApproved {
		t.Errorf("last asked: %+v %v", last, err)
	}
	w.proven()
}
