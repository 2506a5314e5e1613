package ussd_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tuma/internal/phone"
	"tuma/ussd"
	"tuma/ussd/dialogues"
)

// demo is a world with the default cast and money in asha's wallet.
func demo(t testing.TB) *world {
	w := newWorld(t)
	w.people(dialogues.DefaultCast())
	w.give(asha, 2000_00)
	return w
}

func want(t testing.TB, got, start string) {
	t.Helper()
	if !strings.HasPrefix(got, start) {
		t.Errorf("got  %q\nwant %q...", got, start)
	}
}

// wantPaid says how often asha's 500 were sent.
func (w *world) wantPaid(times int) {
	w.t.Helper()
	var n int
	w.must(w.pool.Get(w.t.Context(), &n, `select count(*) from entry where kind = 'send'`))
	if n != times {
		w.t.Errorf("paid %d times, want %d", n, times)
	}
}

const payment = "1*0712000002*500"

// A gateway may send any request any number of times and in any order.
func TestRepeatedAndDisorderedRequests(t *testing.T) {
	t.Parallel()
	w := demo(t)
	texts := []string{"", "1", "1*0712000002", payment, payment + "*" + canary}
	var replies []string
	for i, text := range texts {
		replies = append(replies, w.ask("s", asha, text))
		for j := range i + 1 {
			if got := w.ask("s", asha, texts[j]); got != replies[j] {
				t.Fatalf("after %q, %q answered %q, the first time %q", text, texts[j], got, replies[j])
			}
		}
	}
	want(t, replies[4], "END UKM")
	want(t, w.ask("s", asha, payment+"*"+canary+"*1"), "END This session is over")
	want(t, w.ask("s", asha, "1*0712000003"), "END This session is over")
	w.wantPaid(1)
	if b := w.balance(asha); b != 1493_00 {
		t.Errorf("balance %d", b)
	}
	w.wantNoPIN()
}

// A request that does not follow on what was answered changes nothing.
func TestStrayRequest(t *testing.T) {
	t.Parallel()
	w := demo(t)
	w.ask("s", asha, "")
	at := w.ask("s", asha, "1")
	for _, stray := range []string{"2", "2*1", "12", "3*1*1*1"} {
		if got := w.ask("s", asha, stray); got != at {
			t.Errorf("%q moved the session: %q", stray, got)
		}
	}
	want(t, w.ask("s", asha, "1*0712000002"), "CON Send to BARAKA")
}

// What follows the last text is one input, also with stars in it.
func TestStarsInAnInput(t *testing.T) {
	t.Parallel()
	w := demo(t)
	w.ask("s", asha, "")
	want(t, w.ask("s", asha, "1*0712000002*500"), "CON Not on the list")
	want(t, w.ask("s", asha, "1*0712000002*500*1"), "CON Send to (phone")
	want(t, w.ask("s", asha, "1*0712000002*500*1*07*12"), "CON Not a phone number")
	want(t, w.ask("s", asha, "1*0712000002*500*1*07*12*0712000002"), "CON Send to BARAKA")
}

func TestSomebodyElsesSession(t *testing.T) {
	t.Parallel()
	w := demo(t)
	w.ask("s", asha, "")
	w.ask("s", asha, payment[:1])
	if got := w.ask("s", baraka, "1*0712000003"); got != "END " {
		t.Errorf("another number got %q", got)
	}
	if !strings.Contains(w.log.String(), "somebody else opened") {
		t.Error("no warning in the log")
	}
	reply := w.machine.Answer(t.Context(), ussd.Request{Gateway: "at", Session: "s", From: asha, ServiceCode: "*999#", Text: "1*0712000003"})
	if !reply.End || reply.Text != "" {
		t.Errorf("another service code got %+v", reply)
	}
	want(t, w.ask("s", asha, "1*0712000002"), "CON Send to BARAKA")
}

