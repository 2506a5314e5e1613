package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"sync"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/internal/text"
)

// torturePoster is the process that is killed: a book of its own that posts what
// it reads from its standard input and answers on its standard output, a line of
// JSON each.
type torturePoster struct{}

// orders is the first line that a poster reads.
type orders struct {
	DatabaseURL string `json:"database_url"`
	ReceiptKey  []byte `json:"receipt_key"`
}

// plea asks for an entry; N goes back with its answer.
type plea struct {
	N       int64        `json:"n"`
	Entry   ledger.Entry `json:"entry"` // without its Rider, which the poster makes
	Account []ledger.AccountID
}

// verdict is what a poster says about a plea; N 0 says that it is ready.
type verdict struct {
	N       int64           `json:"n"`
	Receipt *ledger.Receipt `json:"receipt,omitempty"`
	Refusal *ledger.Refusal `json:"refusal,omitempty"`
	Nothing string          `json:"nothing,omitempty"` // an error that says that nothing happened
	Unknown string          `json:"unknown,omitempty"` // an error that does not
}

// Run posts until its input ends.
func (torturePoster) Run(ctx context.Context) error {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	var o orders
	if !in.Scan() {
		return errors.New("no orders")
	}
	if err := json.Unmarshal(in.Bytes(), &o); err != nil {
		return err
	}
	cfg, err := (&bench{databaseURL: o.DatabaseURL}).config()
	if err != nil {
		return err
	}
	cfg.keys.receipt = o.ReceiptKey
	s, err := cfg.books(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	say := func(v verdict) {
		mu.Lock()
		defer mu.Unlock()
		out.Encode(v) // nobody listens: the input ends, too
	}
	say(verdict{})
	var posting sync.WaitGroup
	for in.Scan() {
		var p plea
		if err := json.Unmarshal(in.Bytes(), &p); err != nil {
			return err
		}
		posting.Go(func() { say(judge(ctx, s, p)) })
	}
	posting.Wait()
	return errors.Join(in.Err(), s.close())
}

// judge posts one entry with the notices that it owes.
func judge(ctx context.Context, s *service, p plea) verdict {
	p.Entry.Rider = tortureRider(s.accounts, p)
	r, err := s.accounts.Book().Post(ctx, p.Entry)
	v := verdict{N: p.N}
	if refusal, ok := errors.AsType[ledger.Refusal](err); ok {
		v.Refusal = &refusal
	} else if errors.Is(err, ledger.ErrUnknown) {
		v.Unknown = err.Error()
	} else if err != nil {
		v.Nothing = err.Error()
	} else {
		v.Receipt = &r
	}
	return v
}

// tortureRider is what a payment and a reversal owe their parties.
func tortureRider(s *accounts.Service, p plea) accounts.Rider {
	owe := func(party, words string, account ledger.AccountID, h text.Holes) accounts.Owed {
		return accounts.Owed{Party: party, To: benchNumber(account), Lang: "en", Text: words, Account: account, Holes: h}
	}
	switch p.Entry.Kind {
	case "send":
		amount := s.Money(p.Entry.Postings[0].Amount)
		return accounts.Rider{Owed: []accounts.Owed{
			owe("payer", "send_payer", p.Account[0], text.Holes{"amount": amount, "fee": "Ksh7.00", "name": "BARAKA OTIENO", "number": "0712000002"}),
			owe("payee", "send_payee", p.Account[1], text.Holes{"amount": amount, "name": "ASHA JUMA", "number": "0712000001"}),
		}}
	case "reversal":
		return accounts.Rider{Owed: []accounts.Owed{
			owe("payer", "airtime_refund", p.Account[0], text.Holes{"first": p.Entry.Memo["reverses"], "amount": "Ksh1.00"}),
		}}
	}
	return accounts.Rider{}
}
