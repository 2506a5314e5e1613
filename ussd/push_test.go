package ussd_test

import (
	"net/url"
	"testing"

	"tuma/accounts"
	"tuma/internal/phone"
	"tuma/ussd/dialogues"
)

// pushed is a world in which juma has asked asha for 500, and the question is on
// her phone: its session and its screen.
func pushed(t testing.TB) (w *world, session, screen string, a accounts.Approval) {
	w = newWorldWith(t, true)
	w.people(dialogues.DefaultCast())
	w.give(asha, 2000_00)
	a = w.askCashOut("ask")
	session, screen, err := w.network.Pushed(t.Context(), dialogues.Person{Number: asha})
	w.must(err)
	if session == "" || !a.Pushed {
		t.Fatalf("nothing was pushed: %+v", a)
	}
	return w, session, screen, a
}

func (w *world) askCashOut(ref string) accounts.Approval {
	w.t.Helper()
	o, err := w.agents.ByPhone(w.t.Context(), phone.Number(juma))
	w.must(err)
	a, err := w.agents.AskWithdraw(w.t.Context(), ref, o, phone.Number(asha), 500_00)
	w.must(err)
	return a
}

// withdrawn says how often asha's money was paid out.
func (w *world) withdrawn(times int) {
	w.t.Helper()
	var n int
	w.must(w.pool.Get(w.t.Context(), &n, `select count(*) from entry where kind = 'withdraw'`))
	if n != times {
		w.t.Errorf("paid out %d times, want %d", n, times)
	}
}

// A gateway begins with an empty request or with the answer, and sends any of
// them again.
func TestPushedSession(t *testing.T) {
	t.Parallel()
	w, s, screen, a := pushed(t)
	if got := w.ask(s, asha, ""); got != "CON "+screen {
		t.Errorf("an empty request got %q, pushed was %q", got, screen)
	}
	if got := w.ask(s, baraka, "1"); got != "END " {
		t.Errorf("another number got %q", got)
	}
	pin := w.ask(s, asha, "1")
	want(t, pin, "CON Approve Ksh500.00 at 100001 MAMA PIMA SHOP")
	want(t, w.ask(s, asha, ""), "CON "+screen)
	want(t, w.ask(s, asha, "1*"+canary), "END UKM")
	want(t, w.ask(s, asha, "1*"+canary), "END UKM")
	want(t, w.ask(s, asha, "1"), pin)
	w.withdrawn(1)
	seen, err := w.accounts.Approval(t.Context(), a.ID)
	w.must(err)
	if seen.State != accounts.ApprovalApproved {
		t.Errorf("%+v", seen)
	}
	w.wantNoPIN()
}

// Whatever Redis has forgotten, nothing is paid without the screen before it.
func TestPushedSessionIsLost(t *testing.T) {
	t.Parallel()
	w, s, _, _ := pushed(t)
	w.must(w.redis.FlushAll(t.Context()).Err())
	want(t, w.ask(s, asha, "1"), "CON Send to")
	want(t, w.ask(s, asha, "1*"+canary), "CON Not a phone number")
	w.withdrawn(0)
	// It still waits in the menu.
	w.ask("d", asha, "9")
	want(t, w.ask("d", asha, "9*1"), "CON 100001 MAMA PIMA SHOP asks")
	want(t, w.ask("d", asha, "9*1*1"), "CON Approve")
	want(t, w.ask("d", asha, "9*1*1*"+canary), "END UKM")
	w.withdrawn(1)
	w.wantNoPIN()
}

// A dial string does not answer: what is on the list is not known beforehand. So
// a session that is walked again after a loss declines nothing that was not seen.
func TestDialStringStopsAtTheList(t *testing.T) {
	t.Parallel()
	w := demo(t)
	first := w.askCashOut("first")
	w.ask("s", asha, "9")
	w.ask("s", asha, "9*1")
	want(t, w.ask("s", asha, "9*1*2"), "END Declined")
	second := w.askCashOut("second")
	w.must(w.redis.FlushAll(t.Context()).Err())
	want(t, w.ask("s", asha, "9*1*2"), "CON Choose one")
	for id, state := range map[int64]accounts.ApprovalState{first.ID: accounts.ApprovalDeclined, second.ID: accounts.ApprovalPending} {
		a, err := w.accounts.Approval(t.Context(), id)
		w.must(err)
		if a.State != state {
			t.Errorf("%d is %s, want %s", id, a.State, state)
		}
	}
}

// After the phone has left a pushed session, its answers come too late; and one
// that dials anew is in the new session.
func TestPushedSessionIsLeft(t *testing.T) {
	t.Parallel()
	w, s, _, _ := pushed(t)
	w.post("/ussd/africastalking/events", url.Values{"sessionId": {s}, "phoneNumber": {asha}, "networkCode": {"63902"}, "serviceCode": {"*334#"}, "status": {"Incomplete"}})
	want(t, w.ask(s, asha, "1"), "END This session is over")
	w, s, _, _ = pushed(t)
	want(t, w.ask(s, asha, "1"), "CON Approve")
	want(t, w.ask("new", asha, ""), "CON ")
	want(t, w.ask(s, asha, "1*"+canary), "END This session is over")
	w.withdrawn(0)
}

// Who cannot answer is not asked on the phone.
func TestWhoCannotBePushed(t *testing.T) {
	t.Parallel()
	w, _, _, first := pushed(t)
	w.must(w.accounts.Cancel(t.Context(), first.Asker, first.ID))
	w.exec(`update pin set tries = 3 where id = (select pin from customer join sim on customer.id = sim.customer where msisdn = '` + asha + `')`)
	w.stage() // the phone is in no session any more
	if a := w.askCashOut("locked"); a.Pushed {
		t.Errorf("pushed to somebody whose PIN is locked: %+v", a)
	}
	session, _, err := w.network.Pushed(t.Context(), dialogues.Person{Number: asha})
	if err != nil || session != "" {
		t.Errorf("shown: %q %v", session, err)
	}
}
