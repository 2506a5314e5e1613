package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tuma/internal/db"
	"tuma/internal/money"
)

// stored is an entry as the book has it, its house accounts whole.
type stored struct {
	Receipt
	ref      string
	reverses EntryID
}

// original is an entry that somebody wants to reverse.
type original struct {
	stored
	reversed bool
}

type entryRow struct {
	ID       int64     `db:"id"`
	At       time.Time `db:"at"`
	Kind     string    `db:"kind"`
	Memo     string    `db:"memo"`
	Reverses int64     `db:"reverses"`
	Ref      string    `db:"ref"`
}

type postingRow struct {
	Entry       int64  `db:"entry"`
	Why         string `db:"why"`
	Debit       int64  `db:"debit"`
	Credit      int64  `db:"credit"`
	Amount      int64  `db:"amount"`
	DebitAfter  int64  `db:"debit_after"`
	CreditAfter int64  `db:"credit_after"`
}

func (r postingRow) posted() Posted {
	return Posted{
		Posting:    Posting{Why: Why(r.Why), Debit: AccountID(r.Debit), Credit: AccountID(r.Credit), Amount: money.Amount(r.Amount)},
		DebitAfter: money.Amount(r.DebitAfter), CreditAfter: money.Amount(r.CreditAfter),
	}
}

// reader is what a transaction and the pool have in common.
type reader interface {
	Select(ctx context.Context, dest any, query string, args ...any) error
}

// The bounds beside a list of ids let the planner leave out the months that
// none of them is in.
const (
	sqlEntriesByRef = `
select e.id, e.at, e.kind, e.memo, coalesce(v.reverses, 0) as reverses, r.ref
from entry_ref r join entry e on e.id = r.entry left join reversal v on v.entry = e.id
where r.ref = any($1)`
	sqlEntriesByID = `
select e.id, e.at, e.kind, e.memo, coalesce(v.reverses, 0) as reverses, '' as ref
from entry e left join reversal v on v.entry = e.id
where e.id = any($1) and e.id between $2 and $3`
	sqlPostings = `
select entry, why, debit, credit, amount, debit_after, credit_after from posting
where entry = any($1) and entry between $2 and $3 order by entry, n`
	sqlReversed = `select reverses from reversal where reverses = any($1)`
)

func (b *Book) byRefs(ctx context.Context, r reader, refs []string) ([]stored, error) {
	var rows []entryRow
	if err := r.Select(ctx, &rows, sqlEntriesByRef, db.Array(refs)); err != nil {
		return nil, fmt.Errorf("ledger: reading entries: %w", err)
	}
	return b.withPostings(ctx, r, rows)
}

func (b *Book) byIDs(ctx context.Context, r reader, ids []int64) ([]stored, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var rows []entryRow
	if err := r.Select(ctx, &rows, sqlEntriesByID, db.Array(ids), slices.Min(ids), slices.Max(ids)); err != nil {
		return nil, fmt.Errorf("ledger: reading entries: %w", err)
	}
	return b.withPostings(ctx, r, rows)
}

func (b *Book) withPostings(ctx context.Context, r reader, rows []entryRow) ([]stored, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	entries := make([]stored, len(rows))
	ids := make([]int64, len(rows))
	place := map[int64]int{}
	for i, e := range rows {
		entries[i] = stored{
			ref: e.Ref, reverses: EntryID(e.Reverses),
			Receipt: Receipt{ID: EntryID(e.ID), At: e.At.UTC(), Kind: e.Kind, Memo: memoOf(e.Memo), Code: b.codes.code(EntryID(e.ID), e.At)},
		}
		ids[i], place[e.ID] = e.ID, i
	}
	var postings []postingRow
	if err := r.Select(ctx, &postings, sqlPostings, db.Array(ids), slices.Min(ids), slices.Max(ids)); err != nil {
		return nil, fmt.Errorf("ledger: reading postings: %w", err)
	}
	for _, row := range postings {
		p := row.posted()
		p.Debit, p.Credit = whole(p.Debit), whole(p.Credit)
		e := &entries[place[row.Entry]]
		e.Postings = append(e.Postings, p)
	}
	return entries, nil
}

