package portal

import (
	"encoding/csv"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"tuma/agents"
	"tuma/internal/money"
	"tuma/internal/text"
)

// Words whose names are put together of a word and a state.
func TestEveryStateHasAWord(t *testing.T) {
	t.Parallel()
	words, err := text.ParseCatalogue(files, "words")
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range []string{
		"float_state. asked made approved declined", "float_kind. issue return issue.how return.how", "role. owner assistant auditor head",
		"dispute. asked empty held approved declined", "entry. deposit withdraw float return transfer payout undo reversal",
		"log. freeze unfreeze operator_create operator_role operator_hours pin_reset float_ask float_make float_approve float_decline float_threshold" +
			" day_open day_close reversal_ask reversal_object reversal_decide agent_create agent_attach till_create office_create office_share system till receipt float_request",
	} {
		f := strings.Fields(family)
		for _, state := range f[1:] {
			if _, ok := words.Text("en", f[0]+state); !ok {
				t.Errorf("there is no [%s%s]", f[0], state)
			}
		}
	}
	for _, state := range []string{"asked", "made", "approved", "declined"} {
		if _, ok := words.Text("en", "float_state."+state+".more"); !ok {
			t.Errorf("there is no [float_state.%s.more]", state)
		}
	}
}

func (w *world) float(number string) money.Amount {
	w.t.Helper()
	p, err := w.agents.Float(w.t.Context(), w.who(number))
	w.must(err)
	return p.Float
}

// second gives juma's agent another till, with its own assistant.
func (w *world) second() {
	w.t.Helper()
	_, err := w.agents.CreateTill(w.t.Context(), "Pima Traders", "Pima Kiosk", "100003")
	w.must(err)
	w.operator("100003", "Wambui Njeri", wambui, "assistant")
}

const wambui = "+254722000013"

// A form under a token does one thing once: whatever is pressed again, changed
// or not, the right PIN or not, shows the first result, the next day as well.
func (b *browser) once(path string, right []string, others ...[]string) (ref string) {
	b.t.Helper()
	ref = b.ref
	b.post(path, append([]string{"ref", ref}, right...)...)
	b.wants(303, "/agents/done/"+ref)
	for _, other := range append(others, right) {
		b.post(path, append([]string{"ref", ref}, other...)...)
		b.wants(303, "/agents/done/"+ref)
	}
	b.post(path, "ref", "short")
	b.wants(403)
	b.get("/agents/done/" + ref)
	return ref
}

