package accounts

import (
	"context"
	"fmt"
	"time"

	"tuma/internal/db"
)

// One popular PIN tried on thousands of numbers never locks one of them, and
// nothing is kept by which PINs of two wallets could be compared: with ten
// thousand values, whatever compares them gives them away. What can be known is
// how it goes on. Who mistypes gives the right PIN a moment later; who tries one
// PIN on many numbers leaves each wallet with a wrong one. So what becomes of PINs
// is counted over all customers, in the transaction of the try, whatever way in
// they came by and whichever process took them, and measured by what is usual.

const (
	quietAfter = 30 * 24 * time.Hour // a PIN that has not been right for so long
	sameSlip   = 5 * time.Minute     // wrong PINs of a wallet, and the right one after them, that belong together
	pinShards  = 4
	pinMinutes = 64 // that are kept; at most 60 are what is usual
	usualFor   = 60 // minutes
	manyTimes  = 3  // as many as usual is no accident
	floodLeast = 200
	usualGiven = 500 // what a service without a past is taken to have seen: so many PINs,
	usualLeft  = 2   // and so many wallets left with a wrong one
	sprayAlert = "pin_spray"
	sprayQuiet = "pin_spray_quiet"
	sprayFlood = "pin_flood"
)

func minute(at time.Time) int64 { return at.Unix() / 60 }

// pausedError has a try undone that was not to be made.
type pausedError struct{ rule string }

func (e pausedError) Error() string { return "accounts: no PIN is tried now: " + e.rule }

// paused refuses a try while a rule says so. PINs that have not been right for
// long come first: one whose owner pays is far more often mistyped than guessed.
func (p *PINs) paused(r triedRow, now time.Time) error {
	for _, x := range []struct {
		rule  string
		until time.Time
		about bool
	}{{sprayQuiet, r.QuietUntil, r.Quiet}, {sprayFlood, r.FloodUntil, true}} {
		if b, on := p.brakes.On(x.rule); on && b.Outcome == BrakeRefuse && x.about && now.Before(x.until) {
			return pausedError{x.rule}
		}
	}
	return nil
}

const (
	sqlPINMinute = `
insert into pin_minute (slot, shard, minute, given, wrong, begun, made_good) values ($1 % 64, $2, $1, $3, $4, $5, $6)
on conflict (slot, shard) do update set minute = greatest(pin_minute.minute, excluded.minute),
    given     = case when excluded.minute > pin_minute.minute then 0 else pin_minute.given end + excluded.given,
    wrong     = case when excluded.minute > pin_minute.minute then 0 else pin_minute.wrong end + excluded.wrong,
    begun     = case when excluded.minute > pin_minute.minute then 0 else pin_minute.begun end + excluded.begun,
    made_good = case when excluded.minute > pin_minute.minute then 0 else pin_minute.made_good end + excluded.made_good`
	sqlWrongAt = `update pin set wrong_at = $2 where id = $1`
	sqlTries   = `
select coalesce(sum(given) filter (where minute >= $1), 0) as given, coalesce(sum(wrong) filter (where minute >= $1), 0) as wrong,
    coalesce(sum(begun - made_good) filter (where minute >= $1), 0) as still_wrong,
    coalesce(sum(given) filter (where minute < $1), 0) as usual_given,
    coalesce(sum(begun - made_good) filter (where minute < $1), 0) as usual_wrong
from pin_minute where minute >= $2`
	sqlPause = `
insert into pin_pause (rule, until) values ($1, $2)
on conflict (rule) do update set until = excluded.until where pin_pause.until < excluded.until`
)

// madeGood counts a right PIN that was given after wrong ones.
func (p *PINs) madeGood(ctx context.Context, tx *db.Tx, id PINID, r triedRow) error {
	if len(p.brakes) == 0 || r.Tries < 2 || tx.Now.Sub(r.WrongAt) >= sameSlip {
		return nil
	}
	_, err := tx.Exec(ctx, sqlPINMinute, minute(tx.Now), int64(id)%pinShards, 0, 0, 0, 1)
	return err
}

