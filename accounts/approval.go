package accounts

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/internal/money"
	"tuma/internal/phone"
	"tuma/internal/text"
	"tuma/sms/outbox"
)

// Approvals are the one way in which somebody else can ask for a customer's
// money: a till that pays cash, later a merchant or a friend; and in which the
// customer asks by a channel that proves nothing (own.go). Nothing moves
// until the customer gives the PIN. The approval's row decides who was first to
// approve, decline, cancel or let it expire; approving sets it in the commit of
// the entry, by a hook.

// How long an approval can be answered.
const (
	pushedLife  = 2 * time.Minute // the screen is on the phone, the asker waits
	waitingLife = 24 * time.Hour  // it waits in the customer's menu
)

// pushTimeout is how long the asker waits for the network to take a push.
const pushTimeout = 4 * time.Second

// ApprovalState is what has become of an approval.
type ApprovalState string

// The states. Whoever is told one of the last four may rely on it.
const (
	ApprovalPending   ApprovalState = "pending"
	ApprovalApproved  ApprovalState = "approved"
	ApprovalDeclined  ApprovalState = "declined"
	ApprovalCancelled ApprovalState = "cancelled"
	ApprovalExpired   ApprovalState = "expired"
)

// Approval is something that was asked for and that the customer must confirm.
type Approval struct {
	ID                 int64
	Ref, Kind          string // of the entry that it posts
	Customer           int64
	Phone              phone.Number // the customer's
	Name               string       // likewise
	Asker, AskerName   string       // who wants it: a till's number and name; of one's own, nobody and whom it is for
	AskedBy            phone.Number // the person who asked
	Amount, Fee, Total money.Amount
	Params             map[string]string // what else the kind needs
	At, Expires        time.Time
	State              ApprovalState
	DecidedAt          time.Time // zero while it is pending
	Receipt            string    // of the entry, once approved
	Pushed             bool      // to the phone; otherwise it waits in the menu
}

// Ask is what somebody asks for.
type Ask struct {
	Ref, Kind        string // the entry's; Kind is one of those that Settles has been told
	Customer         Customer
	Asker, AskerName string
	AskedBy          phone.Number
	Amount, Fee      money.Amount // as the customer will be shown
	Params           map[string]string
	// Allow may refuse what is asked for the first time, in the transaction that
	// has written it; nil: nothing is refused.
	Allow func(ctx context.Context, tx *db.Tx) error
}

// Settle posts what an approval was asked for: the entry's Ref is the approval's,
// and its Rider names the approval. Refusals are the customer's.
type Settle func(ctx context.Context, c Customer, a Approval) (Done, error)

// Errors about approvals.
var (
	ErrNoApproval = errors.New("accounts: no such approval")
	ErrNotPending = errors.New("accounts: the approval is not pending any more")
)

// Settles tells, before anything is asked, how approvals of a kind are settled.
func (s *Service) Settles(kind string, f Settle) { s.settles[kind] = f }

const sqlAsk = `
insert into approval (id, ref, kind, customer, asker, asker_name, asked_by, amount, fee, total, params, asked_at, expires_at, pushed)
values (nextval('approval_id'), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb, $11, $12, $13)
on conflict (ref) do nothing returning id`

// Ask asks a customer for an approval. It is put on the phone where there is a
// way to do that, and otherwise waits in the menu, which an SMS says. The same
// Ref again gives the first approval and asks nothing; for something else it is
// ErrRefReused.
func (s *Service) Ask(ctx context.Context, ask Ask) (Approval, error) {
	if s.settles[ask.Kind] == nil {
		return Approval{}, fmt.Errorf("accounts: nobody settles approvals of kind %q", ask.Kind)
	}
	if ask.Params == nil {
		ask.Params = map[string]string{}
	}
	params, err := json.Marshal(ask.Params)
	if err != nil {
		return Approval{}, fmt.Errorf("accounts: asking: %w", err)
	}
	life, pushed := waitingLife, s.push != nil
	if pushed && ask.Asker != "" {
		life = pushedLife // should this process die before it knows better, the asker asks again
	}
	fresh := false
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		var id int64
		err := tx.Get(ctx, &id, sqlAsk, ask.Ref, ask.Kind, ask.Customer.ID, ask.Asker, ask.AskerName, string(ask.AskedBy),
			int64(ask.Amount), int64(ask.Fee), int64(ask.Amount+ask.Fee), string(params), tx.Now, tx.Now.Add(life), pushed)
		if fresh = err == nil; errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err == nil && ask.Allow != nil {
			err = ask.Allow(ctx, tx)
		}
		if err != nil || pushed {
			return err
		}
		return s.tellWaiting(ctx, tx, id, ask)
	})
	if err != nil {
		return Approval{}, fmt.Errorf("accounts: asking: %w", err)
	}
	a, err := s.ApprovalByRef(ctx, ask.Ref)
	switch {
	case err != nil:
		return Approval{}, err
	case !fresh && !ask.is(a):
		return Approval{}, fmt.Errorf("accounts: asking: %w", ErrRefReused)
	case fresh && pushed:
		return s.pushOrWait(ctx, a, ask)
	}
	return a, nil
}

