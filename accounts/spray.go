package accounts

import (
	"context"
	"time"

	"tuma/internal/db"
)

// One popular PIN tried on thousands of numbers never locks one of them. So the
// wrong ones of all are counted, in the transaction that counts the try, whatever
// way in they came by and whichever process took them.

const (
	quietAfter  = 30 * 24 * time.Hour // a PIN that has not been right for so long
	wrongShards = 8
)

func minute(at time.Time) int64 { return at.Unix() / 60 }

// pausedError has a try undone that was not to be made.
type pausedError struct{ rule string }

func (e pausedError) Error() string { return "accounts: no PIN is tried now: " + e.rule }

// sprayed tells whether so many PINs were wrong in this minute that this one is
// not tried. PINs that have not been right for long come first: one whose owner
// pays is far more often mistyped than guessed.
func (p *PINs) sprayed(r triedRow) (noticed string, err error) {
	for _, x := range []struct {
		rule  string
		wrong int
		about bool
	}{{"pin_spray_quiet", r.WrongQuiet, r.Quiet}, {"pin_spray", r.Wrong, true}} {
		b, on := p.brakes.On(x.rule)
		switch {
		case !on || !x.about || x.wrong < b.Most:
		case b.Outcome == BrakeRefuse:
			return "", pausedError{x.rule}
		default:
			noticed = x.rule
		}
	}
	return noticed, nil
}

const sqlWrongPIN = `
insert into wrong_pin (slot, quiet, shard, minute, n) values ($1 % 4, $2, $3, $1, 1)
on conflict (slot, quiet, shard) do update set minute = greatest(wrong_pin.minute, excluded.minute),
    n = case when excluded.minute > wrong_pin.minute then 1 else wrong_pin.n + 1 end`

func (p *PINs) countWrong(ctx context.Context, tx *db.Tx, id PINID, quiet bool) error {
	if len(p.brakes) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, sqlWrongPIN, minute(tx.Now), quiet, int64(id)%wrongShards)
	return err
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
