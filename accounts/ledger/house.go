package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"tuma/internal/db"
)

// Nearly every entry touches the house's accounts. If each were one row, every
// commit would wait for the one before it. So each is sixteen accounts in a
// row, called by the first one's id; a poster moves the house's money on its own
// stripe, and the balance of the whole is the sum.
const (
	stripes   = 16
	houseEnds = 1000 // ids from here on belong to customers and tills
)

// whole is the name of the account that a stripe is part of; other accounts are
// their own.
func whole(id AccountID) AccountID {
	if id >= houseEnds {
		return id
	}
	return id - id%stripes
}

// stripe is the part of a house account that a poster writes to.
func stripe(id AccountID, lane int) AccountID {
	if id >= houseEnds {
		return id
	}
	return whole(id) + AccountID(lane%stripes)
}

// onLane puts postings on a poster's stripes.
func onLane(postings []Posting, lane int) []Posting {
	striped := make([]Posting, len(postings))
	for i, p := range postings {
		p.Debit, p.Credit = stripe(p.Debit, lane), stripe(p.Credit, lane)
		striped[i] = p
	}
	return striped
}

const (
	sqlHouse    = `select first from house_account where kind = $1 and currency = $2`
	sqlNewHouse = `
with number as (select coalesce(max(first), 0) + 16 as first from house_account),
     opened as (insert into account (id, kind, currency) select first + s, $1, $2 from number, generate_series(0, 15) s returning id)
insert into house_account (kind, currency, first) select $1, $2, min(id) from opened returning first`
)

// House gives the house's account of that kind and currency and opens it the
// first time. The house's accounts have no floor: trust and commission expense
// are negative by nature, the others only ever gain or are settled by staff.
func (b *Book) House(ctx context.Context, k Kind, currency string) (AccountID, error) {
	var id AccountID
	for try := 0; ; try++ {
		err := b.pool.InTx(ctx, func(tx *db.Tx) error {
			err := tx.Get(ctx, &id, sqlHouse, string(k), currency)
			if errors.Is(err, sql.ErrNoRows) {
				err = tx.Get(ctx, &id, sqlNewHouse, string(k), currency)
			}
			return err
		})
		// Another process may open the same or the next account at this moment.
		if err == nil || try == 20 || !(db.Violates(err, "house_has_one_of_a_kind") || db.Violates(err, "account_pkey")) {
			if err != nil {
				err = fmt.Errorf("ledger: house account %s %s: %w", k, currency, err)
			}
			return id, err
		}
	}
}
