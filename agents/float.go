package agents

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/internal/money"
	"tuma/internal/text"
)

// FloatRequest is e-money to be issued to a till against money that came into
// the trust account, or to be taken back against money that is to leave it.
type FloatRequest struct {
	ID      int64          `db:"id"`
	Till    string         `db:"till"`  // its number, or the head office's name
	Kind    string         `db:"kind"`  // issue, return
	State   string         `db:"state"` // asked (an operator), made (a maker), approved, declined (a checker)
	Amount  money.Amount   `db:"amount"`
	BankRef string         `db:"bank_ref"`
	AskedBy string         `db:"asked_by"` // the operator's number, "": a maker began
	Maker   string         `db:"maker"`
	At      time.Time      `db:"at"` // when it was asked or made
	Checker sql.NullString `db:"checker"`
	Receipt sql.NullString `db:"receipt"` // it has been posted
	Reason  string         `db:"reason"`  // of declining
}

const (
	floatFields = `
select f.id, coalesce(f.till, h.name) as till, f.kind, f.state, f.amount, coalesce(f.bank_ref, '') as bank_ref, coalesce(f.asked_by, '') as asked_by,
       coalesce(f.maker, '') as maker, coalesce(f.asked_at, f.made_at) as at, f.checker, f.receipt, f.reason
from float_request f left join head_office h on h.id = f.head_office`
	sqlFloatRequest = `
insert into float_request (id, till, head_office, amount, bank_ref, maker, made_at)
values (nextval('float_request_id'), nullif($1::text, ''), nullif($2::bigint, 0), $3, $4, $5, $6) returning id`
	sqlAskFloat = `
insert into float_request (id, till, head_office, kind, state, amount, bank_ref, ref, asked_by, asked_at)
values (nextval('float_request_id'), nullif($1::text, ''), nullif($2::bigint, 0), $3, 'asked', $4, nullif($5::text, ''), $6, $7, $8) returning id`
	sqlFloatByRef   = floatFields + ` where f.ref = $1`
	sqlReadFloat    = floatFields + ` where f.id = $1`
	sqlOpenFloat    = floatFields + ` where f.receipt is null and f.state in ('made', 'approved') order by f.id`
	sqlAskedFloat   = floatFields + ` where f.state = 'asked' order by f.id`
	sqlFloatOfTill  = floatFields + ` where (f.till = $1 or f.head_office = $2) and ($3::bigint = 0 or f.id < $3) order by f.id desc limit $4`
	sqlTakeFloat    = `update float_request set state = 'made', maker = $2, made_at = $3, bank_ref = coalesce(bank_ref, $4) where id = $1 and state = 'asked'`
	sqlCheckFloat   = `update float_request set state = 'approved', checker = $2, decided_at = $3 where id = $1 and state = 'made' and checker is null`
	sqlDeclineFloat = `update float_request set state = 'declined', checker = $2, decided_at = $3, reason = $4 where id = $1 and state = $5`
	sqlFloatReceipt = `update float_request set receipt = $2 where id = $1 and receipt is null`
)

// CheckBankRef gives a bank's reference as it is kept.
func CheckBankRef(ref string) (string, error) {
	ref = strings.ToUpper(strings.TrimSpace(ref))
	if len(ref) < 4 || len(ref) > 40 || strings.Trim(ref, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-/.") != "" {
		return "", fmt.Errorf("agents: a bank reference has 4 to 40 letters, digits, - / or ., not %.60q", ref)
	}
	return ref, nil
}

func (s *Service) checkFloat(a money.Amount) error {
	if a <= 0 || a > ledger.MaxAmount {
		return fmt.Errorf("agents: an amount is above zero and at most %s", s.accounts.Money(ledger.MaxAmount))
	}
	return nil
}

// officeItself is the head office whose own float this is, 0 for a till's.
func (t Till) officeItself() int64 {
	if t.Number == "" {
		return t.office
	}
	return 0
}

