package portal

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image/jpeg"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

var shots = flag.String("shots", "", "folder for pictures of the pages")

// axe finds what keeps people with a screen reader or weak eyes out.
const axe = "../../.tools/axe.min.js"

// tab is a browser's only tab.
type tab struct {
	*world
	ctx    context.Context
	script bool
}

func openTab(w *world, script bool) *tab {
	w.t.Helper()
	binary := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			binary = found
			break
		}
	}
	if binary == "" {
		w.t.Fatal("no browser to test the pages with; install one: sudo apt-get install -y chromium")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	w.t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(binary), chromedp.UserDataDir(w.t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("accept-lang", "en"))...)
	w.t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	w.t.Cleanup(cancel)
	b := &tab{w, ctx, script}
	b.do(func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !script})
		return chromedp.Void{}, err
	})
	return b
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.shoot("failed")
		b.t.Fatal(err)
	}
}

func (b *tab) open(path, part string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.server.URL+path), chromedp.WaitReady(chromedp.CSS(part)))
}

// types keys something into a field.
func (b *tab) types(id, text string) {
	b.t.Helper()
	b.do(chromedp.SendKeys(chromedp.ID(id), text))
}

// press presses the form's button and waits for a part of the next page.
func (b *tab) press(part string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS("main form button")), chromedp.WaitReady(chromedp.CSS(part)))
}

func (b *tab) sees(part, words string) {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.TextContent(chromedp.CSS(part)))
	if b.must(err); !strings.Contains(text, words) {
		b.t.Errorf("%s shows %q, want %q", part, text, words)
	}
}

// looks gives the page a size and a colour scheme.
func (b *tab) looks(width, height int64, scheme string) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height), func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return chromedp.Void{}, err
	})
}

func (b *tab) shoot(name string) {
	b.t.Helper()
	if *shots == "" {
		return
	}
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.MkdirAll(*shots, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(*shots, name+".png"), picture, 0o644)
	}
	if err != nil {
		b.t.Error(err)
	}
}

// inspect looks at the page that is open in each size and colour: nothing is
// wider than the window, nothing to press is smaller than a thumb, and axe has no
// violations to name. Without scripts there is only the picture.
func (b *tab) inspect(name string) {
	b.t.Helper()
	// Sizes do not depend on colours, nor what axe finds of colours on sizes; what is
	// left out here is a picture alone.
	const colours = `{runOnly: {type: "rule", values: ["color-contrast", "link-in-text-block"]}}`
	for _, look := range []struct {
		width, height int64
		scheme, rules string
		only          bool // a picture
	}{
		{320, 480, "light", "", false}, {320, 480, "dark", colours, false}, {240, 320, "light", "", false}, {1366, 768, "light", "", false},
		{240, 320, "dark", "", true}, {1366, 768, "dark", "", true},
	} {
		only := look.only || !b.script
		if only && *shots == "" {
			continue
		}
		b.looks(look.width, look.height, look.scheme)
		b.shoot(fmt.Sprintf("%s-%d-%s-js=%v", name, look.width, look.scheme, b.script))
		if only {
			continue
		}
		at := fmt.Sprintf("%s at %d, %s", name, look.width, look.scheme)
		b.wellSized(at)
		b.accessible(at, look.rules)
	}
	b.looks(320, 480, "light")
}

// wellSized tells what is too wide or too small.
func (b *tab) wellSized(name string) {
	b.t.Helper()
	const ask = `(() => {
		const bad = [];
		if (document.documentElement.scrollWidth > innerWidth) bad.push("wider than the window: " + document.documentElement.scrollWidth);
		for (const e of document.querySelectorAll("button, .button, summary, nav a, header a, .list li > a, input:not([type=hidden]), select")) {
			const r = e.getBoundingClientRect();
			if (!e.hidden && e.checkVisibility() && (r.height < 44 || r.width < 44)) bad.push("too small: " + e.outerHTML);
		}
		return bad.join("\n");
	})()`
	wrong, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](ask))
	if b.must(err); wrong != "" {
		b.t.Errorf("%s: %s", name, wrong)
	}
}

// accessible tells what axe finds by some of its rules, "" for all. It is brought
// to a page once.
func (b *tab) accessible(name, rules string) {
	b.t.Helper()
	there, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](`!!window.axe`))
	b.must(err)
	if !there {
		source, err := os.ReadFile(axe)
		if err != nil {
			b.t.Fatalf("axe-core is missing, make setup brings it: %v", err)
		}
		b.do(chromedp.Evaluate[chromedp.Void](string(source) + "; undefined"))
	}
	found, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](
		`axe.run(`+rules+`).then(r => r.violations.map(v => v.id + ": " + v.nodes.map(n => n.html + " " + n.failureSummary).join(" | ")).join("\n"))`, chromedp.EvalAwaitPromise))
	if b.must(err); found != "" {
		b.t.Errorf("%s: %s", name, found)
	}
}

