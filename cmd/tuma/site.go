package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"tuma/internal/devenv"
)

// site is a whole installation on this machine that may be broken: PostgreSQL
// and Redis behind proxies that cut and stall, and processes of the service that
// are started again whenever they end.
type site struct {
	dir       string
	server    *mortal
	cutter    *cutter
	redis     *lame
	instances []*instance
	clocks    bool // of the processes can be set
}

const (
	siteReady = 30 * time.Second // for a process to answer
	siteStop  = 25 * time.Second // for one to end when asked to
)

// openSite starts everything but the processes of the service. late is how late
// a late COMMIT comes.
func openSite(ctx context.Context, dir string, settings map[string]string, late func() time.Duration) (*site, error) {
	s, err := openBareSite(ctx, dir, settings, late)
	if err != nil {
		return nil, err
	}
	if err := s.server.migrate(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// openBareSite is openSite with an empty database, for another program's schema.
func openBareSite(ctx context.Context, dir string, settings map[string]string, late func() time.Duration) (_ *site, err error) {
	s := &site{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.cutter, err = newCutter(late); err != nil {
		return nil, err
	}
	if s.server, err = startMortal(ctx, dir, settings, s.cutter); err != nil {
		return nil, err
	}
	if s.redis, err = startLame(ctx, dir); err != nil {
		return nil, err
	}
	return s, nil
}

// books is a service without ways in, on the site's database, past the proxies:
// for who sets up tills and looks at the books afterwards.
func (s *site) books(ctx context.Context, set map[string]string) (*service, error) {
	return booksWith(ctx, s.server.url(), set)
}

// booksWith is a service without ways in, with the keys of these variables.
func booksWith(ctx context.Context, databaseURL string, set map[string]string) (*service, error) {
	keys, err := secrets{PINKeys: []string{set["TUMA_PIN_KEYS"]}, ReceiptKey: set["TUMA_RECEIPT_KEY"], SessionKey: set["TUMA_SESSION_KEY"]}.build()
	if err != nil {
		return nil, err
	}
	where, tariff, err := kenyaSettings.build()
	if err != nil {
		return nil, err
	}
	return config{databaseURL: databaseURL, country: where, tariff: tariff, keys: keys, log: slog.New(slog.DiscardHandler)}.books(ctx)
}

// kenyaSettings are what `tuma serve` takes when nothing is said.
var kenyaSettings = country{
	Region: "KE", Currency: "KES", ServiceCode: "*334#", Languages: []string{"en", "sw", "fr"}, TimeZone: "Africa/Nairobi", Brand: "Tuma", Care: "100",
}

// settings are the variables of the site's processes.
func (s *site) settings(more map[string]string) (map[string]string, error) {
	database, err := url.Parse(s.server.url())
	if err != nil {
		return nil, err
	}
	database.Host = s.cutter.listener.Addr().String()
	return siteSettings(database.String(), s.redis.url(), more)
}

// siteSettings are the variables of a process of the service on this machine,
// with keys of its own.
func siteSettings(databaseURL, redisURL string, more map[string]string) (map[string]string, error) {
	set := map[string]string{
		"TUMA_DATABASE_URL": databaseURL, "TUMA_REDIS_URL": redisURL, "TUMA_LISTEN": "127.0.0.1:0", "TUMA_ADMIN": "127.0.0.1:0", "TUMA_USSD_ALLOW": "127.0.0.0/8",
		"TUMA_DRAIN": "0s", "TUMA_DIALS_PER_MINUTE": "1000000", "TUMA_LOOKUPS_PER_DAY": "1000000",
	}
	for _, name := range []string{"TUMA_PIN_KEYS", "TUMA_RECEIPT_KEY", "TUMA_SESSION_KEY"} {
		b := make([]byte, 32)
		if _, err := rand.Read(b); err != nil {
			return nil, err
		}
		set[name] = hex.EncodeToString(b)
	}
	set["TUMA_PIN_KEYS"] = "site:" + set["TUMA_PIN_KEYS"]
	for k, v := range more {
		set[k] = v
	}
	return set, nil
}

// open starts so many more processes of the service, and waits until all answer.
func (s *site) open(ctx context.Context, n int, set map[string]string) error {
	return s.openShared(ctx, n, set, "", nil)
}

// openShared is open for another program, "" for this one, whose processes share
// a socket; nil: each opens its own.
func (s *site) openShared(ctx context.Context, n int, set map[string]string, program string, socket *os.File) error {
	for range n {
		t := &instance{name: fmt.Sprintf("serve-%d", len(s.instances)+1), dir: s.dir, set: set, socket: socket, program: program, ready: make(chan struct{})}
		if s.clocks {
			if err := t.withClock(); err != nil {
				return err
			}
		}
		s.instances = append(s.instances, t)
		go t.run(ctx)
	}
	for _, t := range s.instances {
		if _, err := t.address(ctx); err != nil {
			return err
		}
	}
	return nil
}

// close ends everything; the data stay in the site's folder.
func (s *site) close() error {
	var errs []error
	for _, t := range s.instances {
		errs = append(errs, t.end())
	}
	if s.redis != nil {
		errs = append(errs, s.redis.stop())
	}
	if s.server != nil {
		errs = append(errs, s.server.stop())
	}
	if s.cutter != nil {
		errs = append(errs, s.cutter.listener.Close())
	}
	return errors.Join(errs...)
}

// instance is one process of the service.
type instance struct {
	name, dir string
	set       map[string]string
	clock     string   // file that says how far off its clock is; "": it has the machine's
	socket    *os.File // that it is handed, as by systemd; nil: it opens one

	mu      sync.Mutex
	program string // its path; "": this one
	cmd     *exec.Cmd
	base    string        // http://...
	admin   string        // likewise, for the operator
	ready   chan struct{} // closed while it answers
	ended   bool          // it is to stay ended
	gone    chan struct{} // closed when run has returned
}

// run keeps the process alive until ctx ends or end is called.
func (t *instance) run(ctx context.Context) {
	t.mu.Lock()
	t.gone = make(chan struct{})
	t.mu.Unlock()
	defer close(t.gone)
	for ctx.Err() == nil {
		t.live()
		t.mu.Lock()
		over := t.ended
		t.mu.Unlock()
		if over {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond): // it may be the database that is down
		}
	}
}

var siteReadyLine = regexp.MustCompile(`(?m)(?:^admin (http://\S+)\n)?^ready (http://\S+)$`)

// live is one process from its start to its end.
func (t *instance) live() {
	t.mu.Lock()
	program := t.program
	t.mu.Unlock()
	if program == "" {
		self, err := os.Executable()
		if err != nil {
			return
		}
		program = self
	}
	log, err := os.OpenFile(filepath.Join(t.dir, t.name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return
	}
	defer log.Close()
	args := []string{"serve"}
	if t.clock != "" {
		args = []string{"torture", "serve", "--clock", t.clock}
	}
	cmd := exec.Command(program, args...)
	if t.socket != nil { // its number, which must stand in its environment, is known late
		cmd = exec.Command("/bin/sh", append([]string{"-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@"`, program}, args...)...)
		cmd.ExtraFiles = []*os.File{t.socket}
	}
	cmd.Env = os.Environ()
	for k, v := range t.set {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out := &readyWriter{found: func(base, admin string) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.base, t.admin = base, admin
		close(t.ready)
	}}
	cmd.Stdout = out
	t.mu.Lock()
	if t.ended {
		t.mu.Unlock()
		return
	}
	err = cmd.Start()
	t.cmd = cmd
	t.mu.Unlock()
	if err != nil {
		return
	}
	cmd.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cmd = nil
	if t.base != "" {
		t.base, t.ready = "", make(chan struct{})
	}
}

// readyWriter looks for the ready line in what a process says.
type readyWriter struct {
	said  bytes.Buffer
	found func(base, admin string)
	once  sync.Once
}

func (w *readyWriter) Write(p []byte) (int, error) {
	if w.said.Len() < 1<<16 {
		w.said.Write(p)
	}
	if m := siteReadyLine.FindSubmatch(w.said.Bytes()); m != nil {
		w.once.Do(func() { w.found(string(m[2]), string(m[1])) })
	}
	return len(p), nil
}

// address is where the process answers, once it does.
func (t *instance) address(ctx context.Context) (string, error) {
	t.mu.Lock()
	ready := t.ready
	t.mu.Unlock()
	select {
	case <-ready:
	case <-time.After(siteReady):
		log, _ := os.ReadFile(filepath.Join(t.dir, t.name+".log"))
		return "", fmt.Errorf("%s does not answer: %s", t.name, last(log, 2000))
	case <-ctx.Done():
		return "", ctx.Err()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.base, nil
}

// now is where it answers, "" while it does not.
func (t *instance) now() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.base
}

// signal sends one to the process, if there is one.
func (t *instance) signal(s syscall.Signal) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cmd != nil && t.cmd.Process.Signal(s) == nil
}

// end has the process end as an operator would, and stay ended.
func (t *instance) end() error {
	t.mu.Lock()
	t.ended = true
	gone := t.gone
	t.mu.Unlock()
	t.signal(syscall.SIGCONT)
	t.signal(syscall.SIGTERM)
	if gone == nil {
		return nil
	}
	select {
	case <-gone:
		return nil
	case <-time.After(siteStop):
		t.signal(syscall.SIGKILL)
		return fmt.Errorf("%s did not end when it was asked to", t.name)
	}
}

// again has the process end as an operator would, and waits for the next.
func (t *instance) again(ctx context.Context) error {
	t.mu.Lock()
	ready := t.ready
	t.mu.Unlock()
	if !t.signal(syscall.SIGTERM) {
		return fmt.Errorf("%s does not run", t.name)
	}
	for {
		t.mu.Lock()
		ended := t.ready != ready
		t.mu.Unlock()
		if ended {
			_, err := t.address(ctx)
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// become has the process replaced by another program, "" for this one, as an
// operator would, and waits until that answers.
func (t *instance) become(ctx context.Context, program string) error {
	if _, err := t.address(ctx); err != nil { // it may be starting
		return err
	}
	t.mu.Lock()
	t.program = program
	t.mu.Unlock()
	return t.again(ctx)
}

// is tells whether it is of this program.
func (t *instance) is(program string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.program == program
}

func last(b []byte, n int) string { return strings.TrimSpace(string(b[max(0, len(b)-n):])) }

// lame is a Redis that is killed, started again and paused, behind a proxy that
// cuts and stalls.
type lame struct {
	options devenv.RedisOptions
	pipe    *pipe

	mu sync.Mutex
	r  *devenv.Redis
}

func startLame(ctx context.Context, dir string) (*lame, error) {
	r, err := devenv.StartRedis(ctx, devenv.RedisOptions{Kind: "server", Dir: dir})
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(r.URL())
	if err != nil {
		return nil, err
	}
	p, err := newPipe(u.Host)
	if err != nil {
		return nil, errors.Join(err, r.Stop())
	}
	password, _ := u.User.Password()
	_, port, _ := net.SplitHostPort(u.Host)
	l := &lame{r: r, pipe: p, options: devenv.RedisOptions{Kind: "server", Dir: dir, Password: password}}
	fmt.Sscan(port, &l.options.Port)
	return l, nil
}

// url is its address, through the proxy.
func (l *lame) url() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	u, err := url.Parse(l.r.URL())
	if err != nil {
		panic(err) // it is one that devenv made
	}
	u.Host = l.pipe.listener.Addr().String()
	return u.String()
}

// direct is its address past the proxy.
func (l *lame) direct() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.URL()
}

// restart ends it, and with it everything that it remembers, and starts it again.
func (l *lame) restart(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.r.Stop(); err != nil {
		return err
	}
	r, err := devenv.StartRedis(ctx, l.options)
	if err == nil {
		l.r = r
	}
	return err
}

func (l *lame) stop() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.r.Stop(), l.pipe.listener.Close())
}
