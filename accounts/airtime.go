package accounts

import (
	"context"
	"fmt"

	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/internal/money"
	"tuma/internal/phone"
	"tuma/internal/text"
)

// TopUp is airtime that the mobile network is to give a number.
type TopUp struct {
	To    phone.Number
	Buyer int64 // customer
}

// QuoteAirtime says what airtime will cost; refusals as in Quote.
func (s *Service) QuoteAirtime(ctx context.Context, payer Customer, to phone.Number, a money.Amount) (Quote, error) {
	q, err := s.Quote(ctx, "airtime", payer, string(to), a)
	q.Payee = to
	return q, err
}

// Airtime buys airtime for a number, the buyer's own or another. The money goes
// to the network's account and the network is asked for the top-up afterwards;
// when it refuses, the money comes back. Refusals as in Price, Brake and of the book;
// the same ref again as in Send.
func (s *Service) Airtime(ctx context.Context, ref string, payer Customer, to phone.Number, a money.Amount) (Done, error) {
	d, err := s.airtime(ctx, ref, payer, to, a, nil)
	return s.OrFirst(ctx, Payment{Ref: ref, Kind: "airtime", From: payer.Wallet, To: string(to), Amount: a}, d, err)
}

// airtime posts it; asked is the approval that it settles, nil when there is none.
func (s *Service) airtime(ctx context.Context, ref string, payer Customer, to phone.Number, a money.Amount, asked *Approval) (Done, error) {
	p, err := s.Price(ctx, "airtime", a, payer.Tier)
	if err != nil {
		return Done{}, err
	}
	settles, err := asked.at(p)
	if err != nil {
		return Done{}, err
	}
	if err := s.Brake(ctx, Outgoing{Ref: ref, Kind: "airtime", Payer: payer, Amount: a}); err != nil {
		return Done{}, err
	}
	notice := "airtime_self"
	if to != payer.Phone {
		notice = "airtime_other"
	}
	r, err := s.Post(ctx, ledger.Entry{
		Ref: ref, Kind: "airtime",
		Postings: s.WithFee(ledger.Posting{Why: ledger.Principal, Debit: payer.Wallet, Credit: s.house.Airtime, Amount: a}, p),
		Memo:     map[string]string{"from": string(payer.Phone), "from_name": payer.Name, "to": string(to)},
		Rider: Rider{
			Owed: []Owed{{Party: "payer", To: payer.Phone, Lang: payer.Lang, Text: notice, Account: payer.Wallet, Holes: text.Holes{
				"amount": s.Money(a), "fee": s.Money(p.Fee), "number": s.country.Phone.National(to)}}},
			TopUp:    &TopUp{To: to, Buyer: payer.ID},
			Approval: settles,
		},
	}, map[ledger.AccountID]Side{payer.Wallet: Payer})
	if err != nil {
		return Done{}, err
	}
	return s.Done(r, payer.Wallet, s.country.Phone.National(to)), nil
}

const sqlOrderAirtime = `
insert into airtime_order (entry, reference, msisdn, amount, currency, buyer, created_at, next_try_at)
select e, reference, msisdn, amount, $5, buyer, $6, $6
from unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $7::bigint[]) as o (e, reference, msisdn, amount, buyer)`

// orderAirtime writes down which top-ups a commit's entries have bought.
func (s *Service) orderAirtime(posted []ledger.Accepted) (ledger.Also, error) {
	var entries, amounts, buyers []int64
	var references, numbers []string
	for _, p := range posted {
		rider, _ := p.Entry.Rider.(Rider)
		if rider.TopUp == nil {
			continue
		}
		entries = append(entries, int64(p.Receipt.ID))
		references = append(references, p.Receipt.Code)
		numbers = append(numbers, string(rider.TopUp.To))
		amounts = append(amounts, int64(principal(p.Receipt)))
		buyers = append(buyers, rider.TopUp.Buyer)
	}
	if len(entries) == 0 {
		return ledger.Also{}, nil
	}
	return ledger.Also{Write: func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, sqlOrderAirtime, db.Array(entries), db.Array(references), db.Array(numbers), db.Array(amounts), s.country.Currency.Code, tx.Now, db.Array(buyers))
		if err != nil {
			return fmt.Errorf("accounts: ordering airtime: %w", err)
		}
		return nil
	}}, nil
}
