package sms

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"tuma/sms/outbox"
)

// kannelConf is a Kannel between a pretended SMSC and us, as an operator would
// set it up: our documents say the same.
const kannelConf = `
group = core
admin-port = %[1]d
admin-password = x
smsbox-port = %[2]d
box-allow-ip = "127.0.0.1"
box-deny-ip = "*.*.*.*"
dlr-storage = internal

group = smsc
smsc = fake
smsc-id = fake
port = %[3]d
host = 127.0.0.1
connect-allow-ip = 127.0.0.1

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = %[4]d

group = sendsms-user
username = tuma
password = secret
max-messages = 10
concatenation = true

group = sms-service
keyword = default
get-url = "%[5]s?id=%%I&from=%%p&to=%%P&coding=%%c&text=%%b"
max-messages = 0
`

// Debian's Kannel hands what we send to an SMSC, its reports back to us, and us
// what the SMSC sends.
func TestKannelBothWays(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("Debian's Kannel is for Linux")
	}
	c := serveCallbacks(t)
	us := httptest.NewServer(c)
	t.Cleanup(us.Close)
	ports := freePorts(t, 4)
	conf := filepath.Join(t.TempDir(), "kannel.conf")
	text := fmt.Sprintf(kannelConf, ports[0], ports[1], ports[2], ports[3], us.URL+CallbackPath("kannel", secretInPath, "inbound"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	bearerbox := run(t, "bearerbox", "-v", "2", conf)
	listening(t, ports[2], bearerbox)
	smsbox := run(t, "smsbox", "-v", "2", conf)
	listening(t, ports[3], smsbox)
	smsc := run(t, "/usr/lib/kannel/test/fakesmsc", "-H", "127.0.0.1", "-r", fmt.Sprint(ports[2]), "-i", "0.2", "-m", "100000",
		"+254712000001 334 text SALIO é €", "+254712000002 334 ucs2 %04%3F%4E%2D")

	var gsm, ucs bool
	eventually(t, "both messages have come", func() bool {
		for _, in := range c.received() {
			if in.Gateway != "kannel" || in.To != "334" || in.ID == "" {
				t.Fatalf("%+v", in)
			}
			gsm = gsm || in.From == asha && in.Text == "SALIO é €"
			ucs = ucs || in.From == baraka && in.Text == "п中"
		}
		return gsm && ucs
	})
	ids := map[string]bool{}
	for _, in := range c.received() {
		if ids[in.ID] {
			t.Errorf("two messages %s", in.ID)
		}
		ids[in.ID] = true
	}

	g, err := NewKannel(KannelOptions{
		URL: fmt.Sprintf("http://127.0.0.1:%d", ports[3]), Username: "tuma", Password: "secret", From: "334",
		StatusURL: us.URL + CallbackPath("kannel", secretInPath, "status"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.transport.CloseIdleConnections)
	start(t, c.pool, g)
	long := strings.Repeat("0123456789", 20) + "end"
	owe(t, c.pool, outbox.Notice{Key: "gsm", To: asha, Body: "UKM café €5"}, outbox.Notice{Key: "ucs", To: baraka, Body: "п中"}, outbox.Notice{Key: "long", To: "+254712000003", Body: long})
	for key, to := range map[string]string{"gsm": string(asha), "ucs": string(baraka), "long": "+254712000003"} {
		eventually(t, key+" is delivered", func() bool {
			var delivered bool
			err := c.pool.Get(t.Context(), &delivered, `select exists (select from notice n join delivery d using (gateway, provider_id)
				where n.key = $1 and n.to_msisdn = $2 and n.status = 'sent' and d.state = 3)`, key, to)
			if err != nil {
				t.Fatal(err)
			}
			return delivered
		})
	}
	said := smsc.String()
	for _, want := range []string{"<334 +254712000001 text UKM café €5>", "<334 +254712000002 ucs-2 %04%3FN->", "67890123456789012", "end>"} {
		if !strings.Contains(said, want) {
			t.Errorf("the SMSC did not see %q:\n%s", want, said)
		}
	}
	wrong, err := NewKannel(KannelOptions{URL: g.o.URL, Username: "tuma", Password: "guess"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(wrong.transport.CloseIdleConnections)
	judge(t, wrong, SendError{Code: http.StatusForbidden, Retry: true}, "guess")
}

// freePorts are ports that nobody listens on, for programs that cannot be told 0.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// run starts a program that ends with the test, and returns what it says.
func run(t *testing.T, name string, args ...string) *journal {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		t.Fatalf("%v; `make setup` installs it", err)
	}
	says := &journal{}
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = says, says, t.TempDir()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return says
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return string(bytes.Clone(j.all.Bytes()))
}

func listening(t *testing.T, port int, program *journal) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nobody listens: %s", program)
		}
	}
}
