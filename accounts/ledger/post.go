package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tuma/internal/db"
)

// How the queue is served.
const (
	queueLength   = 4096 // beyond it callers are told ErrBusy at once: a full queue is seconds long
	batchSize     = 256  // entries of one commit
	batchTimeout  = 12 * time.Second
	unknownTries  = 20 // of a batch whose commit got no answer; asking again is safe, the Refs decide
	unknownPause  = 100 * time.Millisecond
	idBlock       = 64 // entry numbers taken at a time; entry_id's increment
	defaultPoster = 2
)

// Config is what a Book needs besides its database.
type Config struct {
	Zone       *time.Location // of the day's limit and of receipts
	ReceiptKey []byte         // keyed permutation of receipts; the same in every process
	Posters    int            // commits under way at once; 0: 2
	Hooks      []Hook
}

// Book is the way to post and to read. It is safe for concurrent use, and
// several processes may each have one on the same database.
type Book struct {
	pool  *db.Pool
	zone  *time.Location
	codes codes
	hooks []Hook

	queue  chan *request
	closed chan struct{}
	ended  chan struct{} // closed when the posters have ended
	once   sync.Once
	done   sync.WaitGroup
	ids    ids
}

type request struct {
	ctx    context.Context
	entry  Entry
	answer chan answer // room for one: the poster never waits
}

type answer struct {
	receipt Receipt
	err     error
}

// New opens the book and starts its posters.
func New(pool *db.Pool, c Config) (*Book, error) {
	if c.Zone == nil || len(c.ReceiptKey) < 16 {
		return nil, errors.New("ledger: the book needs a time zone and a receipt key of at least 16 bytes")
	}
	if c.Posters == 0 {
		c.Posters = defaultPoster
	}
	b := &Book{
		pool: pool, zone: c.Zone, codes: codes{c.ReceiptKey, c.Zone}, hooks: c.Hooks,
		queue: make(chan *request, queueLength), closed: make(chan struct{}), ended: make(chan struct{}),
	}
	for range c.Posters {
		p := &poster{book: b}
		b.done.Go(p.run)
	}
	return b, nil
}

// Close refuses new entries, lets those in the queue be posted, and returns
// when the posters have ended.
func (b *Book) Close() {
	b.once.Do(func() {
		close(b.closed)
		b.done.Wait()
		close(b.ended)
	})
}

// Day is the date of an instant in the book's time zone, as midnight UTC.
func (b *Book) Day(at time.Time) time.Time {
	at = at.In(b.zone)
	return time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
}

// Post puts an entry into the book and returns when it stands there for good.
//
// The same Ref again gives the first receipt, marked Again, whatever happened
// to the earlier callers; with different content it is refused with RefReused.
// The error is a Refusal, or one of ErrMalformed, ErrBusy, ErrClosed,
// ErrNotPosted (nothing happened), ErrUnknown (post again with the same Ref),
// or a fault of the database (nothing happened).
func (b *Book) Post(ctx context.Context, e Entry) (Receipt, error) {
	if err := e.check(); err != nil {
		return Receipt{}, err
	}
	r := &request{ctx: ctx, entry: e, answer: make(chan answer, 1)}
	select {
	case <-b.closed:
		return Receipt{}, ErrClosed
	case <-ctx.Done():
		return Receipt{}, fmt.Errorf("%w: %w", ErrNotPosted, ctx.Err())
	default:
	}
	select {
	case b.queue <- r:
	default:
		return Receipt{}, ErrBusy
	}
	select {
	case a := <-r.answer:
		return a.receipt, a.err
	case <-ctx.Done():
		return Receipt{}, fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())
	case <-b.ended:
		// The posters ended between our look at closed and our place in the
		// queue; nobody will take the entry.
		select {
		case a := <-r.answer:
			return a.receipt, a.err
		default:
			return Receipt{}, ErrClosed
		}
	}
}

// poster takes entries from the queue and commits them in batches, each batch a
// block of its own chain.
type poster struct {
	book  *Book
	chain int64 // 0: a new one is opened with the next batch
	n     int64
	head  []byte
}

func (p *poster) run() {
	for {
		batch := p.next()
		if len(batch) == 0 {
			return
		}
		p.serve(batch)
	}
}

// next waits for one entry and takes those that are already behind it: a lone
// caller waits for nobody.
func (p *poster) next() []*request {
	var batch []*request
	select {
	case r := <-p.book.queue:
		batch = append(batch, r)
	case <-p.book.closed:
	}
	for len(batch) < batchSize {
		select {
		case r := <-p.book.queue:
			batch = append(batch, r)
			continue
		default:
		}
		break
	}
	waiting := batch[:0]
	for _, r := range batch {
		if err := r.ctx.Err(); err != nil {
			r.answer <- answer{err: fmt.Errorf("%w: %w", ErrNotPosted, err)}
			continue
		}
		waiting = append(waiting, r)
	}
	if len(waiting) == 0 && len(batch) > 0 {
		return p.next()
	}
	return waiting
}

// serve commits a batch and answers its callers. A batch that fails as a whole
// is tried entry by entry, so that one which the database cannot take does not
// hurt its neighbours.
func (p *poster) serve(batch []*request) {
	answers, err := p.commit(batch)
	if err != nil && len(batch) > 1 && !errors.Is(err, ErrUnknown) {
		for _, r := range batch {
			p.serve([]*request{r})
		}
		return
	}
	for i, r := range batch {
		if err != nil {
			r.answer <- answer{err: err}
		} else {
			r.answer <- answers[i]
		}
	}
}

