package agents

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"tuma/accounts/ledger"
	"tuma/internal/db"
)

// LogEntry is one line of the log: who did what. What is left empty when it is
// written comes from the context (see Acting), or is not there.
type LogEntry struct {
	ID      int64     `db:"id"`
	At      time.Time `db:"at"`
	Actor   string    `db:"actor"`      // operator:+2547.., staff:jane, customer:12, system
	From    string    `db:"from_where"` // an address, a channel
	Scope   string    `db:"scope"`      // Operator.Scope of those who may read it; "": the service alone
	Action  string    `db:"action"`
	Subject string    `db:"subject"` // till:100101, operator:+2547.., customer:12
	Before  string    `db:"before"`
	After   string    `db:"after"`
	Reason  string    `db:"reason"`
	Digest  []byte    `db:"digest"`
}

// acting is the key of who acts in a context.
type acting struct{}

type actor struct{ who, from string }

// Acting notes in a context who acts, where a verb does not know it itself, and
// from where: what the log says of whatever is done with it.
func Acting(ctx context.Context, who, from string) context.Context {
	return context.WithValue(ctx, acting{}, actor{who, from})
}

// Actor is how the log names an operator.
func (o Operator) Actor() string { return "operator:" + string(o.Phone) }

// Scope is whose log an operator may read: that of the agent, or of the head office.
func (o Operator) Scope() string {
	return o.Till.scope()
}

func (t Till) scope() string {
	if t.Number == "" {
		return officeScope(t.office)
	}
	return agentScope(t.agent)
}

func agentScope(id int64) string { return fmt.Sprintf("agent:%d", id) }

func staffActor(name string) string { return "staff:" + name }

// digest covers everything that a line says, and the line before.
func (e LogEntry) digest(before []byte) []byte {
	b := append([]byte(nil), before...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.ID))
	b = binary.BigEndian.AppendUint64(b, uint64(e.At.UnixMicro()))
	for _, field := range []string{e.Actor, e.From, e.Scope, e.Action, e.Subject, e.Before, e.After, e.Reason} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(field)))
		b = append(b, field...)
	}
	sum := sha256.Sum256(b)
	return sum[:]
}

const (
	sqlLogHead = `select id, digest from log_head for update`
	sqlLog     = `
insert into log (id, at, actor, from_where, scope, action, subject, before, after, reason, digest)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`
	sqlLogOn = `update log_head set id = $1, digest = $2`
)

// Log writes a line in the transaction of what it records. It comes last there:
// the log's head is locked until the commit, so that lines follow each other.
func (s *Service) Log(ctx context.Context, tx *db.Tx, e LogEntry) error {
	who, _ := ctx.Value(acting{}).(actor)
	if e.Actor == "" {
		e.Actor = who.who
	}
	if e.Actor == "" {
		e.Actor = "system"
	}
	if e.From == "" {
		e.From = who.from
	}
	for _, field := range []*string{&e.Actor, &e.From, &e.Scope, &e.Action, &e.Subject, &e.Before, &e.After, &e.Reason} {
		*field = strings.ReplaceAll(strings.ToValidUTF8(*field, "?"), "\x00", "?")
	}
	var head struct {
		ID     int64  `db:"id"`
		Digest []byte `db:"digest"`
	}
	if err := tx.Get(ctx, &head, sqlLogHead); err != nil {
		return fmt.Errorf("agents: log: %w", err)
	}
	e.ID, e.At = head.ID+1, tx.Now
	e.Digest = e.digest(head.Digest)
	if _, err := tx.Exec(ctx, sqlLog, e.ID, e.At, e.Actor, e.From, e.Scope, e.Action, e.Subject, e.Before, e.After, e.Reason, e.Digest); err != nil {
		return fmt.Errorf("agents: log: %w", err)
	}
	if _, err := tx.Exec(ctx, sqlLogOn, e.ID, e.Digest); err != nil {
		return fmt.Errorf("agents: log: %w", err)
	}
	return nil
}

