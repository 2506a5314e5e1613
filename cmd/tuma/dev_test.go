package main

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

var processNumber = regexp.MustCompile(`(PostgreSQL|redis-server)[^\n]*\(process (\d+)\)`)

// servers are the processes that the banner names.
func (p *process) servers() map[string]int {
	pids := map[string]int{}
	for _, m := range processNumber.FindAllStringSubmatch(p.said.String(), -1) {
		pids[m[1]], _ = strconv.Atoi(m[2])
	}
	return pids
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// balance reads a customer's balance the way customers do.
func (p *process) balance(session, number string) int64 {
	p.t.Helper()
	var s sight
	for _, text := range []string{"4*1", "4*1*" + demoPIN} {
		status, body, err := postForm(p.url+"/ussd/africastalking", ussdForm(session, number, text))
		if err == nil {
			s, err = look(body)
		}
		if err != nil || status != http.StatusOK {
			p.t.Fatalf("status %d: %v", status, err)
		}
	}
	if s.Screen != "balance_is" {
		p.t.Fatalf("no balance: %+v", s)
	}
	return cents(s.Holes["balance"])
}

func (p *process) pay(session, number, text string) {
	p.t.Helper()
	var s sight
	for _, text := range []string{text, text + "*" + demoPIN} {
		_, body, err := postForm(p.url+"/ussd/africastalking", ussdForm(session, number, text))
		if err == nil {
			s, err = look(body)
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
	if !strings.HasSuffix(s.Screen, "_done") {
		p.t.Fatalf("not paid: %+v", s)
	}
}

// TestDev is the life of a data directory.
func TestDev(t *testing.T) {
	t.Parallel()
	const asha = "+254712000001"
	dir := dataDir(t)
	p := startDev(t, dir, "--redis=server")
	for _, want := range []string{"127.0.0.1", "/simulator/", asha, "+254722000002", "100002", demoPIN, dir, demoMaker, demoChecker, demoOffice.number} {
		if !strings.Contains(p.said.String(), want) {
			t.Errorf("the banner does not say %s:\n%s", want, p.said)
		}
	}
	if !strings.HasSuffix(p.said.String(), "\nready "+p.url+"\n") {
		t.Errorf("the banner does not end in the line that says ready:\n%s", p.said)
	}
	if b := p.balance("b1", asha); b != 1000_00 {
		t.Errorf("a demo balance of %d", b)
	}
	p.pay("p1", asha, "1*0712000002*100")

	// The SMS of the payment lands on the simulated phone, over HTTP.
	eventually(t, 10*time.Second, "the payee's SMS", func() bool {
		resp, err := impatient.Get(p.url + "/simulator/phones/+254712000002/sms")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var inbox []struct{ Body string }
		if err := json.NewDecoder(resp.Body).Decode(&inbox); err != nil {
			t.Fatal(err)
		}
		return len(inbox) > 0 && strings.Contains(inbox[len(inbox)-1].Body, "Ksh100.00")
	})

	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"a second start", []string{"--data", dir, "--listen", "127.0.0.1:0"}, "another tuma dev runs on it (process " + strconv.Itoa(p.cmd.Process.Pid) + ")"},
		{"a second start that would start over", []string{"--data", dir, "--listen", "127.0.0.1:0", "--fresh"}, "is in use"},
		{"a busy address", []string{"--data", filepath.Join(dir, "other"), "--listen", strings.TrimPrefix(p.url, "http://")}, "address already in use"},
	} {
		if r := execute(t, "", nil, append([]string{"dev"}, c.args...)...); r.status == 0 || !strings.Contains(r.errors, c.want) || strings.Contains(r.out, "ready") {
			t.Errorf("%s: status %d, %s%s\nwant %s", c.name, r.status, r.out, r.errors, c.want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "other")); err == nil {
		t.Error("a start that failed at its address has made its directory")
	}

	// Ctrl-C stops everything.
	pids := p.servers()
	if len(pids) != 2 {
		t.Errorf("the banner names the processes %v", pids)
	}
	if status := p.end(syscall.SIGINT); status != 0 {
		t.Errorf("status %d after Ctrl-C:\n%s", status, p.said)
	}
	for what, pid := range pids {
		if alive(pid) {
			t.Errorf("%s (%d) lives on after Ctrl-C", what, pid)
		}
	}
	if c, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://")); err == nil {
		c.Close()
		t.Error("something still answers after Ctrl-C")
	}

	// A start that cannot have its address does not touch the data, not even with --fresh.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if r := execute(t, "", nil, "dev", "--data", dir, "--fresh", "--listen", l.Addr().String()); r.status == 0 {
		t.Error("started on a busy address")
	}
	p = startDev(t, dir)
	if b := p.balance("b2", asha); b != 900_00 {
		t.Errorf("after a restart there are %d", b)
	}

	// The operator's verbs work beside it, and whatever they do to the demo people, it starts again.
	env, _ := devEnvironment(t, dir)
	for _, args := range [][]string{{"freeze", asha, "--reason", "the phone was stolen"}, {"move", "+254712000002", "--to", "+254712000022"}} {
		if r := execute(t, demoPassword+"\n", env, append([]string{"customer", args[0], "--as", demoCare}, args[1:]...)...); r.status != 0 {
			t.Errorf("customer %v: status %d %s%s", args, r.status, r.out, r.errors)
		}
	}
	servers := p.servers()
	if status := p.end(syscall.SIGKILL); status != -1 {
		t.Errorf("status %d after kill -9", status)
	}
	p = startDev(t, dir)
	if old := servers["PostgreSQL"]; old == 0 || old == p.servers()["PostgreSQL"] {
		t.Errorf("PostgreSQL %d, then %d", old, p.servers()["PostgreSQL"])
	}
	if status := p.end(syscall.SIGTERM); status != 0 {
		t.Errorf("status %d after SIGTERM:\n%s", status, p.said)
	}

	// --fresh starts over.
	p = startDev(t, dir, "--fresh")
	if b := p.balance("b3", asha); b != 1000_00 {
		t.Errorf("after --fresh there are %d", b)
	}
	cashOut(t, p.url)
	p.end(syscall.SIGINT)
}

// TestDevDefaultPort: 8080 gives way to the next free port, and the banner says so.
func TestDevDefaultPort(t *testing.T) {
	t.Parallel()
	if l, err := net.Listen("tcp", defaultListen); err == nil { // else somebody else has it, which will do
		defer l.Close()
	}
	p := start(t, nil, "dev", "--data", dataDir(t)).ready()
	if !strings.Contains(p.said.String(), "port 8080 is busy") || strings.HasSuffix(p.url, ":8080") {
		t.Errorf("not said:\n%s", p.said)
	}
	if status := p.end(syscall.SIGINT); status != 0 {
		t.Errorf("status %d after Ctrl-C:\n%s", status, p.said)
	}
}
