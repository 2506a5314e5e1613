package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// heard reads the next piece of the town's news from a stream.
func (s *stream) heard(t *testing.T) (n townNews) {
	t.Helper()
	for s.lines.Scan() {
		if v, ok := strings.CutPrefix(s.lines.Text(), "data: "); ok {
			if err := json.Unmarshal([]byte(v), &n); err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("the stream has ended")
	return n
}

// until reads on until the news is as wanted.
func (s *stream) until(t *testing.T, what string, ok func(townNews) bool) townNews {
	t.Helper()
	for range 100 {
		if n := s.heard(t); ok(n) {
			return n
		}
	}
	t.Fatalf("never heard: %s", what)
	return townNews{}
}

func tileOf(n townNews, number string) glance {
	for _, g := range n.Tiles {
		if g.MSISDN == number {
			return g
		}
	}
	return glance{}
}

func TestTownStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.People[2].Role, c.People[2].Till = "till", "100001" })
	s := openStream(t, w, "/simulator/town/events")
	first := s.heard(t)
	if len(first.Cast) != 4 || first.Cast[0].Till != "100001" || first.Cast[1].Name != "Asha Juma" || len(first.Tiles) != 4 || first.Others != 0 {
		t.Fatalf("first: %+v", first)
	}
	w.do(t, "POST", "/simulator/phones/"+asha+"/dial", `{"code":"*334#"}`)
	n := s.until(t, "the menu", func(n townNews) bool { return strings.HasPrefix(tileOf(n, asha).Screen, "Karibu") })
	if g := tileOf(n, asha); !g.Open || len(n.Cast) != 0 || len(n.Tiles) != 1 {
		t.Errorf("after a dial: %+v", n)
	}
	for _, key := range []string{"1", "0712000002", "500", "4826"} {
		w.do(t, "POST", "/simulator/phones/"+asha+"/type", `{"input":"`+key+`"}`)
	}
	w.network.Town().Moved(Move{From: asha, To: baraka, Amount: "Ksh500", Outcome: "paid"})
	n = s.until(t, "the payment", func(n townNews) bool { return len(n.Moves) == 1 })
	if n.Moves[0].Amount != "Ksh500" || tileOf(n, baraka).In != 1 {
		t.Errorf("after a payment: %+v", n)
	}
	w.network.Town().Moved(Move{From: baraka, To: "+254700000009", Amount: "Ksh1", Outcome: "unknown"})
	n = s.until(t, "the doubt", func(n townNews) bool { return tileOf(n, baraka).Last == "unknown" })
	if tileOf(n, baraka).Out != 0 {
		t.Errorf("what is unknown is counted: %+v", n)
	}
	w.network.Town().Tell(Figure{"payments/s", "12"})
	s.until(t, "the figures", func(n townNews) bool { return len(n.Figures) == 1 && n.Figures[0].Value == "12" })

	// Somebody new is shown, too, and what anybody has keyed in is not in the news.
	w.app.tell("+254733000111", "hello")
	n = s.until(t, "the newcomer", func(n townNews) bool { return len(n.Cast) == 5 })
	if got := tileOf(n, "+254733000111").SMS; got != 1 {
		t.Errorf("%d messages", got)
	}
	if text := fmt.Sprintf("%+v", openStream(t, w, "/simulator/town/events").heard(t)); strings.Contains(text, "4826") || !strings.Contains(text, "Sent.") {
		t.Errorf("the whole state: %s", text)
	}
	w.network.Close()
	for s.lines.Scan() {
	}
}

