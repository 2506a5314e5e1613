package sms

import (
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/db"
	"tuma/internal/db/dbtest"
	"tuma/internal/money"
	"tuma/internal/phone"
)

var nairobi = time.FixedZone("EAT", 3*3600)

// desk is an inbox with the business behind it, on a database of its own, on a
// Sunday morning in Nairobi.
type desk struct {
	*Inbox
	t    testing.TB
	pool *db.Pool
	at   time.Time
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	d := &desk{t: t, at: time.Date(2026, 11, 22, 9, 15, 0, 0, nairobi)}
	d.pool = dbtest.New(t, func() time.Time { return d.at })
	ke, err1 := phone.CountryOf("KE")
	kes, err2 := money.CurrencyOf("KES")
	tariff, err3 := accounts.ParseTariff(accounts.DefaultTariff(), kes)
	d.must(errors.Join(err1, err2, err3))
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	random := rand.NewChaCha8([32]byte{1})
	a, err := accounts.New(t.Context(), accounts.Config{
		Pool: d.pool, Country: accounts.Country{
			Phone: ke, Currency: kes, ServiceCode: "*334#", Languages: []string{"en", "sw", "fr"}, Zone: nairobi, Brand: "Tuma", Care: "0800 721 000",
		},
		Keys:       accounts.Keys{Active: "k1", ByID: map[string][]byte{"k1": []byte("a key of sixteen bytes")}},
		ReceiptKey: []byte("a receipt key of tests"), Tariff: tariff, Rand: random, Log: log, Posters: 1,
	})
	d.must(err)
	t.Cleanup(a.Close)
	d.Inbox, err = NewInbox(InboxOptions{Pool: d.pool, Accounts: a, Agents: agents.New(d.pool, a, random), Log: log})
	d.must(err)
	return d
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) count(query string, args ...any) (n int) {
	d.t.Helper()
	d.must(d.pool.Get(d.t.Context(), &n, query, args...))
	return n
}

func TestAMessageCountsOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	in := Inbound{Gateway: "twilio", ID: "SM1", From: "+254712000001", To: "22334", Text: "BAL"}
	for range 3 {
		d.must(d.Receive(t.Context(), in))
	}
	in.Gateway = "kannel"
	d.must(d.Receive(t.Context(), in))
	if n := d.count(`select count(*) from inbound`); n != 2 {
		t.Errorf("%d messages", n)
	}
}

func TestWhatIsNoMessage(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for what, spoil := range map[string]func(*Inbound){
		"no gateway":   func(in *Inbound) { in.Gateway = "" },
		"no id":        func(in *Inbound) { in.ID = "" },
		"a long id":    func(in *Inbound) { in.ID = strings.Repeat("x", 81) },
		"a nul":        func(in *Inbound) { in.ID = "a\x00b" },
		"bad UTF-8":    func(in *Inbound) { in.To = "\xff" },
		"no sender":    func(in *Inbound) { in.From = "" },
		"a whole book": func(in *Inbound) { in.Text = strings.Repeat("x", 7000) },
	} {
		in := Inbound{Gateway: "twilio", ID: "SM1", From: "+254712000001", To: "22334", Text: "BAL"}
		spoil(&in)
		if err := d.Receive(t.Context(), in); !errors.Is(err, ErrBadInbound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := d.count(`select count(*) from inbound`); n != 0 {
		t.Errorf("%d messages", n)
	}
}
