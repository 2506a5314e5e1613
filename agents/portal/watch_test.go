package portal

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"tuma/accounts"
	"tuma/internal/money"
)

// sends tries a payment of asha's to a number, which is hers to lose.
func (w *world) sends(ref, to string, shillings int) error {
	w.t.Helper()
	c, err := w.accounts.ByPhone(w.t.Context(), asha)
	w.must(err)
	n, err := w.accounts.Country().Phone.Parse(to)
	w.must(err)
	_, err = w.accounts.Send(w.t.Context(), ref, c, n, money.Amount(shillings)*shilling)
	return err
}

// TestBrakesPage: what the rules have done is found by rule, effect, till and day,
// and is judged once; letting money go needs a checker and another code.
func TestBrakesPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	_, err := w.accounts.Register(ctx, accounts.Registration{Ref: "baraka", Phone: "+254712000002", Name: "Baraka Otieno", IDNumber: "23000002", Lang: "en", Tier: accounts.TierFull, PIN: w.sealed()})
	w.must(err)
	w.deposit(juma, 20_000)
	c, err := w.accounts.ByPhone(ctx, asha)
	w.must(err)
	w.must(w.accounts.SwappedSIM(ctx, c))
	held := w.sends("held", "+254712000002", 6_000)
	if !accounts.Refused(held, "held") {
		t.Fatal(held)
	}
	w.accounts.NoteBrake(ctx, accounts.BrakeEvent{Rule: "till_deposits", Subject: "till:100002", Ref: "d", Detail: "more than 120 within 1h0m0s"})
	w.accounts.NoteBrake(ctx, accounts.BrakeEvent{Rule: "lookups", Subject: "phone:" + juma, Detail: "in the portal"})
	w.accounts.NoteBrake(ctx, accounts.BrakeEvent{Rule: "pin_spray", Detail: "20 wallets"})

	zawadi, charles := w.browser().signInStaff("zawadi"), w.browser().signInStaff("charles")
	found := func(query string, want int, words ...string) {
		t.Helper()
		zawadi.get("/agents/staff/brakes?" + query)
		zawadi.wants(200, words...)
		if n := strings.Count(zawadi.last.body, `<li><a href="/agents/staff/brakes/`); n != want {
			t.Errorf("%s finds %d events, want %d", query, n, want)
		}
	}
	found("", 4, "Large payment after a change of SIM", "Stopped", "One PIN tried on many wallets", "Noticed", "phone 0722000001", "till:100002")
	found("rule=sim_swap", 1, "customer:1")
	found("outcome=alert", 2)
	found("who=100002", 1, "Till takes in more than usual")
	found("day=2026-11-21", 0, "Nothing to look at.")
	found("day=2026-11-22", 4)
	zawadi.get("/agents/staff/brakes?day=today")
	zawadi.wants(422)
	id := w.eventOf("sim_swap")
	zawadi.get("/agents/staff/brakes/" + id)
	zawadi.wants(200, "ASHA JUMA", "0712000001", "Ksh5,000.00", "24 h", "send of Ksh6,000.00", "It is honest", "freeze 0712000001")
	if strings.Contains(zawadi.last.body, "release") {
		t.Error("care is shown how to release")
	}
	decide := func(b *browser, id, word, reason, code string) {
		t.Helper()
		b.post("/agents/staff/brakes/decide", "id", id, "decide", word, "reason", reason, "code", code)
	}
	decide(zawadi, id, "release", "she came in person", "000000")
	zawadi.wants(404)
	decide(zawadi, id, "fine", "", "")
	zawadi.wants(422, "Give a reason")
	decide(zawadi, id, "burn", "no such", "")
	zawadi.wants(404)
	charles.get("/agents/staff/brakes/" + id)
	charles.wants(200, "release payments now")
	decide(charles, id, "release", "she came in person", "")
	charles.wants(422, "This code is not right", `value="she came in person"`)
	if err := w.sends("still held", "+254712000002", 6_000); !accounts.Refused(err, "held") {
		t.Error(err)
	}
	decide(charles, id, "release", "she came in person", w.oneTime("charles"))
	charles.follow()
	charles.wants(200, "Honest, and released", "she came in person", "charles")
	decide(charles, id, "release", "she came in person", "") // pressed twice
	charles.wants(303)
	decide(zawadi, id, "fraud", "not so", "")
	zawadi.wants(422, "Somebody else was faster")
	w.must(w.sends("free", "+254712000002", 6_000))
	other := w.eventOf("sim_swap") // of the second try: what it tells of has been let go
	decide(charles, other, "release", "the same", w.oneTime("charles"))
	charles.wants(422, "Nothing is held any more")
	decide(charles, other, "fine", "the same", "")
	charles.wants(303)

	// A freeze comes with the word, and moves no money.
	decide(zawadi, w.eventOf("till_deposits"), "freeze", "the owner is in prison", "")
	zawadi.follow()
	zawadi.wants(200, "Fraud", "the owner is in prison", "zawadi")
	if till, err := w.agents.AnyTill(ctx, "100002"); err != nil || !till.Closed {
		t.Errorf("%+v %v", till, err)
	}
	decide(zawadi, w.eventOf("lookups"), "freeze", "collects names", "")
	zawadi.wants(303)
	if !w.who(juma).Frozen {
		t.Error("the operator is not frozen")
	}
	zawadi.get("/agents/staff/brakes/" + w.eventOf("pin_spray"))
	zawadi.wants(200, "20 wallets")
	if strings.Contains(zawadi.last.body, "freeze") && strings.Contains(zawadi.last.body, `value="freeze"`) {
		t.Error("nobody is to be frozen for a spray")
	}
	decide(zawadi, w.eventOf("pin_spray"), "freeze", "nobody to freeze", "")
	zawadi.wants(422)
	found("", 1)
	found("all=1", 5, "Honest, and released: charles", "Fraud: zawadi")
	if n := w.count(`select count(*) from log where action in ('brake_review', 'brake_release') and subject like 'brake_event:%' and reason <> ''`); n != 4 {
		t.Errorf("%d lines", n)
	}
	for _, path := range []string{"/agents/staff/brakes/0", "/agents/staff/brakes/x"} {
		charles.get(path)
		charles.wants(404)
	}
	decide(charles, "99999", "fine", "no such", "")
	charles.wants(404)

	for i := range brakesOnPage + 5 {
		w.accounts.NoteBrake(ctx, accounts.BrakeEvent{Rule: "till_cash_outs", Subject: "till:100001", Ref: fmt.Sprint("many", i)})
	}
	found("rule=till_cash_outs&all=1", brakesOnPage, "Older")
	more := regexp.MustCompile(`/agents/staff/brakes\?[^"]*before=\d+[^"]*`).FindString(zawadi.last.body)
	zawadi.get(strings.ReplaceAll(more, "&amp;", "&"))
	if n := strings.Count(zawadi.last.body, `<li><a href="/agents/staff/brakes/`); n != 5 {
		t.Errorf("%s has %d", more, n)
	}
}

