package agents

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tuma/accounts"
)

// Action is something that an operator or a member of staff may do, or not.
type Action string

// The actions of operators.
const (
	ActDeposit          Action = "deposit"
	ActWithdrawAsk      Action = "withdraw_ask"
	ActRegister         Action = "register"
	ActFloatView        Action = "float_view"
	ActFloatRequest     Action = "float_request"
	ActFloatTransfer    Action = "float_transfer"
	ActFloatReturn      Action = "float_return"
	ActFloatThreshold   Action = "float_threshold"
	ActCommissionView   Action = "commission_view"
	ActCommissionPayout Action = "commission_payout"
	ActOperatorsManage  Action = "operators_manage"
	ActDayView          Action = "day_view"
	ActDayOpen          Action = "day_open"
	ActDayClose         Action = "day_close"
	ActEntriesView      Action = "entries_view"
	ActReversalAsk      Action = "reversal_ask"
	ActLogView          Action = "log_view"
	ActNetworkView      Action = "network_view"
)

// The actions of staff.
const (
	ActFloatWaiting   Action = "float_waiting"
	ActFloatMake      Action = "float_make"
	ActFloatCheck     Action = "float_check"
	ActFreeze         Action = "freeze"
	ActUnfreeze       Action = "unfreeze"
	ActReversalDecide Action = "reversal_decide"
	ActCustomerLookup Action = "customer_lookup"
	ActReconcile      Action = "reconcile"
	ActReconcileNote  Action = "reconcile_note"
	ActReconcileClose Action = "reconcile_close"
	ActPhotoView      Action = "photo_view"
	ActLogViewAll     Action = "log_view_all"
	ActFactorReset    Action = "factor_reset"
	ActBrakesView     Action = "brakes_view"
	ActBrakeReview    Action = "brake_review"
	ActBrakeRelease   Action = "brake_release"
	ActTillWatch      Action = "till_watch"
)

// rights is every right there is: an action, what it is, and the roles that may
// do it. A view changes nothing and is allowed at a closed till, too; money is
// moved only in the operator's hours.
const rights = `
	deposit            money   owner assistant
	withdraw_ask       money   owner assistant
	register           change  owner assistant
	float_view         view    owner assistant auditor head
	float_request      money   owner assistant head
	float_transfer     money   owner head
	float_return       money   owner head
	float_threshold    change  owner
	commission_view    view    owner assistant auditor head
	commission_payout  money   owner head
	operators_manage   change  owner head
	day_view           view    owner assistant auditor
	day_open           change  owner assistant
	day_close          change  owner assistant
	entries_view       view    owner assistant auditor head
	reversal_ask       money   owner assistant
	log_view           view    owner auditor head
	network_view       view    head

	float_waiting      staff   maker checker
	float_make         staff   maker
	float_check        staff   checker
	freeze             staff   checker care
	unfreeze           staff   checker care
	reversal_decide    staff   checker
	customer_lookup    staff   checker care
	reconcile          staff   maker checker
	reconcile_note     staff   maker
	reconcile_close    staff   checker
	photo_view         staff   checker care
	log_view_all       staff   checker
	factor_reset       staff   maker checker care
	brakes_view        staff   checker care
	brake_review       staff   checker care
	brake_release      staff   checker
	till_watch         staff   maker checker care
`

// right is an action's line: what it is, and who may.
func right(a Action) (sort string, roles []string) {
	for line := range strings.Lines(rights) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == string(a) {
			return f[1], f[2:]
		}
	}
	return "", nil
}

// Actions lists every action that has rights.
func Actions() (all []Action) {
	for line := range strings.Lines(rights) {
		if f := strings.Fields(line); len(f) > 0 {
			all = append(all, Action(f[0]))
		}
	}
	return all
}

// May refuses what an operator may not do now: frozen, till_closed (a view is
// allowed), not_allowed, out_of_hours (money alone).
func (o Operator) May(a Action) error {
	sort, roles := right(a)
	switch {
	case o.Frozen:
		return accounts.Refuse("frozen")
	case o.Till.Closed && sort != "view":
		return accounts.Refuse("till_closed")
	case sort == "staff" || !slices.Contains(roles, o.Role):
		return accounts.Refuse("not_allowed")
	case o.OffHours && sort == "money":
		return accounts.Refuse("out_of_hours")
	}
	return nil
}

// Roles lists every role that has rights, in the order of their names.
func Roles() (all []string) {
	for _, a := range Actions() {
		_, roles := right(a)
		all = append(all, roles...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// RoleMay tells whether a role, of operators or of staff, may ever do it.
func RoleMay(role string, a Action) bool {
	_, roles := right(a)
	return slices.Contains(roles, role)
}

// StaffMay refuses what a role of the service's own staff may not do: not_allowed.
func StaffMay(role string, a Action) error {
	if sort, roles := right(a); sort != "staff" || !slices.Contains(roles, role) {
		return accounts.Refuse("not_allowed")
	}
	return nil
}

const sqlStaffRole = `select role from staff where name = $1 and active`

// Role is the role of an active member of staff; ErrNotStaff.
func (s *Service) Role(ctx context.Context, name string) (string, error) {
	var role string
	err := s.pool.Get(ctx, &role, sqlStaffRole, name)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("%w: there is no %s", ErrNotStaff, name)
	}
	if err != nil {
		return "", fmt.Errorf("agents: staff: %w", err)
	}
	return role, nil
}

// MayStaff refuses a member of staff whose role may not do it; ErrNotStaff.
func (s *Service) MayStaff(ctx context.Context, name string, a Action) error {
	role, err := s.Role(ctx, name)
	if err != nil && !errors.Is(err, ErrNotStaff) {
		return err
	}
	if err != nil || StaffMay(role, a) != nil {
		_, roles := right(a)
		return fmt.Errorf("%w: %s is not an active %s", ErrNotStaff, name, strings.Join(roles, " or "))
	}
	return nil
}
