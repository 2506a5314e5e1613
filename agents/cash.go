package agents

import (
	"context"
	"errors"
	"fmt"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/internal/money"
	"tuma/internal/phone"
	"tuma/internal/text"
)

// How much of names the notices of cash have room for.
const (
	tillName   = 14
	personName = 15
)

// QuoteDeposit names the customer and prices a deposit. Refusals: frozen (the
// operator), till_closed, not_allowed, out_of_hours, payee_unregistered, payee_frozen, then as
// in accounts.Price, then float_low and payee_full; the book decides again when
// the money moves. Here payee_full is told before the PIN: the cash is on the
// counter.
func (s *Service) QuoteDeposit(ctx context.Context, o Operator, to phone.Number, a money.Amount) (accounts.Quote, error) {
	c, p, err := s.deposit(ctx, o, to, a)
	if err != nil {
		return accounts.Quote{}, err
	}
	float, err := s.accounts.Book().Account(ctx, o.Till.float)
	if err != nil {
		return accounts.Quote{}, err
	}
	q := accounts.Quote{Amount: a, Fee: p.Fee, Total: a + p.Fee, Payee: to, Name: c.Name, Balance: float.Balance}
	if q.Again, err = s.accounts.Earlier(ctx, "deposit", o.Till.float, string(to), a); err != nil {
		return accounts.Quote{}, err
	}
	if float.Balance < q.Total {
		return q, accounts.Refuse("float_low")
	}
	left, err := s.accounts.Left(ctx, c)
	if err != nil {
		return q, err
	}
	if left.ToMax < a {
		return q, accounts.Refuse("payee_full")
	}
	return q, nil
}

func (s *Service) deposit(ctx context.Context, o Operator, to phone.Number, a money.Amount) (accounts.Customer, accounts.Price, error) {
	if err := o.May(ActDeposit); err != nil {
		return accounts.Customer{}, accounts.Price{}, err
	}
	c, err := s.accounts.ByPhone(ctx, to)
	switch {
	case errors.Is(err, accounts.ErrNoCustomer):
		return accounts.Customer{}, accounts.Price{}, accounts.Refuse("payee_unregistered", "number", s.accounts.Country().Phone.National(to))
	case err != nil:
		return accounts.Customer{}, accounts.Price{}, err
	case c.Frozen:
		return accounts.Customer{}, accounts.Price{}, accounts.Refuse("payee_frozen")
	}
	p, err := s.accounts.Price(ctx, "deposit", a, accounts.Tier{})
	return c, p, err
}

// Deposit turns the customer's cash into e-money: out of the till's float into
// the wallet. Done.Balance is the till's float. Refusals as in QuoteDeposit; the
// same ref again as in accounts.Send.
func (s *Service) Deposit(ctx context.Context, ref string, o Operator, to phone.Number, a money.Amount) (accounts.Done, error) {
	d, err := s.takeCash(ctx, ref, o, to, a)
	return s.accounts.OrFirst(ctx, accounts.Payment{Ref: ref, Kind: "deposit", From: o.Till.float, To: string(to), Amount: a}, d, err)
}

func (s *Service) takeCash(ctx context.Context, ref string, o Operator, to phone.Number, a money.Amount) (accounts.Done, error) {
	c, p, err := s.deposit(ctx, o, to, a)
	if err != nil {
		return accounts.Done{}, err
	}
	main := ledger.Posting{Why: ledger.Principal, Debit: o.Till.float, Credit: c.Wallet, Amount: a}
	r, err := s.accounts.Post(ctx, ledger.Entry{
		Ref: ref, Kind: "deposit",
		Postings: s.withCommission(s.accounts.WithFee(main, p), o.Till, p.Commission),
		Memo:     map[string]string{"from": o.Till.Number, "from_name": o.Till.Name, "to": string(to), "to_name": c.Name, "operator": string(o.Phone)},
		Rider: accounts.Rider{Owed: []accounts.Owed{
			{Party: "payee", To: to, Lang: c.Lang, Text: "deposit_payee", Account: c.Wallet, Holes: text.Holes{
				"amount": s.accounts.Money(a), "till": o.Till.Number, "name": accounts.ShortName(o.Till.Name, tillName)}},
			{Party: "till", To: o.Phone, Lang: o.Lang, Text: "deposit_till", Account: o.Till.float, Holes: text.Holes{
				"amount": s.accounts.Money(a), "name": accounts.ShortName(c.Name, personName), "number": s.accounts.Country().Phone.National(to)}},
		}},
	}, map[ledger.AccountID]accounts.Side{o.Till.float: accounts.Till, c.Wallet: accounts.Payee})
	if err != nil {
		return accounts.Done{}, err
	}
	d := s.accounts.Done(r, o.Till.float, c.Name)
	if !d.Again {
		s.warnLowFloat(ctx, o.Till, d.Balance+a, d.Balance)
		s.flagDeposit(ctx, o.Till, c, ref, r)
		s.pace(ctx, o.Till, "till_deposits", ref)
	}
	return d, nil
}

// QuoteWithdraw names the till and prices a withdrawal. Refusals as in Till and
// accounts.Quote.
func (s *Service) QuoteWithdraw(ctx context.Context, c accounts.Customer, till string, a money.Amount) (accounts.Quote, error) {
	t, err := s.Till(ctx, till)
	if err != nil {
		return accounts.Quote{}, err
	}
	q, err := s.accounts.Quote(ctx, "withdraw", c, till, a)
	q.Name = t.Name
	return q, err
}

