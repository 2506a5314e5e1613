package ledger

import (
	"cmp"
	"slices"
	"time"

	"tuma/internal/money"
)

// posted is a posting with the two balances after it.
type posted struct {
	Posting
	DebitAfter, CreditAfter money.Amount
}

// decide says what an entry does to the accounts and does it to them; or says
// which rule refuses it, and changes nothing. It is the whole of the book's
// judgement and knows no database.
func decide(accounts map[AccountID]*Account, postings []Posting, today time.Time) ([]After, *Refusal) {
	if r := decideStanding(accounts, postings); r != nil {
		return nil, r
	}
	done, undo := apply(accounts, postings, today)
	if r := decideAmounts(accounts, done); r != nil {
		undo()
		return nil, r
	}
	return afters(accounts, postings), nil
}

// afters are the balances of the customers' and tills' accounts of an entry.
func afters(accounts map[AccountID]*Account, postings []Posting) []After {
	a := make([]After, 0, 3)
	note := func(id AccountID) {
		if id < houseEnds {
			return
		}
		i, found := slices.BinarySearchFunc(a, id, func(x After, id AccountID) int { return cmp.Compare(x.Account, id) })
		if !found {
			a = slices.Insert(a, i, After{id, accounts[id].Balance})
		}
	}
	for _, p := range postings {
		note(p.Debit)
		note(p.Credit)
	}
	return a
}

// decideStanding applies the rules that do not depend on amounts.
func decideStanding(accounts map[AccountID]*Account, postings []Posting) *Refusal {
	for _, p := range postings {
		for _, id := range []AccountID{p.Debit, p.Credit} {
			if accounts[id] == nil {
				return &Refusal{Rule: NoSuchAccount, Account: id}
			}
		}
	}
	for _, p := range postings {
		if accounts[p.Debit].Currency != accounts[p.Credit].Currency {
			return &Refusal{Rule: OtherCurrency, Account: p.Credit}
		}
	}
	for _, p := range postings {
		if accounts[p.Debit].Status == Frozen {
			return &Refusal{Rule: DebitFrozen, Account: p.Debit}
		}
	}
	for _, p := range postings {
		if accounts[p.Debit].Status == DebitsBlocked {
			return &Refusal{Rule: DebitBlocked, Account: p.Debit}
		}
	}
	for _, p := range postings {
		if accounts[p.Credit].Status == Frozen {
			return &Refusal{Rule: CreditFrozen, Account: p.Credit}
		}
	}
	return nil
}

// apply moves the amounts and gives a way back.
func apply(accounts map[AccountID]*Account, postings []Posting, today time.Time) ([]posted, func()) {
	before := make([]Account, 0, 8)
	keep := func(a *Account) {
		for i := range before {
			if before[i].ID == a.ID {
				return
			}
		}
		before = append(before, *a)
	}
	done := make([]posted, len(postings))
	for i, p := range postings {
		d, c := accounts[p.Debit], accounts[p.Credit]
		keep(d)
		keep(c)
		d.Balance -= p.Amount
		c.Balance += p.Amount
		if p.Why == Principal {
			d.DaySpent = d.SpentOn(today) + p.Amount
			if d.Day.Before(today) {
				d.Day = today
			}
		}
		done[i] = posted{Posting: p, DebitAfter: d.Balance, CreditAfter: c.Balance}
	}
	return done, func() {
		for _, a := range before {
			*accounts[a.ID] = a
		}
	}
}

// decideAmounts applies the rules on amounts to accounts that have the entry
// applied. A floor and a ceiling hold at every posting, not only at the end.
func decideAmounts(accounts map[AccountID]*Account, done []posted) *Refusal {
	for _, p := range done {
		a, floor := accounts[p.Debit], -MaxBalance
		if a.Floor != nil {
			floor = *a.Floor
		}
		if p.DebitAfter < floor {
			return &Refusal{Rule: UnderFloor, Account: a.ID, Room: room(before(done, a.ID) - floor)}
		}
	}
	for _, p := range done {
		a := accounts[p.Debit]
		if p.Why == Principal && a.DayLimit != nil && a.DaySpent > *a.DayLimit {
			return &Refusal{Rule: OverDayLimit, Account: a.ID, Room: room(*a.DayLimit - a.DaySpent + principal(done, a.ID))}
		}
	}
	for _, p := range done {
		a, ceiling := accounts[p.Credit], MaxBalance
		if a.Ceiling != nil {
			ceiling = *a.Ceiling
		}
		if p.CreditAfter > ceiling {
			return &Refusal{Rule: OverCeiling, Account: a.ID, Room: room(ceiling - before(done, a.ID))}
		}
	}
	return nil
}

// before is an account's balance before the entry.
func before(done []posted, id AccountID) money.Amount {
	for _, p := range done {
		switch id {
		case p.Debit:
			return p.DebitAfter + p.Amount
		case p.Credit:
			return p.CreditAfter - p.Amount
		}
	}
	return 0
}

func principal(done []posted, id AccountID) (sum money.Amount) {
	for _, p := range done {
		if p.Debit == id && p.Why == Principal {
			sum += p.Amount
		}
	}
	return sum
}

func room(a money.Amount) money.Amount { return max(a, 0) }