func TestFloatOfATill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.second()
	ctx := t.Context()
	b := w.browser().signIn(juma)

	b.get("/agents/float/ask")
	b.wants(200, "Put the money into the bank first", "Ksh50,000.00")
	ask := func(pairs ...string) { b.post("/agents/float/ask", append([]string{"ref", b.ref}, pairs...)...) }
	ref := b.ref
	for _, c := range []struct{ amount, bank, pin, says string }{
		{"much", "EQ-1", canary, "Not an amount"}, {"2000", "a b", canary, "A bank reference has"}, {"2000", "EQ-1", "1111", "Wrong PIN"}, {"2000", "BANK-100001", canary, "has been used"},
	} {
		ask("amount", c.amount, "bank", c.bank, "pin", c.pin)
		b.wants(422, c.says, `value="`+c.amount+`"`, ref)
	}
	b.once("/agents/float/ask", []string{"amount", "2000", "bank", "eq-1", "pin", canary}, []string{"amount", "9", "bank", "other", "pin", "1"})
	b.wants(200, "Waits for the service", "EQ-1", "Ksh2,000.00")
	b.get("/agents/live/" + ref)
	b.wants(200, "event: done")
	b.get("/agents/float")
	b.wants(200, "Waits for the service", "EQ-1", "BANK-100001", "Approved")
	open, err := w.agents.AskedFloat(ctx)
	if w.must(err); len(open) != 1 || open[0].Amount != 2000*shilling || open[0].AskedBy != juma {
		t.Fatalf("%+v", open)
	}
	w.must(w.agents.TakeFloat(ctx, "mary", open[0].ID, ""))
	w.must(w.agents.DeclineFloat(ctx, "charles", open[0].ID, "no such credit"))
	b.get("/agents/float")
	b.wants(200, "Declined", "no such credit")
	b.get("/agents/done/" + ref)
	b.wants(200, "The request was declined", "no such credit")

	b.get("/agents/float/send")
	b.wants(200, `<option value="100003">PIMA KIOSK</option>`)
	for _, c := range []struct{ to, amount, says string }{
		{"100002", "500", "not a till of yours"}, {"100001", "500", "where it is"}, {"nobody", "500", "not a till of yours"}, {"x", "500", "not a till of yours"},
		{"", "500", "6 digits"}, {"123456", "500", "no such till"}, {"100003", "x", "Not an amount"}, {"100003", "90000", "float"},
	} {
		b.post("/agents/float/send/check", "ref", b.ref, "to", c.to, "amount", c.amount)
		b.wants(422, c.says)
	}
	b.post("/agents/float/send/check", "ref", b.ref, "to", "100003", "amount", "700")
	b.wants(200, "PIMA KIOSK", "Send Ksh700.00")
	b.post("/agents/float/send", "ref", b.ref, "to", "100003", "amount", "700", "pin", "1111")
	b.wants(422, "Wrong PIN", "PIMA KIOSK")
	b.once("/agents/float/send", []string{"to", "100003", "amount", "700", "pin", canary}, []string{"to", "100002", "amount", "9", "pin", "1"})
	b.wants(200, "Done.", "Float moved", "PIMA KIOSK", "Ksh700.00")
	if a, k := w.float(juma), w.float(wambui); a != 49_300*shilling || k != 700*shilling {
		t.Errorf("%d and %d", a, k)
	}

	b.get("/agents/float/return")
	b.post("/agents/float/return", "ref", b.ref, "amount", "99000", "pin", canary)
	b.wants(422, "float")
	b.once("/agents/float/return", []string{"amount", "300", "pin", canary}, []string{"amount", "301", "pin", canary})
	b.wants(200, "Return", "Ksh300.00")
	if n := w.count(`select count(*) from float_request where till = '100001' and kind = 'return'`); n != 1 {
		t.Errorf("%d returns", n)
	}

	// The warning: set, shown, and not set back by an old form.
	b.get("/agents/float")
	b.wants(200, `name="was" value="0.00"`)
	b.post("/agents/float/alert", "was", "0.00", "low", "60,000")
	b.wants(303, "/agents/float")
	b.follow()
	b.wants(200, "Float is below Ksh60,000.00", `value="60000.00"`)
	b.post("/agents/float/alert", "was", "0.00", "low", "1")
	b.wants(303)
	b.post("/agents/float/alert", "was", "60000.00", "low", "-1")
	b.wants(422, "Not an amount")
	b.get("/agents/today")
	b.wants(200, "Float is below Ksh60,000.00", "/agents/float/ask")
	for range 12 {
		_, err := w.agents.AskFloat(ctx, fmt.Sprint("more", w.n), w.who(juma), shilling, fmt.Sprint("EQ-M", w.n))
		w.n++
		w.must(err)
	}
	b.get("/agents/float")
	b.wants(200, "Older")
	b.get(regexp.MustCompile(`/agents/float\?before=\d+`).FindString(b.last.body))
	b.wants(200, "BANK-100001")

	// Next day, in a new session, the first result stands.
	w.clock.pass(20 * time.Hour)
	b.get("/agents/in")
	b.post("/agents/in", "number", juma, "pin", canary)
	b.get("/agents/float")
	b.post("/agents/float/ask", "ref", ref, "amount", "2000", "bank", "EQ-2", "pin", canary)
	b.wants(303, "/agents/done/"+ref)
	assistant := w.browser().signIn(rehema)
	assistant.get("/agents/float")
	assistant.wants(200, "/agents/float/ask")
	if strings.Contains(assistant.last.body, "/agents/float/send") || strings.Contains(assistant.last.body, "/agents/float/alert") {
		t.Error("an assistant is shown what is the owner's")
	}
}

