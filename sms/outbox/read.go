package outbox

import (
	"context"
	"fmt"
	"time"

	"tuma/internal/db"
	"tuma/internal/phone"
)

// Record is a notice and what became of it.
type Record struct {
	Notice
	Status      string // owed (in a lot), queued, sending, sent, failed, expired
	Attempts    int
	Gateway     string // of the last attempt that ended
	ProviderID  string
	Error       string
	Created     time.Time
	Sent        time.Time // zero: not yet
	NextAttempt time.Time // queued: not before; sending: end of the lease
	Delivery    State     // as the gateway has reported since; 0: it has not
	Doubts      int       // attempts whose outcome nobody knows
}

const sqlFor = `
select key, to_msisdn, lang, body, priority, expires_at, status, attempts, doubts, coalesce(gateway, '') as gateway,
       coalesce(provider_id, '') as provider_id, coalesce(error, '') as error, created_at, sent_at, next_try_at,
       coalesce((select d.state from delivery d where d.gateway = n.gateway and d.provider_id = n.provider_id), 0) as delivery
from every_notice n where to_msisdn = $1 order by id desc limit $2`

// For lists what a phone was or will be sent, the newest first. It walks back
// through the tables (which have no index for it, to keep writing cheap): for
// tests and for an operator who looks into a complaint, not for a request.
func For(ctx context.Context, pool *db.Pool, msisdn phone.Number, limit int) ([]Record, error) {
	var rows []struct {
		Key        string       `db:"key"`
		To         phone.Number `db:"to_msisdn"`
		Lang       string       `db:"lang"`
		Body       string       `db:"body"`
		Priority   int          `db:"priority"`
		ExpiresAt  *time.Time   `db:"expires_at"`
		Status     string       `db:"status"`
		Attempts   int          `db:"attempts"`
		Gateway    string       `db:"gateway"`
		ProviderID string       `db:"provider_id"`
		Error      string       `db:"error"`
		CreatedAt  time.Time    `db:"created_at"`
		SentAt     *time.Time   `db:"sent_at"`
		NextTryAt  time.Time    `db:"next_try_at"`
		Delivery   State        `db:"delivery"`
		Doubts     int          `db:"doubts"`
	}
	if err := pool.Select(ctx, &rows, sqlFor, string(msisdn), limit); err != nil {
		return nil, fmt.Errorf("outbox: for: %w", err)
	}
	var records []Record
	for _, r := range rows {
		records = append(records, Record{
			Notice:      Notice{Key: r.Key, To: r.To, Lang: r.Lang, Body: r.Body, Priority: r.Priority, Expires: instant(r.ExpiresAt)},
			Status:      r.Status,
			Attempts:    r.Attempts,
			Gateway:     r.Gateway,
			ProviderID:  r.ProviderID,
			Error:       r.Error,
			Created:     r.CreatedAt.UTC(),
			Sent:        instant(r.SentAt),
			NextAttempt: r.NextTryAt.UTC(),
			Delivery:    r.Delivery,
			Doubts:      r.Doubts,
		})
	}
	return records, nil
}
