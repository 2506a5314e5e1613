package accounts

import (
	"embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

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

func (b Band) sameSet(c Band) bool {
	return b.Sort == c.Sort && b.Kind == c.Kind && b.Effective.Equal(c.Effective)
}

func (b Band) same(c Band) bool { return b.Low == c.Low && b.High == c.High && b.Amount == c.Amount }

// Tax is a rate on a fee before tax; published fees include it.
type Tax struct {
	Kind        string    `db:"kind"`
	Effective   time.Time `db:"effective"`
	BasisPoints int64     `db:"basis_points"`
}

func (x Tax) sameSet(y Tax) bool { return x.Kind == y.Kind && x.Effective.Equal(y.Effective) }

// TierOf is a KYC tier's limits from a day on.
type TierOf struct {
	Tier       int       `db:"tier"`
	Effective  time.Time `db:"effective"`
	Name       string    `db:"name"`
	PerEntry   int64     `db:"per_entry"`
	PerDay     int64     `db:"per_day"`
	MaxBalance int64     `db:"max_balance"`
}

func (x TierOf) sameSet(y TierOf) bool { return x.Tier == y.Tier && x.Effective.Equal(y.Effective) }

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

// sold are the kinds of entries that have a price. A file with another one has
// a slip of the pen, and what was meant would be free of charge or not sold.
const sold = "send withdraw deposit airtime"

// row is one line of a tariff file.
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
		if syntax, ok := errors.AsType[*csv.ParseError](err); ok {
			return fmt.Errorf("%s line %d: %w", name, syntax.Line, syntax.Err)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := add(row{record, currency}); err != nil {
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
	switch {
	case !slices.Contains(strings.Fields(sold), b.Kind):
		return fmt.Errorf("%q is not one of %s", b.Kind, sold)
	case b.Low <= 0 || b.High < b.Low:
		return fmt.Errorf("the band from %s to %s is empty", r.fields[2], r.fields[3])
	}
	for _, other := range t.Bands {
		if other.Sort == b.Sort && other.Kind == b.Kind && other.Effective.Equal(b.Effective) && b.Low <= other.High {
			return errors.New("the band begins inside or before one above it; bands go upwards")
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
	switch {
	case err != nil || rate < 0 || rate > 10000:
		return fmt.Errorf("a rate is 0 to 10000 basis points, not %q", r.fields[2])
	case r.fields[1] != "fee":
		return fmt.Errorf("the only tax is the one on a fee, not on %q", r.fields[1])
	}
	x := Tax{Kind: r.fields[1], Effective: day, BasisPoints: rate}
	if slices.ContainsFunc(t.Taxes, x.sameSet) {
		return errors.New("this tax has a rate from that day already")
	}
	t.Taxes = append(t.Taxes, x)
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
	switch {
	case tier.Tier < 1 || tier.Tier > 99 || strings.TrimSpace(tier.Name) == "":
		return errors.New("a tier has a number from 1 to 99 and a name")
	case tier.PerEntry <= 0 || tier.PerDay < tier.PerEntry || tier.MaxBalance <= 0:
		return errors.New("a tier's limits are above zero, and a day's not under an entry's")
	case slices.ContainsFunc(t.Tiers, tier.sameSet):
		return errors.New("this tier has limits from that day already")
	}
	t.Tiers = append(t.Tiers, tier)
	return nil
}

// check refuses a tariff without what every country needs.
func (t Tariff) check() error {
	for kind := range strings.FieldsSeq(sold) {
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