func TestCommissionOfATill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 20 {
		w.deposit(juma, 1500)
		w.clock.pass(5 * time.Minute)
	}
	w.clock.pass(24 * time.Hour)
	last := w.deposit(juma, 1500)
	b := w.browser().signIn(juma)
	b.get("/agents/commission")
	b.wants(200, "11/2026", "23/11/26", "22/11/26", "Ksh210.00", "/agents/commission?day=2026-11-22", "month=2026-10", `value="210.00"`)
	if strings.Contains(b.last.body, "month=2026-12") {
		t.Error("a month that has not come")
	}
	b.post("/agents/commission/payout", "ref", b.ref, "amount", "500", "pin", canary)
	b.wants(422, "not so much commission")
	b.post("/agents/commission/payout", "ref", b.ref, "amount", "50", "pin", "1111")
	b.wants(422, "Wrong PIN", `value="50"`)
	before := w.float(juma)
	b.once("/agents/commission/payout", []string{"amount", "50", "pin", canary}, []string{"amount", "51", "pin", canary})
	b.wants(200, "Commission paid out", "Ksh50.00")
	if got := w.float(juma); got != before+50*shilling {
		t.Errorf("float is %d", got)
	}
	b.get("/agents/commission")
	b.wants(200, "Paid out Ksh50.00", "Ksh160.00")
	b.get("/agents/commission?day=2026-11-22")
	b.wants(200, "ASHA JUMA", "+Ksh10.00", "Older", "The whole month")
	if strings.Contains(b.last.body, last) {
		t.Error("an entry of the day after")
	}
	b.get(strings.ReplaceAll(regexp.MustCompile(`/agents/commission\?day=[^"]*before=[^"]*`).FindString(b.last.body), "&amp;", "&"))
	b.wants(200, "ASHA JUMA")
	if n := strings.Count(b.last.body, "ASHA JUMA"); n != 5 {
		t.Errorf("%d entries on the second page", n)
	}
	b.get("/agents/commission.csv?month=2026-11")
	b.wants(200, "Time,Receipt,Kind,In,Out,Commission not paid out,Other side\n", last)
	rows, err := csv.NewReader(strings.NewReader(b.last.body)).ReadAll()
	if w.must(err); len(rows) != 23 || rows[1][4] != "50.00" || rows[2][3] != "10.00" {
		t.Errorf("%q", rows)
	}
	b.get("/agents/commission.csv?day=2026-11-22")
	if n := strings.Count(b.last.body, "\n"); n != 21 {
		t.Errorf("%d lines", n)
	}
	for path, status := range map[string]int{"?month=2020-01": 422, "?month=2027-01": 422, "?day=x": 422, "?month=x": 422, "?day=2026-11-22&before=x": 422} {
		b.get("/agents/commission" + path)
		b.wants(status)
	}
	b.get("/agents/commission.csv?month=2020-01")
	b.wants(404)
}

func TestDayOfATill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn(rehema)
	b.get("/agents/today")
	b.wants(200, "Not opened")
	b.get("/agents/day")
	b.wants(200, "Open the day", `name="day" value="2026-11-22"`, "No day was opened.")
	b.post("/agents/day/open", "day", "2026-11-22", "cash", "much")
	b.wants(422, "Not an amount", `value="much"`)
	b.post("/agents/day/open", "day", "2026-11-21", "cash", "1")
	b.wants(303) // a form of yesterday
	b.get("/agents/day")
	b.wants(200, "No day was opened.")
	b.post("/agents/day/open", "day", "2026-11-22", "cash", "1,000")
	b.wants(303, "/agents/day")
	w.clock.pass(time.Minute)
	w.deposit(rehema, 500)
	b.post("/agents/day/open", "day", "2026-11-22", "cash", "7")
	b.wants(303)
	b.follow()
	b.wants(200, "Open since 22/11/26", "Ksh1,000.00", "+Ksh500.00", "Ksh1,500.00", "Close the day")
	b.get("/agents/today")
	b.wants(200, "Ksh1,500.00")
	b.post("/agents/day/close", "day", "2026-11-22", "cash", "1490", "pin", "1111")
	b.wants(422, "Wrong PIN", `value="1490"`)
	b.post("/agents/day/close", "day", "2026-11-22", "cash", "x", "pin", canary)
	b.wants(422, "Not an amount")
	b.post("/agents/day/close", "day", "2026-11-22", "cash", "1490", "pin", canary)
	b.wants(303, "/agents/day")
	b.follow()
	b.wants(200, "Short Ksh10.00", "Today is closed.", "0722000011")
	// The old form, today and tomorrow, closes nothing more.
	again := func() {
		t.Helper()
		b.post("/agents/day/close", "day", "2026-11-22", "cash", "0", "pin", canary)
		b.wants(303, "/agents/day")
	}
	again()
	w.clock.pass(24 * time.Hour)
	b = w.browser().signIn(rehema)
	b.get("/agents/day")
	b.post("/agents/day/open", "day", "2026-11-23", "cash", "0")
	b.wants(303)
	again()
	b.follow()
	b.wants(200, "Open since 23/11/26", "Short Ksh10.00")
	for range 11 {
		_, err := w.agents.CloseDay(t.Context(), w.who(juma), 0)
		w.must(err)
		w.clock.pass(24 * time.Hour)
		_, err = w.agents.OpenDay(t.Context(), w.who(juma), 0)
		w.must(err)
	}
	looks := w.browser().signIn(auditor)
	looks.get("/agents/day")
	looks.wants(200, "Older", "Exact")
	if strings.Contains(looks.last.body, "<input id=\"cash\"") {
		t.Error("an auditor is asked for cash")
	}
	looks.get(regexp.MustCompile(`/agents/day\?before=[0-9-]+`).FindString(looks.last.body))
	looks.wants(200, "22/11/26", "Short Ksh10.00")
}

