package agents

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/internal/money"
	"tuma/internal/text"
)

// A deposit to a wrong number. The operator asks; what is still there of it is
// held; the customer is told and may object; a checker decides whose it is.

// reversalWindow is how long after a deposit its till may ask.
const reversalWindow = 24 * time.Hour

// Reversal is a request to take a deposit back.
type Reversal struct {
	ID       int64        `db:"id"`
	Entry    int64        `db:"entry"`
	Receipt  string       `db:"receipt"`  // of the deposit
	Till     string       `db:"till"`     // whose deposit it was; "": a customer has sent it
	Payer    int64        `db:"payer"`    // that customer, 0: a till's deposit
	Approval int64        `db:"approval"` // that the hold settles, 0: none
	Customer int64        `db:"customer"` // who has got it
	Amount   money.Amount `db:"amount"`   // of the entry
	Held     money.Amount `db:"held"`     // what was still there
	Reason   string       `db:"reason"`
	AskedBy  string       `db:"asked_by"` // the operator's number
	AskedAt  time.Time    `db:"asked_at"`
	Objected sql.NullTime `db:"objected_at"` // the customer says that the money is his
	Agreed   sql.NullTime `db:"agreed_at"`   // or that it is not
	Checker  string       `db:"checker"`
	Decision string       `db:"decision"` // the checker's reason
	State    string       `db:"state"`    // asked, empty (nothing was left), held, approved, declined
	Settled  string       `db:"settled"`  // receipt of what was decided, "": not yet
}

// Errors of reversals.
var (
	ErrNoDeposit   = errors.New("agents: no deposit of this till has this receipt")
	ErrTooLate     = errors.New("agents: a deposit can be disputed for 24 hours")
	ErrNothingLeft = errors.New("agents: nothing of the deposit is left in the wallet")
	ErrNoReversal  = errors.New("agents: there is no such request")
)

const (
	reversalFields = `id, entry, receipt, coalesce(till, '') as till, coalesce(payer, 0) as payer, coalesce(approval, 0) as approval, customer, amount, held, reason, asked_by, asked_at, objected_at, agreed_at, coalesce(checker, '') as checker, decision, state, coalesce(settled, '') as settled`
	sqlNewReversal = `
insert into reversal_request (id, entry, receipt, till, customer, amount, reason, asked_by, asked_at)
values (nextval('reversal_request_id'), $1, $2, $3, $4, $5, $6, $7, $8) on conflict (entry) do nothing`
	sqlReversalOf      = `select ` + reversalFields + ` from reversal_request where entry = $1`
	sqlReversalByID    = `select ` + reversalFields + ` from reversal_request where id = $1`
	sqlReversalsOfTill = `select ` + reversalFields + ` from reversal_request where till = $1 and ($2::bigint = 0 or id < $2) order by id desc limit $3`
	sqlOpenReversals   = `select ` + reversalFields + ` from reversal_request where state in ('asked', 'held') or state in ('approved', 'declined') and settled is null order by id`
	sqlReversalHeld    = `update reversal_request set state = 'held', held = $2 where id = $1 and state in ('asked', 'empty')`
	sqlReversalEmpty   = `update reversal_request set state = 'empty' where id = $1 and state = 'asked'`
	sqlDecide          = `update reversal_request set state = $2, checker = $3, decided_at = $4, decision = $5 where id = $1 and state = 'held'`
	sqlSettled         = `update reversal_request set settled = $2 where id = $1 and settled is null`
)

func reversalSubject(id int64) string { return fmt.Sprintf("reversal_request:%d", id) }

// HoldRef is the Ref of the entry that holds what was disputed, and the approval
// that it settles: the one under which it was asked for, unless that was declined
// or its time was up before anything was held; then both are the request's own.
func (s *Service) HoldRef(ctx context.Context, v Reversal) (ref string, approval int64, err error) {
	if v.Approval != 0 {
		a, err := s.accounts.Approval(ctx, v.Approval)
		if err != nil {
			return "", 0, err
		}
		if a.State == accounts.ApprovalPending || a.State == accounts.ApprovalApproved {
			return a.Ref, a.ID, nil
		}
	}
	return fmt.Sprintf("reversal_hold:%d", v.Entry), 0, nil
}

