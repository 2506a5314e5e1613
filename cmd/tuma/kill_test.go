package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tuma/accounts/ledger"
)

// kills is how often TestKill kills the service.
const kills = 10

// TestKill runs tuma dev as a process, pays over HTTP from many phones at once,
// and kills the process, its database with it, again and again, between and in
// the middle of requests. After each restart whoever does not know what became
// of a payment sends the same request again. In the end the audit is clean and
// every caller's history is the journal: nothing is lost, nothing is doubled.
func TestKill(t *testing.T) {
	t.Parallel()
	number := uint64(time.Now().UnixNano())
	if s := os.Getenv("TUMA_TEST_SEED"); s != "" {
		var err error
		if number, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("TUMA_TEST_SEED=%d", number)
	dice := rand.New(rand.NewPCG(number, 0))

	dir := dataDir(t)
	c := &city{t: t, dir: dir, h: &history{}, p: startDev(t, dir), old: map[*attempt]bool{}}
	c.durable()
	c.populate(number)
	asked, stood := 0, 0
	for i := range kills {
		if i%4 == 0 {
			c.drive(nil, time.Duration(30+dice.IntN(500))*time.Millisecond)
		} else { // when many are confirming at once
			c.drive(&gate{quorum: 7, open: make(chan struct{})}, time.Duration(2000+dice.IntN(30_000))*time.Microsecond)
		}
		c.p = startDev(t, dir)
		a, s := c.ambiguous(dir)
		asked, stood = asked+a, stood+s
		c.resolve()
	}
	t.Logf("payments confirmed %d, refused %d, never known %d; when the process was killed %d had no answer, of which %d stood in the book",
		c.h.count()[ok], c.h.count()[refused], c.h.count()[unknown], asked, stood)

	env, databaseURL := devEnvironment(t, dir)
	pool := super(t, databaseURL)
	// What a killed process was sending stays on lease for a minute; here it does not.
	living := "%:" + strconv.Itoa(c.p.cmd.Process.Pid)
	eventually(t, 30*time.Second, "everything is sent and delivered", func() bool {
		var left int
		for _, q := range []string{
			`update notice set next_try_at = now() where status = 'sending' and leased_by not like $1`,
			`update airtime_order set next_try_at = now() where status = 'pending' and $1 <> '' and next_try_at > now() + interval '2 s'`,
		} {
			if _, err := pool.Exec(q, living); err != nil {
				t.Fatal(err)
			}
		}
		if err := pool.QueryRow(`select (select count(*) from airtime_order where status = 'pending') + (select count(*) from every_notice where status in ('owed', 'queued', 'sending'))`).Scan(&left); err != nil {
			t.Fatal(err)
		}
		return left == 0
	})
	r := execute(t, "", env, "audit", "--json")
	var proof ledger.Proof
	if err := json.Unmarshal([]byte(r.out), &proof); err != nil || r.status != 0 || len(proof.Breaks) > 0 || proof.Entries == 0 {
		t.Errorf("audit: status %d %v\n%s%s", r.status, err, r.out, r.errors)
	}
	entries := journal(t, pool)
	applied, problems := c.h.compare(entries)
	m := opening().withOffice()
	for _, a := range applied {
		m.apply(a.deal)
	}
	problems = append(problems, m.differences(balances(t, pool))...)
	if len(problems) > 0 {
		t.Errorf("%s\nhistory:\n%s\nbook:\n%s\nlogs:\n%s", strings.Join(problems, "\n"), c.h, listed(entries), c.logOf(strings.Join(problems, "\n")))
	}
	if len(applied) < kills {
		t.Errorf("only %d payments were made", len(applied))
	}
	pool.Close()
	if status := c.p.end(syscall.SIGINT); status != 0 {
		t.Errorf("status %d after Ctrl-C:\n%s", status, c.p.said)
	}
}

// city is the people of TestKill.
type city struct {
	t      *testing.T
	dir    string // of the data
	h      *history
	p      *process
	people []*person
	old    map[*attempt]bool // unknown ones that were asked for again before
	logs   []string          // of the lives so far: each start begins a new file
}

// durable makes sure that the database keeps what it has confirmed: this test
// says nothing of a service whose commits do not wait for the disk.
func (c *city) durable() {
	_, databaseURL := devEnvironment(c.t, c.dir)
	pool := super(c.t, databaseURL)
	defer pool.Close()
	var relaxed string
	err := pool.QueryRow(`
select coalesce(string_agg(format('%s = %s, by %s', name, setting, source), '; '), '') from pg_settings
where name in ('fsync', 'full_page_writes', 'synchronous_commit') and setting <> 'on'`).Scan(&relaxed)
	if err != nil || relaxed != "" {
		c.t.Fatalf("the database may forget commits: %s %v", relaxed, err)
	}
}

// logOf is what the service said, in all its lives, of the sessions that a text
// names, and whatever else went wrong.
func (c *city) logOf(text string) string {
	var b strings.Builder
	for life, log := range c.logs {
		for said := range strings.Lines(log) {
			_, session, _ := strings.Cut(said, " session=")
			session, _, _ = strings.Cut(session, " ")
			if session != "" && strings.Contains(text, session) || strings.Contains(said, "level=ERROR") {
				fmt.Fprintf(&b, "life %d: %s", life, said)
			}
		}
	}
	return b.String()
}

// listed is a journal, a line each.
func listed(entries []entry) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%s %s %+v\n", e.code, e.ref, e.deal)
	}
	return b.String()
}

