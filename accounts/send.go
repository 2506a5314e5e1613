package accounts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/internal/money"
	"tuma/internal/phone"
	"tuma/internal/text"
	"tuma/sms/outbox"
)

// Quote is what a payment will do, for showing before the PIN.
type Quote struct {
	Amount, Fee, Total money.Amount
	Payee              phone.Number
	Name               string // of the payee or the till
	Balance            money.Amount
	Again              *Earlier // the same payment of a moment ago
}

// Done is a payment that stands in the book.
type Done struct {
	Code                 string
	At                   time.Time
	Amount, Fee, Balance money.Amount // Balance after the entry: the customer's, or the float of the till that asked
	Name                 string
	Again                bool // this ref had been posted before
}

// LookUp gives the name of a payee. Refusals: self, payee_unregistered (the
// number is owed an invitation, once a day), payee_frozen.
func (s *Service) LookUp(ctx context.Context, payer Customer, payee phone.Number) (string, error) {
	c, err := s.payee(ctx, payer, payee)
	if Refused(err, "payee_unregistered") {
		if err := s.invite(ctx, payer, payee); err != nil {
			return "", err
		}
	}
	return c.Name, err
}

func (s *Service) payee(ctx context.Context, payer Customer, payee phone.Number) (Customer, error) {
	if payee == payer.Phone {
		return Customer{}, Refuse("self")
	}
	if payer.beside != nil && payer.beside.Phone == payee {
		return notFrozen(*payer.beside)
	}
	c, err := s.ByPhone(ctx, payee)
	switch {
	case errors.Is(err, ErrNoCustomer):
		return Customer{}, Refuse("payee_unregistered", "number", s.country.Phone.National(payee))
	case err != nil:
		return Customer{}, err
	}
	return notFrozen(c)
}

func notFrozen(payee Customer) (Customer, error) {
	if payee.Frozen {
		return Customer{}, Refuse("payee_frozen")
	}
	return payee, nil
}

func (s *Service) invite(ctx context.Context, payer Customer, to phone.Number) error {
	return s.pool.InTx(ctx, func(tx *db.Tx) error {
		key := fmt.Sprintf("invitation:%s:%s", to, s.book.Day(tx.Now).Format(time.DateOnly))
		h := text.Holes{"name": ShortName(payer.Name, noticeName), "number": s.country.Phone.National(payer.Phone)}
		return s.notify(ctx, tx, key, to, s.country.Languages[0], "invitation", h, outbox.Rest)
	})
}

// QuoteSend says what sending will cost. Refusals as in LookUp (but nobody is
// invited), then as in Quote. Only the book says payee_full, when the money
// moves: a quote must not tell for nothing how full somebody's wallet is.
func (s *Service) QuoteSend(ctx context.Context, payer Customer, payee phone.Number, a money.Amount) (Quote, error) {
	c, err := s.payee(ctx, payer, payee)
	if err != nil {
		return Quote{}, err
	}
	q, err := s.Quote(ctx, "send", payer, string(payee), a)
	q.Payee, q.Name = payee, c.Name
	return q, err
}

// Quote prices an entry that debits a customer; other is the payee's number or
// the till's, as the entry's memo will have it. Refusals as in Price, then
// payer_frozen, payer_blocked, insufficient (hole balance), over_day (hole left);
// the book decides again, in the same order, when the money moves. Again is set
// beside those from payer_frozen on, too.
func (s *Service) Quote(ctx context.Context, kind string, payer Customer, other string, a money.Amount) (Quote, error) {
	p, err := s.Price(ctx, kind, a, payer.Tier)
	if err != nil {
		return Quote{}, err
	}
	account, err := s.book.Account(ctx, payer.Wallet)
	if err != nil {
		return Quote{}, err
	}
	q := Quote{Amount: a, Fee: p.Fee, Total: a + p.Fee, Balance: account.Balance}
	// Also beside a refusal: whoever can no longer afford the second payment
	// should hear of the first.
	if q.Again, err = s.Earlier(ctx, kind, payer.Wallet, other, a); err != nil {
		return Quote{}, err
	}
	switch {
	case account.Status == ledger.Frozen:
		return q, Refuse("payer_frozen")
	case account.Status == ledger.DebitsBlocked:
		return q, Refuse("payer_blocked")
	case account.Balance < q.Total:
		return q, Refuse("insufficient", "balance", s.Money(account.Balance))
	case account.DayLimit != nil && account.SpentOn(s.day())+a > *account.DayLimit:
		return q, Refuse("over_day", "left", s.Money(max(0, *account.DayLimit-account.SpentOn(s.day()))))
	}
	return q, nil
}

