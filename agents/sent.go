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
insert into reversal_request (id, entry, receipt, payer, customer, amount, reason, asked_by, asked_at, approval)
values (nextval('reversal_request_id'), $1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (entry) do nothing`
	sqlAskedBack = `
select id from approval
where customer = $1 and kind = 'hold' and params ->> 'receipt' = $2 and state = 'pending' and expires_at > $3 order by id desc limit 1`
	sqlOneAtATime = `select id from customer where id = $1 for update`
	sqlSentSince  = `select count(*) from reversal_request where payer = $1 and asked_at >= $2`
	sqlGiveBack   = `
update reversal_request set agreed_at = $3, state = 'approved', decided_at = $3, decision = 'the payee agrees'
where id = $1 and customer = $2 and payer is not null and state = 'held' and objected_at is null and agreed_at is null`
)

// AskSentBack asks for money back that the customer has sent, by its receipt,
// within 24 hours and once: asking again gives the request of the first time, and
// completes one that broke off. The caller has checked the PIN. What he has asked
// for by SMS before, in time, is settled by it. Refusals: payer_frozen (his own
// account), checks_spent, no_receipt (it is none of his entries), not_sent (he has
// not sent it), reverse_late, reverses_spent, reverse_empty (the payee has nothing
// left), reverse_stopped (the payee's wallet gives nothing), reverse_done (it was
// decided already).
func (s *Service) AskSentBack(ctx context.Context, c accounts.Customer, code string) (Reversal, error) {
	made, payee, err := s.sent(ctx, c, code)
	if err != nil {
		return Reversal{}, err
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		var id int64
		if err := tx.Get(ctx, &id, sqlOneAtATime, c.ID); err != nil {
			return err
		}
		var approval sql.NullInt64
		if err := tx.Get(ctx, &approval, sqlAskedBack, c.ID, made.Code, tx.Now); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		first, err := s.mayAskBack(ctx, tx, c, made, approval.Valid)
		if err != nil || first.ID != 0 {
			return err
		}
		n, err := tx.Exec(ctx, sqlNewSent, int64(made.ID), made.Code, c.ID, payee.ID, int64(made.Postings[0].Amount), "sent to a wrong number", string(c.Phone), tx.Now, approval)
		if err != nil || n == 0 {
			return err
		}
		return s.Log(ctx, tx, LogEntry{Actor: customerSubject(c.ID), Action: "sent_back_ask", Subject: "receipt:" + made.Code, After: s.accounts.Money(made.Postings[0].Amount)})
	})
	if err != nil {
		return Reversal{}, fmt.Errorf("agents: asking for %s back: %w", made.Code, err)
	}
	v, err := s.hold(ctx, sentClaim(s, made, c, payee), made, payee)
	switch {
	case errors.Is(err, ErrNothingLeft):
		return v, accounts.Refuse("reverse_empty")
	case accounts.Refused(err, "payer_frozen"), accounts.Refused(err, "payer_blocked"): // it is the payee who cannot pay
		return v, accounts.Refuse("reverse_stopped")
	case err == nil && v.State != "held":
		return v, accounts.Refuse("reverse_done")
	}
	return v, err
}

// AskOwnBack asks the customer to confirm with the PIN that he wants sent money
// back, as he has said by a channel that proves nothing: holding it is moving it.
// held is not nil when that is done already. Refusals as in AskSentBack, of what
// can be known without touching the payee's wallet; the same ref again as in
// accounts.Ask.
func (s *Service) AskOwnBack(ctx context.Context, ref string, c accounts.Customer, code string) (a accounts.Approval, held *Reversal, err error) {
	made, payee, err := s.sent(ctx, c, code)
	if err != nil {
		return a, nil, err
	}
	var first Reversal
	err = s.pool.InTx(ctx, func(tx *db.Tx) (err error) {
		first, err = s.mayAskBack(ctx, tx, c, made, false)
		return err
	})
	switch {
	case err != nil:
		return a, nil, fmt.Errorf("agents: asking for %s back: %w", made.Code, err)
	case first.State == "held":
		return a, &first, nil
	case first.State == "empty":
		return a, nil, accounts.Refuse("reverse_empty")
	case first.ID != 0 && first.State != "asked":
		return a, nil, accounts.Refuse("reverse_done")
	}
	a, err = s.accounts.Ask(ctx, accounts.Ask{
		Ref: ref, Kind: "hold", Customer: c, AskerName: payee.Name, AskedBy: c.Phone, Amount: made.Postings[0].Amount,
		Params: map[string]string{"to": string(payee.Phone), "receipt": made.Code},
	})
	return a, nil, err
}

// sent is an entry by which the customer has sent money to another.
func (s *Service) sent(ctx context.Context, c accounts.Customer, code string) (made ledger.Receipt, payee accounts.Customer, err error) {
	if c.Frozen {
		return made, payee, accounts.Refuse("payer_frozen")
	}
	line, err := s.accounts.CheckReceipt(ctx, c, code)
	if err != nil {
		return made, payee, err
	}
	made, err = s.accounts.Book().ByCode(ctx, line.Code)
	switch {
	case err != nil:
		return made, payee, err
	case made.Kind != "send" || len(made.Postings) == 0 || made.Postings[0].Debit != c.Wallet:
		return made, payee, accounts.Refuse("not_sent")
	}
	payee, err = s.accounts.ByWallet(ctx, made.Postings[0].Credit)
	return made, payee, err
}

// mayAskBack gives the request of the first time, or tells whether there may be
// one; asked says that the customer has asked for it in time.
func (s *Service) mayAskBack(ctx context.Context, tx *db.Tx, c accounts.Customer, made ledger.Receipt, asked bool) (first Reversal, err error) {
	if err := tx.Get(ctx, &first, sqlReversalOf, int64(made.ID)); !errors.Is(err, sql.ErrNoRows) {
		return first, err
	}
	if !asked && tx.Now.Sub(made.At) > reversalWindow {
		return first, accounts.Refuse("reverse_late")
	}
	day := tx.Now.In(s.accounts.Country().Zone)
	n, month := 0, time.Date(day.Year(), day.Month(), 1, 0, 0, 0, 0, day.Location())
	if err := tx.Get(ctx, &n, sqlSentSince, c.ID, month); err != nil {
		return first, err
	}
	if n >= sentPerMonth {
		return first, accounts.Refuse("reverses_spent")
	}
	return first, nil
}

// settleSentBack holds what was asked for by SMS and confirmed with the PIN. The
// hold itself settles the approval.
func (s *Service) settleSentBack(ctx context.Context, c accounts.Customer, a accounts.Approval) (accounts.Done, error) {
	v, err := s.AskSentBack(ctx, c, a.Params["receipt"])
	return accounts.Done{Code: v.Receipt, Amount: v.Held, Name: a.AskerName}, err
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
