package simulator

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

var shots = flag.String("shots", "", "folder for pictures of the page")

// browser starts a headless chromium with one tab on the page.
func browser(t *testing.T, w *world, width, height int64) context.Context {
	t.Helper()
	binary := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			binary = found
			break
		}
	}
	if binary == "" {
		t.Fatal("no browser to test the page with; install one: sudo apt-get install -y chromium")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(binary), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.WindowSize(int(width), int(height)))
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	run(t, ctx, media("light"), chromedp.EmulateViewport(width, height), chromedp.Navigate(w.server.URL+"/simulator/"), chromedp.WaitReady(chromedp.CSS("body[data-ready=yes] .handset")))
	return ctx
}

func run(t *testing.T, ctx context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

func look[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// sees waits until the expression, a text, contains want.
func sees(t *testing.T, ctx context.Context, expression, want string) {
	t.Helper()
	last := ""
	for range 500 {
		if last = look[string](t, ctx, expression); strings.Contains(last, want) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	shoot(t, ctx, "failed-"+t.Name())
	t.Fatalf("%s shows %q, want %q", expression, last, want)
}

func shoot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	if *shots == "" {
		return
	}
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.MkdirAll(*shots, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(*shots, strings.ReplaceAll(name, "/", "-")+".png"), picture, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

const (
	screenOf1 = `document.querySelectorAll('.handset')[0].querySelector('.text').textContent`
	bannerOf2 = `document.querySelectorAll('.handset')[1].querySelector('.banner:not([hidden])')?.textContent ?? ''`
	focused   = `(e => e.getAttribute('aria-label') || e.className || e.tagName)(document.activeElement)`
)

// A whole payment, by keyboard alone.
func TestPageByKeyboard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := browser(t, w, 1366, 768)
	if got := look[int](t, ctx, `document.querySelectorAll('.handset').length`); got != 3 {
		t.Fatalf("%d phones at first, want 3", got)
	}
	shoot(t, ctx, "1366-first")

	sees(t, ctx, focused, "Number to dial")
	run(t, ctx, chromedp.KeyEvent("*334#"), chromedp.KeyEvent(kb.Enter))
	sees(t, ctx, screenOf1, "1 Send money")
	sees(t, ctx, focused, "Your answer")
	shoot(t, ctx, "1366-menu")
	for _, step := range [][2]string{{"1", "Send to"}, {"0712000002", "Amount"}, {"500", "Enter PIN"}, {"4826", "Sent."}} {
		run(t, ctx, chromedp.KeyEvent(step[0]), chromedp.KeyEvent(kb.Enter))
		sees(t, ctx, screenOf1, step[1])
	}
	sees(t, ctx, bannerOf2, "Message from PESA")
	shoot(t, ctx, "1366-paid")
	steps, _ := w.app.heard()
	if got := steps[len(steps)-1].Get("text"); got != "1*0712000002*500*4826" {
		t.Errorf("the last request had text %q", got)
	}

	// Enter (OK) puts the ended session away and Escape the banner; the left soft key is the way to the messages.
	run(t, ctx, chromedp.KeyEvent(kb.Enter))
	sees(t, ctx, focused, "Number to dial")
	run(t, ctx, chromedp.KeyEvent(kb.Escape), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter))
	sees(t, ctx, `document.querySelector('.inbox').textContent`, "Confirmed. Ksh500.00 sent")
	shoot(t, ctx, "1366-inbox")
	run(t, ctx, chromedp.KeyEvent(kb.Enter))
	sees(t, ctx, `document.querySelector('.message').textContent`, "New balance is Ksh493.00")
	shoot(t, ctx, "1366-message")
	if look[bool](t, ctx, `!document.querySelector('.mail').hidden`) {
		t.Error("the badge still counts a message that was read")
	}
	run(t, ctx, chromedp.KeyEvent(kb.Escape))
	sees(t, ctx, focused, "Number to dial")

	// Escape ends a call, and the application is told.
	run(t, ctx, chromedp.KeyEvent("*334#"), chromedp.KeyEvent(kb.Enter))
	sees(t, ctx, screenOf1, "1 Send money")
	run(t, ctx, chromedp.KeyEvent(kb.Escape))
	eventually(t, "the application hears of the dropped session", func() bool {
		_, events := w.app.heard()
		return len(events) == 2 && events[1].Get("status") == "Incomplete"
	})

	// A reload brings the phones back, the read message stays read, and the wire shows what was sent.
	run(t, ctx, chromedp.Reload(), chromedp.WaitReady(chromedp.CSS("body[data-ready=yes] .handset")))
	if got := look[int](t, ctx, `document.querySelectorAll('.handset').length`); got != 3 {
		t.Errorf("%d phones after a reload, want 3", got)
	}
	run(t, ctx, chromedp.Evaluate[chromedp.Void](`document.querySelector('.wire').open = true; document.querySelector('.wire').scrollIntoView()`))
	sees(t, ctx, `document.querySelector('.exchanges').textContent`, "1*0712000002*500*4826")
	sees(t, ctx, `document.querySelectorAll('.handset')[1].querySelector('.mail').textContent`, "1")
	run(t, ctx, chromedp.Evaluate[chromedp.Void](`document.querySelector('.wire').scrollIntoView({ block: 'end' })`))
	shoot(t, ctx, "1366-wire")
	if look[bool](t, ctx, `!document.querySelector('.mail').hidden`) {
		t.Error("a message that was read is unread after a reload")
	}
}

// A screen that the application pushes comes up over the messages and a half
// dialled number, and is answered like any other.
func TestPageShowsWhatIsPushed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.app.answers(func(text string) (int, string) { return 200, "END You said " + text })
	ctx := browser(t, w, 1366, 768)
	sees(t, ctx, focused, "Number to dial")
	run(t, ctx, chromedp.Click(chromedp.CSS(`.device [data-do=left]`)))
	sees(t, ctx, `document.querySelector('.lcd').className`, "show-inbox")
	if err := w.network.Push(asha, "push-1", "Pay Ksh500.00?\n1 Approve\n2 Decline"); err != nil {
		t.Fatal(err)
	}
	sees(t, ctx, screenOf1, "1 Approve")
	sees(t, ctx, `document.querySelector('.lcd').className`, "show-text")
	shoot(t, ctx, "1366-pushed")
	run(t, ctx, chromedp.SendKeys(chromedp.CSS(`.entry input`), "1"+kb.Enter))
	sees(t, ctx, screenOf1, "You said 1")
	run(t, ctx, chromedp.Evaluate[chromedp.Void](`document.querySelector('.wire').open = true`), chromedp.Click(chromedp.CSS(`.device [data-do=call]`)))
	sees(t, ctx, `document.querySelector('.exchanges').textContent`, "POST /simulator/push")

	run(t, ctx, chromedp.SendKeys(chromedp.CSS(`.entry input`), "*33"))
	if err := w.network.Push(asha, "push-2", "Another question\n1 Yes"); err != nil {
		t.Fatal(err)
	}
	sees(t, ctx, screenOf1, "Another question")
	if got := look[string](t, ctx, `document.querySelector('.entry input').value`); got != "" {
		t.Errorf("what was keyed in before would be the answer: %q", got)
	}
}

// The keypad by mouse or finger on a small screen, letters included, and nothing wider than the screen.
func TestPageOnSmallScreen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := browser(t, w, 360, 640)
	if got := look[int](t, ctx, `document.querySelectorAll('.handset').length`); got != 1 {
		t.Fatalf("%d phones on a small screen, want 1", got)
	}
	shoot(t, ctx, "360-first")
	press := func(keys ...string) {
		t.Helper()
		for _, k := range keys {
			sel := `.keys [data-key="` + k + `"]`
			if len(k) > 1 {
				sel = `.device .nav [data-do=` + k + `], .device .base [data-do=` + k + `]`
			}
			run(t, ctx, chromedp.Click(chromedp.CSS(sel)))
		}
	}
	press("*", "3", "3", "4", "#")
	sees(t, ctx, `document.querySelector('.entry input').value`, "*334#")
	shoot(t, ctx, "360-dialling")
	press("call")
	sees(t, ctx, screenOf1, "1 Send money")
	shoot(t, ctx, "360-menu")
	press("abc", "2", "7", "7", "7", "7", "4", "4", "2")
	sees(t, ctx, `document.querySelector('.entry input').value`, "Asha")
	press("clear")
	sees(t, ctx, `document.querySelector('.entry input').value + '|'`, "Ash|")
	if wide := look[int](t, ctx, `document.documentElement.scrollWidth`); wide > 360 {
		t.Errorf("the page is %d pixels wide on a screen of 360", wide)
	}
	press("end")
	sees(t, ctx, `document.querySelector('.handset').dataset.mode`, "idle")
	run(t, ctx, chromedp.Evaluate[chromedp.Void](`scrollTo(0, 9999)`))
	shoot(t, ctx, "360-below")
}

