package accounts

import (
	"context"

	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/sms/outbox"
)

// What the agents' network needs of customers beside the verbs.

// ByWallet finds the customer with a wallet, ErrNoCustomer when there is none.
func (s *Service) ByWallet(ctx context.Context, wallet ledger.AccountID) (Customer, error) {
	return s.customer(ctx, sqlCustomer+` where c.wallet = $1`, int64(wallet))
}

// Tell owes one notice outside an entry; the key decides whether it is owed
// already. Its holes date and time are the transaction's.
func (s *Service) Tell(ctx context.Context, tx *db.Tx, key string, o Owed) error {
	h := s.stamp(tx.Now)
	for hole, value := range o.Holes {
		h[hole] = value
	}
	return s.notify(ctx, tx, key, o.To, o.Lang, o.Text, h, outbox.Receipt)
}
