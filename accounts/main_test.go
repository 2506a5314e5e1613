package accounts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/internal/db/dbtest"
	"tuma/internal/money"
	"tuma/internal/phone"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

const shilling money.Amount = 100

func amountOf(minor int64) money.Amount { return money.Amount(minor) }

func number(t testing.TB, s string) phone.Number {
	t.Helper()
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

var nairobi = time.FixedZone("EAT", 3*3600)

func kenya(t testing.TB) Country {
	t.Helper()
	ke, err1 := phone.CountryOf("KE")
	kes, err2 := money.CurrencyOf("KES")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return Country{Phone: ke, Currency: kes, ServiceCode: "*334#", Languages: []string{"en", "sw", "fr"}, Zone: nairobi, Brand: "Tuma", Care: "0800 721 000"}
}

func kenyanTariff(t testing.TB) Tariff {
	t.Helper()
	tariff, err := ParseTariff(DefaultTariff(), kenya(t).Currency)
	if err != nil {
		t.Fatal(err)
	}
	return tariff
}

// world is the service on a database of its own, on a Sunday morning in
// Nairobi, with Kenya's defaults.
type world struct {
	*Service
	t     testing.TB
	clock *clock
	n     int
}

func newWorld(t testing.TB, change ...func(*Config)) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{at: time.Date(2026, 11, 22, 9, 15, 0, 0, nairobi)}}
	w.Service = w.process(dbtest.New(t, w.clock.now), change...)
	return w
}

// process is one more of the service's processes on a database.
func (w *world) process(pool *db.Pool, change ...func(*Config)) *Service {
	w.t.Helper()
	s, err := New(w.t.Context(), w.config(pool, change...))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.Close)
	return s
}

func (w *world) config(pool *db.Pool, change ...func(*Config)) Config {
	c := Config{
		Pool: pool, Country: kenya(w.t), Keys: Keys{Active: "k1", ByID: map[string][]byte{"k1": []byte("a key of sixteen bytes")}},
		ReceiptKey: []byte("a receipt key of tests"), Tariff: kenyanTariff(w.t), Rand: &seeded{r: rand.NewChaCha8([32]byte{1})},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Posters: 1,
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// refused wants a refusal, as its Error says it.
func (w *world) refused(err error, want string) {
	w.t.Helper()
	r, ok := errors.AsType[Refusal](err)
	if !ok || strings.TrimPrefix(r.Error(), "refused: ") != want {
		w.t.Errorf("got %v, want the refusal %s", err, want)
	}
}

// customer registers somebody at the full tier with an amount from the bank.
func (w *world) customer(msisdn, name string, has money.Amount) Customer {
	w.t.Helper()
	return w.customerOf(TierFull, msisdn, name, has)
}

func (w *world) customerOf(tier int, msisdn, name string, has money.Amount) Customer {
	w.t.Helper()
	w.n++
	pin, err := w.PINs().Seal("4826")
	w.must(err)
	c, err := w.Register(w.t.Context(), Registration{
		Ref: fmt.Sprint("test:", w.n), Phone: number(w.t, msisdn), Name: name, IDNumber: fmt.Sprintf("2345%04d", w.n), Lang: "en", Tier: tier, PIN: pin,
	})
	w.must(err)
	if has > 0 {
		w.fund(c.Wallet, has)
	}
	return c
}

// fund puts money into an account straight from the bank.
func (w *world) fund(id ledger.AccountID, a money.Amount) {
	w.t.Helper()
	w.n++
	_, err := w.book.Post(w.t.Context(), ledger.Entry{Ref: fmt.Sprint("fund:", w.n), Kind: "fund",
		Postings: []ledger.Posting{{Why: ledger.Principal, Debit: w.house.Trust, Credit: id, Amount: a}}})
	w.must(err)
}

func (w *world) again(c Customer) Customer {
	w.t.Helper()
	c, err := w.ByID(w.t.Context(), c.ID)
	w.must(err)
	return c
}

func (w *world) has(id ledger.AccountID) money.Amount {
	w.t.Helper()
	a, err := w.book.Account(w.t.Context(), id)
	w.must(err)
	return a.Balance
}

// books wants the balances of all accounts, "fees 6.09" a line; customers go by
// their first names, and accounts at zero are left out.
func (w *world) books(want string, customers ...Customer) {
	w.t.Helper()
	var b strings.Builder
	line := func(name string, id ledger.AccountID) {
		if a := w.has(id); a != 0 {
			fmt.Fprintf(&b, "%s %s\n", name, w.country.Currency.Plain(a))
		}
	}
	for _, c := range customers {
		first, _, _ := strings.Cut(strings.ToLower(c.Name), " ")
		line(first, c.Wallet)
	}
	line("fees", w.house.Fees)
	line("tax", w.house.Tax)
	line("commission", w.house.CommissionExpense)
	line("airtime", w.house.Airtime)
	line("trust", w.house.Trust)
	got := strings.Join(strings.Fields(b.String()), " ")
	if want = strings.Join(strings.Fields(want), " "); got != want {
		w.t.Errorf("books\n got %s\nwant %s", got, want)
	}
}

// texts are the notices owed to a number, oldest first.
func (w *world) texts(to phone.Number) []string {
	w.t.Helper()
	var bodies []string
	w.must(w.pool.Select(w.t.Context(), &bodies, `select body from every_notice where to_msisdn = $1 order by id`, string(to)))
	return bodies
}

// last is the newest notice owed to a number, with its receipt's own part as *.
func (w *world) last(to phone.Number) string {
	w.t.Helper()
	bodies := w.texts(to)
	if len(bodies) == 0 {
		return ""
	}
	s := bodies[len(bodies)-1]
	if strings.HasPrefix(s, "UK") {
		s = s[:3] + "*" + s[10:]
	}
	return s
}

// proven wants the audits of this floor to find nothing.
func (w *world) proven() {
	w.t.Helper()
	p, err := ledger.Audit(w.t.Context(), w.pool, ledger.AuditOptions{})
	w.must(err)
	more, err := Audit(w.t.Context(), w.pool)
	w.must(err)
	for _, x := range append(p.Breaks, more...) {
		w.t.Errorf("audit: %s: %s", x.Check, x.What)
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

// eventually waits until ok, or fails.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
