package agents

import (
	"context"
	"errors"
	"fmt"

	"tuma/internal/db"
	"tuma/internal/phone"
)

// An owner manages the operators of his own agent's tills, a head those of his
// head office, and nobody else's.

const (
	sqlOperatorsOfAgent  = sqlOperators + ` where t.agent = $1 order by t.number, o.id`
	sqlOperatorsOfOffice = sqlOperators + ` where o.head_office = $1 order by o.id`
	sqlSetHours          = `update operator set hours_from = $2, hours_to = $3 where id = $1`
	sqlSetRole           = `update operator set role = $2 where id = $1`
)

// ErrSelf says that nobody takes his own rights away: there would be no way back.
var ErrSelf = errors.New("agents: nobody does this to himself")

// Operators are those that an owner or a head manages; PINState is not told.
// Refusals: frozen, till_closed, not_allowed.
func (s *Service) Operators(ctx context.Context, o Operator) ([]Operator, error) {
	if err := o.May(ActOperatorsManage); err != nil {
		return nil, err
	}
	query, of := sqlOperatorsOfAgent, o.Till.agent
	if o.Role == "head" {
		query, of = sqlOperatorsOfOffice, o.Till.office
	}
	var rows []operatorRow
	if err := s.pool.Select(ctx, &rows, query, of); err != nil {
		return nil, fmt.Errorf("agents: operators: %w", err)
	}
	list := make([]Operator, len(rows))
	for i, r := range rows {
		list[i] = s.operator(r)
	}
	return list, nil
}

// managed is the operator that another wants to change. Whether somebody else's
// exists is not told: ErrNoOperator.
func (s *Service) managed(ctx context.Context, o Operator, n phone.Number) (Operator, error) {
	if err := o.May(ActOperatorsManage); err != nil {
		return Operator{}, err
	}
	x, err := s.ByPhone(ctx, n)
	switch {
	case err != nil:
		return Operator{}, err
	case x.Scope() != o.Scope():
		return Operator{}, ErrNoOperator
	case x.ID == o.ID:
		return Operator{}, ErrSelf
	}
	return x, nil
}

// AddOperator puts a person at a till of the owner's agent, or into the head's
// office. ErrOtherNetwork; else as CreateOperator, and frozen, till_closed,
// not_allowed.
func (s *Service) AddOperator(ctx context.Context, o Operator, n NewOperator) error {
	if err := o.May(ActOperatorsManage); err != nil {
		return err
	}
	n.PIN = "" // chosen by himself
	if o.Role == "head" {
		n.Till, n.Role, n.Office = "", "head", o.Till.Name
	} else {
		t, err := s.Till(ctx, n.Till)
		if err != nil {
			return err
		}
		if n.Office = ""; t.agent != o.Till.agent {
			return ErrOtherNetwork
		}
	}
	who, _ := ctx.Value(acting{}).(actor)
	return s.CreateOperator(Acting(ctx, o.Actor(), who.from), n)
}

// FreezeOwnOperator stops one of the owner's operators, or lets him go.
// ErrNoOperator, ErrSelf, ErrNoReason.
func (s *Service) FreezeOwnOperator(ctx context.Context, o Operator, n phone.Number, frozen bool, reason string) error {
	x, err := s.managed(ctx, o, n)
	if err != nil {
		return err
	}
	if reason, err = CheckReason(reason); err != nil {
		return err
	}
	action := ActUnfreeze
	if frozen {
		action = ActFreeze
	}
	return s.freezeOperator(ctx, o.Actor(), x, action, frozen, reason)
}

// SetOperatorRole makes one of the owner's operators an owner, assistant or
// auditor. ErrNoOperator, ErrSelf.
func (s *Service) SetOperatorRole(ctx context.Context, o Operator, n phone.Number, role string) error {
	return s.manage(ctx, o, n, "operator_role", func(x Operator) (before, after string) { return x.Role, role }, func(tx *db.Tx, x Operator) error {
		_, err := tx.Exec(ctx, sqlSetRole, x.ID, role)
		if db.Violates(err, "role_is_known") || db.Violates(err, "operator_has_one_place") {
			err = fmt.Errorf("a role is owner, assistant or auditor, not %.60q", role)
		}
		return err
	})
}

// SetOperatorHours bounds when one of the owner's operators may move money; nil:
// always. ErrNoOperator, ErrSelf.
func (s *Service) SetOperatorHours(ctx context.Context, o Operator, n phone.Number, h *Hours) error {
	const day = 24 * 60
	if h != nil && (h.From < 0 || h.From >= day || h.To < 0 || h.To >= day || h.From == h.To) {
		return errors.New("agents: hours are two different minutes of a day, 0 to 1439")
	}
	return s.manage(ctx, o, n, "operator_hours", func(x Operator) (before, after string) { return x.Hours.String(), h.String() }, func(tx *db.Tx, x Operator) error {
		var from, to any
		if h != nil {
			from, to = h.From, h.To
		}
		_, err := tx.Exec(ctx, sqlSetHours, x.ID, from, to)
		return err
	})
}

// String writes hours as people read them, 08:00-17:30.
func (h *Hours) String() string {
	if h == nil {
		return "always"
	}
	return fmt.Sprintf("%02d:%02d-%02d:%02d", h.From/60, h.From%60, h.To/60, h.To%60)
}

// ResetOperatorPIN takes a forgotten PIN away; a new one is chosen with the ID
// number. ErrNoOperator, ErrSelf.
func (s *Service) ResetOperatorPIN(ctx context.Context, o Operator, n phone.Number) error {
	return s.manage(ctx, o, n, "pin_reset", func(Operator) (before, after string) { return "", "" }, func(tx *db.Tx, x Operator) error {
		return s.accounts.PINs().ResetIn(ctx, tx, x.PIN)
	})
}

// manage changes an operator and writes it down.
func (s *Service) manage(ctx context.Context, o Operator, n phone.Number, action string, what func(Operator) (before, after string), change func(*db.Tx, Operator) error) error {
	x, err := s.managed(ctx, o, n)
	if err != nil {
		return err
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		if err := change(tx, x); err != nil {
			return err
		}
		before, after := what(x)
		return s.Log(ctx, tx, LogEntry{Actor: o.Actor(), Scope: o.Scope(), Action: action, Subject: x.Actor(), Before: before, After: after})
	})
	if err != nil {
		return fmt.Errorf("agents: operator %s: %w", s.accounts.Country().Phone.National(n), err)
	}
	return nil
}