func TestOperatorsOfATill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.second()
	b := w.browser().signIn(juma)
	b.get("/agents/operators")
	b.wants(200, "JUMA KAMAU", "WAMBUI NJERI", "100003", "Assistant")
	if strings.Contains(b.last.body, "NEEMA") {
		t.Error("another agent's operator is on the list")
	}
	b.get("/agents/operators/new")
	b.wants(200, `<option value="100003">100003 PIMA KIOSK</option>`)
	add := func(pairs ...string) {
		t.Helper()
		f := map[string]string{"number": "0722000014", "name": "Kariuki Maina", "id": "24001234", "till": "100003", "role": "assistant", "lang": "sw", "pin": canary}
		for i := 0; i+1 < len(pairs); i += 2 {
			f[pairs[i]] = pairs[i+1]
		}
		var all []string
		for name, value := range f {
			all = append(all, name, value)
		}
		b.post("/agents/operators/new", all...)
	}
	for _, c := range [][3]string{
		{"number", "1", "0712345678"}, {"name", "X1", "Not a name"}, {"id", "1", "Not an ID"}, {"till", "100002", "not a till of yours"}, {"till", "9", "6 digits"},
		{"number", "0722000002", "works at a till already"}, {"pin", "1111", "Wrong PIN"}, {"lang", "xx", "language"},
	} {
		add(c[0], c[1])
		b.wants(422, c[2])
	}
	add()
	b.wants(303, "/agents/operators/0722000014")
	b.follow()
	b.wants(200, "KARIUKI MAINA", "100003", "Always", "Not chosen")
	add() // pressed twice
	b.wants(303, "/agents/operators/0722000014")
	add("name", "Somebody Else")
	b.wants(422, "works at a till already")

	const page = "/agents/operators/0722000013"
	b.get(page)
	b.wants(200, "WAMBUI NJERI", `name="was" value="assistant always"`)
	duty := []string{"was", "assistant always", "role", "auditor", "from", "08:00", "to", "17:30", "pin", canary}
	b.post(page+"/duty", append(duty, "pin", "1111")...)
	b.wants(422, "Wrong PIN")
	for _, c := range [][2]string{{"to", ""}, {"to", "8"}, {"to", "25:00"}, {"to", "08:00"}, {"role", "king"}, {"role", "head"}} {
		b.post(page+"/duty", append(duty, c[0], c[1])...)
		b.wants(422)
	}
	b.post(page+"/duty", duty...)
	b.wants(303, page)
	if o := w.who(wambui); o.Role != "auditor" || o.Hours == nil || *o.Hours != (agents.Hours{From: 480, To: 1050}) {
		t.Errorf("%+v", o)
	}
	b.post(page+"/duty", "was", "auditor 08:00-17:30", "role", "assistant", "from", "", "to", "", "pin", canary)
	b.wants(303)
	b.post(page+"/duty", append(duty, "was", "auditor always")...) // an old form
	b.wants(303)
	if o := w.who(wambui); o.Role != "assistant" || o.Hours != nil {
		t.Errorf("%+v", o)
	}

	b.post(page+"/freeze", "was", "false", "reason", "x", "pin", canary)
	b.wants(422, "Give a reason")
	b.post(page+"/freeze", "was", "false", "reason", "has left us", "pin", canary)
	b.wants(303)
	b.post(page+"/freeze", "was", "false", "reason", "has left us", "pin", canary) // pressed twice
	b.wants(303)
	b.follow()
	b.wants(200, "Frozen", "Unfreeze")
	if !w.who(wambui).Frozen {
		t.Error("not frozen")
	}
	b.post(page+"/freeze", "was", "true", "reason", "is back", "pin", canary)
	b.wants(303)
	if w.who(wambui).Frozen {
		t.Error("frozen")
	}
	b.get(page)
	was := regexp.MustCompile(`name="was" value="(\d+)"`).FindStringSubmatch(b.last.body)[1]
	b.post(page+"/pin", "was", "1", "pin", canary)
	b.wants(303)
	b.get(page)
	b.wants(200, "Chosen")
	b.post(page+"/pin", "was", was, "pin", canary)
	b.wants(303)
	b.follow()
	b.wants(200, "Not chosen")

	// Oneself, and those of others.
	b.get("/agents/operators/0722000001")
	b.wants(200, "Nobody changes his own rights.")
	b.post("/agents/operators/0722000001/freeze", "was", "false", "reason", "tired of it", "pin", canary)
	b.wants(422, "Nobody changes his own rights.")

	b.get("/agents/log")
	b.wants(200, "PIN taken away", "0722000013", "Frozen", "has left us", "auditor &rarr; assistant", "Till opened")
	if strings.Contains(b.last.body, "NEEMA") || strings.Contains(b.last.body, "100002") {
		t.Error("another agent's lines")
	}
	b.get("/agents/log?who=0722000001&day=2026-11-22")
	b.wants(200, "PIN taken away")
	if strings.Contains(b.last.body, "Till opened") {
		t.Error("lines of others")
	}
	b.get("/agents/log?day=2026-11-21")
	b.wants(200, "No lines.")
	b.get("/agents/log?day=x")
	b.wants(422, "Not a date")
	b.get("/agents/log?who=charles")
	b.wants(200, "Float approved", "charles")
	for range 16 {
		w.must(w.agents.SetLowFloat(t.Context(), w.who(juma), shilling))
	}
	b.get("/agents/log")
	b.wants(200, "Older", "Warning changed")
	b.get(strings.ReplaceAll(regexp.MustCompile(`/agents/log\?who=[^"]*before=\d+`).FindString(b.last.body), "&amp;", "&"))
	b.wants(200, "PIN taken away")
}

