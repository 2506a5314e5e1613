package accounts

import (
	"encoding/csv"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"tuma/internal/db/dbtest"
	"tuma/internal/money"
)

// files are the tariff's four, with one of them replaced or a line added.
func files(t testing.TB, name, content string) fstest.MapFS {
	t.Helper()
	all := fstest.MapFS{}
	for _, f := range []string{"fees.csv", "commissions.csv", "taxes.csv", "tiers.csv"} {
		b, err := fs.ReadFile(DefaultTariff(), f)
		if err != nil {
			t.Fatal(err)
		}
		all[f] = &fstest.MapFile{Data: b}
	}
	switch was, more := all[name], strings.TrimPrefix(content, "+"); {
	case name == "":
	case content == "":
		delete(all, name)
	case more != content:
		all[name] = &fstest.MapFile{Data: append(was.Data, more+"\n"...)}
	default:
		all[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return all
}

func parse(t testing.TB, name, content string) (Tariff, error) {
	return ParseTariff(files(t, name, content), kenya(t).Currency)
}

func TestParseTariffNamesFileAndLine(t *testing.T) {
	t.Parallel()
	const fees = "effective,kind,low,high,amount\n"
	for _, c := range []struct{ file, content, want string }{
		{"fees.csv", "", "fees.csv"},
		{"fees.csv", "kind,low\n", "fees.csv: the first line must be"},
		{"fees.csv", "# nothing\n", "fees.csv: the first line must be"},
		{"fees.csv", fees + "# a remark\n2023-07-01,send,1,100\n", "fees.csv line 3: wrong number of fields"},
		{"fees.csv", fees + "2023-07-01,se\"nd,1,100,0\n", "fees.csv line 2: bare \""},
		{"fees.csv", fees + "\"2023-07-01,send,1,100,0\n", "fees.csv line 2: extraneous or missing \""},
		{"fees.csv", fees + "2023-7-1,send,1,100,0\n", "fees.csv line 2: parsing time"},
		{"fees.csv", fees + "2023-02-30,send,1,100,0\n", "fees.csv line 2: parsing time"},
		{"fees.csv", fees + "2023-07-01,sned,1,100,0\n", `fees.csv line 2: "sned" is not one of`},
		{"fees.csv", fees + "2023-07-01,,1,100,0\n", `fees.csv line 2: "" is not one of`},
		{"fees.csv", fees + "2023-07-01,send withdraw,1,100,0\n", `fees.csv line 2: "send withdraw" is not one of`},
		{"fees.csv", fees + "2023-07-01,send,x,100,0\n", "fees.csv line 2: money: "},
		{"fees.csv", fees + "2023-07-01,send,1,-100,0\n", "fees.csv line 2: money: "},
		{"fees.csv", fees + "2023-07-01,send,1,100,-7\n", "fees.csv line 2: money: "},
		{"fees.csv", fees + "2023-07-01,send,1,99999999999999,0\n", "fees.csv line 2: money: "},
		{"fees.csv", fees + "2023-07-01,send,1,100,0.001\n", "fees.csv line 2: money: "},
		{"fees.csv", fees + "2023-07-01,send,0,100,0\n", "fees.csv line 2: the band from 0 to 100 is empty"},
		{"fees.csv", fees + "2023-07-01,send,101,100,0\n", "fees.csv line 2: the band from 101 to 100 is empty"},
		{"fees.csv", fees + "2023-07-01,send,1,100,0\n2023-07-01,send,100,200,0\n", "fees.csv line 3: the band begins inside or before"},
		{"fees.csv", fees + "2023-07-01,send,101,200,0\n2023-07-01,send,1,100,0\n", "fees.csv line 3: the band begins inside or before"},
		{"fees.csv", fees + "2023-07-01,send,1,100,0\n2023-07-01,deposit,1,100,0\n2023-07-01,send,50,60,0\n", "fees.csv line 4: the band begins inside or before"},
		{"fees.csv", fees + "2023-07-01,send,1,100,0\n", "fees.csv has no band for withdraw"},
		{"commissions.csv", "+2023-07-01,deposit,1,2,x", "commissions.csv line 38: money: "},
		{"taxes.csv", "+2026-01-01,fee,15.5", `taxes.csv line 5: a rate is 0 to 10000 basis points, not "15.5"`},
		{"taxes.csv", "+2026-01-01,fee,-1", "taxes.csv line 5: a rate"},
		{"taxes.csv", "+2026-01-01,fee,10001", "taxes.csv line 5: a rate"},
		{"taxes.csv", "+2026-01-01,income,1500", "taxes.csv line 5: the only tax"},
		{"taxes.csv", "+2023-07-01,fee,1600", "taxes.csv line 5: this tax has a rate from that day already"},
		{"taxes.csv", "+tomorrow,fee,1600", "taxes.csv line 5: parsing time"},
		{"tiers.csv", "+2026-01-01,x,Gold,1,1,1", "tiers.csv line 5: strconv"},
		{"tiers.csv", "+2026-01-01,0,Gold,1,1,1", "tiers.csv line 5: a tier has a number from 1 to 99 and a name"},
		{"tiers.csv", "+2026-01-01,100,Gold,1,1,1", "tiers.csv line 5: a tier has a number from 1 to 99 and a name"},
		{"tiers.csv", "+2026-01-01,3, ,1,1,1", "tiers.csv line 5: a tier has a number from 1 to 99 and a name"},
		{"tiers.csv", "+2026-01-01,3,Gold,10,9,1", "tiers.csv line 5: a tier's limits"},
		{"tiers.csv", "+2026-01-01,3,Gold,0,9,1", "tiers.csv line 5: a tier's limits"},
		{"tiers.csv", "+2026-01-01,3,Gold,1,9,0", "tiers.csv line 5: a tier's limits"},
		{"tiers.csv", "+2023-07-01,2,Gold,1,9,1", "tiers.csv line 5: this tier has limits from that day already"},
		{"tiers.csv", "effective,tier,name,per_entry,per_day,max_balance\n2023-07-01,1,Basic,1,2,3\n", "tiers.csv has no tier 2"},
	} {
		if _, err := parse(t, c.file, c.content); err == nil || !strings.HasPrefix(err.Error(), "tariff: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: %v, want %q", c.file, c.content, err, c.want)
		}
	}
	if _, err := parse(t, "tiers.csv", "+2026-01-01,3,Gold,1,9,1"); err != nil {
		t.Error(err)
	}
}

// Every band's edges cost and earn what the CSV files say.
func TestPricesAtEveryEdge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	kes := w.country.Currency
	units := func(s string) money.Amount {
		if s == "0" {
			return 0
		}
		a, err := kes.Parse(s)
		w.must(err)
		return a
	}
	lowest, highest := map[string]money.Amount{}, map[string]money.Amount{}
	for _, f := range []struct {
		file string
		of   func(Price) money.Amount
	}{
		{"fees.csv", func(p Price) money.Amount { return p.Fee }},
		{"commissions.csv", func(p Price) money.Amount { return p.Commission }},
	} {
		file, err := DefaultTariff().Open(f.file)
		w.must(err)
		r := csv.NewReader(file)
		r.Comment = '#'
		rows, err := r.ReadAll()
		w.must(err)
		for _, row := range rows[1:] {
			kind, low, high, want := row[1], units(row[2]), units(row[3]), units(row[4])
			for _, a := range []money.Amount{low, low + 1, high - 1, high} {
				p, err := w.Price(t.Context(), kind, a, Tier{})
				if err != nil || f.of(p) != want {
					t.Errorf("%s %s %s: %v, %v, want %s", f.file, kind, kes.Plain(a), f.of(p), err, row[4])
				}
				// 15 % of the fee before tax is in the fee.
				if tax := (p.Fee*15*2 + 115) / (115 * 2); p.Tax != tax {
					t.Errorf("%s %s: tax %d in a fee of %d, want %d", kind, kes.Plain(a), p.Tax, p.Fee, tax)
				}
			}
			if f.file == "fees.csv" {
				if lowest[kind] == 0 {
					lowest[kind] = low
				}
				highest[kind] = high
			}
		}
	}
	for kind, low := range lowest {
		_, err := w.Price(t.Context(), kind, low-1, Tier{})
		w.refused(err, "below_min (min="+w.Money(low)+")")
		_, err = w.Price(t.Context(), kind, highest[kind]+1, Tier{})
		w.refused(err, "over_entry (max="+w.Money(highest[kind])+")")
		for _, a := range []money.Amount{0, -1, -1 << 63} {
			_, err = w.Price(t.Context(), kind, a, Tier{})
			w.refused(err, "below_min (min="+w.Money(low)+")")
		}
		_, err = w.Price(t.Context(), kind, 1<<63-1, Tier{})
		w.refused(err, "over_entry (max="+w.Money(highest[kind])+")")
	}
	// An amount between two bands belongs to the upper one.
	p, err := w.Price(t.Context(), "send", 100*shilling+1, Tier{})
	if err != nil || p.Fee != 7*shilling {
		t.Errorf("Ksh100.01: %+v, %v", p, err)
	}
	// Under the lowest band of a commission nothing is earned.
	if p, err := w.Price(t.Context(), "deposit", 49*shilling, Tier{}); err != nil || p.Commission != 0 {
		t.Errorf("deposit of 49: %+v, %v", p, err)
	}
	_, err = w.Price(t.Context(), "send", 35_001*shilling, Tier{Number: 1, PerEntry: 35_000 * shilling})
	w.refused(err, "over_entry (max=Ksh35,000.00)")
	if _, err := w.Price(t.Context(), "loan", shilling, Tier{}); err == nil || Refused(err, "over_entry") {
		t.Errorf("a kind without a tariff: %v", err)
	}
}

