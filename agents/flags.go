package agents

import (
	"context"
	"fmt"
	"time"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/internal/money"
)

// The kinds of flags.
const (
	FlagSplit   = "split_deposit"  // several deposits that together come to the edge of the tier's limit of an entry
	FlagInOut   = "cash_in_out"    // the same cash in and out again at the same till
	FlagDirect  = "direct_deposit" // cash in at a till while the customer's phone was elsewhere: somebody else's money, sent past the tariff
	flagWindow  = time.Hour
	splitParts  = 3
	edgePercent = 95 // of the limit: from here on it is the edge
	sameBand    = 10 // percent by which two amounts may differ and still be similar
)

// Flag is a warning about a customer at a till, for people to look at.
type Flag struct {
	ID       int64     `db:"id"`
	Till     string    `db:"till"`
	Kind     string    `db:"kind"`
	At       time.Time `db:"at"`
	Customer int64     `db:"customer"`
	Receipt  string    `db:"receipt"` // of the entry that raised it
	Entries  db.Int64s `db:"entries"` // all that it is about, oldest first
}

// moved is an entry of a wallet with one till's cash.
type moved struct {
	ID         int64        `db:"id"`
	Kind       string       `db:"kind"`
	Amount     money.Amount `db:"amount"`
	Commission money.Amount `db:"commission"`
	Till       string       `db:"till"` // where it is asked for
}

const (
	// Newest first, as the list is walked.
	sqlCashWithTill = `
select id, kind, amounts[1] as amount,
    (select coalesce(sum(a), 0) from unnest(amounts, string_to_array(whys, ',')) as p (a, why) where why = 'commission') as commission
from entries_of($1, $3)
where kind = 'deposit' and debits[1] = $2 or kind = 'withdraw' and credits[1] = $2`
	sqlCashElsewhere = `
select e.id, e.kind, e.amounts[1] as amount, t.number as till
from entries_of($1, $3) e join till t on t.float = e.debits[1] where e.kind = 'deposit' and e.debits[1] <> $2`
	sqlNewFlag = `
insert into flag (id, till, kind, at, customer, entry, receipt, entries) values (nextval('flag_id'), $1, $2, $3, $4, $5, $6, $7) on conflict do nothing`
	sqlFlags = `select id, till, kind, at, customer, receipt, entries from flag where till = $1 and ($2::bigint = 0 or id < $2) order by id desc limit $3`
)

// flagDeposit looks whether a deposit is the last part of a larger one. Like all
// flags it comes after the posting and stops nothing: an error of it is nobody's.
func (s *Service) flagDeposit(ctx context.Context, t Till, c accounts.Customer, ref string, r ledger.Receipt) {
	list, err := s.cashWith(ctx, t, c, r)
	if err != nil {
		return
	}
	var sum money.Amount
	var parts []int64
	for _, m := range list {
		if m.Kind == "deposit" {
			sum += m.Amount
			parts = append(parts, m.ID)
		}
	}
	if len(parts) >= splitParts && sum >= money.Portion(c.Tier.PerEntry, edgePercent, 100) {
		s.flag(ctx, t, c, FlagSplit, r, parts)
		s.noteTill(ctx, t, FlagSplit, ref, s.flagged(r, c, len(parts)))
	}
}

// flagWithdrawal looks whether the same cash came in a moment ago, here or at
// another till: there the customer cannot have stood at the counter. It happens to
// honest people, so that it is noted as a brake's event only when it pays, or when
// the till has more of it than it usually has.
func (s *Service) flagWithdrawal(ctx context.Context, t Till, c accounts.Customer, ref string, r ledger.Receipt) {
	list, err := s.cashWith(ctx, t, c, r)
	if err != nil || len(r.Postings) == 0 {
		return
	}
	out := r.Postings[0].Amount
	for _, m := range list {
		if m.Kind == "deposit" && alike(m.Amount, out) {
			s.flag(ctx, t, c, FlagInOut, r, []int64{int64(r.ID), m.ID})
			if gain := m.Commission + sumOf(r, ledger.Commission) - sumOf(r, ledger.Fee); gain > 0 {
				s.noteTill(ctx, t, FlagInOut, ref, s.flagged(r, c, 2)+", gain "+s.accounts.Money(gain))
			} else {
				s.pace(ctx, t, FlagInOut, ref)
			}
			return
		}
	}
	var elsewhere []moved
	if err := s.pool.Select(ctx, &elsewhere, sqlCashElsewhere, int64(c.Wallet), int64(t.float), r.At.Add(-flagWindow)); err != nil {
		return
	}
	for _, m := range elsewhere {
		if alike(m.Amount, out) {
			s.flag(ctx, Till{Number: m.Till}, c, FlagDirect, r, []int64{int64(r.ID), m.ID})
			s.pace(ctx, Till{Number: m.Till}, FlagDirect, ref)
			return
		}
	}
}

// alike tells whether two amounts may be the same cash.
func alike(a, b money.Amount) bool { return max(a, b)-min(a, b) <= money.Portion(b, sameBand, 100) }

func (s *Service) cashWith(ctx context.Context, t Till, c accounts.Customer, r ledger.Receipt) (list []moved, err error) {
	err = s.pool.Select(ctx, &list, sqlCashWithTill, int64(c.Wallet), int64(t.float), r.At.Add(-flagWindow))
	return list, err
}

// sumOf is what an entry's postings of one sort come to.
func sumOf(r ledger.Receipt, why ledger.Why) (sum money.Amount) {
	for _, p := range r.Postings {
		if p.Why == why {
			sum += p.Amount
		}
	}
	return sum
}

// flagged says which entries an event is about.
func (s *Service) flagged(r ledger.Receipt, c accounts.Customer, entries int) string {
	return fmt.Sprintf("%s, customer:%d, %d entries", r.Code, c.ID, entries)
}

// flag writes one down for the pages of the till; entries come newest first.
func (s *Service) flag(ctx context.Context, t Till, c accounts.Customer, kind string, r ledger.Receipt, entries []int64) {
	for i, k := 0, len(entries)-1; i < k; i, k = i+1, k-1 {
		entries[i], entries[k] = entries[k], entries[i]
	}
	_ = s.pool.InTx(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, sqlNewFlag, t.Number, kind, r.At, c.ID, int64(r.ID), r.Code, db.Array(entries))
		return err
	})
}

// Flags are the newest warnings about a till, newest first; before is 0 or a
// flag: only what is older.
func (s *Service) Flags(ctx context.Context, till string, before int64, n int) (flags []Flag, err error) {
	if err := s.pool.Select(ctx, &flags, sqlFlags, till, before, n); err != nil {
		return nil, fmt.Errorf("agents: flags of till %s: %w", till, err)
	}
	return flags, nil
}
