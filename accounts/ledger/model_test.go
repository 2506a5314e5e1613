package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tuma/internal/db/dbtest"
	"tuma/internal/money"
)

// model is the book as one would explain it: one entry after the other, no
// batches, no database.
type model struct {
	accounts map[AccountID]*Account
	entries  map[string]*modelEntry // by Ref
}

type modelEntry struct {
	Entry
	id       EntryID // as the book numbered it
	postings []Posting
	reversed bool
}

// outcome is what a caller hears, as far as it can be foretold: an entry's
// number and code are the book's own business.
type outcome struct {
	Refusal
	Again    bool
	Postings []Posting
	Afters   []After
}

func (m *model) post(e Entry, today time.Time) outcome {
	if first, ok := m.entries[e.Ref]; ok {
		if first.Kind != e.Kind || first.Reverses != e.Reverses || e.Reverses == 0 && !slices.Equal(first.Postings, e.Postings) {
			return outcome{Refusal: Refusal{Rule: RefReused}}
		}
		return outcome{Again: true, Postings: first.postings}
	}
	postings, original := e.Postings, (*modelEntry)(nil)
	if e.Reverses != 0 {
		for _, x := range m.entries {
			if x.id == e.Reverses {
				original = x
			}
		}
		if original == nil {
			return outcome{Refusal: Refusal{Rule: NoSuchEntry}}
		}
		if original.reversed || original.Reverses != 0 {
			return outcome{Refusal: Refusal{Rule: ReversedBefore}}
		}
		postings = nil
		for _, p := range slices.Backward(original.postings) {
			postings = append(postings, Posting{Reversed, p.Credit, p.Debit, p.Amount})
		}
	}
	if r := m.refuses(postings, today); r.Rule != "" {
		return outcome{Refusal: r}
	}
	o := outcome{Postings: postings}
	touched := map[AccountID]bool{}
	for _, p := range postings {
		d, c := m.accounts[p.Debit], m.accounts[p.Credit]
		d.Balance -= p.Amount
		c.Balance += p.Amount
		if p.Why == Principal {
			d.DaySpent = d.SpentOn(today) + p.Amount
			if d.Day.Before(today) {
				d.Day = today
			}
		}
		touched[p.Debit], touched[p.Credit] = true, true
	}
	for _, id := range sortedIDs(touched) {
		if id >= houseEnds {
			o.Afters = append(o.Afters, After{AccountID(id), m.accounts[AccountID(id)].Balance})
		}
	}
	m.entries[e.Ref] = &modelEntry{Entry: e, postings: postings}
	if original != nil {
		original.reversed = true
	}
	return o
}

// refuses goes through the rules in their order of precedence.
func (m *model) refuses(postings []Posting, today time.Time) Refusal {
	for _, p := range postings {
		for _, id := range []AccountID{p.Debit, p.Credit} {
			if m.accounts[id] == nil {
				return Refusal{Rule: NoSuchAccount, Account: id}
			}
		}
	}
	for _, standing := range []struct {
		rule   Rule
		broken func(d, c *Account) *Account
	}{
		{OtherCurrency, func(d, c *Account) *Account { return when(d.Currency != c.Currency, c) }},
		{DebitFrozen, func(d, _ *Account) *Account { return when(d.Status == Frozen, d) }},
		{DebitBlocked, func(d, _ *Account) *Account { return when(d.Status == DebitsBlocked, d) }},
		{CreditFrozen, func(_, c *Account) *Account { return when(c.Status == Frozen, c) }},
	} {
		for _, p := range postings {
			if a := standing.broken(m.accounts[p.Debit], m.accounts[p.Credit]); a != nil {
				return Refusal{Rule: standing.rule, Account: a.ID}
			}
		}
	}
	balance, spent := map[AccountID]money.Amount{}, map[AccountID]money.Amount{}
	for id, a := range m.accounts {
		balance[id], spent[id] = a.Balance, a.SpentOn(today)
	}
	var low, high Refusal
	for _, p := range postings {
		d, c := m.accounts[p.Debit], m.accounts[p.Credit]
		balance[p.Debit] -= p.Amount
		balance[p.Credit] += p.Amount
		if p.Why == Principal {
			spent[p.Debit] += p.Amount
		}
		if low.Rule == "" && d.Floor != nil && balance[d.ID] < *d.Floor {
			low = Refusal{UnderFloor, d.ID, max(0, d.Balance-*d.Floor)}
		}
		if high.Rule == "" && c.Ceiling != nil && balance[c.ID] > *c.Ceiling {
			high = Refusal{OverCeiling, c.ID, max(0, *c.Ceiling-c.Balance)}
		}
	}
	if low.Rule != "" {
		return low
	}
	for _, p := range postings {
		if d := m.accounts[p.Debit]; p.Why == Principal && d.DayLimit != nil && spent[d.ID] > *d.DayLimit {
			return Refusal{OverDayLimit, d.ID, max(0, *d.DayLimit-d.SpentOn(today))}
		}
	}
	return high
}

