package portal

import (
	"bytes"
	"fmt"
	"image/jpeg"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/db"
	"tuma/internal/money"
	"tuma/internal/phone"
)

// The password alone opens nothing, a code opens once, and both steps end.
func TestSecondFactor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	b.get("/agents/staff/float")
	b.follow()
	b.post("/agents/staff/in", "name", "mary", "password", "something else")
	b.wants(422, "Name and password")
	b.post("/agents/staff/in", "name", "nosuch", "password", "something else")
	b.wants(422, "Name and password")
	b.post("/agents/staff/in", "name", "mary", "password", password, "next", "/agents/staff/float")
	b.follow()
	b.wants(200, "One-time code", "<svg", "otpauth://totp/Tuma:mary")
	secret := secretShown.FindStringSubmatch(b.last.body)[1]
	w.secrets.Store("mary", strings.ReplaceAll(secret, " ", ""))
	b.get("/agents/staff/float")
	b.wants(303, "/agents/staff/code")
	b.get("/agents/")
	b.wants(303, "/agents/staff/code")
	b.get("/agents/staff/code") // the same secret until it is used
	b.wants(200, secret)
	b.post("/agents/staff/code", "code", "000000")
	b.wants(422, "This code is not right")
	code := w.oneTime("mary")
	b.post("/agents/staff/code", "code", code[:3]+" "+code[3:], "next", "/agents/staff/float")
	b.wants(303, "/agents/staff/float")
	b.follow()
	b.wants(200, "No requests wait.", "Ask for float")
	if n := w.count(`select count(*) from log where action = 'factor_set_up' and actor = 'staff:mary'`); n != 1 {
		t.Errorf("%d lines", n)
	}
	var kept string
	w.must(w.pool.Get(t.Context(), &kept, `select secret from staff_factor`))
	if !strings.HasPrefix(kept, "k1.") || strings.Contains(kept, strings.ReplaceAll(secret, " ", "")) {
		t.Errorf("kept as %s", kept)
	}

	// The code that opened one browser opens no other, nor does one before it.
	other := w.browser()
	other.get("/agents/staff/in")
	other.post("/agents/staff/in", "name", "mary", "password", password)
	other.follow()
	other.wants(200, "One-time code")
	if strings.Contains(other.last.body, "<svg") {
		t.Error("the secret is shown again")
	}
	before, err := agents.CodeAt(strings.ReplaceAll(secret, " ", ""), w.clock.now().Add(-30*time.Second))
	w.must(err)
	for _, used := range []string{code, before, "", "12345"} {
		other.post("/agents/staff/code", "code", used)
		other.wants(422, "has been used")
	}
	w.clock.pass(5 * time.Minute)
	other.post("/agents/staff/code", "code", w.oneTime("mary"))
	other.wants(200, "Password") // the first step was too long ago
	b.get("/agents/staff/float")
	b.wants(200)

	// Ten wrong codes lock it, whatever the limits of the address say; a colleague
	// takes it away, which ends what it had opened.
	ctx := t.Context()
	for range 20 {
		if err := w.agents.CheckCode(ctx, "mary", "000000"); err == nil {
			t.Fatal("a wrong code is taken")
		}
	}
	if err := w.agents.CheckCode(ctx, "mary", w.oneTime("mary")); err == nil {
		t.Error("a locked factor opens")
	}
	for by, reason := range map[string]string{"mary": "lost phone", "nosuch": "lost phone", "charles": ""} {
		if err := w.agents.ResetFactor(ctx, by, "mary", reason); err == nil {
			t.Errorf("%s took it away", by)
		}
	}
	w.must(w.agents.ResetFactor(ctx, "charles", "mary", "lost phone"))
	b.get("/agents/staff/float")
	b.wants(303, "/agents/staff/in")
	w.browser().signInStaff("mary").get("/agents/staff/float")
	if strings.Contains(w.log.String(), password) {
		t.Error("a password is in the log")
	}
}

