package sms

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/db"
	"tuma/internal/phone"
	"tuma/internal/text"
	"tuma/sms/outbox"
)

// Inbound is an SMS that somebody has sent us, as a gateway's file decodes it.
type Inbound struct {
	Gateway string // its Name
	// ID is the gateway's own for this message, the same when it is delivered
	// again: together with Gateway it counts once. Where a gateway has none, its
	// file makes one of what repeats (sender, time, sequence), never of the text.
	ID   string
	From phone.Number // what the gateway says; it may be forged
	To   string       // the short code or number that it was sent to
	Text string       // may hold a PIN: it is neither stored nor logged
	At   time.Time    // when the gateway says that it was sent; zero: it does not say
}

// ErrBadInbound says that a gateway has handed over what is no message: it would
// be no other at another try.
var ErrBadInbound = errors.New("sms: this is no message")

// Bounds of what a gateway hands over, in bytes.
const (
	maxGateway     = 20
	maxInboundID   = 80 // with the gateway's name part of keys that have 120
	maxInboundTo   = 40
	maxInboundText = 4 * 1600
)

func (in Inbound) check() error {
	switch {
	case in.Gateway == "" || !sound(in.Gateway, maxGateway):
		return fmt.Errorf("%w: it has no gateway", ErrBadInbound)
	case in.ID == "" || !sound(in.ID, maxInboundID):
		return fmt.Errorf("%w: its id is missing or odd", ErrBadInbound)
	case in.From == "" || !sound(string(in.From), maxInboundTo) || !sound(in.To, maxInboundTo):
		return fmt.Errorf("%w: its sender or recipient is missing or odd", ErrBadInbound)
	case len(in.Text) > maxInboundText:
		return fmt.Errorf("%w: it is too long", ErrBadInbound)
	}
	return nil
}

func sound(s string, most int) bool {
	return len(s) <= most && utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}

// key names a message in the outbox and in the book.
func (in Inbound) key() string { return "sms:" + in.Gateway + ":" + in.ID }

// How often somebody is answered. A number that is forged can be kept from
// commands with these; the menu does not count them.
const (
	messagesPerHour = 20
	sendsPerDay     = 20 // each leads to the name of a payee, as often as the menu shows one
	openAsked       = 5  // approvals that one has asked for and not answered
)

// InboxOptions are what an Inbox stands on.
type InboxOptions struct {
	Pool     *db.Pool
	Accounts *accounts.Service
	Agents   *agents.Service
	Refusals *text.Catalogue // the menu's words; of those under refusal.<key>
	Log      *slog.Logger
}

// Inbox answers the messages that people send. Nothing that a message asks for
// moves money: what would becomes an approval.
type Inbox struct {
	pool     *db.Pool
	accounts *accounts.Service
	agents   *agents.Service
	words    *text.Catalogue
	refusals *text.Catalogue
	vocabulary
	log *slog.Logger
}

// NewInbox checks the options, and the words of commands/*.txt.
func NewInbox(o InboxOptions) (*Inbox, error) {
	if o.Pool == nil || o.Accounts == nil || o.Agents == nil || o.Refusals == nil || o.Log == nil {
		return nil, errors.New("sms: an inbox needs a pool, accounts, agents, the words of refusals and a log")
	}
	words, err := text.ParseCatalogue(commandFiles, "commands")
	if err != nil {
		return nil, fmt.Errorf("sms: commands: %w", err)
	}
	b := &Inbox{pool: o.Pool, accounts: o.Accounts, agents: o.Agents, words: words, refusals: o.Refusals, log: o.Log}
	if b.vocabulary, err = newVocabulary(words); err != nil {
		return nil, err
	}
	for _, lang := range o.Accounts.Country().Languages {
		if !slices.Contains(words.Languages(), lang) {
			return nil, fmt.Errorf("sms: there are no commands in language %q", lang)
		}
		for _, key := range Refusals {
			if _, ok := o.Refusals.Text(lang, "refusal."+key); !ok {
				return nil, fmt.Errorf("sms: there are no words for refusal %s in %s", key, lang)
			}
		}
	}
	return b, nil
}

const (
	sqlTaken  = `select exists (select from inbound where gateway = $1 and id = $2)`
	sqlRecent = `
select count(*) filter (where at > $2) as messages, count(*) filter (where word = 'send') as sends
from inbound where msisdn = $1 and at > $3`
	sqlReceived = `
insert into inbound (gateway, id, msisdn, short, at, word) values ($1, $2, $3, $4, $5, $6) on conflict (gateway, id) do nothing`
)