// known finds which Refs of a batch stand in the book; places nil: of all of it.
func (b *Book) known(ctx context.Context, tx *db.Tx, batch []*request, places []int) (map[string]stored, error) {
	var refs []string
	for i, r := range batch {
		if places == nil || slices.Contains(places, i) {
			refs = append(refs, r.entry.Ref)
		}
	}
	entries, err := b.byRefs(ctx, tx, refs)
	known := make(map[string]stored, len(entries))
	for _, e := range entries {
		known[e.ref] = e
	}
	return known, err
}

// originals reads the entries that a batch wants to reverse.
func (b *Book) originals(ctx context.Context, tx *db.Tx, batch []*request) (map[EntryID]original, error) {
	var ids []int64
	for _, r := range batch {
		if r.entry.Reverses != 0 {
			ids = append(ids, int64(r.entry.Reverses))
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	entries, err := b.byIDs(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	var reversed []EntryID
	if err := tx.Select(ctx, &reversed, sqlReversed, db.Array(ids)); err != nil {
		return nil, fmt.Errorf("ledger: reading reversals: %w", err)
	}
	originals := map[EntryID]original{}
	for _, e := range entries {
		originals[e.ID] = original{stored: e}
	}
	for _, id := range reversed {
		o := originals[id]
		o.reversed = true
		originals[id] = o
	}
	return originals, nil
}

// ByRef finds an entry by its Ref; ErrNotFound when it does not stand.
func (b *Book) ByRef(ctx context.Context, ref string) (Receipt, error) {
	return one(b.byRefs(ctx, b.pool, []string{ref}))
}

// ByCode finds an entry by its receipt's code; ErrNotACode or ErrNotFound.
func (b *Book) ByCode(ctx context.Context, code string) (Receipt, error) {
	id, err := b.codes.entry(code, b.pool.Now())
	if err != nil {
		return Receipt{}, err
	}
	r, err := one(b.byIDs(ctx, b.pool, []int64{int64(id)}))
	if err == nil && r.Code != strings.ToUpper(strings.TrimSpace(code)) {
		return Receipt{}, ErrNotFound // the day in it is another
	}
	return r, err
}

func one(entries []stored, err error) (Receipt, error) {
	if err != nil {
		return Receipt{}, err
	}
	if len(entries) == 0 {
		return Receipt{}, ErrNotFound
	}
	return entries[0].Receipt, nil
}

const sqlStatement = `
select distinct entry from (
    (select entry from posting where debit = $1 and debit >= 1000 and entry < $2 order by entry desc limit $3)
    union all
    (select entry from posting where credit = $1 and credit >= 1000 and entry < $2 order by entry desc limit $3)
) touched order by entry desc limit $3`

// Statement gives the newest entries that touch an account of a customer or a
// till, newest first; before is 0 or the last entry of the page before.
func (b *Book) Statement(ctx context.Context, id AccountID, before EntryID, limit int) ([]Receipt, error) {
	if before == 0 {
		before = 1<<63 - 1
	}
	var ids []int64
	// One entry may have several postings on the account: the fee beside the amount.
	if err := b.pool.Select(ctx, &ids, sqlStatement, int64(id), int64(before), limit*2); err != nil {
		return nil, fmt.Errorf("ledger: statement of account %d: %w", id, err)
	}
	entries, err := b.byIDs(ctx, b.pool, ids[:min(limit, len(ids))])
	if err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b stored) int { return cmp.Compare(b.ID, a.ID) })
	receipts := make([]Receipt, len(entries))
	for i, e := range entries {
		receipts[i] = e.Receipt
	}
	return receipts, nil
}
