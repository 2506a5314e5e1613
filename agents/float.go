package agents

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/internal/money"
	"tuma/internal/text"
)

// FloatRequest is e-money to be issued to a till against money that came into
// the trust account.
type FloatRequest struct {
	ID      int64          `db:"id"`
	Till    string         `db:"till"`
	Amount  money.Amount   `db:"amount"`
	BankRef string         `db:"bank_ref"`
	Maker   string         `db:"maker"`
	Checker sql.NullString `db:"checker"`
	Receipt sql.NullString `db:"receipt"`
}

const (
	sqlFloatRequest = `
insert into float_request (id, till, amount, bank_ref, maker, made_at)
values (nextval('float_request_id'), $1, $2, $3, $4, $5) returning id`
	sqlReadFloat    = `select id, till, amount, bank_ref, maker, checker, receipt from float_request where id = $1`
	sqlOpenFloat    = `select id, till, amount, bank_ref, maker, checker, receipt from float_request where receipt is null order by id`
	sqlCheckFloat   = `update float_request set checker = $2, decided_at = $3 where id = $1 and (checker is null or checker = $2)`
	sqlFloatReceipt = `update float_request set receipt = $2 where id = $1 and receipt is null`
)

// RequestFloat is the maker's half of issuing float. ErrExists when the bank's
// reference was used before: one credit at the bank issues e-money once.
// ErrNotStaff when maker is not an active maker; refusals as in Till.
func (s *Service) RequestFloat(ctx context.Context, maker, till string, a money.Amount, bankRef string) (id int64, err error) {
	bankRef = strings.ToUpper(strings.TrimSpace(bankRef))
	if len(bankRef) < 4 || len(bankRef) > 40 || strings.Trim(bankRef, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-/.") != "" {
		return 0, fmt.Errorf("agents: a bank reference has 4 to 40 letters, digits, - / or ., not %.60q", bankRef)
	}
	if a <= 0 || a > ledger.MaxAmount {
		return 0, fmt.Errorf("agents: an amount is above zero and at most %s", s.accounts.Money(ledger.MaxAmount))
	}
	if err := s.May(ctx, maker, "maker"); err != nil {
		return 0, err
	}
	if _, err := s.Till(ctx, till); err != nil {
		return 0, err
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		return tx.Get(ctx, &id, sqlFloatRequest, till, int64(a), bankRef, maker, tx.Now)
	})
	switch {
	case db.Violates(err, "bank_reference_is_used_once"):
		return 0, fmt.Errorf("%w: float against the bank reference %s", ErrExists, bankRef)
	case err != nil:
		return 0, fmt.Errorf("agents: requesting float: %w", err)
	}
	return id, nil
}

// OpenFloat lists the requests that wait for a checker.
func (s *Service) OpenFloat(ctx context.Context) (list []FloatRequest, err error) {
	if err := s.pool.Select(ctx, &list, sqlOpenFloat); err != nil {
		return nil, fmt.Errorf("agents: float requests: %w", err)
	}
	return list, nil
}

// ErrSamePerson says that maker and checker are one.
var ErrSamePerson = errors.New("agents: who asked for float cannot approve it")

// ApproveFloat is the checker's half: it posts trust to float. Approving again
// gives the receipt of the first time, to the checker of the first time alone.
// ErrNotStaff when checker is not an active checker, ErrSamePerson when he was
// the maker; refusals as in Till.
func (s *Service) ApproveFloat(ctx context.Context, checker string, id int64) (accounts.Done, error) {
	if err := s.May(ctx, checker, "checker"); err != nil {
		return accounts.Done{}, err
	}
	var f FloatRequest
	if err := s.pool.Get(ctx, &f, sqlReadFloat, id); errors.Is(err, sql.ErrNoRows) {
		return accounts.Done{}, fmt.Errorf("agents: there is no float request %d", id)
	} else if err != nil {
		return accounts.Done{}, fmt.Errorf("agents: float request %d: %w", id, err)
	}
	if f.Maker == checker {
		return accounts.Done{}, ErrSamePerson
	}
	t, err := s.Till(ctx, f.Till)
	if err != nil {
		return accounts.Done{}, err
	}
	told, err := s.operatorsOf(ctx, f.Till)
	if err != nil {
		return accounts.Done{}, err
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(ctx, sqlCheckFloat, id, checker, tx.Now)
		if err == nil && n == 0 {
			err = errors.New("another checker has approved it")
		}
		return err
	})
	if err != nil {
		return accounts.Done{}, fmt.Errorf("agents: float request %d: %w", id, err)
	}
	r, err := s.accounts.Post(ctx, ledger.Entry{
		Ref: fmt.Sprintf("float:%d", id), Kind: "float",
		Postings: []ledger.Posting{{Why: ledger.Principal, Debit: s.accounts.House().Trust, Credit: t.float, Amount: f.Amount}},
		Memo:     map[string]string{"from": f.BankRef, "from_name": "Bank", "to": t.Number, "to_name": t.Name, "maker": f.Maker, "checker": checker},
		Rider:    accounts.Rider{Owed: floatNotices(s.accounts.Money(f.Amount), t, told)},
	}, map[ledger.AccountID]accounts.Side{t.float: accounts.Till})
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
	return s.accounts.Done(r, t.float, t.Name), nil
}

func floatNotices(amount string, t Till, to []told) (owed []accounts.Owed) {
	for _, o := range to {
		owed = append(owed, accounts.Owed{Party: "till:" + string(o.MSISDN), To: o.MSISDN, Lang: o.Lang, Text: "float_till", Account: t.float,
			Holes: text.Holes{"amount": amount, "till": t.Number}})
	}
	return owed
}

const sqlUnbacked = `
select r.ref
from account trust
join posting p on p.debit = trust.id or p.credit = trust.id
join entry_ref r on r.entry = p.entry
where trust.kind = 'trust' and not exists (
    select from float_request f join till t on t.number = f.till
    where r.ref = 'float:' || f.id and f.checker is not null and f.checker <> f.maker
      and f.amount = p.amount and p.debit = trust.id and p.credit = t.float)
order by r.entry`

// Audit names every movement of the trust account that no approved request of
// two people explains: e-money without a credit at the bank.
func Audit(ctx context.Context, pool *db.Pool) ([]ledger.Break, error) {
	var refs []string
	if err := pool.InSnapshot(ctx, func(s *db.Snapshot) error { return s.Select(ctx, &refs, sqlUnbacked) }); err != nil {
		return nil, fmt.Errorf("agents: audit: %w", err)
	}
	var breaks []ledger.Break
	for _, r := range refs {
		breaks = append(breaks, ledger.Break{Check: "e-money is issued against the bank", What: "entry " + r + " moves the trust account without an approved float request"})
	}
	return breaks, nil
}
