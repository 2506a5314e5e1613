package portal

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/money"
	"tuma/internal/text"
)

// Each text is there in each language, with the same holes, and each that a page
// or a function asks for is there at all.
func TestWordsAreThere(t *testing.T) {
	t.Parallel()
	words, err := text.ParseCatalogue(files, "words")
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range words.Check() {
		if !strings.Contains(problem, "outside GSM 7-bit") { // a page has all letters
			t.Error(problem)
		}
	}
	asked := regexp.MustCompile(`(?:\{\{t |\(t |c\.t\(|refusePage\([^"]*|Title: |menu: )"([a-z_.]+)"`)
	refused := regexp.MustCompile(`accounts\.Refuse\("([a-z_]+)"`)
	n := 0
	check := func(name, where string) {
		n++
		if _, ok := words.Text("en", name); !ok {
			t.Errorf("%s: there is no [%s]", where, name)
		}
	}
	pages, _ := filepath.Glob("pages/*.html")
	sources, _ := filepath.Glob("*.go")
	for _, file := range append(pages, sources...) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range asked.FindAllStringSubmatch(string(b), -1) {
			check(m[1], file)
		}
		for _, m := range refused.FindAllStringSubmatch(string(b), -1) {
			check("refusal."+m[1], file)
		}
	}
	kes, err := money.CurrencyOf("KES")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := accounts.ParseBrakes(nil, kes)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range rules {
		check("brake."+b.Rule, "brakes.csv")
	}
	for _, kind := range []string{agents.FlagSplit, agents.FlagInOut, agents.FlagDirect} {
		check("flag."+kind, "flags")
	}
	if n < 100 {
		t.Errorf("only %d words are asked for", n)
	}
	for _, lang := range words.Languages() {
		sms, err := words.Fill(lang, "sms.code", text.Holes{"code": "123456", "brand": "Tumaini"})
		if n, ok := text.Septets(sms); err != nil || !ok || n > 160 {
			t.Errorf("%s: the SMS takes %d septets, %v: %v", lang, n, ok, err)
		}
	}
}

// Every route has a right that somebody has, and each role is served by the
// routes of its rights alone.
func TestEveryRouteAsksForARight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	roles := map[string]*browser{
		"": w.browser(), "owner": w.browser().signIn(juma), "assistant": w.browser().signIn(rehema), "auditor": w.browser().signIn(auditor),
		"maker": w.browser().signInStaff("mary"), "checker": w.browser().signInStaff("charles"), "care": w.browser().signInStaff("zawadi"),
	}
	if _, err := w.agents.CreateHeadOffice(t.Context(), "Kuu Office", 0); err != nil {
		t.Fatal(err)
	}
	w.must(w.agents.CreateOperator(t.Context(), agents.NewOperator{Office: "Kuu Office", Name: "Mkuu Juma", IDNumber: "23999999", Lang: "en", Role: "head", Phone: "+254722000099", PIN: w.sealed()}))
	roles["head"] = w.browser().signIn("+254722000099")
	if len(roles) != 1+len(agents.Roles()) { // and strangers
		t.Fatalf("%d roles are tried of %v", len(roles), agents.Roles())
	}
	seen := map[string]bool{}
	for _, r := range routes() {
		if seen[r.method+r.path] {
			t.Errorf("%s %s is there twice", r.method, r.path)
		}
		seen[r.method+r.path] = true
		holders := 0
		for role, b := range roles {
			may := roleMay(role, r.right)
			if may {
				holders++
			}
			if r.path == "/agents/out" && may {
				continue // tried last, elsewhere
			}
			path := strings.NewReplacer("{$}", "", "{token}", strings.Repeat("0", 32), "{code}", "UKM2222222", "{id}", "9999", "{name}", "0123456789abcdef", "{till}", "999999", "{number}", "0733000009").Replace(r.path)
			if r.silent {
				b.opens(path)
			} else if r.method == get {
				b.get(path)
			} else {
				b.get("/agents/nothing")
				b.post(path)
			}
			out := b.last.status == 403 && strings.Contains(b.last.body, "Your role does not include")
			in := b.last.status == 303 && regexp.MustCompile(`^/agents/(staff/)?in(\?|$)`).MatchString(b.last.header.Get("Location"))
			if path == "/agents/" && role == "" {
				in = false // that is its answer
			}
			if turned := out || in; turned == may {
				t.Errorf("%s %s as %q: status %d %s, may %v", r.method, path, role, b.last.status, b.last.header.Get("Location"), may)
			}
		}
		if holders == 0 || r.right == "" {
			t.Errorf("%s %s asks for %q, which nobody has", r.method, r.path, r.right)
		}
	}
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	b.get("/agents/today")
	b.wants(303, "/agents/in?next=%2Fagents%2Ftoday")
	b.follow()
	b.wants(200, "Your phone number")
	if strings.Contains(b.last.body, `name="pin"`) {
		t.Error("a browser that nobody has used asks for a PIN")
	}
	b.post("/agents/in", "number", "not a number")
	b.wants(422, "0712345678")

	// A number that is nobody's, and a wrong code, read the same.
	b.post("/agents/in", "number", nobody)
	b.wants(200, "is on its way")
	strange := b.last.body
	if w.code(nobody) != "" {
		t.Error("a code was sent to nobody")
	}
	b.post("/agents/in/code", "code", "000000", "pin", canary)
	b.wants(422, "This code is not right.")
	b.post("/agents/in", "number", juma)
	b.wants(200, "is on its way")
	same := func(page, number string) string {
		return formHidden.ReplaceAllString(strings.ReplaceAll(page, number[1:], "N"), "")
	}
	if same(strange, nobody) != same(b.last.body, juma) {
		t.Errorf("the pages differ:\n%s\n%s", strange, b.last.body)
	}
	b.post("/agents/in/code", "code", "nosuch", "pin", canary)
	b.wants(422, "This code is not right.")

	// The PIN is not looked at before the code is right.
	if n := w.count(`select count(*) from pin where tries > 0`); n != 0 {
		t.Error("a PIN was tried without a code")
	}
	code := w.code(juma)
	b.post("/agents/in/code", "code", code, "pin", "9999")
	b.wants(422, "Wrong PIN")
	b.post("/agents/in/code", "code", code, "pin", canary, "next", "/agents/entries")
	b.wants(303, "/agents/entries")
	b.follow()
	b.wants(200, "100001 MAMA PIMA SHOP")
	b.get("/agents/today")
	b.wants(200, "Ksh50,000.00")

	// A code opens once, and in the browser that asked alone.
	other := w.browser()
	other.get("/agents/in")
	other.post("/agents/in/code", "code", code, "pin", canary)
	other.wants(422, "too old")

	// The same browser again: the PIN is enough, and a wrong one says so.
	b.post("/agents/out")
	b.wants(303, "/agents/in")
	b.get("/agents/today")
	b.wants(303, "/agents/in")
	b.follow()
	b.wants(200, `name="pin"`)
	b.post("/agents/in", "number", juma, "pin", "1111")
	b.wants(422, "Wrong PIN")
	b.post("/agents/in", "number", juma, "pin", canary, "next", "//evil.example/")
	b.wants(303)
	if to := b.last.header.Get("Location"); to != "/agents/today" {
		t.Errorf("led to %s", to)
	}

	// Another operator there still needs a code.
	b.post("/agents/out")
	b.get("/agents/in")
	b.post("/agents/in", "number", neema, "pin", canary)
	b.wants(200, "is on its way")
	if strings.Contains(w.log.String(), canary) {
		t.Errorf("the PIN is in the log:\n%s", w.log)
	}
}

func TestCodesEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	b.get("/agents/in")
	b.post("/agents/in", "number", juma)
	code := w.code(juma)
	w.clock.pass(5*time.Minute + time.Second)
	b.post("/agents/in/code", "code", code, "pin", canary)
	b.wants(422, "too old")

	b.post("/agents/in", "number", juma)
	if fresh := w.code(juma); fresh == code {
		t.Fatal("the same code again")
	} else {
		code = fresh
	}
	for range 3 {
		b.post("/agents/in/code", "code", "abcdef", "pin", canary)
		b.wants(422)
	}
	b.post("/agents/in/code", "code", code, "pin", canary)
	b.wants(422, "too old")

	// Many numbers of tries from one browser, whatever it asks for.
	limited := false
	for range 12 {
		b.post("/agents/in", "number", juma)
		limited = limited || b.last.status == 429
	}
	if !limited {
		t.Error("codes are sent without end")
	}
	// The third wrong PIN locks it, and its owner is told.
	c := w.browser()
	c.get("/agents/in")
	c.post("/agents/in", "number", neema)
	code = w.code(neema)
	for range 3 {
		c.post("/agents/in/code", "code", code, "pin", "1111")
		c.wants(422)
	}
	c.wants(422, "locked")
	if n := w.count(`select count(*) from notice where key like 'pin_locked:%' and to_msisdn = $1`, neema); n != 1 {
		t.Errorf("%d notices", n)
	}
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	in := func(b *browser) bool {
		t.Helper()
		b.get("/agents/today")
		return b.last.status == 200
	}
	idle := w.browser().signIn(juma)
	w.clock.pass(14 * time.Minute)
	if !in(idle) {
		t.Error("ended too early")
	}
	w.clock.pass(14 * time.Minute)
	if !in(idle) {
		t.Error("using it did not prolong it")
	}
	w.clock.pass(15 * time.Minute)
	if in(idle) {
		t.Error("an idle session goes on")
	}
	long := w.browser().signIn(juma)
	for range 12*60/14 - 1 {
		w.clock.pass(14 * time.Minute)
		if !in(long) {
			t.Fatal("ended too early")
		}
	}
	w.clock.pass(14 * time.Minute)
	in(long)
	w.clock.pass(14 * time.Minute)
	if in(long) {
		t.Error("a session of more than twelve hours goes on")
	}

	// Another PIN, chosen by phone, ends all sessions; so do a frozen operator and
	// staff who leave.
	one, two := w.browser().signIn(juma), w.browser().signIn(juma)
	w.clock.pass(time.Second)
	o := w.who(juma)
	w.must(w.accounts.ChangePINOf(ctx, o.PIN, o.Phone, "en", w.sealed()))
	if in(one) || in(two) {
		t.Error("a session outlives its PIN")
	}
	frozen := w.browser().signIn(rehema)
	w.sql(`update operator set frozen = true where msisdn = $1`, rehema)
	if in(frozen) {
		t.Error("a frozen operator goes on")
	}
	frozen.get("/agents/in")
	frozen.post("/agents/in", "number", rehema, "pin", canary)
	frozen.wants(422, "is frozen")
	reset := w.browser().signIn(neema)
	w.must(w.accounts.PINs().Reset(ctx, w.who(neema).PIN))
	if in(reset) {
		t.Error("a session outlives a PIN that was taken away")
	}
	staff := w.browser().signInStaff("mary")
	staff.get("/agents/staff/float")
	staff.wants(200)
	w.sql(`update staff set active = false where name = 'mary'`)
	staff.get("/agents/staff/float")
	staff.wants(303, "/agents/staff/in")
	if n := w.count(`select count(*) from portal_session where token in ($1, $2)`, canary, password); n != 0 {
		t.Error("a secret is a token")
	}
}

