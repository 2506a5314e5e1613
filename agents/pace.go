package agents

import (
	"context"
	"fmt"
	"time"

	"tuma/accounts"
	"tuma/internal/db"
)

const sqlPace = `
insert into till_pace (till, rule, slot, n) values ($1, $2, $3, 1)
on conflict (till, rule) do update set slot = excluded.slot, n = case when till_pace.slot = excluded.slot then till_pace.n + 1 else 1 end
returning n`

// pace counts what a till pays out or takes in, after the posting: it stops
// nothing, and an error of it is nobody's. The entry that goes over the rule's
// number is noted, so once in the rule's time.
func (s *Service) pace(ctx context.Context, t Till, rule, ref string) {
	b, on := s.accounts.Brakes().On(rule)
	if !on {
		return
	}
	var n int
	err := s.pool.InTxLazily(ctx, func(tx *db.Tx) error {
		return tx.Get(ctx, &n, sqlPace, t.Number, rule, tx.Now.UnixNano()/int64(max(b.Within, time.Minute)))
	})
	if err == nil && n == b.Most+1 {
		s.noteTill(ctx, t, rule, ref, fmt.Sprintf("more than %d within %v", b.Most, b.Within))
	}
}

func (s *Service) noteTill(ctx context.Context, t Till, rule, ref, detail string) {
	s.accounts.NoteBrake(ctx, accounts.BrakeEvent{Rule: rule, Subject: "till:" + t.Number, Ref: ref, Detail: detail})
}
