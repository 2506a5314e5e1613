package agents

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"tuma/accounts"
	"tuma/internal/db"
	"tuma/internal/money"
)

// BankImport is what became of a statement that was handed in.
type BankImport struct {
	BankFile
	Added int // lines that were not there before
}

const (
	sqlNewBankFile = `
insert into bank_file (id, digest, name, staff, at, until, closing) values (nextval('bank_file_id'), $1, $2, $3, $4, $5::text::date, $6)
on conflict (digest) do nothing`
	sqlBankFile    = `select id from bank_file where digest = $1`
	sqlNewBankLine = `
insert into bank_line (key, file, line, day, reference, text, amount, balance)
select k, $1, l, d::date, r, t, a, case when has then b end
from unnest($2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::boolean[]) as x (k, l, d, r, t, a, b, has)
on conflict (key) do nothing`
)

// ImportBank keeps a statement of the trust account. A line that is there already
// is not there twice, whichever file it comes in. closing is the balance at the
// end where the file does not say; nil: unknown. ErrNotStaff; refusals as in
// ParseBank, bank_empty.
func (s *Service) ImportBank(ctx context.Context, staff, name string, raw []byte, closing *money.Amount) (BankImport, error) {
	if err := s.MayStaff(ctx, staff, ActReconcile); err != nil {
		return BankImport{}, err
	}
	f, err := ParseBank(raw, s.accounts.Country().Currency, s.accounts.Now())
	if err != nil {
		return BankImport{}, err
	}
	if len(f.Lines) == 0 && len(f.Faults) == 0 {
		return BankImport{}, accounts.Refuse("bank_empty")
	}
	done := BankImport{BankFile: f}
	if len(f.Lines) == 0 {
		return done, nil
	}
	if done.Closing == nil {
		done.Closing = closing
	}
	last := sql.NullInt64{}
	if done.Closing != nil {
		last = sql.NullInt64{Int64: int64(*done.Closing), Valid: true}
	}
	sum := sha256.Sum256(append(fmt.Appendf(nil, "%v|", last), raw...))
	digest, name := hex.EncodeToString(sum[:]), shorten(name, 60)
	c := bankColumns(f.Lines)
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(ctx, sqlNewBankFile, digest, name, staff, tx.Now, f.Until.Format(time.DateOnly), last); err != nil {
			return err
		}
		var id int64
		if err := tx.Get(ctx, &id, sqlBankFile, digest); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, sqlNewBankLine, id, db.Array(c.keys), db.Array(c.lines), db.Array(c.days), db.Array(c.references), db.Array(c.texts), db.Array(c.amounts), db.Array(c.balances), db.Array(c.has))
		if done.Added = int(n); err != nil || n == 0 {
			return err
		}
		return s.Log(ctx, tx, LogEntry{Actor: staffActor(staff), Action: "bank_import", Subject: fmt.Sprintf("bank_file:%d", id), After: fmt.Sprintf("%d of %d lines until %s, %s", n, len(f.Lines), f.Until.Format(time.DateOnly), name)})
	})
	if err != nil {
		return BankImport{}, fmt.Errorf("agents: a bank statement: %w", err)
	}
	return done, s.settleBank(ctx)
}

type bankColumnsOf struct {
	keys, days, references, texts []string
	lines, amounts, balances      []int64
	has                           []bool
}

func bankColumns(list []BankLine) (c bankColumnsOf) {
	for _, l := range list {
		balance, has := money.Amount(0), l.Balance != nil
		if has {
			balance = *l.Balance
		}
		c.keys, c.days, c.references, c.texts = append(c.keys, l.Key), append(c.days, l.Day.Format(time.DateOnly)), append(c.references, l.Reference), append(c.texts, l.Text)
		c.lines, c.amounts, c.balances, c.has = append(c.lines, int64(l.Line)), append(c.amounts, int64(l.Amount)), append(c.balances, int64(balance)), append(c.has, has)
	}
	return c
}

const sqlPairs = `
update bank_line b set request = x.request from unnest($1::text[], $2::bigint[]) as x (key, request) where b.key = x.key and b.request is null`

