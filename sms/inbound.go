package sms

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/db"
	"tuma/internal/phone"
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

// InboxOptions are what an Inbox stands on.
type InboxOptions struct {
	Pool     *db.Pool
	Accounts *accounts.Service
	Agents   *agents.Service
	Log      *slog.Logger
}

// Inbox takes the messages that people send.
type Inbox struct {
	pool     *db.Pool
	accounts *accounts.Service
	agents   *agents.Service
	log      *slog.Logger
}

// NewInbox checks the options.
func NewInbox(o InboxOptions) (*Inbox, error) {
	if o.Pool == nil || o.Accounts == nil || o.Agents == nil || o.Log == nil {
		return nil, errors.New("sms: an inbox needs a pool, accounts, agents and a log")
	}
	return &Inbox{pool: o.Pool, accounts: o.Accounts, agents: o.Agents, log: o.Log}, nil
}

const sqlReceived = `
insert into inbound (gateway, id, msisdn, short, at, word) values ($1, $2, $3, $4, $5, $6) on conflict (gateway, id) do nothing`

// Receive takes a message, once: the same message again changes nothing and is
// no error. ErrBadInbound is in the chain when there is no use in delivering it
// again; after any other error the gateway should.
func (b *Inbox) Receive(ctx context.Context, in Inbound) error {
	if err := in.check(); err != nil {
		return err
	}
	err := b.pool.InTx(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, sqlReceived, in.Gateway, in.ID, string(in.From), in.To, tx.Now, "unclear")
		return err
	})
	if err != nil {
		return fmt.Errorf("sms: taking a message: %w", err)
	}
	return nil
}
