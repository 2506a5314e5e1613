package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"sort"
	"time"

	"tuma/internal/db"
	"tuma/internal/money"
)

// stored is an entry as the book has it.
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
	ID       int64         `db:"id"`
	At       time.Time     `db:"at"`
	Kind     string        `db:"kind"`
	Ref      string        `db:"ref"`
	Reverses sql.NullInt64 `db:"reverses"`
	Memo     string        `db:"memo"`
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

// reader is what a transaction, a snapshot and the pool have in common.
type reader interface {
	Select(ctx context.Context, dest any, query string, args ...any) error
}

const (
	sqlEntriesByRef = `select id, at, kind, ref, reverses, memo from entry where ref = any($1)`
	sqlEntriesByID  = `select id, at, kind, ref, reverses, memo from entry where id = any($1)`
	sqlReversed     = `select reverses from entry where reverses = any($1)`
	sqlPostings     = `select entry, why, debit, credit, amount, debit_after, credit_after from posting where entry = any($1) order by entry, n`
)

// load reads entries with their postings; the query takes one array.
func (b *Book) load(ctx context.Context, r reader, query string, keys any) ([]stored, error) {
	var rows []entryRow
	if err := r.Select(ctx, &rows, query, db.Array(keys)); err != nil {
		return nil, fmt.Errorf("ledger: reading entries: %w", err)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	entries := make([]stored, len(rows))
	ids := make([]int64, len(rows))
	place := map[int64]int{}
	for i, e := range rows {
		entries[i] = stored{
			ref: e.Ref, reverses: EntryID(e.Reverses.Int64),
			Receipt: Receipt{ID: EntryID(e.ID), At: e.At.UTC(), Kind: e.Kind, Memo: memoOf(e.Memo), Code: b.codes.code(EntryID(e.ID), e.At)},
		}
		ids[i], place[e.ID] = e.ID, i
	}
	var postings []postingRow
	if err := r.Select(ctx, &postings, sqlPostings, db.Array(ids)); err != nil {
		return nil, fmt.Errorf("ledger: reading postings: %w", err)
	}
	for _, p := range postings {
		e := &entries[place[p.Entry]]
		e.Postings = append(e.Postings, p.posted())
	}
	return entries, nil
}

// known finds which of a batch's Refs stand in the book.
func (b *Book) known(ctx context.Context, tx *db.Tx, batch []*request) (map[string]stored, error) {
	refs := make([]string, len(batch))
	for i, r := range batch {
		refs[i] = r.entry.Ref
	}
	entries, err := b.load(ctx, tx, sqlEntriesByRef, refs)
	known := map[string]stored{}
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
	entries, err := b.load(ctx, tx, sqlEntriesByID, ids)
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

const sqlLock = `
select id, kind, currency, balance, floor, ceiling, status, day_limit, day, day_spent
from account where id = any($1) order by id for update`

// lock reads every account that a batch touches and holds its row, in the order
// of the ids, so that two batches never wait for each other in a circle.
func lock(ctx context.Context, tx *db.Tx, batch []*request, originals map[EntryID]original) (map[AccountID]*Account, error) {
	touched := map[AccountID]bool{}
	for _, r := range batch {
		for _, p := range r.entry.Postings {
			touched[p.Debit], touched[p.Credit] = true, true
		}
		for _, p := range originals[r.entry.Reverses].Postings {
			touched[p.Debit], touched[p.Credit] = true, true
		}
	}
	var rows []accountRow
	if err := tx.Select(ctx, &rows, sqlLock, db.Array(sortedIDs(touched))); err != nil {
		return nil, fmt.Errorf("ledger: locking accounts: %w", err)
	}
	accounts := make(map[AccountID]*Account, len(rows))
	for _, r := range rows {
		a := r.account()
		accounts[a.ID] = &a
	}
	return accounts, nil
}

// sqlWrite puts a whole batch into the book in one round trip.
const sqlWrite = `
with written as (
    insert into entry (id, at, kind, ref, reverses, memo, chain, block, digest)
    select id, $1, kind, ref, nullif(reverses, 0), memo, $2, $3, decode(digest, 'hex')
    from unnest($4::bigint[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::text[]) as e (id, kind, ref, reverses, memo, digest)
), lines as (
    insert into posting (entry, n, why, debit, credit, amount, debit_after, credit_after)
    select * from unnest($10::bigint[], $11::smallint[], $12::text[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[])
), sealed as (
    insert into block (chain, n, entries, digest) values ($2, $3, $18, decode($19, 'hex'))
)
update account set balance = u.balance, day = u.day, day_spent = u.spent
from unnest($20::bigint[], $21::bigint[], $22::date[], $23::bigint[]) as u (id, balance, day, spent)
where account.id = u.id`

const sqlNewChain = `select nextval('chain_id')`

// write stores the accepted entries, seals them as the next block of the
// poster's chain and stores the accounts as they are afterwards.
func (p *poster) write(ctx context.Context, tx *db.Tx, accepted []Accepted, accounts map[AccountID]*Account) (seal, error) {
	s := seal{chain: p.chain, n: p.n + 1}
	head := p.head
	if s.chain == 0 {
		if err := tx.Get(ctx, &s.chain, sqlNewChain); err != nil {
			return seal{}, fmt.Errorf("ledger: opening a chain: %w", err)
		}
		s.n, head = 1, genesis(s.chain)
	}
	var e entryColumns
	var l postingColumns
	for _, a := range accepted {
		e.add(a)
		l.add(a.Receipt)
	}
	s.digest = blockDigest(head, s.chain, s.n, e.digests)
	var c accountColumns
	for _, id := range touchedBy(accepted) {
		c.add(accounts[AccountID(id)])
	}
	n, err := tx.Exec(ctx, sqlWrite, tx.Now, s.chain, s.n,
		db.Array(e.ids), db.Array(e.kinds), db.Array(e.refs), db.Array(e.reverses), db.Array(e.memos), db.Array(e.hex()),
		db.Array(l.entries), db.Array(l.ns), db.Array(l.whys), db.Array(l.debits), db.Array(l.credits), db.Array(l.amounts), db.Array(l.debitAfters), db.Array(l.creditAfters),
		len(accepted), fmt.Sprintf("%x", s.digest),
		db.Array(c.ids), db.Array(c.balances), db.Array(c.days), db.Array(c.spents))
	if err == nil && n != int64(len(c.ids)) {
		err = fmt.Errorf("%d of %d accounts updated", n, len(c.ids))
	}
	if err != nil {
		return seal{}, fmt.Errorf("ledger: writing: %w", err)
	}
	return s, nil
}

func touchedBy(accepted []Accepted) []int64 {
	touched := map[AccountID]bool{}
	for _, a := range accepted {
		for _, p := range a.Receipt.Postings {
			touched[p.Debit], touched[p.Credit] = true, true
		}
	}
	return sortedIDs(touched)
}

// The columns of a batch, as arrays for unnest.

type entryColumns struct {
	ids, reverses      []int64
	kinds, refs, memos []string
	digests            [][]byte
}

func (c *entryColumns) add(a Accepted) {
	memo := memoText(a.Entry.Memo)
	c.ids = append(c.ids, int64(a.Receipt.ID))
	c.kinds = append(c.kinds, a.Entry.Kind)
	c.refs = append(c.refs, a.Entry.Ref)
	c.reverses = append(c.reverses, int64(a.Entry.Reverses))
	c.memos = append(c.memos, memo)
	c.digests = append(c.digests, entryDigest(a.Receipt.ID, a.Receipt.At, a.Entry.Kind, a.Entry.Ref, a.Entry.Reverses, memo, a.Receipt.Postings))
}

func (c *entryColumns) hex() []string {
	s := make([]string, len(c.digests))
	for i, d := range c.digests {
		s[i] = fmt.Sprintf("%x", d)
	}
	return s
}

type postingColumns struct {
	entries, ns, debits, credits, amounts, debitAfters, creditAfters []int64
	whys                                                             []string
}

func (c *postingColumns) add(r Receipt) {
	for i, p := range r.Postings {
		c.entries = append(c.entries, int64(r.ID))
		c.ns = append(c.ns, int64(i))
		c.whys = append(c.whys, string(p.Why))
		c.debits = append(c.debits, int64(p.Debit))
		c.credits = append(c.credits, int64(p.Credit))
		c.amounts = append(c.amounts, int64(p.Amount))
		c.debitAfters = append(c.debitAfters, int64(p.DebitAfter))
		c.creditAfters = append(c.creditAfters, int64(p.CreditAfter))
	}
}

type accountColumns struct {
	ids, balances, spents []int64
	days                  []string
}

func (c *accountColumns) add(a *Account) {
	c.ids = append(c.ids, int64(a.ID))
	c.balances = append(c.balances, int64(a.Balance))
	c.spents = append(c.spents, int64(a.DaySpent))
	c.days = append(c.days, a.Day.Format(time.DateOnly))
}

// ByRef finds an entry by its Ref; ErrNotFound when it does not stand.
func (b *Book) ByRef(ctx context.Context, ref string) (Receipt, error) {
	return b.one(b.load(ctx, b.pool, sqlEntriesByRef, []string{ref}))
}

// ByCode finds an entry by its receipt's code; ErrNotACode or ErrNotFound.
func (b *Book) ByCode(ctx context.Context, code string) (Receipt, error) {
	low, err := b.codes.entry(code)
	if err != nil {
		return Receipt{}, err
	}
	r, err := b.one(b.load(ctx, b.pool, sqlEntriesByID, []int64{int64(low)}))
	if err == nil && r.Code != code {
		err = ErrNotFound
	}
	if err != nil {
		return Receipt{}, err
	}
	return r, nil
}

func (b *Book) one(entries []stored, err error) (Receipt, error) {
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
	if err := b.pool.Select(ctx, &ids, sqlStatement, int64(id), int64(before), limit); err != nil {
		return nil, fmt.Errorf("ledger: statement of account %d: %w", id, err)
	}
	entries, err := b.load(ctx, b.pool, sqlEntriesByID, ids)
	if err != nil {
		return nil, err
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].ID > entries[j].ID })
	receipts := make([]Receipt, len(entries))
	for i, e := range entries {
		receipts[i] = e.Receipt
	}
	return receipts, nil
}