// A session that was put into the browser before somebody signs in is not the
// one that is signed in.
func TestSessionsAreFresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	u, err := url.Parse(w.server.URL)
	w.must(err)
	planted := strings.Repeat("ab", 16)
	b.client.Jar.SetCookies(u, []*http.Cookie{{Name: "__Host-tuma", Value: planted, Path: "/", Secure: true}, {Name: "__Host-tuma-visit", Value: planted, Path: "/", Secure: true}})
	b.signIn(juma)
	for _, k := range b.client.Jar.Cookies(u) {
		if k.Value == planted && k.Name != "__Host-tuma-visit" {
			t.Errorf("%s is still what was planted", k.Name)
		}
	}
	if n := w.count(`select count(*) from portal_session where token = $1`, hashed(planted)); n != 0 {
		t.Error("the planted token is signed in")
	}
}

func TestHeadersAndCookies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	b.get("/agents/in")
	for name, want := range map[string]string{
		"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
		"Cache-Control": "no-store", "Strict-Transport-Security": "max-age=31536000",
	} {
		if got := b.last.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	b.post("/agents/in", "number", juma)
	b.post("/agents/in/code", "code", w.code(juma), "pin", canary)
	b.wants(303)
	set := b.last.header.Values("Set-Cookie")
	if len(set) < 3 {
		t.Errorf("%q", set)
	}
	for _, k := range set {
		for _, part := range []string{"__Host-", "; Path=/", "; HttpOnly", "; Secure", "; SameSite=Lax"} {
			if !strings.Contains(k, part) || strings.Contains(k, "Domain") {
				t.Errorf("no %q in %s", part, k)
			}
		}
	}
	for _, inline := range []string{" style=", " onclick=", "<style", "javascript:"} {
		if b.get("/agents/today"); strings.Contains(b.last.body, inline) {
			t.Errorf("%q on the page", inline)
		}
	}
	// Static files are kept; anything else of their folder is not there.
	css := regexp.MustCompile(`/agents/static/[0-9a-f]+\.css`).FindString(b.last.body)
	if b.get(css); b.last.status != 200 || b.last.header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
		t.Errorf("%s: %d %v", css, b.last.status, b.last.header)
	}
	for _, path := range []string{"/agents/static/portal.css", "/agents/static/..%2fportal.go", "/agents/nothing"} {
		if b.get(path); b.last.status != 404 {
			t.Errorf("%s: %d", path, b.last.status)
		}
	}
}

func TestFormsOfOthersAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn(juma)
	b.get("/agents/deposit")
	form := url.Values{"form": {b.form}, "lang": {"sw"}}
	for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
		r := b.request("/agents/lang", form)
		r.Header.Set(name, value)
		b.send(r)
		b.wants(403, "too old")
	}
	own := b.form
	for _, token := range []string{"", "00", strings.Repeat("0", 64), own[:62] + "zz", w.browser().signIn(neema).form} {
		b.form = token
		b.post("/agents/lang", "lang", "sw")
		b.wants(403, "too old")
	}
	// A body that is no form, or too large.
	r := b.request("/agents/lang", form)
	r.Header.Set("Content-Type", "text/plain")
	b.send(r)
	b.wants(403)
	b.form = own
	b.post("/agents/lang", "lang", strings.Repeat("x", maxForm))
	b.wants(413, "Too large")
	b.post("/agents/lang", "lang", "sw", "next", "/agents/deposit")
	b.wants(303, "/agents/deposit")
	b.follow()
	b.wants(200, `lang="sw"`, "Weka pesa")
	if w.who(juma).Lang != "sw" {
		t.Error("the operator's language is not what was chosen")
	}
}