// Withdraw turns a customer's e-money into the till's float, and the operator
// pays the cash. The customer asked for it, with the till's number. Refusals as
// in Till, accounts.Price, accounts.Brake and of the book; the same ref again as in accounts.Send.
func (s *Service) Withdraw(ctx context.Context, ref string, c accounts.Customer, till string, a money.Amount) (accounts.Done, error) {
	d, err := s.payCash(ctx, ref, c, till, a, nil)
	return s.accounts.OrFirst(ctx, accounts.Payment{Ref: ref, Kind: "withdraw", From: c.Wallet, To: till, Amount: a}, d, err)
}

// payCash posts a withdrawal; asked is the approval that it settles, nil when the
// customer came with the till's number.
func (s *Service) payCash(ctx context.Context, ref string, c accounts.Customer, till string, a money.Amount, asked *accounts.Approval) (accounts.Done, error) {
	t, err := s.Till(ctx, till)
	if err != nil {
		return accounts.Done{}, err
	}
	p, err := s.accounts.Price(ctx, "withdraw", a, c.Tier)
	if err != nil {
		return accounts.Done{}, err
	}
	memo, rider := map[string]string{"from": string(c.Phone), "from_name": c.Name, "to": till, "to_name": t.Name}, accounts.Rider{}
	if asked != nil {
		if err := s.stillAsked(ctx, *asked, p); err != nil {
			return accounts.Done{}, err
		}
		rider.Approval = asked.ID
		if !asked.Own() {
			memo["operator"] = string(asked.AskedBy)
		}
	}
	if err := s.accounts.Brake(ctx, accounts.Outgoing{Ref: ref, Kind: "withdraw", Payer: c, Amount: a}); err != nil {
		return accounts.Done{}, err
	}
	told, err := s.operatorsOf(ctx, till)
	if err != nil {
		return accounts.Done{}, err
	}
	amount, number := s.accounts.Money(a), s.accounts.Country().Phone.National(c.Phone)
	rider.Owed = []accounts.Owed{{Party: "payer", To: c.Phone, Lang: c.Lang, Text: "withdraw_payer", Account: c.Wallet, Holes: text.Holes{
		"amount": amount, "fee": s.accounts.Money(p.Fee), "till": till, "name": accounts.ShortName(t.Name, tillName)}}}
	for _, o := range told {
		rider.Owed = append(rider.Owed, accounts.Owed{Party: "till:" + string(o.MSISDN), To: o.MSISDN, Lang: o.Lang, Text: "withdraw_till", Account: t.float, Holes: text.Holes{
			"amount": amount, "name": accounts.ShortName(c.Name, personName), "number": number}})
	}
	main := ledger.Posting{Why: ledger.Principal, Debit: c.Wallet, Credit: t.float, Amount: a}
	r, err := s.accounts.Post(ctx, ledger.Entry{
		Ref: ref, Kind: "withdraw",
		Postings: s.withCommission(s.accounts.WithFee(main, p), t, p.Commission),
		Memo:     memo,
		Rider:    rider,
	}, map[ledger.AccountID]accounts.Side{c.Wallet: accounts.Payer, t.float: accounts.Till})
	if err != nil {
		return accounts.Done{}, err
	}
	if !r.Again {
		s.flagWithdrawal(ctx, t, c, ref, r)
		s.pace(ctx, t, "till_cash_outs", ref)
	}
	return s.accounts.Done(r, c.Wallet, t.Name), nil
}

type told struct {
	MSISDN phone.Number `db:"msisdn"`
	Lang   string       `db:"lang"`
}

const sqlOperatorsOf = `select msisdn, lang from operator where till = $1 and not frozen and role <> 'auditor' order by id limit 5`

// operatorsOf are those who are told when cash is to be paid out: whoever is at
// the till, since nobody signs in on a feature phone.
func (s *Service) operatorsOf(ctx context.Context, till string) ([]told, error) {
	var o []told
	if err := s.pool.Select(ctx, &o, sqlOperatorsOf, till); err != nil {
		return nil, fmt.Errorf("agents: operators of till %s: %w", till, err)
	}
	return o, nil
}

// RegisterCustomer opens a wallet of the full tier for a person whose ID
// document the operator has seen, or raises the tier of one who registered
// alone with the same document. The customer chooses the PIN on the first dial,
// or keeps the one he has. Refusals: frozen (the operator), till_closed,
// not_allowed, then as in accounts.Register.
func (s *Service) RegisterCustomer(ctx context.Context, ref string, o Operator, r accounts.Registration) (accounts.Customer, error) {
	if err := o.May(ActRegister); err != nil {
		return accounts.Customer{}, err
	}
	r.Ref, r.Tier, r.PIN = ref, accounts.TierFull, ""
	if r.Lang == "" {
		r.Lang = s.accounts.Country().Languages[0]
	}
	c, err := s.accounts.Register(ctx, r)
	if !accounts.Refused(err, "already_registered") {
		return c, err
	}
	known, byPhone := s.accounts.ByPhone(ctx, r.Phone)
	id, bad := s.accounts.CheckID(r.IDNumber)
	if byPhone != nil || bad != nil || known.IDNumber != id || known.Tier.Number >= accounts.TierFull {
		return accounts.Customer{}, err
	}
	if err := s.accounts.Raise(ctx, known, accounts.TierFull); err != nil {
		return accounts.Customer{}, err
	}
	return s.accounts.ByPhone(ctx, r.Phone)
}
