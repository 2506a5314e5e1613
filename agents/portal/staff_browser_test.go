package portal

import (
	"bytes"
	"context"
	"fmt"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"tuma/accounts"
	"tuma/agents"
)

// scripts switches the browser's scripts on or off.
func (b *tab) scripts(on bool) {
	b.t.Helper()
	b.script = on
	b.do(func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
		return chromedp.Void{}, err
	})
}

// out signs whoever is there out.
func (b *tab) out(part string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(`footer form[action="/agents/out"] button`)), chromedp.WaitReady(chromedp.CSS(part)))
}

// in signs a member of staff in and waits for a part of the first page.
func (b *tab) in(name, part string) {
	b.t.Helper()
	b.open("/agents/staff/in", "#password")
	b.types("name", name)
	b.types("password", password)
	b.press("#code")
	if _, known := b.secrets.Load(name); !known {
		b.setUp(name)
	}
	b.types("code", b.oneTime(name))
	b.press(part)
}

// click presses what a selector finds and waits for a part of the next page.
func (b *tab) click(what, part string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(what)), chromedp.WaitReady(chromedp.CSS(part)))
}

// gone is a page without a form that was there before.
func gone(action string) string {
	return `main:not(:has(form[action="/agents/staff/` + action + `"]))`
}

// TestStaffInTheBrowser has maker, checker, care and a head office do their day
// without scripts, and then looks at every page with them. One browser and one
// database serve all.
func TestStaffInTheBrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.headOffice()
	var disputes []string
	for _, a := range []int{500, 600} {
		v, err := w.agents.AskReversal(ctx, w.who(juma), w.deposit(juma, a), "the number was wrong by one digit")
		w.must(err)
		disputes = append(disputes, itoa(v.ID))
	}
	c, err := w.accounts.ByPhone(ctx, asha)
	w.must(err)
	for i, kind := range []string{agents.FlagSplit, agents.FlagInOut, agents.FlagDirect} {
		w.sql(`insert into flag (id, till, kind, at, customer, entry, receipt, entries) values (nextval('flag_id'), '100001', $1, $2, $3, $4, 'UKM7Q2XW4P', '{1,2}')`, kind, w.clock.now(), c.ID, i)
	}
	w.accounts.NoteBrake(ctx, accounts.BrakeEvent{Rule: "pin_spray_quiet", Detail: "61 wallets were left with a wrong PIN within 1m0s, 9 would be usual"})
	w.must(w.accounts.SwappedSIM(ctx, c))
	w.accounts.NoteBrake(ctx, accounts.BrakeEvent{Rule: "sim_swap", Subject: fmt.Sprint("customer:", c.ID), Ref: "ussd:at:1:pay", Detail: "send of Ksh6,000.00: changed at 2026-11-22 09:15"})
	swapped := w.eventOf("sim_swap")
	asked, err := w.agents.AskFloat(ctx, "ask", w.who(neema), 700*shilling, "EQB-20261122-02")
	w.must(err)
	var jpg bytes.Buffer
	w.must(jpeg.Encode(&jpg, picture(300), nil))
	w.must(os.WriteFile(filepath.Join(w.photos, "x.jpg"), jpg.Bytes(), 0o600))
	w.sql(`insert into id_photo (ref, file, customer, msisdn, born, till, operator, created_at)
		select 'x', 'x.jpg', s.customer, s.msisdn, date '1990-01-01', '100002', o.id, now() from sim s, operator o where s.msisdn = $1 and o.msisdn = $2`, asha, neema)
	statement := filepath.Join(t.TempDir(), "november.csv")
	w.must(os.WriteFile(statement, []byte(bankHead+bankTwo+"22/11/2026;BANK-KUU;transfer;8.999,99;;59.299,99\n22/11/2026;FEE;monthly fee;;5,00;59.294,99\n22/31/2026;X;;5;;x\n"), 0o600))

	b := openTab(w, false)
	b.looks(320, 480, "light")
	b.in("mary", "#bank")
	b.types("till", "100002")
	b.types("amount", "2000")
	b.types("bank", "EQB-20261122-01")
	b.press("dl.big")
	b.sees("main", "Waits for a checker")
	b.open("/agents/staff/float/"+itoa(asked), "#bank")
	b.click(`form[action="/agents/staff/float/take"] button`, gone("float/take"))
	b.sees("main", "Waits for a checker")
	b.open("/agents/staff/bank", "#statement")
	b.do(chromedp.SetUploadFiles(chromedp.ID("statement"), []string{statement}))
	b.press(".say")
	b.sees("main", "Line 6: not a date")
	b.sees("main", "-Ksh5.01")
	b.shoot("bank-faults-320-js=false")
	b.click(`main ul a[href^="/agents/staff/bank/"]`, "#reason")
	b.types("reason", "the bank's fee, to be given back")
	b.press("#explained")
	b.sees("main", "to be given back")
	b.out("#password")

	b.in("charles", ".list")
	b.open("/agents/staff/float/"+itoa(asked), "#code")
	b.types("code", w.oneTime("charles"))
	b.click(`form[action="/agents/staff/float/approve"] button`, gone("float/approve"))
	b.sees("main", "Approved")
	b.open("/agents/staff/reversals/"+disputes[0], "#reason")
	b.types("reason", "the till is right")
	b.types("code", w.oneTime("charles"))
	b.click(`button[value=approve]`, gone("reversals/decide"))
	b.sees("main", "Given to the till")
	b.open("/agents/staff/freezes", "#whom")
	b.types("whom", "100002")
	b.types("reason", "reported stolen")
	b.click(`button[value=freeze]`, ".good")
	b.sees("main", "UHURU STORES")
	b.click(`main ul a`, `main:not(:has(button[value=freeze]))`)
	b.shoot("freezes-let-320-js=false")
	b.open("/agents/staff/log?check=1", ".good")
	b.shoot("log-320-js=false")
	b.open("/agents/staff/brakes", ".list")
	b.click("main summary", "#outcome")
	b.do(chromedp.SetValue(chromedp.ID("outcome"), "refuse"))
	b.press(`#outcome option[value=refuse][selected]`) // the list of before has links, too
	b.shoot("brakes-320-js=false")
	b.open("/agents/staff/brakes/"+swapped, "#code")
	b.types("reason", "she came in person")
	b.types("code", w.oneTime("charles"))
	b.click(`button[value=release]`, gone("brakes/decide"))
	b.sees("main", "Honest, and released")
	b.out("#password")

	b.in("zawadi", "#reason")
	b.types("number", "0712000001")
	b.types("reason", "compare the face")
	b.press("dl")
	b.click(`form[action="/agents/staff/photo"] button`, "img")
	b.shoot("photo-320-js=false")
	b.open("/agents/staff/customer", "#reason")
	b.out("#password")

	b.open("/agents/in", "#number")
	b.types("number", "0722000099")
	b.press("#code")
	b.types("code", w.code(mkuu))
	b.types("pin", canary)
	b.press("dl.big")
	b.open("/agents/office/100001", "#pin")
	b.types("amount", "2000")
	b.types("pin", canary)
	b.press(".qr")
	b.sees("main", "Ksh2,000.00")

	b.scripts(true)
	b.open("/agents/office", ".list")
	b.inspect("office")
	b.open("/agents/office/100001", "#pin")
	b.inspect("office-till")
	b.open("/agents/office/100001/flags", ".list")
	b.inspect("office-flags")
	b.open("/agents/office/100001/disputes", ".list")
	b.inspect("office-disputes")
	b.out("#number")
	b.in("mary", "#bank")
	b.inspect("staff-float-maker")
	b.open("/agents/staff/bank", "#statement")
	b.inspect("bank")
	b.out("#password")
	b.in("charles", ".list")
	id := w.count(`select id from float_request where bank_ref = 'EQB-20261122-01'`)
	b.open(fmt.Sprintf("/agents/staff/float/%d", id), "#code")
	b.inspect("staff-float-approve")
	b.open("/agents/staff/reversals", ".list")
	b.inspect("reversals")
	b.open("/agents/staff/reversals/"+disputes[1], "#code")
	b.inspect("reversal")
	b.open("/agents/staff/bank", "#statement")
	b.click(`main ul a[href^="/agents/staff/bank/"]`, "dl.big")
	b.inspect("difference")
	b.open("/agents/staff/freezes", "#whom")
	b.inspect("freezes")
	b.open("/agents/staff/log?check=1", ".good")
	b.inspect("log")
	w.accounts.NoteBrake(ctx, accounts.BrakeEvent{Rule: "sim_swap", Subject: fmt.Sprint("customer:", c.ID), Ref: "ussd:at:2:pay", Detail: "send of Ksh6,000.00: changed at 2026-11-22 09:15"})
	b.open("/agents/staff/brakes?all=1", ".list") // with what to choose by unfolded
	b.inspect("brakes")
	b.open("/agents/staff/brakes/"+w.eventOf("sim_swap"), "#code")
	b.inspect("brake")
	b.open("/agents/staff/brakes/"+swapped, "dl")
	b.inspect("brake-decided")
	b.open("/agents/staff/flags?till=100001", ".list")
	b.inspect("flags")
	b.open("/agents/staff/disputes?till=100001", ".list")
	b.inspect("disputes")
	b.open("/agents/staff/customer", "#number")
	b.types("number", "0712000001")
	b.types("reason", "called in")
	b.press("dl")
	b.inspect("customer")
	// Pressed twice, the decision is one.
	b.open("/agents/staff/reversals/"+disputes[1], "#code")
	b.types("reason", "the customer is right")
	b.types("code", w.oneTime("charles"))
	b.do(chromedp.DoubleClick(chromedp.CSS("button[value=decline]")), chromedp.WaitReady(chromedp.CSS(gone("reversals/decide"))))
	b.open("/agents/staff/reversals/"+disputes[1], "dl.big")
	b.sees("main", "Given to the customer")
	b.out("#password")
	b.open("/agents/staff/in", "#password")
	b.types("name", "charles")
	b.types("password", password)
	b.press("#code")
	b.inspect("staff-code")
	if strings.Contains(w.log.String(), "level=ERROR") {
		t.Errorf("the log has errors:\n%s", w.log)
	}
}