// EndRef is the Ref of the entry that ends the hold, whichever way it goes.
func (v Reversal) EndRef() string { return fmt.Sprintf("reversal:%d", v.Entry) }

// AskReversal disputes a deposit of the operator's till, by its receipt, within
// 24 hours and at most once: asking again gives the request of the first time,
// and completes one that broke off. What is left of the amount leaves the wallet
// and is held. ErrNoDeposit, ErrTooLate, ErrNothingLeft, ErrNoReason; refusals:
// frozen, till_closed, not_allowed, out_of_hours, payer_frozen (the customer).
func (s *Service) AskReversal(ctx context.Context, o Operator, code, reason string) (Reversal, error) {
	if err := o.May(ActReversalAsk); err != nil {
		return Reversal{}, err
	}
	reason, err := CheckReason(reason)
	if err != nil {
		return Reversal{}, err
	}
	made, err := s.accounts.Book().ByCode(ctx, code)
	switch {
	case errors.Is(err, ledger.ErrNotFound), errors.Is(err, ledger.ErrNotACode):
		return Reversal{}, ErrNoDeposit
	case err != nil:
		return Reversal{}, err
	case made.Kind != "deposit" || len(made.Postings) == 0 || made.Postings[0].Debit != o.Till.float:
		return Reversal{}, ErrNoDeposit
	}
	c, err := s.accounts.ByWallet(ctx, made.Postings[0].Credit)
	if err != nil {
		return Reversal{}, err
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		var first Reversal
		if err := tx.Get(ctx, &first, sqlReversalOf, int64(made.ID)); !errors.Is(err, sql.ErrNoRows) {
			return err // nil: it was asked before
		}
		if tx.Now.Sub(made.At) > reversalWindow {
			return ErrTooLate
		}
		n, err := tx.Exec(ctx, sqlNewReversal, int64(made.ID), made.Code, o.Till.Number, c.ID, int64(made.Postings[0].Amount), reason, string(o.Phone), tx.Now)
		if err != nil || n == 0 {
			return err
		}
		return s.Log(ctx, tx, LogEntry{Actor: o.Actor(), Scope: o.Scope(), Action: string(ActReversalAsk), Subject: "receipt:" + made.Code, After: s.accounts.Money(made.Postings[0].Amount), Reason: reason})
	})
	if err != nil {
		return Reversal{}, fmt.Errorf("agents: disputing %s: %w", made.Code, err)
	}
	return s.hold(ctx, claim{to: o.Till.Number, owed: func(held string) []accounts.Owed {
		return []accounts.Owed{{Party: "payer", To: c.Phone, Lang: c.Lang, Text: "deposit_disputed", Account: c.Wallet, Holes: text.Holes{
			"amount": held, "till": o.Till.Number, "first": made.Code}}}
	}}, made, c)
}

// claim is who wants a disputed entry back, and who is told what when it is held.
type claim struct {
	to   string
	owed func(held string) []accounts.Owed
}

// hold takes what is there of a disputed entry out of the wallet, once.
func (s *Service) hold(ctx context.Context, k claim, made ledger.Receipt, c accounts.Customer) (Reversal, error) {
	v, err := s.reversal(ctx, sqlReversalOf, int64(made.ID))
	if err != nil || v.State != "asked" {
		return v, emptied(v, err)
	}
	held, err := s.holdWhatIsThere(ctx, v, k, made, c)
	if err != nil {
		return Reversal{}, err
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		if held == 0 {
			_, err := tx.Exec(ctx, sqlReversalEmpty, v.ID)
			return err
		}
		_, err := tx.Exec(ctx, sqlReversalHeld, v.ID, int64(held))
		return err
	})
	if err != nil {
		return Reversal{}, fmt.Errorf("agents: disputing %s: %w", made.Code, err)
	}
	v, err = s.reversal(ctx, sqlReversalByID, v.ID)
	return v, emptied(v, err)
}

