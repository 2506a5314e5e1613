package agents

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/internal/db/dbtest"
	"tuma/internal/money"
	"tuma/internal/phone"
)

// bankRuns is how many banks the property test runs when nothing else is said:
// each costs a quarter of a second. Ask for more with -rapid.checks.
const bankRuns = "30"

func TestMain(m *testing.M) {
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "rapid.checks" })
	if !asked {
		if err := flag.Set("rapid.checks", bankRuns); err != nil {
			panic(err)
		}
	}
	dbtest.Main(m)
}

const shilling money.Amount = 100

var nairobi = time.FixedZone("EAT", 3*3600)

func number(t interface{ Fatal(...any) }, s string) phone.Number {
	n, err := phone.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// clock is a test's time, moved by hand.
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

// seeded is randomness that a test can repeat, for many goroutines.
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

// world is customers and agents composed on a database of their own, on a
// Sunday morning in Nairobi, with Kenya's defaults. There is an agent, and two
// members of staff who may issue float.
type world struct {
	*Service
	t     testing.TB
	clock *clock
	n     int
	told  int // events of brakes that a test has looked at
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{at: time.Date(2026, 11, 22, 9, 15, 0, 0, nairobi)}}
	w.Service = w.process(dbtest.New(t, w.clock.now))
	_, err := w.CreateAgent(t.Context(), "Mama Mboga Stores")
	w.must(err)
	w.staff("mary", "maker")
	w.staff("charles", "checker")
	return w
}

// process is one more of the service's processes on a database.
func (w *world) process(pool *db.Pool, change ...func(*accounts.Config)) *Service {
	w.t.Helper()
	ke, err1 := phone.CountryOf("KE")
	kes, err2 := money.CurrencyOf("KES")
	tariff, err3 := accounts.ParseTariff(accounts.DefaultTariff(), kes)
	w.must(errors.Join(err1, err2, err3))
	c := accounts.Config{
		Pool: pool, Country: accounts.Country{
			Phone: ke, Currency: kes, ServiceCode: "*334#", Languages: []string{"en", "sw", "fr"}, Zone: nairobi, Brand: "Tuma", Care: "0800 721 000",
		},
		Keys:       accounts.Keys{Active: "k1", ByID: map[string][]byte{"k1": []byte("a key of sixteen bytes")}},
		ReceiptKey: []byte("a receipt key of tests"), Tariff: tariff, Rand: newSeeded(),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Posters: 1,
	}
	for _, f := range change {
		f(&c)
	}
	a, err := accounts.New(w.t.Context(), c)
	w.must(err)
	w.t.Cleanup(a.Close)
	return New(pool, a, newSeeded())
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// refused wants a refusal, as its Error says it; "" wants none.
func (w *world) refused(err error, want string) {
	w.t.Helper()
	r, ok := errors.AsType[accounts.Refusal](err)
	if want == "" && err != nil || want != "" && (!ok || strings.TrimPrefix(r.Error(), "refused: ") != want) {
		w.t.Errorf("got %v, want the refusal %q", err, want)
	}
}

// sql changes the tables behind the service's back.
func (w *world) sql(query string, args ...any) {
	w.t.Helper()
	w.must(w.pool.InTx(w.t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(w.t.Context(), query, args...)
		return err
	}))
}

// staff registers somebody without the cost of a real password.
func (w *world) staff(name, role string) {
	w.t.Helper()
	w.sql(`insert into staff (name, password, role, created_at) values ($1, 'none', $2, $3)`, name, role, w.clock.now())
}

func (w *world) customer(msisdn, name string, tier int) accounts.Customer {
	w.t.Helper()
	w.n++
	c, err := w.accounts.Register(w.t.Context(), accounts.Registration{
		Ref: fmt.Sprint("test:", w.n), Phone: number(w.t, msisdn), Name: name, IDNumber: fmt.Sprintf("2345%04d", w.n), Lang: "en", Tier: tier,
	})
	w.must(err)
	return c
}

// till opens one with an operator at it and a float from the bank.
func (w *world) till(wanted, name, operator string, float money.Amount) Operator {
	w.t.Helper()
	_, err := w.CreateTill(w.t.Context(), "Mama Mboga Stores", name, wanted)
	w.must(err)
	w.n++
	w.must(w.CreateOperator(w.t.Context(), NewOperator{
		Till: wanted, Phone: number(w.t, operator), Name: "Juma Mwangi", IDNumber: fmt.Sprintf("2399%04d", w.n), Lang: "en", Role: "owner",
	}))
	if float > 0 {
		w.float(wanted, float)
	}
	return w.operator(operator)
}

func (w *world) operator(msisdn string) Operator {
	w.t.Helper()
	o, err := w.ByPhone(w.t.Context(), number(w.t, msisdn))
	w.must(err)
	return o
}

// float issues e-money by two people.
func (w *world) float(till string, a money.Amount) accounts.Done {
	w.t.Helper()
	w.n++
	id, err := w.RequestFloat(w.t.Context(), "mary", till, a, fmt.Sprintf("BANK-%d", w.n))
	w.must(err)
	d, err := w.ApproveFloat(w.t.Context(), "charles", id)
	w.must(err)
	return d
}

func (w *world) has(id ledger.AccountID) money.Amount {
	w.t.Helper()
	a, err := w.accounts.Book().Account(w.t.Context(), id)
	w.must(err)
	return a.Balance
}

// books wants the balances of all accounts, "fees 6.09" a line; customers go by
// their first names, tills by their numbers, and accounts at zero are left out.
func (w *world) books(want string, who ...any) {
	w.t.Helper()
	var b strings.Builder
	line := func(name string, id ledger.AccountID) {
		if a := w.has(id); a != 0 {
			fmt.Fprintf(&b, "%s %s ", name, w.accounts.Country().Currency.Plain(a))
		}
	}
	for _, x := range who {
		switch x := x.(type) {
		case accounts.Customer:
			first, _, _ := strings.Cut(strings.ToLower(x.Name), " ")
			line(first, x.Wallet)
		case Operator:
			line(x.Till.Number, x.Till.float)
			line("earned", x.Till.commission)
		}
	}
	h := w.accounts.House()
	line("fees", h.Fees)
	line("tax", h.Tax)
	line("commission", h.CommissionExpense)
	line("airtime", h.Airtime)
	line("trust", h.Trust)
	if got := strings.TrimSpace(b.String()); got != want {
		w.t.Errorf("books\n got %s\nwant %s", got, want)
	}
}

// last is the newest notice owed to a number, with its receipt's own part as *.
func (w *world) last(to phone.Number) string {
	w.t.Helper()
	var bodies []string
	w.must(w.pool.Select(w.t.Context(), &bodies, `select body from every_notice where to_msisdn = $1 order by id desc limit 1`, string(to)))
	if len(bodies) == 0 {
		return ""
	}
	if s := bodies[0]; strings.HasPrefix(s, "UK") {
		return s[:3] + "*" + s[10:]
	}
	return bodies[0]
}

// proven wants the audits of every floor to find nothing.
func (w *world) proven() {
	w.t.Helper()
	p, err := ledger.Audit(w.t.Context(), w.pool, ledger.AuditOptions{})
	w.must(err)
	customers, err := accounts.Audit(w.t.Context(), w.pool)
	w.must(err)
	tills, err := Audit(w.t.Context(), w.pool)
	w.must(err)
	for _, x := range append(append(p.Breaks, customers...), tills...) {
		w.t.Errorf("audit: %s: %s", x.Check, x.What)
	}
}
