package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tuma/internal/db"
)

// refs are Refs to be taken for the entries that get them, in the order of the
// Refs, which is the order in which all batches take them.
type refs struct {
	refs    []string
	entries []int64
}

// refsOf are n Refs for as many entries with ids in a row.
func refsOf(n int, ref func(i int) string, first EntryID) refs {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, k int) int { return strings.Compare(ref(i), ref(k)) })
	r := refs{make([]string, n), make([]int64, n)}
	for to, i := range order {
		r.refs[to], r.entries[to] = ref(i), int64(first)+int64(i)
	}
	return r
}

// claim is what a careful batch knows of its Refs before it holds any row: those
// that stand, and those that it has taken for entries that it may yet refuse.
type claim struct {
	known map[string]stored
	taken []int   // the places in the batch
	first EntryID // the id of the first of them; the others follow
}

const sqlTake = `insert into entry_ref (ref, entry) select unnest($1::text[]), unnest($2::bigint[])`

// claim takes the Refs of a batch that do not stand. It waits for every earlier
// try of theirs that is under way; when that lands, the Ref is found to be posted
// and the batch is decided anew.
func (p *poster) claim(ctx context.Context, tx *db.Tx, batch []*request) (c claim, err error) {
	if c.known, err = p.book.known(ctx, tx, batch); err != nil {
		return claim{}, err
	}
	twins := map[string]bool{}
	for i, r := range batch {
		if _, stands := c.known[r.entry.Ref]; !stands && !twins[r.entry.Ref] {
			twins[r.entry.Ref] = true
			c.taken = append(c.taken, i)
		}
	}
	if len(c.taken) == 0 {
		return c, nil
	}
	if c.first, err = p.number(ctx, tx, len(c.taken)); err != nil {
		return claim{}, err
	}
	r := refsOf(len(c.taken), func(i int) string { return batch[c.taken[i]].entry.Ref }, c.first)
	if _, err := tx.Exec(ctx, sqlTake, db.Array(r.refs), db.Array(r.entries)); err != nil {
		return claim{}, fmt.Errorf("ledger: taking Refs: %w", err)
	}
	return c, nil
}

// refused tells whether an entry is refused whose Ref was taken. Refs are never
// given back, so the batch is then decided anew without it.
func (c claim) refused(answers []answer) bool {
	return slices.ContainsFunc(c.taken, func(i int) bool { return answers[i].err != nil })
}

// errLookedOnly undoes a transaction that had something to find out.
var errLookedOnly = errors.New("ledger: nothing to commit")

const sqlAwait = `insert into entry_ref (ref, entry) select unnest($1::text[]), 0 on conflict do nothing`

// settled waits until no try of these Refs is under way, in any process, and finds
// those that stand. What it waits for has begun to write; a try that comes after
// that comes after the answer.
func (b *Book) settled(ctx context.Context, refs []string) (known map[string]stored, err error) {
	refs = slices.Compact(slices.Sorted(slices.Values(refs)))
	if len(refs) == 0 {
		return nil, nil
	}
	err = b.pool.InBatch(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(ctx, sqlAwait, db.Array(refs)); err != nil {
			return fmt.Errorf("ledger: awaiting Refs: %w", err)
		}
		if known, err = b.stand(ctx, tx, refs); err != nil {
			return err
		}
		return errLookedOnly
	})
	if errors.Is(err, errLookedOnly) {
		err = nil
	}
	return known, err
}

// Settled finds an entry by its Ref as ByRef does, but first waits until no try of
// it is under way, in any process. So whoever refuses an entry before it comes to
// the book, for reasons of his own, knows that no earlier try of it lands
// afterwards: the book confirms its own refusals in the same way. ErrNotFound when
// the entry does not stand.
func (b *Book) Settled(ctx context.Context, ref string) (Receipt, error) {
	known, err := b.settled(ctx, []string{ref})
	if err != nil {
		return Receipt{}, err
	}
	first, stands := known[ref]
	if !stands {
		return Receipt{}, ErrNotFound
	}
	return first.Receipt, nil
}
