package accounts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tuma/accounts/ledger"
	"tuma/internal/db"
)

// checksPerDay is how many receipts that are not his a customer may ask about in
// a day: slips of the thumb and fakes. A true one does not count.
const checksPerDay = 10

const (
	sqlCountCheck = `
insert into receipt_check (customer, day, n) values ($1, $2, 1)
on conflict (customer, day) do update set n = receipt_check.n + 1 where receipt_check.n < $3`
	sqlUncountCheck = `update receipt_check set n = n - 1 where customer = $1 and day = $2 and n > 0`
)

// CheckReceipt tells a party of an entry what its receipt says: the answer to
// messages that only look like ours. Refusals: checks_spent, and no_receipt, which
// is all that anybody else learns, whether there is such an entry or not. It is
// counted before anything is looked up, so that both take the same time and
// nobody can guess on by asking many at once.
func (s *Service) CheckReceipt(ctx context.Context, c Customer, code string) (Line, error) {
	day, counted := s.day().Format(time.DateOnly), int64(0)
	err := s.pool.InTx(ctx, func(tx *db.Tx) (err error) {
		counted, err = tx.Exec(ctx, sqlCountCheck, c.ID, day, checksPerDay)
		return err
	})
	switch {
	case err != nil:
		return Line{}, fmt.Errorf("accounts: checking a receipt: %w", err)
	case counted == 0:
		return Line{}, Refuse("checks_spent")
	}
	r, err := s.book.ByCode(ctx, code)
	_, party := r.After(c.Wallet)
	switch {
	case errors.Is(err, ledger.ErrNotFound), errors.Is(err, ledger.ErrNotACode), err == nil && !party:
		return Line{}, Refuse("no_receipt")
	case err != nil:
		return Line{}, err
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, sqlUncountCheck, c.ID, day)
		return err
	})
	if err != nil {
		return Line{}, fmt.Errorf("accounts: checking a receipt: %w", err)
	}
	return s.Line(r, c.Wallet), nil
}