// A country has more phones than a page: the most active ones are shown, and a piece of news stays small.
func TestTownIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	town := w.network.Town()
	var people []Person
	for i := range 1000 {
		people = append(people, Person{MSISDN: fmt.Sprintf("+2547330%05d", i), Name: "Somebody"})
	}
	if err := town.Settle(people...); err != nil {
		t.Fatal(err)
	}
	if err := town.Settle(Person{MSISDN: "12"}); err == nil {
		t.Error("somebody without a number lives here")
	}
	for range 3 {
		town.saw(people[900].MSISDN, State{Open: true, Screen: strings.Repeat("ä", 300)})
	}
	a := &audience{}
	n, _ := town.news(a)
	if len(n.Cast) != maxTiles || n.Others != 1004-maxTiles || len(n.Tiles) != maxNews || n.Cast[0].MSISDN != people[900].MSISDN {
		t.Errorf("%d shown, %d not, %d tiles, first %+v", len(n.Cast), n.Others, len(n.Tiles), n.Cast[0])
	}
	if got := len([]rune(n.Tiles[0].Screen)); got != maxGlance {
		t.Errorf("%d characters of a screen", got)
	}
	told := map[string]bool{}
	for more := true; more; n, more = town.news(a) {
		for _, g := range n.Tiles {
			told[g.MSISDN] = true
		}
	}
	if len(told) != maxTiles {
		t.Errorf("%d tiles were told", len(told))
	}
	for range 2 * maxMoves {
		town.Moved(Move{From: people[950].MSISDN, To: people[951].MSISDN, Outcome: "paid"})
	}
	n, _ = town.news(a)
	if len(n.Moves) != maxMoves || len(n.Cast) != 0 {
		t.Errorf("%d payments, %d people at once", len(n.Moves), len(n.Cast))
	}
	w.clock.pass(chosenFor)
	before := n
	n, _ = town.news(a)
	shown := map[string]int{}
	for i, m := range n.Cast {
		shown[m.MSISDN] = i
	}
	if _, ok := shown[people[950].MSISDN]; !ok || len(n.Cast) != maxTiles || shown[people[900].MSISDN] != 0 {
		t.Errorf("whoever pays most is not shown: %d in %+v, before %+v", len(n.Cast), n.Cast[:3], before.Others)
	}
	w.clock.pass(24 * chosenFor * 1000)
	town.Moved(Move{From: people[950].MSISDN, To: "", Outcome: "paid"})
	if got := town.tiles[people[950].MSISDN].glance.Out; got != 1 {
		t.Errorf("%d payments on the next day", got)
	}
}

var tokenShown = regexp.MustCompile(`data-token="([0-9a-f]*)"`)

func TestTownFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	town := w.network.Town()
	if _, _, body := w.do(t, "GET", "/simulator/town", ""); strings.Contains(body, "data-fault") || !strings.Contains(body, `data-token=""`) {
		t.Errorf("faults are offered where there are none: %s", body)
	}
	if status, _, _ := w.do(t, "POST", "/simulator/town/faults", `{"name":"kill-app"}`, "X-Town-Token", ""); status != http.StatusNotFound {
		t.Errorf("nothing to break: %d", status)
	}
	var asked []string
	if err := town.Offer([]Fault{{"kill-app", "a process is killed"}, {"odd<b>", "\"quoted\""}}, func(name string) error {
		if len(asked) == 2 {
			return errors.New("enough of them wait already")
		}
		asked = append(asked, name)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	_, header, body := w.do(t, "GET", "/simulator/town", "")
	token := tokenShown.FindStringSubmatch(body)[1]
	if len(token) != 32 || strings.Contains(body, "<b>odd<b>") || !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("the page: token %q, %s", token, body)
	}
	for _, bad := range []string{"<style", " style=", "onclick", "http://", "https://"} {
		if strings.Contains(body, bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
	for name, c := range map[string]struct {
		body    string
		headers []string
		want    int
	}{
		"without a token":     {`{"name":"kill-app"}`, nil, 403},
		"with another token":  {`{"name":"kill-app"}`, []string{"X-Town-Token", strings.Repeat("0", 32)}, 403},
		"from another site":   {`{"name":"kill-app"}`, []string{"X-Town-Token", token, "Sec-Fetch-Site", "cross-site"}, 403},
		"with another origin": {`{"name":"kill-app"}`, []string{"X-Town-Token", token, "Origin", "http://example.org"}, 403},
		"a form":              {`name=kill-app`, []string{"X-Town-Token", token, "Content-Type", "application/x-www-form-urlencoded"}, 400},
		"not JSON":            {`{`, []string{"X-Town-Token", token}, 400},
		"without a name":      {`{}`, []string{"X-Town-Token", token}, 404},
		"with a bad name":     {`{"name":"kill-app; rm -rf /"}`, []string{"X-Town-Token", token}, 404},
		"too long":            {`{"name":"` + strings.Repeat("x", maxBody) + `"}`, []string{"X-Town-Token", token}, 413},
	} {
		if status, _, answer := w.do(t, "POST", "/simulator/town/faults", c.body, c.headers...); status != c.want {
			t.Errorf("%s: %d, want %d: %s", name, status, c.want, answer)
		}
	}
	if len(asked) != 0 {
		t.Fatalf("done all the same: %q", asked)
	}
	if status, _, _ := w.do(t, "GET", "/simulator/town/faults", ""); status != 405 {
		t.Errorf("by GET: %d", status)
	}
	s := openStream(t, w, "/simulator/town/events")
	for want, status := range []int{204, 204, 409} {
		if got, _, answer := w.do(t, "POST", "/simulator/town/faults", `{"name":"kill-app"}`, "X-Town-Token", token); got != status {
			t.Errorf("%d: %d %s", want, got, answer)
		}
	}
	s.until(t, "both wait", func(n townNews) bool { return n.Faults != nil && len(n.Faults.Waiting) == 2 })
	town.Broken("kill-app")
	s.until(t, "it is under way", func(n townNews) bool {
		return n.Faults != nil && n.Faults.Now == "kill-app" && len(n.Faults.Waiting) == 1
	})
	for range maxBroken + 1 {
		town.Broken("kill-app")
	}
	town.Broken("")
	s.until(t, "it is over", func(n townNews) bool {
		return n.Faults != nil && n.Faults.Now == "" && len(n.Faults.Done) == maxBroken && n.Faults.Count == maxBroken+2
	})
}

// The list of phones knows who lives in the town, so that any tile opens as a full phone.
func TestTownsPeopleHaveFullPhones(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.network.Town().Settle(Person{MSISDN: "254733000111", Name: "Zuhura", PIN: "5739"}); err != nil {
		t.Fatal(err)
	}
	_, _, body := w.do(t, "GET", "/simulator/phones?phone=%2B254733000111&phone=254700000001", "")
	var list []listing
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list) != 2 || list[0].Name != "Zuhura" || list[0].PIN != "5739" || list[1].MSISDN != "+254700000001" {
		t.Errorf("%v %s", err, body)
	}
	if status, _, _ := w.do(t, "GET", "/simulator/phones?phone=x", ""); status != 400 {
		t.Errorf("a bad number: %d", status)
	}
	if status, _, _ := w.do(t, "GET", "/simulator/phones?phone=1"+strings.Repeat("&phone=1", maxWatched), ""); status != 400 {
		t.Errorf("too many: %d", status)
	}
}

func TestTownInTheBrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.People[2].Role, c.People[2].Till = "till", "100001" })
	town := w.network.Town()
	asked := make(chan string, 1)
	if err := town.Offer([]Fault{{"kill-app", "F1: a process is killed"}}, func(name string) error { asked <- name; return nil }); err != nil {
		t.Fatal(err)
	}
	ctx := browser(t, w, 1366, 768)
	moving(t, ctx)
	run(t, ctx, chromedp.Navigate(w.server.URL+"/simulator/town"), chromedp.WaitReady(chromedp.CSS("body[data-ready=yes] .tiles a")))
	if got := look[string](t, ctx, `[...document.querySelectorAll('.tiles .name')].map(e => e.textContent).join()`); got != "Till 100001,Asha Juma,Baraka Otieno,Chausiku" {
		t.Errorf("roles: %q", got)
	}

	// A phone dials: its tile changes. A payment: money moves, both are coloured.
	const ashasTile = `document.querySelector('[data-msisdn="+254712000001"]')`
	phone, err := w.network.Phone(asha)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := phone.Dial(t.Context(), "*334#"); err != nil {
		t.Fatal(err)
	}
	sees(t, ctx, ashasTile+`.textContent + '|' + `+ashasTile+`.dataset.state`, "Send money")
	sees(t, ctx, ashasTile+`.dataset.state`, "open")
	run(t, ctx, chromedp.Evaluate[chromedp.Void](`window.coins = []; new MutationObserver((l) => l.forEach((m) => m.addedNodes.forEach((e) => { if (e.tagName === 'I') coins.push(e.textContent); }))).observe(document.getElementById('sky'), { childList: true })`))
	town.Moved(Move{From: asha, To: baraka, Amount: "Ksh500", Outcome: "paid"})
	sees(t, ctx, `coins.join()`, "Ksh500")
	sees(t, ctx, ashasTile+`.dataset.state`, "paid")
	sees(t, ctx, `document.querySelector('[data-msisdn="`+baraka+`"]').textContent`, "in 1")
	town.Moved(Move{From: "+254712000003", To: baraka, Amount: "Ksh9", Outcome: "refused"})
	sees(t, ctx, `document.querySelector('[data-msisdn="+254712000003"]').dataset.state`, "refused")
	town.Tell(Figure{"payments/s", "12"}, Figure{"e-money", "Ksh51250"})
	sees(t, ctx, `document.getElementById('figures').textContent`, "12")
	shoot(t, ctx, "town-1366")

	// A fault by hand, and what is under way.
	run(t, ctx, chromedp.Click(chromedp.CSS(`[data-fault="kill-app"]`)))
	if got := <-asked; got != "kill-app" {
		t.Errorf("asked for %q", got)
	}
	town.Broken("kill-app")
	sees(t, ctx, `document.getElementById('under').textContent`, "now kill-app")
	town.Broken("")
	sees(t, ctx, `document.getElementById('done').textContent`, "kill-app")

	// Keys: arrows go from tile to tile, Enter takes the phone in hand.
	run(t, ctx, chromedp.Focus(chromedp.CSS(`.tiles a`)), chromedp.KeyEvent(kb.ArrowRight))
	sees(t, ctx, `document.activeElement.dataset.msisdn`, asha)
	run(t, ctx, chromedp.KeyEvent(kb.Enter), chromedp.WaitReady(chromedp.CSS("body[data-ready=yes] .handset")))
	sees(t, ctx, `location.pathname + location.hash + document.querySelector('.handset h2').textContent`, "/simulator/#254712000001Asha Juma")

	// 300 tiles on a small screen, and nothing wider than it.
	var crowd []Person
	for i := range 400 {
		crowd = append(crowd, Person{MSISDN: fmt.Sprintf("+2547330%05d", i), Name: "Somebody Else"})
	}
	if err := town.Settle(crowd...); err != nil {
		t.Fatal(err)
	}
	run(t, ctx, media("dark"), chromedp.EmulateViewport(360, 640), chromedp.Navigate(w.server.URL+"/simulator/town"), chromedp.WaitReady(chromedp.CSS("body[data-ready=yes] .tiles a")))
	if wide := look[int](t, ctx, `document.documentElement.scrollWidth`); wide > 360 {
		t.Errorf("the page is %d pixels wide on a screen of 360", wide)
	}
	sees(t, ctx, `document.querySelectorAll('.tiles a').length + document.getElementById('others').textContent`, "300104 more phones")
	shoot(t, ctx, "town-360-dark")
}
