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
)

// Day is a till's day: the cash in its drawer, declared when it is opened and
// counted when it is closed. Business goes on without one.
type Day struct {
	Date         time.Time // midnight UTC of the date in the country
	OpenedAt     time.Time
	OpenedBy     string // the operator's number
	OpeningCash  money.Amount
	CashIn       money.Amount // deposits since the opening
	CashOut      money.Amount // withdrawals, and deposits that were undone
	ExpectedCash money.Amount // opening + in - out
	Closed       bool
	ClosedAt     time.Time
	ClosedBy     string
	CountedCash  money.Amount
	OverShort    money.Amount // counted - expected
}

// Errors of a till's day.
var (
	ErrDayOpen    = errors.New("agents: the till's day is open, or was today")
	ErrDayNotOpen = errors.New("agents: the till has no open day")
)

type dayRow struct {
	Date     time.Time      `db:"day"`
	OpenedAt time.Time      `db:"opened_at"`
	OpenedBy string         `db:"opened_by"`
	Opening  int64          `db:"opening_cash"`
	ClosedAt sql.NullTime   `db:"closed_at"`
	ClosedBy sql.NullString `db:"closed_by"`
	Expected sql.NullInt64  `db:"expected_cash"`
	Counted  sql.NullInt64  `db:"counted_cash"`
	Over     sql.NullInt64  `db:"over_short"`
}

func (r dayRow) day() Day {
	d := Day{
		Date: r.Date, OpenedAt: r.OpenedAt.UTC(), OpenedBy: r.OpenedBy, OpeningCash: money.Amount(r.Opening), ExpectedCash: money.Amount(r.Expected.Int64),
		Closed: r.ClosedAt.Valid, ClosedBy: r.ClosedBy.String, CountedCash: money.Amount(r.Counted.Int64), OverShort: money.Amount(r.Over.Int64),
	}
	if d.Closed {
		d.ClosedAt = r.ClosedAt.Time.UTC()
	}
	return d
}

const (
	dayFields  = `day, opened_at, opened_by, opening_cash, closed_at, closed_by, expected_cash, counted_cash, over_short`
	sqlNewDay  = `insert into till_day (till, day, opened_at, opened_by, opening_cash) values ($1, $2, $3, $4, $5)`
	sqlDay     = `select ` + dayFields + ` from till_day where till = $1 and closed_at is null`
	sqlDays    = `select ` + dayFields + ` from till_day where till = $1 and ($2::date is null or day < $2::date) order by day desc limit $3`
	sqlHoldDay = sqlDay + ` for update`
	sqlEndDay  = `
update till_day set closed_at = $2, closed_by = $3, expected_cash = $4, counted_cash = $5, over_short = $6 where till = $1 and closed_at is null`
	// What went through the drawer: the first posting of each is the principal.
	sqlCash = `
select coalesce(sum(amounts[1]) filter (where kind = 'deposit' and debits[1] = $1), 0)::bigint as cash_in,
       coalesce(sum(amounts[1]) filter (where kind in ('withdraw', 'undo') and credits[1] = $1), 0)::bigint as cash_out
from entries_of($1, $2)`
)

// getter is what a transaction and the pool have in common.
type getter interface {
	Get(ctx context.Context, dest any, query string, args ...any) error
}

// cash adds to an open day what has gone through the drawer since.
func (d *Day) cash(ctx context.Context, from getter, float ledger.AccountID) error {
	var c struct {
		In  money.Amount `db:"cash_in"`
		Out money.Amount `db:"cash_out"`
	}
	if err := from.Get(ctx, &c, sqlCash, int64(float), d.OpenedAt); err != nil {
		return fmt.Errorf("agents: cash of the day: %w", err)
	}
	d.CashIn, d.CashOut, d.ExpectedCash = c.In, c.Out, d.OpeningCash+c.In-c.Out
	return nil
}

// openedDay is the day that a till has open, nil when there is none.
func (s *Service) openedDay(ctx context.Context, t Till) (*Day, error) {
	var r dayRow
	err := s.pool.Get(ctx, &r, sqlDay, t.Number)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("agents: the day of till %s: %w", t.Number, err)
	}
	d := r.day()
	return &d, d.cash(ctx, s.pool, t.float)
}