// A deposit to a wrong number: asked for once, within a day, with its state shown.
func TestReversalIsAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	late := w.deposit(rehema, 100)
	w.clock.pass(25 * time.Hour)
	code := w.deposit(rehema, 500)
	b := w.browser().signIn(rehema)
	b.get("/agents/entries/" + late)
	b.wants(200)
	if strings.Contains(b.last.body, "/reversal") {
		t.Error("a deposit of yesterday can be disputed")
	}
	b.get("/agents/entries/" + late + "/reversal")
	b.wants(303, "/agents/entries/"+late)
	page := "/agents/entries/" + code
	b.get(page)
	b.wants(200, page+"/reversal")
	b.get(page + "/reversal")
	b.wants(200, "ASHA JUMA", "Ksh500.00", "may object")
	b.post(page+"/reversal", "reason", "one digit wrong", "pin", "1111")
	b.wants(422, "Wrong PIN", `value="one digit wrong"`)
	b.post(page+"/reversal", "reason", "x", "pin", canary)
	b.wants(422, "Give a reason")
	for range 2 {
		b.post(page+"/reversal", "reason", "one digit wrong", "pin", canary)
		b.wants(303, page)
	}
	b.follow()
	b.wants(200, "Held, waits for a decision", "one digit wrong")
	if strings.Contains(b.last.body, page+"/reversal") {
		t.Error("it can be asked for twice")
	}
	b.get(page + "/reversal")
	b.wants(303, page)
	// One that broke off before anything was held is completed by asking again.
	w.sql(`update reversal_request set state = 'asked', held = 0`)
	b.get(page)
	b.wants(200, page+"/reversal")
	b.get(page + "/reversal")
	b.wants(200)
	b.post(page+"/reversal", "reason", "one digit wrong", "pin", canary)
	b.wants(303, page)
	open, err := w.agents.OpenReversals(ctx)
	if w.must(err); len(open) != 1 || open[0].AskedBy != rehema {
		t.Fatalf("%+v", open)
	}
	asha, err := w.accounts.ByPhone(ctx, asha)
	w.must(err)
	w.must(w.agents.Object(ctx, asha, open[0].ID))
	b.get(page)
	b.wants(200, "Has objected")
	_, err = w.agents.DecideReversal(ctx, "charles", open[0].ID, false, "it was hers")
	w.must(err)
	b.get(page)
	b.wants(200, "Declined, left to the customer", "it was hers")
	b.post("/agents/entries/"+late+"/reversal", "reason", "one digit wrong", "pin", canary)
	b.wants(303, "/agents/entries/"+late)
	if n := w.count(`select count(*) from reversal_request`); n != 1 {
		t.Errorf("%d requests", n)
	}
	b.post("/agents/entries/UKM2222222/reversal", "reason", "one digit wrong", "pin", canary)
	b.wants(404)
}

