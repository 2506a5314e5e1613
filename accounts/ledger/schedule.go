package ledger

import "sync"

// Two commits that touch one account must follow each other: the second waits
// for the first one's row lock, with everything else in its batch. Since nearly
// any two batches of a few hundred accounts have one in common, posters would
// mostly wait for each other. So an entry that touches an account of a batch
// under way goes to the poster of that batch, for its next one. Other processes
// are not known here; their batches are waited for in the database.
type schedule struct {
	mu   sync.Mutex
	busy map[AccountID]*poster // accounts of the batches under way, the house's apart
}

// claim takes an entry for p's batch and marks its accounts; or, once in the
// entry's life, hands it to the poster that it would have to wait for.
func (s *schedule) claim(p *poster, r *request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !r.handedOn {
		for _, posting := range r.entry.Postings {
			for _, id := range [2]AccountID{posting.Debit, posting.Credit} {
				if q := s.busy[id]; q != nil && q != p {
					r.handedOn = true
					q.backlog = append(q.backlog, r)
					return false
				}
			}
		}
	}
	for _, posting := range r.entry.Postings {
		for _, id := range [2]AccountID{posting.Debit, posting.Credit} {
			if id >= houseEnds && s.busy[id] == nil {
				s.busy[id] = p
				p.claimed = append(p.claimed, id)
			}
		}
	}
	return true
}

// release ends p's batch and gives what was handed to p meanwhile, at most n.
func (s *schedule) release(p *poster, n int) []*request {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range p.claimed {
		delete(s.busy, id)
	}
	p.claimed = p.claimed[:0]
	n = min(n, len(p.backlog))
	mine := append([]*request(nil), p.backlog[:n]...)
	p.backlog = append(p.backlog[:0], p.backlog[n:]...)
	return mine
}
