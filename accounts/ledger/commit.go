package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tuma/internal/db"
)

// A batch is decided in Go and written by set-based statements: what it does is
// added up for each account, and one conditional UPDATE moves all balances at
// once, provided that every rule holds; it locks in the order of the ids.
//
// How much is known beforehand depends. While nothing has been refused lately,
// nothing is read at all: the UPDATE itself finds out whether all goes through
// (hopeful). Otherwise what the accounts hold is first read without locks, which
// settles what must be refused: a caller is refused for the state of an instant
// within its call (looking); confirm then makes sure that the entry does not
// stand in the book, or come to stand there by an earlier try. Only when another
// poster changed an account in between, or a Ref stands in the book already, is
// the batch decided with the rows locked before they are read (careful).
type mode int

const (
	hopeful mode = iota
	looking
	careful
)

// calmBatches is how many batches in a row must have gone without a refusal
// before the next one is hoped to.
const calmBatches = 4

// How often a commit is tried, all tries within batchTimeout.
const (
	commitTries  = 20
	unknownPause = 100 * time.Millisecond // after a lost answer
)

// errRaced says that an account changed between reading and moving.
var errRaced = errors.New("ledger: an account changed meanwhile")

// errHook marks what a hook said.
var errHook = errors.New("ledger: hook")

// seal is where a poster's chain stands after a block.
type seal struct {
	chain, n int64
	digest   []byte
}

// commit runs a batch until it stands, is refused, or its fate cannot be told.
// After a commit whose answer is lost the batch runs again, carefully: whatever
// stands is found by its Ref.
func (p *poster) commit(batch []*request) ([]answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), batchTimeout)
	defer cancel()
	how, unknown := looking, false
	if p.calm >= calmBatches {
		how = hopeful
	}
	for try := 1; ; try++ {
		var answers []answer
		var sealed seal
		err := p.book.pool.InBatch(ctx, func(tx *db.Tx) (err error) {
			answers, sealed, err = p.attempt(ctx, tx, batch, how)
			return err
		})
		if err == nil {
			if sealed.n > 0 {
				p.chain, p.n, p.head = sealed.chain, sealed.n, sealed.digest
				if p.book.after != nil {
					p.book.after()
				}
			}
			p.calm++
			for _, a := range answers {
				if a.err != nil {
					p.calm = 0
				}
			}
			if how != careful && p.calm == 0 {
				p.confirm(ctx, batch, answers)
			}
			return answers, nil
		}
		p.calm = 0
		again := false
		switch {
		case errors.Is(err, db.ErrUnknown):
			p.chain = 0 // the block may stand or not: never build on it
			how, unknown, again = careful, true, true
			time.Sleep(unknownPause)
		case errors.Is(err, errRaced) && how == hopeful:
			how, again = looking, true
		case errors.Is(err, errRaced), db.Retryable(err), db.Violates(err, "ref_is_posted_once"), db.Violates(err, "entry_is_reversed_once"):
			how, again = careful, true
		case unknown && !ofOneEntry(err):
			// The server is still away; until it is back nobody can tell.
			again = true
			time.Sleep(unknownPause)
		case db.NoPartition(err):
			again = p.book.openMonths(ctx, p.book.pool.Now()) == nil
		}
		if again && try < commitTries && ctx.Err() == nil {
			continue
		}
		if unknown {
			return nil, fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		return nil, fmt.Errorf("ledger: posting: %w", err)
	}
}

// ofOneEntry tells whether an error can be the fault of one entry of a batch: its
// data, or a hook's. A lost database fails for all of them.
func ofOneEntry(err error) bool {
	return !errors.Is(err, db.ErrUnknown) && (errors.Is(err, errHook) || db.OfData(err))
}

