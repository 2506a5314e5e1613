package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"

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

// AuditOptions say how much of the book is read.
type AuditOptions struct {
	// Since, an earlier Heads, limits the audit to what has come since, and
	// proves that what was sealed then is still what stands: a day's audit reads
	// the day. nil: all of it.
	Since *Heads
	// Progress is called now and then with how many entries were read, and about
	// how many there are.
	Progress func(done, total int64)
}

// progressEvery is how many entries pass between two calls of Progress.
const progressEvery = 10_000

// audit is one audit at work.
type audit struct {
	Proof
	AuditOptions
	s     *db.Snapshot
	from  int64 // lowest id to read
	total int64
	lists lists
	house map[AccountID]money.Amount // of each stripe, as the entries make it
}

// Audit proves the book on one snapshot: every entry's digest and every block's
// seal; every balance against its postings; nothing under its floor; the sum
// over all accounts zero and e-money equal to trust, for every currency.
// Breaks are listed, never repaired. Entries are streamed: memory does not grow
// with the book.
func Audit(ctx context.Context, pool *db.Pool, o AuditOptions) (Proof, error) {
	a := audit{AuditOptions: o, Proof: Proof{Trust: map[string]money.Amount{}, EMoney: map[string]money.Amount{}, Breaks: []Break{}}}
	a.house, a.lists = map[AccountID]money.Amount{}, newLists()
	proofs := []func(context.Context) error{a.links, a.entries, a.orphans, a.balances, a.bounds, a.sums}
	if o.Since != nil {
		proofs = []func(context.Context) error{a.history, a.links, a.entries, a.recentBalances, a.bounds, a.sums}
	}
	err := pool.InSnapshot(ctx, func(s *db.Snapshot) error {
		a.s = s
		if err := a.begin(ctx); err != nil {
			return err
		}
		for _, prove := range proofs {
			if err := prove(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Proof{}, fmt.Errorf("ledger: audit: %w", err)
	}
	return a.Proof, nil
}

func (a *audit) broken(check, format string, args ...any) {
	a.Breaks = append(a.Breaks, Break{Check: check, What: fmt.Sprintf(format, args...)})
}

// sqlNewBlocks are the blocks under audit, as "new": those after the heads $1
// (chains) and $2 (numbers), chain by chain along the index, so that the blocks
// of the past are not read.
const sqlNewBlocks = `
recursive chains as (
    (select chain from block order by chain limit 1)
    union all
    select (select b.chain from block b where b.chain > c.chain order by b.chain limit 1) from chains c where c.chain is not null
), new as materialized (
    select b.chain, b.n, b.first, b.entries, b.digest, before.digest as before, coalesce(h.n, 0) as head
    from chains c
    left join unnest($1::bigint[], $2::bigint[]) as h (chain, n) on h.chain = c.chain
    join lateral (select * from block where block.chain = c.chain and block.n > coalesce(h.n, 0)) b on true
    left join block before on before.chain = b.chain and before.n = b.n - 1
    where c.chain is not null
)`

const sqlBegin = `with ` + sqlNewBlocks + ` select coalesce(min(first), 9223372036854775807), coalesce(sum(entries), 0)::bigint from new`

func (a *audit) begin(ctx context.Context) error {
	chains, numbers := a.Since.columns()
	return a.s.Each(ctx, func(scan func(...any) error) error { return scan(&a.from, &a.total) }, sqlBegin, db.Array(chains), db.Array(numbers))
}

const sqlLinks = `with ` + sqlNewBlocks + ` select chain, n, head from new order by chain, n`

// links finds blocks that are missing in the middle of a chain.
func (a *audit) links(ctx context.Context) error {
	chains, numbers := a.Since.columns()
	var chain, last int64
	return a.s.Each(ctx, func(scan func(...any) error) error {
		var c, n, head int64
		if err := scan(&c, &n, &head); err != nil {
			return err
		}
		a.Blocks++
		if c != chain {
			chain, last = c, head
			a.Chains++
		}
		if n != last+1 {
			a.broken("chain is whole", "chain %d: block %d follows block %d", c, n, last)
		}
		last = n
		return nil
	}, sqlLinks, db.Array(chains), db.Array(numbers))
}

const sqlAuditEntries = `with ` + sqlNewBlocks + `
select e.chain, e.block, coalesce(b.entries, 0), b.digest, b.before,
       e.id, e.at, e.kind, e.memo, e.whys, e.debits, e.credits, e.amounts, e.accounts, e.afters, e.befores, e.digest,
       coalesce(r.ref, ''), coalesce(v.reverses, 0)
from entry e
left join new b on b.chain = e.chain and b.n = e.block
left join entry_ref r on r.entry = e.id
left join reversal v on v.entry = e.id
where e.id >= $3 and (b.chain is not null or $4)
order by e.id`

// filling is a block whose entries are coming in.
type filling struct {
	want, got int64
	digests   hash.Hash
}

type blockAt struct{ chain, n int64 }

// entries recomputes every digest, and every block's seal when its last entry
// has come. The entries of a block have ids in a row. What each entry does to
// the accounts' lists is noted on the way.
func (a *audit) entries(ctx context.Context) error {
	chains, numbers := a.Since.columns()
	blocks := map[blockAt]*filling{}
	var scratch []byte
	err := a.s.Each(ctx, func(scan func(...any) error) error {
		var at blockAt
		var want int64
		var row entryRow
		var seal, before, digest, got []byte
		var befores db.Int64s
		if err := scan(&at.chain, &at.n, &want, &seal, &before,
			&row.ID, &row.At, &row.Kind, &row.Memo, &row.Whys, &row.Debits, &row.Credits, &row.Amounts, &row.Accounts, &row.Afters, &befores, &digest,
			&row.Ref, &row.Reverses); err != nil {
			return err
		}
		a.Entries++
		a.Postings += int64(len(row.Amounts))
		if a.Progress != nil && a.Entries%progressEvery == 0 {
			a.Progress(a.Entries, a.total)
		}
		postings, afters := row.postings(), row.balances()
		a.follow(EntryID(row.ID), postings, afters, befores)
		got, scratch = entryDigest(scratch, EntryID(row.ID), row.At, row.Kind, row.Ref, EntryID(row.Reverses), row.Memo, postings, afters)
		if !bytes.Equal(got, digest) {
			a.broken("entry is as it was written", "entry %d (%s), its Ref or its reversal were changed, added or removed", row.ID, row.Ref)
		}
		if want == 0 {
			a.broken("entry is sealed", "entry %d claims chain %d block %d, which is not there", row.ID, at.chain, at.n)
			return nil
		}
		b := blocks[at]
		if b == nil {
			b = &filling{want: want, digests: sha256.New()}
			blocks[at] = b
		}
		b.got++
		b.digests.Write(digest)
		if b.got != b.want {
			return nil
		}
		if at.n == 1 {
			before = genesis(at.chain)
		}
		if !bytes.Equal(blockDigest(before, at.chain, at.n, b.want, b.digests.Sum(nil)), seal) {
			a.broken("block is as it was sealed", "chain %d block %d: its entries, or a block before it, were changed or reordered", at.chain, at.n)
		}
		// Whole: an entry more would be one too many, which the count tells.
		b.digests = nil
		delete(blocks, at)
		return nil
	}, sqlAuditEntries, db.Array(chains), db.Array(numbers), a.from, a.Since == nil)
	if err != nil {
		return err
	}
	return a.counts(ctx, blocks)
}

const sqlEmptyBlocks = `with ` + sqlNewBlocks + `
select chain, n, entries from new b
where not exists (select from entry e where e.id >= b.first and e.id < b.first + $3 and e.chain = b.chain and e.block = b.n)
order by chain, n`

// blockSpan bounds how far apart the ids of a block's entries can be in a book
// that was begun when posters drew their numbers one by one; today's are in a row.
const blockSpan = 1 << 20

// counts names the blocks that have fewer entries than were sealed. What is
// left open has some; those of which all are gone are asked for.
func (a *audit) counts(ctx context.Context, blocks map[blockAt]*filling) error {
	for at, b := range blocks {
		a.broken("block is whole", "chain %d block %d has %d entries, %d were sealed", at.chain, at.n, b.got, b.want)
	}
	chains, numbers := a.Since.columns()
	return a.s.Each(ctx, func(scan func(...any) error) error {
		var chain, n, entries int64
		if err := scan(&chain, &n, &entries); err != nil {
			return err
		}
		a.broken("block is whole", "chain %d block %d has 0 entries, %d were sealed", chain, n, entries)
		return nil
	}, sqlEmptyBlocks, db.Array(chains), db.Array(numbers), blockSpan)
}

const sqlAuditOrphans = `
select 'Ref ' || ref, entry from entry_ref r where not exists (select from entry e where e.id = r.entry)
union all
select 'reversal of ' || reverses, entry from reversal v where not exists (select from entry e where e.id = v.entry)
order by 2, 1`

// orphans finds rows beside the entries that belong to none: a Ref without its
// entry would be taken for posted, a reversal without one for done.
func (a *audit) orphans(ctx context.Context) error {
	return a.s.Each(ctx, func(scan func(...any) error) error {
		var what string
		var entry int64
		if err := scan(&what, &entry); err != nil {
			return err
		}
		a.broken("everything belongs to an entry", "%s: there is no entry %d", what, entry)
		return nil
	}, sqlAuditOrphans)
}

const sqlAuditBounds = `select id, balance, floor from account where balance < floor order by id`

func (a *audit) bounds(ctx context.Context) error {
	return a.s.Each(ctx, func(scan func(...any) error) error {
		var id, balance, floor int64
		if err := scan(&id, &balance, &floor); err != nil {
			return err
		}
		a.broken("account is not under its floor", "account %d has %d, its floor is %d", id, balance, floor)
		return nil
	}, sqlAuditBounds)
}

const sqlAuditSums = `
select currency, count(*), sum(balance)::bigint,
       coalesce(-sum(balance) filter (where kind = 'trust'), 0)::bigint,
       coalesce(sum(balance) filter (where kind <> 'trust'), 0)::bigint
from account group by currency order by currency`

func (a *audit) sums(ctx context.Context) error {
	return a.s.Each(ctx, func(scan func(...any) error) error {
		var currency string
		var n, sum, trust, circulation int64
		if err := scan(&currency, &n, &sum, &trust, &circulation); err != nil {
			return err
		}
		a.Accounts += n
		a.Trust[currency], a.EMoney[currency] = money.Amount(trust), money.Amount(circulation)
		if sum != 0 {
			a.broken("all accounts sum to zero", "%s: the sum is %d", currency, sum)
		}
		if trust != circulation {
			a.broken("e-money equals trust", "%s: e-money is %d, trust is %d", currency, circulation, trust)
		}
		return nil
	}, sqlAuditSums)
}
