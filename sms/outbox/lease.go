package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tuma/internal/db"
	"tuma/internal/phone"
)

// Due is a notice on lease: its holder alone may send it, until Until.
type Due struct {
	Notice
	ID       int64
	Attempts int // this one included
	Doubts   int // earlier attempts of which nobody knows whether they went out
	Created  time.Time
	Until    time.Time
	holder   string
}

// Takes the most urgent due notices. "sending" with a lease that has run out
// is due again, one doubt richer: its holder died before or after sending.
//
// A recipient's notices go out in the order in which they were written: one is
// not due while an older one, at least as urgent, is unsent and has not failed
// for long (turns). Two leases at the same time cannot break that: the older one
// counts as unsent in the younger one's snapshot until it is sent and committed.
// The price is one index probe for each due notice that waits behind another:
// with half a million in the table, under a millisecond when few do, and a second
// when all do, which takes a relay that goes on leasing for a dead gateway.
const sqlLease = `
with due as materialized (
    select id from notice n
    where status in ('queued', 'sending') and next_try_at <= $1
      and not exists (
        select from notice older
        where older.to_msisdn = n.to_msisdn and older.id < n.id and older.priority <= n.priority
          and older.attempts < $5 and older.status in ('queued', 'sending'))
    order by priority, next_try_at, id
    limit $2
    for update skip locked
)
update notice n set
    doubts      = doubts + (status = 'sending')::int,
    status      = case when expires_at <= $1 then 'expired' else 'sending' end,
    attempts    = attempts + (expires_at is null or expires_at > $1)::int,
    next_try_at = $3,
    leased_by   = $4
from due where n.id = due.id
returning n.id, n.key, n.to_msisdn, n.lang, n.body, n.priority, n.expires_at, n.attempts, n.doubts, n.created_at, n.status`

// turns is the attempt from which on a notice keeps no younger one waiting: one
// that fails for days, because something about it upsets the gateway, must not
// cost its recipient all the others. With the relay's usual back-off that is
// after two to four minutes.
const turns = 8

// Lease takes up to n due notices for the given time, in the order in which
// they should be sent, on behalf of who (a name for one running relay). At
// most one of a recipient is among them, codes apart. Notices that have
// expired are put aside on the way and only counted.
//
// Lots are unpacked first, unpackAtOnce notices or so, and more of them only when
// nothing was due: of a long queue of lots the newest are not looked at yet, and
// wait for their turn whatever their priority.
func Lease(ctx context.Context, pool *db.Pool, n int, lease time.Duration, who string) (due []Due, expired int, err error) {
	var rows []struct {
		ID        int64        `db:"id"`
		Key       string       `db:"key"`
		To        phone.Number `db:"to_msisdn"`
		Lang      string       `db:"lang"`
		Body      string       `db:"body"`
		Priority  int          `db:"priority"`
		ExpiresAt *time.Time   `db:"expires_at"`
		Attempts  int          `db:"attempts"`
		Doubts    int          `db:"doubts"`
		CreatedAt time.Time    `db:"created_at"`
		Status    string       `db:"status"`
	}
	var until time.Time
	for more := true; more && len(rows) == 0; {
		err = pool.InTx(ctx, func(tx *db.Tx) error {
			unpacked, err := Unpack(ctx, tx)
			if err != nil {
				return err
			}
			rows, until, more = nil, tx.Now.Add(lease), unpacked >= unpackAtOnce
			return tx.Select(ctx, &rows, sqlLease, tx.Now, n, until, who, turns)
		})
		if err != nil {
			return nil, 0, fmt.Errorf("outbox: lease: %w", err)
		}
	}
	for _, r := range rows {
		if r.Status == "expired" {
			expired++
			continue
		}
		due = append(due, Due{
			Notice:   Notice{Key: r.Key, To: r.To, Lang: r.Lang, Body: r.Body, Priority: r.Priority, Expires: instant(r.ExpiresAt)},
			ID:       r.ID,
			Attempts: r.Attempts,
			Doubts:   r.Doubts,
			Created:  r.CreatedAt.UTC(),
			Until:    until,
			holder:   who,
		})
	}
	slices.SortFunc(due, func(a, b Due) int { // "returning" has no order
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.ID, b.ID))
	})
	return due, expired, nil
}

// Each of these repeats harmlessly, so that a holder whose commit got no
// answer asks again; and none touches a notice that somebody else has leased
// since, because that raised attempts.
const (
	sqlHeld = ` where id = $1 and attempts = $2 and leased_by = $3 and status in ('sending', `
	sqlDone = `update notice set status = 'sent', sent_at = $4, gateway = $5, provider_id = $6, error = null` +
		sqlHeld + `'sent')`
	// An expiring notice is looked at again when it expires at the latest, so
	// that it does not stand in the way of younger ones.
	sqlRetry = `update notice set status = 'queued', gateway = $5, error = $6, doubts = $7, next_try_at = least($4, expires_at)` +
		sqlHeld + `'queued')`
	sqlFail = `update notice set status = 'failed', gateway = $4, error = $5` +
		sqlHeld + `'failed')`
)

// Done notes that a gateway took the notice under an id of its own (may be
// empty). ErrLost: the lease had run out, and the notice may be sent again.
func Done(ctx context.Context, pool *db.Pool, d Due, gateway, providerID string) error {
	return note(ctx, pool, "done", sqlDone, d, pool.Now(), clean(gateway), clean(providerID))
}

// Retry puts the notice back, to be tried again at an instant. doubt says that
// it may have gone out after all.
func Retry(ctx context.Context, pool *db.Pool, d Due, at time.Time, gateway, why string, doubt bool) error {
	doubts := d.Doubts
	if doubt {
		doubts++
	}
	return note(ctx, pool, "retry", sqlRetry, d, at, clean(gateway), clean(why), doubts)
}

// Fail gives the notice up.
func Fail(ctx context.Context, pool *db.Pool, d Due, gateway, why string) error {
	return note(ctx, pool, "fail", sqlFail, d, clean(gateway), clean(why))
}

func note(ctx context.Context, pool *db.Pool, verb, query string, d Due, args ...any) error {
	err := pool.InTx(ctx, func(tx *db.Tx) error {
		touched, err := tx.Exec(ctx, query, append([]any{d.ID, d.Attempts, d.holder}, args...)...)
		if err == nil && touched == 0 {
			return ErrLost
		}
		return err
	})
	if err != nil && !errors.Is(err, ErrLost) {
		return fmt.Errorf("outbox: %s: %w", verb, err)
	}
	return err
}

// clean makes what came from a gateway storable and short.
func clean(s string) string {
	const most = 200
	s = strings.ReplaceAll(s, "\x00", "?")
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "?")
}

func instant(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
