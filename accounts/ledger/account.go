package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tuma/internal/db"
	"tuma/internal/money"
)

// Status says what an account lets happen.
type Status int16

// The statuses of an account.
const (
	Open          Status = 0
	DebitsBlocked Status = 1 // money may come in, none may leave
	Frozen        Status = 2
)

// Kind tells what an account is for.
type Kind string

// Kinds of accounts. Balances are credits less debits.
const (
	Wallet            Kind = "wallet"             // a customer's e-money
	Float             Kind = "float"              // a till's e-money
	CommissionEarned  Kind = "commission"         // what a till has earned
	Trust             Kind = "trust"              // the bank's money behind all e-money; negative
	Fees              Kind = "fees"               // the house's income
	TaxDue            Kind = "tax"                // owed to the revenue authority
	CommissionExpense Kind = "commission_expense" // what tills were promised; negative
	Airtime           Kind = "airtime"            // owed to the mobile network for top-ups
	Held              Kind = "held"               // disputed, until somebody decides whose it is
)

// Rules are an account's own; nil means no such bound.
type Rules struct {
	Floor, Ceiling, DayLimit *money.Amount
	Status                   Status
}

// Account is an account as it stands.
type Account struct {
	ID       AccountID
	Kind     Kind
	Currency string
	Balance  money.Amount
	Rules
	Day      time.Time    // the day that Spent speaks of
	DaySpent money.Amount // principal debited that day
}

// SpentOn is the principal debited on the given day (midnight UTC of the date in
// the book's time zone). A clock that is set back does not start a fresh day.
func (a Account) SpentOn(day time.Time) money.Amount {
	if a.Day.Before(day) {
		return 0
	}
	return a.DaySpent
}

// Zero is the usual floor.
func Zero() *money.Amount { return Bound(0) }

// Bound makes an amount into a bound of Rules.
func Bound(a money.Amount) *money.Amount { return &a }

type accountRow struct {
	ID       int64         `db:"id"`
	Kind     string        `db:"kind"`
	Currency string        `db:"currency"`
	Balance  int64         `db:"balance"`
	Floor    sql.NullInt64 `db:"floor"`
	Ceiling  sql.NullInt64 `db:"ceiling"`
	Status   int16         `db:"status"`
	DayLimit sql.NullInt64 `db:"day_limit"`
	Day      time.Time     `db:"day"`
	DaySpent int64         `db:"day_spent"`
}

func (r accountRow) account() Account {
	return Account{
		ID: AccountID(r.ID), Kind: Kind(r.Kind), Currency: r.Currency, Balance: money.Amount(r.Balance),
		Rules: Rules{Floor: bound(r.Floor), Ceiling: bound(r.Ceiling), DayLimit: bound(r.DayLimit), Status: Status(r.Status)},
		Day:   r.Day, DaySpent: money.Amount(r.DaySpent),
	}
}

func bound(n sql.NullInt64) *money.Amount {
	if !n.Valid {
		return nil
	}
	return Bound(money.Amount(n.Int64))
}

func nullable(a *money.Amount) any {
	if a == nil {
		return nil
	}
	return int64(*a)
}

const sqlOpenAccount = `
insert into account (id, kind, currency, floor, ceiling, status, day_limit)
values (nextval('account_id'), $1, $2, $3, $4, $5, $6) returning id`

// OpenAccount opens an account in the caller's transaction, so that it exists
// exactly when its owner does.
func OpenAccount(ctx context.Context, tx *db.Tx, k Kind, currency string, r Rules) (AccountID, error) {
	var id AccountID
	err := tx.Get(ctx, &id, sqlOpenAccount, string(k), currency, nullable(r.Floor), nullable(r.Ceiling), int16(r.Status), nullable(r.DayLimit))
	if err != nil {
		return 0, fmt.Errorf("ledger: opening a %s account: %w", k, err)
	}
	return id, nil
}

const sqlSetRules = `update account set floor = $2, ceiling = $3, status = $4, day_limit = $5 where id = $1`

// SetRules replaces an account's rules; a posting decided after the commit obeys them.
func SetRules(ctx context.Context, tx *db.Tx, id AccountID, r Rules) error {
	n, err := tx.Exec(ctx, sqlSetRules, int64(id), nullable(r.Floor), nullable(r.Ceiling), int16(r.Status), nullable(r.DayLimit))
	if err == nil && n != 1 {
		err = sql.ErrNoRows
	}
	if err != nil {
		return fmt.Errorf("ledger: rules of account %d: %w", id, err)
	}
	return nil
}

const (
	sqlAccount    = `select id, kind, currency, balance, floor, ceiling, status, day_limit, day, day_spent from account where id = $1`
	sqlAllOfHouse = `
select min(id) as id, min(kind) as kind, min(currency) as currency, sum(balance)::bigint as balance, null::bigint as floor, null::bigint as ceiling,
       0::smallint as status, null::bigint as day_limit, max(day) as day, sum(day_spent)::bigint as day_spent
from account where id between $1 and $1 + 15 having count(*) > 0`
)

// Account reads an account as it stands; ErrNotFound when there is none. One of
// the house's is read whole.
func (b *Book) Account(ctx context.Context, id AccountID) (Account, error) {
	var r accountRow
	query := sqlAccount
	if id < houseEnds {
		id, query = whole(id), sqlAllOfHouse
	}
	err := b.pool.Get(ctx, &r, query, int64(id))
	if errors.Is(err, sql.ErrNoRows) {
		return Account{}, fmt.Errorf("account %d: %w", id, ErrNotFound)
	}
	if err != nil {
		return Account{}, fmt.Errorf("ledger: account %d: %w", id, err)
	}
	return r.account(), nil
}