func TestDeposit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn(juma)
	b.get("/agents/deposit")
	b.wants(200, "phone number")
	b.post("/agents/deposit/check", "ref", b.ref, "number", "0712000001", "amount", "1,500")
	b.wants(200, "ASHA JUMA", "0712000001", "Ksh1,500.00", "Deposit Ksh1,500.00")
	ref := b.ref
	b.post("/agents/deposit", "ref", ref, "number", asha, "amount", "1,500", "pin", "1111")
	b.wants(422, "Wrong PIN", "ASHA JUMA")
	if b.ref != ref {
		t.Error("a wrong PIN changed the token")
	}
	b.post("/agents/deposit", "ref", ref, "number", asha, "amount", "1,500", "pin", canary)
	b.wants(303, "/agents/done/"+ref)
	b.follow()
	b.wants(200, "Done.", "ASHA JUMA", "Ksh1,500.00", `class="qr"`)
	first := receipt.FindString(b.last.body)

	// The same form again, changed or not, with the right PIN or not, is the first.
	for _, pairs := range [][]string{{"amount", "1,500", "pin", canary}, {"amount", "99", "pin", canary}, {"amount", "1,500", "pin", "1111"}} {
		b.post("/agents/deposit", append([]string{"ref", ref, "number", asha}, pairs...)...)
		b.wants(303, "/agents/done/"+ref)
	}
	if b.follow(); receipt.FindString(b.last.body) != first {
		t.Error("another receipt")
	}
	if got := w.balance(asha); got != 1500*shilling {
		t.Errorf("asha has %d", got)
	}
	// Within two minutes the same again is asked about.
	b.get("/agents/deposit")
	b.post("/agents/deposit/check", "ref", b.ref, "number", asha, "amount", "1500")
	b.wants(200, "The same deposit was made at 09:15", first)

	// Refusals keep what was keyed in, and the token.
	for _, c := range [][3]string{{"07120", "500", "0712345678"}, {"0712000001", "abc", "500"}, {"0733000009", "500", "0733000009 is not on"}, {"0712000001", "1", "Ksh"}, {"0712000001", "100000", "float"}} {
		b.post("/agents/deposit/check", "ref", ref[:31]+"f", "number", c[0], "amount", c[1])
		b.wants(422, c[2], `value="`+c[0]+`"`, `value="`+c[1]+`"`, ref[:31]+"f")
	}
	b.post("/agents/deposit", "ref", "short", "number", asha, "amount", "500", "pin", canary)
	b.wants(403)
	if got := w.balance(asha); got != 1500*shilling {
		t.Errorf("asha has %d", got)
	}
}

var receipt = regexp.MustCompile(`UKM[A-Z0-9]{7}`)

// The answer is lost, the operator goes home, and next day the page is still
// open: the form says what became of it, or pays once.
func TestDepositIsTriedAgainNextDay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn(juma)
	b.get("/agents/deposit")
	b.post("/agents/deposit/check", "ref", b.ref, "number", asha, "amount", "500")
	paid := []string{"ref", b.ref, "number", asha, "amount", "500", "pin", canary}
	oldForm := b.form
	b.post("/agents/deposit", paid...)
	b.wants(303)

	b.get("/agents/deposit")
	b.post("/agents/deposit/check", "ref", b.ref, "number", asha, "amount", "700")
	unpaid := []string{"ref", b.ref, "number", asha, "amount", "700", "pin", canary}
	w.clock.pass(20 * time.Hour)
	again := func(pairs []string) {
		b.form = oldForm
		b.post("/agents/deposit", pairs...)
	}
	again(paid)
	b.wants(303, "/agents/in?next=%2Fagents%2Fdone%2F"+paid[1])
	b.follow()
	b.post("/agents/in", "number", juma, "pin", canary, "next", "/agents/done/"+paid[1])
	b.follow()
	b.wants(200, "Done.", "Ksh500.00")
	again(paid) // with the form of the session before
	b.wants(303, "/agents/done/"+paid[1])
	b.get("/agents/done/" + unpaid[1])
	b.wants(404, "Nothing was done")
	again(unpaid)
	b.wants(200, "Deposit Ksh700.00") // the PIN is asked for once more
	if got := w.balance(asha); got != 500*shilling {
		t.Errorf("asha has %d", got)
	}
	b.post("/agents/deposit", unpaid...)
	b.wants(303, "/agents/done/"+unpaid[1])
	if got := w.balance(asha); got != 1200*shilling {
		t.Errorf("asha has %d", got)
	}
}

// Names are shown to pay people. Whoever asks for many without a deposit gets no
// more of them, and is not told which numbers are registered either.
func TestNamesAreNotCollected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn(juma)
	b.get("/agents/deposit")
	for range lookUps().Burst {
		b.post("/agents/deposit", "ref", b.ref, "number", nobody, "amount", "500", "pin", "")
		b.wants(422, "is not on")
	}
	for _, path := range []string{"/agents/deposit", "/agents/deposit/check"} {
		b.post(path, "ref", b.ref, "number", asha, "amount", "500")
		b.wants(422, "too many names")
		b.post(path, "ref", b.ref, "number", nobody, "amount", "500")
		b.wants(422, "too many names")
	}
}

// A page that waits is told when it has happened; that alone keeps nobody signed in.
func TestLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn(juma)
	token := fmt.Sprintf("%032x", w.n+1) // the next deposit's
	b.get("/agents/done/" + token)
	b.wants(404, "/agents/live/"+token, "Look again")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.server.URL+"/agents/live/"+token, nil)
	w.must(err)
	res, err := b.client.Do(r) // comes back with the first line
	w.must(err)
	defer res.Body.Close()
	w.deposit(juma, 500)
	told, err := io.ReadAll(res.Body)
	w.must(err)
	if res.Header.Get("Content-Type") != "text/event-stream" || !strings.HasSuffix(string(told), "event: done\ndata: "+token+"\n\n") {
		t.Errorf("%v %q", res.Header, told)
	}
	b.get("/agents/done/" + token)
	b.wants(200, "Done.")
	for range 2 {
		w.clock.pass(8 * time.Minute)
		b.get("/agents/live/" + token)
	}
	b.get("/agents/today")
	b.wants(303, "/agents/in")
	other := w.browser().signIn(neema)
	other.get("/agents/done/" + token)
	other.wants(404)
}

