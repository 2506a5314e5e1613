package agents

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/internal/phone"
)

// The kill switches. Each stops the next step of whoever it is about, and, where
// there are accounts, has the book refuse what is still on its way.

// freezing checks who wants it and why.
func (s *Service) freezing(ctx context.Context, staff string, frozen bool, reason string) (action Action, why string, err error) {
	if action = ActUnfreeze; frozen {
		action = ActFreeze
	}
	if why, err = CheckReason(reason); err != nil {
		return "", "", err
	}
	return action, why, s.MayStaff(ctx, staff, action)
}

// was says in the log what a freeze found and left.
func was(frozen bool) (before, after string) {
	if frozen {
		return "free", "frozen"
	}
	return "frozen", "free"
}

const (
	sqlHoldAgentOf  = `select a.id from agent a join till t on t.agent = a.id where t.number = $1 for update of a`
	sqlFreezeTill   = `update till set frozen = $2 where number = $1 and frozen <> $2`
	sqlHoldAgent    = `select id from agent where name = $1 for update`
	sqlFreezeAgent  = `update agent set frozen = $2 where id = $1 and frozen <> $2`
	sqlTillAccounts = `select t.float, t.commission, t.frozen or a.frozen as frozen from till t join agent a on a.id = t.agent where a.id = $1 order by t.float`
)

// FreezeTill stops a till, or lets it go. ErrNotStaff, ErrNoReason; refusals
// bad_till, till_unknown.
func (s *Service) FreezeTill(ctx context.Context, staff, number string, frozen bool, reason string) error {
	action, reason, err := s.freezing(ctx, staff, frozen, reason)
	if err != nil {
		return err
	}
	if !isTillNumber(number) {
		return accounts.Refuse("bad_till")
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		var agent int64
		err := tx.Get(ctx, &agent, sqlHoldAgentOf, number)
		if errors.Is(err, sql.ErrNoRows) {
			return accounts.Refuse("till_unknown")
		}
		if err != nil {
			return err
		}
		n, err := tx.Exec(ctx, sqlFreezeTill, number, frozen)
		if err != nil || n == 0 {
			return err // it is so already
		}
		if err := setTills(ctx, tx, agent); err != nil {
			return err
		}
		before, after := was(frozen)
		return s.Log(ctx, tx, LogEntry{Actor: staffActor(staff), Scope: agentScope(agent), Action: string(action), Subject: "till:" + number, Before: before, After: after, Reason: reason})
	})
	if err != nil {
		return fmt.Errorf("agents: freezing till %s: %w", number, err)
	}
	return nil
}

// ErrNoAgent says that there is none of that name.
var ErrNoAgent = errors.New("agents: there is no agent of this name")

// FreezeAgent stops all tills of an agent, or lets go those that were not frozen
// by themselves. ErrNotStaff, ErrNoReason, ErrNoAgent.
func (s *Service) FreezeAgent(ctx context.Context, staff, agent string, frozen bool, reason string) error {
	action, reason, err := s.freezing(ctx, staff, frozen, reason)
	if err != nil {
		return err
	}
	if agent, err = checkTitle(agent); err != nil {
		return fmt.Errorf("%w: %w", ErrNoAgent, err)
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		var id int64
		err := tx.Get(ctx, &id, sqlHoldAgent, agent)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("%w: %s", ErrNoAgent, agent)
		}
		if err != nil {
			return err
		}
		n, err := tx.Exec(ctx, sqlFreezeAgent, id, frozen)
		if err != nil || n == 0 {
			return err
		}
		if err := setTills(ctx, tx, id); err != nil {
			return err
		}
		before, after := was(frozen)
		return s.Log(ctx, tx, LogEntry{Actor: staffActor(staff), Scope: agentScope(id), Action: string(action), Subject: agentScope(id), Before: before, After: after, Reason: reason})
	})
	if err != nil {
		return fmt.Errorf("agents: freezing an agent: %w", err)
	}
	return nil
}

// setTills makes the accounts of an agent's tills know whether they are frozen,
// in the order of their ids, as the book locks them.
func setTills(ctx context.Context, tx *db.Tx, agent int64) error {
	var tills []struct {
		Float      int64 `db:"float"`
		Commission int64 `db:"commission"`
		Frozen     bool  `db:"frozen"`
	}
	if err := tx.Select(ctx, &tills, sqlTillAccounts, agent); err != nil {
		return err
	}
	for _, t := range tills {
		for _, id := range []int64{t.Float, t.Commission} {
			if err := ledger.SetRules(ctx, tx, ledger.AccountID(id), tillRules(t.Frozen)); err != nil {
				return err
			}
		}
	}
	return nil
}

const sqlFreezeOperator = `update operator set frozen = $2 where id = $1 and frozen <> $2`

// FreezeOperator stops a person at a till, or lets him go. ErrNotStaff,
// ErrNoReason, ErrNoOperator.
func (s *Service) FreezeOperator(ctx context.Context, staff string, n phone.Number, frozen bool, reason string) error {
	action, reason, err := s.freezing(ctx, staff, frozen, reason)
	if err != nil {
		return err
	}
	o, err := s.ByPhone(ctx, n)
	if err != nil {
		return err
	}
	return s.freezeOperator(ctx, staffActor(staff), o, action, frozen, reason)
}

func (s *Service) freezeOperator(ctx context.Context, by string, o Operator, action Action, frozen bool, reason string) error {
	err := s.pool.InTx(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(ctx, sqlFreezeOperator, o.ID, frozen)
		if err != nil || n == 0 {
			return err
		}
		before, after := was(frozen)
		return s.Log(ctx, tx, LogEntry{Actor: by, Scope: o.Scope(), Action: string(action), Subject: o.Actor(), Before: before, After: after, Reason: reason})
	})
	if err != nil {
		return fmt.Errorf("agents: freezing an operator: %w", err)
	}
	return nil
}

// FreezeCustomer stops a customer's wallet, in and out, or lets it go.
// ErrNotStaff, ErrNoReason.
func (s *Service) FreezeCustomer(ctx context.Context, staff string, c accounts.Customer, frozen bool, reason string) error {
	action, reason, err := s.freezing(ctx, staff, frozen, reason)
	if err != nil {
		return err
	}
	return s.pool.InTx(ctx, func(tx *db.Tx) error {
		if err := s.accounts.FreezeIn(ctx, tx, c, frozen); err != nil {
			return err
		}
		before, after := was(frozen)
		return s.Log(ctx, tx, LogEntry{Actor: staffActor(staff), Action: string(action), Subject: customerSubject(c.ID), Before: before, After: after, Reason: reason})
	})
}

func customerSubject(id int64) string { return fmt.Sprintf("customer:%d", id) }

// LookUpCustomer gives staff a customer by his number; that it was done, and
// why, is in the log. ErrNotStaff, ErrNoReason, accounts.ErrNoCustomer.
func (s *Service) LookUpCustomer(ctx context.Context, staff string, n phone.Number, reason string) (accounts.Customer, error) {
	reason, err := CheckReason(reason)
	if err != nil {
		return accounts.Customer{}, err
	}
	if err := s.MayStaff(ctx, staff, ActCustomerLookup); err != nil {
		return accounts.Customer{}, err
	}
	c, err := s.accounts.ByPhone(ctx, n)
	if err != nil {
		return accounts.Customer{}, err
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		return s.Log(ctx, tx, LogEntry{Actor: staffActor(staff), Action: string(ActCustomerLookup), Subject: customerSubject(c.ID), Reason: reason})
	})
	if err != nil {
		return accounts.Customer{}, err
	}
	return c, nil
}
