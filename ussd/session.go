package ussd

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"tuma/internal/phone"
)

// Limits on a session. Everything in Redis expires.
const (
	// sessionLifetime is counted from the last answer. Networks end a session
	// after two to three minutes; the rest is for requests that a gateway
	// repeats late, which must find their stored replies.
	sessionLifetime = 10 * time.Minute
	// resumeLifetime is how long after a break a customer is offered to go on.
	// Whoever comes later starts afresh and has forgotten the half of it.
	resumeLifetime = 5 * time.Minute
	// lockLifetime bounds how long a crashed process blocks a session: longer
	// than a whole step may take (stepBudget).
	lockLifetime = 10 * time.Second
	// lockWait is how long a second request for the same session waits for the
	// first one; it has to be answered within the gateway's patience as well.
	lockWait = 7 * time.Second
	lockPoll = 20 * time.Millisecond
	// MaxSteps bounds a session's requests and with them its size in Redis.
	// Nobody gives more than one answer in three seconds for three minutes.
	MaxSteps = 60
	// redisTimeout is all the patience there is for one exchange with Redis, so
	// that a customer is told within a second when it is down.
	redisTimeout = 400 * time.Millisecond
)

// RedisOptions reads a redis:// address and sets what the sessions rely on:
// short timeouts that a context can shorten further, and no second tries,
// because a try that was lost may have been executed.
func RedisOptions(url string) (*redis.Options, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("ussd: redis address: %w", err)
	}
	o.ContextTimeoutEnabled = true
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = 2*redisTimeout, redisTimeout, redisTimeout, redisTimeout
	o.DialerRetries = 1
	if o.PoolSize == 0 {
		// Every session that goes on is looked up before it has to wait for its
		// turn. With few connections those look-ups would time out in a rush, each
		// time-out would cost its connection, and new ones are dear.
		o.PoolSize = 128
	}
	o.MaxRetries = -1
	o.Protocol = 2 // nothing of the third is used, and each answer would be searched for what the server pushes
	return o, nil
}

// session is what Redis remembers of one.
type session struct {
	From        phone.Number `json:"from"`    // who opened it, and
	ServiceCode string       `json:"service"` // by which code; nobody else may go on with it
	Steps       []storedStep `json:"steps"`   // answered requests, oldest first
	Closed      bool         `json:"closed,omitempty"`
	Pushed      bool         `json:"pushed,omitempty"` // we began it: its first step is the screen that was pushed
	Latest      bool         `json:"latest,omitempty"` // the gateway delivers the latest input alone
	Opened      int64        `json:"opened,omitempty"` // of such a session: when, in ms; part of its refs
	State       state        `json:"state"`
}

// fresh tells whether a session was pushed and the phone has not answered yet.
// Its first answer puts it on the phone's line.
func (s *session) fresh() bool { return s.Pushed && len(s.Steps) == 1 }

// storedStep is an answered request. Its text may contain a PIN (some gateways
// repeat the whole input each time), so only a keyed hash of it is kept.
type storedStep struct {
	Hash     []byte `json:"hash"`
	Length   int    `json:"length"`
	Sequence int    `json:"seq,omitempty"`
	At       int64  `json:"at"` // when it was answered, in ms
	Reply    Reply  `json:"reply"`
}

// line is what Redis remembers of a phone number: the session that is open on
// it (a phone has one at a time, so an older one is over) and where the last
// one broke off.
type line struct {
	Session     string `json:"session"` // the first, see ownLine
	ServiceCode string `json:"service"`
	Resume      *state `json:"resume,omitempty"`
}

// sessions keeps both in Redis.
type sessions struct {
	redis *redis.Client
	key   []byte // of the hashes
	nonce string // tells this process's locks from others'
	locks atomic.Int64
}

// errLocked: another request of the same session is still being answered.
var errLocked = errors.New("ussd: session is locked")

// held is a session that this process alone may go on with until it is saved
// or released.
type held struct {
	s        *sessions
	id       string // gateway and session
	from     phone.Number
	token    string
	session  *session // nil: not known
	line     line
	known    bool // line was there
	dropped  bool // the gateway has reported its end
	released bool
}

func (h *held) keys() []string {
	return []string{"ussd:session:" + h.id, "ussd:lock:" + h.id, "ussd:line:" + string(h.from), "ussd:dropped:" + h.id}
}

var openScript = redis.NewScript(`
if not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return {'locked'} end
return {'ok', redis.call('GET', KEYS[1]), redis.call('GET', KEYS[3]), redis.call('GET', KEYS[4])}`)

// The session is written only by whoever still holds the lock, and the line
// only by the newest session on it: one that is opening, or is on it already.
var saveScript = redis.NewScript(`
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if ARGV[6] == 'reopening' then redis.call('DEL', KEYS[4]) end
local line = ARGV[6] == 'going on' and redis.call('GET', KEYS[3])
if not line or string.sub(line, 1, #ARGV[7]) == ARGV[7] then
  redis.call('SET', KEYS[3], ARGV[4], 'PX', ARGV[5])
end
redis.call('DEL', KEYS[2])
return 1`)

var forgetScript = redis.NewScript(`
local line = redis.call('GET', KEYS[1])
if line and string.sub(line, 1, #ARGV[3]) ~= ARGV[3] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`)

var releaseScript = redis.NewScript(`
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return 1`)