func when(broken bool, a *Account) *Account {
	if broken {
		return a
	}
	return nil
}

// What is drawn.

func drawBound(t *rapid.T, label string, from, to int64) *money.Amount {
	if rapid.IntRange(0, 2).Draw(t, label+"?") == 0 {
		return nil
	}
	return Bound(money.Amount(10 * rapid.Int64Range(from, to).Draw(t, label))) // round, so that amounts meet it exactly
}

// drawRules gives rules that an account with that balance may have.
func drawRules(t *rapid.T, balance money.Amount) Rules {
	r := Rules{Floor: drawBound(t, "floor", -6, 3), Ceiling: drawBound(t, "ceiling", 2, 30), DayLimit: drawBound(t, "day limit", 2, 20)}
	if r.Floor != nil && *r.Floor > balance {
		r.Floor = Bound(balance)
	}
	r.Status = rapid.SampledFrom([]Status{Open, Open, Open, Open, Open, Open, DebitsBlocked, Frozen}).Draw(t, "status")
	return r
}

func drawEntry(t *rapid.T, m *model, ids []AccountID, ref string) Entry {
	var posted []*modelEntry
	for _, name := range sortedRefs(m) {
		posted = append(posted, m.entries[name])
	}
	what := rapid.IntRange(0, 11).Draw(t, "what")
	if (what == 0 || what == 11) && len(posted) > 0 { // again
		return rapid.SampledFrom(posted).Draw(t, "again").Entry
	}
	if what == 1 && len(posted) > 0 { // an old Ref on something new
		ref = rapid.SampledFrom(posted).Draw(t, "old ref").Ref
	}
	if what == 2 || what == 3 {
		e := Entry{Ref: ref, Kind: "reversal", Reverses: 1 << 45}
		if len(posted) > 0 && what == 2 {
			e.Reverses = rapid.SampledFrom(posted).Draw(t, "original").id
		}
		return e
	}
	e := Entry{Ref: ref, Kind: rapid.SampledFrom([]string{"send", "send", "send", "other"}).Draw(t, "kind")}
	for range rapid.SampledFrom([]int{1, 1, 2, 4}).Draw(t, "postings") {
		from := rapid.IntRange(0, len(ids)-1).Draw(t, "from")
		to := (from + rapid.IntRange(1, len(ids)-1).Draw(t, "to")) % len(ids)
		e.Postings = append(e.Postings, Posting{
			Why:   rapid.SampledFrom([]Why{Principal, Principal, Fee}).Draw(t, "why"),
			Debit: ids[from], Credit: ids[to], Amount: 10 * money.Amount(rapid.Int64Range(1, 6).Draw(t, "amount")),
		})
	}
	return e
}

func sortedRefs(m *model) []string {
	refs := make([]string, 0, len(m.entries))
	for ref := range m.entries {
		refs = append(refs, ref)
	}
	slices.Sort(refs)
	return refs
}

// way is how a batch reaches the book.
type way func(t testing.TB, p *poster, batch []*request) []answer

// served is the usual way.
func served(_ testing.TB, p *poster, batch []*request) []answer {
	p.serve(batch)
	answers := make([]answer, len(batch))
	for i, r := range batch {
		answers[i] = <-r.answer
	}
	return answers
}

// hopefully is the usual way after a while without refusals.
func hopefully(t testing.TB, p *poster, batch []*request) []answer {
	p.calm = calmBatches
	return served(t, p, batch)
}

// carefully decides with the rows locked, which is otherwise rare.
func carefully(t testing.TB, p *poster, batch []*request) []answer {
	answers, err := p.commitAs(careful, batch)
	if err != nil {
		t.Error(err)
		return make([]answer, len(batch))
	}
	return answers
}

