package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestWhoseReceipt is about the callers of the other tests, not about the
// service: a caller who does not know what became of two payments alike reads,
// on the screen that asks whether the second one is meant, the receipt of the
// first. That is no proof that the second was made. Redis has forgotten the
// sessions in between, as when the process was killed.
func TestWhoseReceipt(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	h := &history{}
	people := cast(line{ask: func(session, number, text string) (string, error) { return b.ask(session, number, text), nil }}, h)
	neema := people[len(people)-1]
	const (
		// Given at once these answers stop at the amount, so what became of the first
		// payment is never known.
		stops = "1*0712000001*abc*20"
		// Asked twice whether it is meant: it is not, and then it is.
		twice = "1*0712000001*20*2*1*0712000001*20*1"
		other = "1*0712000001*20*2*1*0712000002*20"
	)
	for _, c := range []struct {
		name, first, second string // all that is keyed in before the PIN
		arrives             bool   // the request that confirms the second one
		want                [2]outcome
	}{
		{"the second was not made", stops, twice, false, [2]outcome{unknown, ok}}, // then it is made now
		{"the second was made", stops, twice, true, [2]outcome{unknown, ok}},
		{"the second is for somebody else", stops, other, false, [2]outcome{unknown, unknown}},
		{"the first is known, the second was not made", "1*0712000001*20", "1*0712000001*20*1", false, [2]outcome{ok, ok}},
		{"the first is known, the second was made", "1*0712000001*20", "1*0712000001*20*1", true, [2]outcome{ok, ok}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b.wait(3 * time.Minute) // out of the last one's "again?"
			var got [2]outcome
			for i, text := range []string{c.first, c.second} {
				session := fmt.Sprintf("%s-%d", strings.ReplaceAll(c.name, " ", "-"), i)
				neema.session, neema.seen = session, b.key(session, neema.number, text)
				d, asks := neema.deal()
				if !asks {
					t.Fatalf("no question for the PIN: %+v", neema.seen)
				}
				a := h.begin(attempt{session: session, number: neema.number, text: text + "*" + demoPIN, deal: d})
				if i == 0 || c.arrives {
					b.ask(session, neema.number, a.text) // whose answer is lost
				}
				b.flush()
				b.must(neema.resolve(a))
				got[i] = a.outcome
			}
			if got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
	if problems := b.problems(h); len(problems) > 0 {
		t.Errorf("%s\nhistory:\n%s", strings.Join(problems, "\n"), h)
	}
}
