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
    when 'hold' then array['payer']
    when 'release' then array['payee']
    when 'undo' then array['payer']
    else array[]::text[] end) as party
where not exists (select from every_notice n where n.key = e.id || ':' || party)
order by 1, 3`

const sqlUnordered = `
select e.id from entry e where e.kind = 'airtime' and not exists (select from airtime_order o where o.entry = e.id) order by 1`

const sqlNotRefunded = `
select o.entry from airtime_order o
where o.status = 'refunded' and not exists (select from reversal v where v.reverses = o.entry) order by 1`

const sqlNotApproved = `
select a.id from approval a left join entry_ref r on r.ref = a.ref where (a.state = 'approved') <> (r.entry is not null) order by 1`

const sqlNotStopped = `
select c.id from customer c join account a on a.id = c.wallet where c.frozen <> (a.status = 2) order by 1`

// Audit names every entry without the notices that it owes its parties, every
// purchase of airtime without its order, every refund without money, every
// approval that the book knows nothing of (or the other way round), and every
// customer whose wallet does not know that it is frozen.
func Audit(ctx context.Context, pool *db.Pool) ([]ledger.Break, error) {
	var breaks []ledger.Break
	err := pool.InSnapshot(ctx, func(s *db.Snapshot) error {
		var missing []struct {
			ID    int64  `db:"id"`
			Kind  string `db:"kind"`
			Party string `db:"party"`
		}
		if err := s.Select(ctx, &missing, sqlOwes); err != nil {
			return err
		}
		for _, m := range missing {
			breaks = append(breaks, ledger.Break{Check: "parties are owed notices", What: fmt.Sprintf("entry %d (%s) has none for its %s", m.ID, m.Kind, m.Party)})
		}
		for _, x := range []struct{ check, query, what string }{
			{"airtime is ordered", sqlUnordered, "entry %d has no order"},
			{"airtime is delivered or given back", sqlNotRefunded, "the order of entry %d is marked as refunded but the money did not go back"},
			{"approvals agree with the book", sqlNotApproved, "approval %d is approved without an entry, or its entry stands without it"},
			{"a frozen customer's wallet is frozen", sqlNotStopped, "customer %d and the wallet disagree"},
		} {
			var ids []int64
			if err := s.Select(ctx, &ids, x.query); err != nil {
				return err
			}
			for _, id := range ids {
				breaks = append(breaks, ledger.Break{Check: x.check, What: fmt.Sprintf(x.what, id)})
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("accounts: audit: %w", err)
	}
	return breaks, nil
}