func emptied(v Reversal, err error) error {
	if err == nil && v.State == "empty" {
		return ErrNothingLeft
	}
	return err
}

// holdWhatIsThere posts the hold. The customer may be spending at this moment:
// then it is tried with what is left.
func (s *Service) holdWhatIsThere(ctx context.Context, v Reversal, k claim, made ledger.Receipt, c accounts.Customer) (money.Amount, error) {
	ref, approval, err := s.HoldRef(ctx, v)
	if err != nil {
		return 0, err
	}
	for {
		wallet, err := s.accounts.Book().Account(ctx, c.Wallet)
		if err != nil {
			return 0, err
		}
		// After the balance was read: what is not there may be what another try holds.
		first, err := s.accounts.Book().ByRef(ctx, ref)
		if err == nil {
			return first.Postings[0].Amount, nil
		}
		if !errors.Is(err, ledger.ErrNotFound) {
			return 0, err
		}
		a := min(wallet.Balance, made.Postings[0].Amount)
		if a <= 0 {
			return 0, nil
		}
		_, err = s.accounts.Post(ctx, ledger.Entry{
			Ref: ref, Kind: "hold",
			Postings: []ledger.Posting{{Why: ledger.Reversed, Debit: c.Wallet, Credit: s.accounts.House().Held, Amount: a}},
			Memo:     map[string]string{"from": string(c.Phone), "from_name": c.Name, "to": k.to, "to_name": "Held", "disputes": made.Code},
			Rider:    accounts.Rider{Approval: approval, Owed: k.owed(s.accounts.Money(a))},
		}, map[ledger.AccountID]accounts.Side{c.Wallet: accounts.Payer})
		refused, _ := errors.AsType[ledger.Refusal](err)
		switch {
		case err == nil:
			return a, nil
		case refused.Rule == ledger.RefReused, accounts.Refused(err, "insufficient"):
			continue
		}
		return 0, err
	}
}

func (s *Service) reversal(ctx context.Context, query string, key int64) (v Reversal, err error) {
	err = s.pool.Get(ctx, &v, query, key)
	if errors.Is(err, sql.ErrNoRows) {
		return v, ErrNoReversal
	}
	if err != nil {
		return v, fmt.Errorf("agents: reversal request: %w", err)
	}
	v.AskedAt = v.AskedAt.UTC()
	return v, nil
}

const sqlReversalByReceipt = `select ` + reversalFields + ` from reversal_request where receipt = $1 and till = $2`

// ReversalOf finds what became of a deposit of the operator's till that was
// disputed, by the deposit's receipt; ErrNoReversal. Refusals: frozen,
// not_allowed.
func (s *Service) ReversalOf(ctx context.Context, o Operator, code string) (v Reversal, err error) {
	if err := o.May(ActEntriesView); err != nil {
		return v, err
	}
	err = s.pool.Get(ctx, &v, sqlReversalByReceipt, code, o.Till.Number)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return v, ErrNoReversal
	case err != nil:
		return v, fmt.Errorf("agents: reversal request: %w", err)
	}
	v.AskedAt = v.AskedAt.UTC()
	return v, nil
}

// Disputable tells whether a deposit's till may still ask for its reversal.
func (s *Service) Disputable(e Entry) bool {
	return e.Kind == "deposit" && s.accounts.Now().Sub(e.At) <= reversalWindow
}

// Reversals are the newest requests of a till, newest first. Refusals: frozen,
// not_allowed.
func (s *Service) Reversals(ctx context.Context, o Operator, n int) ([]Reversal, error) {
	if err := o.May(ActEntriesView); err != nil {
		return nil, err
	}
	return s.TillDisputes(ctx, o.Till.Number, 0, n)
}

