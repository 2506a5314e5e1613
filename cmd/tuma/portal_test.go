package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestPortalInTheBrowser signs an operator in with the code that comes to his
// simulated phone, takes cash from a customer whose phone is told, and pays cash
// that the customer approves on the phone: the page that waits hears of it.
func TestPortalInTheBrowser(t *testing.T) {
	t.Parallel()
	const asha, juma = "+254712000001", "+254722000001"
	b := startBank(t)
	reads := func(number, words string) string {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			inbox, err := b.network.Inbox(number)
			b.must(err)
			for _, m := range inbox {
				if strings.Contains(m.Body, words) {
					return m.Body
				}
			}
		}
		t.Fatalf("%s was not told: %s", number, words)
		return ""
	}
	p := openPage(t, b.url+"/agents/", "#number")
	types := func(id, text string) {
		t.Helper()
		p.do(chromedp.SendKeys(chromedp.ID(id), text))
	}
	types("number", "0722000001"+kb.Enter)
	p.do(chromedp.WaitReady(chromedp.ID("code")))
	types("code", regexp.MustCompile(`\d{6}`).FindString(reads(juma, "code to sign in")))
	types("pin", demoPIN+kb.Enter)
	p.sees("main dl", "Ksh50,000.00")
	types("number", "0712000001") // a deposit begins on the page of the day
	types("amount", "1500"+kb.Enter)
	p.sees("main", "ASHA JUMA")
	types("pin", demoPIN+kb.Enter)
	p.sees(".good", "Done.")
	p.shoot("portal")
	reads(asha, "Ksh1,500.00")

	shows(t, b.url, asha) // switches the phone on
	ask := func(amount string) {
		t.Helper()
		p.do(chromedp.Click(chromedp.CSS(`nav a[href="/agents/withdraw"]`)), chromedp.WaitReady(chromedp.CSS(`form[action="/agents/withdraw/check"] #amount`)))
		types("number", "0712000001")
		types("amount", amount+kb.Enter)
		p.sees("main", "Pay the cash only")
		types("pin", demoPIN+kb.Enter)
		p.sees(".say", "Do not pay yet")
	}
	ask("200")
	p.shoot("portal-asked")
	if s := shows(t, b.url, asha); !s.Open || !strings.HasPrefix(s.Screen, "100001 MAMA PIMA SHOP asks: withdraw Ksh200.00.") {
		t.Fatalf("pushed: %+v", s)
	}
	press(t, b.url, asha, "type", "input", "1")
	paid := press(t, b.url, asha, "type", "input", demoPIN)
	if paid.Open || !strings.Contains(paid.Screen, "Confirmed. MAMA PIMA SHOP pays you Ksh200.00") {
		t.Fatalf("approved: %+v", paid)
	}
	p.sees("main dl", paid.Screen[:10]) // the receipt, without anybody having pressed anything
	p.sees("main", "Withdrawn")
	p.shoot("portal-paid")
	reads(juma, "pay Ksh200.00 cash to ASHA JUMA")

	ask("100")
	press(t, b.url, asha, "type", "input", "2")
	p.sees("main", "pay nothing")
	b.settled()
	if n := b.count(`select count(*) from entry where kind = 'withdraw'`); n != 1 {
		t.Errorf("%d withdrawals", n)
	}
	b.wantNoHits("cash in and out in the portal")
}
