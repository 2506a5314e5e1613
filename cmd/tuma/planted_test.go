package main

import (
	"strings"
	"testing"

	"tuma/internal/phone"
	"tuma/internal/text"
)

// TestPlantedFaults shows that the checks behind TestBank can fail: each fault
// is put into the books, the phones or the callers' own history, and found.
func TestPlantedFaults(all *testing.T) {
	all.Parallel()
	const asha, baraka = "+254712000001", "+254712000002"
	sql := func(query string) func(*testing.T, *bank, *history) {
		return func(t *testing.T, b *bank, _ *history) {
			if _, err := b.super.Exec(query); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Faults of the history alone leave the bank as it was for the next.
	var shared *bank
	var paid sight
	for _, c := range []struct {
		name  string
		plant func(t *testing.T, b *bank, h *history)
		want  string
	}{
		{"nothing", func(*testing.T, *bank, *history) {}, ""},
		{"a confirmed payment is lost", func(_ *testing.T, _ *bank, h *history) {
			h.begin(attempt{session: "s9", number: asha, deal: h.attempts[0].deal, outcome: ok, code: "UKMXXXXXXX"})
		}, "lost: UKMXXXXXXX"},
		{"a payment was told the receipt of another", func(_ *testing.T, _ *bank, h *history) {
			h.begin(attempt{session: "s9", number: asha, deal: h.attempts[0].deal, outcome: ok, code: h.attempts[0].code})
		}, "which is ussd:at:s1:pay"},
		{"a receipt on a screen is of no entry", func(_ *testing.T, _ *bank, h *history) {
			h.show("s9", sight{Screen: "send_again", Holes: text.Holes{"code": "UKMYYYYYYY"}})
		}, "lost: UKMYYYYYYY was shown (session s9, screen send_again)"},
		{"a refused payment was made", func(_ *testing.T, _ *bank, h *history) { h.attempts[0].outcome = refused }, "phantom: UKM"},
		{"another amount", func(_ *testing.T, _ *bank, h *history) { h.attempts[0].amount++ }, "wrong: told UKM"},
		{"an unknown one that does not fit", func(_ *testing.T, _ *bank, h *history) {
			h.attempts[0].outcome = unknown
			h.attempts[0].to = "+254712000003"
		}, "phantom: UKM"},
		{"paid twice, in good order", func(t *testing.T, b *bank, _ *history) {
			c, err := b.service.accounts.ByPhone(t.Context(), asha)
			b.must(err)
			_, err = b.service.accounts.Send(t.Context(), "ussd:at:s1:again", c, phone.Number(baraka), 100_00)
			b.must(err)
		}, "doubled: session s1 has 2 entries"},
		{"paid without anybody asking", func(t *testing.T, b *bank, _ *history) {
			c, err := b.service.accounts.ByPhone(t.Context(), asha)
			b.must(err)
			_, err = b.service.accounts.Send(t.Context(), "ussd:at:s7:pay", c, phone.Number(baraka), 100_00)
			b.must(err)
		}, "phantom: nobody confirmed ussd:at:s7:pay"},
		{"a balance", sql(`update account set balance = balance + 1 where id = (select wallet from customer order by id limit 1)`), "audit: balance equals postings"},
		{"a changed posting", sql(`update entry set amounts[1] = amounts[1] + 1 where kind = 'send'`), "audit: entry is as it was written"},
		{"a notice that was never written", sql(`delete from notice where key like '%:payee' and id = (select max(id) from notice where key like '%:payee')`), "audit: parties are owed notices"},
		{"a lot of notices that is lost", func(t *testing.T, b *bank, _ *history) {
			keep := b.keepPacked()
			defer keep.Rollback()
			c, err := b.service.accounts.ByPhone(t.Context(), asha)
			b.must(err)
			_, err = b.service.accounts.Send(t.Context(), "ussd:at:s8:pay", c, phone.Number(baraka), 100_00)
			b.must(err)
			_, err = b.super.Exec(`delete from owed`)
			b.must(err)
		}, "audit: parties are owed notices"},
		{"an SMS twice", func(_ *testing.T, b *bank, _ *history) {
			inbox, err := b.network.Inbox(baraka)
			b.must(err)
			b.must(b.network.Deliver(inbox[len(inbox)-1]))
		}, "-1 too few, as SMS: " + baraka},
		{"an SMS never", sql(`update notice set to_msisdn = '` + asha + `' where key like '%:payee' and id = (select max(id) from notice where key like '%:payee')`), "1 too few, as SMS: " + asha},
	} {
		all.Run(c.name, func(t *testing.T) {
			if shared == nil {
				shared = startBank(all)
				if paid = shared.key("s1", asha, "1*0712000002*500*"+demoPIN); paid.Screen != "send_done" {
					t.Fatalf("not paid: %+v", paid)
				}
			}
			b, h := shared, &history{}
			h.begin(attempt{session: "s1", number: asha, deal: deal{kind: "send", from: asha, to: baraka, amount: 500_00, fee: 7_00}, outcome: ok, code: paid.Holes["code"]})
			b.settled()
			before := b.books()
			c.plant(t, b, h)
			if b.books() != before || strings.Contains(c.name, "SMS") || strings.Contains(c.name, "notice") {
				shared = nil
			}
			got := strings.Join(b.problems(h), "\n")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("found:\n%s\nwant %q", got, c.want)
			}
		})
	}
}