// TestPagesInTheBrowser goes through all pages as people do, with scripts and
// without, over TLS and with the cookies of production.
func TestPagesInTheBrowser(t *testing.T) {
	t.Parallel()
	for _, script := range []bool{true, false} {
		t.Run(fmt.Sprintf("script=%v", script), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for i := range 17 {
				w.deposit(juma, 100+37*i)
				w.clock.pass(17 * time.Minute)
			}
			b := openTab(w, script)
			b.looks(320, 480, "light")
			b.open("/agents/", "#number")
			b.inspect("in")
			b.types("number", "0722000001")
			b.press("#code")
			b.inspect("code")
			b.types("code", "nosuch")
			b.types("pin", canary)
			b.press(".say")
			b.inspect("code-wrong")
			b.types("code", w.code(juma))
			b.types("pin", canary)
			b.press(".chart")
			b.sees("header", "100001")
			b.inspect("today")

			b.open("/agents/deposit", "#amount")
			b.inspect("deposit")
			b.types("number", "0712000001")
			b.types("amount", "1500")
			b.press("#pin")
			b.sees("dl", "ASHA JUMA")
			b.inspect("confirm")
			before := w.balance(asha)
			b.types("pin", canary)
			if script {
				b.do(chromedp.DoubleClick(chromedp.CSS("main form button")), chromedp.WaitReady(chromedp.CSS(".qr")))
			} else {
				b.press(".qr")
			}
			b.sees("main", "Ksh1,500.00")
			b.inspect("receipt")
			if got := w.balance(asha); got != before+1500*shilling {
				t.Errorf("asha has %d, had %d", got, before)
			}

			b.open("/agents/withdraw", "#amount")
			b.inspect("withdraw")
			b.types("number", "0712000001")
			b.types("amount", "500")
			b.press("#pin")
			b.sees("main", "Pay the cash only")
			b.inspect("ask")
			b.types("pin", canary)
			b.press("[data-live]")
			b.inspect("asked")
			customer, err := w.accounts.ByPhone(t.Context(), asha)
			w.must(err)
			waiting, err := w.accounts.Approvals(t.Context(), customer)
			w.must(err)
			_, err = w.accounts.Approve(t.Context(), customer, waiting[0].ID)
			w.must(err)
			if !script {
				b.do(chromedp.Click(chromedp.CSS("[data-live] a")))
			}
			b.do(chromedp.WaitReady(chromedp.CSS(".qr"))) // a page with a script looks by itself
			b.sees("main", "Ksh500.00")

			b.open("/agents/entries", "#find")
			b.inspect("entries")
			photo := filepath.Join(t.TempDir(), "id.jpg")
			var jpg bytes.Buffer
			w.must(jpeg.Encode(&jpg, picture(400), nil))
			w.must(os.WriteFile(photo, jpg.Bytes(), 0o600))
			b.open("/agents/register", "#photo")
			b.inspect("register")
			b.types("number", "0712000003")
			b.types("name", "Chausiku Mwangi")
			b.types("id", "30000003")
			b.types("born", "05061990")
			b.types("pin", canary)
			b.do(chromedp.SetUploadFiles(chromedp.ID("photo"), []string{photo}))
			b.press(".good")
			b.sees("main", "CHAUSIKU MWANGI")
			b.inspect("registered")
			b.tillPages()
			b.open("/agents/done/"+strings.Repeat("0", 32), "[data-live]")
			b.inspect("waiting")
			b.open("/agents/nothing", ".say")
			b.inspect("message")
			for _, lang := range []string{"sw", "fr"} {
				b.do(chromedp.Click(chromedp.CSS(`footer button[lang=`+lang+`]`)), chromedp.WaitReady(chromedp.CSS(`html[lang=`+lang+`]`)))
				b.open("/agents/today", ".chart")
				b.looks(320, 480, "light")
				b.shoot("today-" + lang)
			}
			b.do(chromedp.Click(chromedp.CSS(`footer form[action="/agents/out"] button`)), chromedp.WaitReady(chromedp.CSS(`form[action="/agents/in"]`)))
			b.sees("main", "PIN") // this browser is known now

			b.open("/agents/staff/in?next="+url.QueryEscape("/agents/staff/float"), "#password")
			b.inspect("staff-in")
			b.types("name", "mary")
			b.types("password", password)
			b.press("#secret")
			b.inspect("staff-set-up")
			b.setUp("mary")
			b.types("code", w.oneTime("mary"))
			b.press("#bank")
			b.types("till", "100002")
			b.types("amount", "2000")
			b.types("bank", "EQ-7")
			b.press("dl.big")
			b.inspect("float-one")
			b.do(chromedp.Click(chromedp.CSS(`footer form[action="/agents/out"] button`)), chromedp.WaitReady(chromedp.CSS("#password")))
		})
	}
}

// setUp reads the secret of a second factor off the page.
func (b *tab) setUp(name string) {
	b.t.Helper()
	secret, err := chromedp.Run(b.ctx, chromedp.TextContent(chromedp.ID("secret")))
	b.must(err)
	b.secrets.Store(name, strings.ReplaceAll(secret, " ", ""))
}
