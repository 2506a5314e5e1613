package outbox

import (
	"context"
	"fmt"
	"time"

	"tuma/internal/db"
)

// maxLot is the most notices in one lot: the step of the sequence notice_id,
// since a lot takes as many ids.
const maxLot = 4096

// Lot is notices that are owed together, checked and ready to be written. The
// zero Lot owes nothing.
type Lot struct {
	keys, tos, langs, bodies, expires []string
	priorities                        []int64
	expiring                          bool // any of them
}

// Pack makes a lot of notices, in the order of the list. An error means a
// notice that no caller should have made, or too many.
func Pack(notices []Notice) (Lot, error) {
	if len(notices) > maxLot {
		return Lot{}, fmt.Errorf("outbox: %d notices are too many for a lot", len(notices))
	}
	return pack(notices)
}

func pack(notices []Notice) (Lot, error) {
	n := len(notices)
	l := Lot{
		keys: make([]string, n), tos: make([]string, n), langs: make([]string, n), bodies: make([]string, n), expires: make([]string, n),
		priorities: make([]int64, n),
	}
	for i, n := range notices {
		if err := n.check(); err != nil {
			return Lot{}, err
		}
		l.keys[i], l.tos[i], l.langs[i], l.bodies[i], l.priorities[i] = n.Key, string(n.To), n.Lang, n.Body, int64(n.Priority)
		l.expires[i] = "infinity"
		if !n.Expires.IsZero() {
			l.expires[i], l.expiring = n.Expires.UTC().Format(time.RFC3339Nano), true
		}
	}
	return l, nil
}

// columns are the lists as arguments of a query.
func (l Lot) columns() []any {
	var expires any
	if l.expiring {
		expires = db.Array(l.expires)
	}
	return []any{db.Array(l.keys), db.Array(l.tos), db.Array(l.langs), db.Array(l.bodies), db.Array(l.priorities), expires}
}

const (
	sqlWrite = `
insert into owed (at, keys, tos, langs, bodies, priorities, expires)
values ($1, $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[]::smallint[], $7::text[]::timestamptz[])`
	// One relay unpacks at a time, so that lots come out in their order; another
	// goes on with what is there.
	sqlTurn = `select exists (select from owed) and pg_try_advisory_xact_lock($1)`
	// Whole lots, the oldest first, until there are $1 notices or more.
	sqlUnpack = `
with last as materialized (
    select max(id) as id from (select o.id from owed o, unnest(o.keys) order by o.id limit $1) notice
), lot as (
    delete from owed where id <= (select id from last) returning *
)
insert into notice (id, key, once, to_msisdn, lang, body, priority, created_at, next_try_at, expires_at)
select lot.id + n.place - 1, n.key, false, n.to_msisdn, n.lang, n.body, n.priority, lot.at, lot.at, nullif(n.expires, 'infinity')
from lot, unnest(lot.keys, lot.tos, lot.langs, lot.bodies, lot.priorities, lot.expires)
     with ordinality as n (key, to_msisdn, lang, body, priority, expires, place)`
)

// Write adds a lot that something in the same transaction owes exactly once: an
// entry of the book. It is one row, whatever the lot holds.
func (l Lot) Write(ctx context.Context, tx *db.Tx) error {
	if len(l.keys) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, sqlWrite, append([]any{tx.Now}, l.columns()...)...); err != nil {
		return fmt.Errorf("outbox: write: %w", err)
	}
	return nil
}

// Carry is Write for whoever sends another statement that can carry this one.
func (l Lot) Carry(tx *db.Tx) {
	if len(l.keys) > 0 {
		tx.Carry(sqlWrite, append([]any{tx.Now}, l.columns()...)...)
	}
}

// unpackAtOnce bounds what one transaction unpacks, give or take a lot: a code
// waits no longer than that takes, however much is owed before it.
const unpackAtOnce = 5000

// turnLock is the advisory lock of whoever unpacks.
const turnLock = 3340003

// Unpack makes notices of the oldest lots and says how many; fewer than
// unpackAtOnce: no more were owed when it looked, or another relay is at it.
func Unpack(ctx context.Context, tx *db.Tx) (notices int64, err error) {
	var mine bool
	if err := tx.Get(ctx, &mine, sqlTurn, turnLock); err != nil {
		return 0, fmt.Errorf("outbox: unpack: %w", err)
	}
	if !mine {
		return 0, nil
	}
	notices, err = tx.Exec(ctx, sqlUnpack, unpackAtOnce)
	if err != nil {
		return 0, fmt.Errorf("outbox: unpack: %w", err)
	}
	return notices, nil
}