// Sessions of staff end as those of operators do.
func TestStaffSessionsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signInStaff("mary")
	for range 12*60/14 - 1 {
		w.clock.pass(14 * time.Minute)
		if b.get("/agents/staff/float"); b.last.status != 200 {
			t.Fatal("ended too early")
		}
	}
	w.clock.pass(14 * time.Minute)
	b.get("/agents/staff/float")
	w.clock.pass(14 * time.Minute)
	b.get("/agents/staff/float")
	b.wants(303, "/agents/staff/in")
	guess := w.browser()
	guess.get("/agents/staff/in")
	for range 11 {
		guess.post("/agents/staff/in", "name", "charles", "password", "a wrong password")
	}
	guess.wants(429, "Too many tries")
	idle := w.browser().signInStaff("mary")
	w.clock.pass(15 * time.Minute)
	idle.get("/agents/staff/float")
	idle.wants(303, "/agents/staff/in")
}

func TestFloatByTwoPeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	mary := w.browser().signInStaff("mary")
	mary.get("/agents/staff/float")
	ask := func(pairs ...string) {
		t.Helper()
		mary.post("/agents/staff/float/request", append([]string{"till", "100002", "amount", "2000", "bank", "EQ-1"}, pairs...)...)
	}
	ask("amount", "much")
	mary.wants(422, `value="EQ-1"`)
	ask("till", "123456")
	mary.wants(422, "no such till")
	ask("till", "Nowhere & Co")
	mary.wants(422, "no such till")
	ask("bank", "a b")
	mary.wants(422, "A bank reference has")
	ask()
	mary.follow()
	mary.wants(200, "Waits for a checker", "Ksh2,000.00", "cannot approve it")
	ask() // pressed twice
	mary.wants(303, "/agents/staff/float/")
	id := regexp.MustCompile(`/float/(\d+)`).FindStringSubmatch(mary.last.header.Get("Location"))
	ask("amount", "3000")
	mary.wants(422, "has been used")
	if strings.Contains(mary.last.body, "Approve request") {
		t.Error("a maker is shown how to approve")
	}
	w.clock.pass(3 * time.Hour)
	charles := w.browser().signInStaff("charles")
	charles.get("/agents/staff/float")
	charles.wants(200, "Ksh2,000.00", "3 h", "mary")
	charles.get("/agents/staff/float/" + id[1])
	charles.wants(200, "Approve request")
	charles.post("/agents/staff/float/approve", "id", id[1], "code", "000000")
	charles.wants(422, "This code is not right")
	if p, err := w.agents.Float(ctx, w.who(neema)); err != nil || p.Float != 300*shilling {
		t.Errorf("%+v %v", p, err)
	}
	charles.post("/agents/staff/float/approve", "id", id[1], "code", w.oneTime("charles"))
	charles.follow()
	charles.wants(200, "Approved", "Receipt")
	charles.post("/agents/staff/float/approve", "id", id[1], "code", "") // pressed twice
	charles.wants(303)
	if p, err := w.agents.Float(ctx, w.who(neema)); err != nil || p.Float != 2300*shilling {
		t.Errorf("%+v %v", p, err)
	}

	// What an operator asks for goes through both, or is declined.
	asked, err := w.agents.AskFloat(ctx, "ask", w.who(neema), 700*shilling, "EQ-2")
	w.must(err)
	back, err := w.agents.ReturnFloat(ctx, "back", w.who(neema), 100*shilling)
	w.must(err)
	mary = w.browser().signInStaff("mary")
	mary.get("/agents/staff/float")
	mary.wants(200, "Ksh700.00", "EQ-2", "Return")
	take := func(id, bank string) { mary.post("/agents/staff/float/take", "id", id, "bank", bank) }
	take(itoa(asked), "EQ-3")
	mary.wants(422, "another bank reference")
	take(itoa(asked), "EQ-2")
	mary.follow()
	mary.wants(200, "Waits for a checker")
	take(itoa(back), "")
	mary.wants(422, "A bank reference has")
	take(itoa(back), "EQ-9")
	mary.wants(303)
	take(itoa(back), "EQ-9") // pressed twice
	mary.wants(303)
	charles.get("/agents/staff/float/" + itoa(back))
	charles.post("/agents/staff/float/decline", "id", itoa(back), "reason", "")
	charles.wants(422, "Give a reason")
	charles.post("/agents/staff/float/decline", "id", itoa(back), "reason", "not at the bank")
	charles.follow()
	charles.wants(200, "Declined", "not at the bank")
	mary.post("/agents/staff/float/decline", "id", itoa(asked), "reason", "changed my mind")
	mary.wants(422)
	for _, path := range []string{"/agents/staff/float/0", "/agents/staff/float/x"} {
		charles.get(path)
		charles.wants(404)
	}
}

func TestReversalsPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	var ids []string
	for _, a := range []int{500, 600} {
		v, err := w.agents.AskReversal(ctx, w.who(juma), w.deposit(juma, a), "wrong by one digit")
		w.must(err)
		ids = append(ids, itoa(v.ID))
	}
	customer, err := w.accounts.ByPhone(ctx, asha)
	w.must(err)
	w.must(w.agents.Object(ctx, customer, 1))
	charles := w.browser().signInStaff("charles")
	charles.get("/agents/staff/reversals")
	charles.wants(200, "Ksh500.00", "Ksh600.00", "The customer objects", "wrong by one digit")
	charles.get("/agents/staff/reversals/" + ids[0])
	charles.wants(200, "ASHA JUMA", "0712000001", "0722000001", "The customer objects", "Held")
	decide := func(id, word, reason, code string) {
		t.Helper()
		charles.post("/agents/staff/reversals/decide", "id", id, "decide", word, "reason", reason, "code", code)
	}
	decide(ids[0], "approve", "", "")
	charles.wants(422, "Give a reason")
	decide(ids[0], "approve", "the number was wrong", "111111")
	charles.wants(422, "This code is not right", `value="the number was wrong"`)
	decide(ids[0], "approve", "the number was wrong", w.oneTime("charles"))
	charles.follow()
	charles.wants(200, "Given to the till", "the number was wrong", "charles")
	decide(ids[0], "approve", "the number was wrong", "") // pressed twice
	charles.wants(303)
	decide(ids[0], "decline", "after all not", w.oneTime("charles"))
	charles.wants(422, "Somebody else was faster")
	decide(ids[1], "decline", "the customer is right", w.oneTime("charles"))
	charles.follow()
	charles.wants(200, "Given to the customer")
	charles.get("/agents/staff/reversals")
	charles.wants(200, "Nothing waits.", "Given to the till", "Given to the customer")
	if got := w.balance(asha); got != 600*shilling {
		t.Errorf("asha has %d", got)
	}
	for _, path := range []string{"/agents/staff/reversals/99", "/agents/staff/reversals/x"} {
		charles.get(path)
		charles.wants(404)
	}
	decide("99", "approve", "no such", "")
	charles.wants(404)
	decide(ids[0], "burn", "no such", "")
	charles.wants(404)
}

func TestFreezesPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	zawadi := w.browser().signInStaff("zawadi")
	zawadi.get("/agents/staff/freezes")
	zawadi.wants(200, "Nothing is frozen.")
	do := func(word, kind, whom, reason string) {
		t.Helper()
		zawadi.post("/agents/staff/freezes", "do", word, "kind", kind, "whom", whom, "reason", reason)
	}
	do("freeze", "till", "100002", "")
	zawadi.wants(422, "Give a reason")
	for kind, bad := range map[string]string{"till": "999999", "agent": "NOBODY AT ALL", "operator": "0733000009", "customer": "0733000009", "": "x"} {
		do("freeze", kind, bad, "reported stolen")
		zawadi.wants(422)
	}
	do("freeze", "till", "100002", "reported stolen")
	zawadi.wants(200, "100002 is frozen", "UHURU STORES", "reported stolen", "zawadi")
	do("freeze", "agent", "uhuru stores", "fraud is suspected")
	do("freeze", "operator", "0722000001", "lost phone")
	do("freeze", "customer", "0712000001", "stolen phone")
	zawadi.wants(200, "ASHA JUMA", "JUMA KAMAU", "Agent UHURU STORES")
	w.clock.pass(50 * time.Minute)
	zawadi = w.browser().signInStaff("zawadi")
	zawadi.get("/agents/staff/freezes?let=customer:1")
	zawadi.wants(200, `value="0712000001"`, "50 min")
	if strings.Contains(zawadi.last.body, ">Freeze<") {
		t.Error("what is frozen is to be frozen")
	}
	do("unfreeze", "customer", "0712000001", "came in person")
	zawadi.wants(200, "0712000001 is free again")
	do("unfreeze", "till", "100002", "found")
	do("unfreeze", "agent", "UHURU STORES", "it was not so")
	do("unfreeze", "operator", "0722000001", "a new SIM")
	zawadi.wants(200, "Nothing is frozen.")
	if n := w.count(`select count(*) from log where action in ('freeze', 'unfreeze') and actor = 'staff:zawadi' and reason <> ''`); n != 8 {
		t.Errorf("%d lines", n)
	}
}

func TestLookUpAndPhoto(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	zawadi := w.browser().signInStaff("zawadi")
	zawadi.get("/agents/staff/customer")
	zawadi.post("/agents/staff/customer", "number", "0712000001", "reason", "x")
	zawadi.wants(422, "Give a reason")
	zawadi.post("/agents/staff/customer", "number", "0733000009", "reason", "called in")
	zawadi.wants(422, "is not on")
	if n := w.count(`select count(*) from log where action = 'customer_lookup'`); n != 0 {
		t.Errorf("%d look-ups", n)
	}
	zawadi.post("/agents/staff/customer", "number", "0712000001", "reason", "called in, lost her phone")
	zawadi.wants(200, "ASHA JUMA", "Chosen", "Open", "Show the photo")
	if n := w.count(`select count(*) from log where action = 'customer_lookup' and actor = 'staff:zawadi' and from_where like 'portal 127.0.0.1%' and reason = 'called in, lost her phone'`); n != 1 {
		t.Errorf("%d look-ups", n)
	}

	see := func(number, reason string) answer {
		t.Helper()
		return zawadi.post("/agents/staff/photo", "number", number, "reason", reason)
	}
	see("0712000001", "compare the face")
	zawadi.wants(422, "There is no photo")
	var jpg bytes.Buffer
	w.must(jpeg.Encode(&jpg, picture(300), nil))
	w.must(os.WriteFile(filepath.Join(w.photos, "x.jpg"), jpg.Bytes(), 0o600))
	w.sql(`insert into id_photo (ref, file, customer, msisdn, born, till, operator, created_at)
		select 'x', 'x.jpg', s.customer, s.msisdn, date '1990-01-01', '100002', o.id, now() from sim s, operator o where s.msisdn = $1 and o.msisdn = $2`, asha, neema)
	see("0712000001", "x")
	zawadi.wants(422, "Give a reason")
	see("0733000009", "compare the face")
	zawadi.wants(422, "no such customer")
	if n := w.count(`select count(*) from log where action = 'photo_view'`); n != 0 {
		t.Errorf("%d views", n)
	}
	a := see("0712000001", "compare the face")
	if a.status != 200 || a.body != jpg.String() || a.header.Get("Content-Type") != "image/jpeg" || a.header.Get("Cache-Control") != "no-store" || a.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d %v, %d bytes", a.status, a.header, len(a.body))
	}
	if n := w.count(`select count(*) from log where action = 'photo_view' and actor = 'staff:zawadi' and subject like 'customer:%' and reason = 'compare the face'`); n != 1 {
		t.Errorf("%d views", n)
	}
	// A name in the table leads nowhere out of the folder, and no address leads to a photo.
	w.sql(`insert into id_photo (ref, file, customer, msisdn, born, till, operator, created_at)
		select 'y', '../../../../etc/passwd', customer, msisdn, born, till, operator, now() + interval '1 day' from id_photo`)
	see("0712000001", "compare the face")
	if zawadi.last.status == 200 || strings.Contains(zawadi.last.body, "root:") {
		t.Errorf("%d %s", zawadi.last.status, zawadi.last.body)
	}
	for _, path := range []string{"/agents/staff/photo", "/agents/x.jpg", "/agents/static/x.jpg", "/agents/photos/x.jpg"} {
		zawadi.get(path)
		if zawadi.last.status == 200 {
			t.Errorf("%s is there", path)
		}
	}
	mary := w.browser().signInStaff("mary")
	mary.post("/agents/staff/photo", "number", "0712000001", "reason", "curious")
	mary.wants(403)
}

func TestWholeLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	charles := w.browser().signInStaff("charles")
	for range 4 {
		w.must(w.agents.FreezeTill(ctx, "zawadi", "100002", true, "a thief"))
		w.must(w.agents.FreezeTill(ctx, "zawadi", "100002", false, "no thief"))
	}
	charles.get("/agents/staff/log")
	charles.wants(200, "as they were written", "staff:zawadi", "till:100002", "no thief", "Older")
	more := regexp.MustCompile(`/agents/staff/log\?[^"]*before=\d+`).FindString(charles.last.body)
	charles.get(strings.ReplaceAll(more, "&amp;", "&"))
	charles.wants(200, "staff_create", "system")
	for query, want := range map[string]int{"who=zawadi&what=freeze": 4, "who=100002&what=unfreeze": 4, "who=100002&what=unfreeze&day=2026-11-22": 4, "who=100002&what=unfreeze&day=2026-11-21": 0, "who=nosuch": 0} {
		charles.get("/agents/staff/log?" + query)
		charles.wants(200)
		if n := strings.Count(charles.last.body, "<li><p>"); n != want {
			t.Errorf("%s finds %d lines, want %d", query, n, want)
		}
	}
	charles.get("/agents/staff/log?who=0722000001")
	charles.wants(200, "operator_create", "operator 0722000001")
	// What is too long is cut, and not in the middle of a character.
	for n := range 5 {
		charles.get("/agents/staff/log?what=" + url.QueryEscape(strings.Repeat("a", 56+n)+"\U0001F4B8"))
		charles.wants(200)
		charles.get("/agents/staff/log?who=" + url.QueryEscape(strings.Repeat("a", 56+n)+"\u00e9\u00e9"))
		charles.wants(200)
	}
	charles.get("/agents/staff/log?day=yesterday")
	charles.wants(422)
	charles.get("/agents/staff/log?check=1")
	charles.wants(200, "lines, all as they were written")
	w.asOwner(`update log set reason = 'a friend' where action = 'freeze' and id = (select max(id) from log where action = 'freeze')`)
	charles.get("/agents/staff/log")
	charles.wants(200, "is not as it was written", "Changed:")
	charles.get("/agents/staff/log?check=1")
	charles.wants(200, "The log was changed")
}

// asOwner changes what the service's role may not.
func (w *world) asOwner(query string) {
	w.t.Helper()
	w.must(w.pool.InTx(w.t.Context(), func(tx *db.Tx) error {
		if _, err := tx.Exec(w.t.Context(), `set local role none`); err != nil {
			return err
		}
		_, err := tx.Exec(w.t.Context(), query)
		return err
	}))
}

