package ledger

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"time"

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
select e.chain, e.block, e.id, e.at, e.kind, coalesce(r.ref, ''), coalesce(v.reverses, 0), e.memo, e.digest,
       p.n, p.why, p.debit, p.credit, p.amount, p.debit_after, p.credit_after
from entry e
left join entry_ref r on r.entry = e.id
left join reversal v on v.entry = e.id
left join posting p on p.entry = e.id
order by e.chain, e.block, e.id, p.n`

type blockAt struct{ chain, n int64 }

// auditEntry is an entry under audit, gathered from its postings' rows.
type auditEntry struct {
	at       blockAt
	id       EntryID
	when     time.Time
	kind     string
	ref      string
	reverses EntryID
	memo     string
	digest   []byte
	postings []Posted
	holes    bool // the postings' numbers are not 0, 1, 2, ...
}

// chains recomputes every digest. Entries are streamed in the order of their
// blocks, so that memory does not grow with the book but for the blocks' own.
func (p *Proof) chains(ctx context.Context, s *db.Snapshot) error {
	digests := map[blockAt][][]byte{}
	var current *auditEntry
	finish := func() {
		if current == nil {
			return
		}
		p.Entries++
		e := current
		if len(e.postings) == 0 {
			p.broken("entry has postings", "entry %d (%s) has none", e.id, e.ref)
		}
		got, _ := entryDigest(nil, e.id, e.when, e.kind, e.ref, e.reverses, e.memo, e.postings)
		if e.holes || !bytes.Equal(got, e.digest) {
			p.broken("entry is as it was written", "entry %d (%s) or one of its postings was changed, added or removed", e.id, e.ref)
		}
		digests[e.at] = append(digests[e.at], e.digest)
	}
	err := s.Each(ctx, func(scan func(...any) error) error {
		var e auditEntry
		var n, debit, credit, amount, debitAfter, creditAfter sql.NullInt64
		var why sql.NullString
		if err := scan(&e.at.chain, &e.at.n, &e.id, &e.when, &e.kind, &e.ref, &e.reverses, &e.memo, &e.digest,
			&n, &why, &debit, &credit, &amount, &debitAfter, &creditAfter); err != nil {
			return err
		}
		if current == nil || current.id != e.id {
			finish()
			current = &e
		}
		if n.Valid {
			p.Postings++
			current.holes = current.holes || int(n.Int64) != len(current.postings)
			current.postings = append(current.postings, postingRow{
				Why: why.String, Debit: debit.Int64, Credit: credit.Int64, Amount: amount.Int64, DebitAfter: debitAfter.Int64, CreditAfter: creditAfter.Int64,
			}.posted())
		}
		return nil
	}, sqlAuditEntries)
	if err != nil {
		return err
	}
	finish()
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
select p.entry, p.n from posting p where not exists (select from entry e where e.id = p.entry) order by 1, 2`

func (p *Proof) orphans(ctx context.Context, s *db.Snapshot) error {
	return s.Each(ctx, func(scan func(...any) error) error {
		var entry, n int64
		if err := scan(&entry, &n); err != nil {
			return err
		}
		p.broken("posting has an entry", "posting %d of entry %d has none", n, entry)
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
