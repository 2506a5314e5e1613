package portal

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/db"
	"tuma/internal/db/dbtest"
	"tuma/internal/devenv"
	"tuma/internal/money"
	"tuma/internal/phone"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// Everybody's PIN and the staff's password. Neither must be found anywhere.
const (
	canary   = "4826"
	password = "a password of staff"
)

const (
	asha    = "+254712000001"
	juma    = "+254722000001" // owner at 100001
	rehema  = "+254722000011" // assistant at 100001
	auditor = "+254722000012" // auditor at 100001
	neema   = "+254722000002" // owner at 100002, of another agent
	nobody  = "+254733000009"

	shilling money.Amount = 100
)

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

type seeded struct {
	mu sync.Mutex
	r  *rand.ChaCha8
}

func (s *seeded) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.Read(p)
}

func newSeeded() *seeded { return &seeded{r: rand.NewChaCha8([32]byte{1})} }

type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// world is a portal over TLS, on a database and a Redis of its own, with the
// whole business behind it.
type world struct {
	t        testing.TB
	clock    *clock
	pool     *db.Pool
	accounts *accounts.Service
	agents   *agents.Service
	photos   string
	log      *logged
	server   *httptest.Server
	secrets  sync.Map // of second factors, by name
	n        int
}

func newWorld(t testing.TB) *world {
	t.Helper()
	ctx := t.Context()
	nairobi := time.FixedZone("EAT", 3*3600)
	w := &world{t: t, clock: &clock{at: time.Date(2026, 11, 22, 9, 15, 0, 0, nairobi)}, log: &logged{}, photos: t.TempDir()}
	log := slog.New(slog.NewTextHandler(w.log, nil))
	w.pool = dbtest.New(t, w.clock.now)
	ke, err1 := phone.CountryOf("KE")
	kes, err2 := money.CurrencyOf("KES")
	tariff, err3 := accounts.ParseTariff(accounts.DefaultTariff(), kes)
	brakes, err4 := accounts.ParseBrakes(nil, kes)
	w.must(errors.Join(err1, err2, err3, err4))
	var err error
	w.accounts, err = accounts.New(ctx, accounts.Config{
		Pool: w.pool, Country: accounts.Country{
			Phone: ke, Currency: kes, ServiceCode: "*334#", Languages: []string{"en", "sw", "fr"}, Zone: nairobi, Brand: "Tuma", Care: "100",
		},
		Keys:       accounts.Keys{Active: "k1", ByID: map[string][]byte{"k1": []byte("a key of sixteen bytes")}},
		ReceiptKey: []byte("a receipt key of tests"), Tariff: tariff, Rand: newSeeded(), Log: log, Posters: 1, Brakes: brakes,
	})
	w.must(err)
	t.Cleanup(w.accounts.Close)
	w.agents = agents.New(w.pool, w.accounts, newSeeded())
	kept, err := devenv.StartRedis(ctx, devenv.RedisOptions{Clock: w.clock.now})
	w.must(err)
	t.Cleanup(func() { kept.Stop() })
	o, err := redis.ParseURL(kept.URL())
	w.must(err)
	client := redis.NewClient(o)
	t.Cleanup(func() { client.Close() })
	h, err := New(Options{Pool: w.pool, Accounts: w.accounts, Agents: w.agents, Redis: client, Rand: newSeeded(), Log: log, Photos: w.photos})
	w.must(err)
	w.server = httptest.NewTLSServer(h)
	t.Cleanup(w.server.Close)

	for _, s := range [][2]string{{"mary", "maker"}, {"charles", "checker"}, {"zawadi", "care"}} {
		w.must(w.agents.CreateStaff(ctx, s[0], password, s[1]))
	}
	w.till("Pima Traders", "Mama Pima Shop", "100001", 50_000*shilling)
	w.till("Uhuru Stores", "Uhuru Stores", "100002", 300*shilling)
	w.operator("100001", "Juma Kamau", juma, "owner")
	w.operator("100001", "Rehema Said", rehema, "assistant")
	w.operator("100001", "Otieno Ouma", auditor, "auditor")
	w.operator("100002", "Neema Wanjiru", neema, "owner")
	_, err = w.accounts.Register(ctx, accounts.Registration{Ref: "asha", Phone: asha, Name: "Asha Juma", IDNumber: "23000001", Lang: "en", Tier: accounts.TierFull, PIN: w.sealed()})
	w.must(err)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) sealed() accounts.SealedPIN {
	w.t.Helper()
	s, err := w.accounts.PINs().Seal(canary)
	w.must(err)
	return s
}

func (w *world) till(agent, name, number string, float money.Amount) {
	w.t.Helper()
	ctx := w.t.Context()
	_, err := w.agents.CreateAgent(ctx, agent)
	w.must(err)
	_, err = w.agents.CreateTill(ctx, agent, name, number)
	w.must(err)
	id, err := w.agents.RequestFloat(ctx, "mary", number, float, "BANK-"+number)
	w.must(err)
	_, err = w.agents.ApproveFloat(ctx, "charles", id)
	w.must(err)
}

func (w *world) operator(till, name, number, role string) {
	w.t.Helper()
	w.n++
	w.must(w.agents.CreateOperator(w.t.Context(), agents.NewOperator{
		Till: till, Phone: phone.Number(number), Name: name, IDNumber: fmt.Sprintf("2400%04d", w.n), Lang: "en", Role: role, PIN: w.sealed(),
	}))
}

func (w *world) who(number string) agents.Operator {
	w.t.Helper()
	o, err := w.agents.ByPhone(w.t.Context(), phone.Number(number))
	w.must(err)
	return o
}

