package main

import (
	"context"
	"errors"

	"tuma/internal/db"
)

// Faults that are planted to prove that the checks see them. A doubled retry is
// in try, a commit that does not wait for the disk in posterURL; here are those
// that somebody does to the database.

const (
	sqlPlantLostUpdate = `
update account set balance = balance - 12345 where id = (select id from account where id >= 1000 and balance >= 12345 order by last_entry desc limit 1)`
	sqlPlantNoBalance = `
update entry set accounts = trim_array(accounts, 1), afters = trim_array(afters, 1), befores = trim_array(befores, 1)
where id = (select max(id) from entry where cardinality(accounts) > 0)`
	sqlPlantLessTax = `
update entry set amounts[3] = amounts[3] - 1 where id = (select max(id) from entry where kind = 'send')`
)

// isPlanted tells whether there is something to do to the database, once.
func (t *torture) isPlanted() bool {
	return !t.planted && (t.Plant == "lost-update" || t.Plant == "half-entry")
}

// plant does it.
func (t *torture) plant(ctx context.Context, pool *db.Pool) error {
	t.planted = true
	return pool.InTx(ctx, func(tx *db.Tx) error {
		if t.Plant == "lost-update" {
			return one(tx.Exec(ctx, sqlPlantLostUpdate))
		}
		return errors.Join(one(tx.Exec(ctx, sqlPlantNoBalance)), one(tx.Exec(ctx, sqlPlantLessTax)))
	})
}

func one(n int64, err error) error {
	if err == nil && n != 1 {
		err = errors.New("there is nothing to plant a fault in")
	}
	return err
}