// The buttons beside the phone: the same request twice, a slow network, a dropped session, one phone more.
func TestPageNetworkButtons(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.AnswerTimeout = 700 * time.Millisecond })
	ctx := browser(t, w, 1024, 900)
	run(t, ctx, media("dark"), chromedp.Click(chromedp.CSS(`.quick`)))
	sees(t, ctx, screenOf1, "1 Send money")
	run(t, ctx, chromedp.Click(chromedp.CSS(`.side [data-do=retry]`)))
	eventually(t, "the request comes twice", func() bool {
		steps, _ := w.app.heard()
		return len(steps) == 2 && steps[0].Encode() == steps[1].Encode()
	})
	shoot(t, ctx, "1024-dark")
	run(t, ctx, chromedp.SendKeys(chromedp.CSS(`.entry input`), "5"+kb.Enter))
	sees(t, ctx, screenOf1, "98 More")
	shoot(t, ctx, "1024-long")
	run(t, ctx, chromedp.Click(chromedp.CSS(`.device [data-do=down]`)))
	if look[int](t, ctx, `document.querySelector('.view').scrollTop`) == 0 {
		t.Error("the rocker does not scroll a long screen")
	}
	run(t, ctx, chromedp.Click(chromedp.CSS(`.quick`)))
	sees(t, ctx, screenOf1, "1 Send money")
	run(t, ctx, chromedp.Evaluate[chromedp.Void](`{const d = document.querySelector('.delay'); d.selectedIndex = 3; d.dispatchEvent(new Event('change'))}`))
	eventually(t, "the network is slow", func() bool { p, _ := w.network.Phone(asha); return p.State().AfterMS > 700 })
	run(t, ctx, chromedp.SendKeys(chromedp.CSS(`.entry input`), "1"+kb.Enter))
	sees(t, ctx, screenOf1, "Running")
	shoot(t, ctx, "1024-waiting")
	sees(t, ctx, screenOf1, "network error")
	shoot(t, ctx, "1024-trouble")
	run(t, ctx, chromedp.Evaluate[chromedp.Void](`document.getElementById('who').value = 'another'; document.getElementById('who').dispatchEvent(new Event('change'))`),
		chromedp.SendKeys(chromedp.ID("number"), "+254 733 000 111"+kb.Enter))
	sees(t, ctx, `location.hash`, "254733000111")
	run(t, ctx, chromedp.Click(chromedp.CSS(`.handset:nth-child(1) .remove`)))
	sees(t, ctx, `String(document.querySelectorAll('.handset').length)+location.hash`, "2#254712000002,254733000111")
	if got := look[string](t, ctx, `document.documentElement.outerHTML`); strings.Contains(got, "style=") {
		t.Error("a style is written into the page; the policy forbids it")
	}
}

// media sets the colour scheme and stills what moves.
func media(scheme string) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return chromedp.Void{}, err
	}
}

// moving lets things move.
func moving(t *testing.T, ctx context.Context) {
	t.Helper()
	run(t, ctx, func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "light"}, {Name: "prefers-reduced-motion", Value: "no-preference"}},
		})
		return chromedp.Void{}, err
	})
}
