package accounts

import (
	"context"
	"embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"time"

	"tuma/internal/db"
	"tuma/internal/money"
)

//go:embed tariff/*.csv
var tariffFiles embed.FS

// DefaultTariff holds the CSV files that come with the program: Kenya's.
func DefaultTariff() fs.FS {
	sub, err := fs.Sub(tariffFiles, "tariff")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sub
}

// Tariff is what a country publishes: bands of fees and commissions, taxes and
// tiers, each with the day from which it counts.
type Tariff struct {
	Bands []Band
	Taxes []Tax
	Tiers []TierOf
}

// Band says what an amount from Low to High costs or earns.
type Band struct {
	Sort      string    `db:"sort"` // fee or commission
	Kind      string    `db:"kind"` // of entry: send, withdraw, deposit, airtime
	Effective time.Time `db:"effective"`
	Low       int64     `db:"low"`
	High      int64     `db:"high"`
	Amount    int64     `db:"amount"`
}

// Tax is a rate on a fee before tax; published fees include it.
type Tax struct {
	Kind        string    `db:"kind"`
	Effective   time.Time `db:"effective"`
	BasisPoints int64     `db:"basis_points"`
}

// TierOf is a KYC tier's limits from a day on.
type TierOf struct {
	Tier       int       `db:"tier"`
	Effective  time.Time `db:"effective"`
	Name       string    `db:"name"`
	PerEntry   int64     `db:"per_entry"`
	PerDay     int64     `db:"per_day"`
	MaxBalance int64     `db:"max_balance"`
}

// Tier is what a customer may do today.
type Tier struct {
	Number                       int
	Name                         string
	PerEntry, PerDay, MaxBalance money.Amount
}

// ParseTariff reads fees.csv, commissions.csv, taxes.csv and tiers.csv. Errors
// name the file and the line.
func ParseTariff(files fs.FS, currency money.Currency) (Tariff, error) {
	var t Tariff
	for _, f := range []struct {
		name   string
		fields []string
		row    func(r row) error
	}{
		{"fees.csv", []string{"effective", "kind", "low", "high", "amount"}, func(r row) error { return t.addBand("fee", r) }},
		{"commissions.csv", []string{"effective", "kind", "low", "high", "amount"}, func(r row) error { return t.addBand("commission", r) }},
		{"taxes.csv", []string{"effective", "kind", "basis_points"}, t.addTax},
		{"tiers.csv", []string{"effective", "tier", "name", "per_entry", "per_day", "max_balance"}, t.addTier},
	} {
		if err := eachRow(files, f.name, f.fields, currency, f.row); err != nil {
			return Tariff{}, fmt.Errorf("tariff: %w", err)
		}
	}
	return t, t.check()
}

// row is one line of a tariff file; its first error sticks.
type row struct {
	fields   []string
	currency money.Currency
}

func (r row) date(i int) (time.Time, error) { return time.Parse(time.DateOnly, r.fields[i]) }

// units reads an amount; zero is allowed, unlike in what people key in.
func (r row) units(i int) (int64, error) {
	if r.fields[i] == "0" {
		return 0, nil
	}
	a, err := r.currency.Parse(r.fields[i])
	return int64(a), err
}

func eachRow(files fs.FS, name string, fields []string, currency money.Currency, add func(row) error) error {
	f, err := files.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	c := csv.NewReader(f)
	c.Comment = '#'
	c.FieldsPerRecord = len(fields)
	head, err := c.Read()
	if err != nil || !slices.Equal(head, fields) {
		return fmt.Errorf("%s: the first line must be %v (%v)", name, fields, err)
	}
	for {
		record, err := c.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = add(row{record, currency})
		}
		if err != nil {
			line, _ := c.FieldPos(0)
			return fmt.Errorf("%s line %d: %w", name, line, err)
		}
	}
}

func (t *Tariff) addBand(sort string, r row) error {
	var err [4]error
	b := Band{Sort: sort, Kind: r.fields[1]}
	b.Effective, err[0] = r.date(0)
	b.Low, err[1] = r.units(2)
	b.High, err[2] = r.units(3)
	b.Amount, err[3] = r.units(4)
	if err := errors.Join(err[:]...); err != nil {
		return err
	}
	if b.Low <= 0 || b.High < b.Low {
		return fmt.Errorf("the band from %d to %d is empty", b.Low, b.High)
	}
	if n := len(t.Bands); n > 0 {
		if l := t.Bands[n-1]; l.Sort == b.Sort && l.Kind == b.Kind && l.Effective.Equal(b.Effective) && b.Low <= l.High {
			return errors.New("the band begins inside the one before it")
		}
	}
	t.Bands = append(t.Bands, b)
	return nil
}

func (t *Tariff) addTax(r row) error {
	day, err := r.date(0)
	if err != nil {
		return err
	}
	rate, err := strconv.ParseInt(r.fields[2], 10, 32)
	if err != nil || rate < 0 || rate > 10000 {
		return fmt.Errorf("a rate is 0 to 10000 basis points, not %q", r.fields[2])
	}
	t.Taxes = append(t.Taxes, Tax{Kind: r.fields[1], Effective: day, BasisPoints: rate})
	return nil
}

