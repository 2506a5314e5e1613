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
	"tuma/internal/text"
)

// Money that a customer has sent to a wrong number. What is still there of it is
// held; the payee is told and says whose it is; who says that it is not his has it
// go back at once, and otherwise a checker decides.

// sentPerMonth is how often a customer may ask for money back in a month: slips of
// the thumb are rare, and each request ties up what is somebody else's.
const sentPerMonth = 3

const (
	sqlNewSent = `
insert into reversal_request (id, entry, receipt, payer, customer, amount, reason, asked_by, asked_at)
values (nextval('reversal_request_id'), $1, $2, $3, $4, $5, $6, $7, $8) on conflict (entry) do nothing`
	sqlOneAtATime = `select id from customer where id = $1 for update`
	sqlSentSince  = `select count(*) from reversal_request where payer = $1 and asked_at >= $2`
	sqlGiveBack   = `
update reversal_request set agreed_at = $3, state = 'approved', decided_at = $3, decision = 'the payee agrees'
where id = $1 and customer = $2 and payer is not null and state = 'held' and objected_at is null and agreed_at is null`
)

// AskSentBack asks for money back that the customer has sent, by its receipt,
// within 24 hours and once: asking again gives the request of the first time, and
// completes one that broke off; fresh tells the first. Refusals: payer_frozen (his own account),
// checks_spent, no_receipt (it is none of his entries), not_sent (he has not sent
// it), reverse_late, reverses_spent, reverse_empty (the payee has nothing left).
func (s *Service) AskSentBack(ctx context.Context, c accounts.Customer, code string) (v Reversal, fresh bool, err error) {
	if c.Frozen {
		return Reversal{}, false, accounts.Refuse("payer_frozen")
	}
	line, err := s.accounts.CheckReceipt(ctx, c, code)
	if err != nil {
		return Reversal{}, false, err
	}
	made, err := s.accounts.Book().ByCode(ctx, line.Code)
	switch {
	case err != nil:
		return Reversal{}, false, err
	case made.Kind != "send" || len(made.Postings) == 0 || made.Postings[0].Debit != c.Wallet:
		return Reversal{}, false, accounts.Refuse("not_sent")
	}
	payee, err := s.accounts.ByWallet(ctx, made.Postings[0].Credit)
	if err != nil {
		return Reversal{}, false, err
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		fresh = false
		var id int64
		if err := tx.Get(ctx, &id, sqlOneAtATime, c.ID); err != nil {
			return err
		}
		var first Reversal
		if err := tx.Get(ctx, &first, sqlReversalOf, int64(made.ID)); !errors.Is(err, sql.ErrNoRows) {
			return err // nil: it was asked before
		}
		if tx.Now.Sub(made.At) > reversalWindow {
			return accounts.Refuse("reverse_late")
		}
		day := tx.Now.In(s.accounts.Country().Zone)
		n, month := 0, time.Date(day.Year(), day.Month(), 1, 0, 0, 0, 0, day.Location())
		if err := tx.Get(ctx, &n, sqlSentSince, c.ID, month); err != nil {
			return err
		}
		if n >= sentPerMonth {
			return accounts.Refuse("reverses_spent")
		}
		rows, err := tx.Exec(ctx, sqlNewSent, int64(made.ID), made.Code, c.ID, payee.ID, int64(made.Postings[0].Amount), "sent to a wrong number", string(c.Phone), tx.Now)
		if fresh = rows == 1; err != nil || !fresh {
			return err
		}
		return s.Log(ctx, tx, LogEntry{Actor: customerSubject(c.ID), Action: "sent_back_ask", Subject: "receipt:" + made.Code, After: s.accounts.Money(made.Postings[0].Amount)})
	})
	if err != nil {
		return Reversal{}, false, fmt.Errorf("agents: asking for %s back: %w", made.Code, err)
	}
	v, err = s.hold(ctx, sentClaim(s, made, c, payee), made, payee)
	if errors.Is(err, ErrNothingLeft) {
		err = accounts.Refuse("reverse_empty")
	}
	return v, fresh, err
}

// sentClaim is what the hold of sent money says, and to whom.
func sentClaim(s *Service, made ledger.Receipt, payer, payee accounts.Customer) claim {
	national := s.accounts.Country().Phone.National
	return claim{to: string(payer.Phone), owed: func(held string) []accounts.Owed {
		return []accounts.Owed{
			{Party: "payer", To: payee.Phone, Lang: payee.Lang, Text: "sent_disputed", Account: payee.Wallet, Holes: text.Holes{
				"amount": held, "number": national(payer.Phone), "first": made.Code}},
			{Party: "asker", To: payer.Phone, Lang: payer.Lang, Text: "sent_held", Holes: text.Holes{
				"amount": held, "name": accounts.ShortName(payee.Name, personName), "first": made.Code}},
		}
	}}
}

// giveBack is the payee's word that the money is not his: it goes back at once.
// What the book refuses (a frozen payer, say) a checker completes.
func (s *Service) giveBack(ctx context.Context, c accounts.Customer, v Reversal) error {
	err := s.pool.InTx(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(ctx, sqlGiveBack, v.ID, c.ID, tx.Now)
		if err != nil {
			return err
		}
		if n == 1 {
			return s.Log(ctx, tx, LogEntry{Actor: customerSubject(c.ID), Action: "reversal_agree", Subject: reversalSubject(v.ID)})
		}
		var now Reversal
		if err := tx.Get(ctx, &now, sqlReversalByID, v.ID); err != nil {
			return err
		}
		if now.State != "approved" || !now.Agreed.Valid {
			return ErrNoReversal
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.settled(ctx, v, Till{}, true)
}

// settleSent completes the entry that ends a hold of sent money: e gives it to the
// payee c; approved, it goes to the payer.
func (s *Service) settleSent(ctx context.Context, made ledger.Receipt, e ledger.Entry, c accounts.Customer, h text.Holes, approve bool) (ledger.Receipt, error) {
	payer, err := s.accounts.ByWallet(ctx, made.Postings[0].Debit)
	if err != nil {
		return ledger.Receipt{}, err
	}
	h["number"] = s.accounts.Country().Phone.National(payer.Phone)
	payee := accounts.Owed{Party: "payee", To: c.Phone, Lang: c.Lang, Text: "sent_kept", Account: c.Wallet, Holes: h}
	asker := accounts.Owed{Party: "asker", To: payer.Phone, Lang: payer.Lang, Text: "sent_refused", Holes: h}
	sides := map[ledger.AccountID]accounts.Side{c.Wallet: accounts.Payee}
	if approve {
		payee.Party, payee.Text = "payer", "sent_taken"
		asker.Text, asker.Account = "sent_back", payer.Wallet
		e.Kind, e.Postings[0].Credit = "undo", payer.Wallet
		e.Memo["from"], e.Memo["from_name"], e.Memo["to"], e.Memo["to_name"] = string(c.Phone), c.Name, string(payer.Phone), payer.Name
		sides = map[ledger.AccountID]accounts.Side{payer.Wallet: accounts.Payee}
	}
	e.Rider = accounts.Rider{Owed: []accounts.Owed{payee, asker}}
	return s.accounts.Post(ctx, e, sides)
}
