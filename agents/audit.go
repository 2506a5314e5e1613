package agents

import (
	"context"
	"fmt"

	"tuma/accounts/ledger"
	"tuma/internal/db"
)

const sqlUnbacked = `
select r.ref
from account trust
join posting p on p.debit = trust.id or p.credit = trust.id
join entry_ref r on r.entry = p.entry
where trust.kind = 'trust' and not exists (
    select from float_request f
    cross join lateral (select float from till where number = f.till union all select float from head_office where id = f.head_office) t
    where f.checker is not null and f.checker <> f.maker and f.state <> 'declined' and f.amount = p.amount
      and case f.kind when 'issue' then r.ref = 'float:' || f.id and p.debit = trust.id and p.credit = t.float
                      else r.ref = 'float_return:' || f.id and p.credit = trust.id and p.debit = t.float end)
order by r.entry`

const sqlTillNotStopped = `
select distinct t.number
from till t join agent a on a.id = t.agent join account x on x.id in (t.float, t.commission)
where (t.frozen or a.frozen) <> (x.status = 2) order by 1`

// What is held and what its request says: a hold without a request, a request
// whose hold is another amount, one settled without its entry.
const sqlDisputed = `
select coalesce(v.entry, 0), r.ref
from posting p join entry e on e.id = p.entry join entry_ref r on r.entry = e.id
left join (
    select entry, state, held, 'reversal_hold:' || entry as ref from reversal_request
    union all
    select v.entry, v.state, v.held, a.ref from reversal_request v join approval a on a.id = v.approval) v on v.ref = r.ref
where e.kind = 'hold' and (v.entry is null or v.state in ('held', 'approved', 'declined') and v.held <> p.amount)
union all
select v.entry, 'reversal:' || v.entry from reversal_request v
where v.settled is not null and not exists (select from entry_ref r where r.ref = 'reversal:' || v.entry)
order by 1, 2`

// Audit names every movement of the trust account that no approved request of
// two people explains, every till whose accounts do not know that it is frozen,
// every disputed entry that does not agree with its request, and every line of
// the log that was changed.
func Audit(ctx context.Context, pool *db.Pool) ([]ledger.Break, error) {
	var unbacked, going, disputed []string
	err := pool.InSnapshot(ctx, func(s *db.Snapshot) error {
		if err := s.Select(ctx, &unbacked, sqlUnbacked); err != nil {
			return err
		}
		if err := s.Select(ctx, &going, sqlTillNotStopped); err != nil {
			return err
		}
		return s.Each(ctx, func(scan func(...any) error) error {
			var entry int64
			var ref string
			err := scan(&entry, &ref)
			disputed = append(disputed, ref)
			return err
		}, sqlDisputed)
	})
	if err != nil {
		return nil, fmt.Errorf("agents: audit: %w", err)
	}
	var breaks []ledger.Break
	for _, r := range unbacked {
		breaks = append(breaks, ledger.Break{Check: "e-money is issued against the bank", What: "entry " + r + " moves the trust account without an approved float request"})
	}
	for _, t := range going {
		breaks = append(breaks, ledger.Break{Check: "a frozen till's accounts are frozen", What: "till " + t + " and its accounts disagree"})
	}
	for _, r := range disputed {
		breaks = append(breaks, ledger.Break{Check: "a disputed deposit is held and settled", What: r + " and its request disagree"})
	}
	changed, err := EachLog(ctx, pool, func(LogEntry) {})
	return append(breaks, changed...), err
}
