package main

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// outcome is what a caller knows of a payment.
type outcome int

const (
	unknown outcome = iota // asked for, and no answer came that says
	ok                     // "Confirmed", with a receipt
	refused                // told that nothing happened
)

func (o outcome) String() string { return [...]string{"unknown", "ok", "refused"}[o] }

// deal is what a payment does, in minor units.
type deal struct {
	kind     string // send, withdraw, deposit, airtime
	from, to string // numbers; a till's where a till pays or is paid
	amount   int64
	fee      int64
}

// attempt is one request that confirms a payment with a PIN. It is written down
// before the request leaves.
type attempt struct {
	session, number, text string
	deal
	outcome outcome
	code    string // of an ok
	told    string // the last answer, as it came
}

// history is the caller's own: what it asked for and what it was told. It
// knows nothing of the service's tables.
type history struct {
	mu       sync.Mutex
	attempts []*attempt
	shown    map[string]string // receipts on any screen, and where each was seen first
}

func (h *history) begin(a attempt) *attempt {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.attempts = append(h.attempts, &a)
	return &a
}

// show notes the receipt on a screen. Who reads one relies on it, on whichever
// screen it stands.
func (h *history) show(session string, s sight) {
	code := s.Holes["code"]
	if code == "" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.shown == nil {
		h.shown = map[string]string{}
	}
	if h.shown[code] == "" {
		h.shown[code] = fmt.Sprintf("session %s, screen %s", session, s.Screen)
	}
}

func (h *history) count() map[outcome]int {
	n := map[outcome]int{}
	for _, a := range h.attempts {
		n[a.outcome]++
	}
	return n
}

// entry is a payment as the book has it.
type entry struct {
	ref, session, code string
	deal
}

const sqlJournal = `
select r.ref, e.kind, coalesce(e.memo::json->>'from', ''), coalesce(e.memo::json->>'to', ''),
       coalesce(sum(p.amount) filter (where p.why = 'principal'), 0)::bigint, coalesce(sum(p.amount) filter (where p.why = 'fee'), 0)::bigint,
       coalesce((select min(left(n.body, 10)) from every_notice n where n.key in (e.id || ':payer', e.id || ':payee')), '')
from entry_ref r join entry e on e.id = r.entry join posting p on p.entry = e.id
group by e.id, r.ref, e.kind, e.memo order by e.id`

// journal reads the book's payments; the receipt's code is taken from the SMS.
func journal(t testing.TB, pool *sql.DB) (entries []entry) {
	t.Helper()
	rows, err := pool.QueryContext(context.Background(), sqlJournal)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var e entry
		if err := rows.Scan(&e.ref, &e.kind, &e.from, &e.to, &e.amount, &e.fee, &e.code); err != nil {
			t.Fatal(err)
		}
		if rest, isUSSD := strings.CutPrefix(e.ref, "ussd:at:"); isUSSD {
			e.session, _, _ = strings.Cut(rest, ":")
		}
		entries = append(entries, e)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return entries
}

// compare joins history and journal by session, in which at most one payment
// can be made, and names every difference: a payment that is lost, doubled,
// wrong, that was refused and made all the same, or that nobody asked for. It
// also returns what has happened, as the caller asked for it.
func (h *history) compare(entries []entry) (applied []attempt, problems []string) {
	attempts, made := map[string][]*attempt{}, map[string][]entry{}
	for _, a := range h.attempts {
		attempts[a.session] = append(attempts[a.session], a)
	}
	refunds := map[string]int{}
	refOf := map[string]string{} // by receipt
	for _, e := range entries {
		refOf[e.code] = e.ref
		switch {
		case e.session != "":
			made[e.session] = append(made[e.session], e)
		case strings.HasPrefix(e.ref, "airtime-refund:"):
			refunds[strings.TrimPrefix(e.ref, "airtime-refund:")]++
		case !strings.HasPrefix(e.ref, "demo:") && !strings.HasPrefix(e.ref, "float:"):
			problems = append(problems, "orphan: nobody asked for "+e.ref)
		}
	}
	for _, session := range slices.Sorted(maps.Keys(made)) {
		if len(attempts[session]) == 0 {
			problems = append(problems, "phantom: nobody confirmed "+made[session][0].ref)
		}
		if n := len(made[session]); n > 1 {
			problems = append(problems, fmt.Sprintf("doubled: session %s has %d entries", session, n))
		}
	}
	for _, session := range slices.Sorted(maps.Keys(attempts)) {
		a, problem := settle(attempts[session], made[session], refOf)
		if problem != "" {
			problems = append(problems, "session "+session+": "+problem)
		}
		if a == nil {
			continue
		}
		applied = append(applied, *a)
		want := 0
		if a.kind == "airtime" && strings.HasSuffix(a.to, "9999") {
			want = 1
		}
		if got := refunds[a.code]; got != want {
			problems = append(problems, fmt.Sprintf("airtime %s was refunded %d times, not %d", a.code, got, want))
		}
		delete(refunds, a.code)
	}
	for code := range refunds {
		problems = append(problems, "phantom: refund of "+code)
	}
	for _, code := range slices.Sorted(maps.Keys(h.shown)) {
		if refOf[code] == "" {
			problems = append(problems, fmt.Sprintf("lost: %s was shown (%s) and is not in the book", code, h.shown[code]))
		}
	}
	return applied, problems
}

