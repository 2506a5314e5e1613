package ussd

import (
	"cmp"
	"context"
	"embed"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/phone"
	"tuma/internal/text"
)

//go:embed screens/*.txt
var screenFiles embed.FS

// Words reads the texts of the screens, in every language there is.
func Words() (*text.Catalogue, error) { return text.ParseCatalogue(screenFiles, "screens") }

// Limits on answering one request.
const (
	// stepBudget bounds a whole step. The most impatient gateways wait 10 s for
	// an answer (5 s where they say nothing else is promised); a payment that is
	// not decided by then is reported by SMS.
	stepBudget = 8 * time.Second
	// saveBudget is kept for storing the session when the step used up its own.
	saveBudget = 2 * redisTimeout
	// keyLength of the key that hashes requests' texts, in bytes, at least.
	keyLength = 16
)

// Request is one request of a gateway, as its dialect decoded it.
type Request struct {
	Gateway     string       // "at"
	Session     string       // the gateway's name for the session
	From        phone.Number // who dials
	ServiceCode string       // "*334#"
	// Text is all that was keyed in during the session, joined with '*' (the
	// rest of a dial string first), or, when Latest is set, the latest input
	// alone; of the request that opens a session that is what was dialled. It
	// may contain a PIN: it is neither logged nor stored.
	Text   string
	Latest bool

	// What follows is for gateways that deliver the latest input alone.

	// First says that the request opens its session. Where a gateway does not
	// say so, it is guessed from the text, and Guessed is set: a session that
	// is open then goes on instead.
	First, Guessed bool
	Sequence       int    // 1, 2, 3, ... where the gateway numbers its requests; else 0
	Token          string // what tells this request from others of its session, where there is such a thing
}

func (r Request) id() string { return r.Gateway + ":" + r.Session }

// mark is what a request is recognised by when it comes again.
func (r Request) mark() string {
	switch {
	case r.Sequence > 0:
		return "sequence " + strconv.Itoa(r.Sequence)
	case r.Token != "":
		return "token " + r.Token
	case r.Latest:
		return "input " + r.Text
	}
	return r.Text
}

// dials tells, before anything is known of its session, that a request can only
// be the first of one. A dial string of a gateway that sends everything keyed in
// is not told from an answer before the session is looked up.
func (r Request) dials() bool {
	if r.Latest {
		return r.First && !r.Guessed
	}
	return r.Text == ""
}

// Reply is what the phone shows, and whether that is the end of the session.
type Reply struct {
	End  bool   `json:"end,omitempty"`
	Text string `json:"text"`
}

// Config is what a machine is made of. Every field but Pusher is required.
type Config struct {
	Accounts *accounts.Service
	Agents   *agents.Service
	Redis    *redis.Client // opened with RedisOptions
	Limits   *Limits
	Menu     Menu
	Words    *text.Catalogue
	Key      []byte           // secret: hashes what must not be stored
	Rand     io.Reader        // read once
	Now      func() time.Time // for the log's durations
	Log      *slog.Logger
	Pusher   Pusher     // nil: no gateway can push
	Steps    int        // answered at a time, 0: 48; see room
	Seen     func(Seen) // told of every answered request; must not wait. nil: nobody
}

// Machine answers requests. It keeps nothing between two of them but what is
// in Redis, so any number of processes may share the work.
type Machine struct {
	accounts *accounts.Service
	agents   *agents.Service
	sessions *sessions
	limits   *Limits
	menu     Menu
	words    *text.Catalogue
	now      func() time.Time
	log      *slog.Logger
	pusher   Pusher
	room     *room
	seen     func(Seen)
}

// New checks the configuration and that every screen has words in every
// language of the country.
func New(c Config) (*Machine, error) {
	switch {
	case c.Accounts == nil || c.Agents == nil || c.Redis == nil || c.Limits == nil || c.Words == nil || c.Rand == nil || c.Now == nil || c.Log == nil:
		return nil, errors.New("ussd: the configuration is incomplete")
	case len(c.Key) < keyLength:
		return nil, fmt.Errorf("ussd: the key must have at least %d bytes", keyLength)
	}
	if o := c.Redis.Options(); o.MaxRetries > 0 || !o.ContextTimeoutEnabled {
		return nil, errors.New("ussd: open Redis with RedisOptions: a command must not be tried twice or outlive its request")
	}
	for _, lang := range c.Accounts.Country().Languages {
		if !slices.Contains(c.Words.Languages(), lang) {
			return nil, fmt.Errorf("ussd: no screens in language %q", lang)
		}
	}
	if len(c.Accounts.Country().Languages) == 0 {
		return nil, errors.New("ussd: the country has no language")
	}
	if problems := c.Menu.Check(c.Words); len(problems) > 0 {
		return nil, fmt.Errorf("ussd: the menu is broken: %s", strings.Join(problems, "; "))
	}
	if c.Steps < 0 {
		return nil, fmt.Errorf("ussd: %d steps at a time", c.Steps)
	}
	nonce := make([]byte, 10)
	if _, err := io.ReadFull(c.Rand, nonce); err != nil {
		return nil, fmt.Errorf("ussd: %w", err)
	}
	return &Machine{
		accounts: c.Accounts, agents: c.Agents, limits: c.Limits, menu: c.Menu, words: c.Words, now: c.Now, log: c.Log, pusher: c.Pusher, seen: c.Seen,
		room:     newRoom(cmp.Or(c.Steps, defaultSteps), c.Now),
		sessions: &sessions{redis: c.Redis, key: slices.Clone(c.Key), nonce: base32.StdEncoding.EncodeToString(nonce)},
	}, nil
}