// settleBank writes down which lines are certainly which float: they need not be
// compared again.
func (s *Service) settleBank(ctx context.Context) error {
	pairs, _, err := s.compared(ctx)
	if err != nil || len(pairs) == 0 {
		return err
	}
	keys, requests := make([]string, len(pairs)), make([]int64, len(pairs))
	for i, p := range pairs {
		keys[i], requests[i] = p.Line, p.Request
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, sqlPairs, db.Array(keys), db.Array(requests))
		return err
	})
	if err != nil {
		return fmt.Errorf("agents: reconciling: %w", err)
	}
	return nil
}

const (
	sqlOpenLines = `select key, line, day, reference, text, amount from bank_line where request is null order by day, key`
	sqlOpenMoves = `
select id, bank_ref, case kind when 'issue' then amount else -amount end as amount, coalesce(decided_at, made_at, asked_at) as at, receipt is not null as posted
from float_request f
where bank_ref is not null and state <> 'declined' and not exists (select from bank_line b where b.request = f.id)`
)

type bankLineRow struct {
	Key       string       `db:"key"`
	Line      int          `db:"line"`
	Day       time.Time    `db:"day"`
	Reference string       `db:"reference"`
	Text      string       `db:"text"`
	Amount    money.Amount `db:"amount"`
}

type bookMoveRow struct {
	Request int64        `db:"id"`
	Ref     string       `db:"bank_ref"`
	Amount  money.Amount `db:"amount"`
	At      time.Time    `db:"at"`
	Posted  bool         `db:"posted"`
}

// compared matches what has not been settled yet.
func (s *Service) compared(ctx context.Context) ([]Pair, []Difference, error) {
	var rows []bankLineRow
	var open []bookMoveRow
	// The book first: what is issued meanwhile is not yet missed at the bank.
	if err := s.pool.Select(ctx, &open, sqlOpenMoves); err != nil {
		return nil, nil, fmt.Errorf("agents: reconciling: %w", err)
	}
	if err := s.pool.Select(ctx, &rows, sqlOpenLines); err != nil {
		return nil, nil, fmt.Errorf("agents: reconciling: %w", err)
	}
	lines, moves := make([]BankLine, len(rows)), make([]BookMove, len(open))
	for i, r := range rows {
		lines[i] = BankLine{Key: r.Key, Line: r.Line, Day: s.dayOf(r.Day), Reference: r.Reference, Text: r.Text, Amount: r.Amount}
	}
	for i, m := range open {
		moves[i] = BookMove{Request: m.Request, Ref: m.Ref, Amount: m.Amount, At: m.At.UTC(), Posted: m.Posted}
	}
	pairs, differences := Match(lines, moves)
	return pairs, differences, nil
}

const (
	sqlClosing   = `select closing from bank_file where closing is not null order by until desc, id desc limit 1`
	sqlBankUntil = `select max(day) from bank_line`
	sqlNotes     = `select key, bank, book, note, maker, noted_at, coalesce(checker, '') as checker from bank_note`
)

type noteRow struct {
	Key     string       `db:"key"`
	Bank    money.Amount `db:"bank"`
	Book    money.Amount `db:"book"`
	Note    string       `db:"note"`
	Maker   string       `db:"maker"`
	At      time.Time    `db:"noted_at"`
	Checker string       `db:"checker"`
}

// Reconcile compares the bank with the book as they stand. What was explained
// counts only while the amounts are what they were then. ErrNotStaff.
func (s *Service) Reconcile(ctx context.Context, staff string) (r Reconciliation, err error) {
	if err := s.MayStaff(ctx, staff, ActReconcile); err != nil {
		return r, err
	}
	_, all, err := s.compared(ctx)
	if err != nil {
		return r, err
	}
	var notes []noteRow
	var until sql.NullTime
	var closing money.Amount
	trust, err := s.accounts.Book().Account(ctx, s.accounts.House().Trust)
	if err != nil {
		return r, err
	}
	err1 := s.pool.Select(ctx, &notes, sqlNotes)
	err2 := s.pool.Get(ctx, &until, sqlBankUntil)
	err3 := s.pool.Get(ctx, &closing, sqlClosing)
	if err3 == nil {
		r.Bank = &closing
	} else if errors.Is(err3, sql.ErrNoRows) {
		err3 = nil
	}
	if err := errors.Join(err1, err2, err3); err != nil {
		return r, fmt.Errorf("agents: reconciling: %w", err)
	}
	if r.Trust = -trust.Balance; until.Valid {
		r.Until = s.dayOf(until.Time)
	}
	byKey := map[string]noteRow{}
	for _, n := range notes {
		byKey[n.Key] = n
	}
	for _, d := range all {
		if n, ok := byKey[d.Key]; ok && n.Bank == d.Bank && n.Book == d.Book {
			d.Note = &Explanation{Note: n.Note, Maker: n.Maker, Checker: n.Checker, At: n.At.UTC()}
		}
		if r.Listed += d.Delta(); d.Closed() {
			r.Closed = append(r.Closed, d)
		} else {
			r.Open = append(r.Open, d)
		}
	}
	return r, nil
}