// Sixteen presses at once pay once.
func TestDepositIsPressedOften(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn(juma)
	b.get("/agents/deposit")
	form := url.Values{"form": {b.form}, "ref": {b.ref}, "number": {asha}, "amount": {"500"}, "pin": {canary}}
	var all sync.WaitGroup
	for range 16 {
		r := b.request("/agents/deposit", form)
		all.Go(func() {
			res, err := b.client.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			res.Body.Close()
			if res.StatusCode != 303 || res.Header.Get("Location") != "/agents/done/"+form.Get("ref") {
				t.Errorf("%d %s", res.StatusCode, res.Header.Get("Location"))
			}
		})
	}
	all.Wait()
	if got := w.balance(asha); got != 500*shilling {
		t.Errorf("asha has %d", got)
	}
}

func (w *world) deposit(operator string, a int) (code string) {
	w.t.Helper()
	w.n++
	d, err := w.agents.Deposit(w.t.Context(), fmt.Sprintf("portal:%032x", w.n), w.who(operator), asha, money.Amount(a)*shilling)
	w.must(err)
	return d.Code
}

// What is another till's cannot be reached, whatever is put into an address or a form.
func TestOthersAreOutOfReach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	theirs := w.deposit(neema, 100)
	token := fmt.Sprintf("%032x", w.n)
	w.must(os.WriteFile(filepath.Join(w.photos, "x"), nil, 0o600))
	w.sql(`insert into id_photo (ref, file, customer, msisdn, born, till, operator, created_at)
		select $1, 'x', s.customer, s.msisdn, date '1990-01-01', '100002', o.id, now() from sim s, operator o where s.msisdn = $2 and o.msisdn = $3`, "portal:"+token, asha, neema)
	asked := strings.Repeat("e", 32)
	_, err := w.agents.AskFloat(t.Context(), "portal:"+asked, w.who(neema), 100*shilling, "EQ-THEIRS")
	w.must(err)
	theirsInstead := strings.NewReplacer("{token}", token, "{code}", theirs, "{number}", neema[4:], "{till}", "100002")
	for _, who := range []string{juma, rehema, auditor} {
		b := w.browser().signIn(who)
		o := w.who(who)
		// Every address that has an id in it, by its method, with theirs in its place.
		for _, r := range routes() {
			if !strings.Contains(strings.ReplaceAll(r.path, "{$}", ""), "{") || strings.HasPrefix(r.path, "/agents/staff/") || strings.HasPrefix(r.path, "/agents/static/") {
				continue
			}
			path := theirsInstead.Replace(r.path)
			if strings.Contains(path, "{") {
				t.Fatalf("%s has an id that this test does not know", r.path)
			}
			switch {
			case r.silent:
				// What has happened is told at once, else nothing is for a while.
				soon, cancel := context.WithTimeout(t.Context(), time.Second/2)
				req, err := http.NewRequestWithContext(soon, http.MethodGet, w.server.URL+path, nil)
				w.must(err)
				res, err := b.client.Do(req)
				w.must(err)
				told, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if cancel(); strings.Contains(string(told), "event:") {
					t.Errorf("%s as %s: %s", path, who, told)
				}
				continue
			case r.method == get:
				b.get(path)
			default:
				b.get("/agents/nothing")
				b.post(path, "was", "owner always", "role", "auditor", "reason", "not theirs", "pin", canary)
			}
			if want := map[bool]int{true: 404, false: 403}[o.May(r.right) == nil]; b.last.status != want {
				t.Errorf("%s %s as %s: %d, want %d", r.method, path, who, b.last.status, want)
			}
		}
		b.get("/agents/done/" + asked)
		b.wants(404)
		b.get("/agents/commission?day=2026-11-22&before=" + theirs)
		b.wants(422, "no such entry of this till")
		for _, path := range []string{"/agents/float", "/agents/float?before=99999", "/agents/operators", "/agents/log", "/agents/log?who=" + neema[1:], "/agents/commission?day=2026-11-22",
			"/agents/commission.csv?day=2026-11-22", "/agents/day"} {
			b.get(path)
			for _, word := range []string{"EQ-THEIRS", "NEEMA", "100002", theirs} {
				if strings.Contains(b.last.body, word) {
					t.Errorf("%s as %s shows %s", path, who, word)
				}
			}
		}
		b.get("/agents/entries?find=" + theirs)
		b.wants(422, "no such entry of this till")
		b.get("/agents/entries?before=" + theirs)
		b.wants(422, "no such entry of this till")
		for _, path := range []string{"/agents/entries", "/agents/entries.csv", "/agents/today", "/agents/entries?find=0712000001"} {
			b.get(path)
			b.wants(200)
			if strings.Contains(b.last.body, theirs) {
				t.Errorf("%s shows %s", path, theirs)
			}
		}
	}
	// A form under another till's token neither pays nor tells.
	b := w.browser().signIn(juma)
	b.get("/agents/deposit")
	b.post("/agents/deposit", "ref", token, "number", asha, "amount", "100", "pin", canary)
	if b.last.status == 200 || b.last.status == 303 && b.follow().status != 404 || strings.Contains(b.last.body, theirs) {
		t.Errorf("%d %s", b.last.status, b.last.body)
	}
	if got := w.balance(asha); got != 100*shilling {
		t.Errorf("asha has %d", got)
	}
	// What lists to choose from do not offer is not taken either.
	b.get("/agents/float/send")
	b.post("/agents/float/send", "ref", b.ref, "to", "100002", "amount", "10", "pin", canary)
	b.wants(422, "not a till of yours")
	b.post("/agents/operators/new", "number", "0722000077", "name", "Kariuki Maina", "id", "24001234", "till", "100002", "role", "owner", "lang", "en", "pin", canary)
	b.wants(422, "not a till of yours")
	if o := w.who(neema); o.Frozen || o.Role != "owner" || w.count(`select count(*) from operator where till = '100002'`) != 1 || w.count(`select count(*) from reversal_request`) != 0 {
		t.Errorf("%+v", o)
	}
	own := w.browser().signIn(neema)
	own.get("/agents/entries/" + theirs)
	own.wants(200, theirs, "ASHA JUMA")
}

