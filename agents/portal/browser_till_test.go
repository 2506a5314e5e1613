package portal

import (
	"strings"
	"time"

	"github.com/chromedp/chromedp"
)

// pressAt presses one button of several.
func (b *tab) pressAt(button, part string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(button)), chromedp.WaitReady(chromedp.CSS(part)))
}

// unfold opens what is folded away; that needs no script.
func (b *tab) unfold(summary string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(summary)))
}

// tillPages goes through the pages about a till itself, as its owner, who is
// signed in.
func (b *tab) tillPages() {
	b.t.Helper()
	b.second()
	b.open("/agents/today", "nav details")
	b.unfold("nav summary")
	b.inspect("menu")

	b.pressAt(`nav details a[href="/agents/day"]`, "#cash")
	b.inspect("day-none")
	b.clock.pass(time.Minute)
	b.types("cash", "12500")
	b.press("#pin")
	b.clock.pass(time.Minute)
	b.deposit(juma, 1250)
	b.open("/agents/day", "#pin")
	b.sees("main", "Ksh13,750.00")
	b.inspect("day-open")
	b.types("cash", "13700")
	b.types("pin", canary)
	b.press("dl.big div:nth-child(3)")
	b.sees(".list", "Short Ksh50.00")
	b.inspect("day-closed")

	b.open("/agents/float", "#low")
	b.types("low", "60000")
	b.press(".say")
	b.open("/agents/float/ask", "#bank")
	b.inspect("float-ask")
	b.types("amount", "20000")
	b.types("bank", "EQ-2026-0931")
	b.types("pin", canary)
	b.press(".say.good")
	b.sees("main", "Waits for the service")
	b.inspect("float-asked")
	b.open("/agents/float/send", "#to")
	b.types("to", "100003")
	b.types("amount", "700")
	b.inspect("float-send")
	b.press("#pin")
	b.sees("main", "PIMA KIOSK")
	b.inspect("float-send-confirm")
	b.types("pin", canary)
	b.press(".qr")
	b.sees("main", "Float moved")
	b.open("/agents/float/return", "#pin")
	b.inspect("float-return")
	b.types("amount", "300")
	b.types("pin", "1111")
	b.press(".say")
	b.sees(".say", "Wrong PIN")
	b.types("pin", canary)
	b.press(".say.good")
	b.open("/agents/float", "#low")
	b.inspect("till-float")
	b.open("/agents/today", ".chart")
	b.sees(".say", "Float is below")
	b.inspect("today-low")

	b.open("/agents/commission", ".list")
	b.inspect("commission")
	b.unfold("details.form summary")
	b.inspect("commission-pay")
	b.types("pin", canary)
	b.press(".qr")
	b.sees("main", "Commission paid out")
	b.open("/agents/commission?day=2026-11-22", ".list")
	b.inspect("commission-day")

	b.open("/agents/operators", ".list")
	b.inspect("operators")
	b.open("/agents/operators/new", "#number")
	b.inspect("operator-new")
	b.types("number", "0722000014")
	b.types("name", "Kariuki Maina")
	b.types("id", "24001234")
	b.types("pin", canary)
	b.press("details.form")
	b.sees("main", "KARIUKI MAINA")
	b.inspect("operator")
	b.unfold("details.form:nth-of-type(2) summary")
	b.do(chromedp.WaitVisible(chromedp.ID("reason")))
	b.types("reason", "has left us")
	b.types("pin2", canary)
	b.inspect("operator-freeze")
	b.pressAt("details.form:nth-of-type(2) button", "dd .declined")
	b.inspect("operator-frozen")

	b.open("/agents/log", ".list")
	b.inspect("log")

	code := b.deposit(juma, 815)
	b.open("/agents/entries/"+code, `a[href$="/reversal"]`)
	b.pressAt(`a[href$="/reversal"]`, "#reason")
	b.inspect("dispute")
	b.types("reason", "one digit wrong")
	b.types("pin", canary)
	b.press(".qr")
	b.sees("main", "Held, waits for a decision")
	b.inspect("receipt-disputed")
	for _, lang := range []string{"sw", "fr"} {
		b.do(chromedp.Click(chromedp.CSS(`footer button[lang=`+lang+`]`)), chromedp.WaitReady(chromedp.CSS(`html[lang=`+lang+`]`)))
		for _, path := range []string{"today", "day", "float", "float/send", "commission", "operators", "operators/0722000014", "log"} {
			b.open("/agents/"+path, "main h1")
			b.fits(strings.ReplaceAll(path, "/", "-") + "-" + lang)
		}
	}
	b.do(chromedp.Click(chromedp.CSS(`footer button[lang=en]`)), chromedp.WaitReady(chromedp.CSS(`html[lang=en]`)))
}

// fits looks whether the page that is open fits a narrow window: other languages
// have longer words.
func (b *tab) fits(name string) {
	b.t.Helper()
	b.looks(240, 320, "light")
	b.shoot(name)
	if b.script {
		b.wellSized(name)
	}
	b.looks(320, 480, "light")
}