// A session that Redis has lost is walked again from what the gateway remembers,
// up to the PIN, which is asked again; the payment keeps its ref.
func TestRedisForgets(t *testing.T) {
	t.Parallel()
	w := demo(t)
	forget := func() { w.must(w.redis.FlushAll(t.Context()).Err()) }
	w.ask("s", asha, "")
	w.ask("s", asha, "1")
	forget()
	want(t, w.ask("s", asha, "1*0712000002"), "CON Send to BARAKA")
	forget()
	want(t, w.ask("s", asha, payment), "CON Send Ksh500.00 to BARAKA OTIENO")
	forget()
	want(t, w.ask("s", asha, payment+"*"+canary), "CON Send Ksh500.00 to BARAKA OTIENO")
	want(t, w.ask("s", asha, payment+"*"+canary+"*"+canary), "END UKM")
	w.wantPaid(1)
	// The gateway did not hear that, and Redis forgets that it was said.
	forget()
	want(t, w.ask("s", asha, payment+"*"+canary+"*"+canary), "CON 9:15 AM: you sent Ksh500.00 to BARAKA OTIENO (UKM")
	w.wantPaid(1)
	w.wantNoPIN()
}

// The ref does not depend on the way to the PIN, so a session that pays again
// after a loss makes the same payment even if it is not asked about.
func TestRefSurvivesTheLossOfASession(t *testing.T) {
	t.Parallel()
	w := demo(t)
	w.ask("s", asha, "")
	w.ask("s", asha, "1")
	w.ask("s", asha, "1*0712000002")
	w.ask("s", asha, payment)
	w.ask("s", asha, payment+"*1379")
	want(t, w.ask("s", asha, payment+"*1379*"+canary), "END UKM")
	w.must(w.redis.FlushAll(t.Context()).Err())
	w.clock.wait(3 * time.Minute) // longer than the question about the same payment
	want(t, w.ask("s", asha, payment+"*1379*"+canary), "CON Send Ksh500.00")
	want(t, w.ask("s", asha, payment+"*1379*"+canary+"*"+canary), "END UKM")
	w.wantPaid(1)
}

// Two processes get the same request at the same moment, many times over.
func TestConcurrentIdenticalRequests(t *testing.T) {
	t.Parallel()
	w := demo(t)
	other := w.newMachine(openRedis(t, w.kept.URL()), slog.New(slog.NewTextHandler(w.log, nil)))
	texts := []string{"", "1", "1*0712000002", payment, payment + "*" + canary}
	for _, text := range texts {
		var wg sync.WaitGroup
		replies := make([]ussd.Reply, 8)
		for i := range replies {
			m := []*ussd.Machine{w.machine, other}[i%2]
			wg.Go(func() {
				replies[i] = m.Answer(t.Context(), ussd.Request{Gateway: "at", Session: "s", From: asha, ServiceCode: "*334#", Text: text})
			})
		}
		wg.Wait()
		for _, r := range replies[1:] {
			if r != replies[0] {
				t.Fatalf("%q was answered with %+v and %+v", text, replies[0], r)
			}
		}
	}
	w.wantPaid(1)
}

// A late answer of a session that was left for a new one does not pay a second time.
func TestOlderSessionIsOver(t *testing.T) {
	t.Parallel()
	w := demo(t)
	w.ask("one", asha, "")
	w.ask("one", asha, "1")
	w.ask("one", asha, "1*0712000002")
	w.ask("one", asha, payment)
	want(t, w.ask("two", asha, ""), "CON Continue: Send money?")
	want(t, w.ask("two", asha, "1"), "CON Send Ksh500.00")
	want(t, w.ask("two", asha, "1*"+canary), "END UKM")
	want(t, w.ask("one", asha, payment+"*"+canary), "END This session is over")
	w.wantPaid(1)
}

// A session that is answering while a newer one opens does not take the phone
// back, and one that is left does not pay any more.
func TestNewestSessionKeepsTheLine(t *testing.T) {
	t.Parallel()
	w := demo(t)
	w.ask("one", asha, payment)
	w.ask("two", asha, payment)
	// As if "one" had been read before "two" was stored: it still thinks it is alone.
	line, err := w.redis.Get(t.Context(), "ussd:line:"+asha).Result()
	w.must(err)
	if !strings.Contains(line, `"session":"at:two"`) {
		t.Fatalf("the line is %s", line)
	}
	want(t, w.ask("one", asha, payment+"*0"), "END This session is over")
	want(t, w.ask("two", asha, payment+"*"+canary), "END UKM")
	w.wantPaid(1)
}

