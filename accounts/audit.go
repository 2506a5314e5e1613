package accounts

import (
	"context"
	"fmt"

	"tuma/accounts/ledger"
	"tuma/internal/db"
)

const sqlOwes = `
select e.id, e.kind, party
from entry e, unnest(case e.kind
    when 'send' then array['payer', 'payee']
    when 'deposit' then array['payee', 'till']
    when 'withdraw' then array['payer']
    when 'airtime' then array['payer']
    when 'reversal' then array['payer']
    else array[]::text[] end) as party
where not exists (select from notice n where n.key = e.id || ':' || party)
order by 1, 3`

const sqlUnordered = `
select e.id from entry e where e.kind = 'airtime' and not exists (select from airtime_order o where o.entry = e.id) order by 1`

// Audit names every entry without the notices that it owes its parties, and
// every purchase of airtime without its order.
func Audit(ctx context.Context, pool *db.Pool) ([]ledger.Break, error) {
	var missing []struct {
		ID    int64  `db:"id"`
		Kind  string `db:"kind"`
		Party string `db:"party"`
	}
	if err := pool.Select(ctx, &missing, sqlOwes); err != nil {
		return nil, fmt.Errorf("accounts: audit: %w", err)
	}
	var unordered []int64
	if err := pool.Select(ctx, &unordered, sqlUnordered); err != nil {
		return nil, fmt.Errorf("accounts: audit: %w", err)
	}
	var breaks []ledger.Break
	for _, m := range missing {
		breaks = append(breaks, ledger.Break{Check: "parties are owed notices", What: fmt.Sprintf("entry %d (%s) has none for its %s", m.ID, m.Kind, m.Party)})
	}
	for _, id := range unordered {
		breaks = append(breaks, ledger.Break{Check: "airtime is ordered", What: fmt.Sprintf("entry %d has no order", id)})
	}
	return breaks, nil
}