// TillDisputes are the newest requests of a till, whoever looks; before is 0 or a
// request: only what is older.
func (s *Service) TillDisputes(ctx context.Context, till string, before int64, n int) ([]Reversal, error) {
	return s.reversals(ctx, sqlReversalsOfTill, till, before, n)
}

// OpenReversals lists what waits for a checker, and what was decided but could
// not be posted yet.
func (s *Service) OpenReversals(ctx context.Context) ([]Reversal, error) {
	return s.reversals(ctx, sqlOpenReversals)
}

func (s *Service) reversals(ctx context.Context, query string, args ...any) (list []Reversal, err error) {
	if err := s.pool.Select(ctx, &list, query, args...); err != nil {
		return nil, fmt.Errorf("agents: reversal requests: %w", err)
	}
	for i := range list {
		list[i].AskedAt = list[i].AskedAt.UTC()
	}
	return list, nil
}

const sqlDecidedReversals = `select ` + reversalFields + ` from reversal_request where settled is not null or state = 'empty' order by id desc limit $1`

// DecidedReversals are the newest that nobody waits for, newest first.
func (s *Service) DecidedReversals(ctx context.Context, n int) ([]Reversal, error) {
	return s.reversals(ctx, sqlDecidedReversals, n)
}

// ReversalByID is one request, and whose wallet it is about; ErrNoReversal.
func (s *Service) ReversalByID(ctx context.Context, id int64) (Reversal, accounts.Customer, error) {
	v, err := s.reversal(ctx, sqlReversalByID, id)
	if err != nil {
		return v, accounts.Customer{}, err
	}
	c, err := s.accounts.ByID(ctx, v.Customer)
	return v, c, err
}

// DecideReversal is the checker's word: approved, what is held goes to the
// till's float, and what the till earned by the deposit is taken back when all
// of it is; declined, it goes back to the customer. Both are told. Deciding again
// alike gives the same answer, to the same checker alone, and completes what the
// book had refused. ErrNotStaff, ErrNoReason, ErrNoReversal; refusals:
// till_closed, payee_frozen, payee_full.
func (s *Service) DecideReversal(ctx context.Context, checker string, id int64, approve bool, reason string) (Reversal, error) {
	if err := s.MayStaff(ctx, checker, ActReversalDecide); err != nil {
		return Reversal{}, err
	}
	reason, err := CheckReason(reason)
	if err != nil {
		return Reversal{}, err
	}
	v, err := s.reversal(ctx, sqlReversalByID, id)
	if err != nil {
		return Reversal{}, err
	}
	t, scope, err := s.tillOf(ctx, v)
	if err != nil {
		return Reversal{}, err
	}
	state := "declined"
	if approve {
		state = "approved"
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(ctx, sqlDecide, id, state, checker, tx.Now, reason)
		if err != nil {
			return err
		}
		if n == 0 {
			var now Reversal
			if err := tx.Get(ctx, &now, sqlReversalByID, id); err != nil {
				return err
			}
			agreed := now.Checker == "" && now.Agreed.Valid // and the book refused: any checker completes it
			if now.State != state || now.Checker != checker && !agreed {
				return fmt.Errorf("%w: it is %s already", ErrDecided, now.State)
			}
			return nil
		}
		return s.Log(ctx, tx, LogEntry{Actor: staffActor(checker), Scope: scope, Action: string(ActReversalDecide), Subject: reversalSubject(id), Before: "held", After: state, Reason: reason})
	})
	if err != nil {
		return Reversal{}, fmt.Errorf("agents: reversal request %d: %w", id, err)
	}
	if err := s.settled(ctx, v, t, approve); err != nil {
		return Reversal{}, err
	}
	return s.reversal(ctx, sqlReversalByID, id)
}

