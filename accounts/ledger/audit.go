package ledger

import (
	"bytes"
	"context"
	"fmt"

	"tuma/internal/db"
	"tuma/internal/money"
)

// Break is one thing that is wrong with the book.
type Break struct {
	Check string `json:"check"` // which proof failed
	What  string `json:"what"`  // the row or the sum, in words
}

// Proof is what an audit found.
type Proof struct {
	Entries  int64                   `json:"entries"`
	Postings int64                   `json:"postings"`
	Accounts int64                   `json:"accounts"`
	Chains   int64                   `json:"chains"`
	Blocks   int64                   `json:"blocks"`
	Trust    map[string]money.Amount `json:"trust"`       // by currency: the bank's money, as a positive amount
	EMoney   map[string]money.Amount `json:"circulation"` // by currency: what the house owes everybody, less what it has spent
	Breaks   []Break                 `json:"breaks"`
}

// Audit proves the book on one snapshot: every entry's digest and every block's
// seal; every balance against its postings; nothing under its floor; the sum
// over all accounts zero and e-money equal to trust, for every currency.
// Breaks are listed, never repaired.
func Audit(ctx context.Context, pool *db.Pool) (Proof, error) {
	p := Proof{Trust: map[string]money.Amount{}, EMoney: map[string]money.Amount{}, Breaks: []Break{}}
	err := pool.InSnapshot(ctx, func(s *db.Snapshot) error {
		for _, prove := range []func(context.Context, *db.Snapshot) error{p.chains, p.orphans, p.balances, p.bounds, p.sums} {
			if err := prove(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Proof{}, fmt.Errorf("ledger: audit: %w", err)
	}
	return p, nil
}

func (p *Proof) broken(check, format string, args ...any) {
	p.Breaks = append(p.Breaks, Break{Check: check, What: fmt.Sprintf(format, args...)})
}

const sqlAuditBlocks = `select chain, n, entries, digest from block order by chain, n`

const sqlAuditEntries = `
select e.chain, e.block, e.id, e.at, e.kind, e.memo, e.whys, e.debits, e.credits, e.amounts, e.digest,
       coalesce(r.ref, ''), coalesce(v.reverses, 0), coalesce(s.accounts, '{}'), coalesce(s.afters, '{}')
from entry e
left join entry_ref r on r.entry = e.id
left join reversal v on v.entry = e.id
left join (select entry, array_agg(account order by account) as accounts, array_agg(after order by account) as afters from statement group by entry) s on s.entry = e.id
order by e.chain, e.block, e.id`

type blockAt struct{ chain, n int64 }

// chains recomputes every digest. Entries are streamed in the order of their
// blocks.
func (p *Proof) chains(ctx context.Context, s *db.Snapshot) error {
	digests := map[blockAt][][]byte{}
	var scratch []byte
	err := s.Each(ctx, func(scan func(...any) error) error {
		var at blockAt
		var row entryRow
		var digest, got []byte
		var accounts, balances db.Int64s
		if err := scan(&at.chain, &at.n, &row.ID, &row.At, &row.Kind, &row.Memo, &row.Whys, &row.Debits, &row.Credits, &row.Amounts, &digest,
			&row.Ref, &row.Reverses, &accounts, &balances); err != nil {
			return err
		}
		afters := make([]After, len(accounts))
		for i := range accounts {
			afters[i] = After{AccountID(accounts[i]), money.Amount(balances[i])}
		}
		p.Entries++
		p.Postings += int64(len(row.Amounts))
		got, scratch = entryDigest(scratch, EntryID(row.ID), row.At, row.Kind, row.Ref, EntryID(row.Reverses), row.Memo, row.postings(), afters)
		if !bytes.Equal(got, digest) {
			p.broken("entry is as it was written", "entry %d (%s), its Ref or its statements were changed, added or removed", row.ID, row.Ref)
		}
		digests[at] = append(digests[at], digest)
		return nil
	}, sqlAuditEntries)
	if err != nil {
		return err
	}
	return p.seals(ctx, s, digests)
}

// seals recomputes every block from the digests of its entries.
func (p *Proof) seals(ctx context.Context, s *db.Snapshot, digests map[blockAt][][]byte) error {
	var chain, last int64
	var head []byte
	err := s.Each(ctx, func(scan func(...any) error) error {
		var at blockAt
		var entries int
		var digest []byte
		if err := scan(&at.chain, &at.n, &entries, &digest); err != nil {
			return err
		}
		p.Blocks++
		if at.chain != chain {
			chain, last, head = at.chain, 0, genesis(at.chain)
			p.Chains++
		}
		if at.n != last+1 {
			p.broken("chain is whole", "chain %d: block %d follows block %d", at.chain, at.n, last)
		}
		found := digests[at]
		delete(digests, at)
		switch {
		case len(found) != entries:
			p.broken("block is whole", "chain %d block %d has %d entries, %d were sealed", at.chain, at.n, len(found), entries)
		case !bytes.Equal(blockDigest(head, at.chain, at.n, found), digest):
			p.broken("block is as it was sealed", "chain %d block %d: its entries, or a block before it, were changed or reordered", at.chain, at.n)
		}
		last, head = at.n, digest
		return nil
	}, sqlAuditBlocks)
	for at, found := range digests {
		p.broken("entry is sealed", "%d entries claim chain %d block %d, which is not there", len(found), at.chain, at.n)
	}
	return err
}

const sqlAuditOrphans = `
select 'statement of account ' || account, entry from statement s where not exists (select from entry e where e.id = s.entry)
union all
select 'Ref ' || ref, entry from entry_ref r where not exists (select from entry e where e.id = r.entry)
union all
select 'reversal of ' || reverses, entry from reversal v where not exists (select from entry e where e.id = v.entry)
order by 2, 1`

// orphans finds rows beside the entries that belong to none: a Ref without its
// entry would be taken for posted, a reversal without one for done.
func (p *Proof) orphans(ctx context.Context, s *db.Snapshot) error {
	return s.Each(ctx, func(scan func(...any) error) error {
		var what string
		var entry int64
		if err := scan(&what, &entry); err != nil {
			return err
		}
		p.broken("everything belongs to an entry", "%s: there is no entry %d", what, entry)
		return nil
	}, sqlAuditOrphans)
}

const sqlAuditBalances = `
with moved as (
    select account, sum(amount) as balance from (
        select credit as account, amount from posting
        union all
        select debit, -amount from posting
    ) legs group by account
)
select coalesce(a.id, m.account), a.id is null, coalesce(a.balance, 0), coalesce(m.balance, 0)::bigint
from account a full join moved m on m.account = a.id
where a.id is null or a.balance <> coalesce(m.balance, 0)
order by 1`

func (p *Proof) balances(ctx context.Context, s *db.Snapshot) error {
	return s.Each(ctx, func(scan func(...any) error) error {
		var id, balance, moved int64
		var missing bool
		if err := scan(&id, &missing, &balance, &moved); err != nil {
			return err
		}
		if missing {
			p.broken("posting has its accounts", "account %d is in postings but not in the book", id)
		} else {
			p.broken("balance equals postings", "account %d has %d, its postings say %d", id, balance, moved)
		}
		return nil
	}, sqlAuditBalances)
}

const sqlAuditBounds = `select id, balance, floor from account where balance < floor order by id`

func (p *Proof) bounds(ctx context.Context, s *db.Snapshot) error {
	return s.Each(ctx, func(scan func(...any) error) error {
		var id, balance, floor int64
		if err := scan(&id, &balance, &floor); err != nil {
			return err
		}
		p.broken("account is not under its floor", "account %d has %d, its floor is %d", id, balance, floor)
		return nil
	}, sqlAuditBounds)
}

const sqlAuditSums = `
select currency, count(*), sum(balance)::bigint,
       coalesce(-sum(balance) filter (where kind = 'trust'), 0)::bigint,
       coalesce(sum(balance) filter (where kind <> 'trust'), 0)::bigint
from account group by currency order by currency`

func (p *Proof) sums(ctx context.Context, s *db.Snapshot) error {
	return s.Each(ctx, func(scan func(...any) error) error {
		var currency string
		var n, sum, trust, circulation int64
		if err := scan(&currency, &n, &sum, &trust, &circulation); err != nil {
			return err
		}
		p.Accounts += n
		p.Trust[currency], p.EMoney[currency] = money.Amount(trust), money.Amount(circulation)
		if sum != 0 {
			p.broken("all accounts sum to zero", "%s: the sum is %d", currency, sum)
		}
		if trust != circulation {
			p.broken("e-money equals trust", "%s: e-money is %d, trust is %d", currency, circulation, trust)
		}
		return nil
	}, sqlAuditSums)
}