func (w *world) sql(query string, args ...any) {
	w.t.Helper()
	w.must(w.pool.InTx(w.t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(w.t.Context(), query, args...)
		return err
	}))
}

func (w *world) count(query string, args ...any) (n int) {
	w.t.Helper()
	w.must(w.pool.Get(context.Background(), &n, query, args...))
	return n
}

// code is the newest that was sent to a number; "" when none was.
func (w *world) code(number string) string {
	w.t.Helper()
	var body string
	err := w.pool.Get(w.t.Context(), &body, `select body from notice where key like 'portal_code:%' and to_msisdn = $1 order by id desc limit 1`, number)
	if errors.Is(err, sql.ErrNoRows) {
		return ""
	}
	w.must(err)
	return regexp.MustCompile(`\d{6}`).FindString(body)
}

func (w *world) balance(number string) money.Amount {
	w.t.Helper()
	c, err := w.accounts.ByPhone(w.t.Context(), phone.Number(number))
	w.must(err)
	b, err := w.accounts.Balance(w.t.Context(), c)
	w.must(err)
	return b
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
	size   int // as it came over the wire
}

// browser keeps cookies as one does, and what the last page's forms have hidden.
type browser struct {
	*world
	client *http.Client
	form   string
	ref    string
	last   answer
}

func (w *world) browser() *browser {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	w.must(err)
	c := *w.server.Client()
	c.Jar = jar
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{world: w, client: &c}
}

var (
	formHidden  = regexp.MustCompile(`name="form" value="([0-9a-f]+)"`)
	hexadecimal = regexp.MustCompile(`[0-9a-f]{12,}`)
	refHidden   = regexp.MustCompile(`name="ref" value="([0-9a-f]+)"`)
)

func (b *browser) send(r *http.Request) answer {
	b.t.Helper()
	res, err := b.client.Do(r)
	b.must(err)
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	b.must(err)
	b.last = answer{res.StatusCode, res.Header, string(raw), len(raw)}
	if m := formHidden.FindStringSubmatch(b.last.body); m != nil {
		b.form = m[1]
	}
	if m := refHidden.FindStringSubmatch(b.last.body); m != nil {
		b.ref = m[1]
	}
	shown := hexadecimal.ReplaceAllString(b.last.body+fmt.Sprint(res.Header), "") // tokens may have its digits
	for _, secret := range []string{canary, password} {
		if strings.Contains(shown, secret) {
			b.t.Errorf("%s %s shows a secret: %s", r.Method, r.URL.Path, b.last.body)
		}
	}
	return b.last
}

func (b *browser) get(path string) answer {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.server.URL+path, nil)
	b.must(err)
	return b.send(r)
}

// opens looks at the beginning of an answer alone.
func (b *browser) opens(path string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.server.URL+path, nil)
	b.must(err)
	res, err := b.client.Do(r)
	b.must(err)
	some := make([]byte, 4096)
	n, _ := res.Body.Read(some)
	res.Body.Close()
	b.last = answer{status: res.StatusCode, header: res.Header, body: string(some[:n])}
}

// post sends a form with the last page's token; pairs are fields and values.
func (b *browser) post(path string, pairs ...string) answer {
	b.t.Helper()
	form := url.Values{"form": {b.form}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return b.send(b.request(path, form))
}

func (b *browser) request(path string, form url.Values) *http.Request {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.server.URL+path, strings.NewReader(form.Encode()))
	b.must(err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// wants compares a status and looks for words on the page.
func (b *browser) wants(status int, words ...string) {
	b.t.Helper()
	if b.last.status != status {
		b.t.Fatalf("status %d, want %d: %s %s", b.last.status, status, b.last.header.Get("Location"), b.last.body)
	}
	for _, word := range words {
		if !strings.Contains(b.last.body+b.last.header.Get("Location"), word) {
			b.t.Errorf("no %q on %s%s", word, b.last.header.Get("Location"), b.last.body)
		}
	}
}

// signIn goes through the pages, by a code where the browser is new to the operator.
func (b *browser) signIn(number string) *browser {
	b.t.Helper()
	b.get("/agents/in")
	b.post("/agents/in", "number", number)
	b.wants(200, "is on its way")
	b.post("/agents/in/code", "code", b.code(number), "pin", canary)
	b.wants(303, "/agents/today")
	return b
}

// signInStaff goes through both steps, and the first time sets the second one up.
func (b *browser) signInStaff(name string) *browser {
	b.t.Helper()
	b.get("/agents/staff/in")
	b.post("/agents/staff/in", "name", name, "password", password)
	b.follow()
	if m := secretShown.FindStringSubmatch(b.last.body); m != nil {
		b.secrets.Store(name, strings.ReplaceAll(m[1], " ", ""))
	}
	b.wants(200, "One-time code")
	b.post("/agents/staff/code", "code", b.oneTime(name))
	b.wants(303, "/agents/")
	return b
}

var secretShown = regexp.MustCompile(`id="secret">([A-Z2-7 ]+)<`)

// oneTime is the next code of a member of staff; time passes until it comes.
func (w *world) oneTime(name string) string {
	w.t.Helper()
	w.clock.pass(30 * time.Second)
	secret, ok := w.secrets.Load(name)
	if !ok {
		w.t.Fatalf("%s has no second factor", name)
	}
	code, err := agents.CodeAt(secret.(string), w.clock.now())
	w.must(err)
	return code
}

// follow goes where the last answer leads.
func (b *browser) follow() answer {
	b.t.Helper()
	b.wants(303)
	return b.get(b.last.header.Get("Location"))
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