func TestEntries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var codes []string
	for i := range 20 {
		codes = append(codes, w.deposit(juma, 100+i))
		w.clock.pass(10 * time.Minute)
	}
	c, err := w.accounts.ByPhone(t.Context(), asha)
	w.must(err)
	_, err = w.agents.Withdraw(t.Context(), "out", c, "100001", 300*shilling)
	w.must(err)
	b := w.browser().signIn(auditor)
	b.get("/agents/entries")
	b.wants(200, codes[19], codes[6], "Ksh119.00", "Withdrawn", "/agents/entries/"+codes[10], "Older")
	if strings.Contains(b.last.body, codes[5]) {
		t.Error("the page is longer than a page")
	}
	b.get(strings.ReplaceAll(regexp.MustCompile(`/agents/entries\?find=[^"]*before=[^"]*`).FindString(b.last.body), "&amp;", "&"))
	b.wants(200, codes[5], codes[0])
	if strings.Contains(b.last.body, "/agents/entries/"+codes[6]) || strings.Contains(b.last.body, "Older") {
		t.Error("the second page is not the rest")
	}
	b.get("/agents/entries?find=" + strings.ToLower(codes[3]))
	b.wants(303, "/agents/entries/"+codes[3])
	b.follow()
	b.wants(200, "Ksh103.00", "0712000001", "MAMA PIMA SHOP", "<svg")
	b.get("/agents/entries?day=2026-11-21")
	b.wants(200, "No entries.")
	b.get("/agents/entries?day=2026-11-22&find=0712000001")
	b.wants(200, codes[19])
	b.get("/agents/entries?day=yesterday")
	b.wants(422, "Not a date")
	b.get("/agents/entries?find=nothing-like-it")
	b.wants(422, "no such entry")
	b.get("/agents/entries.csv?find=&day=2026-11-22")
	b.wants(200, "Time,Receipt,Kind,In,Out,Commission,Float,Other side,Number\n", codes[0]+",Deposit,,100.00,", "ASHA JUMA,0712000001\n", ",Withdrawn,300.00,,")
	if n := strings.Count(b.last.body, "\n"); n != 23 { // with the head and the float from the bank
		t.Errorf("%d lines:\n%s", n, b.last.body)
	}
	b.get("/agents/today")
	b.wants(200, "Ksh2,190.00", "Ksh300.00", `class="chart"`)
}

func TestCellsAreNoFormulas(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"=1+1": "'=1+1", "+254": "'+254", "-5": "'-5", "@x": "'@x", "\tx": "'\tx", "\rx": "'\rx", "ASHA": "ASHA", "": "", "5": "5"} {
		if got := cell(in); got != want {
			t.Errorf("cell(%q) = %q", in, got)
		}
	}
}

// What is keyed in comes back as text, on every page that shows it again.
func TestNothingKeyedInIsMarkup(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const bad = `"><script>alert(1)</script><img src=x onerror=alert(1)>'`
	stranger, b, care, maker := w.browser(), w.browser().signIn(juma), w.browser().signInStaff("zawadi"), w.browser().signInStaff("mary")
	clean := func(b *browser, what string) {
		t.Helper()
		if strings.Contains(b.last.body, "<script>alert") || strings.Contains(b.last.body, "<img") {
			t.Errorf("%s: %s", what, b.last.body)
		}
	}
	stranger.get("/agents/in?next=" + url.QueryEscape("/agents/"+bad))
	clean(stranger, "next")
	for _, path := range []string{"/agents/in", "/agents/in/code", "/agents/staff/in", "/agents/lang"} {
		stranger.post(path, "number", bad, "name", bad, "next", bad, "code", bad, "pin", bad, "password", bad, "lang", bad)
		clean(stranger, path)
	}
	for _, path := range []string{"/agents/entries?find=", "/agents/entries?day=", "/agents/entries?before=", "/agents/entries.csv?find=", "/agents/entries/", "/agents/done/"} {
		b.get(path + url.PathEscape(bad))
		clean(b, path)
	}
	b.get("/agents/deposit")
	for _, path := range []string{"/agents/deposit/check", "/agents/deposit"} {
		b.post(path, "ref", b.ref, "number", bad, "amount", bad, "pin", bad)
		clean(b, path)
	}
	for _, path := range []string{"/agents/log?who=", "/agents/log?day=", "/agents/commission?day=", "/agents/commission?month=", "/agents/float?before=", "/agents/day?before=", "/agents/operators?from=", "/agents/operators/"} {
		b.get(path + url.PathEscape(bad))
		clean(b, path)
	}
	code := w.deposit(juma, 500)
	for _, path := range []string{"/agents/float/ask", "/agents/float/send/check", "/agents/float/send", "/agents/float/return", "/agents/float/alert", "/agents/commission/payout",
		"/agents/day/open", "/agents/operators/new", "/agents/operators/0722000011/duty", "/agents/operators/0722000011/freeze", "/agents/entries/" + code + "/reversal"} {
		b.get("/agents/float/ask")
		b.post(path, "ref", b.ref, "number", bad, "amount", bad, "bank", bad, "to", bad, "low", bad, "was", "false", "cash", bad, "day", bad, "name", bad, "id", bad, "till", bad,
			"role", bad, "lang", bad, "from", bad, "reason", bad, "pin", "")
		clean(b, path)
	}
	// A reason that was kept comes back in the log and on the receipt.
	b.post("/agents/operators/0722000011/freeze", "was", "false", "reason", bad, "pin", canary)
	b.wants(303)
	b.post("/agents/entries/"+code+"/reversal", "reason", bad, "pin", canary)
	b.wants(303)
	for _, path := range []string{"/agents/log", "/agents/entries/" + code} {
		b.get(path)
		b.wants(200, "&lt;script&gt;alert")
		clean(b, path)
	}
	b.get("/agents/register")
	b.send(b.upload(map[string]string{"ref": b.ref, "number": bad, "name": bad, "id": bad, "born": bad, "lang": bad, "pin": bad}, nil))
	clean(b, "register")
	care.get("/agents/staff/customer")
	care.post("/agents/staff/customer", "number", bad, "reason", bad)
	clean(care, "customer")
	maker.get("/agents/staff/float")
	maker.post("/agents/staff/float/request", "till", bad, "amount", bad, "bank", bad)
	clean(maker, "float")
}

