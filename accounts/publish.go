package accounts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"tuma/internal/db"
)

// ErrTariffChanged says that the files rewrite what customers were shown: a
// published set is never changed, and one that follows another begins on a day
// that is still to come.
var ErrTariffChanged = errors.New("tariff: a published tariff was changed; give the change a new effective date, tomorrow or later")

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

// selector is what a transaction and the pool have in common.
type selector interface {
	Select(ctx context.Context, dest any, query string, args ...any) error
}

func readTariff(ctx context.Context, from selector) (t Tariff, err error) {
	return t, errors.Join(from.Select(ctx, &t.Bands, sqlBands), from.Select(ctx, &t.Taxes, sqlTaxes), from.Select(ctx, &t.Tiers, sqlTiers))
}

// publish adds what is new in t to the database. day is the country's calendar.
func publish(ctx context.Context, pool *db.Pool, t Tariff, day func(time.Time) time.Time) (*tariffs, error) {
	err := pool.InTx(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(ctx, sqlPublish); err != nil {
			return err
		}
		old, err := readTariff(ctx, tx)
		if err != nil {
			return err
		}
		p := publication{tx: tx, today: day(tx.Now)}
		if err := p.bands(ctx, old.Bands, t.Bands); err != nil {
			return err
		}
		if err := p.taxes(ctx, old.Taxes, t.Taxes); err != nil {
			return err
		}
		return p.tiers(ctx, old.Tiers, t.Tiers)
	})
	if err != nil {
		return nil, fmt.Errorf("accounts: publishing the tariff: %w", err)
	}
	return &tariffs{pool: pool}, nil
}

// publication compares a tariff with what is published and adds the rest.
type publication struct {
	tx    *db.Tx
	today time.Time
}

// follow refuses a set that begins on a day which has begun, where there is one
// that it would replace: other processes price by that one today.
func (p publication) follow(replaces bool, effective time.Time, format string, args ...any) error {
	if !replaces || effective.After(p.today) {
		return nil
	}
	return fmt.Errorf("%w: %s from %s", ErrTariffChanged, fmt.Sprintf(format, args...), effective.Format(time.DateOnly))
}

// sets gathers the bands of a tariff that were published together.
func sets(bands []Band) (all [][]Band) {
	for _, b := range bands {
		i := slices.IndexFunc(all, func(set []Band) bool { return set[0].sameSet(b) })
		if i < 0 {
			all, i = append(all, nil), len(all)
		}
		all[i] = append(all[i], b)
	}
	return all
}

func (p publication) bands(ctx context.Context, old, given []Band) error {
	published := sets(old)
	for _, set := range sets(given) {
		first := set[0]
		if i := slices.IndexFunc(published, func(was []Band) bool { return was[0].sameSet(first) }); i >= 0 {
			if !slices.EqualFunc(published[i], set, Band.same) {
				return fmt.Errorf("%w: %s of %s from %s", ErrTariffChanged, first.Sort, first.Kind, first.Effective.Format(time.DateOnly))
			}
			continue
		}
		replaces := slices.ContainsFunc(old, func(b Band) bool { return b.Sort == first.Sort && b.Kind == first.Kind })
		if err := p.follow(replaces, first.Effective, "%s of %s", first.Sort, first.Kind); err != nil {
			return err
		}
		for _, b := range set {
			if _, err := p.tx.Exec(ctx, sqlAddBand, b.Sort, b.Kind, b.Effective, b.Low, b.High, b.Amount); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p publication) taxes(ctx context.Context, old, given []Tax) error {
	for _, x := range given {
		if i := slices.IndexFunc(old, x.sameSet); i >= 0 {
			if old[i].BasisPoints != x.BasisPoints {
				return fmt.Errorf("%w: tax on a %s from %s", ErrTariffChanged, x.Kind, x.Effective.Format(time.DateOnly))
			}
			continue
		}
		replaces := slices.ContainsFunc(old, func(y Tax) bool { return y.Kind == x.Kind })
		if err := p.follow(replaces, x.Effective, "tax on a %s", x.Kind); err != nil {
			return err
		}
		if _, err := p.tx.Exec(ctx, sqlAddTax, x.Kind, x.Effective, x.BasisPoints); err != nil {
			return err
		}
	}
	return nil
}

func (p publication) tiers(ctx context.Context, old, given []TierOf) error {
	for _, x := range given {
		if i := slices.IndexFunc(old, x.sameSet); i >= 0 {
			y := old[i]
			if y.Name != x.Name || y.PerEntry != x.PerEntry || y.PerDay != x.PerDay || y.MaxBalance != x.MaxBalance {
				return fmt.Errorf("%w: tier %d from %s", ErrTariffChanged, x.Tier, x.Effective.Format(time.DateOnly))
			}
			continue
		}
		replaces := slices.ContainsFunc(old, func(y TierOf) bool { return y.Tier == x.Tier })
		if err := p.follow(replaces, x.Effective, "tier %d", x.Tier); err != nil {
			return err
		}
		if _, err := p.tx.Exec(ctx, sqlAddTier, x.Tier, x.Effective, x.Name, x.PerEntry, x.PerDay, x.MaxBalance); err != nil {
			return err
		}
	}
	return nil
}

// tariffs is what is published, read again on the first question of each day:
// what another process has published since then counts from a later day at the
// earliest, so all processes price alike at every instant.
type tariffs struct {
	pool *db.Pool

	mu   sync.Mutex
	read time.Time // the day
	all  Tariff
}

func (t *tariffs) on(ctx context.Context, day time.Time) (Tariff, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.read.Equal(day) {
		return t.all, nil
	}
	all, err := readTariff(ctx, t.pool)
	if err != nil {
		return Tariff{}, fmt.Errorf("accounts: reading the tariff: %w", err)
	}
	t.all, t.read = all, day
	return all, nil
}
