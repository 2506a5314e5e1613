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
// simulated phone, and takes cash from a customer whose phone is told.
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
	p.do(chromedp.Click(chromedp.CSS(`nav a[href="/agents/deposit"]`)), chromedp.WaitReady(chromedp.ID("amount")))
	types("number", "0712000001")
	types("amount", "1500"+kb.Enter)
	p.sees("main", "ASHA JUMA")
	types("pin", demoPIN+kb.Enter)
	p.sees(".good", "Done.")
	p.shoot("portal")
	reads(asha, "Ksh1,500.00")
	b.wantNoHits("a deposit in the portal")
}