// Receive takes a message and owes its sender an answer, once: the same message
// again, even at the same time, asks for nothing more and is no error.
// ErrBadInbound is in the chain when there is no use in delivering it again;
// after any other error the gateway should.
func (b *Inbox) Receive(ctx context.Context, in Inbound) error {
	if err := in.check(); err != nil {
		return err
	}
	var taken bool
	if err := b.pool.Get(ctx, &taken, sqlTaken, in.Gateway, in.ID); err != nil || taken {
		return wrap(err)
	}
	c, err := b.accounts.ByPhone(ctx, in.From)
	stranger := errors.Is(err, accounts.ErrNoCustomer)
	if err != nil && !stranger {
		return wrap(err)
	}
	lang := b.languageOf(c)
	cmd := b.parse(b.accounts.Country(), lang, in.Text)
	in.Text = "" // from here on nobody can store or log it
	var a answer
	switch {
	case cmd.name == cmdReserved:
	case stranger:
		lang = b.stranger(cmd)
		a = answer{name: "stranger", key: fmt.Sprintf("sms:stranger:%s:%s", in.From, b.pool.Now().In(b.accounts.Country().Zone).Format(time.DateOnly))}
	default:
		if a, err = b.limited(ctx, in, c, cmd); err != nil {
			return wrap(err)
		}
	}
	return wrap(b.answer(ctx, in, cmd, lang, a))
}

func wrap(err error) error {
	if err != nil {
		return fmt.Errorf("sms: taking a message: %w", err)
	}
	return nil
}

// languageOf is the one that a customer is answered in.
func (b *Inbox) languageOf(c accounts.Customer) string {
	languages := b.accounts.Country().Languages
	if slices.Contains(languages, c.Lang) {
		return c.Lang
	}
	return languages[0]
}

// stranger is the language that somebody has written in, as far as that is known.
func (b *Inbox) stranger(cmd command) string { return b.languageOf(accounts.Customer{Lang: cmd.lang}) }

// limited does what a customer asks for, unless it is too much of it. Counting
// what the database has taken, it fails as the answer itself does.
func (b *Inbox) limited(ctx context.Context, in Inbound, c accounts.Customer, cmd command) (answer, error) {
	var recent struct {
		Messages int `db:"messages"`
		Sends    int `db:"sends"`
	}
	now := b.pool.Now()
	if err := b.pool.Get(ctx, &recent, sqlRecent, string(in.From), now.Add(-time.Hour), now.Add(-24*time.Hour)); err != nil {
		return answer{}, err
	}
	switch {
	case recent.Messages > messagesPerHour:
		return answer{}, nil
	case recent.Messages == messagesPerHour:
		return answer{name: "slow_down"}, nil
	case cmd.name == cmdSend && recent.Sends >= sendsPerDay:
		b.accounts.NoteBrake(ctx, accounts.BrakeEvent{Rule: "lookups", Subject: "phone:" + string(in.From), Detail: "by SMS"})
		return b.refused(b.languageOf(c), accounts.Refuse("lookups_spent"))
	}
	a, err := b.do(ctx, in, c, cmd)
	if r, ok := errors.AsType[accounts.Refusal](err); ok {
		return b.refused(b.languageOf(c), r)
	}
	return a, err
}

// answer is what somebody is told: a text of commands/*.txt. The zero answer is
// none.
type answer struct {
	name  string
	lang  string // "": the customer's
	holes text.Holes
	key   string // in the outbox, "": the message's own
}

// answer notes a message and owes its answer in one transaction: whoever notes it
// first has answered it.
func (b *Inbox) answer(ctx context.Context, in Inbound, cmd command, lang string, a answer) error {
	first := false
	err := b.pool.InTx(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(ctx, sqlReceived, in.Gateway, in.ID, string(in.From), in.To, tx.Now, cmd.name)
		if first = n == 1; err != nil || !first || a.name == "" {
			return err
		}
		notice := outbox.Notice{Key: in.key(), To: in.From, Lang: lang, Priority: outbox.Receipt}
		if a.key != "" {
			notice.Key = a.key
		}
		if a.lang != "" {
			notice.Lang = a.lang
		}
		if notice.Body, err = b.fill(notice.Lang, a); err != nil {
			return err
		}
		return outbox.WriteOnce(ctx, tx, []outbox.Notice{notice})
	})
	if err != nil || !first {
		return err
	}
	b.log.InfoContext(ctx, "sms taken", "gateway", in.Gateway, "id", in.ID, "from", in.From.Masked(), "command", cmd.name, "answer", a.name)
	if a.name == "" {
		return nil
	}
	if err := outbox.Wake(ctx, b.pool); err != nil {
		b.log.WarnContext(ctx, "the relay was not woken", "error", err) // it looks by itself
	}
	return nil
}

func (b *Inbox) fill(lang string, a answer) (string, error) {
	h := b.common()
	maps.Copy(h, a.holes)
	return b.words.Fill(lang, "answer."+a.name, h)
}

// common is what every text may speak of.
func (b *Inbox) common() text.Holes {
	c := b.accounts.Country()
	return text.Holes{"brand": c.Brand, "service": c.ServiceCode, "care": c.Care}
}

// refused answers with the reason, in the menu's words.
func (b *Inbox) refused(lang string, r accounts.Refusal) (answer, error) {
	h := b.common()
	maps.Copy(h, r.Holes)
	reason, err := b.refusals.Fill(lang, "refusal."+r.Key, h)
	return answer{name: "refused", holes: text.Holes{"reason": reason}}, err
}
