package ussd_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/callers"
	"tuma/internal/db"
	"tuma/internal/db/dbtest"
	"tuma/internal/devenv"
	"tuma/internal/money"
	"tuma/internal/phone"
	"tuma/internal/text"
	"tuma/ussd"
	"tuma/ussd/dialogues"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// canary is everybody's PIN here. It must not be found anywhere afterwards.
const canary = "4826"

// In the log, ports and durations may have its digits inside of longer numbers.
var canaryAlone = regexp.MustCompile(`(^|[^0-9])` + canary + `([^0-9]|$)`)

const (
	asha     = "+254712000001"
	baraka   = "+254712000002"
	chausiku = "+254712000003"
	juma     = "+254722000001"
	neema    = "+254722000002"
	nobody   = "+254733000009"
)

// world is the whole service but for SMS going out: real Postgres, a Redis in
// process, everything as it is composed for production.
type world struct {
	t        testing.TB
	clock    *clock
	pool     *db.Pool
	accounts *accounts.Service
	agents   *agents.Service
	kept     *devenv.Redis
	redis    *redis.Client
	machine  *ussd.Machine
	handler  http.Handler
	log      *syncBuffer
	network  *dialogues.Local // shows what is pushed; nil: nobody does
	pusher   ussd.Pusher
	depot    agents.Operator // puts balances into wallets
	given    int
}

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) wait(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// seeded is a random source of a test's own that many goroutines may read.
type seeded struct {
	mu sync.Mutex
	r  *rand.ChaCha8
}

func newSeeded() *seeded { return &seeded{r: rand.NewChaCha8([32]byte{1})} }

func (s *seeded) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.Read(p)
}

func kenya(t testing.TB) accounts.Country {
	t.Helper()
	ke, err := phone.CountryOf("KE")
	if err != nil {
		t.Fatal(err)
	}
	kes, err := money.CurrencyOf("KES")
	if err != nil {
		t.Fatal(err)
	}
	zone, err := time.LoadLocation("Africa/Nairobi")
	if err != nil {
		t.Fatal(err)
	}
	return accounts.Country{Phone: ke, Currency: kes, ServiceCode: "*334#", Languages: []string{"en", "sw", "fr"}, Zone: zone, Brand: "Tuma", Care: "100"}
}

// newWorld has nobody in it yet but the depot, and its network cannot push.
func newWorld(t testing.TB) *world { return newWorldWith(t, false) }

func newWorldWith(t testing.TB, pushes bool) *world {
	t.Helper()
	if !pushes {
		return newWorldPushing(t, nil)
	}
	network := &dialogues.Local{}
	w := newWorldPushing(t, ussd.HTTPPush{URL: pushServer(t, network), Token: "a token of tests", Client: &http.Client{Timeout: 5 * time.Second}})
	w.network = network
	return w
}