// TestModel posts batches of random entries, among them Refs that come twice
// with the same or other content, reversals and entries of several postings, and
// compares every answer, balance and day with the model, whichever way the batch
// is decided.
func TestModel(t *testing.T) {
	t.Parallel()
	for name, post := range map[string]way{"served": served, "hopeful": hopefully, "careful": carefully} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			b := open(t, dbtest.New(t, c.now))
			p := &poster{book: b}
			trust, foreign := house(t, b, Trust), dollars(t, b)
			n, met := 0, map[Rule]int{}
			rapid.Check(t, func(rt *rapid.T) {
				m := &model{accounts: map[AccountID]*Account{}, entries: map[string]*modelEntry{}}
				for _, id := range []AccountID{trust, foreign} {
					a, err := b.Account(t.Context(), id)
					if err != nil {
						rt.Fatal(err)
					}
					m.accounts[id] = &a
				}
				ids := []AccountID{trust, trust, foreign}
				for range rapid.IntRange(2, 4).Draw(rt, "accounts") {
					id := account(t, b, Wallet, drawRules(rt, 0))
					a, err := b.Account(t.Context(), id)
					if err != nil {
						rt.Fatal(err)
					}
					m.accounts[id] = &a
					ids = append(ids, id, id)
				}
				ids = slices.Compact(ids)
				if rapid.IntRange(0, 4).Draw(rt, "missing") == 0 {
					ids = append(ids, 1<<40)
				}
				for range rapid.IntRange(1, 8).Draw(rt, "batches") {
					n++
					m.batch(rt, b, ids, n, met, func(batch []*request) []answer { return post(t, p, batch) })
					m.compare(rt, b)
					c.pass(time.Duration(rapid.IntRange(0, 20).Draw(rt, "hours")) * time.Hour)
					id := ids[2+rapid.IntRange(0, 1).Draw(rt, "changed")]
					if a := m.accounts[id]; a != nil && rapid.Bool().Draw(rt, "change") {
						a.Rules = drawRules(rt, a.Balance)
						setRules(t, b, id, a.Rules)
					}
				}
			})
			clean(t, b)
			for _, rule := range []Rule{"", RefReused, NoSuchEntry, ReversedBefore, NoSuchAccount, OtherCurrency, DebitFrozen, DebitBlocked, CreditFrozen, UnderFloor, OverDayLimit, OverCeiling} {
				if met[rule] == 0 && !t.Failed() {
					t.Errorf("no entry was refused by rule %q: %v", rule, met)
				}
			}
		})
	}
}

// batch posts one batch and compares its answers.
func (m *model) batch(t *rapid.T, b *Book, ids []AccountID, n int, met map[Rule]int, post func([]*request) []answer) {
	today := b.Day(b.pool.Now())
	var batch []*request
	for i := range rapid.SampledFrom([]int{1, 1, 2, 3, 5, 10}).Draw(t, "entries") {
		var e Entry
		if i > 0 && rapid.IntRange(0, 8).Draw(t, "twin") == 0 {
			e = rapid.SampledFrom(batch).Draw(t, "twin of").entry
			if rapid.Bool().Draw(t, "other content") {
				e.Kind += "?"
			}
		} else {
			e = drawEntry(t, m, ids, fmt.Sprintf("%s:%d:%d", "model", n, i))
		}
		batch = append(batch, &request{entry: e, answer: make(chan answer, 1)})
	}
	answers := post(batch)
	wants := make([]outcome, len(batch))
	for i, r := range batch {
		wants[i] = m.post(r.entry, today)
	}
	for i, r := range batch {
		want := wants[i]
		var got outcome
		refusal, refused := errors.AsType[Refusal](answers[i].err)
		if answers[i].err != nil && !refused {
			t.Fatal(answers[i].err)
		}
		receipt := answers[i].receipt
		if !refused {
			got = outcome{Again: receipt.Again, Postings: receipt.Postings, Afters: receipt.Afters}
			e := m.entries[r.entry.Ref]
			if e == nil {
				t.Fatalf("entry %d of %+v: posted, the model says %+v", i, r.entry, want)
			}
			if want.Rule != "" && receipt.Again {
				want = m.post(r.entry, today) // refused, and then a twin in the same batch was not
			}
			if want.Again {
				want.Afters = got.Afters // the first ones, compared then
			}
			if e.id == 0 {
				e.id = receipt.ID
			}
			if e.id != receipt.ID {
				t.Fatalf("%s: one receipt is %d, another %d", e.Ref, e.id, receipt.ID)
			}
		} else {
			got.Refusal = refusal
			if refusal.Rule == RefReused && want.Rule != "" && m.entries[r.entry.Ref] != nil {
				want = m.post(r.entry, today) // the same, with other content
			}
		}
		met[want.Rule]++
		if len(got.Afters) == 0 {
			got.Afters = nil
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("entry %d of the batch, %+v (model first):\n%s", i, r.entry, diff)
		}
	}
}

// compare holds every account of the model against the book's.
func (m *model) compare(t *rapid.T, b *Book) {
	for id, want := range m.accounts {
		got, err := b.Account(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		if got.Balance != want.Balance || id >= houseEnds && (got.DaySpent != want.DaySpent || !got.Day.Equal(want.Day)) {
			t.Fatalf("account %d: the book has %+v, the model %+v", id, got, *want)
		}
	}
}