// settle finds which of a session's attempts stands in the book, and what is
// wrong with that. refOf tells whose receipt it is that a session was told.
func settle(attempts []*attempt, made []entry, refOf map[string]string) (*attempt, string) {
	var fits *attempt
	for _, a := range attempts {
		switch {
		case a.outcome == ok && len(made) == 0 && refOf[a.code] != "":
			return nil, fmt.Sprintf("lost: %+v is not in the book; it was told %s, which is %s", a.deal, a.code, refOf[a.code])
		case a.outcome == ok && len(made) == 0:
			return nil, fmt.Sprintf("lost: %s %+v is not in the book", a.code, a.deal)
		case a.outcome == ok && (made[0].code != a.code || made[0].deal != a.deal):
			return nil, fmt.Sprintf("wrong: told %s %+v, the book has %s %+v", a.code, a.deal, made[0].code, made[0].deal)
		case a.outcome == ok, a.outcome == unknown && fits == nil && len(made) > 0 && made[0].deal == a.deal:
			fits = a
		}
	}
	if len(made) == 0 {
		return nil, ""
	}
	if fits == nil {
		return nil, fmt.Sprintf("phantom: %s %+v stands, told otherwise", made[0].code, made[0].deal)
	}
	found := *fits
	found.code = made[0].code
	return &found, ""
}

// model is what everybody has, in minor units, by the caller's own arithmetic.
type model map[string]int64

// opening is the demo people's money: README says so.
func opening() model {
	return model{
		"+254712000001": 1000_00, "+254712000002": 250_00, "+254712000003": 0, "float 100001": 50_000_00, "float 100002": 300_00,
		// The first two deposits, of 1,000 and 250, have earned till 100001 its commission.
		"commission 100001": 9_00 + 8_00, "commission 100002": 0, "commission_expense": -17_00, "fees": 0, "tax": 0, "airtime": 0, "trust": -51_550_00,
	}
}

// The head office's accounts: the only ones of their kinds that are no till's.
const officeFloat, officeCommission = "float", "commission"

// withOffice adds the head office that only tuma dev has.
func (m model) withOffice() model {
	m[officeFloat], m[officeCommission] = 20_000_00, 0
	m["trust"] -= 20_000_00
	return m
}

// owner names the account behind a number or a till.
func owner(who string) string {
	if len(who) == 6 {
		return "float " + who
	}
	return who
}

// fee is the published tariff up to 2,500, written down a second time.
func fee(kind string, amount int64) int64 {
	bands := map[string][][2]int64{
		"send": {{100_00, 0}, {500_00, 7_00}, {1000_00, 13_00}, {1500_00, 23_00}, {2500_00, 33_00}}, "withdraw": {{100_00, 11_00}, {2500_00, 29_00}},
		"airtime": {{2500_00, 0}}, "deposit": {{2500_00, 0}},
	}
	return band(bands[kind], amount)
}

// commission is the published commission up to 1,500.
func commission(kind string, amount int64) int64 {
	bands := map[string][][2]int64{
		"deposit":  {{49_99, 0}, {100_00, 4_00}, {510_00, 8_00}, {1010_00, 9_00}, {1510_00, 10_00}},
		"withdraw": {{100_00, 5_00}, {500_00, 8_00}, {1000_00, 10_00}, {1500_00, 12_00}},
	}
	return band(bands[kind], amount)
}

func band(bands [][2]int64, amount int64) int64 {
	for _, b := range bands {
		if amount <= b[0] {
			return b[1]
		}
	}
	return 0
}

// apply does what a payment does.
func (m model) apply(d deal) {
	m[owner(d.from)] -= d.amount + d.fee
	switch d.kind {
	case "airtime":
		m["airtime"] += d.amount
	default:
		m[owner(d.to)] += d.amount
	}
	tax := (2*d.fee*15 + 115) / (2 * 115) // of a fee of 115, 15 is tax; half a cent up
	m["fees"] += d.fee - tax
	m["tax"] += tax
	till := d.to
	if d.kind == "deposit" {
		till = d.from
	}
	if earned := commission(d.kind, d.amount); earned > 0 {
		if _, has := m[officeCommission]; has && till == demoTills[1].number { // its head office gets a fifth, half a cent up
			office := (2*earned + 5) / 10
			m["commission "+till] -= office
			m[officeCommission] += office
		}
		m["commission "+till] += earned
		m["commission_expense"] -= earned
	}
	if d.kind == "airtime" && strings.HasSuffix(d.to, "9999") { // the network refuses these
		m[owner(d.from)] += d.amount + d.fee
		m["airtime"] -= d.amount
		m["fees"] -= d.fee - tax
		m["tax"] -= tax
	}
}

const sqlBalances = `
select coalesce(s.msisdn, 'float ' || f.number, 'commission ' || c.number, a.kind), a.balance
from account a left join customer w on w.wallet = a.id left join sim s on s.customer = w.id
left join till f on f.float = a.id left join till c on c.commission = a.id`

func balances(t testing.TB, pool *sql.DB) model {
	t.Helper()
	rows, err := pool.QueryContext(context.Background(), sqlBalances)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	m := model{}
	for rows.Next() {
		var name string
		var balance int64
		if err := rows.Scan(&name, &balance); err != nil {
			t.Fatal(err)
		}
		m[name] += balance // the house's accounts are several of a kind
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return m
}

// differences lists whose balance is not what the model says.
func (m model) differences(got model) (problems []string) {
	names := map[string]bool{}
	for _, x := range []model{m, got} {
		for name := range x {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if m[name] != got[name] {
			problems = append(problems, fmt.Sprintf("%s has %d, should have %d", name, got[name], m[name]))
		}
	}
	return problems
}