// Answer answers one request. It always has an answer: what goes wrong on our
// side is one sentence for the customer and the chain of errors in the log.
// The step is carried through even when ctx ends meanwhile, because a gateway
// that hangs up takes no key press back; stepBudget bounds it.
func (m *Machine) Answer(ctx context.Context, r Request) (reply Reply) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepBudget)
	defer cancel()
	ctx = agents.Acting(ctx, "", "ussd "+r.Gateway) // for the log of who did what
	t := trace{start: m.now()}
	defer func() {
		if p := recover(); p != nil {
			// The panic's value is not logged: it may quote an input.
			m.log.ErrorContext(ctx, "ussd: panic", "gateway", r.Gateway, "session", r.Session, "from", r.From.Masked(), "stack", string(debug.Stack()))
			t.note = "panic"
			if reply = m.sorry(""); t.ref != "" {
				reply = m.last("", "pending") // a payment had begun
			}
		}
		m.logStep(ctx, r, t, reply)
	}()
	return m.answer(ctx, r, &t)
}

// trace collects what the log says about a step.
type trace struct {
	start         time.Time
	before, after string
	note          string // what was special: replay, stray, ...
	ref, receipt  string
	refusal       string // the key of the last one that was told
	err           error
}

func (m *Machine) logStep(ctx context.Context, r Request, t trace, reply Reply) {
	kind := "CON"
	if reply.End {
		kind = "END"
	}
	took := m.now().Sub(t.start)
	if m.seen != nil {
		m.seen(Seen{Gateway: r.Gateway, Outcome: t.outcome(reply), Refusal: t.refusal, Took: took})
	}
	attrs := []slog.Attr{
		slog.String("gateway", r.Gateway), slog.String("session", r.Session), slog.String("from", r.From.Masked()),
		slog.String("before", t.before), slog.String("after", t.after), slog.String("reply", kind),
		slog.Int64("ms", took.Milliseconds()),
	}
	if t.note != "" {
		attrs = append(attrs, slog.String("note", t.note))
	}
	if t.refusal != "" {
		attrs = append(attrs, slog.String("refusal", t.refusal))
	}
	if t.ref != "" {
		attrs = append(attrs, slog.String("ref", t.ref), slog.String("receipt", t.receipt))
	}
	level := slog.LevelInfo
	if t.err != nil {
		level = slog.LevelError
		attrs = append(attrs, slog.Any("err", t.err))
	}
	m.log.LogAttrs(ctx, level, "ussd step", attrs...)
}

func (m *Machine) answer(ctx context.Context, r Request, t *trace) Reply {
	// Who dials is turned away before anything else is done for him: what Redis
	// and the database can do is for those who are in.
	leave := func() {}
	if r.dials() {
		var ok bool
		if leave, ok = m.room.enter(ctx, true); !ok {
			return m.full("", t)
		}
	}
	defer leave()
	h, err := m.sessions.open(ctx, r.id(), r.From)
	if errors.Is(err, errLocked) {
		t.note = "locked"
		return m.last("", "pending")
	}
	if err != nil {
		t.err = err
		return m.sorry("")
	}
	defer h.release(ctx)
	if h.session == nil || m.reopens(h.session, r) {
		return m.open(ctx, r, h, t)
	}
	return m.goOn(ctx, r, h, t)
}

// open answers the first request of a session, or one of a session that Redis
// has lost.
func (m *Machine) open(ctx context.Context, r Request, h *held, t *trace) Reply {
	if r.Latest && !r.First || h.dropped && !r.Latest {
		t.note = "unknown session"
		return m.last("", "over")
	}
	if ok, first := m.limits.Dial(ctx, r.From); !ok {
		t.note = "too many dials"
		if first {
			m.accounts.NoteBrake(ctx, accounts.BrakeEvent{Rule: "dials", Subject: "phone:" + string(r.From), Detail: "by USSD"})
		}
		return m.last("", "slow_down")
	}
	if !r.dials() {
		leave, ok := m.room.enter(ctx, true)
		if !ok {
			return m.full("", t)
		}
		defer leave()
	}
	h.session = &session{From: r.From, ServiceCode: r.ServiceCode, State: state{As: Stranger, Lang: m.accounts.Country().Languages[0]}}
	if r.Latest {
		h.session.Latest, h.session.Opened = true, m.now().UnixMilli()
	}
	w := m.walk(r, h, t)
	var inputs []string
	switch {
	case r.Latest:
		inputs = behind(r.ServiceCode, r.Text)
	case r.Text != "":
		inputs = strings.Split(r.Text, "*")
	}
	if resume := h.line.Resume; resume != nil && len(inputs) == 0 && h.line.ServiceCode == r.ServiceCode {
		w.offer(ctx, *resume)
	} else {
		w.dial(ctx, inputs)
	}
	return m.keep(ctx, r, h, w, t)
}

