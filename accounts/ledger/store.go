package ledger

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"tuma/internal/db"
)

// houses remembers the currency of the house's accounts: a few dozen at most.
// They have no rules, so nothing else of them is read before they are moved.
type houses struct {
	mu       sync.RWMutex
	currency map[AccountID]string // by whole account
}

const sqlHouses = `select first, currency from house_account`

// currencyOf gives a house account's currency, "" when there is no such account.
func (h *houses) currencyOf(ctx context.Context, tx *db.Tx, id AccountID) (string, error) {
	h.mu.RLock()
	c, ok := h.currency[whole(id)]
	h.mu.RUnlock()
	if ok {
		return c, nil
	}
	var rows []struct {
		First    AccountID `db:"first"`
		Currency string    `db:"currency"`
	}
	if err := tx.Select(ctx, &rows, sqlHouses); err != nil {
		return "", fmt.Errorf("ledger: house accounts: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.currency = make(map[AccountID]string, len(rows))
	for _, r := range rows {
		h.currency[r.First] = r.Currency
	}
	return h.currency[whole(id)], nil
}

const (
	sqlRead = `
select id, kind, currency, balance, floor, ceiling, status, day_limit, day, day_spent from account where id = any($1)`
	sqlLock = sqlRead + ` order by id for update`
)

// accounts gives every account that a batch touches, the house's on the poster's
// stripes. A hopeful batch gets them blank: without rules and in no currency.
// For a careful one their rows are held, in the order of the ids, so that two
// batches never wait for each other in a circle.
func (b *Book) accounts(ctx context.Context, tx *db.Tx, batch []*request, originals map[EntryID]original, lane int, how mode) (map[AccountID]*Account, error) {
	touched := make(map[AccountID]bool, 2*len(batch))
	for _, r := range batch {
		for _, p := range r.entry.Postings {
			touched[p.Debit], touched[p.Credit] = true, true
		}
		for _, p := range originals[r.entry.Reverses].Postings {
			touched[p.Debit], touched[p.Credit] = true, true
		}
	}
	accounts := make(map[AccountID]*Account, len(touched))
	for id := range touched {
		if id >= houseEnds {
			continue
		}
		delete(touched, id)
		currency, err := b.houses.currencyOf(ctx, tx, id)
		if err != nil {
			return nil, err
		}
		if currency != "" {
			s := stripe(id, lane)
			accounts[s] = &Account{ID: s, Currency: currency}
		}
	}
	if how == hopeful {
		for _, a := range accounts { // the house's are as blank as the others
			*a = Account{ID: a.ID}
		}
		blank := make([]Account, 0, len(touched))
		for id := range touched {
			blank = append(blank, Account{ID: id})
			accounts[id] = &blank[len(blank)-1]
		}
		return accounts, nil
	}
	query := sqlRead
	if how == careful {
		query = sqlLock
	}
	var rows []accountRow
	if err := tx.Select(ctx, &rows, query, db.Array(sortedIDs(touched))); err != nil {
		return nil, fmt.Errorf("ledger: reading accounts: %w", err)
	}
	for _, r := range rows {
		a := r.account()
		accounts[a.ID] = &a
	}
	return accounts, nil
}

const sqlNewChain = `select nextval('chain_id')`

// nextSeal is the block that the poster writes next, still without its digest.
func (p *poster) nextSeal(ctx context.Context, tx *db.Tx) (seal, error) {
	s := seal{chain: p.chain, n: p.n + 1}
	if s.chain == 0 {
		if err := tx.Get(ctx, &s.chain, sqlNewChain); err != nil {
			return seal{}, fmt.Errorf("ledger: opening a chain: %w", err)
		}
		s.n = 1
	}
	return s, nil
}

// How many numbers a poster draws at a time (the increment of the sequence), and
// how long it keeps them: an audit since a seal begins at the lowest number that
// was used since, so an idle poster must not come back with old ones.
const (
	numbersDrawn = 1024
	numbersLast  = 10 * time.Second
)

const sqlNumbers = `select nextval('entry_number')`

// number gives the ids of n entries, one after the other: the first one. Numbers of
// a transaction that fails are never used again.
func (p *poster) number(ctx context.Context, tx *db.Tx, n int) (EntryID, error) {
	if age := tx.Now.Sub(p.drawn); p.spare < int64(n) || age < 0 || age > numbersLast {
		if err := tx.Get(ctx, &p.next, sqlNumbers); err != nil {
			return 0, fmt.Errorf("ledger: drawing numbers: %w", err)
		}
		p.spare, p.drawn = numbersDrawn, tx.Now
	}
	first := EntryID(monthOf(tx.Now, p.book.zone)<<monthBits | p.next)
	p.next, p.spare = p.next+int64(n), p.spare-int64(n)
	return first, nil
}

// name gives the accepted entries their ids and codes.
func (b *Book) name(accepted []Accepted, first EntryID) {
	for i := range accepted {
		r := &accepted[i].Receipt
		r.ID = first + EntryID(i)
		r.Code = b.codes.code(r.ID, r.At)
	}
}

// finish completes the accepted entries with the balances and entries before
// them, seals them as the next block of the poster's chain, and makes the
// receipts that the callers get.
func (p *poster) finish(j *judged, s *seal, n nets, c *entryColumns) {
	sealed := sha256.New()
	for i := range j.accepted {
		a := &j.accepted[i]
		r := &a.Receipt
		for k := range r.Afters {
			after := &r.Afters[k]
			x := n[after.Account]
			after.Balance += x.shift
			c.accounts = append(c.accounts, int64(after.Account))
			c.afters = append(c.afters, int64(after.Balance))
			c.befores = append(c.befores, int64(x.before))
			x.before = r.ID
		}
		c.touched = append(c.touched, int64(len(c.accounts)))
		var digest []byte
		digest, p.scratch = entryDigest(p.scratch, r.ID, r.At, r.Kind, a.Entry.Ref, a.Entry.Reverses, c.memos[i], r.Postings, r.Afters)
		sealed.Write(digest)
		c.digests = append(c.digests, digest)
		for k := range r.Postings {
			q := &r.Postings[k]
			q.Debit, q.Credit = whole(q.Debit), whole(q.Credit)
		}
		j.answers[j.places[i]] = answer{receipt: *r}
	}
	j.answerTwins()
	head := p.head
	if s.n == 1 {
		head = genesis(s.chain)
	}
	s.digest = blockDigest(head, s.chain, s.n, int64(len(j.accepted)), sealed.Sum(nil))
}

// answerTwins answers the entries whose Ref another one of the batch had first.
func (j *judged) answerTwins() {
	at := map[int]int{}
	for k, place := range j.places {
		at[place] = k
	}
	for i := range j.answers {
		if twin, ok := j.answers[i].err.(sameAs); ok {
			a := j.accepted[at[int(twin)]]
			j.answers[i] = again(stored{Receipt: a.Receipt, ref: a.Entry.Ref, reverses: a.Entry.Reverses}, j.batch[i].entry)
		}
	}
}

// entryColumns are the entries of a batch. An array of arrays would be flattened
// by unnest, so the lists of all entries lie behind one another, and each entry
// says where its own end.
type entryColumns struct {
	ids                 []int64
	kinds, memos, whys  []string
	digests             [][]byte
	reverses, reversing []int64

	debits, credits, amounts  []int64
	postings                  []int64 // of each entry: where its postings end
	accounts, afters, befores []int64
	touched                   []int64 // of each entry: where its accounts end
}

// entryColumnsOf is what is known of the entries before the balances are.
func entryColumnsOf(accepted []Accepted) *entryColumns {
	n := len(accepted)
	c := &entryColumns{digests: make([][]byte, 0, n)}
	for _, s := range []*[]string{&c.kinds, &c.memos, &c.whys} {
		*s = make([]string, 0, n)
	}
	for _, s := range []*[]int64{&c.ids, &c.postings, &c.touched} {
		*s = make([]int64, 0, n)
	}
	for _, s := range []*[]int64{&c.debits, &c.credits, &c.amounts, &c.accounts, &c.afters, &c.befores} {
		*s = make([]int64, 0, 4*n)
	}
	var whys []byte
	for i := range accepted {
		a := &accepted[i]
		c.ids = append(c.ids, int64(a.Receipt.ID))
		c.kinds = append(c.kinds, a.Entry.Kind)
		c.memos = append(c.memos, a.memo)
		whys = whys[:0]
		for k, p := range a.Receipt.Postings {
			if k > 0 {
				whys = append(whys, ',')
			}
			whys = append(whys, p.Why...) // letters only; check sees to it
			c.debits = append(c.debits, int64(p.Debit))
			c.credits = append(c.credits, int64(p.Credit))
			c.amounts = append(c.amounts, int64(p.Amount))
		}
		c.whys = append(c.whys, string(whys))
		c.postings = append(c.postings, int64(len(c.amounts)))
		if a.Entry.Reverses != 0 {
			c.reverses = append(c.reverses, int64(a.Entry.Reverses))
			c.reversing = append(c.reversing, int64(a.Receipt.ID))
		}
	}
	return c
}

// sqlStore puts a whole batch into the book in one round trip. An entry's lists begin where those of the entry
// before it end.
const sqlStore = `
with reversals as (
    insert into reversal (reverses, entry) select unnest($5::bigint[]), unnest($6::bigint[])
), entries as (
    insert into entry (id, at, chain, block, kind, memo, whys, debits, credits, amounts, accounts, afters, befores, digest)
    select id, $1, $2, $3, kind, memo, whys, ($7::bigint[])[p:q], ($8::bigint[])[p:q], ($9::bigint[])[p:q],
           ($10::bigint[])[s:t], ($11::bigint[])[s:t], ($12::bigint[])[s:t], digest
    from (select unnest($4::bigint[]) as id, unnest($13::text[]) as kind, unnest($14::text[]) as memo, unnest($15::text[]) as whys, unnest($16::bytea[]) as digest,
                 unnest($17::bigint[]) as p, unnest($18::bigint[]) as q, unnest($19::bigint[]) as s, unnest($20::bigint[]) as t) e
) /* carried */
insert into block (chain, n, first, entries, digest) values ($2, $3, $21, $22, $23)`

// last: COMMIT goes with it.
func (c *entryColumns) store(ctx context.Context, tx *db.Tx, s seal, last bool) error {
	args := []any{tx.Now, s.chain, s.n,
		db.Array(c.ids), db.Array(c.reverses), db.Array(c.reversing),
		db.Array(c.debits), db.Array(c.credits), db.Array(c.amounts), db.Array(c.accounts), db.Array(c.afters), db.Array(c.befores),
		db.Array(c.kinds), db.Array(c.memos), db.Array(c.whys), db.Array(c.digests),
		db.Array(begins(c.postings)), db.Array(c.postings), db.Array(begins(c.touched)), db.Array(c.touched),
		c.ids[0], len(c.ids), s.digest}
	var err error
	if last {
		_, err = tx.ExecLast(ctx, sqlStore, args...)
	} else {
		_, err = tx.Exec(ctx, sqlStore, args...)
	}
	if err != nil {
		return fmt.Errorf("ledger: writing: %w", err)
	}
	return nil
}

// begins are the places, counted from one, where lists begin that end at ends.
func begins(ends []int64) []int64 {
	b := make([]int64, len(ends))
	for i := range b {
		b[i] = 1
		if i > 0 {
			b[i] = ends[i-1] + 1
		}
	}
	return b
}
