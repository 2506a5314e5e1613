package outbox

import (
	"cmp"
	"context"
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
	Gateway  string   // of the last attempt that ended; "": none has
	OptedOut []string // gateways that may not send to this recipient
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
      and ($6::text[] is null or (
        select open from unnest($6::text[], $7::boolean[]) as p (prefix, open)
        where starts_with(n.to_msisdn, prefix) order by length(prefix) desc limit 1))
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
    status      = case when status = 'sending' and provider_id is not null then 'sent' when expires_at <= $1 then 'expired' else 'sending' end,
    sent_at     = case when status = 'sending' and provider_id is not null then $1 end,
    attempts    = attempts + (expires_at is null or expires_at > $1)::int,
    next_try_at = $3,
    leased_by   = $4
from due where n.id = due.id
returning n.id, n.key, n.to_msisdn, n.lang, n.body, n.priority, n.expires_at, n.attempts, n.doubts, n.created_at, n.status,
    coalesce(n.gateway, '') as gateway,
    coalesce((select string_agg(o.gateway, ',' order by o.gateway) from opted_out o where o.msisdn = n.to_msisdn), '') as opted_out`

// turns is the attempt from which on a notice keeps no younger one waiting: one
// that fails for days, because something about it upsets the gateway, must not
// cost its recipient all the others. With the relay's usual back-off that is
// after two to four minutes.
const turns = 8

// Only restricts a lease to some recipients: those whose longest prefix among
// Prefixes is Open. A number without any is not leased.
type Only struct {
	Prefixes []string
	Open     []bool
}

// Lease takes up to n due notices for the given time, in the order in which
// they should be sent, on behalf of who (a name for one running relay). At
// most one of a recipient is among them, codes apart. Notices that have
// expired are put aside on the way and only counted. A nil only is everybody;
// else those who are left out cost a look at each of their due notices.
//
// Lots are unpacked first, unpackAtOnce notices or so, and more of them only when
// nothing was due: of a long queue of lots the newest are not looked at yet, and
// wait for their turn whatever their priority.
func Lease(ctx context.Context, pool *db.Pool, n int, lease time.Duration, who string, only *Only) (due []Due, expired int, err error) {
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
		Gateway   string       `db:"gateway"`
		OptedOut  string       `db:"opted_out"`
	}
	var prefixes, open any
	if only != nil {
		prefixes, open = db.Array(only.Prefixes), db.Array(only.Open)
	}
	var until time.Time
	for more := true; more && len(rows) == 0; {
		err = pool.InTxPrepared(ctx, func(tx *db.Tx) error {
			unpacked, err := Unpack(ctx, tx)
			if err != nil {
				return err
			}
			rows, until, more = nil, tx.Now.Add(lease), unpacked >= unpackAtOnce
			return tx.Select(ctx, &rows, sqlLease, tx.Now, n, until, who, turns, prefixes, open)
		})
		if err != nil {
			return nil, 0, fmt.Errorf("outbox: lease: %w", err)
		}
	}
	for _, r := range rows {
		switch r.Status {
		case "expired":
			expired++
			continue
		case "sent": // its holder died over it, but the gateway has reported that it took it
			continue
		}
		due = append(due, Due{
			Notice:   Notice{Key: r.Key, To: r.To, Lang: r.Lang, Body: r.Body, Priority: r.Priority, Expires: instant(r.ExpiresAt)},
			ID:       r.ID,
			Attempts: r.Attempts,
			Doubts:   r.Doubts,
			Created:  r.CreatedAt.UTC(),
			Until:    until,
			Gateway:  r.Gateway,
			OptedOut: strings.FieldsFunc(r.OptedOut, func(c rune) bool { return c == ',' }),
			holder:   who,
		})
	}
	slices.SortFunc(due, func(a, b Due) int { // "returning" has no order
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.ID, b.ID))
	})
	return due, expired, nil
}

func instant(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
