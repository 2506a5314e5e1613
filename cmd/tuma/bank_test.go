package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestBank plays a random day of a whole bank: customers and operators at
// their phones, whose requests are doubled, lost, late and out of order, whose
// sessions break off at any hop, the confirming one included, while Redis
// forgets everything now and then. Afterwards the audit is clean, the callers'
// own history is the journal, every balance is what the callers' own arithmetic
// says, and every SMS has arrived once.
func TestBank(t *testing.T) {
	var sum [3]int
	rapid.Check(t, func(rt *rapid.T) {
		b := startBank(t)
		defer b.close()
		w := newTown(rt, b)
		for range rapid.IntRange(100, 250).Draw(rt, "steps") {
			w.step()
		}
		for _, a := range w.h.attempts {
			if a.outcome == unknown {
				w.must(w.callerOf(a.number).resolve(a))
			}
		}
		if problems := b.problems(w.h); len(problems) > 0 {
			rt.Fatalf("%s\nhistory:\n%s", strings.Join(problems, "\n"), w.h)
		}
		for o, n := range w.h.count() {
			sum[o] += n
		}
	})
	t.Logf("payments confirmed %d, refused %d, never known to the caller %d", sum[ok], sum[refused], sum[unknown])
	if sum[ok] == 0 || sum[refused] == 0 {
		t.Error("the test paid nothing, or nothing was refused: it has become blind")
	}
}

// town is the people of one check.
type town struct {
	rt       *rapid.T
	b        *bank
	h        *history
	people   []*person
	answered map[request]string // what was answered, until Redis may have forgotten it
}

func newTown(rt *rapid.T, b *bank) *town {
	w := &town{rt: rt, b: b, h: &history{}, answered: map[request]string{}}
	l := line{
		ask: func(session, number, text string) (string, error) {
			b.clock.wait(time.Second)
			status, body, err := postForm(b.url+"/ussd/africastalking", ussdForm(session, number, text))
			if err == nil && status != 200 {
				err = fmt.Errorf("status %d: %s", status, body)
			}
			return body, err
		},
		choose: func(n int, what string) int { return rapid.IntRange(0, n-1).Draw(rt, what) },
	}
	w.people = cast(l, w.h)
	// Not everybody reads English.
	for _, q := range []string{
		`update customer set lang = (array['en', 'sw', 'fr'])[1 + id % 3]`, `update operator set lang = (array['sw', 'fr'])[1 + id % 2]`,
	} {
		if _, err := b.super.Exec(q); err != nil {
			rt.Fatal(err)
		}
	}
	return w
}

// cast is the demo people at their phones.
func cast(l line, h *history) (people []*person) {
	friends := []string{"+254712000001", "+254712000002", "+254712000003", "+254712009999", "+254733000009"}
	amounts := []string{"10", "50", "100", "137", "500", "101.50", "999", "100000", "0"}
	for _, c := range demoCustomers {
		people = append(people, &person{line: l, h: h, number: c.number, id: c.id, pin: demoPIN, friends: friends, amounts: amounts})
	}
	for _, t := range demoTills {
		people = append(people, &person{line: l, h: h, number: t.operatorNumber, id: t.operatorID, pin: demoPIN, till: t.number, friends: friends, amounts: amounts})
	}
	return people
}

func (w *town) must(err error) {
	if err != nil {
		w.rt.Helper()
		w.rt.Fatal(err)
	}
}

func (w *town) callerOf(number string) *person {
	for _, c := range w.people {
		if c.number == number {
			return c
		}
	}
	w.rt.Fatalf("nobody has %s", number)
	return nil
}

// step is one thing that happens to one of the people.
func (w *town) step() {
	c := w.people[rapid.IntRange(0, len(w.people)-1).Draw(w.rt, "who")]
	switch what := rapid.IntRange(0, 99).Draw(w.rt, "event"); { // rapid prefers small numbers
	case what < 86 && c.hung:
		w.again(c)
	case what < 86:
		w.hop(c)
	case what < 90:
		w.late(c)
	case what < 94:
		w.breakOff(c)
	case what < 97:
		w.b.flush()
		clear(w.answered)
	default:
		w.b.wait(time.Duration(rapid.IntRange(1, 700).Draw(w.rt, "seconds")) * time.Second)
		clear(w.answered) // sessions run out
	}
}

// hop is the person's next request, and what the network makes of it.
func (w *town) hop(c *person) {
	r, goOn := c.next()
	if !goOn {
		return
	}
	c.sent = append(c.sent, r)
	switch pick(c.line, "network", "good", "good", "good", "good", "good", "good", "good", "good", "good", "good", "twice", "at once", "request lost", "answer lost", "Redis flushed") {
	case "request lost":
		c.hung = true
	case "answer lost":
		w.deliver(c, r)
		c.hung = true
	case "twice":
		body := w.deliver(c, r)
		w.deliver(c, r)
		w.must(c.take(body, true))
	case "at once":
		var bodies [2]string
		var errs [2]error
		var wg sync.WaitGroup
		for i := range bodies {
			wg.Go(func() { bodies[i], errs[i] = c.ask(r.session, c.number, r.text) })
		}
		wg.Wait()
		w.must(errs[0])
		w.must(errs[1])
		if bodies[0] != bodies[1] {
			w.rt.Fatalf("one request, two answers:\n%s\n%s", bodies[0], bodies[1])
		}
		w.must(c.take(bodies[0], true))
	case "Redis flushed":
		var wg sync.WaitGroup
		wg.Go(w.b.flush)
		body := w.deliver(c, r)
		wg.Wait()
		clear(w.answered)
		w.must(c.take(body, true))
	default:
		w.checkShown(c, r, w.deliver(c, r))
	}
}