// goOn answers a request of a session that is known.
func (m *Machine) goOn(ctx context.Context, r Request, h *held, t *trace) Reply {
	ses := h.session
	t.before, t.after = ses.State.Screen, ses.State.Screen
	if ses.From != r.From || ses.ServiceCode != r.ServiceCode {
		t.note = "not whose session it is"
		m.log.WarnContext(ctx, "ussd: request for a session that somebody else opened",
			"gateway", r.Gateway, "session", r.Session, "from", r.From.Masked(), "opener", ses.From.Masked())
		return Reply{End: true}
	}
	again, input, next := m.sessions.place(r.id(), ses, r, m.now())
	switch {
	case again >= 0:
		t.note = "repeated"
		return ses.Steps[again].Reply
	case ses.Closed || h.dropped || h.known && h.line.Session != h.id && !ses.fresh():
		t.note = "closed"
		return m.last(ses.State.Lang, "over")
	case !next:
		t.note = "out of order"
		return ses.Steps[len(ses.Steps)-1].Reply
	}
	if !r.dials() {
		leave, ok := m.room.enter(ctx, false)
		if !ok {
			return m.putOff(ctx, r, h, t)
		}
		defer leave()
	}
	w := m.walk(r, h, t)
	if len(ses.Steps) >= MaxSteps {
		t.note = "too many steps"
		w.end("over", nil)
	} else {
		w.goOn(ctx, input)
	}
	return m.keep(ctx, r, h, w, t)
}

// keep stores the session with its newest step, and answers. When it cannot be
// stored, a customer who has not paid is told to start again; one who has is
// told so, whatever Redis says.
func (m *Machine) keep(ctx context.Context, r Request, h *held, w *walk, t *trace) Reply {
	reply := w.reply
	t.after, t.receipt = w.step.Screen, w.step.Receipt
	if w.err != nil {
		t.err = w.err
	}
	resume := m.menu.resumePoint(*w.step.state)
	if reply.End && (w.err == nil || t.ref != "") {
		resume = nil // after a failure of ours the customer may go on, unless money could have moved
	}
	if err := m.store(ctx, r, h, reply, resume); err != nil {
		t.err = errors.Join(t.err, err)
		if !reply.End {
			return m.sorry(h.session.State.Lang)
		}
	}
	return reply
}

// putOff ends a session under way for which there is no room. That is stored, so
// that a repetition of the request hears the same, and does not pay after all; the
// next dial offers to go on where the session was.
func (m *Machine) putOff(ctx context.Context, r Request, h *held, t *trace) Reply {
	reply := m.full(h.session.State.Lang, t)
	t.err = m.store(ctx, r, h, reply, m.menu.resumePoint(h.session.State))
	return reply
}

// store adds a step to the session, which an END closes.
func (m *Machine) store(ctx context.Context, r Request, h *held, reply Reply, resume *state) error {
	ses := h.session
	ses.Steps = append(ses.Steps, storedStep{Hash: m.sessions.hash(r.id(), r.mark()), Length: len(r.Text), Sequence: r.Sequence, At: m.now().UnixMilli(), Reply: reply})
	if reply.End {
		ses.Closed, ses.State = true, state{Lang: ses.State.Lang}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveBudget)
	defer cancel()
	return h.save(ctx, resume)
}

// Drop is told by a gateway that a session has ended on the phone, in the
// middle or at its end. What comes for it afterwards came too late.
func (m *Machine) Drop(ctx context.Context, gateway, session string, from phone.Number) {
	if err := m.sessions.drop(ctx, gateway+":"+session, from); err != nil {
		m.log.WarnContext(ctx, "ussd: end of a session not noted", "gateway", gateway, "session", session, "from", from.Masked(), "err", err)
	}
}

// speaks tells whether a language is one of the country's.
func (m *Machine) speaks(lang string) bool {
	return slices.Contains(m.accounts.Country().Languages, lang)
}

// last is an END without a session's help.
func (m *Machine) last(lang, name string) Reply {
	if !m.speaks(lang) {
		lang = m.accounts.Country().Languages[0]
	}
	body, err := m.words.Fill(lang, name, m.holes())
	if err != nil {
		m.log.Error("ussd: words", "err", err) // cannot be: New has checked
	}
	return Reply{End: true, Text: body}
}

func (m *Machine) sorry(lang string) Reply { return m.last(lang, "sorry") }

// holes are those that every text may have.
func (m *Machine) holes() text.Holes {
	c := m.accounts.Country()
	return text.Holes{"brand": c.Brand, "service": c.ServiceCode, "care": c.Care}
}

func (m *Machine) label(lang, name string) string {
	t, _ := m.words.Text(lang, name)
	return t.Label
}
