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
)

// ErrLost says that a lease ran out and somebody else holds the notice now:
// what was to be noted about it is not.
var ErrLost = errors.New("outbox: the lease was lost")

// Outcome is what became of one attempt.
type Outcome struct {
	due                      Due
	status                   string
	gateway, providerID, why string
	doubts                   int
	at                       time.Time // queued: not before
}

// Sent says that a gateway took the notice under an id of its own (may be empty).
// doubts is how often it may have gone out in this attempt beside that.
func (d Due) Sent(gateway, providerID string, doubts int) Outcome {
	return Outcome{due: d, status: "sent", gateway: gateway, providerID: providerID, doubts: d.Doubts + doubts}
}

// Again puts the notice back, to be tried again at an instant.
func (d Due) Again(at time.Time, gateway, why string, doubts int) Outcome {
	return Outcome{due: d, status: "queued", gateway: gateway, why: why, doubts: d.Doubts + doubts, at: at}
}

// GivenUp says that the notice is not tried again.
func (d Due) GivenUp(gateway, why string, doubts int) Outcome {
	return Outcome{due: d, status: "failed", gateway: gateway, why: why, doubts: d.Doubts + doubts}
}

// settled tells an attempt in doubt that its gateway has reported on in the
// meantime (sqlSettle): it was sent.
const settled = `(o.status <> 'sent' and o.doubts > n.doubts and n.provider_id is not null)`

// It repeats harmlessly, so that a holder whose commit got no answer asks again;
// and it touches no notice that somebody else has leased since, because that
// raised attempts. An expiring notice is looked at again when it expires at the
// latest, so that it does not stand in the way of younger ones.
const sqlNote = `
update notice n set
    status      = case when ` + settled + ` then 'sent' else o.status end,
    gateway     = case when ` + settled + ` then n.gateway else nullif(o.gateway, '') end,
    error       = case when ` + settled + ` then null else nullif(o.error, '') end,
    doubts      = o.doubts,
    provider_id = case when o.status = 'sent' then nullif(o.provider_id, '') else n.provider_id end,
    sent_at     = case when ` + settled + ` or o.status = 'sent' then $1 else n.sent_at end,
    next_try_at = case when o.status = 'queued' then least(o.at, n.expires_at) else n.next_try_at end
from unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::text[]::timestamptz[])
     as o (id, attempts, holder, status, gateway, provider_id, error, doubts, at)
where n.id = o.id and n.attempts = o.attempts and n.leased_by = o.holder and n.status in ('sending', o.status)
returning n.id`

// Note writes down what became of any number of notices, in one commit. For each
// whose lease was lost in the meantime, lost is ErrLost in its place.
func Note(ctx context.Context, pool *db.Pool, outcomes []Outcome) (lost []error, err error) {
	sorted := slices.Clone(outcomes) // two relays lock in one order
	slices.SortFunc(sorted, func(a, b Outcome) int { return cmp.Compare(a.due.ID, b.due.ID) })
	var ids, attempts, doubts []int64
	var holders, statuses, gateways, providers, errs, ats []string
	for _, o := range sorted {
		ids, attempts, doubts = append(ids, o.due.ID), append(attempts, int64(o.due.Attempts)), append(doubts, int64(o.doubts))
		holders, statuses, gateways = append(holders, o.due.holder), append(statuses, o.status), append(gateways, clean(o.gateway))
		providers, errs = append(providers, clean(o.providerID)), append(errs, clean(o.why))
		ats = append(ats, o.at.UTC().Format(time.RFC3339Nano))
	}
	var noted []int64
	err = pool.InTxPrepared(ctx, func(tx *db.Tx) error {
		noted = nil
		return tx.Select(ctx, &noted, sqlNote, tx.Now, db.Array(ids), db.Array(attempts), db.Array(holders), db.Array(statuses),
			db.Array(gateways), db.Array(providers), db.Array(errs), db.Array(doubts), db.Array(ats))
	})
	if err != nil {
		return nil, fmt.Errorf("outbox: note: %w", err)
	}
	lost = make([]error, len(outcomes))
	for i, o := range outcomes {
		if !slices.Contains(noted, o.due.ID) {
			lost[i] = ErrLost
		}
	}
	return lost, nil
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