// tillOf is the till whose deposit is disputed, and whose log says so; none of
// either when a customer has sent it.
func (s *Service) tillOf(ctx context.Context, v Reversal) (t Till, scope string, err error) {
	if v.Payer != 0 {
		return Till{}, "", nil
	}
	t, err = s.AnyTill(ctx, v.Till)
	return t, t.scope(), err
}

// settled moves what is held, and notes by which receipt.
func (s *Service) settled(ctx context.Context, v Reversal, t Till, approve bool) error {
	r, err := s.settle(ctx, v, t, approve)
	if err != nil {
		return err
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, sqlSettled, v.ID, r.Code)
		return err
	})
	if err != nil {
		return fmt.Errorf("agents: reversal request %d: %w", v.ID, err)
	}
	return nil
}

// settle moves what is held to where it was decided to go, once: both ways have
// one Ref.
func (s *Service) settle(ctx context.Context, v Reversal, t Till, approve bool) (ledger.Receipt, error) {
	book := s.accounts.Book()
	ref := v.EndRef()
	if r, err := book.ByRef(ctx, ref); !errors.Is(err, ledger.ErrNotFound) {
		return r, err
	}
	under, _, err := s.HoldRef(ctx, v)
	if err != nil {
		return ledger.Receipt{}, err
	}
	hold, err := book.ByRef(ctx, under)
	if err != nil {
		return ledger.Receipt{}, err
	}
	made, err := book.ByCode(ctx, v.Receipt)
	if err != nil {
		return ledger.Receipt{}, err
	}
	wallet, held := hold.Postings[0].Debit, hold.Postings[0].Amount
	c, err := s.accounts.ByWallet(ctx, wallet)
	if err != nil {
		return ledger.Receipt{}, err
	}
	h := text.Holes{"amount": s.accounts.Money(held), "first": v.Receipt, "till": t.Number}
	e := ledger.Entry{
		Ref: ref, Kind: "release",
		Postings: []ledger.Posting{{Why: ledger.Reversed, Debit: s.accounts.House().Held, Credit: wallet, Amount: held}},
		Memo:     map[string]string{"from_name": "Held", "to": string(c.Phone), "to_name": c.Name, "disputes": v.Receipt},
	}
	if v.Payer != 0 {
		return s.settleSent(ctx, made, e, c, h, approve)
	}
	told, err := s.operatorsOf(ctx, v.Till)
	if err != nil {
		return ledger.Receipt{}, err
	}
	customer := accounts.Owed{To: c.Phone, Lang: c.Lang, Account: wallet, Holes: h}
	if !approve {
		customer.Party, customer.Text = "payee", "reversal_declined"
		e.Rider = accounts.Rider{Owed: append(tillNotices(told, "reversal_declined_till", t.float, h), customer)}
		return s.accounts.Post(ctx, e, map[ledger.AccountID]accounts.Side{wallet: accounts.Payee})
	}
	customer.Party, customer.Text = "payer", "reversal_approved"
	e.Kind, e.Postings[0].Credit = "undo", t.float
	e.Memo["from"], e.Memo["from_name"], e.Memo["to"], e.Memo["to_name"] = string(c.Phone), c.Name, t.Number, t.Name
	e.Rider = accounts.Rider{Owed: append(tillNotices(told, "reversal_approved_till", t.float, h), customer)}
	sides := map[ledger.AccountID]accounts.Side{t.float: accounts.Till}
	whole := e
	if held == v.Amount {
		for _, p := range made.Postings {
			if p.Why == ledger.Commission {
				whole.Postings = append(whole.Postings[:len(whole.Postings):len(whole.Postings)], ledger.Posting{Why: ledger.Reversed, Debit: p.Credit, Credit: p.Debit, Amount: p.Amount})
			}
		}
	}
	r, err := s.accounts.Post(ctx, whole, sides)
	if refused, _ := errors.AsType[ledger.Refusal](err); refused.Rule == ledger.UnderFloor {
		return s.accounts.Post(ctx, e, sides) // the commission has been paid out: it stays
	}
	return r, err
}
