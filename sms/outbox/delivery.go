package outbox

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tuma/internal/db"
)

// State is how far a message has got, as its gateway reports it. A state only
// goes up: whatever is doubled, late or out of order, the same reports end in the
// same state. Delivered is the highest, because a phone that has the message
// cannot be made not to have it; networks do report a failure first and a
// success later, when the phone is switched on.
type State int

// The states of a delivery.
const (
	OnItsWay  State = 1
	Failed    State = 2
	Delivered State = 3
)

// String is the state's word.
func (s State) String() string {
	return map[State]string{OnItsWay: "on its way", Failed: "undelivered", Delivered: "delivered"}[s]
}

// Report is what a gateway says about a message that it has taken.
type Report struct {
	Gateway string // its Name
	ID      string // under which it took it
	Ref     string // Due.Ref of the attempt, where the gateway gives it back; may be empty
	State   State
	Code    string // why it failed, in the gateway's own words; no number, no text
}

// ErrBadReport says that a report is none: it would be no other at another try.
var ErrBadReport = errors.New("outbox: this is no delivery report")

const (
	sqlReport = `
insert into delivery (gateway, provider_id, state, code, at) values ($1, $2, $3, nullif($4, ''), $5)
on conflict (gateway, provider_id) do update set state = excluded.state, code = excluded.code, at = excluded.at
where delivery.state < excluded.state`
	// The gateway took an attempt whose answer we never got: it is not sent again.
	// Of one that is still under way it is only noted, until the attempt is found
	// to be in doubt.
	sqlSettle = `
update notice set
    status      = case when status = 'sending' then status else 'sent' end,
    error       = case when status = 'sending' then error end,
    sent_at     = case when status = 'sending' then sent_at else $4 end,
    gateway     = $2,
    provider_id = $3
where id = $1 and (status in ('queued', 'failed') and doubts > 0 or status = 'sending' and next_try_at = $5)`
)

// Deliver notes a report. One that is repeated, or older than what is known,
// changes nothing. When it is about an attempt whose outcome is or becomes unknown,
// the doubt is over: it was sent, and it is not tried again.
func Deliver(ctx context.Context, pool *db.Pool, r Report) error {
	if r.Gateway == "" || r.ID == "" || r.ID != clean(r.ID) || r.State < OnItsWay || r.State > Delivered {
		return ErrBadReport
	}
	notice, until := attemptOf(r.Ref)
	err := pool.InTx(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(ctx, sqlReport, r.Gateway, r.ID, int(r.State), clean(r.Code), tx.Now); err != nil || notice == 0 {
			return err
		}
		_, err := tx.Exec(ctx, sqlSettle, notice, r.Gateway, r.ID, tx.Now, until)
		return err
	})
	if err != nil {
		return fmt.Errorf("outbox: deliver: %w", err)
	}
	return nil
}

// Ref names this attempt, and no other: for gateways that have no id of their
// own, and to know an attempt again whose answer was lost.
func (d Due) Ref() string { return fmt.Sprintf("%d-%d", d.ID, d.Until.UnixMicro()) }

// attemptOf is the notice that a Ref names, and when that attempt's lease ends; 0: it is none.
func attemptOf(ref string) (int64, time.Time) {
	id, until, ok := strings.Cut(ref, "-")
	n, err1 := strconv.ParseInt(id, 10, 64)
	micros, err2 := strconv.ParseInt(until, 10, 64)
	if !ok || err1 != nil || err2 != nil || micros < 0 || micros > 1<<52 {
		return 0, time.Time{}
	}
	return n, time.UnixMicro(micros).UTC()
}
