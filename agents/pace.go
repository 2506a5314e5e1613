package agents

import (
	"context"
	"fmt"
	"time"

	"tuma/accounts"
	"tuma/internal/db"
)

// A till that has worked for so many times of a rule (hours, days) is measured by
// what is usual for it, a new one by the rule's number.
const (
	knownTimes  = 8
	manyTimes   = 3 // as often as usual is no accident
	leastOfMost = 4 // part of the rule's number below which nothing is seen
)

// The mean forgets slowly: seven parts of what was, one of the time that is over.
const sqlPace = `
insert into till_pace (till, rule, slot, n) values ($1, $2, $3, 1)
on conflict (till, rule) do update set slot = excluded.slot, n = case when till_pace.slot = excluded.slot then till_pace.n + 1 else 1 end,
    times = till_pace.times + case when till_pace.slot = excluded.slot then 0 else 1 end,
    usual = case when till_pace.slot = excluded.slot then till_pace.usual when till_pace.times = 0 then till_pace.n * 100 else (till_pace.usual * 7 + till_pace.n * 100) / 8 end
returning n, usual, times`

// tillPace is how often a till has done something in the rule's time, in all such
// times before in which it did, on the average, in hundredths, and how many these
// were.
type tillPace struct {
	N     int `db:"n"`
	Usual int `db:"usual"`
	Times int `db:"times"`
}

// most is what is not out of the way for the till.
func (p tillPace) most(rule int) int {
	if p.Times < knownTimes {
		return rule
	}
	return max(rule/leastOfMost, manyTimes*p.Usual/100)
}

// pace counts what a till does, after the posting: it stops nothing, and an error
// of it is nobody's. The entry that goes over what is usual is noted, so once in
// the rule's time.
func (s *Service) pace(ctx context.Context, t Till, rule, ref string) {
	b, on := s.accounts.Brakes().On(rule)
	if !on {
		return
	}
	var p tillPace
	err := s.pool.InTxLazily(ctx, func(tx *db.Tx) error {
		return tx.Get(ctx, &p, sqlPace, t.Number, rule, tx.Now.UnixNano()/int64(max(b.Within, time.Minute)))
	})
	if most := p.most(b.Most); err == nil && p.N == most+1 {
		s.noteTill(ctx, t, rule, ref, fmt.Sprintf("more than %d within %v", most, b.Within))
	}
}

func (s *Service) noteTill(ctx context.Context, t Till, rule, ref, detail string) {
	s.accounts.NoteBrake(ctx, accounts.BrakeEvent{Rule: rule, Subject: "till:" + t.Number, Ref: ref, Detail: detail})
}
