package ledger

import (
	"time"

	"tuma/internal/money"
)

// decide says what an entry does to the accounts, which are locked, and does it
// to them; or says which rule refuses it, and changes nothing. It is the whole
// of the book's judgement and knows no database.
func decide(accounts map[AccountID]*Account, postings []Posting, today time.Time) ([]Posted, *Refusal) {
	if r := decideStanding(accounts, postings); r != nil {
		return nil, r
	}
	posted, undo := apply(accounts, postings, today)
	if r := decideAmounts(accounts, posted); r != nil {
		undo()
		return nil, r
	}
	return posted, nil
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
func apply(accounts map[AccountID]*Account, postings []Posting, today time.Time) ([]Posted, func()) {
	before := map[AccountID]Account{}
	keep := func(a *Account) {
		if _, ok := before[a.ID]; !ok {
			before[a.ID] = *a
		}
	}
	posted := make([]Posted, len(postings))
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
		posted[i] = Posted{Posting: p, DebitAfter: d.Balance, CreditAfter: c.Balance}
	}
	return posted, func() {
		for id, a := range before {
			*accounts[id] = a
		}
	}
}

// decideAmounts applies the rules on amounts to accounts that have the entry
// applied. A floor and a ceiling hold at every posting, not only at the end.
func decideAmounts(accounts map[AccountID]*Account, posted []Posted) *Refusal {
	for _, p := range posted {
		a, floor := accounts[p.Debit], -MaxBalance
		if a.Floor != nil {
			floor = *a.Floor
		}
		if p.DebitAfter < floor {
			return &Refusal{Rule: UnderFloor, Account: a.ID, Room: room(before(posted, a.ID) - floor)}
		}
	}
	for _, p := range posted {
		a := accounts[p.Debit]
		if p.Why == Principal && a.DayLimit != nil && a.DaySpent > *a.DayLimit {
			return &Refusal{Rule: OverDayLimit, Account: a.ID, Room: room(*a.DayLimit - a.DaySpent + principal(posted, a.ID))}
		}
	}
	for _, p := range posted {
		a, ceiling := accounts[p.Credit], MaxBalance
		if a.Ceiling != nil {
			ceiling = *a.Ceiling
		}
		if p.CreditAfter > ceiling {
			return &Refusal{Rule: OverCeiling, Account: a.ID, Room: room(ceiling - before(posted, a.ID))}
		}
	}
	return nil
}

// before is an account's balance before the entry.
func before(posted []Posted, id AccountID) money.Amount {
	for _, p := range posted {
		switch id {
		case p.Debit:
			return p.DebitAfter + p.Amount
		case p.Credit:
			return p.CreditAfter - p.Amount
		}
	}
	return 0
}

func principal(posted []Posted, id AccountID) (sum money.Amount) {
	for _, p := range posted {
		if p.Debit == id && p.Why == Principal {
			sum += p.Amount
		}
	}
	return sum
}

func room(a money.Amount) money.Amount { return max(a, 0) }