func (t *Tariff) addTier(r row) error {
	var err [5]error
	tier := TierOf{Name: r.fields[2]}
	tier.Effective, err[0] = r.date(0)
	tier.Tier, err[1] = strconv.Atoi(r.fields[1])
	tier.PerEntry, err[2] = r.units(3)
	tier.PerDay, err[3] = r.units(4)
	tier.MaxBalance, err[4] = r.units(5)
	if err := errors.Join(err[:]...); err != nil {
		return err
	}
	if tier.PerEntry <= 0 || tier.PerDay < tier.PerEntry || tier.MaxBalance <= 0 {
		return errors.New("a tier's limits are above zero, and a day's not under an entry's")
	}
	t.Tiers = append(t.Tiers, tier)
	return nil
}

// check refuses a tariff without what every country needs.
func (t Tariff) check() error {
	for _, kind := range []string{"send", "withdraw", "deposit", "airtime"} {
		if !slices.ContainsFunc(t.Bands, func(b Band) bool { return b.Sort == "fee" && b.Kind == kind }) {
			return fmt.Errorf("tariff: fees.csv has no band for %s", kind)
		}
	}
	for _, n := range []int{TierBasic, TierFull} {
		if !slices.ContainsFunc(t.Tiers, func(x TierOf) bool { return x.Tier == n }) {
			return fmt.Errorf("tariff: tiers.csv has no tier %d", n)
		}
	}
	return nil
}

// ErrTariffChanged says that a published tariff differs from the files: what
// customers were shown is not rewritten, a change gets a new effective date.
var ErrTariffChanged = errors.New("tariff: a published tariff was changed; give the change a new effective date")

const (
	sqlBands   = `select sort, kind, effective, low, high, amount from tariff order by sort, kind, effective, low`
	sqlTaxes   = `select kind, effective, basis_points from tax order by kind, effective`
	sqlTiers   = `select tier, effective, name, per_entry, per_day, max_balance from tier order by tier, effective`
	sqlAddBand = `insert into tariff (sort, kind, effective, low, high, amount) values ($1, $2, $3, $4, $5, $6)`
	sqlAddTax  = `insert into tax (kind, effective, basis_points) values ($1, $2, $3)`
	sqlAddTier = `insert into tier (tier, effective, name, per_entry, per_day, max_balance) values ($1, $2, $3, $4, $5, $6)`
	// Two processes that start at once publish one after the other.
	sqlPublish = `select pg_advisory_xact_lock(3340001)`
)

// publish adds what is new in t to the database and reads everything back.
func publish(ctx context.Context, pool *db.Pool, t Tariff) (*tariffs, error) {
	var all Tariff
	err := pool.InTx(ctx, func(tx *db.Tx) error {
		all = Tariff{}
		if _, err := tx.Exec(ctx, sqlPublish); err != nil {
			return err
		}
		if err := errors.Join(tx.Select(ctx, &all.Bands, sqlBands), tx.Select(ctx, &all.Taxes, sqlTaxes), tx.Select(ctx, &all.Tiers, sqlTiers)); err != nil {
			return err
		}
		return all.add(ctx, tx, t)
	})
	if err != nil {
		return nil, fmt.Errorf("accounts: publishing the tariff: %w", err)
	}
	return &tariffs{all}, nil
}

func (all *Tariff) add(ctx context.Context, tx *db.Tx, t Tariff) error {
	type set struct {
		sort, kind string
		effective  int64
	}
	of := func(b Band) set { return set{b.Sort, b.Kind, b.Effective.Unix()} }
	old := map[set][]Band{}
	for _, b := range all.Bands {
		old[of(b)] = append(old[of(b)], b)
	}
	given := map[set][]Band{}
	for _, b := range t.Bands {
		given[of(b)] = append(given[of(b)], b)
	}
	for s, bands := range given {
		was, there := old[s]
		same := slices.EqualFunc(was, bands, func(a, b Band) bool { return a.Low == b.Low && a.High == b.High && a.Amount == b.Amount })
		if there && !same {
			return fmt.Errorf("%w: %s of %s", ErrTariffChanged, s.sort, s.kind)
		}
		if there {
			continue
		}
		for _, b := range bands {
			if _, err := tx.Exec(ctx, sqlAddBand, b.Sort, b.Kind, b.Effective, b.Low, b.High, b.Amount); err != nil {
				return err
			}
			all.Bands = append(all.Bands, b)
		}
	}
	for _, x := range t.Taxes {
		i := slices.IndexFunc(all.Taxes, func(y Tax) bool { return y.Kind == x.Kind && y.Effective.Equal(x.Effective) })
		if i >= 0 && all.Taxes[i].BasisPoints != x.BasisPoints {
			return fmt.Errorf("%w: tax on %s", ErrTariffChanged, x.Kind)
		} else if i >= 0 {
			continue
		}
		if _, err := tx.Exec(ctx, sqlAddTax, x.Kind, x.Effective, x.BasisPoints); err != nil {
			return err
		}
		all.Taxes = append(all.Taxes, x)
	}
	for _, x := range t.Tiers {
		i := slices.IndexFunc(all.Tiers, func(y TierOf) bool { return y.Tier == x.Tier && y.Effective.Equal(x.Effective) })
		if i >= 0 {
			if y := all.Tiers[i]; y.PerEntry != x.PerEntry || y.PerDay != x.PerDay || y.MaxBalance != x.MaxBalance {
				return fmt.Errorf("%w: tier %d", ErrTariffChanged, x.Tier)
			}
			continue
		}
		if _, err := tx.Exec(ctx, sqlAddTier, x.Tier, x.Effective, x.Name, x.PerEntry, x.PerDay, x.MaxBalance); err != nil {
			return err
		}
		all.Tiers = append(all.Tiers, x)
	}
	return nil
}