// A stored line is told from another session's by how it begins, whatever a
// gateway calls its sessions.
func TestALineIsItsSessions(t *testing.T) {
	t.Parallel()
	names := []string{"at:a", "at:ab", "at:a,b", "at:a,", `at:a","service":"*334#`, `at:a"`, `at:a\`, `at:a\"`, "at:<&>"}
	for _, a := range names {
		_, own, err := ussd.StoredLine(a)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range names {
			if stored, _, _ := ussd.StoredLine(b); strings.HasPrefix(stored, own) != (a == b) {
				t.Errorf("%s begins as %s does: %v", stored, own, a != b)
			}
		}
	}
}

// After the break the same payment may have happened: resuming asks.
func TestResumeAsksAboutTheSamePayment(t *testing.T) {
	t.Parallel()
	w := demo(t)
	w.ask("one", asha, payment)
	want(t, w.ask("one", asha, payment+"*"+canary), "END UKM")
	w.ask("two", asha, payment[:1])
	w.ask("two", asha, "1*0712000002")
	want(t, w.ask("two", asha, payment), "CON 9:15 AM: you sent")
	want(t, w.ask("three", asha, ""), "CON Continue")
	want(t, w.ask("three", asha, "1"), "CON Send to BARAKA OTIENO")
	want(t, w.ask("three", asha, "1*500"), "CON 9:15 AM: you sent")
	want(t, w.ask("three", asha, "1*500*1"), "CON Send Ksh500.00")
	want(t, w.ask("four", asha, ""), "CON Continue")
	want(t, w.ask("four", asha, "1"), "CON 9:15 AM: you sent")
}

// Without Redis nobody is served, everybody is told so quickly, and nothing moves.
func TestRedisIsGone(t *testing.T) {
	t.Parallel()
	sorry := "END Sorry, something went wrong. Please try again later."
	t.Run("stopped", func(t *testing.T) {
		t.Parallel()
		w := demo(t)
		for _, text := range []string{"", "1", "1*0712000002", payment} {
			w.ask("s", asha, text)
		}
		w.must(w.kept.Stop())
		for _, text := range []string{payment + "*" + canary, "", "1"} {
			if got := w.ask("s", asha, text); got != sorry {
				t.Errorf("got %q", got)
			}
		}
		w.wantPaid(0)
		if canaryAlone.MatchString(w.log.String()) {
			t.Error("the PIN is in the log")
		}
	})
	t.Run("silent", func(t *testing.T) {
		t.Parallel()
		w := demo(t)
		m := w.newMachine(openRedis(t, "redis://"+silentServer(t)), slog.New(slog.NewTextHandler(w.log, nil)))
		begin := time.Now()
		reply := m.Answer(t.Context(), ussd.Request{Gateway: "at", Session: "s", From: asha, ServiceCode: "*334#"})
		if "END "+reply.Text != sorry {
			t.Errorf("got %+v", reply)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("that took %v", took)
		}
	})
}

// silentServer accepts connections and never answers.
func silentServer(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go io.Copy(io.Discard, c)
		}
	}()
	return l.Addr().String()
}

func TestTooManyDials(t *testing.T) {
	t.Parallel()
	w := demo(t)
	for i := range 10 {
		want(t, w.ask(fmt.Sprint("s", i), asha, ""), "CON Tuma")
	}
	for i := range 5 {
		want(t, w.ask(fmt.Sprint("more", i), asha, ""), "END Too many dials")
	}
	want(t, w.ask("s11", baraka, ""), "CON Tuma")
	w.clock.wait(time.Minute)
	want(t, w.ask("s12", asha, ""), "CON Tuma")
	if got := w.events(); got != "dials refuse phone:"+asha+" by USSD" { // told once
		t.Error(got)
	}
}

func TestTooManyLookUps(t *testing.T) {
	t.Parallel()
	w := demo(t)
	look := func(session string) string {
		w.clock.wait(7 * time.Second) // within ten dials a minute
		return w.ask(session, asha, "1*0712000002")
	}
	for i := range 7 {
		want(t, look(fmt.Sprint("first", i)), "CON Send to BARAKA")
	}
	if got := w.events(); got != "" {
		t.Error(got)
	}
	for i := range 12 {
		want(t, look(fmt.Sprint("a", i)), "CON Send to BARAKA")
	}
	if got := w.events(); got != "lookups_unpaid alert phone:"+asha+" 8 by USSD" {
		t.Error(got)
	}
	// A payment gives them all back.
	want(t, look("pays"), "CON Send to BARAKA")
	w.ask("pays", asha, payment)
	want(t, w.ask("pays", asha, payment+"*"+canary), "END UKM")
	for i := range 20 {
		want(t, look(fmt.Sprint("b", i)), "CON Send to BARAKA")
	}
	want(t, look("last"), "END You have looked up too many names")
	if got := w.events(); !strings.HasSuffix(got, "; lookups refuse phone:"+asha+" by USSD") || strings.Count(got, ";") != 1 {
		t.Error(got)
	}
}