// Send moves money from one customer to another. The refusals are those of
// LookUp (but nobody is invited), of Price, of Brake and of the book, in this order: the
// last are payer_frozen, payer_blocked, payee_frozen, insufficient, over_day,
// payee_full, busy. ErrPending is in the chain when the outcome is not known.
// The same ref again gives the first answer, marked Again.
func (s *Service) Send(ctx context.Context, ref string, payer Customer, payee phone.Number, a money.Amount) (Done, error) {
	d, err := s.send(ctx, ref, payer, payee, a, nil)
	return s.OrFirst(ctx, Payment{Ref: ref, Kind: "send", From: payer.Wallet, To: string(payee), Amount: a}, d, err)
}

// send posts it; asked is the approval that it settles, nil when there is none.
func (s *Service) send(ctx context.Context, ref string, payer Customer, payee phone.Number, a money.Amount, asked *Approval) (Done, error) {
	c, err := s.payee(ctx, payer, payee)
	if err != nil {
		return Done{}, err
	}
	p, err := s.Price(ctx, "send", a, payer.Tier)
	if err != nil {
		return Done{}, err
	}
	settles, err := asked.at(p)
	if err != nil {
		return Done{}, err
	}
	if err := s.Brake(ctx, Outgoing{Ref: ref, Kind: "send", Payer: payer, Payee: c.Wallet, Amount: a}); err != nil {
		return Done{}, err
	}
	national := s.country.Phone.National
	r, err := s.Post(ctx, ledger.Entry{
		Ref: ref, Kind: "send",
		Postings: s.WithFee(ledger.Posting{Why: ledger.Principal, Debit: payer.Wallet, Credit: c.Wallet, Amount: a}, p),
		Memo:     map[string]string{"from": string(payer.Phone), "from_name": payer.Name, "to": string(payee), "to_name": c.Name},
		Rider: Rider{Approval: settles, Owed: []Owed{
			{Party: "payer", To: payer.Phone, Lang: payer.Lang, Text: "send_payer", Account: payer.Wallet, Holes: text.Holes{
				"amount": s.Money(a), "fee": s.Money(p.Fee), "name": ShortName(c.Name, noticeName), "number": national(payee)}},
			{Party: "payee", To: payee, Lang: c.Lang, Text: "send_payee", Account: c.Wallet, Holes: text.Holes{
				"amount": s.Money(a), "name": ShortName(payer.Name, noticeName), "number": national(payer.Phone)}},
		}},
	}, map[ledger.AccountID]Side{payer.Wallet: Payer, c.Wallet: Payee})
	if err != nil {
		return Done{}, err
	}
	return s.Done(r, payer.Wallet, c.Name), nil
}

// WithFee adds to a posting what its price says: the fee out of the debited
// account, the tax out of the fee.
func (s *Service) WithFee(main ledger.Posting, p Price) []ledger.Posting {
	postings := []ledger.Posting{main}
	if p.Fee > 0 {
		postings = append(postings, ledger.Posting{Why: ledger.Fee, Debit: main.Debit, Credit: s.house.Fees, Amount: p.Fee})
	}
	if p.Tax > 0 {
		postings = append(postings, ledger.Posting{Why: ledger.Tax, Debit: s.house.Fees, Credit: s.house.Tax, Amount: p.Tax})
	}
	return postings
}

// Done tells an entry from the side of one account.
func (s *Service) Done(r ledger.Receipt, account ledger.AccountID, name string) Done {
	d := Done{Code: r.Code, At: r.At, Amount: principal(r), Name: name, Again: r.Again}
	d.Balance, _ = r.After(account)
	for _, p := range r.Postings {
		if p.Why == ledger.Fee {
			d.Fee += p.Amount
		}
	}
	return d
}

func principal(r ledger.Receipt) (sum money.Amount) {
	for _, p := range r.Postings {
		if p.Why == ledger.Principal {
			sum += p.Amount
		}
	}
	return sum
}
