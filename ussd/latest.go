package ussd

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"tuma/internal/phone"
)

// Gateways that deliver the latest input alone.
//
// A session of theirs cannot be walked again from its requests, so one that
// Redis has lost is over. That is why its refs may name the moment in which it
// was opened (session.ref), and why they do: such gateways use the name of a
// session again, after a wrap-around or for every call of the same phone, and a
// second payment must not be taken for the first.
//
// A request that comes again is recognised by its number or its token. Where
// the gateway has neither, an input that is the last one's, and comes faster
// than a person reads a screen and keys in the same again, is a repetition.
// When that guess is wrong, the screen is shown once more and nothing has
// moved. A repetition that comes later than that is taken for an answer to the
// next screen; it cannot pay, because the PIN of a payment ends its session.

const (
	// repeatWindow is faster than a person answers two screens alike.
	repeatWindow = 3 * time.Second
	// reopenWindow is how long an opening request is taken for a repetition of
	// the one that opened the session, while nothing has been answered there:
	// who dials again sees the first screen and must be there.
	reopenWindow = 10 * time.Second
)

// reopens tells whether a request opens a session of its own although one of
// its name is known.
func (m *Machine) reopens(ses *session, r Request) bool {
	switch {
	case !r.Latest || !r.First || ses.Pushed && !ses.Closed:
		return false
	case r.Guessed && !ses.Closed:
		return false
	}
	first := ses.Steps[0]
	again := len(ses.Steps) == 1 && ses.From == r.From && hmac.Equal(first.Hash, m.sessions.hash(r.id(), r.mark())) &&
		m.now().UnixMilli()-first.At < reopenWindow.Milliseconds()
	return !again
}

// placeLatest is place for gateways that deliver the latest input alone.
func (s *sessions) placeLatest(id string, ses *session, r Request, now time.Time) (again int, input string, next bool) {
	last := len(ses.Steps) - 1
	if r.Sequence > 0 {
		for i, step := range ses.Steps {
			if step.Sequence == r.Sequence {
				return i, "", false
			}
		}
		return -1, r.Text, r.Sequence == ses.Steps[last].Sequence+1
	}
	if r.First && !r.Guessed {
		return 0, "", false // reopens has found it to be a repetition
	}
	mac := s.hash(id, r.mark())
	for i, step := range ses.Steps {
		// Nothing follows the last step of a session that has ended.
		recent := i == last && (ses.Closed || now.UnixMilli()-step.At < repeatWindow.Milliseconds())
		if hmac.Equal(step.Hash, mac) && (r.Token != "" || recent) {
			return i, "", false
		}
	}
	return -1, r.Text, true
}

// behind gives the answers that follow our code in what was dialled: 1 and 2 in
// "*334*1*2#". Networks write the code with its signs or without. Whatever does
// not begin with it is no answer.
func behind(code, dialled string) []string {
	rest, ours := strings.CutPrefix(strings.Trim(dialled, "*#"), strings.Trim(code, "*#"))
	if !ours || rest == "" || rest[0] != '*' {
		return nil
	}
	return strings.Split(rest[1:], "*")
}

// ref is what stands for the session in refs.
func (s *session) ref(r Request) string {
	if !s.Latest {
		return r.id()
	}
	return r.id() + "@" + strconv.FormatInt(s.Opened, 36)
}

// opener tells who opened a session and whether it is open, for gateways that
// say the number once.
func (m *Machine) opener(ctx context.Context, gateway, name string) (from phone.Number, open bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	var ses session
	if found, err := m.sessions.get(ctx, "ussd:session:"+gateway+":"+name, &ses); err != nil || !found {
		return "", false, err
	}
	return ses.From, !ses.Closed, nil
}

// get reads what stands under a key.
func (s *sessions) get(ctx context.Context, key string, v any) (found bool, err error) {
	raw, err := s.redis.Get(ctx, key).Bytes()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		return false, fmt.Errorf("ussd: reading a session: %w", err)
	}
	return true, nil
}