// eventOf is the newest event of a rule.
func (w *world) eventOf(rule string) string {
	w.t.Helper()
	list, err := w.accounts.BrakeEvents(w.t.Context(), accounts.BrakeFind{Rule: rule, Limit: 1})
	w.must(err)
	if len(list) == 0 {
		w.t.Fatalf("no event of %s", rule)
	}
	return itoa(list[0].ID)
}

// TestWatchedTills: a head office sees the flags and disputes of its own tills and
// of no others, staff those of any.
func TestWatchedTills(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.headOffice()
	code := w.deposit(juma, 1_000)
	_, err := w.agents.AskReversal(ctx, w.who(juma), code, "wrong by one digit")
	w.must(err)
	c, err := w.accounts.ByPhone(ctx, asha)
	w.must(err)
	w.clock.pass(time.Minute)
	w.deposit(juma, 1_000)
	_, err = w.agents.Withdraw(ctx, "out", c, "100001", 950*shilling)
	w.must(err)

	charles, mary, head := w.browser().signInStaff("charles"), w.browser().signInStaff("mary"), w.browser().signIn(mkuu)
	charles.get("/agents/staff/flags")
	charles.wants(200, "Search")
	charles.get("/agents/staff/flags?till=100001")
	charles.wants(200, "MAMA PIMA SHOP", "The same cash in and out", "2 entries")
	charles.get("/agents/staff/flags?till=999999")
	charles.wants(422, "no such till")
	charles.get("/agents/staff/disputes?till=100001")
	charles.wants(200, code, "Ksh1,000.00", "wrong by one digit", `href="/agents/staff/reversals/1"`)
	mary.get("/agents/staff/disputes?till=100001")
	mary.wants(200, code)
	if strings.Contains(mary.last.body, "/staff/reversals/") {
		t.Error("a maker is led where only checkers may go")
	}
	charles.get("/agents/staff/disputes?till=100002")
	charles.wants(200, "Nothing was disputed.")

	head.get("/agents/office/100001")
	head.wants(200, "/agents/office/100001/flags", "/agents/office/100001/disputes")
	head.get("/agents/office/100001/flags")
	head.wants(200, "The same cash in and out")
	head.get("/agents/office/100001/disputes")
	head.wants(200, code, "wrong by one digit")
	for _, path := range []string{"/agents/office/100002/flags", "/agents/office/100002/disputes", "/agents/office/999999/flags"} {
		head.get(path)
		head.wants(404)
	}
	for i := range watchedOnPage + 3 {
		w.sql(`insert into flag (id, till, kind, at, customer, entry, receipt, entries) values (nextval('flag_id'), '100001', 'split_deposit', $1, $2, $3, 'UKM0000000', '{1,2,3}')`, w.clock.now(), c.ID, 1000+i)
	}
	for path, b := range map[string]*browser{"/agents/staff/flags?till=100001": charles, "/agents/office/100001/flags": head} {
		b.get(path)
		b.wants(200, "Older")
		more := regexp.MustCompile(`href="([^"]*before=\d+)"`).FindStringSubmatch(b.last.body)
		b.get(strings.ReplaceAll(more[1], "&amp;", "&"))
		if n := strings.Count(b.last.body, "<li><p>"); n != 4 {
			t.Errorf("%s has %d", more[1], n)
		}
	}
}