// Where the limits alone lose Redis: dials go on, names are not shown.
func TestLimitsWithoutRedis(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	o, err := ussd.RedisOptions("redis://" + silentServer(t))
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(o)
	defer client.Close()
	l, err := ussd.NewLimits(client, ussd.DefaultLimits(), log)
	if err != nil {
		t.Fatal(err)
	}
	if ok, first := l.Dial(context.Background(), phone.Number(asha)); !ok || first {
		t.Error("dials fail closed")
	}
	if _, err := l.LookUp(context.Background(), phone.Number(asha)); err == nil {
		t.Error("look-ups fail open")
	}
	for _, bad := range []ussd.LimitOptions{{}, {DialsPerMinute: 1}, {LookUpsPerDay: 1}, {DialsPerMinute: -1, LookUpsPerDay: 1}} {
		if _, err := ussd.NewLimits(client, bad, log); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

// Odd input at every screen of a payment is asked about again and costs nothing.
func TestOddInputEverywhere(t *testing.T) {
	t.Parallel()
	w := demo(t)
	odd := []string{"", "*", "#", "##", "*#06#", "５００", "٥٠٠", "0x1F4", "1e3", "-5", "5\x00", "\x1b[2J", "500\n", strings.Repeat("9", 5000), strings.Repeat("é", 400), "\xff\xfe", "'; drop table customer; --", "{amount}", "%s%n", "<b>"}
	for i, path := range []string{"", "1", "1*0712000002", payment, "2", "2*100001", "3*2", "4*4", "4*3"} {
		session := fmt.Sprint("odd", i)
		w.clock.wait(time.Minute)
		text := path
		at := w.ask(session, asha, text)
		for _, in := range odd {
			text += "*" + in
			if path == "" && !strings.Contains(text[1:], "*") {
				text = in
				if text == "" {
					continue // the first request again
				}
			}
			got := w.ask(session, asha, text)
			if !strings.HasPrefix(got, "CON ") {
				t.Errorf("at %q, %q: %q", path, in, got)
			}
			if in != "" && len(in) > 2 && strings.Contains(got, in) && in != "##" {
				t.Errorf("at %q, %q comes back: %q", path, in, got)
			}
		}
		_ = at
	}
	w.wantPaid(0)
	if b := w.balance(asha); b != 2000_00 {
		t.Errorf("balance %d", b)
	}
	// None of that was a try of the PIN.
	w.clock.wait(10 * time.Minute)
	w.ask("fine", asha, payment)
	want(t, w.ask("fine", asha, payment+"*1379"), "CON Wrong PIN. Tries left: 2")
	w.dump()
}

func TestTooManySteps(t *testing.T) {
	t.Parallel()
	w := demo(t)
	text := ""
	for range ussd.MaxSteps {
		want(t, w.ask("s", asha, text), "CON")
		text = strings.TrimPrefix(text+"*9", "*")
	}
	want(t, w.ask("s", asha, text), "END This session is over")
}

// A payment that certainly did not happen is called one; see TestUndecided for the others.
func TestRefusedPayment(t *testing.T) {
	t.Parallel()
	w := demo(t)
	w.ask("s", asha, payment)
	w.accounts.Close() // the book takes nothing more: a definite no
	want(t, w.ask("s", asha, payment+"*"+canary), "END Tuma is very busy. Nothing was paid")
	w.wantPaid(0)
}

// A till operator's frozen access, closed till and role are found out at the
// latest by the verbs.
func TestTillsThatMayNotServe(t *testing.T) {
	t.Parallel()
	w := demo(t)
	w.float("100001", 5000_00)
	steps := func(session string) string {
		w.clock.wait(time.Minute)
		return w.ask(session, juma, "1*0712000001*100")
	}
	want(t, steps("a"), "CON Take Ksh100.00")
	w.exec(`update operator set role = 'auditor' where msisdn = '` + juma + `'`)
	want(t, steps("b"), "END You may not do this")
	w.exec(`update till set closed = true where number = '100001'`)
	want(t, steps("c"), "CON This till is closed.")
	want(t, w.ask("d", asha, "2*100001"), "CON This till is closed.")
	w.exec(`update operator set frozen = true where msisdn = '` + juma + `'`)
	want(t, steps("e"), "END Your account is frozen")
}