// is tells whether an approval was asked for with the same words.
func (ask Ask) is(a Approval) bool {
	return a.Kind == ask.Kind && a.Customer == ask.Customer.ID && a.Asker == ask.Asker && a.Amount == ask.Amount && maps.Equal(a.Params, ask.Params)
}

const sqlLetWait = `update approval set expires_at = $2, pushed = false where id = $1 and state = 'pending' and expires_at > $3`

// pushOrWait puts an approval on the customer's phone. When that does not work it
// waits in the menu. What happened to the asker's request meanwhile is no reason
// to leave it between the two.
func (s *Service) pushOrWait(ctx context.Context, a Approval, ask Ask) (Approval, error) {
	ctx = context.WithoutCancel(ctx)
	pushing, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	err := s.push(pushing, a)
	if err == nil {
		return a, nil
	}
	s.log.InfoContext(ctx, "an approval waits in the menu: it could not be pushed", "approval", a.ID, "to", a.Phone.Masked(), "error", err)
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(ctx, sqlLetWait, a.ID, tx.Now.Add(waitingLife), tx.Now)
		if err != nil || n == 0 { // answered all the same
			return err
		}
		return s.tellWaiting(ctx, tx, a.ID, ask)
	})
	if err != nil {
		return Approval{}, fmt.Errorf("accounts: asking: %w", err)
	}
	return s.Approval(ctx, a.ID)
}

// tellWaiting owes the customer word of an approval that is not on the phone. One's
// own is answered by the channel that it was asked on.
func (s *Service) tellWaiting(ctx context.Context, tx *db.Tx, id int64, ask Ask) error {
	if ask.Asker == "" {
		return nil
	}
	h := text.Holes{"till": ask.Asker, "name": ShortName(ask.AskerName, noticeName), "amount": s.Money(ask.Amount)}
	return s.notify(ctx, tx, fmt.Sprintf("approval:%d", id), ask.Customer.Phone, ask.Customer.Lang, "approval_waiting", h, outbox.Receipt)
}

type approvalRow struct {
	ID        int64        `db:"id"`
	Ref       string       `db:"ref"`
	Kind      string       `db:"kind"`
	Customer  int64        `db:"customer"`
	MSISDN    phone.Number `db:"msisdn"`
	Name      string       `db:"name"`
	Asker     string       `db:"asker"`
	AskerName string       `db:"asker_name"`
	AskedBy   phone.Number `db:"asked_by"`
	Amount    money.Amount `db:"amount"`
	Fee       money.Amount `db:"fee"`
	Total     money.Amount `db:"total"`
	Params    []byte       `db:"params"`
	AskedAt   time.Time    `db:"asked_at"`
	ExpiresAt time.Time    `db:"expires_at"`
	State     string       `db:"state"`
	DecidedAt sql.NullTime `db:"decided_at"`
	Receipt   string       `db:"receipt"`
	Pushed    bool         `db:"pushed"`
}

func (r approvalRow) approval() (Approval, error) {
	a := Approval{
		ID: r.ID, Ref: r.Ref, Kind: r.Kind, Customer: r.Customer, Phone: r.MSISDN, Name: r.Name, Asker: r.Asker, AskerName: r.AskerName, AskedBy: r.AskedBy,
		Amount: r.Amount, Fee: r.Fee, Total: r.Total, At: r.AskedAt.UTC(), Expires: r.ExpiresAt.UTC(), State: ApprovalState(r.State), Receipt: r.Receipt, Pushed: r.Pushed,
	}
	if r.DecidedAt.Valid {
		a.DecidedAt = r.DecidedAt.Time.UTC()
	}
	if err := json.Unmarshal(r.Params, &a.Params); err != nil {
		return Approval{}, fmt.Errorf("accounts: approval %d: %w", r.ID, err)
	}
	return a, nil
}

