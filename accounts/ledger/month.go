package ledger

import (
	"context"
	"fmt"
	"time"

	"tuma/internal/db"
)

// Entries and statements live in partitions of a month each. An entry's id
// begins with its month, so a partition is a range of ids and neither table
// needs another column, or another key, for it.
const (
	monthBits   = 36              // of an id under its month; one more than a receipt's characters hold
	monthsAhead = 3               // of partitions, made while there is time
	monthCheck  = 6 * time.Hour   // how often
	firstYear   = 2006            // as in receipts
	openTimeout = 5 * time.Second // for making them
)

// monthOf numbers the months from January 2006 in the book's time zone.
func monthOf(at time.Time, zone *time.Location) int64 {
	at = at.In(zone)
	return int64(at.Year()-firstYear)*12 + int64(at.Month()) - 1
}

const sqlOpenMonth = `select open_month($1)`

// openMonths makes the partitions of an instant's month and the next ones.
func (b *Book) openMonths(ctx context.Context, at time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	first := monthOf(at, b.zone)
	err := b.pool.InTx(ctx, func(tx *db.Tx) error {
		for m := first; m <= first+monthsAhead; m++ {
			if _, err := tx.Exec(ctx, sqlOpenMonth, m); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ledger: partitions of the months ahead: %w", err)
	}
	return nil
}

// keepMonths makes partitions ahead of time for as long as the book is open.
// A failure is not fatal: there are months left, and whoever posts into a month
// without one makes it.
func (b *Book) keepMonths() {
	tick := time.NewTicker(monthCheck)
	defer tick.Stop()
	for {
		select {
		case <-b.closed:
			return
		case <-tick.C:
			b.openMonths(context.Background(), b.pool.Now())
		}
	}
}