// RequestFloat is the maker's half of issuing float, to a till by its number or
// to a head office by its name. ErrExists when the bank's
// reference was used before: one credit at the bank issues e-money once.
// ErrNotStaff when maker is not an active maker; refusals as in Till.
func (s *Service) RequestFloat(ctx context.Context, maker, till string, a money.Amount, bankRef string) (id int64, err error) {
	if bankRef, err = CheckBankRef(bankRef); err != nil {
		return 0, err
	}
	if err := s.checkFloat(a); err != nil {
		return 0, err
	}
	if err := s.MayStaff(ctx, maker, ActFloatMake); err != nil {
		return 0, err
	}
	t, err := s.counter(ctx, till)
	if err != nil {
		return 0, err
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		if err := tx.Get(ctx, &id, sqlFloatRequest, t.Number, t.officeItself(), int64(a), bankRef, maker, tx.Now); err != nil {
			return err
		}
		return s.Log(ctx, tx, LogEntry{Actor: staffActor(maker), Scope: t.scope(), Action: "float_make", Subject: floatSubject(id), After: s.accounts.Money(a) + " for " + t.place() + ", bank " + bankRef})
	})
	switch {
	case db.Violates(err, "bank_reference_is_used_once"):
		return 0, fmt.Errorf("%w: float against the bank reference %s", ErrExists, bankRef)
	case err != nil:
		return 0, fmt.Errorf("agents: requesting float: %w", err)
	}
	return id, nil
}

func floatSubject(id int64) string { return fmt.Sprintf("float_request:%d", id) }

// AskFloat has an operator ask for float against money that he has put into the
// bank; a maker takes it up, a checker approves. The same ref again gives the
// request of the first time. ErrExists when the bank's reference was used;
// refusals: frozen, till_closed, not_allowed, out_of_hours, bad_amount.
func (s *Service) AskFloat(ctx context.Context, ref string, o Operator, a money.Amount, bankRef string) (id int64, err error) {
	if bankRef, err = CheckBankRef(bankRef); err != nil {
		return 0, err
	}
	return s.askFloat(ctx, ref, o, ActFloatRequest, "issue", a, bankRef)
}

// ReturnFloat has an operator give float back against money from the bank; a
// maker takes it up, a checker approves, and then the float goes. Refusals as in
// AskFloat.
func (s *Service) ReturnFloat(ctx context.Context, ref string, o Operator, a money.Amount) (id int64, err error) {
	return s.askFloat(ctx, ref, o, ActFloatReturn, "return", a, "")
}

func (s *Service) askFloat(ctx context.Context, ref string, o Operator, action Action, kind string, a money.Amount, bankRef string) (id int64, err error) {
	if err := o.May(action); err != nil {
		return 0, err
	}
	if a <= 0 || a > ledger.MaxAmount {
		return 0, accounts.Refuse("bad_amount")
	}
	if ref == "" || len(ref) > ledger.MaxRef {
		return 0, fmt.Errorf("agents: a ref has 1 to %d bytes", ledger.MaxRef)
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		if err := tx.Get(ctx, &id, sqlAskFloat, o.Till.Number, o.Till.officeItself(), kind, int64(a), bankRef, ref, string(o.Phone), tx.Now); err != nil {
			return err
		}
		return s.Log(ctx, tx, LogEntry{Actor: o.Actor(), Scope: o.Scope(), Action: "float_ask", Subject: floatSubject(id), After: kind + " " + s.accounts.Money(a) + ", " + o.Till.place()})
	})
	if err != nil && db.Violates(err, "") {
		// Which of the two is told by looking: the same request may break both.
		var first FloatRequest
		lookUp := s.pool.Get(ctx, &first, sqlFloatByRef, ref)
		switch {
		case lookUp == nil && (first.Till != o.Till.place() || first.Kind != kind || first.Amount != a || kind == "issue" && first.BankRef != bankRef):
			return 0, fmt.Errorf("agents: asking for float: %w", accounts.ErrRefReused)
		case lookUp == nil:
			return first.ID, nil
		case db.Violates(err, "bank_reference_is_used_once"):
			return 0, fmt.Errorf("%w: float against the bank reference %s", ErrExists, bankRef)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("agents: asking for float: %w", err)
	}
	return id, nil
}

// TakeFloat makes what an operator has asked for the maker's own request, once
// he has found it at the bank; bankRef may be "" where the operator gave one.
// ErrExists when the bank's reference was used; ErrNotStaff.
func (s *Service) TakeFloat(ctx context.Context, maker string, id int64, bankRef string) error {
	if err := s.MayStaff(ctx, maker, ActFloatMake); err != nil {
		return err
	}
	f, err := s.floatRequest(ctx, id)
	if err != nil {
		return err
	}
	if f.BankRef == "" || bankRef != "" {
		if bankRef, err = CheckBankRef(bankRef); err != nil {
			return err
		}
	}
	if bankRef == "" {
		bankRef = f.BankRef
	}
	if f.BankRef != "" && f.BankRef != bankRef {
		return fmt.Errorf("agents: float request %d is for the bank reference %s", id, f.BankRef)
	}
	t, err := s.place(ctx, f.Till)
	if err != nil {
		return err
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(ctx, sqlTakeFloat, id, maker, tx.Now, bankRef)
		if err == nil && n == 0 {
			err = ErrDecided
		}
		if err != nil {
			return err
		}
		return s.Log(ctx, tx, LogEntry{Actor: staffActor(maker), Scope: t.scope(), Action: "float_make", Subject: floatSubject(id), Before: "asked", After: "made, bank " + bankRef})
	})
	switch {
	case db.Violates(err, "bank_reference_is_used_once"):
		return fmt.Errorf("%w: float against the bank reference %s", ErrExists, bankRef)
	case err != nil:
		return fmt.Errorf("agents: float request %d: %w", id, err)
	}
	return nil
}

