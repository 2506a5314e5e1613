package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tuma/internal/db/dbtest"
)

// handed starts serve with a socket that was opened for it, as systemd does: the
// process's number, which stands in its environment, is known late.
func handed(t *testing.T, socket *os.File, env []string) *process {
	t.Helper()
	like := tuma([]string{"serve"}, append(env, "LISTEN_FDS=1")...)
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" serve`, like.Path)
	cmd.Env, cmd.ExtraFiles = like.Env, []*os.File{socket}
	return begin(t, cmd).ready()
}

// A process that shares its socket is replaced by another while people dial, and
// nobody notices: it says that it is not ready, answers all the same, and ends;
// who connects before the next one is there waits.
func TestDrain(t *testing.T) {
	t.Parallel()
	socket, at, err := shareSocket()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	address := "http://" + at
	vars := settings(t, dbtest.URL(t), startRedis(t).URL())
	vars["TUMA_DIALS_PER_MINUTE"], vars["TUMA_ADMIN"], vars["TUMA_DRAIN"] = "1000000", "127.0.0.1:0", "1500ms"
	first := handed(t, socket, environment(vars))

	d := startDialling(t, address)
	d.more("before")
	admin := regexp.MustCompile(`(?m)^admin (http://\S+)$`).FindStringSubmatch(first.said.String())[1]
	if err := first.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	unready := false
	eventually(t, time.Minute, "it ends", func() bool {
		if resp, err := http.Get(admin + "/readyz"); err == nil {
			unready = unready || resp.StatusCode == http.StatusServiceUnavailable
			resp.Body.Close()
		}
		select {
		case <-first.done:
			return true
		default:
			return false
		}
	})
	if status := first.cmd.ProcessState.ExitCode(); status != 0 || !unready || d.closed.Load() <= 16 {
		t.Errorf("status %d, said that it is not ready: %v, %d connections were not kept\n%s", status, unready, d.closed.Load(), first.said)
	}
	second := handed(t, socket, environment(vars))
	d.more("after")
	d.end()
	if status := second.end(syscall.SIGTERM); status != 0 {
		t.Errorf("status %d\n%s", status, second.said)
	}
}

// dialling are people who dial all the time, each on a connection of his own while
// it is kept, and who must always be answered.
type dialling struct {
	t               *testing.T
	answers, closed atomic.Int64
	over            chan struct{}
	busy            sync.WaitGroup
}

func startDialling(t *testing.T, address string) *dialling {
	d := &dialling{t: t, over: make(chan struct{})}
	for caller := range 8 {
		d.busy.Go(func() { d.dial(address, caller) })
	}
	return d
}

func (d *dialling) dial(address string, caller int) {
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for n := 0; ; n++ {
		select {
		case <-d.over:
			return
		default:
		}
		form := ussdForm(fmt.Sprintf("d-%d-%d", caller, n), fmt.Sprintf("+25471200%04d", caller), "")
		resp, err := client.PostForm(address+"/ussd/africastalking", form)
		if err != nil {
			d.t.Errorf("caller %d, dial %d: %v", caller, n, err)
			return
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			d.t.Errorf("caller %d, dial %d: status %d", caller, n, resp.StatusCode)
		}
		d.answers.Add(1)
		if resp.Close { // the next one goes to whoever is there then
			d.closed.Add(1)
		}
	}
}

// more waits for a hundred answers more.
func (d *dialling) more(what string) {
	d.t.Helper()
	until := d.answers.Load() + 100
	eventually(d.t, time.Minute, "answers "+what, func() bool { return d.answers.Load() >= until || d.t.Failed() })
}

func (d *dialling) end() {
	close(d.over)
	d.busy.Wait()
}

// Behind a proxy that asks whether processes are ready, one of two is ended and
// nobody notices, although each has an address of its own.
func TestDrainBehindAProxy(t *testing.T) {
	t.Parallel()
	vars := settings(t, dbtest.URL(t), startRedis(t).URL())
	vars["TUMA_DIALS_PER_MINUTE"], vars["TUMA_DRAIN"] = "1000000", "3s"
	first, second := start(t, environment(vars), "serve").ready(), start(t, environment(vars), "serve").ready()
	b := &balancer{client: &http.Client{Timeout: time.Second}}
	for _, p := range []*process{first, second} {
		u, err := url.Parse(p.url)
		if err != nil {
			t.Fatal(err)
		}
		b.all = append(b.all, u)
	}
	b.look()
	looking, enough := context.WithCancel(t.Context())
	defer enough()
	go func() {
		for looking.Err() == nil {
			b.look()
			time.Sleep(50 * time.Millisecond) // between two questions, as proxies do
		}
	}()
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(b.next()) },
		Transport: &http.Transport{MaxIdleConnsPerHost: 64},
	})
	defer proxy.Close()
	d := startDialling(t, proxy.URL)
	d.more("of two")
	if status := first.end(syscall.SIGTERM); status != 0 {
		t.Errorf("status %d\n%s", status, first.said)
	}
	d.more("of one")
	d.end()
}

// balancer is what a proxy knows of processes.
type balancer struct {
	client *http.Client
	all    []*url.URL
	ready  atomic.Pointer[[]*url.URL]
	n      atomic.Int64
}

// look asks each process whether it is ready.
func (b *balancer) look() {
	var ready []*url.URL
	for _, u := range b.all {
		resp, err := b.client.Get(u.String() + "/readyz")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			ready = append(ready, u)
		}
	}
	b.ready.Store(&ready)
}

// next takes turns; when none is ready, one of all.
func (b *balancer) next() *url.URL {
	from := *b.ready.Load()
	if len(from) == 0 {
		from = b.all
	}
	return from[int(b.n.Add(1))%len(from)]
}

// A process is known to migrations as long as it lives, and not when it was
// killed.
func TestServeIsKnownToMigrations(t *testing.T) {
	t.Parallel()
	database := dbtest.URL(t)
	p := start(t, environment(settings(t, database, startRedis(t).URL())), "serve").ready()
	pool := super(t, database)
	running := func() (n int) {
		err := pool.QueryRow(`
select count(*) from pg_locks l join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and a.datname = current_database() and a.application_name like 'tuma %:' || $1`, strconv.Itoa(p.cmd.Process.Pid)).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := running(); n != 1 {
		t.Errorf("known %d times", n)
	}
	p.end(syscall.SIGKILL)
	eventually(t, time.Minute, "it is forgotten", func() bool { return running() == 0 })
}

// A process ends loudly when a migration was applied that it does not know.
func TestServeEndsUnderANewerSchema(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	p := start(t, environment(settings(t, url, startRedis(t).URL())), "serve").ready()
	if _, err := super(t, url).Exec("insert into goose_db_version (version_id, is_applied) values (99999, true)"); err != nil {
		t.Fatal(err)
	}
	if status, body := get(t, p.url+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "takes programs that know 99999") {
		t.Errorf("%d %s", status, body)
	}
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		t.Fatal("it goes on")
	}
	if status := p.cmd.ProcessState.ExitCode(); status != 1 || !strings.Contains(p.said.String(), "the schema is newer than this program") {
		t.Errorf("status %d\n%s", status, p.said)
	}
}
