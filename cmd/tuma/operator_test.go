package main

import (
	"strings"
	"testing"

	"tuma/internal/db/dbtest"
)

// TestOperatorVerbs sets up a network from nothing with the operator's
// commands, each a process of its own, as they are typed.
func TestOperatorVerbs(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	env := environment(settings(t, url, ""))
	const maker, checker, care = "a maker's password", "a checker's password", "a carer's password"
	type want struct {
		status int
		says   string
	}
	did := func(says string) want { return want{0, says} }
	no := func(says string) want { return want{1, says} }
	for _, c := range []struct {
		line, input string
		want        want
	}{
		{"migrate", "", did("up to date")},
		{"audit", "", did("the book is right")},
		{"agent create|Mama Pima Shop & Sons", "", did("MAMA PIMA SHOP & SONS")},
		{"agent create|Mama Pima Shop & Sons", "", no("exists already")},
		{"agent create|<script>", "", no("a name has")},
		{"till create|--agent|Mama Pima Shop & Sons|--name|Market|--number|200001", "", did("till 200001")},
		{"till create|--agent|Mama Pima Shop & Sons|--name|Market|--number|200001", "", no("exists already")},
		{"till create|--agent|Mama Pima Shop & Sons|--name|Station", "", did("till 1001")},
		{"till create|--agent|Nobody|--name|Station", "", no("no agent called")},
		{"till create|--agent|Mama Pima Shop & Sons|--name|Station|--number|12", "", no("6 digits")},
		{"operator create|--till|200001|--phone|0722000077|--name|Juma Kamau|--id-number|23456799|--role|owner", "", did("+254722000077 at till 200001")},
		{"operator create|--till|200001|--phone|0722000077|--name|Juma Kamau|--id-number|23456799", "", no("exists already")},
		{"operator create|--till|200001|--phone|0722000078|--name|Juma Kamau|--id-number|23456799|--role|boss", "", want{2, "--role"}},
		{"operator create|--till|999999|--phone|0722000078|--name|Juma Kamau|--id-number|23456799", "", no("till_unknown")},
		{"operator create|--till|200001|--phone|12|--name|Juma Kamau|--id-number|23456799", "", no("phone")},
		{"staff create|mary|--role|maker", maker + "\n", did("maker mary")},
		{"staff create|mary|--role|checker", maker + "\n", no("exists already")},
		{"staff create|john|--role|checker", checker + "\n", did("checker john")},
		{"staff create|jane|--role|checker", checker + "\n", did("checker jane")},
		{"staff create|cara|--role|care", care + "\n", did("care cara")},
		{"staff create|weak|--role|care", "short\n", no("password has")},
		{"staff create|none|--role|care", "", no("no password")},
		{"float request|--as|mary|--till|200001|--amount|5000|--bank-ref|FT-1", "a wrong password\n", no("no member of staff")},
		{"float request|--as|john|--till|200001|--amount|5000|--bank-ref|FT-1", checker + "\n", no("not an active maker")},
		{"float request|--as|mary|--till|200001|--amount=-5|--bank-ref|FT-1", maker + "\n", no("not an amount")},
		{"float request|--as|mary|--till|200001|--amount|5000|--bank-ref|FT;1", maker + "\n", no("bank reference")},
		{"float request|--as|mary|--till|200001|--amount|5000|--bank-ref|FT-1", maker + "\n", did("float request 1: Ksh5,000.00")},
		{"float request|--as|mary|--till|200001|--amount|9000|--bank-ref|ft-1", maker + "\n", no("exists already")},
		{"float list", "", did("bank FT-1")},
		{"float approve|--as|mary|1", maker + "\n", no("not an active checker")},
		{"float approve|--as|john|2", checker + "\n", no("no such float request: 2")},
		{"float approve|--as|john|1", checker + "\n", did("float is now Ksh5,000.00")},
		{"float approve|--as|john|1", checker + "\n", did("float is now Ksh5,000.00")}, // the receipt of the first time
		{"float approve|--as|jane|1", checker + "\n", no("another checker")},
		{"customer show|--as|cara|0722000077", care + "\n", no("nobody is registered")},
		{"customer reset-pin|--as|mary|0712000001", maker + "\n", no("not an active care")},
		{"float decline|--as|john|--reason|late|1", checker + "\n", no("was approved")},
		{"float take|--as|mary|1", maker + "\n", no("no longer as it was shown")},
		{"office create|Coast Distributors|--share|2500", "", did("share 2500 basis points")},
		{"office create|Coast Distributors", "", no("exists already")},
		{"office share|Coast Distributors|10001", "", no("0 to 10000 basis points")},
		{"office share|Coast Distributors|2000", "", did("")},
		{"office attach|--agent|Mama Pima Shop & Sons|--office|Nobody", "", no("no head office")},
		{"office attach|--agent|Mama Pima Shop & Sons|--office|Coast Distributors", "", did("")},
		{"operator create|--office|Coast Distributors|--phone|0722000079|--name|Amina Said|--id-number|31313131|--role|head", "", did("at till Coast Distributors")},
		{"operator create|--till|200001|--phone|0722000080|--name|Amina Said|--id-number|31313131|--role|head", "", no("a head in a head office")},
		{"agent payout", "", did("0 paid")},
		{"sms dead", "", did("no dead letters")},
		{"sms resend", "", no("give a key")},
		{"sms resend|UKM4Q7X2PA:payer", "", no("no dead letter")},
		{"sms resend|--all", "", did("0 queued again")},
		{"till flags|200001", "", did("")},
		{"till freeze|--as|cara|200001", care + "\n", want{2, "--reason"}},
		{"till freeze|--as|cara|200001|--reason|reported stolen", care + "\n", did("")},
		{"till freeze|--as|mary|200001|--reason|reported stolen", maker + "\n", no("not an active")},
		{"audit", "", did("the book is right")},
		{"float request|--as|mary|--till|200001|--amount|5000|--bank-ref|FT-9", maker + "\n", no("till_closed")},
		{"till unfreeze|--as|cara|200001|--reason|it was found", care + "\n", did("")},
		{"agent freeze|--as|john|Mama Pima Shop & Sons|--reason|fraud is suspected", checker + "\n", did("")},
		{"agent unfreeze|--as|john|Mama Pima Shop & Sons|--reason|it was cleared", checker + "\n", did("")},
		{"operator freeze|--as|cara|0722000077|--reason|the phone was lost", care + "\n", did("")},
		{"operator unfreeze|--as|cara|0722000077|--reason|the phone was found", care + "\n", did("")},
		{"customer freeze|--as|cara|0712000001|--reason|the phone was lost", care + "\n", no("nobody is registered")},
		{"reversal list", "", did("")},
		{"reversal approve|--as|john|7|--reason|one digit", checker + "\n", no("no such request")},
		{"reversal approve|--as|mary|7|--reason|one digit", maker + "\n", no("not an active checker")},
		{"staff code|GEZDGNBVGY3TQOJQ GEZDGNBVGY3TQOJQ", "", did("seconds)")},
		{"staff code|not base32", "", no("one-time code")},
		{"staff reset-factor|--as|mary|--reason|lost phone|mary", maker + "\n", no("cannot approve")},
		{"staff reset-factor|--as|john|--reason|lost phone|mary", checker + "\n", no("no second factor")},
		{"log", "", did("staff:cara\tcommand line\tfreeze\ttill:200001\t\"free\" -> \"frozen\"\treported stolen")},
		{"log --check", "", did("the log is as it was written")},
		{"audit", "", did("the book is right")},
		{"menu check", "", did("all right")},
		{"nonsense", "", want{2, "nonsense"}},
	} {
		args := strings.Split(c.line, "|")
		args = append(strings.Fields(args[0]), args[1:]...)
		r := execute(t, c.input, env, args...)
		if r.status != c.want.status || !strings.Contains(strings.ToLower(r.out+r.errors), strings.ToLower(c.want.says)) {
			t.Errorf("tuma %s\nstatus %d, want %d and %q\n%s%s", c.line, r.status, c.want.status, c.want.says, r.out, r.errors)
		}
		if c.input != "" && strings.Contains(r.out+r.errors, strings.TrimSpace(c.input)) {
			t.Errorf("tuma %s shows the password", c.line)
		}
	}

	// A maker who is made a checker in the database still cannot approve what was the maker's own.
	pool := super(t, url)
	r := execute(t, maker+"\n", env, "float", "request", "--as", "mary", "--till", "200001", "--amount", "70", "--bank-ref", "FT-2")
	id, _, _ := strings.Cut(strings.TrimPrefix(r.out, "float request "), ":")
	if _, err := pool.Exec(`update staff set role = 'checker' where name = 'mary'`); err != nil {
		t.Fatal(err)
	}
	if r := execute(t, maker+"\n", env, "float", "approve", "--as", "mary", id); r.status != 1 || !strings.Contains(r.errors, "cannot approve") {
		t.Errorf("approved alone: status %d %s%s", r.status, r.out, r.errors)
	}
	// So is a log with a line that was changed, and one without its end.
	for _, c := range [][2]string{
		{`update log set reason = 'nothing' where id = 5`, "line 5, or the one before it, was changed"},
		{`delete from log where id = (select max(id) from log)`, "its head says"},
		{`update log set id = id + 1000 where id = 3`, "line 4 follows line 2"},
		{`update log set at = at + interval '1 s' where id = 10`, "line 10"},
	} {
		query, says := c[0], c[1]
		if _, err := pool.Exec(query); err != nil {
			t.Fatal(err)
		}
		if r := execute(t, "", env, "log", "--check"); r.status != 1 || !strings.Contains(r.out, says) {
			t.Errorf("%s: status %d %s%s", query, r.status, r.out, r.errors)
		}
	}
	// A broken book is named, with exit status 1, in both forms.
	if _, err := pool.Exec(`update account set balance = balance + 1 where kind = 'float' and balance > 0`); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"audit"}, {"audit", "--json"}} {
		if r := execute(t, "", env, args...); r.status != 1 || !strings.Contains(r.out, "balance equals postings") {
			t.Errorf("%v of a broken book: status %d %s%s", args, r.status, r.out, r.errors)
		}
	}
}

