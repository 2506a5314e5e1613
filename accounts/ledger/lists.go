package ledger

import (
	"context"
	"hash/maphash"
	"maps"
	"slices"

	"tuma/internal/db"
	"tuma/internal/money"
)

// An account's entries are a list: the account knows its last entry and its
// balance, each entry the one before it and the balance after it. So a balance is
// right when the list leads from nothing to it, each step being what the entry's
// postings say. The audit proves that for all accounts at once, in whatever order
// the entries come and with the memory of two numbers: it adds up every place
// (account, entry, balance) that an entry leads to, and takes off every place that
// one starts from. What is left over, all in all, must be where the lists begin
// and end. The places are hashed with a seed of the moment, so that two faults do
// not make up for each other. Only when the sum is off is the culprit looked for.

// place is a point of an account's list: after this entry it holds that.
type place struct {
	account, entry AccountID
	balance        money.Amount
}

type lists struct {
	seeds [2]maphash.Seed
	sums  [2]uint64
}

func newLists() lists { return lists{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}} }

// leadsTo and startsFrom note a place at either end of a step.
func (l *lists) leadsTo(account AccountID, entry EntryID, balance money.Amount) {
	for i := range l.sums {
		l.sums[i] += maphash.Comparable(l.seeds[i], place{account, AccountID(entry), balance})
	}
}

func (l *lists) startsFrom(account AccountID, entry EntryID, balance money.Amount) {
	for i := range l.sums {
		l.sums[i] -= maphash.Comparable(l.seeds[i], place{account, AccountID(entry), balance})
	}
}

func (l *lists) even() bool { return l.sums == [2]uint64{} }

// follow notes what an entry does to its accounts.
func (a *audit) follow(id EntryID, postings []Posting, afters []After, befores []int64) {
	by := make(map[AccountID]money.Amount, 4)
	for _, p := range postings {
		by[p.Debit] -= p.Amount
		by[p.Credit] += p.Amount
	}
	for i, x := range afters {
		delta, touched := by[x.Account]
		if !touched || i >= len(befores) {
			a.broken("entry lists its accounts", "entry %d lists account %d, which it does not touch, or without the entry before it", id, x.Account)
			continue
		}
		delete(by, x.Account)
		a.lists.leadsTo(x.Account, id, x.Balance)
		a.lists.startsFrom(x.Account, EntryID(befores[i]), x.Balance-delta)
	}
	for _, account := range slices.Sorted(maps.Keys(by)) {
		if account < houseEnds {
			a.house[account] += by[account]
		} else {
			a.broken("entry lists its accounts", "entry %d touches account %d and does not list it", id, account)
		}
	}
}

const sqlAuditAccounts = `select id, balance, last_entry from account`

// balances proves every balance of the book from its first entry on.
func (a *audit) balances(ctx context.Context) error {
	err := a.s.Each(ctx, func(scan func(...any) error) error {
		var id, balance, last int64
		if err := scan(&id, &balance, &last); err != nil {
			return err
		}
		if id < houseEnds {
			a.house[AccountID(id)] -= money.Amount(balance)
			return nil
		}
		a.lists.leadsTo(AccountID(id), 0, 0)
		a.lists.startsFrom(AccountID(id), EntryID(last), money.Amount(balance))
		return nil
	}, sqlAuditAccounts)
	if err != nil {
		return err
	}
	return a.level(ctx, true)
}

const (
	// Up to which block the chain of entry p was sealed.
	sqlHeadOf = `coalesce((select h.n from unnest($1::bigint[], $2::bigint[]) as h (chain, n) where h.chain = p.chain), 0)`
	// Where the lists stood before: the entries that those under audit follow and
	// that are not among them; each once, however many follow it.
	sqlOpenings = `with ` + sqlNewBlocks + `
select o.account, o.before, coalesce((select e.afters[array_position(e.accounts, o.account)] from entry e where e.id = o.before), 0)
from (
    select distinct t.account, t.before
    from entry e join new b on b.chain = e.chain and b.n = e.block, unnest(e.accounts, e.befores) as t (account, before)
    where e.id >= $3 and (t.before < $3 or exists (select from entry p where p.id = t.before and p.block <= ` + sqlHeadOf + `))
) o`
	// Where they stand now, as far as the audit has come by.
	sqlClosings = `
select a.id, a.balance, a.last_entry from account a
where a.id >= 1000 and a.last_entry >= $3 and exists (select from entry p where p.id = a.last_entry and p.block > ` + sqlHeadOf + `)`
)