// wrong counts a wrong PIN, and asks the rules what all wrong ones together look
// like. The events are noted when the try is committed.
func (p *PINs) wrong(ctx context.Context, tx *db.Tx, id PINID, r triedRow) (events []BrakeEvent, err error) {
	if len(p.brakes) == 0 {
		return nil, nil
	}
	begun := 0
	if tx.Now.Sub(r.WrongAt) >= sameSlip {
		begun = 1
	}
	if _, err := tx.Exec(ctx, sqlWrongAt, int64(id), tx.Now); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, sqlPINMinute, minute(tx.Now), int64(id)%pinShards, 1+p.right.Swap(0), 1, begun, 0); err != nil {
		return nil, err
	}
	for _, rule := range []string{sprayAlert, sprayQuiet, sprayFlood} {
		b, on := p.brakes.On(rule)
		if !on {
			continue
		}
		said, err := p.looksLike(ctx, tx, b)
		if err != nil {
			return nil, err
		}
		if said == "" {
			continue
		}
		if b.Outcome == BrakeRefuse {
			// Until what was seen is older than the rule looks back.
			until := time.Unix((minute(tx.Now)+minutesOf(b)+1)*60, 0)
			if _, err := tx.Exec(ctx, sqlPause, rule, until); err != nil {
				return nil, err
			}
		}
		events = append(events, BrakeEvent{Rule: rule, Detail: said})
	}
	return events, nil
}

func minutesOf(b Brake) int64 { return min(int64(b.Within/time.Minute), pinMinutes-2) }

// tries is what became of PINs, in a rule's time and in the hour before it.
type tries struct {
	Given      int64 `db:"given"`
	Wrong      int64 `db:"wrong"`
	StillWrong int64 `db:"still_wrong"` // wallets
	UsualGiven int64 `db:"usual_given"`
	UsualWrong int64 `db:"usual_wrong"`
}

// looksLike says why a rule holds, "" when it does not. It looks at the minute
// that has begun and those of its time before.
func (p *PINs) looksLike(ctx context.Context, tx *db.Tx, b Brake) (string, error) {
	var t tries
	from := minute(tx.Now) - minutesOf(b)
	if err := tx.Get(ctx, &t, sqlTries, from, max(from-usualFor, minute(tx.Now)-pinMinutes+1)); err != nil {
		return "", err
	}
	if b.Rule == sprayFlood {
		if t.Wrong >= floodLeast && t.Wrong*100 > int64(b.Most)*t.Given {
			return fmt.Sprintf("%d of %d PINs were wrong within %v", t.Wrong, t.Given, b.Within), nil
		}
		return "", nil
	}
	usual := t.usual()
	if t.StillWrong < int64(b.Most) || t.StillWrong < manyTimes*usual {
		return "", nil
	}
	return fmt.Sprintf("%d wallets were left with a wrong PIN within %v, %d would be usual", t.StillWrong, b.Within, usual), nil
}

// usual is how many wallets would be left with a wrong PIN, of as many PINs as
// were given in the rule's time.
func (t tries) usual() int64 {
	return t.Given * (max(0, t.UsualWrong) + usualLeft) / (t.UsualGiven + usualGiven)
}

const sqlMovedAt = `select coalesce(moved_at, 'epoch') from pin where id = $1`

// held refuses what gives a new PIN, or new tries, to whoever holds a SIM that
// was changed a short while ago.
func (p *PINs) held(ctx context.Context, tx *db.Tx, id PINID) error {
	b, on := p.brakes.On("sim_swap")
	if !on || b.Outcome != BrakeRefuse {
		return nil
	}
	var at time.Time
	if err := tx.Get(ctx, &at, sqlMovedAt, int64(id)); err != nil {
		return err
	}
	if tx.Now.Sub(at) < b.Within {
		return Refuse("pin_held", "hours", hours(b.Within))
	}
	return nil
}
