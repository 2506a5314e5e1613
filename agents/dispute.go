package agents

import (
	"context"
	"errors"
	"fmt"

	"tuma/accounts"
	"tuma/internal/db"
	"tuma/internal/phone"
)

// What a customer says of a deposit that a till disputes, or of money that another
// has sent and asks back. It is said once, while the money is held; a checker
// decides with it or without.

const (
	sqlDisputes = `select ` + reversalFields + ` from reversal_request
where customer = $1 and state = 'held' and objected_at is null and agreed_at is null order by id desc limit 10`
	sqlWaiting = `
select (select count(*) from approval where customer = $1 and state = 'pending' and expires_at > $2)
     + (select count(*) from reversal_request where customer = $1 and state = 'held' and objected_at is null and agreed_at is null)`
	sqlObject = `
update reversal_request set objected_at = $3 where id = $1 and customer = $2 and state = 'held' and objected_at is null and agreed_at is null`
	sqlAgree = `
update reversal_request set agreed_at = $3 where id = $1 and customer = $2 and state = 'held' and objected_at is null and agreed_at is null`
)

// Dispute is a disputed entry as the customer sees it who has got it.
type Dispute struct {
	Reversal
	TillName string
	From     phone.Number // who has sent it; "": it was a till's deposit
	FromName string
}

// Waiting counts what waits for a customer's answer: approvals and disputes. Every
// dial asks, so it is one look.
func (s *Service) Waiting(ctx context.Context, c accounts.Customer) (n int, err error) {
	if err := s.pool.Get(ctx, &n, sqlWaiting, c.ID, s.pool.Now()); err != nil {
		return 0, fmt.Errorf("agents: what waits for a customer: %w", err)
	}
	return n, nil
}

// Disputes are the entries of a customer about which he has not been heard,
// newest first.
func (s *Service) Disputes(ctx context.Context, c accounts.Customer) ([]Dispute, error) {
	list, err := s.reversals(ctx, sqlDisputes, c.ID)
	disputes := make([]Dispute, len(list))
	for i, v := range list {
		if disputes[i], err = s.dispute(ctx, v); err != nil {
			return nil, err
		}
	}
	return disputes, err
}

// Dispute is one of them; ErrNoReversal when he was heard, when it was decided
// and when it is another's.
func (s *Service) Dispute(ctx context.Context, c accounts.Customer, id int64) (Dispute, error) {
	v, err := s.reversal(ctx, sqlReversalByID, id)
	if err != nil && !errors.Is(err, ErrNoReversal) {
		return Dispute{}, err
	}
	if err != nil || v.Customer != c.ID || v.State != "held" || v.Objected.Valid || v.Agreed.Valid {
		return Dispute{}, ErrNoReversal
	}
	return s.dispute(ctx, v)
}

// dispute adds who wants the money back.
func (s *Service) dispute(ctx context.Context, v Reversal) (Dispute, error) {
	if v.Payer == 0 {
		t, err := s.AnyTill(ctx, v.Till)
		return Dispute{Reversal: v, TillName: t.Name}, err
	}
	made, err := s.accounts.Book().ByCode(ctx, v.Receipt)
	return Dispute{Reversal: v, From: phone.Number(made.Memo["from"]), FromName: made.Memo["from_name"]}, err
}

// Object notes that the customer says that the money is his. ErrNoReversal when
// there is none of his that is still held, or when he has said that it is not.
func (s *Service) Object(ctx context.Context, c accounts.Customer, id int64) error {
	return s.says(ctx, c, id, sqlObject, "reversal_object", func(v Reversal) bool { return v.Objected.Valid })
}

// Agree notes that the customer says that the money is not his; as Object. What
// another customer has sent goes back at once.
func (s *Service) Agree(ctx context.Context, c accounts.Customer, id int64) error {
	v, err := s.reversal(ctx, sqlReversalByID, id)
	if err == nil && v.Customer == c.ID && v.Payer != 0 {
		return s.giveBack(ctx, c, v)
	}
	return s.says(ctx, c, id, sqlAgree, "reversal_agree", func(v Reversal) bool { return v.Agreed.Valid })
}

// says writes the customer's word down, once; saying the same again is no error.
func (s *Service) says(ctx context.Context, c accounts.Customer, id int64, query, action string, said func(Reversal) bool) error {
	v, err := s.reversal(ctx, sqlReversalByID, id)
	if err != nil && !errors.Is(err, ErrNoReversal) {
		return err
	}
	if err != nil || v.Customer != c.ID {
		return ErrNoReversal
	}
	_, scope, err := s.tillOf(ctx, v)
	if err != nil {
		return err
	}
	return s.pool.InTx(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(ctx, query, id, c.ID, tx.Now)
		if err == nil && n == 0 && !said(v) {
			err = ErrNoReversal
		}
		if err != nil || n == 0 {
			return err
		}
		return s.Log(ctx, tx, LogEntry{Actor: customerSubject(c.ID), Scope: scope, Action: action, Subject: reversalSubject(id)})
	})
}
