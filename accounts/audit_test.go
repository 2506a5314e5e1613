package accounts

import (
	"fmt"
	"testing"

	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/sms/outbox"
)

func TestAuditNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	asha, baraka := w.customer("+254712000001", "Asha Juma", 500*shilling), w.customer("+254712000002", "Baraka Otieno", 0)
	_, err := w.Send(ctx, "send", asha, baraka.Phone, 50*shilling)
	w.must(err)
	_, err = w.Airtime(ctx, "air", asha, baraka.Phone, 50*shilling)
	w.must(err)
	w.proven()
	w.must(w.pool.InTx(ctx, func(tx *db.Tx) error {
		_, err := outbox.Unpack(ctx, tx)
		return err
	}))
	w.proven()
	_, err = w.Send(ctx, "packed", asha, baraka.Phone, 50*shilling)
	w.must(err)
	_, err = w.Send(ctx, "lost", asha, baraka.Phone, 50*shilling)
	w.must(err)
	w.proven() // some unpacked, some not
	w.sql(`delete from owed where id = (select max(id) from owed)`)
	// As it would be if the hooks were forgotten.
	w.must(w.bare(ledger.Entry{Ref: "bare", Kind: "send", Postings: []ledger.Posting{{Why: ledger.Principal, Debit: asha.Wallet, Credit: baraka.Wallet, Amount: 100}}}))
	w.must(w.bare(ledger.Entry{Ref: "bare air", Kind: "airtime", Postings: []ledger.Posting{{Why: ledger.Principal, Debit: asha.Wallet, Credit: w.house.Airtime, Amount: 100}}}))
	w.sql(`update airtime_order set status = 'refunded'`)
	w.sql(`update customer set frozen = true where id = $1`, asha.ID)
	id := func(ref string) (id int64) {
		w.must(w.pool.Get(ctx, &id, `select entry from entry_ref where ref = $1`, ref))
		return id
	}
	want := []string{
		fmt.Sprintf("entry %d (send) has none for its payee", id("lost")),
		fmt.Sprintf("entry %d (send) has none for its payer", id("lost")),
		fmt.Sprintf("entry %d (send) has none for its payee", id("bare")),
		fmt.Sprintf("entry %d (send) has none for its payer", id("bare")),
		fmt.Sprintf("entry %d (airtime) has none for its payer", id("bare air")),
		fmt.Sprintf("entry %d has no order", id("bare air")),
		fmt.Sprintf("the order of entry %d is marked as refunded but the money did not go back", id("air")),
		fmt.Sprintf("customer %d and the wallet disagree", asha.ID),
	}
	breaks, err := Audit(ctx, w.pool)
	w.must(err)
	found := map[string]bool{}
	for _, b := range breaks {
		found[b.What] = true
	}
	for _, x := range want {
		if !found[x] {
			t.Errorf("not found: %s", x)
		}
	}
	if len(breaks) != len(want) {
		t.Errorf("%+v", breaks)
	}
}

// bare posts through a book that has no hooks.
func (w *world) bare(e ledger.Entry) error {
	b, err := ledger.New(w.pool, ledger.Config{Zone: nairobi, ReceiptKey: []byte("a receipt key of tests"), Posters: 1})
	if err != nil {
		return err
	}
	defer b.Close()
	_, err = b.Post(w.t.Context(), e)
	return err
}
