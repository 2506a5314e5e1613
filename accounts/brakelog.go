package accounts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tuma/internal/db"
)

// BrakeEvent is something that a rule has stopped or noticed.
type BrakeEvent struct {
	ID      int64     `db:"id"`
	At      time.Time `db:"at"`
	Rule    string    `db:"rule"`
	Outcome string    `db:"outcome"`
	Subject string    `db:"subject"` // customer:12, phone:+2547.., till:100101
	Ref     string    `db:"ref"`     // of the entry that was asked for; "": told once in the rule's time
	Detail  string    `db:"detail"`

	// What a member of staff made of it, all empty before.
	Word       string       `db:"word"` // BrakeFine, BrakeFraud, BrakeReleased
	By         string       `db:"by"`
	Note       string       `db:"note"`
	ReviewedAt sql.NullTime `db:"reviewed_at"`
}

// What staff may say about an event.
const (
	BrakeFine     = "fine"     // it was honest
	BrakeFraud    = "fraud"    // it was what the rule says
	BrakeReleased = "released" // it was honest, and what holds payments back has been taken away
)

const sqlNewBrakeEvent = `
insert into brake_event (id, key, at, rule, outcome, subject, ref, detail) values (nextval('brake_event_id'), $1, $2, $3, $4, $5, $6, $7)
on conflict (key) do nothing`

// NoteBrake writes down what a rule has done, once for each ref, or for each
// subject in the rule's time; its outcome is the rule's when none is given. That
// it cannot be written stops nobody.
func (s *Service) NoteBrake(ctx context.Context, e BrakeEvent) {
	rule, on := s.brakes.On(e.Rule)
	if !on {
		return
	}
	if e.Outcome == "" {
		e.Outcome = rule.Outcome
	}
	ctx = context.WithoutCancel(ctx)
	var n int64
	err := s.pool.InTxLazily(ctx, func(tx *db.Tx) (err error) {
		key := e.Rule + ":" + e.Ref
		if e.Ref == "" {
			key = fmt.Sprintf("%s:%s:%d", e.Rule, e.Subject, tx.Now.UnixNano()/int64(max(rule.Within, time.Minute)))
		}
		n, err = tx.Exec(ctx, sqlNewBrakeEvent, key, tx.Now, e.Rule, e.Outcome, e.Subject, e.Ref, e.Detail)
		return err
	})
	if err != nil {
		s.log.WarnContext(ctx, "a brake's event was not written", "rule", e.Rule, "outcome", e.Outcome, "error", err)
	}
	if (n > 0 || err != nil) && s.braked != nil {
		s.braked(e.Rule, e.Outcome)
	}
}

// BrakeFind says which events are wanted; what is empty does not matter.
type BrakeFind struct {
	Rule, Outcome, Subject string
	Open                   bool      // only those that nobody has looked at
	Since, Until           time.Time // from the first on, before the second
	Before                 int64     // an event: only what is older
	Limit                  int
}

const (
	sqlBrakeEvent = `
select e.id, e.at, e.rule, e.outcome, e.subject, e.ref, e.detail,
    coalesce(r.word, '') as word, coalesce(r.by, '') as by, coalesce(r.note, '') as note, r.at as reviewed_at
from brake_event e left join brake_review r on r.event = e.id `
	sqlBrakeEvents = sqlBrakeEvent + `
where ($1 = '' or e.rule = $1) and ($2 = '' or e.outcome = $2) and ($3 = '' or e.subject = $3) and (not $4 or r.event is null)
  and ($5::timestamptz is null or e.at >= $5) and ($6::timestamptz is null or e.at < $6) and ($7::bigint = 0 or e.id < $7)
order by e.id desc limit $8`
	sqlBrakeByID   = sqlBrakeEvent + `where e.id = $1`
	sqlBrakeCounts = `select rule, outcome, count(*) as n from brake_event where at >= $1 group by rule, outcome`
)

