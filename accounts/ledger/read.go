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
	Whys     string    `db:"whys"`
	Debits   db.Int64s `db:"debits"`
	Credits  db.Int64s `db:"credits"`
	Amounts  db.Int64s `db:"amounts"`
	Accounts db.Int64s `db:"accounts"`
	Afters   db.Int64s `db:"afters"`
	Reverses int64     `db:"reverses"`
	Ref      string    `db:"ref"`
}

// postings puts an entry's lists together, as they are stored.
func (r entryRow) postings() []Posting {
	p := make([]Posting, min(len(r.Debits), len(r.Credits), len(r.Amounts)))
	whys := strings.Split(r.Whys, ",")
	for i := range p {
		if i < len(whys) {
			p[i].Why = Why(whys[i])
		}
		p[i] = Posting{Why: p[i].Why, Debit: AccountID(r.Debits[i]), Credit: AccountID(r.Credits[i]), Amount: money.Amount(r.Amounts[i])}
	}
	return p
}

// balances puts together what an entry left in the accounts that it touched.
func (r entryRow) balances() []After {
	a := make([]After, min(len(r.Accounts), len(r.Afters)))
	for i := range a {
		a[i] = After{AccountID(r.Accounts[i]), money.Amount(r.Afters[i])}
	}
	return a
}

// reader is what a transaction and the pool have in common.
type reader interface {
	Select(ctx context.Context, dest any, query string, args ...any) error
}

// The bounds beside a list of ids let the planner leave out the months that
// none of them is in.
const (
	entryFields     = `e.id, e.at, e.kind, e.memo, e.whys, e.debits, e.credits, e.amounts, e.accounts, e.afters, coalesce(v.reverses, 0) as reverses`
	sqlEntriesByRef = `
select ` + entryFields + `, r.ref
from entry_ref r join entry e on e.id = r.entry left join reversal v on v.entry = e.id
where r.ref = any($1)`
	sqlEntriesByID = `
select ` + entryFields + `, '' as ref
from entry e left join reversal v on v.entry = e.id
where e.id = any($1) and e.id between $2 and $3`
	sqlReversed = `select reverses from reversal where reverses = any($1)`
)

func (b *Book) byRefs(ctx context.Context, r reader, refs []string) ([]stored, error) {
	var rows []entryRow
	if err := r.Select(ctx, &rows, sqlEntriesByRef, db.Array(refs)); err != nil {
		return nil, fmt.Errorf("ledger: reading entries: %w", err)
	}
	return b.whole(rows), nil
}

func (b *Book) byIDs(ctx context.Context, r reader, ids []int64) ([]stored, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var rows []entryRow
	if err := r.Select(ctx, &rows, sqlEntriesByID, db.Array(ids), slices.Min(ids), slices.Max(ids)); err != nil {
		return nil, fmt.Errorf("ledger: reading entries: %w", err)
	}
	return b.whole(rows), nil
}

// whole makes entries of rows: the house's stripes become its accounts.
func (b *Book) whole(rows []entryRow) []stored {
	entries := make([]stored, len(rows))
	for i, row := range rows {
		entries[i] = stored{
			ref: row.Ref, reverses: EntryID(row.Reverses),
			Receipt: Receipt{
				ID: EntryID(row.ID), At: row.At.UTC(), Kind: row.Kind, Memo: memoOf(row.Memo), Code: b.codes.code(EntryID(row.ID), row.At),
				Postings: row.postings(), Afters: row.balances(),
			},
		}
		for k := range entries[i].Postings {
			p := &entries[i].Postings[k]
			p.Debit, p.Credit = whole(p.Debit), whole(p.Credit)
		}
	}
	return entries
}

// known finds which Refs of a batch stand in the book.
func (b *Book) known(ctx context.Context, tx *db.Tx, batch []*request) (map[string]stored, error) {
	refs := make([]string, len(batch))
	for i, r := range batch {
		refs[i] = r.entry.Ref
	}
	return b.stand(ctx, tx, refs)
}

func (b *Book) stand(ctx context.Context, r reader, refs []string) (map[string]stored, error) {
	entries, err := b.byRefs(ctx, r, refs)
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

// Walks an account's list, from its last entry or from the one before $2.
const sqlStatement = `
with recursive walk (entry, place) as (
    select case when $2::bigint = 0 then a.last_entry else (select e.befores[array_position(e.accounts, $1)] from entry e where e.id = $2) end, 1
    from account a where a.id = $1
    union all
    select (select e.befores[array_position(e.accounts, $1)] from entry e where e.id = w.entry), place + 1
    from walk w where w.entry <> 0 and place < $3
)
select entry from walk where entry <> 0 order by place`

// Statement gives the newest entries that touch an account of a customer or a
// till, newest first; before is 0 or the last entry of the page before.
func (b *Book) Statement(ctx context.Context, id AccountID, before EntryID, limit int) ([]Receipt, error) {
	var ids []int64
	if err := b.pool.Select(ctx, &ids, sqlStatement, int64(id), int64(before), limit); err != nil {
		return nil, fmt.Errorf("ledger: statement of account %d: %w", id, err)
	}
	entries, err := b.byIDs(ctx, b.pool, ids)
	if err != nil {
		return nil, err
	}
	place := make(map[EntryID]int, len(ids))
	for i, id := range ids {
		place[EntryID(id)] = i
	}
	slices.SortFunc(entries, func(a, b stored) int { return cmp.Compare(place[a.ID], place[b.ID]) })
	receipts := make([]Receipt, len(entries))
	for i, e := range entries {
		receipts[i] = e.Receipt
	}
	return receipts, nil
}

// The same walk, as far back as an instant, with the entries themselves: for what
// is asked before every payment.
const sqlSince = `
with recursive walk as (
    select 1 as place, e.id, e.at, e.kind, e.memo, e.whys, e.debits, e.credits, e.amounts, e.accounts, e.afters, e.befores
    from account a join entry e on e.id = a.last_entry where a.id = $1
    union all
    select w.place + 1, e.id, e.at, e.kind, e.memo, e.whys, e.debits, e.credits, e.amounts, e.accounts, e.afters, e.befores
    from walk w join entry e on e.id = w.befores[array_position(w.accounts, $1)] where w.at >= $2 and w.place < $3
)
select e.id, e.at, e.kind, e.memo, e.whys, e.debits, e.credits, e.amounts, e.accounts, e.afters,
    coalesce((select v.reverses from reversal v where v.entry = e.id), 0) as reverses, '' as ref
from walk e where e.at >= $2 order by e.place`

// Since gives what has touched an account of a customer or a till since an
// instant, newest first, and no more than limit.
func (b *Book) Since(ctx context.Context, id AccountID, since time.Time, limit int) ([]Receipt, error) {
	var rows []entryRow
	if err := b.pool.Select(ctx, &rows, sqlSince, int64(id), since, limit); err != nil {
		return nil, fmt.Errorf("ledger: account %d lately: %w", id, err)
	}
	receipts := make([]Receipt, len(rows))
	for i, e := range b.whole(rows) {
		receipts[i] = e.Receipt
	}
	return receipts, nil
}
