package portal

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-redis/redis_rate/v10"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/text"
)

// call is one request: who asks, in which language, and the means to answer.
type call struct {
	*portal
	w        http.ResponseWriter
	r        *http.Request
	route    route
	lang     string
	session  *session // nil: not signed in
	operator agents.Operator
	staff    string   // name of a member of staff
	roles    []string // of either
	visit    string   // the browser's token until somebody is signed in
}

// maxForm is what a form of text takes at most, in bytes.
const maxForm = 32 << 10

// answerWithin bounds what one request may wait for.
const answerWithin = 20 * time.Second

// handler serves one route to those who may.
func (p *portal) handler(route route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{portal: p, w: w, r: r, route: route, lang: p.languages[0]}
		defer func() {
			if what := recover(); what != nil {
				c.fail(fmt.Errorf("panic: %v", what))
			}
		}()
		if err := c.answer(); err != nil {
			c.fail(err)
		}
	})
}

func (c *call) answer() error {
	base := c.r.Context()
	read := c.bound(base)
	serve, err := c.choose()
	read() // the time that a form took over a slow link is not the answer's
	defer c.bound(agents.Acting(base, c.actor(), "portal "+c.address()))()
	if err != nil {
		return err
	}
	return serve(c)
}

// actor is how the log names who is signed in, "" for nobody.
func (c *call) actor() string {
	switch {
	case c.staff != "":
		return "staff:" + c.staff
	case c.operator.Phone != "":
		return c.operator.Actor()
	}
	return ""
}

// bound gives what follows a bounded time.
func (c *call) bound(base context.Context) (end func()) {
	ctx, end := context.WithTimeout(base, answerWithin)
	c.r = c.r.WithContext(ctx)
	return end
}

// choose finds out who asks, reads the form, and says what answers.
func (c *call) choose() (func(*call) error, error) {
	if c.r.Method == post {
		most := int64(maxForm)
		if c.route.body > 0 {
			most = c.route.body
		}
		c.r.Body = http.MaxBytesReader(c.w, c.r.Body, most)
	}
	if err := c.who(); err != nil {
		return nil, err
	}
	c.speak()
	if !c.may(c.route.right) {
		return (*call).turnAway, nil
	}
	if c.r.Method != post {
		if !c.legible() {
			return (*call).noText, nil
		}
		return c.route.serve, nil
	}
	switch ok, err := c.ownForm(); {
	case err != nil:
		return nil, err
	case !c.legible():
		return (*call).noText, nil
	case ok:
		return c.route.serve, nil
	case c.route.stale != nil:
		return c.route.stale, nil
	}
	return (*call).oldForm, nil
}

// legible tells whether what was asked is text: PostgreSQL keeps and compares
// nothing else.
func (c *call) legible() bool {
	if c.r.Form == nil && c.r.Method != post && c.r.ParseForm() != nil {
		return false
	}
	for _, values := range c.r.Form {
		if slices.ContainsFunc(values, noText) {
			return false
		}
	}
	return !noText(c.r.URL.Path)
}

func noText(s string) bool { return !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 }

func (c *call) noText() error { return c.refusePage(http.StatusBadRequest, "not_found") }

// may tells whether one of the caller's roles may do it.
func (c *call) may(a agents.Action) bool {
	if len(c.roles) == 0 {
		return roleMay("", a)
	}
	return slices.ContainsFunc(c.roles, func(role string) bool { return roleMay(role, a) })
}

// turnAway sends strangers to sign in, and tells others that this is not theirs.
func (c *call) turnAway() error {
	if c.route.body > 0 {
		c.w.Header().Set("Connection", "close") // nobody waits for what is not read
	}
	if c.session != nil && !c.halfway() {
		return c.refusePage(http.StatusForbidden, "not_yours")
	}
	next := ""
	if c.r.Method == get {
		next = c.r.URL.RequestURI()
	} else if c.route.body == 0 && isToken(c.field("ref")) {
		next = "/agents/done/" + c.field("ref") // perhaps it was paid
	}
	to := "/agents/in"
	switch {
	case c.halfway():
		to = "/agents/staff/code"
	case strings.HasPrefix(c.r.URL.Path, "/agents/staff/"):
		to = "/agents/staff/in"
	}
	if next = local(next); next != "" {
		to += "?next=" + escape(next)
	}
	return c.redirect(to)
}

// local gives an address of the portal itself, "" for any other.
func local(to string) string {
	if !strings.HasPrefix(to, "/agents/") || len(to) > 200 || strings.ContainsAny(to, "\\\r\n\t") || strings.Contains(to, "//") || strings.Contains(to, "..") {
		return ""
	}
	return to
}

// ownForm tells whether a form was made for this browser. It reads the form.
func (c *call) ownForm() (bool, error) {
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err == nil && kind == "multipart/form-data" && c.route.body > 0 {
		err = c.r.ParseMultipartForm(1 << 20)
	} else if err == nil && kind == "application/x-www-form-urlencoded" {
		err = c.r.ParseForm()
	} else {
		return false, nil
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return false, errLarge
	}
	if err != nil {
		return false, nil
	}
	masked, err := hex.DecodeString(c.r.PostFormValue("form"))
	want := c.formKey()
	if err != nil || len(masked) != 2*len(want) {
		return false, nil
	}
	got := make([]byte, len(want))
	subtle.XORBytes(got, masked[:len(want)], masked[len(want):])
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}

var errLarge = errors.New("portal: the body is too large")

// formKey is what only pages for this browser know. It follows from the secret
// cookie, which it does not give away.
func (c *call) formKey() []byte {
	secret := "visit:" + c.visit
	if c.session != nil {
		secret = "session:" + c.session.secret
	}
	sum := sha256.Sum256([]byte("form:" + secret))
	return sum[:16]
}