// commit runs a batch in one transaction. When the commit's answer is lost it
// runs the batch again: whatever stands is found by its Ref.
func (p *poster) commit(batch []*request) ([]answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), batchTimeout)
	defer cancel()
	for try := 1; ; try++ {
		var answers []answer
		var sealed seal
		err := p.book.pool.InTx(ctx, func(tx *db.Tx) (err error) {
			answers, sealed, err = p.attempt(ctx, tx, batch)
			return err
		})
		switch {
		case err == nil:
			if sealed.n > 0 {
				p.chain, p.n, p.head = sealed.chain, sealed.n, sealed.digest
			}
			return answers, nil
		case errors.Is(err, db.ErrUnknown):
			p.chain = 0 // the block may stand or not: never build on it
			if try == unknownTries || ctx.Err() != nil {
				return nil, fmt.Errorf("%w: %w", ErrUnknown, err)
			}
			time.Sleep(unknownPause)
		case db.Violates(err, "ref_is_posted_once"), db.Violates(err, "entry_is_reversed_once"):
			// Another process was faster by a moment; look again.
			if try == unknownTries {
				return nil, fmt.Errorf("ledger: posting: %w", err)
			}
		default:
			if try > 1 {
				// An earlier try's outcome is unknown and cannot be asked for now.
				return nil, fmt.Errorf("%w: %w", ErrUnknown, err)
			}
			return nil, fmt.Errorf("ledger: posting: %w", err)
		}
	}
}

type seal struct {
	chain, n int64
	digest   []byte
}

// attempt is one transaction's worth of posting.
func (p *poster) attempt(ctx context.Context, tx *db.Tx, batch []*request) ([]answer, seal, error) {
	b := p.book
	known, err := b.known(ctx, tx, batch)
	if err != nil {
		return nil, seal{}, err
	}
	originals, err := b.originals(ctx, tx, batch)
	if err != nil {
		return nil, seal{}, err
	}
	accounts, err := lock(ctx, tx, batch, originals)
	if err != nil {
		return nil, seal{}, err
	}
	answers := make([]answer, len(batch))
	var accepted []Accepted
	today := b.Day(tx.Now)
	for i, r := range batch {
		if first, ok := known[r.entry.Ref]; ok {
			answers[i] = again(first, r.entry)
			continue
		}
		postings, refusal := content(r.entry, originals)
		var posted []Posted
		if refusal == nil {
			posted, refusal = decide(accounts, postings, today)
		}
		if refusal != nil {
			answers[i] = answer{err: *refusal}
			continue
		}
		id, err := b.ids.next(ctx, tx)
		if err != nil {
			return nil, seal{}, err
		}
		receipt := Receipt{ID: id, Code: b.codes.code(id, tx.Now), At: tx.Now, Kind: r.entry.Kind, Postings: posted, Memo: r.entry.Memo}
		accepted = append(accepted, Accepted{Entry: r.entry, Receipt: receipt})
		answers[i] = answer{receipt: receipt}
		known[r.entry.Ref] = stored{Receipt: receipt, ref: r.entry.Ref, reverses: r.entry.Reverses}
		if r.entry.Reverses != 0 {
			o := originals[r.entry.Reverses]
			o.reversed = true
			originals[r.entry.Reverses] = o
		}
	}
	if len(accepted) == 0 {
		return answers, seal{}, nil
	}
	s, err := p.write(ctx, tx, accepted, accounts)
	if err != nil {
		return nil, seal{}, err
	}
	for _, hook := range b.hooks {
		if err := hook(ctx, tx, accepted); err != nil {
			return nil, seal{}, fmt.Errorf("hook: %w", err)
		}
	}
	return answers, s, nil
}

// again answers an entry whose Ref stands in the book already.
func again(first stored, e Entry) answer {
	same := first.Kind == e.Kind && first.reverses == e.Reverses && (e.Reverses != 0 || len(first.Postings) == len(e.Postings))
	for i := 0; same && i < len(e.Postings); i++ {
		same = first.Postings[i].Posting == e.Postings[i]
	}
	if !same {
		return answer{err: Refusal{Rule: RefReused}}
	}
	first.Receipt.Again = true
	return answer{receipt: first.Receipt}
}

// content is what an entry posts: its own postings, or the mirror of the entry
// that it reverses.
func content(e Entry, originals map[EntryID]original) ([]Posting, *Refusal) {
	if e.Reverses == 0 {
		return e.Postings, nil
	}
	o, ok := originals[e.Reverses]
	switch {
	case !ok:
		return nil, &Refusal{Rule: NoSuchEntry}
	case o.reversed || o.reverses != 0:
		return nil, &Refusal{Rule: ReversedBefore}
	}
	mirror := make([]Posting, len(o.Postings))
	for i, p := range o.Postings {
		mirror[len(mirror)-1-i] = Posting{Why: Reversed, Debit: p.Credit, Credit: p.Debit, Amount: p.Amount}
	}
	return mirror, nil
}

// ids hands out entry numbers from blocks of the sequence. A number taken by a
// commit that fails is lost: the numbers have gaps, and promise none.
type ids struct {
	mu        sync.Mutex
	at, until EntryID
}

const sqlNextIDs = `select nextval('entry_id')`

func (s *ids) next(ctx context.Context, tx *db.Tx) (EntryID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == s.until {
		if err := tx.Get(ctx, &s.at, sqlNextIDs); err != nil {
			return 0, fmt.Errorf("ledger: entry numbers: %w", err)
		}
		s.until = s.at + idBlock
	}
	s.at++
	return s.at - 1, nil
}