// TestCustomerCare is the way back from a forgotten PIN, a lost SIM and a freeze.
func TestCustomerCare(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	env := environment(settings(t, b.databaseURL, ""))
	const asha = "+254712000001"
	care := func(args ...string) result {
		t.Helper()
		r := execute(t, demoPassword+"\n", env, append([]string{"customer", args[0], "--as", demoCare}, args[1:]...)...)
		if r.status != 0 {
			t.Errorf("customer %v: status %d %s%s", args, r.status, r.out, r.errors)
		}
		return r
	}
	screen := func(session, number, text, want string) {
		t.Helper()
		s, err := look(b.ask(session, number, text))
		if err != nil || s.Screen != want {
			t.Errorf("%s: %+v %v, want %s", text, s, err, want)
		}
	}
	if r := care("show", asha); !strings.Contains(r.out, "ASHA JUMA") || !strings.Contains(r.out, "PIN ready") {
		t.Errorf("shown: %s", r.out)
	}
	care("reset-pin", asha)
	screen("c1", asha, "", "set_pin")
	if s := b.key("c2", asha, demoCustomers[0].id+"*8064*8064"); s.Screen != "pin_set" {
		t.Errorf("no PIN chosen: %+v", s)
	}
	care("freeze", asha, "--reason", "the phone was stolen")
	screen("c3", asha, "", "frozen")
	if s := b.key("c4", "+254712000002", "1*0712000001"); s.Problem != "payee_frozen" {
		t.Errorf("sending to a frozen wallet: %+v", s)
	}
	care("unfreeze", asha, "--reason", "the customer has come in person")
	care("move", asha, "--to", "0712000009")
	screen("c5", asha, "", "stranger")
	if s := b.key("c6", "+254712000009", "4*1*8064"); s.Screen != "balance_is" || cents(s.Holes["balance"]) != 1000_00 {
		t.Errorf("on the new number: %+v", s)
	}
	if p, err := proof(t.Context(), b.service.pool); err != nil || len(p.Breaks) > 0 {
		t.Errorf("audit: %v %v", p.Breaks, err)
	}
}