// confirm makes the refusals of a batch definite that was not decided carefully. It
// holds the rows of what was refused, and so has waited for every commit under
// way that touches them, the entry's own earlier try among these: if that stands,
// the caller hears of it instead. The verdicts are not taken again, since the
// batch was decided in the order of its arrival. What cannot be confirmed is
// answered with the fault.
func (p *poster) confirm(ctx context.Context, batch []*request, answers []answer) {
	accepted := map[string]bool{} // a later twin in the same batch is no earlier try
	for i, a := range answers {
		if a.err == nil {
			accepted[batch[i].entry.Ref] = true
		}
	}
	var refused []*request
	var places []int
	for i, a := range answers {
		if a.err != nil && !accepted[batch[i].entry.Ref] {
			refused, places = append(refused, batch[i]), append(places, i)
		}
	}
	var known map[string]stored
	err := p.book.pool.InBatch(ctx, func(tx *db.Tx) (err error) {
		originals, err := p.book.originals(ctx, tx, refused)
		if err != nil {
			return err
		}
		if _, err = p.book.accounts(ctx, tx, refused, originals, 0, careful); err != nil {
			return err
		}
		known, err = p.book.known(ctx, tx, refused)
		return err
	})
	for k, i := range places {
		first, stands := known[refused[k].entry.Ref]
		switch {
		case err != nil:
			answers[i] = answer{err: fmt.Errorf("ledger: confirming a refusal: %w", err)}
		case stands:
			answers[i] = again(first, refused[k].entry)
		}
	}
}

// judged is a batch with its answers so far.
type judged struct {
	batch    []*request
	answers  []answer
	accepted []Accepted // Receipt.Postings on the house's stripes until finish
	places   []int      // of the accepted in the batch
}

// fullBatch is how many accepted entries make a batch that the server is busy with
// for long enough to make other things ready meanwhile. In a smaller one every
// round trip counts, and waking somebody up costs more than it saves.
const fullBatch = 16

// attempt is one transaction's worth of posting. Of a small batch it is one round
// trip that moves balances and one that stores everything and commits, where
// nothing has to be read before and no hook writes by itself. Of a full one the server and this process work side by side where
// neither needs the other: while balances move and while entries are stored, what
// comes next is made ready; so the rows are held for a shorter time.
func (p *poster) attempt(ctx context.Context, tx *db.Tx, batch []*request, how mode) ([]answer, seal, error) {
	b := p.book
	s, err := p.nextSeal(ctx, tx)
	if err != nil {
		return nil, seal{}, err
	}
	lane := int(s.chain % stripes) // posters of all processes have different chains
	originals, err := b.originals(ctx, tx, batch)
	if err != nil {
		return nil, seal{}, err
	}
	accounts, err := b.accounts(ctx, tx, batch, originals, lane, how)
	if err != nil {
		return nil, seal{}, err
	}
	var known map[string]stored
	if how == careful {
		// With the rows held: an earlier try of the same Ref has landed or never will.
		if known, err = b.known(ctx, tx, batch); err != nil {
			return nil, seal{}, err
		}
	}
	j := b.judge(batch, known, originals, accounts, lane, tx.Now)
	if len(j.accepted) == 0 {
		return j.answers, seal{}, nil
	}
	if err := p.number(ctx, tx, &j); err != nil {
		return nil, seal{}, err
	}
	nets := netsOf(j.accepted)
	full := len(j.accepted) >= fullBatch
	moving := perhapsAside(full, func() error { return nets.move(ctx, tx, accounts, b.Day(tx.Now)) })
	columns := entryColumnsOf(j.accepted)
	if err := <-moving; err != nil {
		return nil, seal{}, err
	}
	p.finish(&j, &s, nets, columns)
	if !full {
		also, err := b.askHooks(j.accepted)
		if err != nil {
			return nil, seal{}, err
		}
		carry(tx, also)
		if err := columns.store(ctx, tx, s, !writes(also)); err != nil {
			return nil, seal{}, err
		}
		return j.answers, s, writeAlso(ctx, tx, also)
	}
	storing := perhapsAside(true, func() error { return columns.store(ctx, tx, s, false) })
	also, err := b.askHooks(j.accepted)
	if err := cmp.Or(<-storing, err); err != nil {
		return nil, seal{}, err
	}
	if carry(tx, also) {
		exec := tx.Exec
		if !writes(also) {
			exec = tx.ExecLast
		}
		if _, err := exec(ctx, sqlCarry); err != nil {
			return nil, seal{}, fmt.Errorf("%w: %w", errHook, err)
		}
	}
	return j.answers, s, writeAlso(ctx, tx, also)
}

