package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
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
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	address := "http://" + l.Addr().String()
	l.Close() // the file stays open
	vars := settings(t, dbtest.URL(t), startRedis(t).URL())
	vars["TUMA_DIALS_PER_MINUTE"], vars["TUMA_ADMIN"], vars["TUMA_DRAIN"] = "1000000", "127.0.0.1:0", "1500ms"
	first := handed(t, socket, environment(vars))

	var answers, closed atomic.Int64
	over := make(chan struct{})
	var dialling sync.WaitGroup
	for caller := range 8 {
		client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{}}
		dialling.Go(func() {
			defer client.CloseIdleConnections()
			for n := 0; ; n++ {
				select {
				case <-over:
					return
				default:
				}
				form := ussdForm(fmt.Sprintf("d-%d-%d", caller, n), fmt.Sprintf("+25471200%04d", caller), "")
				resp, err := client.PostForm(address+"/ussd/africastalking", form)
				if err != nil {
					t.Errorf("caller %d, dial %d: %v", caller, n, err)
					return
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("caller %d, dial %d: status %d", caller, n, resp.StatusCode)
				}
				answers.Add(1)
				if resp.Close { // the next one goes to whoever is there then
					closed.Add(1)
				}
			}
		})
	}
	more := func(what string) {
		t.Helper()
		until := answers.Load() + 100
		eventually(t, time.Minute, "answers "+what, func() bool { return answers.Load() >= until || t.Failed() })
	}
	more("before")
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
	if status := first.cmd.ProcessState.ExitCode(); status != 0 || !unready || closed.Load() <= 16 {
		t.Errorf("status %d, said that it is not ready: %v, %d connections were not kept\n%s", status, unready, closed.Load(), first.said)
	}
	second := handed(t, socket, environment(vars))
	more("after")
	close(over)
	dialling.Wait()
	if status := second.end(syscall.SIGTERM); status != 0 {
		t.Errorf("status %d\n%s", status, second.said)
	}
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