// dayOf is when a day of the bank began in the country.
func (s *Service) dayOf(at time.Time) time.Time {
	y, m, d := at.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, s.accounts.Country().Zone)
}

// ErrNoDifference says that bank and book agree on it, now.
var ErrNoDifference = errors.New("agents: there is no such difference any more")

// DifferenceOf finds one by its name; ErrNoDifference, ErrNotStaff.
func (s *Service) DifferenceOf(ctx context.Context, staff, name string) (Difference, error) {
	r, err := s.Reconcile(ctx, staff)
	if err != nil {
		return Difference{}, err
	}
	for _, list := range [][]Difference{r.Open, r.Closed} {
		for _, d := range list {
			if d.Name == name {
				return d, nil
			}
		}
	}
	return Difference{}, ErrNoDifference
}

const (
	// An explanation that was closed stands until the amounts are others.
	sqlNote = `
insert into bank_note (key, bank, book, note, maker, noted_at) values ($1, $2, $3, $4, $5, $6)
on conflict (key) do update set bank = excluded.bank, book = excluded.book, note = excluded.note, maker = excluded.maker, noted_at = excluded.noted_at, checker = null, closed_at = null
where bank_note.checker is null or bank_note.bank <> excluded.bank or bank_note.book <> excluded.book`
	sqlCloseNote = `update bank_note set checker = $4, closed_at = $5 where key = $1 and bank = $2 and book = $3 and checker is null`
)

// ExplainDifference is the maker's half: why bank and book differ. ErrNotStaff,
// ErrNoReason, ErrNoDifference, ErrDecided.
func (s *Service) ExplainDifference(ctx context.Context, maker, name, note string) error {
	if err := s.MayStaff(ctx, maker, ActReconcileNote); err != nil {
		return err
	}
	return s.onDifference(ctx, maker, name, note, ActReconcileNote, func(tx *db.Tx, d Difference, note string) (int64, error) {
		return tx.Exec(ctx, sqlNote, d.Key, int64(d.Bank), int64(d.Book), note, maker, tx.Now)
	})
}

// CloseDifference is the checker's half: the explanation holds. ErrNotStaff,
// ErrSamePerson, ErrNoReason, ErrNoDifference, ErrDecided.
func (s *Service) CloseDifference(ctx context.Context, checker, name, reason string) error {
	if err := s.MayStaff(ctx, checker, ActReconcileClose); err != nil {
		return err
	}
	return s.onDifference(ctx, checker, name, reason, ActReconcileClose, func(tx *db.Tx, d Difference, _ string) (int64, error) {
		switch {
		case d.Note == nil:
			return 0, ErrDecided
		case d.Note.Maker == checker:
			return 0, ErrSamePerson
		}
		return tx.Exec(ctx, sqlCloseNote, d.Key, int64(d.Bank), int64(d.Book), checker, tx.Now)
	})
}

func (s *Service) onDifference(ctx context.Context, staff, name, reason string, action Action, do func(*db.Tx, Difference, string) (int64, error)) error {
	reason, err := CheckReason(reason)
	if err != nil {
		return err
	}
	d, err := s.DifferenceOf(ctx, staff, name)
	if err != nil {
		return err
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		n, err := do(tx, d, reason)
		if err == nil && n == 0 {
			err = ErrDecided
		}
		if err != nil {
			return err
		}
		return s.Log(ctx, tx, LogEntry{Actor: staffActor(staff), Action: string(action), Subject: "bank_reference:" + d.Ref, After: fmt.Sprintf("bank %s, book %s", s.accounts.Money(d.Bank), s.accounts.Money(d.Book)), Reason: reason})
	})
	if err != nil {
		return fmt.Errorf("agents: a difference: %w", err)
	}
	return nil
}