const (
	sqlApproval = `
select a.id, a.ref, a.kind, a.customer, s.msisdn, c.name, a.asker, a.asker_name, a.asked_by, a.amount, a.fee, a.total, a.params,
    a.asked_at, a.expires_at, a.state, a.decided_at, coalesce(a.receipt, '') as receipt, a.pushed
from approval a join customer c on c.id = a.customer join sim s on s.customer = a.customer`
	sqlApprovalByID  = sqlApproval + ` where a.id = $1`
	sqlApprovalByRef = sqlApproval + ` where a.ref = $1`
	sqlApprovalsFor  = sqlApproval + ` where a.customer = $1 and a.state = 'pending' and a.expires_at > $2 order by a.id desc limit $3`
	sqlApprovalsBy   = sqlApproval + ` where a.asker = $1 order by a.id desc limit $2`
	sqlExpire        = `update approval set state = 'expired', decided_at = $2 where id = $1 and state = 'pending' and expires_at <= $2`
)

// Approval finds an approval; ErrNoApproval.
func (s *Service) Approval(ctx context.Context, id int64) (Approval, error) {
	return s.approvalOf(ctx, sqlApprovalByID, id)
}

// ApprovalByRef finds an approval by its entry's Ref; ErrNoApproval.
func (s *Service) ApprovalByRef(ctx context.Context, ref string) (Approval, error) {
	return s.approvalOf(ctx, sqlApprovalByRef, ref)
}

// approvalOf reads an approval. The first who sees that its time is up writes
// that down: an entry that is under way with an earlier instant then finds it so,
// and whoever was told "expired" can rely on it.
func (s *Service) approvalOf(ctx context.Context, query string, key any) (Approval, error) {
	for {
		var r approvalRow
		err := s.pool.Get(ctx, &r, query, key)
		if errors.Is(err, sql.ErrNoRows) {
			return Approval{}, ErrNoApproval
		}
		if err != nil {
			return Approval{}, fmt.Errorf("accounts: reading an approval: %w", err)
		}
		if r.State != string(ApprovalPending) || r.ExpiresAt.After(s.pool.Now()) {
			return r.approval()
		}
		err = s.pool.InTx(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(ctx, sqlExpire, r.ID, tx.Now)
			return err
		})
		if err != nil {
			return Approval{}, fmt.Errorf("accounts: expiring an approval: %w", err)
		}
	}
}

// maxApprovals is how many approvals a list has at most.
const maxApprovals = 100

// Approvals are those that wait for a customer's answer, newest first.
func (s *Service) Approvals(ctx context.Context, c Customer) ([]Approval, error) {
	return s.approvals(ctx, sqlApprovalsFor, c.ID, s.pool.Now(), maxApprovals)
}

// ApprovalsBy are the newest n that somebody asked for, in every state, newest
// first.
func (s *Service) ApprovalsBy(ctx context.Context, asker string, n int) ([]Approval, error) {
	list, err := s.approvals(ctx, sqlApprovalsBy, asker, min(n, maxApprovals))
	for i, a := range list {
		if a.State == ApprovalPending && !a.Expires.After(s.pool.Now()) && err == nil {
			list[i], err = s.Approval(ctx, a.ID) // which settles that its time is up
		}
	}
	return list, err
}