// What is published stays; what is new begins tomorrow at the earliest, at
// midnight of the country.
func TestPublishedTariffsDoNotChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // 22 November
	for _, c := range []struct{ name, file, content string }{
		{"a fee", "fees.csv", strings.Replace(string(files(t, "", "")["fees.csv"].Data), "send,101,500,7", "send,101,500,8", 1)},
		{"a band more", "fees.csv", "+2023-07-01,send,250001,260000,200"},
		{"a tax", "taxes.csv", "effective,kind,basis_points\n2021-07-01,fee,1200\n2023-07-01,fee,1600\n"},
		{"a tier", "tiers.csv", strings.Replace(string(files(t, "", "")["tiers.csv"].Data), "70000", "80000", 1)},
		{"a tier's name", "tiers.csv", strings.Replace(string(files(t, "", "")["tiers.csv"].Data), "Basic", "Small", 1)},
		{"fees from today", "fees.csv", "+2026-11-22,send,1,250000,1"},
		{"fees from yesterday", "fees.csv", "+2026-11-21,send,1,250000,1"},
		{"commissions from today", "commissions.csv", "+2026-11-22,deposit,1,250000,1"},
		{"a tax from today", "taxes.csv", "+2026-11-22,fee,1600"},
		{"limits from today", "tiers.csv", "+2026-11-22,1,Basic,1,1,1"},
	} {
		tariff, err := parse(t, c.file, c.content)
		w.must(err)
		_, err = New(t.Context(), w.config(w.pool, func(c *Config) { c.Tariff = tariff }))
		if !errors.Is(err, ErrTariffChanged) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	var n int
	w.must(w.pool.Get(t.Context(), &n, `select count(*) from tariff`))
	if want := len(kenyanTariff(t).Bands); n != want {
		t.Errorf("%d bands are published, want %d", n, want)
	}
}