// A head office has float, commission, operators and a log as a till has.
func TestPagesOfAHeadOffice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	const mkuu = "+254722000099"
	_, err := w.agents.CreateHeadOffice(ctx, "Kuu Office", 2500)
	w.must(err)
	w.must(w.agents.AttachAgent(ctx, "Pima Traders", "Kuu Office"))
	w.must(w.agents.CreateOperator(ctx, agents.NewOperator{Office: "Kuu Office", Name: "Mkuu Juma", IDNumber: "23999999", Lang: "en", Role: "head", Phone: mkuu, PIN: w.sealed()}))
	id, err := w.agents.RequestFloat(ctx, "mary", "KUU OFFICE", 9000*shilling, "BANK-KUU")
	w.must(err)
	_, err = w.agents.ApproveFloat(ctx, "charles", id)
	w.must(err)
	w.deposit(juma, 1500)
	b := w.browser().signIn(mkuu)
	b.get("/agents/today")
	b.wants(200, "KUU OFFICE", "Ksh9,000.00")
	b.get("/agents/float/send")
	b.wants(200, `value="100001"`)
	b.post("/agents/float/send/check", "ref", b.ref, "to", "100001", "amount", "400")
	b.wants(200, "MAMA PIMA SHOP")
	b.once("/agents/float/send", []string{"to", "100001", "amount", "400", "pin", canary})
	b.wants(200, "Float moved", "KUU OFFICE")
	b.get("/agents/float/ask")
	b.once("/agents/float/ask", []string{"amount", "400", "bank", "EQ-K", "pin", canary})
	b.wants(200, "Waits for the service")
	b.get("/agents/commission?day=2026-11-22")
	b.wants(200, "MAMA PIMA SHOP", "+Ksh2.50")
	if strings.Contains(b.last.body, "ASHA") {
		t.Error("a head office reads who its tills' customers are")
	}
	b.get("/agents/commission.csv")
	b.wants(200, "2.50")
	b.get("/agents/operators/new")
	b.post("/agents/operators/new", "number", "0722000098", "name", "Mwingine Mkuu", "id", "23999998", "lang", "en", "pin", canary)
	b.wants(303, "/agents/operators/0722000098")
	b.follow()
	b.wants(200, "MWINGINE MKUU", "Head office")
	b.post("/agents/operators/0722000098/duty", "was", "head always", "from", "08:00", "to", "09:00", "pin", canary)
	b.wants(303)
	b.get("/agents/log")
	b.wants(200, "Operator added", "Hours changed", "08:00-09:00")
	b.get("/agents/day")
	b.wants(403)
}