// open locks a session and reads it. It waits for another request of the same
// session, at most lockWait: errLocked.
func (s *sessions) open(ctx context.Context, id string, from phone.Number) (*held, error) {
	h := &held{s: s, id: id, from: from, token: s.nonce + strconv.FormatInt(s.locks.Add(1), 36)}
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	for {
		got, err := openScript.Run(ctx, s.redis, h.keys(), h.token, lockLifetime.Milliseconds()).Slice()
		if err != nil {
			h.release(ctx) // the answer may have been lost after the lock was taken
			return nil, fmt.Errorf("ussd: opening the session: %w", err)
		}
		if len(got) == 4 {
			if err := h.read(got[1:]); err != nil {
				h.release(ctx)
				return nil, err
			}
			return h, nil
		}
		select {
		case <-ctx.Done():
			return nil, errLocked
		case <-time.After(lockPoll):
		}
	}
}

func (h *held) read(got []any) error {
	if raw, ok := got[0].(string); ok {
		h.session = &session{}
		if err := json.Unmarshal([]byte(raw), h.session); err != nil {
			return fmt.Errorf("ussd: stored session: %w", err)
		}
	}
	if raw, ok := got[1].(string); ok {
		h.known = true
		if err := json.Unmarshal([]byte(raw), &h.line); err != nil {
			return fmt.Errorf("ussd: stored line: %w", err)
		}
	}
	by, ok := got[2].(string)
	h.dropped = ok && by == string(h.from)
	return nil
}

// save writes the session and the line, and gives the lock up. When the lock
// has run out meanwhile and somebody else holds it, nothing is written: theirs
// is the newer.
func (h *held) save(ctx context.Context, resume *state) error {
	h.released = true
	body, err := json.Marshal(h.session)
	if err != nil {
		return fmt.Errorf("ussd: storing the session: %w", err)
	}
	lifetime := sessionLifetime
	if resume != nil {
		lifetime = resumeLifetime
	}
	end, err := h.lineWith(resume)
	if err != nil {
		return err
	}
	stage := "going on"
	switch n := len(h.session.Steps); {
	case n == 1 && h.session.Latest:
		stage = "reopening" // an end that was reported was that of another session of this name
	case n == 1, n == 2 && h.session.Pushed:
		stage = "opening"
	}
	err = saveScript.Run(ctx, h.s.redis, h.keys(), h.token, body, sessionLifetime.Milliseconds(), end, lifetime.Milliseconds(), stage, ownLine(end)).Err()
	if err != nil {
		return fmt.Errorf("ussd: storing the session: %w", err)
	}
	return nil
}

// forget removes what could be resumed. It comes before money moves: whoever
// comes back after that starts at the beginning and is asked whether he means
// the same payment again. It is false when a newer session has been opened on
// the same phone: then this one must not pay.
func (h *held) forget(ctx context.Context) (newest bool, err error) {
	end, err := h.lineWith(nil)
	if err != nil {
		return false, err
	}
	n, err := forgetScript.Run(ctx, h.s.redis, h.keys()[2:3], end, sessionLifetime.Milliseconds(), ownLine(end)).Int()
	if err != nil {
		return false, fmt.Errorf("ussd: before the payment: %w", err)
	}
	return n == 1, nil
}

func (h *held) lineWith(resume *state) ([]byte, error) {
	b, err := json.Marshal(line{Session: h.id, ServiceCode: h.session.ServiceCode, Resume: resume})
	if err != nil {
		return nil, fmt.Errorf("ussd: storing the line: %w", err)
	}
	return b, nil
}

// ownLine is how a stored line of the same session begins: the scripts compare
// that, and take no JSON apart. A quotation mark in a session's name is escaped
// there, so the name ends at the first that is followed by the next field.
func ownLine(line []byte) []byte { return line[:bytes.Index(line, []byte(`","service":`))+2] }

// release gives the lock up without writing; after save it does nothing. When
// Redis does not hear it, the lock runs out by itself.
func (h *held) release(ctx context.Context) {
	if h.released {
		return
	}
	h.released = true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), redisTimeout)
	defer cancel()
	_ = releaseScript.Run(ctx, h.s.redis, h.keys(), h.token).Err()
}

// drop remembers that the gateway has ended a session.
func (s *sessions) drop(ctx context.Context, id string, from phone.Number) error {
	if err := s.redis.Set(ctx, "ussd:dropped:"+id, string(from), sessionLifetime).Err(); err != nil {
		return fmt.Errorf("ussd: noting the end of a session: %w", err)
	}
	return nil
}

// hash is what is kept of a request's text.
func (s *sessions) hash(id, text string) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte(id))
	h.Write([]byte{0})
	h.Write([]byte(text))
	return h.Sum(nil)
}

// place finds where a request belongs in a session: it repeats step `again`
// (or -1), or it is the next one, with this input, or neither.
func (s *sessions) place(id string, ses *session, r Request, now time.Time) (again int, input string, next bool) {
	if r.Latest {
		return s.placeLatest(id, ses, r, now)
	}
	mac := s.hash(id, r.mark())
	for i, step := range ses.Steps {
		if step.Length == len(r.Text) && hmac.Equal(step.Hash, mac) {
			return i, "", false
		}
	}
	last := ses.Steps[len(ses.Steps)-1]
	if len(r.Text) <= last.Length || !hmac.Equal(last.Hash, s.hash(id, r.Text[:last.Length])) {
		return -1, "", false
	}
	rest := r.Text[last.Length:]
	if last.Length > 0 {
		if rest[0] != '*' {
			return -1, "", false
		}
		rest = rest[1:]
	}
	return -1, rest, true
}
