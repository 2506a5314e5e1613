package accounts

import (
	"context"
	"fmt"
	"time"

	"tuma/internal/money"
)

// bands are those of the newest set that counts on a day, upwards.
func (t Tariff) bands(sort, kind string, day time.Time) []Band {
	var set []Band
	for _, b := range t.Bands {
		if b.Sort != sort || b.Kind != kind || b.Effective.After(day) {
			continue
		}
		if len(set) > 0 && b.Effective.After(set[0].Effective) {
			set = nil
		}
		if len(set) == 0 || b.Effective.Equal(set[0].Effective) {
			set = append(set, b)
		}
	}
	return set
}

// in gives what an amount between the lowest and the highest of bands costs; an
// amount between two bands belongs to the upper one.
func in(bands []Band, a money.Amount) money.Amount {
	for _, b := range bands {
		if a <= money.Amount(b.High) {
			return money.Amount(b.Amount)
		}
	}
	return 0
}

// tax is the part of a fee that is owed to the revenue authority: with a rate
// of 15 % on the fee before tax, 15/115 of it, half a cent rounded up.
func (t Tariff) tax(day time.Time, fee money.Amount) money.Amount {
	var rate int64
	var newest time.Time
	for _, x := range t.Taxes {
		if !x.Effective.After(day) && !x.Effective.Before(newest) {
			rate, newest = x.BasisPoints, x.Effective
		}
	}
	return money.Portion(fee, rate, 10000+rate)
}

// tier gives a tier's limits on a day.
func (t Tariff) tier(number int, day time.Time) (Tier, error) {
	var newest *TierOf
	for i, x := range t.Tiers {
		if x.Tier == number && !x.Effective.After(day) && (newest == nil || x.Effective.After(newest.Effective)) {
			newest = &t.Tiers[i]
		}
	}
	if newest == nil {
		return Tier{}, fmt.Errorf("accounts: no tier %d on %s", number, day.Format(time.DateOnly))
	}
	return Tier{
		Number: number, Name: newest.Name,
		PerEntry: money.Amount(newest.PerEntry), PerDay: money.Amount(newest.PerDay), MaxBalance: money.Amount(newest.MaxBalance),
	}, nil
}

// day is today in the country.
func (s *Service) day() time.Time { return s.book.Day(s.pool.Now()) }

// tier gives a tier's limits today.
func (s *Service) tier(ctx context.Context, number int) (Tier, error) {
	day := s.day()
	t, err := s.tariffs.on(ctx, day)
	if err != nil {
		return Tier{}, err
	}
	return t.tier(number, day)
}

// Price is what an entry costs its customer, tax included, how much of that is
// tax, and what it earns its till.
type Price struct{ Fee, Tax, Commission money.Amount }

// Price finds the price of an amount today. Refusals, in this order: below_min
// (hole min), over_entry (hole max), the latter from the tariff or from the
// tier; the zero Tier has no limit of its own.
func (s *Service) Price(ctx context.Context, kind string, a money.Amount, tier Tier) (Price, error) {
	day := s.day()
	t, err := s.tariffs.on(ctx, day)
	if err != nil {
		return Price{}, err
	}
	fees := t.bands("fee", kind, day)
	if len(fees) == 0 {
		return Price{}, fmt.Errorf("accounts: no tariff of %s on %s", kind, day.Format(time.DateOnly))
	}
	least, most := money.Amount(fees[0].Low), money.Amount(fees[len(fees)-1].High)
	if tier != (Tier{}) {
		most = min(most, tier.PerEntry)
	}
	switch {
	case a < least:
		return Price{}, Refuse("below_min", "min", s.Money(least))
	case a > most:
		return Price{}, Refuse("over_entry", "max", s.Money(most))
	}
	p := Price{Fee: in(fees, a)}
	p.Tax = t.tax(day, p.Fee)
	if earns := t.bands("commission", kind, day); len(earns) > 0 && a >= money.Amount(earns[0].Low) {
		p.Commission = in(earns, a)
	}
	return p, nil
}