// With as much on them as they show, the pages of staff have under 5 KB each.
func TestStaffPagesAreSmall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.headOffice()
	statement := bankHead
	for i := range 30 {
		_, err := w.agents.RequestFloat(ctx, "mary", "100002", money.Amount(1000+137*i)*shilling, fmt.Sprintf("EQB-20261122-%05d", 7919*i%99991))
		w.must(err)
		_, err = w.agents.AskFloat(ctx, fmt.Sprint("ask", i), w.who(neema), money.Amount(500+91*i)*shilling, fmt.Sprintf("KCB-20261122-%05d", 6007*i%99991))
		w.must(err)
		statement += fmt.Sprintf("22/11/2026;FT%08d;CASH DEPOSIT BY CUSTOMER %d;%d,00;;\n", 104729*i, 31*i, 700+i)
		v, err := w.agents.AskReversal(ctx, w.who(juma), w.deposit(juma, 100+i), fmt.Sprintf("the customer's number was wrong, case %d", i))
		w.must(err)
		if i%2 == 0 {
			_, err = w.agents.DecideReversal(ctx, "charles", v.ID, i%4 == 0, fmt.Sprintf("decided by the letter %d", i))
			w.must(err)
		}
		w.accounts.NoteBrake(ctx, accounts.BrakeEvent{Rule: "drain_and_cash_out", Subject: fmt.Sprint("customer:", 1000+i), Ref: fmt.Sprint("ussd:at:", i), Detail: "withdraw of Ksh1,000.00: Ksh1,200.00 had come 12s before"})
		w.sql(`insert into flag (id, till, kind, at, customer, entry, receipt, entries) values (nextval('flag_id'), '100001', 'cash_in_out', $1, 1, $2, $3, '{1,2}')`, w.clock.now(), i, fmt.Sprintf("UKM%07d", 7919*i))
		number := fmt.Sprintf("07230000%02d", i)
		w.operator("100002", "Operator Somebody", "+254"+number[1:], "assistant")
		w.must(w.agents.FreezeOperator(ctx, "zawadi", phone.Number("+254"+number[1:]), true, fmt.Sprintf("lost phone number %d", i)))
		_, err = w.agents.CreateTill(ctx, "Pima Traders", fmt.Sprintf("Pima Branch %d", i), fmt.Sprint(300100+i))
		w.must(err)
	}
	_, err := w.agents.ImportBank(ctx, "mary", "x.csv", []byte(statement), nil)
	w.must(err)
	mary, charles, head := w.browser().signInStaff("mary"), w.browser().signInStaff("charles"), w.browser().signIn(mkuu)
	fresh := w.browser()
	fresh.get("/agents/staff/in")
	fresh.post("/agents/staff/in", "name", "zawadi", "password", password)
	charles.get("/agents/staff/bank")
	difference := regexp.MustCompile(`/agents/staff/bank/[0-9a-f]{16}`).FindString(charles.last.body)
	for path, b := range map[string]*browser{
		"/agents/staff/code": fresh, "/agents/staff/float": mary, "/agents/staff/float/7": charles, "/agents/staff/reversals": charles, "/agents/staff/reversals/2": charles,
		"/agents/staff/freezes": charles, "/agents/staff/log": charles, "/agents/staff/bank": charles, difference: charles, "/agents/office": head, "/agents/office/100001": head,
		"/agents/staff/brakes": charles, "/agents/staff/brakes/7": charles, "/agents/staff/flags?till=100001": charles, "/agents/staff/disputes?till=100001": charles,
		"/agents/office/100001/flags": head, "/agents/office/100001/disputes": head,
	} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.server.URL+path, nil)
		w.must(err)
		r.Header.Set("Accept-Encoding", "gzip")
		a := b.send(r)
		n := a.size + len(fmt.Sprint(a.header))
		t.Logf("%-40s %5d bytes", path, n)
		if a.status != 200 || n > 5<<10 {
			t.Errorf("%s: status %d, %d bytes", path, a.status, n)
		}
	}
}
