// Package outbox holds the notices: the SMS that we owe somebody. What owes
// notices writes them in its own commit, so neither can be without the other:
// as one lot (Pack, Lot.Write), which is cheap, or, where no entry says that they
// are owed once, as notices whose keys do (WriteOnce). A relay unpacks the lots,
// leases what is due, sends it and says what became of each (Lease, Note).
// What gateways report later is beside it (Deliver, OptOut), and what never
// arrived can be sent again (DeadSince, Resend).
//
// It knows no gateway and no wording, and it never decides whether to try
// again: that is the relay's.
package outbox

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"tuma/internal/db"
	"tuma/internal/phone"
)

// Channel is the NOTIFY channel on which Wake reaches the relays.
const Channel = "notice"

// Priorities: the more urgent notice overtakes the others.
const (
	Code    = 0 // somebody waits for it with the phone in hand
	Receipt = 1 // money moved
	Rest    = 2
)

// Limits on a notice, in bytes and characters. 1,600 characters is
// the most that gateways accept in one message.
const (
	maxKey  = 120
	maxBody = 1600
)

// Notice is one SMS that we owe somebody.
type Notice struct {
	Key        string // unique: what owes it, "<receipt>:payer"
	To         phone.Number
	Lang, Body string    // the body as the phone will show it
	Priority   int       // Code, Receipt or Rest
	Expires    time.Time // not sent from then on; zero: never
}

// check finds what the database would refuse, before it does: a refusal there
// would abort the transaction that moves the money. The error names the key,
// never the body.
func (n Notice) check() error {
	switch {
	case n.Key == "" || len(n.Key) > maxKey || !storable(n.Key):
		return fmt.Errorf("outbox: notice %.120q: bad key", n.Key)
	case n.To == "":
		return fmt.Errorf("outbox: notice %q: no recipient", n.Key)
	case n.Body == "" || !storable(n.Body) || utf8.RuneCountInString(n.Body) > maxBody:
		return fmt.Errorf("outbox: notice %q: body is empty, too long or not text", n.Key)
	case !storable(n.Lang):
		return fmt.Errorf("outbox: notice %q: bad language", n.Key)
	case n.Priority < Code || n.Priority > Rest:
		return fmt.Errorf("outbox: notice %q: no priority %d", n.Key, n.Priority)
	}
	return nil
}

// storable tells whether Postgres takes s as text.
func storable(s string) bool {
	return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}

// One round trip for any number of notices, in the order of the list.
const (
	sqlWriteOnce = `
insert into notice (key, once, to_msisdn, lang, body, priority, created_at, next_try_at, expires_at)
select key, true, to_msisdn, lang, body, priority, $1, $1, nullif(expires, 'infinity')
from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[]::timestamptz[])
     with ordinality as n (key, to_msisdn, lang, body, priority, expires, place)
order by place
on conflict (key) where once do nothing`
	sqlWake = `select pg_notify($1, ''), set_config('synchronous_commit', 'off', true)`
)

// Wake tells the relays that there is something to send; without it they look
// once a second. It is no part of the transaction that owes the notices: there
// it would make all commits wait for each other. A wake-up that a crash loses is
// made up for by the relay's own looking, so it does not wait for the disk.
func Wake(ctx context.Context, pool *db.Pool) error {
	err := pool.InTxPrepared(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecLast(ctx, sqlWake, Channel)
		return err
	})
	if err != nil {
		return fmt.Errorf("outbox: wake: %w", err)
	}
	return nil
}

// WriteOnce adds notices whose Key decides: one that is there already, or twice
// in the list, is left as it was first. They are in no lot, so
// one may overtake what is still packed.
func WriteOnce(ctx context.Context, tx *db.Tx, notices []Notice) error {
	l, err := pack(notices)
	if err != nil || len(notices) == 0 {
		return err
	}
	if _, err := tx.Exec(ctx, sqlWriteOnce, append([]any{tx.Now}, l.columns()...)...); err != nil {
		return fmt.Errorf("outbox: write: %w", err)
	}
	return nil
}
