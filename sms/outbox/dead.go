package outbox

import (
	"context"
	"fmt"
	"time"

	"tuma/internal/db"
	"tuma/internal/phone"
)

// Dead is a notice that did not reach its recipient and is not tried again.
type Dead struct {
	Key      string       `db:"key"`
	To       phone.Number `db:"to_msisdn"`
	Status   string       `db:"status"` // failed: given up; undelivered: a gateway took it in vain
	Attempts int          `db:"attempts"`
	Doubts   int          `db:"doubts"`
	Gateway  string       `db:"gateway"`
	Why      string       `db:"why"`
	Created  time.Time    `db:"created_at"`
}

const sqlDead = `
select n.key, n.to_msisdn, 'failed' as status, n.attempts, n.doubts, coalesce(n.gateway, '') as gateway, coalesce(n.error, '') as why, n.created_at
from notice n where n.status = 'failed' and n.created_at >= $1
union all
select n.key, n.to_msisdn, 'undelivered', n.attempts, n.doubts, d.gateway, coalesce(d.code, ''), n.created_at
from delivery d join notice n on n.gateway = d.gateway and n.provider_id = d.provider_id and n.status = 'sent'
where d.state = 2 and d.at >= $1 and n.created_at >= $1
order by created_at desc, key limit $2`

// DeadSince lists the dead of notices that were owed since an instant, the
// newest first. What a gateway did not deliver is looked for in all notices:
// it is for an operator, not for a request.
func DeadSince(ctx context.Context, pool *db.Pool, since time.Time, limit int) ([]Dead, error) {
	var list []Dead
	if err := pool.Select(ctx, &list, sqlDead, since, limit); err != nil {
		return nil, fmt.Errorf("outbox: dead: %w", err)
	}
	return list, nil
}

// What somebody has expired or opted out of is not for sending again.
const (
	sqlResend = `
update notice n set status = 'queued', attempts = 0, doubts = 0, error = null, provider_id = null, sent_at = null, next_try_at = $1
where key = $2 and (status = 'failed' or status = 'sent' and exists (
    select from delivery d where d.gateway = n.gateway and d.provider_id = n.provider_id and d.state = 2))`
	sqlResendAll = `
update notice n set status = 'queued', attempts = 0, doubts = 0, error = null, provider_id = null, sent_at = null, next_try_at = $1
where status = 'failed' and created_at >= $2 and (expires_at is null or expires_at > $1)
  and not exists (select from opted_out o where o.msisdn = n.to_msisdn)`
)

// Resend queues the dead notice of that key again and says how many that were:
// 0 when there is none, or it is on its way.
func Resend(ctx context.Context, pool *db.Pool, key string) (int64, error) {
	return resend(ctx, pool, sqlResend, key)
}

// ResendAll queues again all that were given up of notices owed since an instant,
// but for those that have expired or whose recipient has opted out.
func ResendAll(ctx context.Context, pool *db.Pool, since time.Time) (int64, error) {
	return resend(ctx, pool, sqlResendAll, since)
}

func resend(ctx context.Context, pool *db.Pool, query string, which any) (n int64, err error) {
	err = pool.InTx(ctx, func(tx *db.Tx) error {
		n, err = tx.Exec(ctx, query, tx.Now, which)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("outbox: resend: %w", err)
	}
	return n, nil
}
