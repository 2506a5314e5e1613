package main

import (
	"bytes"
	"context"
	"database/sql"
	"flag"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/lib/pq"

	"tuma/internal/db/dbtest"
	"tuma/internal/devenv"
	"tuma/simulator"
	"tuma/ussd"
)

// asCommand in the environment makes this test binary be tuma itself, so that
// processes can be started, killed and read without building anything.
const asCommand = "TUMA_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main() // exits
	}
	flag.Parse()
	// One check of the bank plays some hundred requests, and makes a database;
	// a hundred checks, rapid's default, take minutes.
	for name, value := range map[string]string{"rapid.checks": "10", "rapid.shrinktime": "20s"} {
		if !given(name) {
			if err := flag.Set(name, value); err != nil {
				panic(err)
			}
		}
	}
	dbtest.Main(m)
}

func given(name string) (found bool) {
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// clock stands still until it is told to go on.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 22, 6, 15, 0, 0, time.UTC)} }

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

// logBuffer is what the service said, without the wall clock's times.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey && len(groups) == 0 {
			return slog.Attr{}
		}
		return a
	}}))
}

// seeded is a source of the same bytes in every run that many may read.
type seeded struct {
	mu sync.Mutex
	r  *rand.ChaCha8
}

func newSeeded() *seeded { return &seeded{r: rand.NewChaCha8([32]byte{7})} }

func (s *seeded) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.Read(p)
}

// bank is the whole service as dev composes it, in this process: real
// PostgreSQL, real Redis protocol, real HTTP, the relay sending to the
// simulator's phones, and the demo people. Only its clock is a test's.
type bank struct {
	t           testing.TB
	clock       *clock
	log         *logBuffer
	url         string // http://127.0.0.1:...
	databaseURL string
	super       *sql.DB // may do anything to the database
	service     *service
	network     *simulator.Network
	redis       *devenv.Redis
	server      *httptest.Server
	config      config
	twilioToken string
	airtimeKey  string
	messages    atomic.Int64 // texts sent to the service
	once        sync.Once
}

// Names of the secrets that tests share; dev makes its own.
const (
	testKey1 = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	testKey2 = "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
	testKey3 = "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f"
)

func testSecrets() secrets {
	return secrets{PINKeys: []string{"t:" + testKey1}, ReceiptKey: testKey2, SessionKey: testKey3}
}

func kenya() country {
	return country{Region: "KE", Currency: "KES", ServiceCode: "*334#", Languages: []string{"en", "sw", "fr"}, TimeZone: "Africa/Nairobi", Brand: "Tuma", Care: "100"}
}

// plenty is for tests that are not about the limits of dialling.
var plenty = ussd.LimitOptions{DialsPerMinute: 1_000_000, LookUpsPerDay: 1_000_000}

// startBank starts one with the demo people. It is closed with the test, or
// before by close.
func startBank(t testing.TB) *bank {
	t.Helper()
	return startBankWith(t, func(*gateways) {})
}

// startBankWith is one with other ways in and out.
func startBankWith(t testing.TB, change func(*gateways)) *bank {
	t.Helper()
	b := &bank{t: t, clock: newClock(), log: &logBuffer{}, databaseURL: dbtest.URL(t), twilioToken: "0123456789abcdef0123456789abcdef", airtimeKey: "a-token-for-the-operator"}
	b.super = super(t, b.databaseURL)
	t.Cleanup(b.close)
	var err error
	b.redis, err = devenv.StartRedis(t.Context(), devenv.RedisOptions{Clock: b.clock.now})
	b.must(err)
	country, tariff, err := kenya().build()
	b.must(err)
	brakes, err := kenya().rules()
	b.must(err)
	keys, err := testSecrets().build()
	b.must(err)
	b.server = httptest.NewUnstartedServer(nil)
	b.url = "http://" + b.server.Listener.Addr().String()
	b.config = config{
		databaseURL: b.databaseURL, redisURL: b.redis.URL(), country: country, tariff: tariff, brakes: brakes, keys: keys, log: b.log.logger(),
		limits: plenty, now: b.clock.now, maxConns: 8, photos: t.TempDir(), plain: true,
		gateways: gateways{
			USSDAllow: []string{"127.0.0.0/8"}, smsSettings: smsSettings{SMS: []string{"twilio"}, PublicURL: b.url}, TwilioSID: devTwilioSID, TwilioToken: b.twilioToken, TwilioFrom: country.Brand, TwilioURL: b.url,
			PushURL: b.url + "/simulator/push", PushToken: b.airtimeKey,
			AirtimeURL: b.url + "/simulator/airtime/topup", AirtimeKey: b.airtimeKey,
		},
	}
	change(&b.config.gateways)
	b.service, err = b.config.start(t.Context())
	b.must(err)
	b.must(seed(t.Context(), b.service))
	b.network, err = simulator.NewNetwork(simulator.Config{
		USSDURL: b.url + "/ussd/africastalking", EventsURL: b.url + "/ussd/africastalking/events", ServiceCode: country.ServiceCode,
		SMSURL: b.url + "/sms/twilio/inbound", TwilioSID: devTwilioSID, TwilioToken: b.twilioToken, AirtimeToken: b.airtimeKey, PushToken: b.airtimeKey, CurrencySymbol: "Ksh", Now: b.clock.now, Rand: newSeeded(),
	})
	b.must(err)
	// The server that serves in production, too, with its bounds on what a connection may cost.
	b.server.Config = server(withSimulator(b.service.handler, b.network), b.config.log)
	b.server.Start()
	return b
}

