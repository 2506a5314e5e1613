package ledger

import (
	"context"
	"fmt"

	"tuma/internal/db"
)

// Settled finds an entry by its Ref as ByRef does, but first waits for every
// commit under way that touches the account. So whoever refuses an entry before
// it comes to the book, for reasons of his own, knows that no earlier try of it
// lands afterwards: the book confirms its own refusals in the same way. The
// account is a customer's or a till's, one that the entry touches. ErrNotFound
// when the entry does not stand.
func (b *Book) Settled(ctx context.Context, ref string, account AccountID) (r Receipt, err error) {
	err = b.pool.InTx(ctx, func(tx *db.Tx) error {
		var held []accountRow
		if err := tx.Select(ctx, &held, sqlLock, db.Array([]int64{int64(account)})); err != nil {
			return fmt.Errorf("ledger: waiting for account %d: %w", account, err)
		}
		r, err = one(b.byRefs(ctx, tx, []string{ref}))
		return err
	})
	return r, err
}
