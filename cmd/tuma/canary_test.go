package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"tuma/internal/callers"
	"tuma/ussd"
)

// The PINs of this test. They stand nowhere else in it: not in a number, an
// amount, an ID, or a time of the test's clock.
const (
	canary    = "7391"
	canaryNew = "8064"
	canaryBad = "9357"
)

var canaries = []string{canary, canaryNew, canaryBad}

// chance is what is made of random digits and may look like a PIN by chance.
var chance = regexp.MustCompile(`\b(?:SM|AT)[0-9A-Fa-f]{16,32}\b|0x[0-9a-f]+|\b127\.0\.0\.1:[0-9]+|\bgoroutine [0-9]+|\.go:[0-9]+|localhost:[0-9]+|\b[0-9a-f]{32,}\b`)

// hits are the places in which a canary stands: the log, every column of every
// table, every key and value in Redis, every SMS.
func (b *bank) hits() (found []string) {
	b.t.Helper()
	see := func(where, text string) {
		text = chance.ReplaceAllString(text, "")
		unescaped, err := url.QueryUnescape(text)
		if err != nil {
			unescaped = ""
		}
		for _, c := range canaries {
			if strings.Contains(text, c) || strings.Contains(unescaped, c) {
				found = append(found, fmt.Sprintf("%s in %s: %.300s", c, where, text))
			}
		}
	}
	for line := range strings.Lines(b.log.String()) {
		see("the log", line)
	}
	b.everyValue(see)
	b.everyKey(see)
	for _, number := range []string{"+254712000001", "+254712000002", "+254712000003", "+254722000001", "+254722000002", "+254733000001", "+254733000002"} {
		inbox, err := b.network.Inbox(number)
		b.must(err)
		for _, m := range inbox {
			see("an SMS", m.Body)
		}
	}
	return found
}

// everyValue gives all that the database holds: text as it is, bytes as they
// are, not as hexadecimal digits. The migrations' own table is left out: its times
// are those of the real clock, and any four digits turn up in them some day.
func (b *bank) everyValue(see func(where, text string)) {
	b.t.Helper()
	rows, err := b.super.Query(`
select c.relname, a.attname, format('select %I from %I', a.attname, c.relname), a.atttypid = 'bytea'::regtype
from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast') and c.relkind = 'r' and c.relname <> 'goose_db_version' and a.attnum > 0 and not a.attisdropped
order by 1, 2`)
	b.must(err)
	type column struct {
		table, name, query string
		bytes              bool
	}
	var columns []column
	for rows.Next() {
		var c column
		b.must(rows.Scan(&c.table, &c.name, &c.query, &c.bytes))
		columns = append(columns, c)
	}
	b.must(errors.Join(rows.Err(), rows.Close()))
	if len(columns) < 100 {
		b.t.Fatalf("only %d columns were searched", len(columns))
	}
	for _, c := range columns {
		query := strings.Replace(c.query, "select ", "select coalesce((", 1)
		if c.bytes {
			query = strings.Replace(query, " from ", "), '') from ", 1)
		} else {
			query = strings.Replace(query, " from ", ")::text, '') from ", 1)
		}
		values, err := b.super.Query(query)
		b.must(err)
		for values.Next() {
			var v []byte
			b.must(values.Scan(&v))
			see(c.table+"."+c.name, string(bytes.ToValidUTF8(v, []byte("\x00"))))
		}
		b.must(errors.Join(values.Err(), values.Close()))
	}
}

// everyKey gives all that Redis holds.
func (b *bank) everyKey(see func(where, text string)) {
	b.t.Helper()
	ctx, r := context.Background(), b.service.redis
	keys, err := r.Keys(ctx, "*").Result()
	b.must(err)
	for _, k := range keys {
		kind, err := r.Type(ctx, k).Result()
		b.must(err)
		var v any
		switch kind {
		case "string":
			v, err = r.Get(ctx, k).Result()
		case "hash":
			v, err = r.HGetAll(ctx, k).Result()
		case "list":
			v, err = r.LRange(ctx, k, 0, -1).Result()
		case "zset":
			v, err = r.ZRange(ctx, k, 0, -1).Result()
		case "set":
			v, err = r.SMembers(ctx, k).Result()
		}
		b.must(err)
		see("Redis", fmt.Sprintf("%s = %v", k, v))
	}
}

// wantNoHits looks everywhere, now.
func (b *bank) wantNoHits(after string) {
	b.t.Helper()
	for _, h := range b.hits() {
		b.t.Errorf("after %s: %s", after, h)
	}
}

// end keys in a whole session and wants it to come to a screen.
func (b *bank) end(session, number, text, want string) {
	b.t.Helper()
	if s := b.key(session, number, text); s.Screen != want && s.Problem != want {
		b.t.Errorf("%s: %+v, want %s", session, s, want)
	}
}

