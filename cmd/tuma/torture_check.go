package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/internal/money"
)

// check lets everything come to rest, settles what is unknown, and compares
// the whole book with what the callers know.
func (t *torture) check(ctx context.Context) error {
	t.calling.Lock()
	defer t.calling.Unlock()
	t.harming.Lock()
	defer t.harming.Unlock()
	t.cutter.calm()
	t.settle(ctx)
	pool, err := t.admin(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	if t.isPlanted() {
		if err := t.plant(ctx, pool); err != nil {
			return err
		}
	}
	if err := t.compare(ctx, pool); err != nil {
		return err
	}
	p, err := ledger.Audit(ctx, pool, ledger.AuditOptions{})
	if err != nil {
		return err
	}
	owed, err := accounts.Audit(ctx, pool)
	if err != nil {
		return err
	}
	for _, b := range append(p.Breaks, owed...) {
		t.found("audit: %s: %s", b.Check, b.What)
	}
	t.checks++
	return nil
}

// admin reaches the server without the proxy, as the owner of the database. A
// server that restarts after a killed backend needs a moment.
func (t *torture) admin(ctx context.Context) (pool *db.Pool, err error) {
	for range 100 {
		if pool, err = db.Open(ctx, db.Options{URL: t.server.url(), Role: tortureOwner, App: "tuma torture", MaxConns: 2}); err == nil {
			return pool, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil, err
}

const tortureOwner = "tuma"

const (
	sqlTortureEntries = `
select coalesce(r.ref, ''), e.id, e.at, e.kind, e.memo, e.whys, e.debits, e.credits, e.amounts, coalesce(v.reverses, 0), e.accounts, e.afters
from entry e
left join entry_ref r on r.entry = e.id
left join reversal v on v.entry = e.id`
	sqlTortureBalances = `select id, balance from account`
	sqlTortureNotices  = `
select n.key, n.body, coalesce(r.ref, '') from every_notice n left join entry_ref r on r.entry = split_part(n.key, ':', 1)::bigint`
)

// bookEntry is an entry as the book has it.
type bookEntry struct {
	ref, kind, memo string
	id, reverses    int64
	at              time.Time
	whys            string
	debits, credits db.Int64s
	amounts         db.Int64s
	touched, afters db.Int64s
}

func (b *bookEntry) postings() []ledger.Posting {
	p := make([]ledger.Posting, len(b.amounts))
	for i, why := range strings.Split(b.whys, ",") {
		p[i] = ledger.Posting{Why: ledger.Why(why), Debit: whole(b.debits[i]), Credit: whole(b.credits[i]), Amount: money.Amount(b.amounts[i])}
	}
	return p
}

// whole is the name of the house account that a stripe is part of.
func whole(id int64) ledger.AccountID {
	if id < 1000 {
		id -= id % 16
	}
	return ledger.AccountID(id)
}

// compare joins the callers' history, the book and the outbox.
func (t *torture) compare(ctx context.Context, pool *db.Pool) error {
	all := t.record.all()
	for _, d := range all {
		d.seen, d.notices = 0, 0
	}
	chains := map[ledger.AccountID]*chain{}
	stand := map[ledger.AccountID]money.Amount{}
	err := pool.InSnapshot(ctx, func(s *db.Snapshot) error {
		if err := s.Each(ctx, func(scan func(...any) error) error {
			var b bookEntry
			if err := scan(&b.ref, &b.id, &b.at, &b.kind, &b.memo, &b.whys, &b.debits, &b.credits, &b.amounts, &b.reverses, &b.touched, &b.afters); err != nil {
				return err
			}
			t.compareEntry(&b)
			follow(chains, &b)
			return nil
		}, sqlTortureEntries); err != nil {
			return err
		}
		if err := s.Each(ctx, func(scan func(...any) error) error {
			var id, balance int64
			if err := scan(&id, &balance); err != nil {
				return err
			}
			stand[whole(id)] += money.Amount(balance)
			return nil
		}, sqlTortureBalances); err != nil {
			return err
		}
		return s.Each(ctx, func(scan func(...any) error) error {
			var key, body, ref string
			if err := scan(&key, &body, &ref); err != nil {
				return err
			}
			t.compareNotice(key, body, ref)
			return nil
		}, sqlTortureNotices)
	})
	if err != nil {
		return fmt.Errorf("comparing: %w", err)
	}
	t.compareModel(all, stand, chains)
	return nil
}

// compareEntry holds an entry of the book against what its callers were told.
func (t *torture) compareEntry(b *bookEntry) {
	d := t.record.deeds[b.ref]
	if d == nil {
		t.found("the book has entry %d with the Ref %q, which nobody asked for", b.id, b.ref)
		return
	}
	if d.seen++; d.seen > 1 {
		t.found("%s is in the book more than once", b.ref)
	}
	if t.until != nil && !t.until.knew(d) {
		t.found("%s is in the book although it was asked for after the instant that was restored", b.ref)
	}
	r := d.receipt
	if r == nil && t.until != nil {
		return // it was under way when everything died
	}
	if r == nil {
		t.found("%s is in the book (entry %d) although its caller was refused or told that nothing happened", b.ref, b.id)
		return
	}
	same := int64(r.ID) == b.id && r.At.Equal(b.at) && b.kind == d.kind && b.memo == memoLine(d.memo()) && slices.Equal(b.postings(), d.postings(&t.ground))
	if d.of != nil {
		same = same && b.reverses == int64(d.of.receipt.ID)
	}
	same = same && len(r.Afters) == len(b.afters) && len(b.touched) == len(b.afters)
	for i := 0; same && i < len(b.afters); i++ {
		same = int64(r.Afters[i].Account) == b.touched[i] && int64(r.Afters[i].Balance) == b.afters[i]
	}
	if !same {
		t.found("%s is in the book with other content than its receipt %s said: %+v, receipt %+v", b.ref, r.Code, *b, *r)
	}
}

// compareNotice marks the notice of one party of an entry.
func (t *torture) compareNotice(key, body, ref string) {
	_, party, _ := strings.Cut(key, ":")
	mark := map[string]int{"payer": 1, "payee": 16}[party]
	d := t.record.deeds[ref]
	if d != nil && d.receipt == nil && t.until != nil {
		return
	}
	if d == nil || mark == 0 || d.receipt == nil {
		t.found("nobody owes the notice %s (Ref %q)", key, ref)
		return
	}
	d.notices += mark
	if !strings.HasPrefix(body, d.receipt.Code) {
		t.found("the notice %s of %s does not tell the receipt %s: %s", key, ref, d.receipt.Code, body)
	}
}

// compareModel adds up what was acknowledged and compares it with the balances.
func (t *torture) compareModel(all []*deed, stand map[ledger.AccountID]money.Amount, chains map[ledger.AccountID]*chain) {
	model := map[ledger.AccountID]money.Amount{}
	owed := map[string]int{"send": 1 + 16, "reversal": 1}
	for _, d := range all {
		if d.receipt == nil && (t.until == nil || d.seen == 0) {
			continue
		}
		if d.seen == 0 && t.until != nil && d.told >= t.until.told {
			t.until.forgotten = append(t.until.forgotten, d)
			continue
		}
		if d.seen == 0 {
			t.found("%s was acknowledged as %s but is not in the book", d.ref, d.receipt.Code)
		}
		if d.receipt != nil && d.notices != owed[d.kind] {
			t.found("%s (%s) does not have exactly the notices that it owes (%#x)", d.ref, d.kind, d.notices)
		}
		for _, p := range d.postings(&t.ground) {
			model[p.Debit] -= p.Amount
			model[p.Credit] += p.Amount
		}
	}
	for id, balance := range stand {
		if model[id] != balance {
			t.found("account %d has %d, what was acknowledged gives %d", id, balance, model[id])
		}
		if c := chains[id]; c != nil && c.after+hash(0) != c.before+hash(balance) {
			t.found("the balances on the statement of account %d do not follow one another", id)
		}
	}
}

// chain adds up hashes of the balances before and after the entries of an
// account. Each balance but the first and the last is one entry's after and
// another's before, in whatever order they were committed.
type chain struct{ before, after uint64 }

func follow(chains map[ledger.AccountID]*chain, b *bookEntry) {
	for i, id := range b.touched {
		c := chains[ledger.AccountID(id)]
		if c == nil {
			c = &chain{}
			chains[ledger.AccountID(id)] = c
		}
		before := b.afters[i]
		for k, amount := range b.amounts {
			if b.debits[k] == id {
				before += amount
			}
			if b.credits[k] == id {
				before -= amount
			}
		}
		c.before += hash(money.Amount(before))
		c.after += hash(money.Amount(b.afters[i]))
	}
}

// hash mixes the bits of a balance (SplitMix64's finaliser).
func hash(a money.Amount) uint64 {
	x := uint64(a) + 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