const sqlLogOf = `
select id, at, actor, from_where, scope, action, subject, before, after, reason, digest from log
where ($1 = '' or scope = $1) and ($2::bigint = 0 or id < $2) and ($3 = '' or actor = $3)
  and ($4::timestamptz is null or at >= $4) and ($5::timestamptz is null or at < $5)
order by id desc limit $6`

// LogFind says which lines of the log are wanted.
type LogFind struct {
	Actor       string    // as the log names it; "": everybody
	From, Until time.Time // from the first on, before the second; zero: no bound
	Before      int64     // a line: only what is older; 0: from the newest on
	Limit       int
}

// LogOf gives lines of a scope, newest first: "" is the whole log, else
// Operator.Scope.
func (s *Service) LogOf(ctx context.Context, scope string, f LogFind) (lines []LogEntry, err error) {
	bound := func(at time.Time) sql.NullTime { return sql.NullTime{Time: at, Valid: !at.IsZero()} }
	err = s.pool.InSnapshot(ctx, func(snap *db.Snapshot) error {
		return snap.Select(ctx, &lines, sqlLogOf, scope, f.Before, f.Actor, bound(f.From), bound(f.Until), f.Limit)
	})
	if err != nil {
		return nil, fmt.Errorf("agents: log: %w", err)
	}
	return lines, nil
}

// OwnLog is what an operator may read of the log. Refusals: frozen, not_allowed.
func (s *Service) OwnLog(ctx context.Context, o Operator, f LogFind) ([]LogEntry, error) {
	if err := o.May(ActLogView); err != nil {
		return nil, err
	}
	return s.LogOf(ctx, o.Scope(), f)
}

const (
	sqlWholeLog = `select id, at, actor, from_where, scope, action, subject, before, after, reason, digest from log order by id`
	sqlLogEnd   = `select id, digest from log_head`
)

// EachLog reads the whole log, oldest line first, and gives what is wrong with
// its chain.
func EachLog(ctx context.Context, pool *db.Pool, fn func(LogEntry)) (breaks []ledger.Break, err error) {
	broken := func(format string, args ...any) {
		breaks = append(breaks, ledger.Break{Check: "log is as it was written", What: fmt.Sprintf(format, args...)})
	}
	err = pool.InSnapshot(ctx, func(snap *db.Snapshot) error {
		genesis := sha256.Sum256([]byte("tuma log"))
		last, before := int64(0), genesis[:]
		err := snap.Each(ctx, func(scan func(...any) error) error {
			var e LogEntry
			if err := scan(&e.ID, &e.At, &e.Actor, &e.From, &e.Scope, &e.Action, &e.Subject, &e.Before, &e.After, &e.Reason, &e.Digest); err != nil {
				return err
			}
			e.At = e.At.UTC()
			e.Digest = bytes.Clone(e.Digest)
			switch {
			case e.ID != last+1:
				broken("line %d follows line %d", e.ID, last)
			case !bytes.Equal(e.digest(before), e.Digest):
				broken("line %d, or the one before it, was changed", e.ID)
			}
			last, before = e.ID, e.Digest
			fn(e)
			return nil
		}, sqlWholeLog)
		if err != nil {
			return err
		}
		var id int64
		var digest []byte
		if err := snap.Each(ctx, func(scan func(...any) error) error { return scan(&id, &digest) }, sqlLogEnd); err != nil {
			return err
		}
		if id != last || !bytes.Equal(digest, before) {
			broken("the log ends with line %d, its head says %d", last, id)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("agents: log: %w", err)
	}
	return breaks, nil
}

// maxReason is how long a reason may be.
const maxReason = 200

// ErrNoReason says that a reason is missing or too long.
var ErrNoReason = errors.New("agents: a reason of 3 to 200 characters is needed")

// CheckReason gives a reason as it is kept: one line; ErrNoReason.
func CheckReason(reason string) (string, error) {
	reason = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(reason, "?"), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if n := len([]rune(reason)); n < 3 || n > maxReason {
		return "", ErrNoReason
	}
	return reason, nil
}
