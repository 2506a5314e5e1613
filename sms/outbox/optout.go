package outbox

import (
	"context"
	"fmt"

	"tuma/internal/db"
	"tuma/internal/phone"
)

const (
	sqlOptOut = `insert into opted_out (msisdn, gateway, at) values ($1, $2, $3) on conflict do nothing`
	sqlOptIn  = `delete from opted_out where msisdn = $1 and gateway = $2`
)

// OptOut notes that a gateway may not send to a number any more.
func OptOut(ctx context.Context, pool *db.Pool, gateway string, to phone.Number) error {
	err := pool.InTx(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, sqlOptOut, string(to), gateway, tx.Now)
		return err
	})
	if err != nil {
		return fmt.Errorf("outbox: opt out: %w", err)
	}
	return nil
}

// OptIn notes that it may again.
func OptIn(ctx context.Context, pool *db.Pool, gateway string, to phone.Number) error {
	err := pool.InTx(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, sqlOptIn, string(to), gateway)
		return err
	})
	if err != nil {
		return fmt.Errorf("outbox: opt in: %w", err)
	}
	return nil
}