// upload is the form of a registration with a photo.
func (b *browser) upload(fields map[string]string, photo []byte) *http.Request {
	b.t.Helper()
	var body bytes.Buffer
	m := multipart.NewWriter(&body)
	b.must(m.WriteField("form", b.form))
	for name, value := range fields {
		b.must(m.WriteField(name, value))
	}
	if photo != nil {
		part, err := m.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="photo"; filename="../../evil.php"`}, "Content-Type": {"image/jpeg"}})
		b.must(err)
		_, err = part.Write(photo)
		b.must(err)
	}
	b.must(m.Close())
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.server.URL+"/agents/register", &body)
	b.must(err)
	r.Header.Set("Content-Type", m.FormDataContentType())
	return r
}

func picture(side int) image.Image {
	p := image.NewRGBA(image.Rect(0, 0, side, side))
	for x := range side {
		p.Set(x, x, color.RGBA{200, 10, 10, 255})
	}
	return p
}

func TestRegister(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var jpg, pngs, gifs, small bytes.Buffer
	w.must(jpeg.Encode(&jpg, picture(300), nil))
	w.must(png.Encode(&pngs, picture(300)))
	w.must(gif.Encode(&gifs, picture(300), nil))
	w.must(png.Encode(&small, picture(20)))
	// With a place and a script where a camera writes its notes.
	noted := append([]byte{0xff, 0xd8, 0xff, 0xe1, 0, 28}, []byte("Exif\x00\x00<?php -1.28,36.82 ?>aaaa")[:26]...)
	noted = append(noted, jpg.Bytes()[2:]...)
	bomb := bytes.Clone(pngs.Bytes())
	copy(bomb[16:], []byte{0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff}) // says that it is 65535 by 65535

	b := w.browser().signIn(rehema)
	b.get("/agents/register")
	b.wants(200, "Date of birth")
	fields := func(number string, pairs ...string) map[string]string {
		f := map[string]string{"ref": b.ref, "number": number, "name": "Chausiku Mwangi", "id": "3000" + number[len(number)-4:], "born": "1990-05-06", "lang": "sw", "pin": canary}
		for i := 0; i+1 < len(pairs); i += 2 {
			f[pairs[i]] = pairs[i+1]
		}
		return f
	}
	for _, c := range []struct {
		photo []byte
		field string
		value string
		says  string
	}{
		{nil, "", "", "Not a photo"}, {gifs.Bytes(), "", "", "Not a photo"}, {small.Bytes(), "", "", "Not a photo"}, {bomb, "", "", "Not a photo"},
		{[]byte("<svg onload=alert(1)>"), "", "", "Not a photo"}, {jpg.Bytes()[:200], "", "", "Not a photo"},
		{jpg.Bytes(), "born", "2030-01-01", "date of birth"}, {jpg.Bytes(), "born", "6/5/1990", "date of birth"},
		{jpg.Bytes(), "name", "X1", "name"}, {jpg.Bytes(), "id", "1", "ID"}, {jpg.Bytes(), "number", "1", "0712345678"}, {jpg.Bytes(), "pin", "1111", "Wrong PIN"},
	} {
		f := fields("0712000003")
		if c.field != "" {
			f[c.field] = c.value
		}
		b.send(b.upload(f, c.photo))
		b.wants(422, c.says)
	}
	left, err := os.ReadDir(w.photos)
	if w.must(err); len(left) != 0 {
		t.Errorf("%d photos of nobody", len(left))
	}
	f := fields("0712000003")
	b.send(b.upload(f, noted))
	b.wants(303, "/agents/registered/"+f["ref"])
	b.follow()
	b.wants(200, "CHAUSIKU MWANGI", "0712000003", "*334#")
	b.get("/agents/in")
	b.send(b.upload(f, pngs.Bytes())) // the same form again
	b.wants(303, "/agents/registered/"+f["ref"])
	kept, err := os.ReadDir(w.photos)
	w.must(err)
	if len(kept) != 1 || !regexp.MustCompile(`^[0-9a-f]{32}\.jpg$`).MatchString(kept[0].Name()) {
		t.Fatalf("%v", kept)
	}
	raw, err := os.ReadFile(filepath.Join(w.photos, kept[0].Name()))
	w.must(err)
	if bytes.Contains(raw, []byte("php")) || http.DetectContentType(raw) != "image/jpeg" {
		t.Error("the file is as it came")
	}
	if info, err := kept[0].Info(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if n := w.count(`select count(*) from id_photo p join customer c on c.id = p.customer where c.tier = 2 and p.born = date '1990-05-06' and p.till = '100001'`); n != 1 {
		t.Errorf("%d rows", n)
	}
	// A PNG is taken, too; a number that is registered is not.
	b.get("/agents/register")
	b.send(b.upload(fields("0712000004"), pngs.Bytes()))
	b.wants(303)
	b.get("/agents/register")
	b.send(b.upload(fields("0712000004", "id", "99999999"), pngs.Bytes()))
	b.wants(422, "registered")
	// Too large: refused before it is all read.
	b.send(b.upload(fields("0712000005"), append(jpg.Bytes(), make([]byte, maxPhoto+100<<10)...)))
	b.wants(413, "Too large")
}

// The first page with its style and script has under 15 KB, each later one under 5.
func TestPagesAreSmall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 16 {
		w.deposit(juma, 100+i)
		w.clock.pass(time.Hour)
	}
	size := func(b *browser, path string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.server.URL+path, nil)
		w.must(err)
		r.Header.Set("Accept-Encoding", "gzip")
		a := b.send(r)
		z, err := gzip.NewReader(strings.NewReader(a.body))
		w.must(err)
		plain, err := io.ReadAll(z)
		w.must(err)
		b.last.body = string(plain)
		t.Logf("%-50s %5d bytes of %6d, header %d", path, a.size, len(plain), len(fmt.Sprint(a.header)))
		return a.size + len(fmt.Sprint(a.header))
	}
	stranger := w.browser()
	all := size(stranger, "/agents/in")
	for _, path := range regexp.MustCompile(`/agents/static/[^"]+`).FindAllString(stranger.last.body, -1) {
		n := size(stranger, path)
		if all += n; strings.HasSuffix(path, ".js") && n > 2<<10 {
			t.Errorf("%s has %d bytes", path, n)
		}
	}
	if all > 15<<10 {
		t.Errorf("the first page has %d bytes", all)
	}
	w.second()
	for i := range 12 { // full pages, of different things
		_, err := w.agents.AskFloat(t.Context(), fmt.Sprint("small", i), w.who(juma), money.Amount(1000+137*i)*shilling, fmt.Sprintf("EQ-%x", 7919*(i+40)))
		w.must(err)
	}
	for range 11 {
		_, err := w.agents.OpenDay(t.Context(), w.who(juma), 700*shilling)
		w.must(err)
		_, err = w.agents.CloseDay(t.Context(), w.who(juma), 750*shilling)
		w.must(err)
		w.clock.pass(24 * time.Hour)
	}
	b, mary, zawadi := w.browser().signIn(juma), w.browser().signInStaff("mary"), w.browser().signInStaff("zawadi")
	code := w.deposit(juma, 500)
	pages := map[string]*browser{
		"/agents/staff/float": mary, "/agents/staff/customer": zawadi, "/agents/operators/0722000011": b, "/agents/commission?day=2026-11-22": b,
	}
	for _, r := range routes() { // and every page of an owner
		path := strings.NewReplacer("{code}", code, "{token}", fmt.Sprintf("%032x", w.n), "{number}", "0722000011").Replace(r.path)
		if r.method == get && agents.RoleMay("owner", r.right) && !r.silent {
			pages[path] = b
		}
	}
	for path, who := range pages {
		if n := size(who, path); n > 5<<10 {
			t.Errorf("%s has %d bytes", path, n)
		}
	}
	if len(pages) < 20 {
		t.Errorf("only %d pages", len(pages))
	}
}

func TestNewNeedsAll(t *testing.T) {
	t.Parallel()
	if _, err := New(Options{}); err == nil {
		t.Error("a portal out of nothing")
	}
}

// What is no text is refused before it reaches the database, in any address,
// query or form.
func TestWhatIsNoTextIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn(juma)
	for _, odd := range []string{"%FF", "%F0%9F%28%5D", "%00", "a%00b"} {
		b.get("/agents/entries/" + odd)
		b.wants(400)
		b.get("/agents/entries?find=" + odd)
		b.wants(400)
		b.get("/agents/today")
		b.post("/agents/entries/"+odd+"/reversal", "reason", "x")
		b.wants(400)
		raw, err := url.QueryUnescape(odd)
		w.must(err)
		b.post("/agents/deposit/check", "number", raw, "amount", "1")
		b.wants(400)
	}
	b.get("/agents/entries?find=%zz")
	b.wants(400)
	if strings.Contains(w.log.String(), "level=ERROR") {
		t.Errorf("the log has errors:\n%s", w.log.String())
	}
}
