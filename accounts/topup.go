package accounts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/internal/money"
	"tuma/internal/phone"
	"tuma/internal/text"
)

// How orders are tried: the network takes the same reference twice for one
// top-up, so every doubt is settled by asking again.
const (
	topUpPoll    = time.Second
	topUpBatch   = 20
	topUpLease   = 30 * time.Second // of a batch, whose orders are asked for at once: well over one time-out
	topUpTimeout = 10 * time.Second
	topUpBackOff = 5 * time.Minute // at most, between two tries
)

// AirtimeOperator is the mobile network's top-up service: POST of a JSON
// {"reference","msisdn","amount","currency"} with a bearer token. 200 is done,
// 400 and 422 are refused for good, everything else is asked again.
type AirtimeOperator struct {
	URL    string
	Token  string
	Client *http.Client // with a time-out
}

var errTopUpRefused = errors.New("accounts: the network refused the top-up")

func (o AirtimeOperator) topUp(ctx context.Context, reference string, to phone.Number, amount, currency string) (id string, err error) {
	body, err := json.Marshal(map[string]string{"reference": reference, "msisdn": string(to), "amount": amount, "currency": currency})
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, topUpTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.URL, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+o.Token)
	resp, err := o.Client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return "", err
	}
	var a struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	}
	switch {
	case resp.StatusCode == http.StatusBadRequest, resp.StatusCode == http.StatusUnprocessableEntity:
		return "", fmt.Errorf("%w: status %d", errTopUpRefused, resp.StatusCode)
	case resp.StatusCode != http.StatusOK:
		return "", fmt.Errorf("accounts: the network answered %d", resp.StatusCode)
	}
	if err := json.Unmarshal(answer, &a); err != nil || a.Status != "done" {
		return "", fmt.Errorf("accounts: the network's answer is not understood (status %q)", a.Status)
	}
	return a.ID, nil
}

type order struct {
	Entry     int64        `db:"entry"`
	Reference string       `db:"reference"`
	To        phone.Number `db:"msisdn"`
	Amount    int64        `db:"amount"`
	Currency  string       `db:"currency"`
	Buyer     int64        `db:"buyer"`
	Tries     int          `db:"tries"`
}

const (
	sqlLeaseOrders = `
update airtime_order set next_try_at = $1, tries = tries + 1
where entry in (select entry from airtime_order where status = 'pending' and next_try_at <= $2 order by next_try_at limit $3 for update skip locked)
returning entry, reference, msisdn, amount, currency, buyer, tries`
	sqlOrderDone  = `update airtime_order set status = $2, operator_id = $3, error = '' where entry = $1 and status = 'pending'`
	sqlOrderLater = `update airtime_order set next_try_at = $2, error = $3 where entry = $1 and status = 'pending'`
)

// RunTopUps asks the network for the top-ups that were bought until ctx ends.
// Several processes may do so at once.
func (s *Service) RunTopUps(ctx context.Context, o AirtimeOperator) error {
	tick := time.NewTicker(topUpPoll)
	defer tick.Stop()
	for {
		n, err := s.topUps(ctx, o)
		if err != nil && ctx.Err() == nil {
			s.log.Error("airtime orders", "error", err)
		}
		if n == topUpBatch && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *Service) topUps(ctx context.Context, o AirtimeOperator) (int, error) {
	var orders []order
	err := s.pool.InTx(ctx, func(tx *db.Tx) error {
		orders = nil
		return tx.Select(ctx, &orders, sqlLeaseOrders, tx.Now.Add(topUpLease), tx.Now, topUpBatch)
	})
	if err != nil {
		return 0, err
	}
	errs := make([]error, len(orders))
	var all sync.WaitGroup
	for i, w := range orders {
		all.Go(func() { errs[i] = s.serveOrder(ctx, o, w) })
	}
	all.Wait()
	return len(orders), errors.Join(errs...)
}

func (s *Service) serveOrder(ctx context.Context, o AirtimeOperator, w order) error {
	currency, err := money.CurrencyOf(w.Currency)
	if err != nil {
		return err
	}
	id, err := o.topUp(ctx, w.Reference, w.To, currency.Plain(money.Amount(w.Amount)), w.Currency)
	switch {
	case err == nil:
		return s.settle(ctx, sqlOrderDone, w.Entry, "done", id)
	case errors.Is(err, errTopUpRefused):
		s.log.Warn("airtime refused, money goes back", "receipt", w.Reference, "error", err)
		if err := s.refund(ctx, w); err != nil {
			// A full wallet, say: the refund waits until there is room.
			return s.settle(ctx, sqlOrderLater, w.Entry, s.pool.Now().Add(topUpBackOff), err.Error())
		}
		return s.settle(ctx, sqlOrderDone, w.Entry, "refunded", "")
	case ctx.Err() != nil:
		return nil // the lease runs out and the order is tried again
	default:
		s.log.Warn("airtime not delivered yet", "receipt", w.Reference, "try", w.Tries, "error", err)
		pause := min(topUpBackOff, time.Second<<min(w.Tries, 10))
		return s.settle(ctx, sqlOrderLater, w.Entry, s.pool.Now().Add(pause), err.Error())
	}
}

func (s *Service) settle(ctx context.Context, query string, args ...any) error {
	return s.pool.InTx(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, query, args...)
		return err
	})
}

// refund reverses the purchase; its Ref makes it happen once.
func (s *Service) refund(ctx context.Context, w order) error {
	c, err := s.ByID(ctx, w.Buyer)
	if err != nil {
		return err
	}
	bought, err := s.book.ByCode(ctx, w.Reference)
	if err != nil {
		return err
	}
	var paid money.Amount // with the fee, if there was one
	for _, p := range bought.Postings {
		if p.Debit == c.Wallet {
			paid += p.Amount
		}
	}
	_, err = s.Post(ctx, ledger.Entry{
		Ref: "airtime-refund:" + w.Reference, Kind: "reversal", Reverses: ledger.EntryID(w.Entry),
		Memo: map[string]string{"from_name": "Airtime", "to": string(c.Phone), "reverses": w.Reference},
		Rider: Rider{Owed: []Owed{{Party: "payer", To: c.Phone, Lang: c.Lang, Text: "airtime_refund", Account: c.Wallet,
			Holes: text.Holes{"first": w.Reference, "amount": s.Money(paid)}}}},
	}, map[ledger.AccountID]Side{c.Wallet: Payee})
	if r, ok := errors.AsType[ledger.Refusal](err); ok && r.Rule == ledger.ReversedBefore {
		return nil // somebody gave the money back by hand
	}
	return err
}