// deliver brings a request to the service, and compares with the answer that
// the same request had before.
func (w *town) deliver(c *person, r request) string {
	body, err := c.ask(r.session, c.number, r.text)
	w.must(err)
	if before, asked := w.answered[r]; asked && before != body {
		w.rt.Fatalf("session %s, the same request was answered\n%s\nand then\n%s", r.session, before, body)
	}
	w.answered[r] = body
	return body
}

// checkShown takes the answer and compares what it says of balances with the
// model, when everything that happened is known.
func (w *town) checkShown(c *person, r request, body string) {
	w.must(c.take(body, true))
	m := opening()
	for _, a := range w.h.attempts {
		switch {
		case a.outcome == unknown, a.outcome == ok && strings.HasSuffix(a.to, "9999"): // a refund may or may not be there yet
			return
		case a.outcome == ok:
			m.apply(a.deal)
		}
	}
	who := owner(c.number)
	if c.till != "" {
		who = owner(c.till)
	}
	for _, hole := range []string{"balance", "float"} {
		if shown, there := c.seen.Holes[hole]; there && c.seen.Problem == "" && cents(shown) != m[who] {
			w.rt.Fatalf("%s is shown a balance of %s and has %d", c.number, shown, m[who])
		}
	}
}

// again: the gateway, or the person, repeats a request that got no answer, or gives up.
func (w *town) again(c *person) {
	if c.choose(4, "gives up") == 0 {
		w.breakOff(c)
		return
	}
	w.must(c.take(w.deliver(c, c.sent[len(c.sent)-1]), false))
}

// breakOff ends the session on the phone; the gateway may or may not say so.
func (w *town) breakOff(c *person) {
	if c.session != "" && c.choose(2, "told") == 0 {
		w.b.dropped(c.session, c.number, c.text)
	}
	c.hangUp()
}

// late: something sent long ago arrives once more.
func (w *town) late(c *person) {
	if len(c.sent) > 0 {
		w.deliver(c, c.sent[c.choose(len(c.sent), "late one")])
	}
}

func (h *history) String() string {
	var b strings.Builder
	for _, a := range h.attempts {
		fmt.Fprintf(&b, "%s %s %s %+v %s, told %q\n", a.session, a.outcome, a.code, a.deal, a.text, a.told)
	}
	return b.String()
}

// problems is every check that the book, the history and the phones must pass.
func (b *bank) problems(h *history) (problems []string) {
	b.t.Helper()
	b.settled()
	p, err := proof(context.Background(), b.service.pool)
	b.must(err)
	for _, x := range p.Breaks {
		problems = append(problems, "audit: "+x.Check+": "+x.What)
	}
	applied, differ := h.compare(journal(b.t, b.super))
	problems = append(problems, differ...)
	m := opening()
	for _, a := range applied {
		if a.amount <= 2500_00 && a.fee != fee(a.kind, a.amount) {
			problems = append(problems, fmt.Sprintf("%s: a fee of %d for %d", a.kind, a.fee, a.amount))
		}
		m.apply(a.deal)
	}
	problems = append(problems, m.differences(balances(b.t, b.super))...)
	return append(problems, b.notices(applied)...)
}

// notices compares the phones' inboxes with the outbox (each once), and with
// what the payments owe their parties.
func (b *bank) notices(applied []attempt) (problems []string) {
	b.t.Helper()
	owed := map[string]int{} // by number and body
	rows, err := b.super.Query(`select to_msisdn, body from every_notice`)
	b.must(err)
	defer rows.Close()
	numbers := map[string]bool{}
	for rows.Next() {
		var to, body string
		b.must(rows.Scan(&to, &body))
		owed[to+" "+body]++
		numbers[to] = true
	}
	b.must(rows.Err())
	confirmed := map[string]int{} // by number and code
	for number := range numbers {
		inbox, err := b.network.Inbox(number)
		b.must(err)
		for _, m := range inbox {
			if m.From != "Tuma" {
				continue // the mobile network's own, about airtime
			}
			owed[number+" "+m.Body]--
			confirmed[number+" "+m.Body[:10]]++
		}
	}
	for key, n := range owed {
		if n != 0 {
			problems = append(problems, fmt.Sprintf("%d too few, as SMS: %s", n, key))
		}
	}
	operators := map[string]string{"100001": demoTills[0].operatorNumber, "100002": demoTills[1].operatorNumber}
	for _, a := range applied {
		told := map[string][]string{
			"send": {a.from, a.to}, "withdraw": {a.from, operators[a.to]}, "deposit": {operators[a.from], a.to}, "airtime": {a.from},
		}[a.kind]
		for _, number := range told {
			if n := confirmed[number+" "+a.code]; n != 1 {
				problems = append(problems, fmt.Sprintf("%s has %d SMS about %s", number, n, a.code))
			}
		}
	}
	return problems
}