// newWorldPushing is one whose network pushes in its own way; nil: it cannot.
func newWorldPushing(t testing.TB, pusher ussd.Pusher) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{t: t, pusher: pusher, log: &syncBuffer{}, clock: &clock{at: time.Date(2026, 11, 22, 6, 15, 0, 0, time.UTC)}}
	log := slog.New(slog.NewTextHandler(w.log, nil))
	country := kenya(t)
	w.pool = dbtest.New(t, w.clock.now)
	tariff, err := accounts.ParseTariff(accounts.DefaultTariff(), country.Currency)
	w.must(err)
	brakes, err := accounts.ParseBrakes(nil, country.Currency)
	w.must(err)
	var push func(context.Context, accounts.Approval) error
	if pusher != nil {
		push = func(ctx context.Context, a accounts.Approval) error { return w.machine.Push(ctx, a) }
	}
	w.accounts, err = accounts.New(ctx, accounts.Config{
		Push: push,
		Pool: w.pool, Country: country, Keys: accounts.Keys{Active: "k1", ByID: map[string][]byte{"k1": []byte("a key of tests, 16+")}},
		ReceiptKey: []byte("a receipt key for tests"), Tariff: tariff, Rand: newSeeded(), Log: log, Posters: 1, Brakes: brakes,
	})
	w.must(err)
	t.Cleanup(w.accounts.Close)
	w.agents = agents.New(w.pool, w.accounts, newSeeded())

	w.kept, err = devenv.StartRedis(ctx, devenv.RedisOptions{Clock: w.clock.now})
	w.must(err)
	t.Cleanup(func() { w.kept.Stop() })
	w.redis = openRedis(t, w.kept.URL())
	w.machine = w.newMachine(w.redis, log)
	w.handler, err = ussd.Handler(w.machine, "africastalking", callers.Callers{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	w.must(err)

	w.must(w.agents.CreateStaff(ctx, "mary", "maker-of-float", "maker"))
	w.must(w.agents.CreateStaff(ctx, "charles", "checker-of-float", "checker"))
	return w
}

func openRedis(t testing.TB, url string) *redis.Client {
	t.Helper()
	o, err := ussd.RedisOptions(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

// newMachine is one process of the service; a world may have several.
func (w *world) newMachine(client *redis.Client, log *slog.Logger) *ussd.Machine {
	w.t.Helper()
	words, err := ussd.Words()
	w.must(err)
	limits, err := ussd.NewLimits(client, ussd.DefaultLimits(), log)
	w.must(err)
	m, err := ussd.New(ussd.Config{
		Pusher:   w.pusher,
		Accounts: w.accounts, Agents: w.agents, Redis: client, Limits: limits, Menu: ussd.Tree(), Words: words,
		Key: []byte("the key of tests"), Rand: newSeeded(), Now: w.clock.now, Log: log,
	})
	w.must(err)
	return m
}

// pushServer is the network's side of a push: the phones of a dialogue's stage.
func pushServer(t testing.TB, network *dialogues.Local) string {
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var in struct{ PhoneNumber, SessionID, Text string }
		switch err := json.NewDecoder(r.Body).Decode(&in); {
		case err != nil || r.Header.Get("Authorization") != "Bearer a token of tests" || r.Header.Get("Content-Type") != "application/json":
			rw.WriteHeader(http.StatusBadRequest)
		case in.PhoneNumber == nobody:
			rw.WriteHeader(http.StatusNotFound)
		case !network.Show(in.PhoneNumber, in.SessionID, in.Text):
			rw.WriteHeader(http.StatusConflict)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) sealed(pin string) accounts.SealedPIN {
	w.t.Helper()
	s, err := w.accounts.PINs().Seal(pin)
	w.must(err)
	return s
}

// people puts the cast of a dialogue into the world: agents and tills in
// order, then the depot's till, then customers. Strangers are left out.
func (w *world) people(cast []dialogues.Person) {
	w.t.Helper()
	ctx := w.t.Context()
	for _, p := range cast {
		if p.Role != dialogues.Operator {
			continue
		}
		if p.Rank == "" {
			w.till(p.Shop, p.Till)
		}
		if p.Office != "" {
			if _, err := w.agents.CreateHeadOffice(ctx, p.Office, 0); err != nil && !errors.Is(err, agents.ErrExists) {
				w.t.Fatal(err)
			}
			w.must(w.agents.AttachAgent(ctx, p.Shop, p.Office))
		}
		w.operatorAs(cmp.Or(p.Rank, "owner"), p.Till, p.FullName, p.IDNumber, p.Number)
	}
	depot := w.till("FLOAT DEPOT", "999999")
	w.float(depot, 100_000_000_00)
	w.depot = w.operator(depot, "DEPOT KEEPER", "99999999", "+254722999999")
	for _, p := range cast {
		if p.Role != dialogues.Customer {
			continue
		}
		c, err := w.accounts.Register(ctx, accounts.Registration{
			Ref: "cast:" + p.Handle, Phone: phone.Number(p.Number), Name: p.FullName, IDNumber: p.IDNumber, Lang: "en", Tier: accounts.TierFull, PIN: w.sealed(canary),
		})
		w.must(err)
		if p.Frozen {
			w.must(w.accounts.Freeze(ctx, c, true))
		}
	}
}

func (w *world) till(shop, wanted string) string {
	w.t.Helper()
	_, err := w.agents.CreateAgent(w.t.Context(), shop)
	w.must(err)
	number, err := w.agents.CreateTill(w.t.Context(), shop, shop, wanted)
	w.must(err)
	return number
}

func (w *world) operator(till, name, id, number string) agents.Operator {
	w.t.Helper()
	return w.operatorAs("owner", till, name, id, number)
}

func (w *world) operatorAs(role, till, name, id, number string) agents.Operator {
	w.t.Helper()
	w.must(w.agents.CreateOperator(w.t.Context(), agents.NewOperator{Till: till, Name: name, IDNumber: id, Lang: "en", Role: role, Phone: phone.Number(number), PIN: w.sealed(canary)}))
	o, err := w.agents.ByPhone(w.t.Context(), phone.Number(number))
	w.must(err)
	return o
}

func (w *world) float(till string, a money.Amount) {
	w.t.Helper()
	w.given++
	id, err := w.agents.RequestFloat(w.t.Context(), "mary", till, a, fmt.Sprintf("BANK-%d", w.given))
	w.must(err)
	_, err = w.agents.ApproveFloat(w.t.Context(), "charles", id)
	w.must(err)
}

// give raises a customer's balance.
func (w *world) give(number string, a money.Amount) {
	w.t.Helper()
	w.given++
	_, err := w.agents.Deposit(w.t.Context(), fmt.Sprintf("test:give:%d", w.given), w.depot, phone.Number(number), a)
	w.must(err)
}

func (w *world) balance(number string) money.Amount {
	w.t.Helper()
	c, err := w.accounts.ByPhone(w.t.Context(), phone.Number(number))
	w.must(err)
	b, err := w.accounts.Balance(w.t.Context(), c)
	w.must(err)
	return b
}

// ask sends one request through the gateway's form and returns the body.
func (w *world) ask(session, from, text string) string {
	w.t.Helper()
	status, body := w.post("/ussd/africastalking", url.Values{
		"sessionId": {session}, "phoneNumber": {from}, "networkCode": {"63902"}, "serviceCode": {"*334#"}, "text": {text},
	})
	if status != http.StatusOK {
		w.t.Fatalf("status %d: %s", status, body)
	}
	return body
}

func (w *world) post(path string, form url.Values) (int, string) {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec.Code, rec.Body.String()
}

// wantNoPIN looks for the canary wherever this world writes.
func (w *world) wantNoPIN() {
	w.t.Helper()
	if canaryAlone.MatchString(w.log.String()) {
		w.t.Errorf("the PIN is in the log:\n%s", w.log)
	}
	for _, v := range w.dump() {
		if strings.Contains(v, canary) {
			w.t.Errorf("the PIN is in Redis: %s", v)
		}
	}
}

// dump is all that Redis holds.
func (w *world) dump() (all []string) {
	w.t.Helper()
	ctx := context.Background()
	keys, err := w.redis.Keys(ctx, "*").Result()
	w.must(err)
	for _, k := range keys {
		ttl, err := w.redis.PTTL(ctx, k).Result()
		w.must(err)
		if ttl <= 0 {
			w.t.Errorf("%s never expires", k)
		}
		v, err := w.redis.Dump(ctx, k).Result()
		if err != nil {
			v, err = w.redis.Get(ctx, k).Result()
		}
		w.must(err)
		all = append(all, k+" = "+v)
	}
	return all
}

// exec changes what no verb of ours changes.
func (w *world) exec(query string) {
	w.t.Helper()
	w.must(w.pool.InTx(w.t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(w.t.Context(), query)
		return err
	}))
}

func phoneNumber(s string) phone.Number { return phone.Number(s) }

// septetsOf measures a screen; 0 when it has a character that phones do not.
func septetsOf(s string) int {
	n, ok := text.Septets(s)
	if !ok {
		return 0
	}
	return n
}

// events are what the brakes have done, oldest first.
func (w *world) events() string {
	w.t.Helper()
	list, err := w.accounts.BrakeEvents(w.t.Context(), accounts.BrakeFind{Limit: 100})
	w.must(err)
	var all []string
	for i := range list {
		e := list[len(list)-1-i]
		all = append(all, e.Rule+" "+e.Outcome+" "+e.Subject+" "+e.Detail)
	}
	return strings.Join(all, "; ")
}