func (c *city) ask(session, number, text string) (string, error) {
	status, body, err := postForm(c.p.url+"/ussd/africastalking", ussdForm(session, number, text))
	if err == nil && status != http.StatusOK {
		c.t.Errorf("status %d: %s", status, body)
	}
	return body, err
}

// populate makes more customers than the demo has, since a number may dial ten
// times a minute only.
func (c *city) populate(number uint64) {
	var mu sync.Mutex
	line := func(n uint64) line {
		dice := rand.New(rand.NewPCG(number, n))
		return line{ask: c.ask, choose: func(n int, _ string) int {
			mu.Lock() // one person may be asked from two goroutines, of two lives
			defer mu.Unlock()
			return dice.IntN(n)
		}}
	}
	c.people = cast(line(0), c.h)
	friends := c.people[0].friends
	for i := range 5 {
		p := &person{h: c.h, number: fmt.Sprintf("+25473300010%d", i), id: fmt.Sprintf("3456780%d", i), pin: demoPIN}
		text := "1*" + "WANJA " + string(rune('A'+i)) + "OTI*" + p.id + "*" + demoPIN + "*" + demoPIN
		var seen sight
		for _, in := range []string{"", "1", text[2:strings.Index(text, "*3456")], p.id, demoPIN, demoPIN} {
			if in != "" && p.text != "" {
				p.text += "*"
			}
			p.text += in
			body, err := c.ask("reg-"+p.number[1:], p.number, p.text)
			if err == nil {
				seen, err = look(body)
			}
			if err != nil {
				c.t.Fatal(err)
			}
		}
		if seen.Screen != "registered" {
			c.t.Fatalf("not registered: %+v", seen)
		}
		friends = append(friends, p.number, p.number)
		c.people = append(c.people, p)
		c.fund(i, p.number)
	}
	for i, p := range c.people {
		p.line, p.friends, p.amounts = line(uint64(i+1)), friends, []string{"10", "20", "50", "101.50"}
	}
}

// fund gives a new customer something to pay with, by a deposit at the first till.
func (c *city) fund(i int, number string) {
	from := demoTills[0]
	session, text := fmt.Sprintf("fund-%d", i), "1*"+national(number)+"*500"
	a := c.h.begin(attempt{session: session, number: from.operatorNumber, text: text + "*" + demoPIN, deal: deal{kind: "deposit", from: from.number, to: number, amount: 500_00}})
	var seen sight
	for _, text := range []string{text, a.text} {
		body, err := c.ask(session, from.operatorNumber, text)
		if err == nil {
			seen, err = look(body)
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
	if seen.Screen != "deposit_done" {
		c.t.Fatalf("not funded: %+v", seen)
	}
	a.outcome, a.code = ok, seen.Holes["code"]
}

// gate holds people back before they confirm until a quorum is there.
type gate struct {
	mu      sync.Mutex
	waiting int
	quorum  int
	open    chan struct{}
}

func (g *gate) pass() {
	g.mu.Lock()
	if g.waiting++; g.waiting == g.quorum {
		close(g.open)
	}
	g.mu.Unlock()
	select {
	case <-g.open:
	case <-time.After(3 * time.Second): // not enough people have anything to confirm
	}
}

// drive lets everybody pay until the process is killed, so long after the
// start, or after the gate has opened.
func (c *city) drive(g *gate, life time.Duration) {
	var wg sync.WaitGroup
	for _, p := range c.people {
		wg.Go(func() { c.live(p, g) })
	}
	if g != nil {
		select {
		case <-g.open:
		case <-time.After(3 * time.Second):
		}
	}
	time.AfterFunc(life, func() { c.p.cmd.Process.Kill() })
	wg.Wait()
	<-c.p.done
	log, err := os.ReadFile(filepath.Join(c.dir, "tuma.log"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.logs = append(c.logs, string(log))
}

// ambiguous counts the payments without an answer, and those of them that were
// made: what an exactly-once service is about.
func (c *city) ambiguous(dir string) (asked, stood int) {
	_, databaseURL := devEnvironment(c.t, dir)
	pool := super(c.t, databaseURL)
	defer pool.Close()
	made := map[string]bool{}
	for _, e := range journal(c.t, pool) {
		made[e.session] = true
	}
	for _, a := range c.h.attempts {
		if a.outcome == unknown && !c.old[a] {
			asked++
			if made[a.session] {
				stood++
			}
		}
	}
	return asked, stood
}

// live is one person's requests, one after the other, until one has no answer.
func (c *city) live(p *person, g *gate) {
	for {
		r, goOn := p.next()
		if !goOn {
			continue
		}
		if p.confirms != nil && g != nil {
			g.pass()
		}
		body, err := c.ask(r.session, p.number, r.text)
		if err != nil {
			p.hung = true
			return
		}
		if err := p.take(body, true); err != nil {
			c.t.Error(err)
			return
		}
		if p.seen.Screen == "slow_down" {
			return // ten dials are done; this life is over
		}
	}
}

// resolve sends again what had no answer. Sessions that were in the middle of
// something else go on, or are left, as chance will have it.
func (c *city) resolve() {
	for _, a := range c.h.attempts {
		if a.outcome != unknown || c.old[a] {
			continue
		}
		c.old[a] = true
		for _, p := range c.people {
			if p.number != a.number {
				continue
			}
			if err := p.resolve(a); err != nil {
				c.t.Error(err)
			}
			p.hangUp()
		}
	}
	for _, p := range c.people {
		if p.hung || p.choose(2, "leaves") == 0 {
			p.hangUp()
		}
	}
}
