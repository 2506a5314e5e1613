package sms

import (
	"context"
	"time"

	"tuma/sms/outbox"
)

// note is an outcome to be written, and whoever waits for that.
type note struct {
	ctx     context.Context // ends with the lease
	outcome outbox.Outcome
	written chan error // has room for one
}

// noteAtOnce is the most outcomes in one commit.
const noteAtOnce = 512

// noteAll writes outcomes until notes is closed: one commit takes all that wait,
// since each waits for the disk as long as one does.
func (r *Relay) noteAll(ctx context.Context, notes <-chan note) {
	ctx = context.WithoutCancel(ctx)
	for first := range notes {
		batch := []note{first}
		for more := true; more && len(batch) < noteAtOnce; {
			select {
			case n, ok := <-notes:
				if more = ok; ok {
					batch = append(batch, n)
				}
			default:
				more = false
			}
		}
		r.write(ctx, batch)
	}
}

// write writes a batch down, again and again until its leases end: an outcome
// that is not noted is an SMS sent twice.
func (r *Relay) write(ctx context.Context, batch []note) {
	for wait := 50 * time.Millisecond; len(batch) > 0; wait = min(2*wait, time.Second) {
		outcomes := make([]outbox.Outcome, len(batch))
		for i, n := range batch {
			outcomes[i] = n.outcome
		}
		lost, err := outbox.Note(ctx, r.o.Pool, outcomes)
		if err == nil {
			for i, n := range batch {
				n.written <- lost[i]
			}
			return
		}
		r.counters.dbErrors.Add(1)
		time.Sleep(wait)
		var rest []note
		for _, n := range batch {
			if n.ctx.Err() != nil {
				n.written <- err
				continue
			}
			rest = append(rest, n)
		}
		batch = rest
	}
}
