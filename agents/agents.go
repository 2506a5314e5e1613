// Package agents knows the network that turns cash into e-money and back:
// agents, their tills, the operators at them, float and commission, and the
// staff who issue float. Its verbs hand finished entries to the book.
//
// It refuses to know how an operator reached it and how a customer's PIN or a
// notice works: those are accounts' business.
package agents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"tuma/accounts"
	"tuma/internal/db"
	"tuma/internal/money"
)

// Service is the agents' side of the business.
type Service struct {
	pool     *db.Pool
	accounts *accounts.Service
	rand     io.Reader // salts of staff passwords
	asking   AskLimits
}

// New makes the service on top of the customers' side.
func New(pool *db.Pool, a *accounts.Service, rand io.Reader) *Service {
	s := &Service{pool: pool, accounts: a, rand: rand, asking: DefaultAskLimits()}
	a.Settles("withdraw", s.settleWithdraw)
	a.Settles("hold", s.settleSentBack)
	return s
}

// ErrExists says that what was to be created is there already; its message says what.
var ErrExists = errors.New("agents: it exists already")

const sqlNewAgent = `insert into agent (id, name, created_at) values (nextval('agent_id'), $1, $2) returning id`

// CreateAgent registers a business that will have tills. ErrExists when the
// name is taken.
func (s *Service) CreateAgent(ctx context.Context, name string) (id int64, err error) {
	if name, err = checkTitle(name); err != nil {
		return 0, err
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		if err := tx.Get(ctx, &id, sqlNewAgent, name, tx.Now); err != nil {
			return err
		}
		return s.Log(ctx, tx, LogEntry{Scope: agentScope(id), Action: "agent_create", Subject: fmt.Sprintf("agent:%d", id), After: name})
	})
	switch {
	case db.Violates(err, "agent_has_one_name"):
		return 0, fmt.Errorf("%w: an agent called %s", ErrExists, name)
	case err != nil:
		return 0, fmt.Errorf("agents: creating an agent: %w", err)
	}
	return id, nil
}

// maxTitle is how long the name of a business may be; notices shorten it.
const maxTitle = 30

// checkTitle gives the name of an agent or till as it is kept. Unlike a
// person's it may have digits and an ampersand.
func checkTitle(name string) (string, error) {
	const letters, signs = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", " '-.&"
	name = strings.Join(strings.Fields(strings.ToUpper(name)), " ")
	if len(name) < 3 || len(name) > maxTitle || strings.Trim(name, letters+signs) != "" || !strings.ContainsAny(name, letters) {
		return "", fmt.Errorf("agents: a name has 3 to %d letters, digits, spaces or ' - . &, not %.60q", maxTitle, name)
	}
	return name, nil
}

// Position is a till's money.
type Position struct {
	Float, Commission, CommissionToday money.Amount
	LowFloat                           money.Amount // the owner's threshold; 0: none
	FloatIsLow                         bool
	Day                                *Day // the day that is open, with its expected cash so far; nil: none was opened
}

// What a deposit had earned that was undone is earned no longer.
const sqlCommissionToday = `
select coalesce(sum(case when p.credit = $1 then p.amount else -p.amount end), 0)::bigint
from entries_of($1, $2) e, unnest(string_to_array(e.whys, ','), e.debits, e.credits, e.amounts) as p (why, debit, credit, amount)
where p.credit = $1 and p.why = 'commission' or p.debit = $1 and p.why = 'reversed'`

// Float tells how much e-money a till holds, what it has earned, and what cash
// there should be. Refusals: frozen, not_allowed.
func (s *Service) Float(ctx context.Context, o Operator) (Position, error) {
	if err := o.May(ActFloatView); err != nil {
		return Position{}, err
	}
	float, err := s.accounts.Book().Account(ctx, o.Till.float)
	if err != nil {
		return Position{}, err
	}
	commission, err := s.accounts.Book().Account(ctx, o.Till.commission)
	if err != nil {
		return Position{}, err
	}
	p := Position{Float: float.Balance, Commission: commission.Balance, LowFloat: o.Till.low, FloatIsLow: float.Balance < o.Till.low}
	if err := s.pool.Get(ctx, &p.CommissionToday, sqlCommissionToday, int64(o.Till.commission), s.midnight()); err != nil {
		return Position{}, fmt.Errorf("agents: commission of today: %w", err)
	}
	p.Day, err = s.openedDay(ctx, o.Till)
	return p, err
}

// Last are the newest entries of a till's float, newest first. Refusals:
// frozen, not_allowed.
func (s *Service) Last(ctx context.Context, o Operator, n int) ([]accounts.Line, error) {
	if err := o.May(ActEntriesView); err != nil {
		return nil, err
	}
	return s.accounts.Lines(ctx, o.Till.float, n)
}