func (s *Service) approvals(ctx context.Context, query string, args ...any) ([]Approval, error) {
	var rows []approvalRow
	if err := s.pool.Select(ctx, &rows, query, args...); err != nil {
		return nil, fmt.Errorf("accounts: reading approvals: %w", err)
	}
	list := make([]Approval, len(rows))
	for i, r := range rows {
		var err error
		if list[i], err = r.approval(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Approve posts what an approval asks for. The caller has checked the customer's
// PIN. Refusals: approval_gone (it is not the customer's, or not pending any
// more), price_changed (it would cost something else than was shown), then
// whatever the kind's own verb says. ErrPending as in Send. Approving again gives
// the first answer, marked Again.
func (s *Service) Approve(ctx context.Context, c Customer, id int64) (Done, error) {
	a, err := s.Approval(ctx, id)
	switch {
	case errors.Is(err, ErrNoApproval), err == nil && a.Customer != c.ID:
		return Done{}, Refuse("approval_gone")
	case err != nil:
		return Done{}, err
	case a.State != ApprovalPending && a.State != ApprovalApproved:
		return Done{}, Refuse("approval_gone")
	}
	if a.State == ApprovalApproved {
		first, err := s.book.ByRef(ctx, a.Ref)
		if err != nil {
			return Done{}, fmt.Errorf("accounts: approval %d: %w", id, err)
		}
		first.Again = true
		return s.Done(first, c.Wallet, s.other(first, "to")), nil
	}
	settle := s.settles[a.Kind]
	if settle == nil {
		return Done{}, fmt.Errorf("accounts: nobody settles approvals of kind %q", a.Kind)
	}
	return settle(ctx, c, a)
}

const (
	sqlDecline = `update approval set state = 'declined', decided_at = $3 where id = $1 and customer = $2 and state = 'pending' and expires_at > $3`
	sqlCancel  = `update approval set state = 'cancelled', decided_at = $3 where id = $1 and asker = $2 and state = 'pending' and expires_at > $3`
)

// Decline is the customer's no. Declining again is no error; the refusal is
// approval_gone.
func (s *Service) Decline(ctx context.Context, c Customer, id int64) error {
	n := int64(0)
	err := s.pool.InTx(ctx, func(tx *db.Tx) (err error) {
		n, err = tx.Exec(ctx, sqlDecline, id, c.ID, tx.Now)
		return err
	})
	return s.decided(ctx, id, n, err, func(a Approval) bool { return a.Customer == c.ID && a.State == ApprovalDeclined })
}

// Cancel takes back what an asker has asked for. Cancelling again is no error;
// the refusal is approval_gone.
func (s *Service) Cancel(ctx context.Context, asker string, id int64) error {
	n := int64(0)
	err := s.pool.InTx(ctx, func(tx *db.Tx) (err error) {
		n, err = tx.Exec(ctx, sqlCancel, id, asker, tx.Now)
		return err
	})
	return s.decided(ctx, id, n, err, func(a Approval) bool { return a.Asker == asker && a.State == ApprovalCancelled })
}

// decided tells whether an answer counted, now or at an earlier try.
func (s *Service) decided(ctx context.Context, id, rows int64, err error, before func(Approval) bool) error {
	switch {
	case err != nil:
		return fmt.Errorf("accounts: answering an approval: %w", err)
	case rows == 1:
		return nil
	}
	a, err := s.Approval(ctx, id)
	switch {
	case err != nil && !errors.Is(err, ErrNoApproval):
		return err
	case err == nil && before(a):
		return nil
	}
	return Refuse("approval_gone")
}

const sqlApprove = `
update approval a set state = 'approved', decided_at = $1, receipt = u.receipt
from unnest($2::bigint[], $3::text[]) as u (id, receipt)
where a.id = u.id and a.state = 'pending' and a.expires_at > $1`

// approveAsked sets the approvals whose entries a commit holds. Where one is not
// pending any more, the book posts its entries one by one, so that only this one
// is refused. Approve has looked before, so that is rare. An entry that stands
// already does not come here again.
func (s *Service) approveAsked(posted []ledger.Accepted) (ledger.Also, error) {
	var ids []int64
	var receipts []string
	for _, p := range posted {
		if rider, _ := p.Entry.Rider.(Rider); rider.Approval != 0 {
			ids, receipts = append(ids, rider.Approval), append(receipts, p.Receipt.Code)
		}
	}
	if len(ids) == 0 {
		return ledger.Also{}, nil
	}
	return ledger.Also{Write: func(ctx context.Context, tx *db.Tx) error {
		n, err := tx.Exec(ctx, sqlApprove, tx.Now, db.Array(ids), db.Array(receipts))
		if err != nil {
			return fmt.Errorf("accounts: approving: %w", err)
		}
		if n != int64(len(ids)) {
			return ErrNotPending
		}
		return nil
	}}, nil
}