// sqlCarry is nothing by itself.
const sqlCarry = `with here as (select) /* carried */ select from here`

// carry hands the transaction what the hooks want inserted, if anything.
func carry(tx *db.Tx, also []Also) (any bool) {
	for _, a := range also {
		if a.Carry != nil {
			a.Carry(tx)
			any = true
		}
	}
	return any
}

// writes tells whether a hook writes by itself.
func writes(also []Also) bool {
	return slices.ContainsFunc(also, func(a Also) bool { return a.Write != nil })
}

func writeAlso(ctx context.Context, tx *db.Tx, also []Also) error {
	for _, a := range also {
		if a.Write != nil {
			if err := a.Write(ctx, tx); err != nil {
				return fmt.Errorf("%w: %w", errHook, err)
			}
		}
	}
	return nil
}

// perhapsAside runs f beside the caller, who must wait for its answer, or before
// it returns.
func perhapsAside(aside bool, f func() error) <-chan error {
	done := make(chan error, 1)
	if aside {
		go func() { done <- f() }()
	} else {
		done <- f()
	}
	return done
}

func (b *Book) askHooks(posted []Accepted) ([]Also, error) {
	also := make([]Also, len(b.hooks))
	for i, hook := range b.hooks {
		var err error
		if also[i], err = hook(posted); err != nil {
			return nil, fmt.Errorf("%w: %w", errHook, err)
		}
	}
	return also, nil
}

// judge decides a batch in the order of arrival; each entry sees what those
// before it have done.
func (b *Book) judge(batch []*request, known map[string]stored, originals map[EntryID]original, accounts map[AccountID]*Account, lane int, now time.Time) judged {
	j := judged{batch: batch, answers: make([]answer, len(batch))}
	today := b.Day(now)
	here := map[string]int{} // Ref to its place among the accepted
	for i, r := range batch {
		e := r.entry
		if first, ok := known[e.Ref]; ok {
			j.answers[i] = again(first, e)
			continue
		}
		if k, ok := here[e.Ref]; ok {
			// Twice in one batch: the second hears what the first did, when that is known.
			j.answers[i] = answer{err: sameAs(j.places[k])}
			continue
		}
		postings, refusal := content(e, originals)
		var afters []After
		if refusal == nil {
			postings = onLane(postings, lane)
			afters, refusal = decide(accounts, postings, today)
		}
		if refusal != nil {
			refusal.Account = whole(refusal.Account)
			j.answers[i] = answer{err: *refusal}
			continue
		}
		here[e.Ref] = len(j.accepted)
		j.places = append(j.places, i)
		j.accepted = append(j.accepted, Accepted{Entry: e, Receipt: Receipt{At: now, Kind: e.Kind, Postings: postings, Afters: afters, Memo: e.Memo}, memo: r.memo})
		if e.Reverses != 0 {
			o := originals[e.Reverses]
			o.reversed = true
			originals[e.Reverses] = o
		}
	}
	return j
}

// sameAs stands, until the batch is written, for the answer to the entry at
// another place of the batch, which has the same Ref.
type sameAs int

func (sameAs) Error() string { return "ledger: twice in one batch" }

// again answers an entry whose Ref stands in the book already.
func again(first stored, e Entry) answer {
	same := first.Kind == e.Kind && first.reverses == e.Reverses && (e.Reverses != 0 || len(first.Postings) == len(e.Postings))
	for i := 0; same && i < len(e.Postings); i++ {
		p, q := first.Postings[i], e.Postings[i]
		same = p.Why == q.Why && p.Amount == q.Amount && p.Debit == whole(q.Debit) && p.Credit == whole(q.Credit)
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
