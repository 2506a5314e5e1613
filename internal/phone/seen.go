package phone

import "sync"

// Seen remembers which texts Parse has accepted: a gateway says the number with
// every request, and reading it costs as much as a look at the database. It
// remembers some thousands and then begins anew. The zero value and nil are
// ready; nil remembers nothing.
type Seen struct {
	mu      sync.RWMutex
	numbers map[string]Number
}

// mostSeen are a few megabytes.
const mostSeen = 50_000

// Parse is Parse.
func (s *Seen) Parse(e164 string) (Number, error) {
	if s == nil {
		return Parse(e164)
	}
	s.mu.RLock()
	n, known := s.numbers[e164]
	s.mu.RUnlock()
	if known {
		return n, nil
	}
	n, err := Parse(e164)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.numbers == nil || len(s.numbers) >= mostSeen {
		s.numbers = map[string]Number{}
	}
	s.numbers[string(n)] = n
	return n, nil
}
