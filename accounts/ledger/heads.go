package ledger

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"tuma/internal/db"
	"tuma/internal/money"
)

// Heads are the newest blocks of all chains, and the house's balances beside
// them. Kept away from the database, they make it evident when what was sealed
// is rewritten or cut off, even by somebody who computes every digest anew; and
// they are where the next audit begins.
type Heads struct {
	At     time.Time `json:"at"`
	Chains []Head    `json:"chains"`
	House  []Balance `json:"house"` // of each stripe
}

// Head is the newest block of a chain.
type Head struct {
	Chain  int64  `json:"chain"`
	N      int64  `json:"n"`
	Digest string `json:"digest"` // SHA-256, in hexadecimal digits
}

// Balance is an account's balance at an instant.
type Balance struct {
	Account AccountID    `json:"account"`
	Balance money.Amount `json:"balance"`
}

const (
	sqlHeads = `
with recursive chains as (
    (select chain from block order by chain limit 1)
    union all
    select (select b.chain from block b where b.chain > c.chain order by b.chain limit 1) from chains c where c.chain is not null
)
select h.chain, h.n, encode(h.digest, 'hex')
from chains c join lateral (select * from block where block.chain = c.chain order by n desc limit 1) h on true
where c.chain is not null order by 1`
	sqlHouseStripes = `select id, balance from account where id < 1000 order by id`
)

// Seal reads the heads of a book at one instant.
func Seal(ctx context.Context, pool *db.Pool) (Heads, error) {
	h := Heads{At: pool.Now()}
	err := pool.InSnapshot(ctx, func(s *db.Snapshot) error {
		err := s.Each(ctx, func(scan func(...any) error) error {
			var x Head
			err := scan(&x.Chain, &x.N, &x.Digest)
			h.Chains = append(h.Chains, x)
			return err
		}, sqlHeads)
		if err != nil {
			return err
		}
		return s.Each(ctx, func(scan func(...any) error) error {
			var x Balance
			err := scan(&x.Account, &x.Balance)
			h.House = append(h.House, x)
			return err
		}, sqlHouseStripes)
	})
	if err != nil {
		return Heads{}, fmt.Errorf("ledger: sealing: %w", err)
	}
	return h, nil
}

// columns are the heads as arrays; of nil, none.
func (h *Heads) columns() (chains, numbers []int64) {
	chains, numbers = []int64{}, []int64{}
	if h != nil {
		for _, x := range h.Chains {
			chains, numbers = append(chains, x.Chain), append(numbers, x.N)
		}
	}
	return chains, numbers
}

const sqlHistory = `
select h.chain, h.n, b.digest from unnest($1::bigint[], $2::bigint[]) as h (chain, n)
left join block b on b.chain = h.chain and b.n = h.n order by 1`

// history proves that the blocks which were the heads stand as they stood.
func (a *audit) history(ctx context.Context) error {
	want := map[int64][]byte{}
	for _, x := range a.Since.Chains {
		d, err := hex.DecodeString(x.Digest)
		if err != nil {
			return fmt.Errorf("the heads of %s: chain %d: %w", a.Since.At.Format(time.RFC3339), x.Chain, err)
		}
		want[x.Chain] = d
	}
	chains, numbers := a.Since.columns()
	return a.s.Each(ctx, func(scan func(...any) error) error {
		var chain, n int64
		var digest []byte
		if err := scan(&chain, &n, &digest); err != nil {
			return err
		}
		if !bytes.Equal(digest, want[chain]) {
			a.broken("history is as it was sealed", "chain %d block %d is not the one that was sealed at %s", chain, n, a.Since.At.Format(time.RFC3339))
		}
		return nil
	}, sqlHistory, db.Array(chains), db.Array(numbers))
}

// A customer's or till's balance must follow from the statement before the
// entries under audit and their postings. Ids grow in the order in which an
// account was moved, so the statement with the highest id under from is that.
const sqlRecentBalances = `
with moved as (
    select account, sum(amount) as by from (
        select credit as account, amount from posting where entry >= $1
        union all
        select debit, -amount from posting where entry >= $1
    ) legs where account >= 1000 group by account
), expected as (
    select m.account, m.by + coalesce((select s.after from statement s where s.account = m.account and s.entry < $1 order by s.entry desc limit 1), 0) as balance from moved m
)
select x.account, a.id is null, coalesce(a.balance, 0), x.balance::bigint
from expected x left join account a on a.id = x.account
where a.id is null or a.balance <> x.balance order by 1`

func (a *audit) recentBalances(ctx context.Context) error {
	return a.s.Each(ctx, a.unequal, sqlRecentBalances, a.from)
}

const sqlHouseSince = `with ` + sqlNewBlocks + `, legs as (
    select p.credit as account, p.amount from new b join entry e on e.chain = b.chain and e.block = b.n join posting p on p.entry = e.id where e.id >= $3 and p.entry >= $3 and p.credit < 1000
    union all
    select p.debit, -p.amount from new b join entry e on e.chain = b.chain and e.block = b.n join posting p on p.entry = e.id where e.id >= $3 and p.entry >= $3 and p.debit < 1000
), expected as (
    select account, sum(amount) as balance from (
        select * from legs union all select * from unnest($4::bigint[], $5::bigint[])
    ) all_of_it (account, amount) group by account
)
select x.account, a.id is null, coalesce(a.balance, 0), x.balance::bigint
from expected x left join account a on a.id = x.account
where a.id is null or a.balance <> x.balance order by 1`

// houseBalances proves the house's accounts from where they stood at the seal.
func (a *audit) houseBalances(ctx context.Context) error {
	var ids, balances []int64
	for _, b := range a.Since.House {
		ids, balances = append(ids, int64(b.Account)), append(balances, int64(b.Balance))
	}
	chains, numbers := a.Since.columns()
	return a.s.Each(ctx, a.unequal, sqlHouseSince, db.Array(chains), db.Array(numbers), a.from, db.Array(ids), db.Array(balances))
}
