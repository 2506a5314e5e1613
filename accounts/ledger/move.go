package ledger

import (
	"context"
	"fmt"
	"time"

	"tuma/internal/db"
	"tuma/internal/money"
)

// net is what a batch does to one account.
type net struct {
	delta, low, high, spent money.Amount
	debited, credited       bool

	last   EntryID      // the batch's newest entry that touches it; 0 for the house's
	shift  money.Amount // what other posters have moved since it was read
	before EntryID      // the entry before the batch's first one
}

// add notes a posting's effect on one side; low and high are the lowest point
// after a debit and the highest after a credit, counted from the balance before.
func (n *net) add(by money.Amount, why Why) {
	n.delta += by
	if by < 0 {
		if !n.debited || n.delta < n.low {
			n.low = n.delta
		}
		n.debited = true
		if why == Principal {
			n.spent -= by
		}
		return
	}
	if !n.credited || n.delta > n.high {
		n.high = n.delta
	}
	n.credited = true
}

// nets are the accounts of a batch.
type nets map[AccountID]*net

func netsOf(accepted []Accepted) nets {
	n := make(nets, 4*len(accepted))
	room := make([]net, 0, 4*len(accepted)) // for nearly any batch, in one piece
	of := func(id AccountID, entry EntryID) *net {
		x := n[id]
		if x == nil {
			room = append(room, net{})
			x = &room[len(room)-1]
			n[id] = x
		}
		if id >= houseEnds {
			x.last = entry
		}
		return x
	}
	for _, a := range accepted {
		for _, p := range a.Receipt.Postings {
			of(p.Debit, a.Receipt.ID).add(-p.Amount, p.Why)
			of(p.Credit, a.Receipt.ID).add(p.Amount, p.Why)
		}
	}
	return n
}

// sqlMove takes the batch's Refs and then moves all its balances, where every rule
// still holds, and puts the batch's entries at the end of each account's list. A
// row that it leaves out makes the batch be decided again. Counting the Refs is
// what has the server write all of them before it holds a row. Lists are unnested side by side in the
// select list: in "from" the server would first store each of them.
const sqlMove = `
with refs as (
insert into entry_ref (ref, entry) select unnest($9::text[]), unnest($10::bigint[]) returning 1
), moved as (
update account a
set balance   = a.balance + u.delta,
    day       = case when u.spent > 0 then greatest(a.day, $1) else a.day end,
    day_spent = case when u.spent > 0 then case when a.day < $1 then 0 else a.day_spent end + u.spent else a.day_spent end,
    last_entry = u.last, entry_before = a.last_entry
from (select unnest($2::bigint[]) as id, unnest($3::bigint[]) as delta, unnest($4::bigint[]) as low, unnest($5::bigint[]) as high,
             unnest($6::bigint[]) as spent, unnest($7::bool[]) as debited, unnest($8::bigint[]) as last) u
where a.id = u.id and (select count(*) from refs) >= 0
  and (a.status = 0 or a.status = 1 and not u.debited)
  and a.balance + u.low >= coalesce(a.floor, -1000000000000000000)
  and a.balance + u.high <= coalesce(a.ceiling, 1000000000000000000)
  and (u.spent = 0 or a.day_limit is null or case when a.day < $1 then 0 else a.day_spent end + u.spent <= a.day_limit)
returning a.id, a.balance, a.entry_before, a.currency)
select array_send(coalesce(array_agg(id), '{}')) as ids, array_send(coalesce(array_agg(balance), '{}')) as balances,
       array_send(coalesce(array_agg(entry_before), '{}')) as befores,
       coalesce(min(currency), '') as currency, coalesce(max(currency), '') as another
from moved`

// move takes Refs and applies the batch to the accounts in the database, and learns what stood
// before it: another poster may have moved an account since it was read.
func (n nets) move(ctx context.Context, tx *db.Tx, refs refs, accounts map[AccountID]*Account, today time.Time) error {
	c := newMoveColumns(len(n))
	for _, id := range sortedIDs(n) {
		c.add(id, n[AccountID(id)])
	}
	var moved struct {
		IDs      db.Int64s `db:"ids"`
		Balances db.Int64s `db:"balances"`
		Befores  db.Int64s `db:"befores"`
		Currency string    `db:"currency"`
		Another  string    `db:"another"`
	}
	err := tx.Get(ctx, &moved, sqlMove, today, db.Array(c.ids), db.Array(c.deltas), db.Array(c.lows), db.Array(c.highs), db.Array(c.spents), db.Array(c.debited), db.Array(c.lasts),
		db.Array(refs.refs), db.Array(refs.entries))
	if err != nil {
		return fmt.Errorf("ledger: moving balances: %w", err)
	}
	if len(moved.IDs) != len(n) {
		return errRaced
	}
	for i, id := range moved.IDs {
		a, x := accounts[AccountID(id)], n[AccountID(id)]
		x.shift, x.before = money.Amount(moved.Balances[i])-a.Balance, EntryID(moved.Befores[i])
		// A hopeful batch sees no currency before: where there are two, it is for
		// the judgement to tell which entries mix them.
		if moved.Currency != moved.Another && a.Currency == "" {
			return errRaced
		}
	}
	return nil
}

// moveColumns are the accounts of a batch, as arrays for unnest.
type moveColumns struct {
	ids, deltas, lows, highs, spents, lasts []int64
	debited                                 []bool
}

func newMoveColumns(n int) *moveColumns {
	c := &moveColumns{debited: make([]bool, 0, n)}
	for _, s := range []*[]int64{&c.ids, &c.deltas, &c.lows, &c.highs, &c.spents, &c.lasts} {
		*s = make([]int64, 0, n)
	}
	return c
}

func (c *moveColumns) add(id int64, n *net) {
	c.ids = append(c.ids, id)
	c.deltas = append(c.deltas, int64(n.delta))
	// A side that nothing touches cannot break its rule: it gets a point far
	// inside every bound.
	low, high := 2*MaxBalance, -2*MaxBalance
	if n.debited {
		low = n.low
	}
	if n.credited {
		high = n.high
	}
	c.lows = append(c.lows, int64(low))
	c.highs = append(c.highs, int64(high))
	c.spents = append(c.spents, int64(n.spent))
	c.debited = append(c.debited, n.debited)
	c.lasts = append(c.lasts, int64(n.last))
}