// formToken is the key as a page shows it: never twice the same, so that the
// length of compressed pages tells nothing of it.
func (c *call) formToken() (string, error) {
	key := c.formKey()
	b := make([]byte, 2*len(key))
	if _, err := io.ReadFull(c.Rand, b[:len(key)]); err != nil {
		return "", fmt.Errorf("portal: randomness: %w", err)
	}
	subtle.XORBytes(b[len(key):], b[:len(key)], key)
	return hex.EncodeToString(b), nil
}

// field is what was keyed into a form, or stands in a form's address.
func (c *call) field(name string) string {
	if c.r.Method == post {
		return strings.TrimSpace(c.r.PostFormValue(name))
	}
	return strings.TrimSpace(c.r.FormValue(name))
}

const tokenBytes = 16

// token makes a secret: of a session, a browser, or a form that moves money.
func (p *portal) token() (string, error) {
	b := make([]byte, tokenBytes)
	if _, err := io.ReadFull(p.Rand, b); err != nil {
		return "", fmt.Errorf("portal: randomness: %w", err)
	}
	return hex.EncodeToString(b), nil
}

func isToken(s string) bool {
	return len(s) == 2*tokenBytes && strings.Trim(s, "0123456789abcdef") == ""
}

// ref is the form's token, a new one where it has none: what it asks for happens
// once under it.
func (c *call) ref() (string, error) {
	if token := c.field("ref"); c.r.Method == post && isToken(token) {
		return token, nil
	}
	return c.token()
}

func hashed(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// address is the caller's, by our own proxies' word where there are any.
func (c *call) address() string {
	host, _, err := net.SplitHostPort(c.r.RemoteAddr)
	if err != nil {
		return "unknown"
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return "unknown"
	}
	addr = addr.Unmap().WithZone("")
	ours := func(a netip.Addr) bool {
		return slices.ContainsFunc(c.Proxies, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	hops := strings.Split(strings.Join(c.r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && ours(addr); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = next.Unmap().WithZone("")
	}
	if addr.Is6() { // one subscriber has all of these
		if p, err := addr.Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}

// within counts one more of something and tells whether that is allowed. Without
// Redis nothing is: who can make it slow must not get free tries.
func (c *call) within(what, whose string, l redis_rate.Limit) error {
	r, err := c.rate.Allow(c.r.Context(), "portal:"+what+":"+whose, l)
	if err != nil {
		return fmt.Errorf("portal: counting: %w", err)
	}
	if r.Allowed == 0 {
		return accounts.Refuse("too_many")
	}
	return nil
}

// speak chooses the language: the operator's own, the one that was chosen here,
// what the browser asks for.
func (c *call) speak() {
	asked := []string{c.operator.Lang, c.cookie(cookieLang)}
	for part := range strings.SplitSeq(c.r.Header.Get("Accept-Language"), ",") {
		tag, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		tag, _, _ = strings.Cut(tag, "-")
		asked = append(asked, strings.ToLower(tag))
	}
	for _, lang := range asked {
		if slices.Contains(c.languages, lang) {
			c.lang = lang
			return
		}
	}
}

// t is a text in the caller's language; pairs are holes and their values.
func (c *call) t(name string, pairs ...string) string {
	s, err := c.fill(c.lang, name, pairs...)
	if err != nil {
		c.Log.Error("portal: words", "error", err)
	}
	return s
}

func (p *portal) fill(lang, name string, pairs ...string) (string, error) {
	country := p.Accounts.Country()
	h := text.Holes{"brand": country.Brand, "service": country.ServiceCode, "care": country.Care}
	for i := 0; i+1 < len(pairs); i += 2 {
		h[pairs[i]] = pairs[i+1]
	}
	return p.words.Fill(lang, name, h)
}

// refused gives the words of a refusal; any other error comes back.
func (c *call) refused(err error) (say string, fault error) {
	r, ok := errors.AsType[accounts.Refusal](err)
	if !ok {
		return "", err
	}
	var pairs []string
	for k, v := range r.Holes {
		pairs = append(pairs, k, v)
	}
	if say, err = c.fill(c.lang, "refusal."+r.Key, pairs...); err != nil {
		c.Log.Warn("portal: a refusal has no words", "refusal", r.Key)
		say = c.t("refusal.other")
	}
	return say, nil
}

// fail answers an error that is ours or nobody's.
func (c *call) fail(err error) {
	switch {
	case errors.Is(err, errLarge):
		c.w.Header().Set("Connection", "close")
		err = c.refusePage(http.StatusRequestEntityTooLarge, "too_large")
	case errors.Is(err, context.Canceled):
		return // nobody listens
	default:
		c.Log.Error("portal", "route", c.route.method+" "+c.route.path, "error", err)
		err = c.refusePage(http.StatusInternalServerError, "sorry")
	}
	if err != nil {
		c.Log.Error("portal", "error", err)
		http.Error(c.w, "Sorry.", http.StatusInternalServerError)
	}
}

func (c *call) notFound() error { return c.refusePage(http.StatusNotFound, "not_found") }
func (c *call) oldForm() error  { return c.refusePage(http.StatusForbidden, "old_form") }

// refusePage says why there is nothing here.
func (c *call) refusePage(status int, word string) error {
	return c.page(status, "message", view{Title: word, Say: c.t(word + ".more")})
}

// redirect sends the browser on with a GET.
func (c *call) redirect(to string) error {
	c.w.Header().Set("Location", to)
	c.w.WriteHeader(http.StatusSeeOther)
	return nil
}
