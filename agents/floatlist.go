package agents

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"tuma/accounts"
)

// OpenFloat lists the requests that wait for a checker.
func (s *Service) OpenFloat(ctx context.Context) ([]FloatRequest, error) {
	return s.floatList(ctx, sqlOpenFloat)
}

// AskedFloat lists what operators have asked for and no maker has taken up.
func (s *Service) AskedFloat(ctx context.Context) ([]FloatRequest, error) {
	return s.floatList(ctx, sqlAskedFloat)
}

// FloatRequests are the newest of a till, newest first; before is 0 or the last
// one of the page before. Refusals: frozen, not_allowed.
func (s *Service) FloatRequests(ctx context.Context, o Operator, before int64, n int) ([]FloatRequest, error) {
	if err := o.May(ActFloatView); err != nil {
		return nil, err
	}
	return s.floatList(ctx, sqlFloatOfTill, o.Till.Number, o.Till.officeItself(), before, n)
}

// FloatByRef finds what this till, or head office, has asked for;
// ErrNoFloatRequest. Refusals: frozen, not_allowed.
func (s *Service) FloatByRef(ctx context.Context, o Operator, ref string) (f FloatRequest, err error) {
	if err := o.May(ActFloatView); err != nil {
		return f, err
	}
	err = s.pool.Get(ctx, &f, sqlFloatByRef, ref)
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && f.Till != o.Till.place():
		return FloatRequest{}, ErrNoFloatRequest
	case err != nil:
		return f, fmt.Errorf("agents: float request: %w", err)
	}
	f.At = f.At.UTC()
	return f, nil
}

func (s *Service) floatList(ctx context.Context, query string, args ...any) (list []FloatRequest, err error) {
	if err := s.pool.Select(ctx, &list, query, args...); err != nil {
		return nil, fmt.Errorf("agents: float requests: %w", err)
	}
	for i := range list {
		list[i].At = list[i].At.UTC()
	}
	return list, nil
}

// place is as counter, a closed till as well.
func (s *Service) place(ctx context.Context, name string) (Till, error) {
	t, err := s.AnyTill(ctx, name)
	if accounts.Refused(err, "bad_till") {
		return s.counter(ctx, name)
	}
	return t, err
}

// ErrNoFloatRequest says that there is none of this number.
var ErrNoFloatRequest = errors.New("agents: there is no such float request")

// FloatOf is one request; ErrNoFloatRequest.
func (s *Service) FloatOf(ctx context.Context, id int64) (FloatRequest, error) {
	f, err := s.floatRequest(ctx, id)
	f.At = f.At.UTC()
	return f, err
}

const sqlFloatByBank = floatFields + ` where f.bank_ref = $1`

// FloatByBank is the request that used a reference of the bank; ErrNoFloatRequest.
func (s *Service) FloatByBank(ctx context.Context, bankRef string) (f FloatRequest, err error) {
	if bankRef, err = CheckBankRef(bankRef); err != nil {
		return f, err
	}
	if err := s.pool.Get(ctx, &f, sqlFloatByBank, bankRef); errors.Is(err, sql.ErrNoRows) {
		return f, fmt.Errorf("%w: for the bank's %s", ErrNoFloatRequest, bankRef)
	} else if err != nil {
		return f, fmt.Errorf("agents: float requests: %w", err)
	}
	return f, nil
}

func (s *Service) floatRequest(ctx context.Context, id int64) (f FloatRequest, err error) {
	if err := s.pool.Get(ctx, &f, sqlReadFloat, id); errors.Is(err, sql.ErrNoRows) {
		return f, fmt.Errorf("%w: %d", ErrNoFloatRequest, id)
	} else if err != nil {
		return f, fmt.Errorf("agents: float request %d: %w", id, err)
	}
	return f, nil
}
