package portal

import (
	"strings"
	"testing"
	"time"

	"tuma/accounts"
)

// A till asks, and the customer's answer is what the page then says.
func TestWithdraw(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn(juma)
	b.get("/agents/deposit")
	b.post("/agents/deposit", "ref", b.ref, "number", asha, "amount", "3000", "pin", canary)
	b.wants(303)
	ask := func(amount string) string {
		t.Helper()
		b.get("/agents/withdraw")
		ref := b.ref
		b.post("/agents/withdraw/check", "ref", ref, "number", "0712000001", "amount", amount)
		b.wants(200, "ASHA JUMA", "Ask for Ksh", "Pay the cash only")
		b.post("/agents/withdraw", "ref", ref, "number", asha, "amount", amount, "pin", canary)
		b.wants(303, "/agents/done/"+ref)
		b.follow()
		b.wants(200, "Do not pay yet", "/agents/live/"+ref, "Take it back")
		return ref
	}
	customer, err := w.accounts.ByPhone(t.Context(), asha)
	w.must(err)
	newest := func() int64 {
		t.Helper()
		list, err := w.accounts.Approvals(t.Context(), customer)
		w.must(err)
		if len(list) == 0 {
			t.Fatal("nothing was asked")
		}
		return list[0].ID
	}
	stays := w.balance(asha)

	declined := ask("500")
	w.must(w.accounts.Decline(t.Context(), customer, newest()))
	b.opens("/agents/done/" + declined)
	b.wants(200, "Declined", "pay nothing")

	cancelled := ask("500")
	b.post("/agents/withdraw/cancel", "ref", cancelled)
	b.wants(303, "/agents/done/"+cancelled)
	b.follow()
	b.wants(200, "Taken back")

	expired := ask("500")
	w.clock.pass(25 * time.Hour)
	b = w.browser().signIn(juma)
	b.opens("/agents/done/" + expired)
	b.wants(200, "Expired", "pay nothing")
	if got := w.balance(asha); got != stays {
		t.Errorf("asha has %d, had %d", got, stays)
	}

	ref := ask("1000")
	done, err := w.accounts.Approve(t.Context(), customer, newest())
	w.must(err)
	if got := w.balance(asha); got != stays-1000*shilling-done.Fee {
		t.Errorf("asha has %d after a fee of %d", got, done.Fee)
	}
	b.get("/agents/live/" + ref)
	if !strings.Contains(b.last.body, "event: done") {
		t.Errorf("the page that waits hears %q", b.last.body)
	}
	b.opens("/agents/done/" + ref)
	b.wants(200, done.Code, "Ksh1,000.00")
	// The same form again, and a try to take it back: it is what it is.
	b.post("/agents/withdraw", "ref", ref, "number", asha, "amount", "1000", "pin", canary)
	b.wants(303, "/agents/done/"+ref)
	b.post("/agents/withdraw/cancel", "ref", ref)
	b.wants(303, "/agents/done/"+ref)
	b.follow()
	b.wants(200, done.Code)
	if n := w.count(`select count(*) from approval`); n != 4 {
		t.Errorf("%d approvals", n)
	}

	// What the customer has is not the till's to see; a wrong PIN asks nobody.
	b.get("/agents/withdraw")
	b.post("/agents/withdraw/check", "ref", b.ref, "number", asha, "amount", "50000")
	b.wants(200, "Ksh50,000.00") // the price alone
	b.post("/agents/withdraw", "ref", b.ref, "number", asha, "amount", "50000", "pin", canary)
	b.wants(422, "Only the customer can see why")
	b.post("/agents/withdraw", "ref", b.ref, "number", asha, "amount", "500", "pin", "1111")
	b.wants(422, "Wrong PIN")
	if n := w.count(`select count(*) from approval`); n != 4 {
		t.Errorf("%d approvals", n)
	}

	// Another till sees and cancels nothing of it, an auditor asks for nothing.
	pending := ask("500")
	other := w.browser().signIn(neema)
	other.opens("/agents/done/" + pending)
	other.wants(404)
	other.get("/agents/withdraw")
	other.post("/agents/withdraw/cancel", "ref", pending)
	other.wants(404)
	if a, err := w.accounts.Approval(t.Context(), newest()); err != nil || a.State != accounts.ApprovalPending {
		t.Errorf("%s, %v", a.State, err)
	}
	looker := w.browser().signIn(auditor)
	looker.get("/agents/withdraw")
	looker.wants(403)
}