// BrakeEvents are what rules have done, newest first.
func (s *Service) BrakeEvents(ctx context.Context, f BrakeFind) (list []BrakeEvent, err error) {
	bound := func(at time.Time) sql.NullTime { return sql.NullTime{Time: at, Valid: !at.IsZero()} }
	if err = s.pool.Select(ctx, &list, sqlBrakeEvents, f.Rule, f.Outcome, f.Subject, f.Open, bound(f.Since), bound(f.Until), f.Before, f.Limit); err != nil {
		err = fmt.Errorf("accounts: events of brakes: %w", err)
	}
	return list, err
}

// ErrNoBrakeEvent says that there is no such event.
var ErrNoBrakeEvent = errors.New("accounts: there is no such event of a brake")

// BrakeEventByID is one event; ErrNoBrakeEvent.
func (s *Service) BrakeEventByID(ctx context.Context, id int64) (e BrakeEvent, err error) {
	switch err = s.pool.Get(ctx, &e, sqlBrakeByID, id); {
	case errors.Is(err, sql.ErrNoRows):
		err = ErrNoBrakeEvent
	case err != nil:
		err = fmt.Errorf("accounts: event of a brake: %w", err)
	}
	return e, err
}

// lookedFor is how long an alert waits to be looked at before it is given up.
const lookedFor = 7 * 24 * time.Hour

const sqlBrakesWaiting = `
select count(*) as n, coalesce(min(at), $1) as oldest from brake_event e
where outcome = 'alert' and at >= $1 and not exists (select from brake_review r where r.event = e.id)`

// BrakesWaiting is how many alerts of a week nobody has looked at, and when the
// oldest of them was; the zero time when there is none.
func (s *Service) BrakesWaiting(ctx context.Context) (n int64, oldest time.Time, err error) {
	var w struct {
		N      int64     `db:"n"`
		Oldest time.Time `db:"oldest"`
	}
	if err := s.pool.Get(ctx, &w, sqlBrakesWaiting, s.pool.Now().Add(-lookedFor)); err != nil {
		return 0, time.Time{}, fmt.Errorf("accounts: alerts of brakes: %w", err)
	}
	if w.N == 0 {
		return 0, time.Time{}, nil
	}
	return w.N, w.Oldest, nil
}

const sqlReviewBrake = `insert into brake_review (event, at, by, word, note) values ($1, $2, $3, $4, $5) on conflict (event) do nothing`

// ReviewBrakeIn writes down, in the caller's transaction, what a member of staff
// makes of an event; false when somebody has before.
func (s *Service) ReviewBrakeIn(ctx context.Context, tx *db.Tx, id int64, by, word, note string) (first bool, err error) {
	n, err := tx.Exec(ctx, sqlReviewBrake, id, tx.Now, by, word, note)
	return n == 1, err
}

const (
	sqlReleaseSIM   = `update pin set moved_at = null where id = (select pin from customer where id = $1) and moved_at <= $2`
	sqlReleaseReset = `update pin set reset_at = null where id = (select pin from customer where id = $1) and reset_at <= $2`
)

// Held tells whether an event is of a rule that holds a customer's payments back
// until its time is over.
func (e BrakeEvent) Held() bool {
	return e.Outcome == BrakeRefuse && (e.Rule == "sim_swap" || e.Rule == "pin_reset")
}

// ReleaseIn ends, in the caller's transaction, what an event says is held; false
// when there is nothing of it any more, or a later change has its own.
func (s *Service) ReleaseIn(ctx context.Context, tx *db.Tx, e BrakeEvent) (bool, error) {
	var customer int64
	if _, err := fmt.Sscanf(e.Subject, "customer:%d", &customer); err != nil || !e.Held() {
		return false, nil
	}
	query := sqlReleaseSIM
	if e.Rule == "pin_reset" {
		query = sqlReleaseReset
	}
	n, err := tx.Exec(ctx, query, customer, e.At)
	return n == 1, err
}

// BrakeCount is how often a rule has done something.
type BrakeCount struct {
	Rule    string `db:"rule"`
	Outcome string `db:"outcome"`
	N       int64  `db:"n"`
}

// BrakeCounts counts events since an instant.
func (s *Service) BrakeCounts(ctx context.Context, since time.Time) (list []BrakeCount, err error) {
	if err = s.pool.Select(ctx, &list, sqlBrakeCounts, since); err != nil {
		err = fmt.Errorf("accounts: counts of brakes: %w", err)
	}
	return list, err
}
