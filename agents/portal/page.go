package portal

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"tuma/accounts"
	"tuma/internal/money"
	"tuma/internal/phone"
)

// view is what every page is made of. Data is the page's own.
type view struct {
	Title string // a word
	Say   string // what went wrong or right, above the page
	Good  bool   // it went right
	Data  any
	// Deposit is the first form of a deposit, on pages from which the next one
	// begins: its own page is one more journey over a slow link. nil: not here.
	Deposit *depositForm

	// Filled in for all.
	Lang, CSS, JS, Brand, Who, Form string
	Languages                       []language
	Menu, More                      []menuLine // More is what the first row has no room for
	SignedIn                        bool
	Path                            string
}

type language struct {
	Code, Name string
	Here       bool
}

type menuLine struct {
	Path, Word string
	Here       bool
}

// menuRow is how many pages the menu names before the rest is folded away.
const menuRow = 4

// parse reads the pages, once for each language, with the words bound.
func (p *portal) parse() error {
	pages, err := fs.Glob(files, "pages/*.html")
	if err != nil {
		return err
	}
	p.templates = map[string]*template.Template{}
	for _, lang := range p.languages {
		layout, err := template.New("layout.html").Funcs(p.functions(lang)).ParseFS(files, "pages/layout.html")
		if err != nil {
			return fmt.Errorf("portal: %w", err)
		}
		for _, file := range pages {
			name := strings.TrimSuffix(path.Base(file), ".html")
			if name == "layout" {
				continue
			}
			t, err := layout.Clone()
			if err == nil {
				_, err = t.ParseFS(files, file)
			}
			if err != nil {
				return fmt.Errorf("portal: %w", err)
			}
			p.templates[lang+"/"+name] = t
		}
	}
	return nil
}

// functions are what pages may call.
func (p *portal) functions(lang string) template.FuncMap {
	country := p.Accounts.Country()
	return template.FuncMap{
		"t":        func(name string, pairs ...string) (string, error) { return p.fill(lang, name, pairs...) },
		"money":    func(a money.Amount) string { return p.Accounts.Money(a) },
		"national": func(n phone.Number) string { return country.Phone.National(n) },
		"when":     func(at time.Time) string { return at.In(country.Zone).Format("2/1/06 15:04") },
		"clock":    func(at time.Time) string { return at.In(country.Zone).Format("15:04") },
		"date":     func(day time.Time) string { return day.Format("2/1/06") },
		"isodate":  func(day time.Time) string { return day.Format(time.DateOnly) },
		"month":    func(day time.Time) string { return day.Format("1/2006") },
		"neg":      func(a money.Amount) money.Amount { return -a },
		"plain":    country.Currency.Plain,
		"action":   func(s string) string { return p.logAction(lang, s) },
		"named":    func(s string) string { return p.logName(lang, s) },
		"number":   number,
		"rule":     func(name string) string { return p.ruleName(lang, name) },
		"day":      func(at time.Time) string { return at.In(country.Zone).Format("2/1/06") },
		"age":      func(at time.Time) (string, error) { return p.age(lang, at) },
		"span":     func(d time.Duration) (string, error) { return p.span(lang, d) },
		"person":   func(actor string) string { return p.person(actor) },
		"kind":     func(l accounts.Line) string { return p.kind(lang, l.Kind) },
	}
}

func number(n any) string { return fmt.Sprint(n) }

// kind is what people call a kind of entry; one without a word keeps its own.
func (p *portal) kind(lang, kind string) string {
	if word, ok := p.words.Text(lang, "entry."+kind); ok {
		return word.Body
	}
	return kind
}

// page answers with one of the pages.
func (c *call) page(status int, name string, v view) error {
	if c.session == nil && c.visit == "" {
		if err := c.newVisit(); err != nil {
			return err
		}
	}
	var err error
	if v.Form, err = c.formToken(); err != nil {
		return err
	}
	v.Lang, v.CSS, v.JS, v.Brand, v.SignedIn, v.Path = c.lang, c.css, c.js, c.Accounts.Country().Brand, c.session != nil && !c.halfway(), "/agents/"
	if c.r.Method == get {
		v.Path = cmp.Or(local(c.r.URL.RequestURI()), v.Path)
	}
	switch {
	case c.staff != "":
		v.Who = c.staff
	case c.session != nil:
		v.Who = strings.TrimSpace(c.operator.Till.Number + " " + c.operator.Till.Name)
	}
	for _, code := range c.languages {
		own, _ := c.words.Text(code, "own_name")
		v.Languages = append(v.Languages, language{code, own.Body, code == c.lang})
	}
	if c.session != nil {
		for _, r := range routes() {
			if r.menu != "" && c.may(r.right) {
				v.Menu = append(v.Menu, menuLine{r.path, r.menu, c.r.URL.Path == r.path})
			}
		}
		if len(v.Menu) > menuRow+1 {
			v.Menu, v.More = v.Menu[:menuRow:menuRow], v.Menu[menuRow:]
		}
	}
	var b bytes.Buffer
	if err := c.templates[c.lang+"/"+name].ExecuteTemplate(&b, "layout.html", v); err != nil {
		return fmt.Errorf("portal: page %s: %w", name, err)
	}
	return c.write(status, "text/html; charset=utf-8", b.Bytes())
}

// write sends a body, compressed where the browser takes that.
func (c *call) write(status int, kind string, body []byte) error {
	h := c.w.Header()
	h.Set("Content-Type", kind)
	h.Set("Vary", "Accept-Encoding, Cookie")
	if takesGzip(c.r) {
		h.Set("Content-Encoding", "gzip")
		var err error
		if body, err = compressed(body); err != nil {
			return err
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	c.w.Write(body) // who does not take it has gone
	return nil
}

func takesGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, quality, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name == "gzip" && strings.ReplaceAll(quality, " ", "") != "q=0" {
			return true
		}
	}
	return false
}

func compressed(body []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(body); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// policy lets a page load its own style and script, and nothing else.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// harden sets what every answer of the portal says to a browser.
func (p *portal) harden(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !p.Plain {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// asset is a static file, as it is and compressed.
type asset struct {
	kind        string
	plain, gzip []byte
}

// readStatic names each static file after its content, so that a browser keeps it.
func (p *portal) readStatic() error {
	p.static = map[string]asset{}
	for _, f := range []struct {
		name, kind string
		path       *string
	}{{"portal.css", "text/css; charset=utf-8", &p.css}, {"portal.js", "text/javascript; charset=utf-8", &p.js}} {
		b, err := files.ReadFile("static/" + f.name)
		if err != nil {
			return fmt.Errorf("portal: %w", err)
		}
		z, err := compressed(b)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		*f.path = "/agents/static/" + hex.EncodeToString(sum[:6]) + path.Ext(f.name)
		p.static[*f.path] = asset{f.kind, b, z}
	}
	return nil
}

func (p *portal) serveStatic(w http.ResponseWriter, r *http.Request) {
	a, ok := p.static[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	body := a.plain
	if takesGzip(r) {
		h.Set("Content-Encoding", "gzip")
		body = a.gzip
	}
	w.Write(body)
}

func escape(s string) string { return url.QueryEscape(s) }