// TestNoPINAnywhere takes PINs that stand nowhere else through everything that
// can be done with a PIN, rightly and wrongly, and then looks for them in all
// that the service keeps and says, at the most talkative level of its log.
func TestNoPINAnywhere(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	const asha, baraka, new1, new2, juma = "+254712000001", "+254712000002", "+254733000001", "+254733000002", "+254722000001"

	b.end("r1", new1, "1*WANJA OTI*34567801*"+canary+"*"+canaryBad, "pin_mismatch")
	b.end("r2", new1, "1*WANJA OTI*34567801*"+canary+"*"+canary, "registered")
	b.wantNoHits("registering")
	b.end("c1", asha, "4*3*"+demoPIN+"*"+canary+"*"+canary, "pin_changed")
	b.end("c2", asha, "4*3*"+canary+"*"+canaryNew+"*"+canaryNew, "pin_changed")
	b.end("c3", asha, "4*3*"+canaryNew+"*"+canary+"*"+canary, "pin_changed")
	b.end("c4", juma, "5*"+demoPIN+"*"+canary+"*"+canary, "pin_changed")
	b.wantNoHits("changing")
	b.end("p1", asha, "1*0712000002*100*"+canaryBad+"*"+canary, "send_done")
	b.end("p2", asha, "2*100001*100*"+canary, "withdraw_done")
	b.end("p3", asha, "3*1*20*"+canary, "airtime_done")
	b.end("p4", asha, "4*1*"+canary, "balance_is")
	b.end("p5", asha, "4*2*"+canary, "last_is") // which looks like a mini statement
	b.end("p6", juma, "1*0712000001*500*"+canary, "deposit_done")
	b.end("p7", juma, "2*0733000002*BETI OTI*34567802*"+canary, "enrolled")
	b.end("p8", new2, "34567802*"+canary+"*"+canary, "pin_set")
	b.end("p9", juma, "3*"+canary, "float_is")
	b.end("p10", juma, "4*"+canary, "last_is")
	b.wantNoHits("using")

	// Where a PIN does not belong.
	b.ask("w1", asha, "1*0712000002*100*"+canary) // a dial string with the PIN in it
	b.ask("w2", asha, canary)                     // *334*7391#
	b.wait(6 * time.Minute)                       // out of "continue?" and "again?"
	b.end("w3", asha, "1*"+canary, "bad_phone")   // as a phone number
	b.wait(6 * time.Minute)
	b.end("w4", asha, "2*"+canary, "bad_till") // as a till
	b.wait(6 * time.Minute)
	b.end("w5", new2, "4*4*"+canary, "bad_choice") // as a choice
	b.wait(6 * time.Minute)
	b.end("w6", asha, "1*0712000002*100*"+canary+"#", "bad_pin") // with the key that ends a code
	b.wait(6 * time.Minute)
	b.end("w7", asha, "1*0712000002*100* "+canary[:2]+" "+canary[2:], "bad_pin")
	b.dropped("w7", asha, "1*0712000002*100*"+canary)                      // the event repeats the input
	b.dropped("w8", asha, canary)                                          // of a session that nobody knows
	b.post("/ussd/africastalking", ussdForm("w9", "not a number", canary)) // a form that is refused
	b.post("/ussd/africastalking?text="+canary, ussdForm("w9", asha, canary))
	b.post("/ussd/africastalking/"+canary, ussdForm("w9", asha, canary))
	for _, s := range []string{"%s", "PIN %s", "BAL %s", "SEND 50 0712000002 %s", "send %s 50 0712000002", "WITHDRAW 100 100001 %s", "AIRTIME 20 %s", "CHECK %s", "hello%s", "UKM4Q7X2PA Confirmed. %s"} {
		b.must(b.texts(t.Context(), asha, fmt.Sprintf(s, canary)))
		b.must(b.texts(t.Context(), "+254733000009", fmt.Sprintf(s, canary))) // a stranger
	}
	if n := b.count(`select count(*) from inbound where word = 'pin' and msisdn = $1`, asha); n != 10 {
		t.Errorf("%d PINs were seen in 10 messages", n)
	}
	b.relayed()
	b.wantNoHits("a PIN where none belongs")

	// Locked, and back.
	for i, want := range []string{"wrong_pin", "wrong_pin", "refusal.pin_locked"} {
		b.end(fmt.Sprintf("l%d", i), baraka, "4*1*"+canaryBad, want)
	}
	b.end("l4", baraka, demoCustomers[1].id, "unlocked")
	b.wantNoHits("locking")

	// Redis forgets in the middle, and goes away altogether.
	b.wait(6 * time.Minute)
	b.key("f1", asha, "1*0712000002*70")
	b.flush()
	b.ask("f1", asha, "1*0712000002*70*"+canary)
	b.ask("f1", asha, "1*0712000002*70*"+canary+"*"+canary)
	b.wantNoHits("Redis forgot")

	// The database refuses in the middle.
	b.wait(6 * time.Minute)
	b.key("d1", asha, "1*0712000002*50")
	for _, q := range []string{`alter table pin rename to pin_gone`, `alter table pin_gone rename to pin`} {
		_, err := b.super.Exec(q)
		b.must(err)
		if s, err := look(b.ask("d1", asha, "1*0712000002*50*"+canary)); err != nil || s.Screen != "sorry" {
			t.Errorf("without its table: %+v %v", s, err)
		}
	}
	b.panics(asha)
	b.wantNoHits("panics and a lost table")

	b.settled()
	b.wantNoHits("everything was sent")
	b.wait(6 * time.Minute)
	b.key("x1", asha, "1*0712000002*30")
	b.redis.Stop()
	if s, err := look(b.ask("x1", asha, "1*0712000002*30*"+canary)); err != nil || s.Screen != "sorry" {
		t.Errorf("without Redis: %+v %v", s, err)
	}
	for line := range strings.Lines(b.log.String()) {
		for _, c := range canaries {
			if strings.Contains(chance.ReplaceAllString(line, ""), c) {
				t.Errorf("without Redis the log says %s", line)
			}
		}
	}
	if !strings.Contains(b.log.String(), "panic") || strings.Count(b.log.String(), "\n") < 100 {
		t.Errorf("the log is not the service's:\n%s", b.log)
	}
}