// recentBalances proves the balances of the accounts that were touched since the
// seal, from where their lists stood then. The house's were sealed.
func (a *audit) recentBalances(ctx context.Context) error {
	for _, b := range a.Since.House {
		a.house[b.Account] += b.Balance
	}
	chains, numbers := a.Since.columns()
	for query, note := range map[string]func(id, x, y int64){
		sqlOpenings: func(id, before, balance int64) {
			a.lists.leadsTo(AccountID(id), EntryID(before), money.Amount(balance))
		},
		sqlClosings: func(id, balance, last int64) { a.lists.startsFrom(AccountID(id), EntryID(last), money.Amount(balance)) },
	} {
		err := a.s.Each(ctx, func(scan func(...any) error) error {
			var id, x, y int64
			if err := scan(&id, &x, &y); err != nil {
				return err
			}
			note(id, x, y)
			return nil
		}, query, db.Array(chains), db.Array(numbers), a.from)
		if err != nil {
			return err
		}
	}
	err := a.s.Each(ctx, func(scan func(...any) error) error {
		var id, balance int64
		err := scan(&id, &balance)
		a.house[AccountID(id)] -= money.Amount(balance)
		return err
	}, sqlHouseStripes)
	if err != nil {
		return err
	}
	return a.level(ctx, false)
}

// level looks at what is left over: of each stripe of the house nothing, and of
// all the lists nothing.
func (a *audit) level(ctx context.Context, all bool) error {
	for _, id := range slices.Sorted(maps.Keys(a.house)) {
		if by := a.house[id]; by != 0 {
			a.broken("balance equals postings", "account %d of the house has %d less than its postings say", id, by)
		}
	}
	if a.lists.even() {
		return nil
	}
	named := len(a.Breaks)
	if err := a.culprits(ctx, all); err != nil {
		return err
	}
	if len(a.Breaks) == named {
		a.broken("balance equals postings", "the lists of the accounts do not lead to their balances, and no account could be named")
	}
	return nil
}

// sqlTouched are the entries under audit, one row for each account of a customer
// or till that they touch: all from $3 on that are in new blocks.
const sqlTouched = sqlNewBlocks + `, touched as materialized (
    select t.account, t.entry, t.after, t.before, e.debits, e.credits, e.amounts
    from entry e join new b on b.chain = e.chain and b.n = e.block
    cross join lateral (select account, e.id as entry, after, before from unnest(e.accounts, e.afters, e.befores) as u (account, after, before)) t
    where e.id >= $3
)`

// sqlCulprits names steps that do not lead from the place before them, places
// that two steps start from, and lists that do not end at their account.
const sqlCulprits = `with ` + sqlTouched + `, steps as (
    select t.account, t.entry, t.before, t.after,
           t.after - coalesce((select sum(case when p.credit = t.account then p.amount else 0 end - case when p.debit = t.account then p.amount else 0 end)
                               from unnest(t.debits, t.credits, t.amounts) as p (debit, credit, amount)), 0) as starts,
           case t.before when 0 then 0 else (select e.afters[array_position(e.accounts, t.account)] from entry e where e.id = t.before) end as stood
    from touched t
)
select account, entry, 'step', starts, coalesce(stood, 0) from steps where stood is distinct from starts
union all
select account, max(entry), 'fork', before, count(*) from steps group by account, before having count(*) > 1
union all
select s.account, s.entry, 'end', coalesce(a.balance, 0), s.after from steps s left join account a on a.id = s.account
where not exists (select from steps n where n.account = s.account and n.before = s.entry)
  and (a.id is null or a.last_entry <> s.entry or a.balance <> s.after)
union all
select a.id, a.last_entry, 'lost', a.balance, 0 from account a
where $4 and a.id >= 1000 and (a.last_entry <> 0 or a.balance <> 0) and not exists (select from touched t where t.account = a.id)
order by 1, 2`

func (a *audit) culprits(ctx context.Context, all bool) error {
	chains, numbers := a.Since.columns()
	return a.s.Each(ctx, func(scan func(...any) error) error {
		var account, entry, x, y int64
		var what string
		if err := scan(&account, &entry, &what, &x, &y); err != nil {
			return err
		}
		switch what {
		case "step":
			a.broken("balance equals postings", "account %d: entry %d starts from %d, the entry before it left %d", account, entry, x, y)
		case "fork":
			a.broken("balance equals postings", "account %d: %d entries follow entry %d, entry %d among them", account, y, x, entry)
		case "end":
			a.broken("balance equals postings", "account %d has %d, its postings say %d (after entry %d)", account, x, y, entry)
		case "lost":
			a.broken("balance equals postings", "account %d has %d, its postings say 0: no entry touches it", account, x)
		}
		return nil
	}, sqlCulprits, db.Array(chains), db.Array(numbers), a.from, all)
}
