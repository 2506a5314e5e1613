package portal

import (
	"strings"
	"testing"

	"tuma/agents"
)

const mkuu = "+254722000099" // head of Kuu Office, which has Pima Traders

func (w *world) headOffice() {
	w.t.Helper()
	ctx := w.t.Context()
	_, err := w.agents.CreateHeadOffice(ctx, "Kuu Office", 2500)
	w.must(err)
	w.must(w.agents.AttachAgent(ctx, "Pima Traders", "Kuu Office"))
	w.must(w.agents.CreateOperator(ctx, agents.NewOperator{Office: "Kuu Office", Name: "Mkuu Juma", IDNumber: "23999999", Lang: "en", Role: "head", Phone: mkuu, PIN: w.sealed()}))
	id, err := w.agents.RequestFloat(ctx, "mary", "Kuu Office", 9000*shilling, "BANK-KUU")
	w.must(err)
	_, err = w.agents.ApproveFloat(ctx, "charles", id)
	w.must(err)
}

func TestHeadOffice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.headOffice()
	w.deposit(juma, 400)
	w.deposit(juma, 600)
	c, err := w.accounts.ByPhone(ctx, asha)
	w.must(err)
	_, err = w.agents.Withdraw(ctx, "out", c, "100001", 300*shilling)
	w.must(err)
	w.must(w.agents.SetLowFloat(ctx, w.who(juma), 60_000*shilling))
	b := w.browser().signIn(mkuu)
	b.get("/agents/office")
	b.wants(200, "Ksh9,000.00", "1 tills, today", "MAMA PIMA SHOP", "Ksh49,300.00", "Low float", "+Ksh1,000.00", "-Ksh300.00", "Today 3")
	b.get("/agents/office.csv")
	b.wants(200, "PIMA TRADERS,100001,MAMA PIMA SHOP,49300.00,yes,", ",3,1000.00,300.00,2026-11-22 09:")
	b.get("/agents/office/100001")
	b.wants(200, "PIMA TRADERS", "Low float", "Move float here", "The head office has Ksh9,000.00.", "Withdrawn")
	for _, path := range []string{"/agents/office/100002", "/agents/office/999999", "/agents/office/x"} {
		b.get(path)
		b.wants(404)
		if strings.Contains(b.last.body, "UHURU") {
			t.Errorf("%s shows another's till", path)
		}
	}

	// Float goes once for each form, and to tills of this head office alone.
	b.get("/agents/office/100001")
	ref := b.ref
	move := func(pairs ...string) {
		t.Helper()
		b.post("/agents/office/move", append([]string{"ref", ref, "till", "100001", "amount", "2000", "pin", canary}, pairs...)...)
	}
	move("till", "100002")
	b.wants(404)
	move("amount", "much")
	b.wants(422, "Not an amount")
	move("pin", "9999")
	b.wants(422, "Wrong PIN")
	move("amount", "9000.01")
	b.wants(422, "does not have enough float")
	for range 2 {
		move()
		b.wants(303, "/agents/done/"+ref)
	}
	b.follow()
	b.wants(200, "Done.", "Ksh2,000.00")
	move("amount", "5") // another amount under the same token is the first result
	b.wants(303, "/agents/done/"+ref)
	if p, err := w.agents.Float(ctx, w.who(juma)); err != nil || p.Float != 51_300*shilling {
		t.Errorf("%+v %v", p, err)
	}
	if p, err := w.agents.Float(ctx, w.who(neema)); err != nil || p.Float != 300*shilling {
		t.Errorf("%+v %v", p, err)
	}
	w.must(w.agents.FreezeTill(ctx, "zawadi", "100001", true, "a thief"))
	b.get("/agents/office/100001")
	b.wants(200, "Closed")
	if strings.Contains(b.last.body, "Move float here") {
		t.Error("float is to be moved to a frozen till")
	}
	ref = strings.Repeat("a", 32)
	move()
	b.wants(422, "till is closed")
	owner := w.browser().signIn(juma)
	owner.post("/agents/office/move", "ref", ref, "till", "100001", "amount", "5", "pin", canary)
	owner.wants(403)
}
