package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"sync"

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
		for id, a := range accounts { // the house's are as blank as the others
			accounts[id] = &Account{ID: a.ID}
		}
		for id := range touched {
			accounts[id] = &Account{ID: id}
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

// sqlWrite puts a whole batch into the book in one round trip. An entry's lists
// come as the text of an array each, since a list of lists would be flattened.
const sqlWrite = `
with refs as (
    insert into entry_ref (ref, entry) select * from unnest($5::text[], $4::bigint[])
), reversals as (
    insert into reversal (reverses, entry) select * from unnest($6::bigint[], $7::bigint[])
), entries as (
    insert into entry (id, at, chain, block, kind, memo, whys, debits, credits, amounts, digest)
    select id, $1, $2, $3, kind, memo, whys::text[], debits::bigint[], credits::bigint[], amounts::bigint[], decode(digest, 'hex')
    from unnest($4::bigint[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[])
         as e (id, kind, memo, whys, debits, credits, amounts, digest)
), statements as (
    insert into statement (account, entry, after) select * from unnest($15::bigint[], $16::bigint[], $17::bigint[])
)
insert into block (chain, n, first, entries, digest) values ($2, $3, $20, $18, decode($19, 'hex'))`

// write numbers the accepted entries, stores them and seals them as the next
// block of the poster's chain; then their receipts are what the callers get.
func (p *poster) write(ctx context.Context, tx *db.Tx, j *judged, s *seal, numbers []int64) error {
	month := monthOf(tx.Now, p.book.zone)
	e := newEntryColumns(len(numbers))
	sealed := sha256.New()
	for i := range j.accepted {
		a := &j.accepted[i]
		r := &a.Receipt
		r.ID = EntryID(month<<monthBits | numbers[i])
		r.Code = p.book.codes.code(r.ID, tx.Now)
		memo := memoText(a.Entry.Memo)
		var digest []byte
		digest, p.scratch = entryDigest(p.scratch, r.ID, r.At, r.Kind, a.Entry.Ref, a.Entry.Reverses, memo, r.Postings, r.Afters)
		sealed.Write(digest)
		e.add(a, memo, digest)
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
	s.digest = blockDigest(head, s.chain, s.n, int64(len(numbers)), sealed.Sum(nil))
	_, err := tx.Exec(ctx, sqlWrite, tx.Now, s.chain, s.n,
		db.Array(e.ids), db.Array(e.refs), db.Array(e.reverses), db.Array(e.reversing), db.Array(e.kinds), db.Array(e.memos),
		db.Array(e.whys), db.Array(e.debits), db.Array(e.credits), db.Array(e.amounts), db.Array(e.digests),
		db.Array(e.accounts), db.Array(e.touching), db.Array(e.afters),
		len(numbers), hex.EncodeToString(s.digest), e.ids[0])
	if err != nil {
		return fmt.Errorf("ledger: writing: %w", err)
	}
	return nil
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

// The columns of a batch, as arrays for unnest.

type moveColumns struct {
	ids, deltas, lows, highs, spents []int64
	debited                          []bool
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
}

type entryColumns struct {
	ids                            []int64
	refs, kinds, memos, digests    []string
	whys, debits, credits, amounts []string // an array's text for each entry
	reverses, reversing            []int64
	accounts, touching, afters     []int64 // of the statements
}

func newEntryColumns(n int) *entryColumns {
	c := &entryColumns{ids: make([]int64, 0, n)}
	for _, s := range []*[]string{&c.refs, &c.kinds, &c.memos, &c.digests, &c.whys, &c.debits, &c.credits, &c.amounts} {
		*s = make([]string, 0, n)
	}
	for _, s := range []*[]int64{&c.accounts, &c.touching, &c.afters} {
		*s = make([]int64, 0, 3*n)
	}
	return c
}

func (c *entryColumns) add(a *Accepted, memo string, digest []byte) {
	r := &a.Receipt
	c.ids = append(c.ids, int64(r.ID))
	c.refs = append(c.refs, a.Entry.Ref)
	c.kinds = append(c.kinds, a.Entry.Kind)
	c.memos = append(c.memos, memo)
	c.digests = append(c.digests, hex.EncodeToString(digest))
	c.whys = append(c.whys, list(r.Postings, func(b []byte, p Posting) []byte { return append(b, p.Why...) }))
	c.debits = append(c.debits, list(r.Postings, func(b []byte, p Posting) []byte { return strconv.AppendInt(b, int64(p.Debit), 10) }))
	c.credits = append(c.credits, list(r.Postings, func(b []byte, p Posting) []byte { return strconv.AppendInt(b, int64(p.Credit), 10) }))
	c.amounts = append(c.amounts, list(r.Postings, func(b []byte, p Posting) []byte { return strconv.AppendInt(b, int64(p.Amount), 10) }))
	if a.Entry.Reverses != 0 {
		c.reverses = append(c.reverses, int64(a.Entry.Reverses))
		c.reversing = append(c.reversing, int64(r.ID))
	}
	for _, x := range r.Afters {
		c.accounts = append(c.accounts, int64(x.Account))
		c.touching = append(c.touching, int64(r.ID))
		c.afters = append(c.afters, int64(x.Balance))
	}
}

// list writes one thing of each posting as the text of an array. A Why has
// letters only; check sees to it.
func list(postings []Posting, thing func(b []byte, p Posting) []byte) string {
	b := make([]byte, 0, 16*len(postings))
	b = append(b, '{')
	for i, p := range postings {
		if i > 0 {
			b = append(b, ',')
		}
		b = thing(b, p)
	}
	return string(append(b, '}'))
}
