package ussd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"tuma/accounts"
	"tuma/internal/phone"
)

// LimitOptions say how often one phone may do something.
type LimitOptions struct {
	// DialsPerMinute of one number. A person who mistypes dials again three or
	// four times; ten is a program.
	DialsPerMinute int
	// LookUpsPerDay of a payer who never pays: names are shown to pay people,
	// not to collect them. A completed payment starts the count anew.
	LookUpsPerDay int
}

// DefaultLimits are what the fields' comments argue for.
func DefaultLimits() LimitOptions { return LimitOptions{DialsPerMinute: 10, LookUpsPerDay: 20} }

// Limits count in Redis. What happens when Redis does not answer differs:
//
//   - Dial fails open. The session store, which is asked next, is the same
//     Redis and decides by itself that nobody can be served.
//   - LookUp fails closed: the customer reads "try again later". An attacker
//     who can make Redis slow must not get the register of names for it.
//
// Both are logged.
type Limits struct {
	rate           *redis_rate.Limiter
	dials, lookUps redis_rate.Limit
	log            *slog.Logger
}

// NewLimits checks the options: redis_rate treats a limit of zero as no limit
// on one kind of Redis and as an error on another.
func NewLimits(client *redis.Client, o LimitOptions, log *slog.Logger) (*Limits, error) {
	if client == nil || log == nil {
		return nil, errors.New("ussd: limits need a Redis client and a log")
	}
	if o.DialsPerMinute <= 0 || o.LookUpsPerDay <= 0 {
		return nil, fmt.Errorf("ussd: limits must be positive: %d dials a minute, %d look-ups a day", o.DialsPerMinute, o.LookUpsPerDay)
	}
	return &Limits{
		rate:    redis_rate.NewLimiter(client),
		dials:   redis_rate.PerMinute(o.DialsPerMinute),
		lookUps: redis_rate.Limit{Rate: o.LookUpsPerDay, Burst: o.LookUpsPerDay, Period: 24 * time.Hour},
		log:     log,
	}, nil
}

// Dial counts a dial and tells whether this phone may go on, and if not, whether
// it is the first such time within an hour: a phone that dials without end costs
// nothing but this count.
func (l *Limits) Dial(ctx context.Context, n phone.Number) (ok, first bool) {
	r, err := l.rate.Allow(ctx, "ussd:dials:"+string(n), l.dials)
	if err != nil {
		l.log.WarnContext(ctx, "ussd: dials are not being limited", "err", err)
		return true, false
	}
	if r.Allowed > 0 {
		return true, false
	}
	r, err = l.rate.Allow(ctx, "ussd:dials:refused:"+string(n), redis_rate.PerHour(1))
	return false, err == nil && r.Allowed > 0
}

// LookUp counts a look-up and tells how many there were without a payment, this
// one among them; the refusal is lookups_spent.
func (l *Limits) LookUp(ctx context.Context, n phone.Number) (unpaid int, err error) {
	r, err := l.rate.Allow(ctx, "ussd:lookups:"+string(n), l.lookUps)
	if err != nil {
		return 0, fmt.Errorf("ussd: counting a look-up: %w", err)
	}
	unpaid = l.lookUps.Burst - r.Remaining
	if r.Allowed == 0 {
		return unpaid, accounts.Refuse("lookups_spent")
	}
	return unpaid, nil
}

// Paid gives the payer all look-ups back.
func (l *Limits) Paid(ctx context.Context, n phone.Number) {
	if err := l.rate.Reset(ctx, "ussd:lookups:"+string(n)); err != nil {
		l.log.WarnContext(ctx, "ussd: look-ups not given back after a payment", "err", err)
	}
}