func TestEffectiveDatesSwitchAtMidnight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.Price(t.Context(), "send", 1000*shilling, Tier{}) // has read what was published until now
	w.must(err)
	fees, err := parse(t, "fees.csv", "+2026-11-23,send,1,300000,50")
	w.must(err)
	taxes, err := parse(t, "taxes.csv", "+2026-11-24,fee,2000")
	w.must(err)
	tiers, err := parse(t, "tiers.csv", "+2026-11-23,1,Basic,40000,80000,120000")
	w.must(err)
	fees.Taxes, fees.Tiers = taxes.Taxes, tiers.Tiers
	newer := w.process(w.pool, func(c *Config) { c.Tariff = fees })
	price := func(s *Service, want Price, perEntry money.Amount) {
		t.Helper()
		p, err := s.Price(t.Context(), "send", 1000*shilling, Tier{})
		if err != nil || p != want {
			t.Errorf("at %s: %+v, %v, want %+v", w.clock.now(), p, err, want)
		}
		if tier, err := s.tier(t.Context(), TierBasic); err != nil || tier.PerEntry != perEntry {
			t.Errorf("at %s: %+v, %v", w.clock.now(), tier, err)
		}
	}
	// Both processes: the one that was there before, and the one that published.
	for _, s := range []*Service{w.Service, newer} {
		price(s, Price{Fee: 13 * shilling, Tax: 170}, 35_000*shilling)
	}
	w.clock.pass(14*time.Hour + 44*time.Minute + 59*time.Second) // 23:59:59 in Nairobi
	for _, s := range []*Service{w.Service, newer} {
		price(s, Price{Fee: 13 * shilling, Tax: 170}, 35_000*shilling)
	}
	w.clock.pass(time.Second)
	for _, s := range []*Service{w.Service, newer} {
		price(s, Price{Fee: 50 * shilling, Tax: 652}, 40_000*shilling)
	}
	w.clock.pass(24 * time.Hour)
	price(w.Service, Price{Fee: 50 * shilling, Tax: 833}, 40_000*shilling)
}

