package outbox

import (
	"context"
	"fmt"
	"time"

	"tuma/internal/db"
)

// Standing is how much waits to be sent, and for how long.
type Standing struct {
	Lots    int        // of commits, not unpacked yet
	Waiting [3]int     // unpacked notices that are not done with, by priority
	Oldest  *time.Time // when the oldest of all of them was owed; nil: nothing waits
}

// Both halves read what waits and nothing else: owed holds no more than that, and
// notice_due has an entry for no other notice.
const sqlStanding = `
select (select count(*) from owed) as lots,
       (select count(*) from notice where status in ('queued', 'sending') and priority = 0) as codes,
       (select count(*) from notice where status in ('queued', 'sending') and priority = 1) as receipts,
       (select count(*) from notice where status in ('queued', 'sending') and priority = 2) as rest,
       least((select min(at) from owed), (select min(created_at) from notice where status in ('queued', 'sending'))) as oldest`

// Stand reads what waits, for a gauge that is read every few seconds.
func Stand(ctx context.Context, pool *db.Pool) (Standing, error) {
	var row struct {
		Lots     int        `db:"lots"`
		Codes    int        `db:"codes"`
		Receipts int        `db:"receipts"`
		Rest     int        `db:"rest"`
		Oldest   *time.Time `db:"oldest"`
	}
	if err := pool.Get(ctx, &row, sqlStanding); err != nil {
		return Standing{}, fmt.Errorf("outbox: standing: %w", err)
	}
	return Standing{Lots: row.Lots, Waiting: [3]int{row.Codes, row.Receipts, row.Rest}, Oldest: row.Oldest}, nil
}
