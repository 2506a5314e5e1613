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