func (b *bank) close() {
	b.once.Do(func() {
		if b.network != nil {
			b.network.Close()
		}
		if b.service != nil {
			b.service.stop() // the relay first: it speaks to the server
			b.service.running.Wait()
		}
		if b.server != nil {
			b.server.CloseClientConnections()
			b.server.Close()
		}
		if b.service != nil {
			b.service.close()
		}
		if b.redis != nil {
			b.redis.Stop()
		}
		b.super.Close()
	})
}

func (b *bank) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// post sends a form and reads the answer.
func (b *bank) post(path string, form url.Values) (int, string) {
	b.t.Helper()
	status, body, err := postForm(b.url+path, form)
	b.must(err)
	return status, body
}

// impatient is every test's HTTP client: nothing here takes longer.
var impatient = &http.Client{Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func postForm(address string, form url.Values) (int, string, error) {
	resp, err := impatient.Post(address, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func ussdForm(session, number, text string) url.Values {
	return url.Values{"sessionId": {session}, "phoneNumber": {number}, "networkCode": {"63902"}, "serviceCode": {"*334#"}, "text": {text}}
}

// ask sends one USSD request and returns the body of its answer.
func (b *bank) ask(session, number, text string) string {
	b.t.Helper()
	status, body := b.post("/ussd/africastalking", ussdForm(session, number, text))
	if status != http.StatusOK {
		b.t.Fatalf("status %d: %s", status, body)
	}
	return body
}

// dropped tells that a session has ended, as the gateway does: with the whole
// input, PIN included.
func (b *bank) dropped(session, number, text string) {
	b.t.Helper()
	form := ussdForm(session, number, text)
	form.Set("input", text)
	form.Set("status", "Incomplete")
	if status, body := b.post("/ussd/africastalking/events", form); status != http.StatusOK {
		b.t.Fatalf("event: status %d: %s", status, body)
	}
}

// count reads one number.
func (b *bank) count(query string, args ...any) (n int) {
	b.t.Helper()
	b.must(b.super.QueryRow(query, args...).Scan(&n))
	return n
}

// wait lets time pass, by a clock that would run out the lease of whatever the
// relay is sending: so it comes to rest before.
func (b *bank) wait(d time.Duration) {
	b.t.Helper()
	b.relayed()
	b.clock.wait(d)
}

// relayed waits until no notice is left to send.
func (b *bank) relayed() {
	b.t.Helper()
	eventually(b.t, 15*time.Second, "all notices sent", func() bool {
		return b.count(`select count(*) from every_notice where status in ('owed', 'queued', 'sending')`) == 0
	})
}

// keepPacked has the relay leave lots as they are until the transaction ends.
func (b *bank) keepPacked() *sql.Tx {
	b.t.Helper()
	tx, err := b.super.Begin()
	b.must(err)
	_, err = tx.Exec(`select pg_advisory_xact_lock(3340003)`)
	b.must(err)
	return tx
}

// settled waits until the relay and the airtime orders have nothing left to do.
func (b *bank) settled() {
	b.t.Helper()
	eventually(b.t, 15*time.Second, "airtime delivered", func() bool { return b.count(`select count(*) from airtime_order where status = 'pending'`) == 0 })
	b.relayed()
}

// flush makes Redis forget everything.
func (b *bank) flush() {
	b.t.Helper()
	b.must(b.service.redis.FlushAll(context.Background()).Err())
}

// super is a connection that may do anything to the database.
func super(t testing.TB, databaseURL string) *sql.DB {
	t.Helper()
	pool, err := sql.Open("postgres", databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	pool.SetMaxOpenConns(2)
	t.Cleanup(func() { pool.Close() })
	return pool
}

// eventually polls until what it waits for is there.
func eventually(t testing.TB, limit time.Duration, what string, there func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !there(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}