// panics runs PIN screens whose actions fail in the worst way: with an error
// and a panic, while the PIN is in the request.
func (b *bank) panics(number string) {
	b.t.Helper()
	words, err := ussd.Words()
	b.must(err)
	limits, err := ussd.NewLimits(b.service.redis, plenty, b.config.log)
	b.must(err)
	for name, action := range map[string]ussd.Action{
		"panic": func(context.Context, *ussd.Step) error { panic("planted") },
		"index": func(_ context.Context, s *ussd.Step) error { _ = s.Lang[len(s.Lang)]; return nil },
		"error": func(context.Context, *ussd.Step) error { return errors.New("planted") },
	} {
		menu := ussd.Tree()
		sc := menu.Screens["balance"]
		sc.Do = action
		menu.Screens["balance"] = sc
		m, err := ussd.New(ussd.Config{
			Accounts: b.service.accounts, Agents: b.service.agents, Redis: b.service.redis, Limits: limits, Menu: menu, Words: words,
			Key: b.config.keys.session, Rand: newSeeded(), Now: b.clock.now, Log: b.config.log,
		})
		b.must(err)
		h, err := ussd.Handler(m, "africastalking", callers.Callers{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
		b.must(err)
		for _, text := range []string{"4*1", "4*1*" + canary} {
			r := httptest.NewRequest(http.MethodPost, "/ussd/africastalking", strings.NewReader(ussdForm("panic-"+name, number, text).Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if s, err := look(w.Body.String()); err != nil || w.Code != 200 || text != "4*1" && s.Screen != "sorry" {
				b.t.Errorf("%s: %d %+v %v", name, w.Code, s, err)
			}
		}
	}
}

// TestCanarySearch shows that the search finds a PIN wherever one is planted.
func TestCanarySearch(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	b.relayed()
	keep := b.keepPacked()
	defer keep.Rollback()
	b.wantNoHits("nothing")
	ctx := context.Background()
	exec := func(query string) func() {
		return func() {
			_, err := b.super.Exec(query)
			b.must(err)
		}
	}
	for where, plant := range map[string]func(){
		"the log":       func() { b.config.log.Debug("form", "text", url.QueryEscape("1*2*"+canary)) },
		"notice.body":   exec(`update notice set body = body || ' ` + canary + `'`),
		"owed.bodies":   exec(`insert into owed (at, keys, tos, langs, bodies, priorities) values (now(), '{k}', '{+254712000001}', '{en}', '{` + canary + `}', '{1}')`),
		"pin.salt":      exec(`update pin set salt = '` + canary + `'::bytea`),
		"entry":         exec(`update entry set memo = memo || '` + canary + `'`),
		"an SMS":        func() { b.network.Inbox("+254712000001") },
		"Redis":         func() { b.must(b.service.redis.Set(ctx, "k", "x*"+canary, time.Hour).Err()) },
		"Redis: " + "h": func() { b.must(b.service.redis.HSet(ctx, "h", canaryNew, "1").Err()) },
	} {
		if where == "an SMS" {
			m, err := b.network.Inbox("+254712000001")
			b.must(err)
			m[0].Body += canaryBad
			b.must(b.network.Deliver(m[0]))
		}
		before := len(b.hits())
		plant()
		got := b.hits()
		if where != "an SMS" && len(got) == before || !strings.Contains(strings.Join(got, "\n"), strings.TrimSuffix(where, ": h")) {
			t.Errorf("not found in %s: %v", where, got)
		}
	}
}
