package accounts

import (
	"fmt"
	"time"

	"tuma/internal/money"
)

// tariffs answers what something costs on a day. It is read once, when the
// service starts, and does not change: what is to come has its day already.
type tariffs struct{ all Tariff }

// bands are those of the newest set that counts on a day.
func (t *tariffs) bands(sort, kind string, day time.Time) []Band {
	var set []Band
	for _, b := range t.all.Bands {
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

// fee is what the customer pays, tax included. ok is false under the lowest
// band (min is what it begins with) and over the highest (max is where it ends).
func (t *tariffs) fee(kind string, day time.Time, a money.Amount) (fee, min, max money.Amount, ok bool) {
	set := t.bands("fee", kind, day)
	for i, b := range set {
		if i == 0 {
			min = money.Amount(b.Low)
		}
		max = money.Amount(b.High)
		if !ok && a >= min && a <= max {
			fee, ok = money.Amount(b.Amount), true
		}
	}
	return fee, min, max, ok
}

// commission is what a till earns.
func (t *tariffs) commission(kind string, day time.Time, a money.Amount) money.Amount {
	set := t.bands("commission", kind, day)
	for _, b := range set {
		if a >= money.Amount(set[0].Low) && a <= money.Amount(b.High) {
			return money.Amount(b.Amount)
		}
	}
	return 0
}

// tax is the part of a fee that is owed to the revenue authority: with a rate
// of 15 % on the fee before tax, 15/115 of it, half a cent rounded up.
func (t *tariffs) tax(day time.Time, fee money.Amount) money.Amount {
	var rate int64
	var newest time.Time
	for _, x := range t.all.Taxes {
		if x.Kind == "fee" && !x.Effective.After(day) && !x.Effective.Before(newest) {
			rate, newest = x.BasisPoints, x.Effective
		}
	}
	return money.Portion(fee, rate, 10000+rate)
}

// tier gives a tier's limits on a day.
func (t *tariffs) tier(number int, day time.Time) (Tier, error) {
	var found TierOf
	for _, x := range t.all.Tiers {
		if x.Tier == number && !x.Effective.After(day) && !x.Effective.Before(found.Effective) {
			found = x
		}
	}
	if found.Tier != number {
		return Tier{}, fmt.Errorf("accounts: no tier %d on %s", number, day.Format(time.DateOnly))
	}
	return Tier{Number: number, Name: found.Name, PerEntry: money.Amount(found.PerEntry), PerDay: money.Amount(found.PerDay), MaxBalance: money.Amount(found.MaxBalance)}, nil
}

// day is today in the country.
func (s *Service) day() time.Time { return s.book.Day(s.pool.Now()) }

// Price is what an entry costs its customer and earns its till today.
type Price struct{ Fee, Tax, Commission money.Amount }

// Price finds the price of an amount. Refusals, in this order: below_min (hole
// min), over_entry (hole max), the latter from the tariff or from the tier.
func (s *Service) Price(kind string, a money.Amount, tier Tier) (Price, error) {
	day := s.day()
	fee, least, most, ok := s.tariff.fee(kind, day, a)
	if a < least {
		return Price{}, Refuse("below_min", "min", s.Money(least))
	}
	if tier.Number != 0 {
		most = min(most, tier.PerEntry)
	}
	if !ok || a > most {
		return Price{}, Refuse("over_entry", "max", s.Money(most))
	}
	return Price{Fee: fee, Tax: s.tariff.tax(day, fee), Commission: s.tariff.commission(kind, day, a)}, nil
}
