package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"tuma/internal/money"
)

// fill gives every wallet money to begin with.
func (t *torture) fill(ctx context.Context) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, t.Callers)
	for i, w := range t.ground.wallets {
		d := &deed{ref: fmt.Sprint("fill:", i), kind: "fill", to: w, amount: tortureOpening}
		t.record.add(d)
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			t.try(ctx, d, t.victims[i%len(t.victims)])
		})
	}
	wg.Wait()
}

// call is one caller: new entries, entries of others at the same time, entries
// that were answered already, and entries whose outcome the caller does not know.
func (t *torture) call(ctx context.Context, n uint64) {
	dice := t.dice(1000 + n)
	pace := time.NewTicker(time.Second * time.Duration(t.Callers) / time.Duration(t.Rate))
	defer pace.Stop()
	for k := 0; ; k++ {
		select {
		case <-t.finished:
			return
		case <-pace.C:
		}
		t.calling.RLock()
		d := t.choose(dice, fmt.Sprintf("t:%d:%d", n, k))
		t.try(ctx, d, t.victims[dice.IntN(len(t.victims))])
		// Half of those who do not know ask again at once, the others when the
		// dice say so or in the end.
		for dice.IntN(2) == 0 && d.unsure() {
			t.try(ctx, d, t.victims[dice.IntN(len(t.victims))])
		}
		t.calling.RUnlock()
	}
}

// choose says what a caller posts next.
func (t *torture) choose(dice *rand.Rand, ref string) *deed {
	w := t.ground.wallets
	d := &deed{ref: ref, from: w[dice.IntN(len(w))], to: w[dice.IntN(len(w))]}
	switch p := dice.IntN(100); {
	case p < 8: // something that was posted before, or is being posted by somebody else
		if old := t.record.some(dice.IntN); old != nil {
			return old
		}
		fallthrough
	case p < 12:
		d.kind, d.amount = "fill", money.Amount(100_00+dice.IntN(1000_00))
	case p < 16:
		if old := t.record.some(dice.IntN); old != nil && reversible(old) {
			d.kind, d.of, d.from, d.to = "reversal", old, old.from, old.to
			break
		}
		fallthrough
	default:
		d.kind, d.amount = "send", money.Amount(101_00+dice.IntN(399_00))
		if dice.IntN(10) == 0 {
			d.to = w[0] // popular
		}
		if d.from == d.to {
			d.to = w[(int(d.from)+1)%len(w)]
		}
		if d.from == d.to {
			d.to = w[(int(d.from)+2)%len(w)]
		}
		d.till = t.ground.earned[dice.IntN(len(t.ground.earned))]
	}
	t.record.add(d)
	return d
}

// reversible tells whether a payment was acknowledged, so that its number is known.
func reversible(d *deed) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.receipt != nil && d.kind == "send"
}

// try posts a deed once. It is false when the poster was not there to ask.
func (t *torture) try(ctx context.Context, d *deed, v *victim) bool {
	p := d.plea(&t.ground)
	if t.Plant == "doubled-retry" && d.unsure() {
		p.Entry.Ref += ":again" // the fault that is planted: a new Ref for an old entry
	}
	began := t.record.tick()
	answer, sent := v.ask(ctx, p)
	if !sent {
		return false
	}
	t.asked.Add(1)
	t.record.heard(&t.ground, d, began, answer, t.found)
	return true
}

// unsure is open for whoever does not hold the lock.
func (d *deed) unsure() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open()
}

// settleLimit is how long an entry may stay unknown when nothing is in the way.
const settleLimit = time.Minute

// settle posts again, with its Ref, whatever is unknown, until nothing is. The
// callers wait and nothing is broken meanwhile.
func (t *torture) settle(ctx context.Context) {
	until := time.Now().Add(settleLimit)
	for i := 0; ; i++ {
		open := t.record.undecided()
		if len(open) == 0 {
			return
		}
		if time.Now().After(until) || ctx.Err() != nil {
			for _, d := range open {
				t.found("%s is still unknown after %v of asking by its Ref", d.ref, settleLimit)
			}
			return
		}
		var wg sync.WaitGroup
		for k, d := range open {
			wg.Go(func() { t.try(ctx, d, t.victims[(i+k)%len(t.victims)]) })
		}
		wg.Wait()
		if i > 0 {
			time.Sleep(50 * time.Millisecond)
		}
	}
}