// ErrDecided says that somebody else was faster.
var ErrDecided = errors.New("agents: it is no longer as it was shown")

// ErrSamePerson says that maker and checker are one.
var ErrSamePerson = errors.New("agents: who asked for it cannot approve it")

// ApproveFloat is the checker's half: it posts trust to float, of a return float
// to trust. Approving again gives the receipt of the first time, to the checker
// of the first time alone; it also completes what the book had refused.
// ErrNotStaff when checker is not an active checker, ErrSamePerson when he was
// the maker; refusals as in Till, and float_low of a return.
func (s *Service) ApproveFloat(ctx context.Context, checker string, id int64) (accounts.Done, error) {
	if err := s.MayStaff(ctx, checker, ActFloatCheck); err != nil {
		return accounts.Done{}, err
	}
	f, err := s.floatRequest(ctx, id)
	if err != nil {
		return accounts.Done{}, err
	}
	if f.State == "asked" {
		return accounts.Done{}, fmt.Errorf("%w: float request %d: no maker has taken it up yet", ErrDecided, id)
	}
	if f.Maker == checker {
		return accounts.Done{}, ErrSamePerson
	}
	t, err := s.counter(ctx, f.Till)
	if err != nil {
		return accounts.Done{}, err
	}
	told, err := s.operatorsAt(ctx, t)
	if err != nil {
		return accounts.Done{}, err
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(ctx, sqlCheckFloat, id, checker, tx.Now)
		if err != nil || n == 0 {
			if err == nil {
				err = s.approvedBefore(ctx, tx, id, checker)
			}
			return err
		}
		return s.Log(ctx, tx, LogEntry{Actor: staffActor(checker), Scope: t.scope(), Action: "float_approve", Subject: floatSubject(id), Before: "made", After: "approved, " + f.Kind + " " + s.accounts.Money(f.Amount)})
	})
	if err != nil {
		return accounts.Done{}, fmt.Errorf("agents: float request %d: %w", id, err)
	}
	r, err := s.postFloat(ctx, f, t, checker, told)
	if err != nil {
		return accounts.Done{}, err
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, sqlFloatReceipt, id, r.Code)
		return err
	})
	if err != nil {
		// The money has moved; approving again writes the receipt down.
		return accounts.Done{}, fmt.Errorf("agents: float request %d: %w", id, err)
	}
	d := s.accounts.Done(r, t.float, t.Name)
	if f.Kind == "return" && !d.Again {
		s.warnLowFloat(ctx, t, d.Balance+f.Amount, d.Balance)
	}
	return d, nil
}

// approvedBefore accepts that this very checker has approved a request.
func (s *Service) approvedBefore(ctx context.Context, tx *db.Tx, id int64, checker string) error {
	var f FloatRequest
	if err := tx.Get(ctx, &f, sqlReadFloat, id); err != nil {
		return err
	}
	switch {
	case f.State == "declined":
		return fmt.Errorf("%w: it was declined", ErrDecided)
	case f.Checker.String != checker:
		return fmt.Errorf("%w: another checker has approved it", ErrDecided)
	}
	return nil
}

func (s *Service) postFloat(ctx context.Context, f FloatRequest, t Till, checker string, told []told) (ledger.Receipt, error) {
	trust := s.accounts.House().Trust
	h := text.Holes{"amount": s.accounts.Money(f.Amount), "till": t.called()}
	memo := map[string]string{"maker": f.Maker, "checker": checker}
	e := ledger.Entry{
		Ref: fmt.Sprintf("float:%d", f.ID), Kind: "float", Memo: memo,
		Postings: []ledger.Posting{{Why: ledger.Principal, Debit: trust, Credit: t.float, Amount: f.Amount}},
		Rider:    accounts.Rider{Owed: tillNotices(told, "float_till", t.float, h)},
	}
	memo["from"], memo["from_name"], memo["to"], memo["to_name"] = f.BankRef, "Bank", t.place(), t.Name
	if f.Kind == "return" {
		e.Ref, e.Kind = fmt.Sprintf("float_return:%d", f.ID), "return"
		e.Postings[0].Debit, e.Postings[0].Credit = t.float, trust
		e.Rider = accounts.Rider{Owed: tillNotices(told, "return_till", t.float, h)}
		memo["from"], memo["from_name"], memo["to"], memo["to_name"] = t.place(), t.Name, f.BankRef, "Bank"
	}
	return s.accounts.Post(ctx, e, map[ledger.AccountID]accounts.Side{t.float: accounts.Till})
}

