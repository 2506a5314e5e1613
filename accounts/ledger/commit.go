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
// Whatever a batch has to wait for it takes in one order: its Refs, in theirs, and
// then the rows of its accounts. So batches of any processes never wait for each
// other in a circle, and what needs no rows is written before they are held.
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

// errClaimed says that a careful decision refuses an entry whose Ref it has taken.
var errClaimed = errors.New("ledger: a Ref was taken that is not needed")

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
	if p.calm >= calmBatches {
		return p.commitAs(hopeful, batch)
	}
	return p.commitAs(looking, batch)
}

func (p *poster) commitAs(how mode, batch []*request) ([]answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), batchTimeout)
	defer cancel()
	all, places := make([]answer, len(batch)), []int(nil) // places: of what is left of the batch, nil while that is all
	unknown := false
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
			if places == nil {
				return answers, nil
			}
			for k, i := range places {
				all[i] = answers[k]
			}
			return all, nil
		}
		p.calm = 0
		again := false
		switch {
		case errors.Is(err, errClaimed):
			batch, places = settle(all, batch, answers, places)
			try, again = try-1, true // it is shorter now, so this ends
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

// settle keeps the refusals of a careful decision that cannot be written as it is
// (errClaimed), and gives what is left of the batch, and its places.
func settle(all []answer, batch []*request, answers []answer, places []int) (rest []*request, left []int) {
	left = []int{}
	for k, a := range answers {
		i := k
		if places != nil {
			i = places[k]
		}
		if _, refused := errors.AsType[Refusal](a.err); refused {
			all[i] = a
		} else {
			rest, left = append(rest, batch[k]), append(left, i)
		}
	}
	return rest, left
}

// ofOneEntry tells whether an error can be the fault of one entry of a batch: its
// data, or a hook's. A lost database fails for all of them.
func ofOneEntry(err error) bool {
	return !errors.Is(err, db.ErrUnknown) && (errors.Is(err, errHook) || db.OfData(err))
}

// confirm makes the refusals of a batch definite that was not decided carefully:
// it waits for every earlier try of theirs, and where one stands the caller hears
// of that instead. The verdicts are not taken again, since the batch was decided in
// the order of its arrival. What cannot be confirmed is answered with the fault.
func (p *poster) confirm(ctx context.Context, batch []*request, answers []answer) {
	accepted := map[string]bool{} // a later twin in the same batch is no earlier try
	for i, a := range answers {
		if a.err == nil {
			accepted[batch[i].entry.Ref] = true
		}
	}
	var refs []string
	var places []int
	for i, a := range answers {
		if a.err != nil && !accepted[batch[i].entry.Ref] {
			refs, places = append(refs, batch[i].entry.Ref), append(places, i)
		}
	}
	known, err := p.book.settled(ctx, refs)
	for k, i := range places {
		first, stands := known[refs[k]]
		switch {
		case err != nil:
			answers[i] = answer{err: fmt.Errorf("ledger: confirming a refusal: %w", err)}
		case stands:
			answers[i] = again(first, batch[i].entry)
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
	var c claim
	if how == careful {
		if c, err = p.claim(ctx, tx, batch); err != nil {
			return nil, seal{}, err
		}
	}
	accounts, err := b.accounts(ctx, tx, batch, originals, lane, how)
	if err != nil {
		return nil, seal{}, err
	}
	j := b.judge(batch, c.known, originals, accounts, lane, tx.Now)
	if c.refused(j.answers) {
		return j.answers, seal{}, errClaimed
	}
	if len(j.accepted) == 0 {
		return j.answers, seal{}, nil
	}
	var untaken refs
	if how != careful {
		if c.first, err = p.number(ctx, tx, len(j.accepted)); err != nil {
			return nil, seal{}, err
		}
		untaken = refsOf(len(j.accepted), func(i int) string { return j.accepted[i].Entry.Ref }, c.first)
	}
	b.name(j.accepted, c.first)
	nets := netsOf(j.accepted)
	full := len(j.accepted) >= fullBatch
	moving := perhapsAside(full, func() error { return nets.move(ctx, tx, untaken, accounts, b.Day(tx.Now)) })
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
