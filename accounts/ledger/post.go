package ledger

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"tuma/internal/db"
)

// How the queue is served.
const (
	queueLength    = 16384           // callers that may wait, whatever the speed
	leastQueue     = 512             // callers that may always wait, however slow it is
	longestWait    = 2 * time.Second // beyond it a caller is told ErrBusy at once
	batchSize      = 256             // entries of one commit
	batchTimeout   = 12 * time.Second
	defaultPosters = 2
)

// Config is what a Book needs besides its database.
type Config struct {
	Zone       *time.Location // of the day's limit and of receipts
	ReceiptKey []byte         // keyed permutation of receipts; the same in every process
	Posters    int            // commits under way at once; 0: 2. The pool has more connections for batches than that
	Hooks      []Hook
	After      func()      // called after each commit that accepted something; must not wait
	Watch      func(Batch) // told of every batch that was served; must not wait. nil: nobody
}

// Book is the way to post and to read. It is safe for concurrent use, and
// several processes may each have one on the same database. Nothing in it grows
// with the number of accounts.
type Book struct {
	pool   *db.Pool
	zone   *time.Location
	codes  codes
	hooks  []Hook
	after  func()
	watch  func(Batch)
	busy   atomic.Int64 // callers told ErrBusy
	houses houses
	pace   pace
	plan   schedule

	queue  chan *request
	closed chan struct{}
	ended  chan struct{} // closed when the posters have ended
	once   sync.Once
	done   sync.WaitGroup
}

// request is one caller's entry on its way.
type request struct {
	entry  Entry
	memo   string // as it is stored
	state  atomic.Int32
	answer chan answer // room for one: the poster never waits

	handedOn bool // from one poster to another
}

// The states of a request. Whoever moves it out of waiting decides: a poster
// that takes it, or a caller that gives up and then knows that nothing happened.
const (
	waiting int32 = iota
	taken
	withdrawn
)

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
		c.Posters = defaultPosters
	}
	codes, err := newCodes(c.ReceiptKey, c.Zone)
	if err != nil {
		return nil, err
	}
	b := &Book{
		pool: pool, zone: c.Zone, codes: codes, hooks: c.Hooks, after: c.After, watch: c.Watch,
		plan: schedule{busy: map[AccountID]*poster{}}, queue: make(chan *request, queueLength), closed: make(chan struct{}), ended: make(chan struct{}),
	}
	if err := b.openMonths(context.Background(), pool.Now()); err != nil {
		return nil, err
	}
	b.done.Go(b.keepMonths)
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
// ErrNotPosted (nothing happened), ErrUnknown (post again with the same Ref, or
// ask ByRef), or a fault of the database (nothing happened).
func (b *Book) Post(ctx context.Context, e Entry) (Receipt, error) {
	memo, err := e.check()
	if err != nil {
		return Receipt{}, err
	}
	r := &request{entry: e, memo: memo, answer: make(chan answer, 1)}
	select {
	case <-b.closed:
		return Receipt{}, ErrClosed
	case <-ctx.Done():
		return Receipt{}, fmt.Errorf("%w: %w", ErrNotPosted, ctx.Err())
	default:
	}
	if len(b.queue) >= b.pace.room() {
		b.busy.Add(1)
		return Receipt{}, ErrBusy
	}
	select {
	case b.queue <- r:
	default:
		b.busy.Add(1)
		return Receipt{}, ErrBusy
	}
	select {
	case a := <-r.answer:
		return a.receipt, a.err
	case <-ctx.Done():
		if r.state.CompareAndSwap(waiting, withdrawn) {
			return Receipt{}, fmt.Errorf("%w: %w", ErrNotPosted, ctx.Err())
		}
		return Receipt{}, fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())
	case <-b.ended:
		// The posters ended between our look at closed and our place in the
		// queue; nobody will take the entry now.
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
	book    *Book
	chain   int64 // 0: a new one is opened with the next batch
	n       int64
	head    []byte
	calm    int // batches in a row without a refusal
	batch   []*request
	scratch []byte

	next, spare int64     // numbers drawn and not used yet
	drawn       time.Time // when

	claimed []AccountID // of the batch under way; schedule.mu guards both
	backlog []*request  // handed to this poster for its next batch
}

func (p *poster) run() {
	for p.fill() {
		began := p.book.pool.Now()
		p.serve(p.batch)
		p.book.pace.served(len(p.batch), p.book.pool.Now().Sub(began))
		p.letCallersRun()
	}
}

// letCallersRun lets those go on who were answered, and whoever else is about to
// post: they are in the next batch then and not in the one after it. Each batch
// has a cost of its own, so fewer and fuller ones are served faster. Nobody is
// waited for: it ends when nothing more has come.
func (p *poster) letCallersRun() {
	for before := -1; len(p.book.queue) > before && len(p.book.queue) < batchSize; {
		before = len(p.book.queue)
		runtime.Gosched()
	}
}

// fill fills the batch: it waits for one entry and takes those that are already
// behind it. A lone caller waits for nobody. It is false when the book is
// closed and the queue empty.
func (p *poster) fill() bool {
	p.batch = p.batch[:0]
	for _, r := range p.book.plan.release(p, batchSize) {
		p.take(r)
	}
	for len(p.batch) == 0 {
		select {
		case r := <-p.book.queue:
			p.take(r)
		case <-p.book.closed:
			select {
			case r := <-p.book.queue:
				p.take(r)
			default:
				return false
			}
		}
	}
	for len(p.batch) < batchSize {
		select {
		case r := <-p.book.queue:
			p.take(r)
		default:
			return true
		}
	}
	return true
}

func (p *poster) take(r *request) {
	if !r.handedOn && !r.state.CompareAndSwap(waiting, taken) {
		return // its caller has given up
	}
	if p.book.plan.claim(p, r) {
		p.batch = append(p.batch, r)
	}
}

// serve commits a batch and answers its callers. A batch that the database
// cannot take is tried entry by entry, so that one does not hurt its neighbours.
func (p *poster) serve(batch []*request) {
	began := p.book.pool.Now()
	answers, err := p.commit(batch)
	if err != nil && len(batch) > 1 && ofOneEntry(err) {
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
	if p.book.watch != nil {
		p.book.watch(batchOf(batch, answers, err, p.book.pool.Now().Sub(began)))
	}
}

// pace measures how fast the queue is served.
type pace struct{ perSecond atomic.Int64 }

// room is how many callers may wait: those that can be served in longestWait.
func (p *pace) room() int {
	return int(min(queueLength, max(leastQueue, p.perSecond.Load()*int64(longestWait/time.Second))))
}

// served notes a batch of one poster; a slow average follows the fast one, and
// small batches say little about what full ones can do.
func (p *pace) served(n int, took time.Duration) {
	now := int64(n) * int64(time.Second) / max(1, int64(took))
	old := p.perSecond.Load()
	if n < batchSize/8 && now < old {
		return
	}
	p.perSecond.Store(old + (now-old)/8)
}