// DeclineFloat ends a request without money: a checker what a maker has made, a
// maker or checker what an operator has asked for. The till's operators are told.
// ErrNotStaff, ErrSamePerson, ErrNoReason.
func (s *Service) DeclineFloat(ctx context.Context, staff string, id int64, reason string) error {
	reason, err := CheckReason(reason)
	if err != nil {
		return err
	}
	f, err := s.floatRequest(ctx, id)
	if err != nil {
		return err
	}
	err = s.MayStaff(ctx, staff, ActFloatCheck)
	if errors.Is(err, ErrNotStaff) && f.State == "asked" {
		err = s.MayStaff(ctx, staff, ActFloatMake)
	}
	switch {
	case err != nil:
		return err
	case f.Maker == staff:
		return ErrSamePerson
	case f.State == "declined":
		return nil
	case f.State == "approved":
		return fmt.Errorf("%w: float request %d was approved", ErrDecided, id)
	}
	t, err := s.place(ctx, f.Till)
	if err != nil {
		return err
	}
	told, err := s.operatorsAt(ctx, t)
	if err != nil {
		return err
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(ctx, sqlDeclineFloat, id, staff, tx.Now, reason, f.State)
		if err == nil && n == 0 {
			err = ErrDecided
		}
		if err != nil {
			return err
		}
		for _, o := range tillNotices(told, "float_declined", t.float, text.Holes{"amount": s.accounts.Money(f.Amount), "till": t.called()}) {
			if err := s.accounts.Tell(ctx, tx, fmt.Sprintf("float_declined:%d:%s", id, o.To), o); err != nil {
				return err
			}
		}
		return s.Log(ctx, tx, LogEntry{Actor: staffActor(staff), Scope: t.scope(), Action: "float_decline", Subject: floatSubject(id), Before: f.State, After: "declined", Reason: reason})
	})
	if err != nil {
		return fmt.Errorf("agents: float request %d: %w", id, err)
	}
	return nil
}

const sqlLowFloat = `update till set low_float = nullif($2::bigint, 0) where number = $1`

// SetLowFloat has the operators of the till warned when its float falls below
// an amount; 0: never. Refusals: frozen, till_closed, not_allowed, bad_amount.
func (s *Service) SetLowFloat(ctx context.Context, o Operator, a money.Amount) error {
	if err := o.May(ActFloatThreshold); err != nil {
		return err
	}
	if a < 0 || a > ledger.MaxAmount {
		return accounts.Refuse("bad_amount")
	}
	return s.pool.InTx(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(ctx, sqlLowFloat, o.Till.Number, int64(a)); err != nil {
			return err
		}
		return s.Log(ctx, tx, LogEntry{Actor: o.Actor(), Scope: o.Scope(), Action: "float_threshold", Subject: "till:" + o.Till.Number, Before: s.accounts.Money(o.Till.low), After: s.accounts.Money(a)})
	})
}

// warnLowFloat tells the operators of a till when an entry took its float below
// the threshold, at most once an hour. The entry stands: a warning that cannot
// be written is not worth an error, the till's position says the same.
func (s *Service) warnLowFloat(ctx context.Context, t Till, before, after money.Amount) {
	if t.low == 0 || before < t.low || after >= t.low {
		return
	}
	told, err := s.operatorsOf(ctx, t.Number)
	if err != nil {
		return
	}
	_ = s.pool.InTx(ctx, func(tx *db.Tx) error {
		hour := tx.Now.Unix() / int64(time.Hour/time.Second)
		for _, o := range tillNotices(told, "float_low", t.float, text.Holes{"amount": s.accounts.Money(after), "till": t.Number}) {
			if err := s.accounts.Tell(ctx, tx, fmt.Sprintf("float_low:%s:%d:%s", t.Number, hour, o.To), o); err != nil {
				return err
			}
		}
		return nil
	})
}
