package ledger

import (
	"errors"
	"time"
)

// Batch is what became of the entries that were decided together, for whoever
// measures.
type Batch struct {
	Took    time.Duration  // from the poster's beginning to the callers' answers
	Posted  map[string]int // by kind
	Again   int            // stood in the book already
	Refused map[Rule]int
	Failed  int // the database's fault or a hook's, or unknown
}

// Entries is the size of the batch.
func (b Batch) Entries() int {
	n := b.Again + b.Failed
	for _, k := range b.Posted {
		n += k
	}
	for _, k := range b.Refused {
		n += k
	}
	return n
}

func batchOf(batch []*request, answers []answer, err error, took time.Duration) Batch {
	b := Batch{Took: took, Posted: map[string]int{}, Refused: map[Rule]int{}}
	if err != nil {
		b.Failed = len(batch)
		return b
	}
	for i, a := range answers {
		refusal, refused := errors.AsType[Refusal](a.err)
		switch {
		case refused:
			b.Refused[refusal.Rule]++
		case a.err != nil:
			b.Failed++
		case a.receipt.Again:
			b.Again++
		default:
			b.Posted[batch[i].entry.Kind]++
		}
	}
	return b
}

// Queue tells how many callers wait, how many may, and how many have been told
// ErrBusy since the start.
func (b *Book) Queue() (waiting, room int, busy int64) {
	return len(b.queue), b.pace.room(), b.busy.Load()
}