func TestTwoProcessesPublishAtOnce(t *testing.T) {
	t.Parallel()
	w := &world{t: t, clock: &clock{at: time.Date(2026, 11, 22, 9, 15, 0, 0, nairobi)}}
	pool := dbtest.New(t, w.clock.now)
	var all sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		all.Go(func() {
			s, err := New(t.Context(), w.config(pool))
			if errs[i] = err; err == nil {
				s.Close()
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	var n int
	w.must(pool.Get(t.Context(), &n, `select (select count(*) from tariff) + (select count(*) from tax) + (select count(*) from tier)`))
	tariff := kenyanTariff(t)
	if want := len(tariff.Bands) + len(tariff.Taxes) + len(tariff.Tiers); n != want {
		t.Errorf("%d rows were published, want %d", n, want)
	}
}

func TestNewSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for want, change := range map[string]func(*Config){
		"time zone":            func(c *Config) { c.Country.Zone = nil },
		"a pool":               func(c *Config) { c.Pool = nil },
		"a log":                func(c *Config) { c.Log = nil },
		"1 to 6 characters":    func(c *Config) { c.Country.Brand = "Kwachas" },
		"service code":         func(c *Config) { c.Country.ServiceCode = "" },
		"customer care":        func(c *Config) { c.Country.Care = "" },
		"no language":          func(c *Config) { c.Country.Languages = nil },
		`in language "de"`:     func(c *Config) { c.Country.Languages = []string{"en", "de"} },
		"receipt key":          func(c *Config) { c.ReceiptKey = []byte("short") },
		"active PIN key":       func(c *Config) { c.Keys.Active = "k2" },
		"PIN key \"k0\"":       func(c *Config) { c.Keys.ByID["k0"] = []byte("short") },
		"PIN key \"a.b\"":      func(c *Config) { c.Keys.ByID["a.b"] = []byte("a key of sixteen bytes") },
		"source of randomness": func(c *Config) { c.Rand = nil },
	} {
		if _, err := New(t.Context(), w.config(w.pool, change)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := w.PINs().Seal("4826"); err != nil {
		t.Error(err)
	}
	w.Service.pins.rand = io.LimitReader(strings.NewReader(""), 0)
	if _, err := w.PINs().Seal("4826"); err == nil {
		t.Error("a PIN was sealed without randomness")
	}
}
