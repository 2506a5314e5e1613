package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"tuma/accounts/ledger"
	"tuma/internal/money"
)

// deed is one entry that callers want in the book, and all that they have heard
// about it. It knows what must be true of the book, from outside.
type deed struct {
	ref      string
	kind     string // fill, send, reversal
	from, to ledger.AccountID
	till     ledger.AccountID
	amount   money.Amount
	of       *deed // what a reversal reverses
	back     *deed // the reversal of this one that was acknowledged

	// What was heard. Instants are those of a counter, not of a clock.
	mu         sync.Mutex
	receipt    *ledger.Receipt // of the first acknowledgement; its Postings are dropped
	told       int64           // when it came
	firsts     int             // acknowledgements that did not say Again
	doubtUntil int64           // when the last try ended whose outcome is unknown
	doubted    bool
	refused    int64 // the latest start of a try that was refused
	tries      int

	// Marks of the check under way.
	seen    int
	notices int
}

// The money in a payment beside its amount, in cents.
const (
	tortureFee        = 7_00
	tortureTax        = 91
	tortureCommission = 2_00
)

func (d *deed) postings(g *ground) []ledger.Posting {
	switch d.kind {
	case "fill":
		return []ledger.Posting{{Why: ledger.Principal, Debit: g.house.Trust, Credit: d.to, Amount: d.amount}}
	case "reversal":
		p := d.of.postings(g)
		slices.Reverse(p)
		for i := range p {
			p[i].Why, p[i].Debit, p[i].Credit = ledger.Reversed, p[i].Credit, p[i].Debit
		}
		return p
	}
	return []ledger.Posting{
		{Why: ledger.Principal, Debit: d.from, Credit: d.to, Amount: d.amount},
		{Why: ledger.Fee, Debit: d.from, Credit: g.house.Fees, Amount: tortureFee},
		{Why: ledger.Tax, Debit: g.house.Fees, Credit: g.house.Tax, Amount: tortureTax},
		{Why: ledger.Commission, Debit: g.house.CommissionExpense, Credit: d.till, Amount: tortureCommission},
	}
}

func (d *deed) memo() map[string]string {
	m := map[string]string{"from": fmt.Sprint(d.from), "to": fmt.Sprint(d.to)}
	if d.of != nil {
		m["reverses"] = d.of.ref
	}
	return m
}

func (d *deed) plea(g *ground) plea {
	e := ledger.Entry{Ref: d.ref, Kind: d.kind, Memo: d.memo()}
	if d.of == nil {
		e.Postings = d.postings(g)
	} else {
		e.Reverses = d.of.receipt.ID
	}
	return plea{Entry: e, Account: []ledger.AccountID{d.from, d.to}}
}

// open tells that nobody knows yet whether the entry stands.
func (d *deed) open() bool {
	return d.receipt == nil && d.doubted && d.refused <= d.doubtUntil
}

// record is everything that the callers know.
type record struct {
	mu       sync.Mutex
	deeds    map[string]*deed
	order    []*deed
	clock    int64
	refusals map[string]int64
	unknown  int64
	resolved int64
	healed   int64
	again    int64
}

func (r *record) add(d *deed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deeds[d.ref] = d
	r.order = append(r.order, d)
}

// some gives a deed from among the latest, or nil.
func (r *record) some(dice func(int) int) *deed {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.order) == 0 {
		return nil
	}
	last := min(len(r.order), 500)
	return r.order[len(r.order)-1-dice(last)]
}

func (r *record) tick() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock++
	return r.clock
}

// heard notes the outcome of one try and says what is wrong with it.
func (r *record) heard(g *ground, d *deed, began int64, v verdict, found func(string, ...any)) {
	now := r.tick()
	d.mu.Lock()
	defer d.mu.Unlock()
	count := func(n *int64) {
		r.mu.Lock()
		*n++
		r.mu.Unlock()
	}
	wasOpen := d.open()
	d.tries++
	switch {
	case v.Receipt != nil:
		r.acknowledged(g, d, v.Receipt, now, count, found)
	case v.Refusal != nil:
		r.mu.Lock()
		r.refusals[string(v.Refusal.Rule)]++
		r.mu.Unlock()
		if d.receipt != nil && d.told < began || v.Refusal.Rule == ledger.RefReused {
			found("%s was refused (%v) although it had been acknowledged as %v", d.ref, v.Refusal, d.receipt)
		}
		d.refused = max(d.refused, began)
	case v.Unknown != "":
		count(&r.unknown)
		d.doubted, d.doubtUntil = true, now
	}
	if wasOpen && !d.open() {
		count(&r.resolved)
	}
}

func (r *record) acknowledged(g *ground, d *deed, got *ledger.Receipt, now int64, count func(*int64), found func(string, ...any)) {
	if !slices.Equal(got.Postings, d.postings(g)) || got.Kind != d.kind || memoLine(got.Memo) != memoLine(d.memo()) {
		found("the receipt of %s is of something else: %+v", d.ref, *got)
	}
	if !got.Again {
		if d.firsts++; d.firsts > 1 {
			found("%s was posted twice: %s and %s", d.ref, d.receipt.Code, got.Code)
		}
	} else if d.tries == 1 && d.receipt == nil {
		count(&r.healed)
	} else if d.receipt != nil {
		count(&r.again)
	}
	if first := d.receipt; first != nil {
		if first.ID != got.ID || first.Code != got.Code || !first.At.Equal(got.At) || !slices.Equal(first.Afters, got.Afters) {
			found("%s has two receipts: %+v and %+v", d.ref, *first, *got)
		}
		return
	}
	kept := *got
	kept.Postings, kept.Memo = nil, nil
	d.receipt, d.told = &kept, now
	if d.of != nil {
		d.of.mu.Lock()
		defer d.of.mu.Unlock()
		if d.of.back != nil && d.of.back != d {
			found("%s was reversed twice, by %s and %s", d.of.ref, d.of.back.ref, d.ref)
		}
		d.of.back = d
	}
}

func memoLine(m map[string]string) string {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // a map of strings always marshals
	}
	return string(b)
}

// all are the deeds so far. The list only ever grows, so it can be read without
// the lock, which must not be held when a deed's is taken.
func (r *record) all() []*deed {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.order
}

// undecided are the entries that nobody can say anything about yet.
func (r *record) undecided() (list []*deed) {
	for _, d := range r.all() {
		d.mu.Lock()
		if d.open() {
			list = append(list, d)
		}
		d.mu.Unlock()
	}
	return list
}

func (r *record) summary() summary {
	r.mu.Lock()
	s := summary{Entries: len(r.order), Unknown: r.unknown, Resolved: r.resolved, Ambiguous: r.healed, Again: r.again, Refusals: maps.Clone(r.refusals)}
	r.mu.Unlock()
	for _, d := range r.all() {
		d.mu.Lock()
		switch {
		case d.receipt != nil:
			s.Acknowledged++
		case d.refused > 0 && !d.open():
			s.Refused++
		case !d.open():
			s.Failed++
		}
		d.mu.Unlock()
	}
	return s
}