// OpenDay declares the cash in a till's drawer, once a day. ErrDayOpen;
// refusals: frozen, till_closed, not_allowed, bad_amount.
func (s *Service) OpenDay(ctx context.Context, o Operator, cash money.Amount) (Day, error) {
	if err := o.May(ActDayOpen); err != nil {
		return Day{}, err
	}
	if cash < 0 || cash > ledger.MaxAmount {
		return Day{}, accounts.Refuse("bad_amount")
	}
	var d Day
	err := s.pool.InTx(ctx, func(tx *db.Tx) error {
		d = Day{Date: s.accounts.Book().Day(tx.Now), OpenedAt: tx.Now, OpenedBy: string(o.Phone), OpeningCash: cash, ExpectedCash: cash}
		if _, err := tx.Exec(ctx, sqlNewDay, o.Till.Number, d.Date, d.OpenedAt, d.OpenedBy, int64(cash)); err != nil {
			return err
		}
		return s.Log(ctx, tx, LogEntry{Actor: o.Actor(), Scope: o.Scope(), Action: string(ActDayOpen), Subject: "till:" + o.Till.Number, After: s.accounts.Money(cash)})
	})
	switch {
	case db.Violates(err, "day_is_opened_once") || db.Violates(err, "till_has_one_open_day"):
		return Day{}, ErrDayOpen
	case err != nil:
		return Day{}, fmt.Errorf("agents: opening the day of till %s: %w", o.Till.Number, err)
	}
	return d, nil
}

// CloseDay takes what was counted and says what is over or short. ErrDayNotOpen;
// refusals: frozen, till_closed, not_allowed, bad_amount.
func (s *Service) CloseDay(ctx context.Context, o Operator, counted money.Amount) (Day, error) {
	if err := o.May(ActDayClose); err != nil {
		return Day{}, err
	}
	if counted < 0 || counted > ledger.MaxAmount {
		return Day{}, accounts.Refuse("bad_amount")
	}
	var d Day
	err := s.pool.InTx(ctx, func(tx *db.Tx) error {
		var r dayRow
		err := tx.Get(ctx, &r, sqlHoldDay, o.Till.Number)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrDayNotOpen
		}
		if err != nil {
			return err
		}
		d = r.day()
		if err := d.cash(ctx, tx, o.Till.float); err != nil {
			return err
		}
		d.Closed, d.ClosedAt, d.ClosedBy, d.CountedCash, d.OverShort = true, tx.Now, string(o.Phone), counted, counted-d.ExpectedCash
		if _, err := tx.Exec(ctx, sqlEndDay, o.Till.Number, d.ClosedAt, d.ClosedBy, int64(d.ExpectedCash), int64(counted), int64(d.OverShort)); err != nil {
			return err
		}
		return s.Log(ctx, tx, LogEntry{Actor: o.Actor(), Scope: o.Scope(), Action: string(ActDayClose), Subject: "till:" + o.Till.Number,
			Before: "expected " + s.accounts.Money(d.ExpectedCash), After: "counted " + s.accounts.Money(counted)})
	})
	if err != nil {
		return Day{}, fmt.Errorf("agents: closing the day of till %s: %w", o.Till.Number, err)
	}
	return d, nil
}

// Days are the newest days of a till, newest first; before is zero or the date
// of the last one of the page before. CashIn and CashOut are not told of those
// that are closed. Refusals: frozen, not_allowed.
func (s *Service) Days(ctx context.Context, o Operator, before time.Time, n int) ([]Day, error) {
	if err := o.May(ActDayView); err != nil {
		return nil, err
	}
	var rows []dayRow
	if err := s.pool.Select(ctx, &rows, sqlDays, o.Till.Number, sql.NullTime{Time: before, Valid: !before.IsZero()}, n); err != nil {
		return nil, fmt.Errorf("agents: days of till %s: %w", o.Till.Number, err)
	}
	days := make([]Day, len(rows))
	for i, r := range rows {
		days[i] = r.day()
		if !days[i].Closed {
			if err := days[i].cash(ctx, s.pool, o.Till.float); err != nil {
				return nil, err
			}
		}
	}
	return days, nil
}
