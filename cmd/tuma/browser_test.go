package main

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

var shots = flag.String("shots", "", "folder for pictures of the phones")

// tab is a browser's only tab, on the page with the phones.
type tab struct {
	t   testing.TB
	ctx context.Context
}

func openTab(t testing.TB, address string) *tab {
	t.Helper()
	return openPage(t, address, "body[data-ready=yes] .handset")
}

// openPage waits for a part of whatever page is at an address.
func openPage(t testing.TB, address, part string) *tab {
	t.Helper()
	binary := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			binary = found
			break
		}
	}
	if binary == "" {
		t.Fatal("no browser to test the phones with; install one: sudo apt-get install -y chromium")
	}
	// Not the test's own context, which ends before its cleanups, and one of them reads the console.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(binary), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &tab{t, ctx}
	console := chromedp.Console(ctx)
	t.Cleanup(func() {
		const last = "the test ends here" // a message of our own, so that the queue of the page's comes to an end
		if err := chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](`console.log("`+last+`")`)); err != nil {
			t.Errorf("the console cannot be read: %v", err)
			return
		}
		for m, err := range console {
			if err != nil {
				t.Errorf("the console cannot be read: %v", err)
			}
			if err != nil || m.Text == last {
				return
			}
			if m.IsException() || m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleWarning {
				t.Errorf("the page complains: %s", m)
			}
		}
	})
	still := func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "light"}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return chromedp.Void{}, err
	}
	b.do(still, chromedp.EmulateViewport(1366, 768), chromedp.Navigate(address), chromedp.WaitReady(chromedp.CSS(part)))
	return b
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// reads is the value of an expression, a text.
func (b *tab) reads(expression string) string {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return text
}

// sees waits until part of the page has the words, and gives its whole text.
func (b *tab) sees(part, words string) (text string) {
	b.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if text = b.reads(`document.querySelector('` + part + `')?.textContent ?? ''`); strings.Contains(text, words) {
			return text
		}
		if time.Now().After(end) {
			b.shoot("failed")
			b.t.Fatalf("%s shows %q, want %q", part, text, words)
		}
	}
}

// keys writes on the real keyboard: into whatever has the focus.
func (b *tab) keys(keys string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(keys))
}

// shoot takes a picture, when pictures are wanted.
func (b *tab) shoot(name string) {
	b.t.Helper()
	if *shots == "" {
		return
	}
	picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.MkdirAll(*shots, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(*shots, name+".png"), picture, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// handset names a part of one phone on the page.
func handset(number, part string) string { return `.handset[data-msisdn="` + number + `"] ` + part }

// TestPhonesInTheBrowser sends money and takes cash as a person would, at the
// page's phones and by keyboard alone where the person has one hand on it, with
// the whole service behind them.
func TestPhonesInTheBrowser(t *testing.T) {
	t.Parallel()
	const asha, baraka, juma = "+254712000001", "+254712000002", "+254722000001"
	b := startBank(t)
	p := openTab(t, b.url+"/simulator/#"+asha[1:]+","+baraka[1:])
	var h history

	// pays keys in answers, each when the screen before it is there, and reads the receipt.
	pays := func(d deal, answers ...[2]string) sight {
		t.Helper()
		p.keys("*334#" + kb.Enter)
		p.sees(handset(asha, ".text"), "1 Send money")
		for _, a := range answers {
			p.keys(a[0] + kb.Enter)
			p.sees(handset(asha, ".text"), a[1])
		}
		seen, err := look("END " + p.reads(`document.querySelector('`+handset(asha, ".text")+`').textContent`))
		b.must(err)
		phone, err := b.network.Phone(asha)
		b.must(err)
		if state := phone.State(); state.Open || seen.Screen != d.kind+"_done" {
			t.Fatalf("open %v, on the screen %+v", state.Open, seen)
		}
		h.begin(attempt{session: phone.State().Session, number: asha, deal: d, outcome: ok, code: seen.Holes["code"]})
		return seen
	}

	sent := pays(deal{kind: "send", from: asha, to: baraka, amount: 150_00, fee: 7_00},
		[2]string{"1", "Send to"}, [2]string{national(baraka), "BARAKA OTIENO"}, [2]string{"150", "Enter PIN"}, [2]string{demoPIN, "Confirmed"})
	if balance := cents(sent.Holes["balance"]); balance != 843_00 {
		t.Errorf("left after sending: %d", balance)
	}
	p.shoot("sent")

	// The payer reads the SMS by keyboard: OK, out of the banner's way, the left soft key, the newest. The payee presses the banner.
	p.sees(handset(asha, ".banner:not([hidden])"), "Message from Tuma")
	p.keys(kb.Enter)
	p.keys(kb.Escape)
	p.keys(kb.Tab)
	p.keys(kb.Enter)
	p.sees(handset(asha, ".inbox"), sent.Holes["code"])
	p.keys(kb.Enter)
	p.sees(handset(asha, ".message"), sent.Holes["code"]+" Confirmed. Ksh150.00 sent to BARAKA OTIENO 0712000002")
	p.sees(handset(baraka, ".banner:not([hidden])"), "Message from Tuma")
	p.do(chromedp.Click(chromedp.CSS(handset(baraka, ".banner"))))
	p.sees(handset(baraka, ".message"), sent.Holes["code"]+" Confirmed. You have received Ksh150.00 from ASHA JUMA 0712000001")
	p.shoot("messages")

	// What went over the wire: the input so far, all of it every time.
	p.do(chromedp.Click(chromedp.CSS(handset(asha, ".wire summary"))))
	p.sees(handset(asha, ".exchanges"), demoPIN)
	wire := p.reads(`[...document.querySelectorAll('` + handset(asha, ".exchanges mark") + `')].map(e => e.textContent).join('\n')`)
	texts := strings.Split(wire, "\n")
	slices.Reverse(texts)
	if want := []string{"(empty)", "1", "1*0712000002", "1*0712000002*150", "1*0712000002*150*4826"}; !slices.Equal(texts, want) {
		t.Errorf("the gateway sent %q, want %q", texts, want)
	}
	p.do(chromedp.ScrollIntoView(chromedp.CSS(handset(asha, ".exchanges"))))
	p.shoot("wire")
	p.do(chromedp.Click(chromedp.CSS(handset(asha, ".wire summary"))))

	// Cash: the operator's phone is switched on, the customer withdraws, the till is told to pay.
	p.do(chromedp.SendKeys(chromedp.ID("number"), juma+kb.Enter))
	p.sees(handset(juma, ".number"), juma)
	p.do(chromedp.Click(chromedp.CSS(handset(asha, "[data-do=end]"))), chromedp.Focus(chromedp.CSS(handset(asha, ".entry input"))))
	cash := pays(deal{kind: "withdraw", from: asha, to: "100001", amount: 200_00, fee: 29_00},
		[2]string{"2", "till number"}, [2]string{"100001", "MAMA PIMA SHOP"}, [2]string{"200", "Enter PIN"}, [2]string{demoPIN, "Confirmed"})
	if balance := cents(cash.Holes["balance"]); balance != 614_00 {
		t.Errorf("left after the withdrawal: %d", balance)
	}
	p.sees(handset(juma, ".banner:not([hidden])"), "Message from Tuma")
	p.do(chromedp.Click(chromedp.CSS(handset(juma, ".banner"))))
	p.sees(handset(juma, ".message"), "pay Ksh200.00 cash to ASHA JUMA 0712000001")
	p.shoot("cash")

	// The audit, everybody's balances, and one SMS for each who is owed one.
	for _, problem := range b.problems(&h) {
		t.Error(problem)
	}
}
