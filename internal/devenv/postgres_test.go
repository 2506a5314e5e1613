package devenv

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asHelper, when set, turns this test binary into a process that starts the
// cluster in that directory and then waits to be killed.
const asHelper = "DEVENV_TEST_SUPERVISE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(asHelper); dir != "" {
		p, err := StartPostgres(context.Background(), PostgresOptions{Dir: dir, NoFsync: true, Settings: small})
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("ready", p.Pid())
		<-p.Done()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var small = map[string]string{"shared_buffers": "8MB", "max_connections": "20"}

// room makes a directory that the server's user can reach, which t.TempDir is
// not when the tests run as root.
func room(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "devenv")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func start(t *testing.T, dir string) *Postgres {
	t.Helper()
	p, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir, NoFsync: true, Settings: small})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop() })
	return p
}

// query runs statements, the last of which returns one number.
func query(t *testing.T, p *Postgres, statements ...string) int {
	t.Helper()
	db, err := sql.Open("postgres", p.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	n := 0
	for i, q := range statements {
		if i < len(statements)-1 {
			_, err = db.Exec(q)
		} else {
			err = db.QueryRow(q).Scan(&n)
		}
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	return n
}

func TestStopAndStartAgainKeepsData(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(room(t), "deeper", "pg")
	p := start(t, dir)
	if n := query(t, p, "create table kept (n int)", "insert into kept values (41), (42)", "select count(*) from kept"); n != 2 {
		t.Fatalf("%d rows", n)
	}
	st, err := os.Stat(filepath.Join(dir, "password"))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the password's file: %v, %v", st.Mode(), err)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
	if p.login(t.Context()) == nil {
		t.Error("it still answers after Stop")
	}
	if n := query(t, start(t, dir), "select max(n) from kept"); n != 42 {
		t.Errorf("after a restart max(n) is %d, not 42", n)
	}
}

func TestSettingsAndLoopbackOnly(t *testing.T) {
	t.Parallel()
	p, err := StartPostgres(t.Context(), PostgresOptions{Dir: filepath.Join(room(t), "pg"), Settings: map[string]string{"max_connections": "17", "listen_addresses": "*"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop() })
	for setting, want := range map[string]int{
		"max_connections = '17'":                1,
		"fsync = 'on'":                          1,
		"listen_addresses = '127.0.0.1'":        1,
		"unix_socket_directories = ''":          1,
		"password_encryption = 'scram-sha-256'": 1,
	} {
		name, value, _ := strings.Cut(setting, " = ")
		if n := query(t, p, "select count(*) from pg_settings where name = '"+name+"' and setting = "+value); n != want {
			t.Errorf("not so: %s", setting)
		}
	}
	if n := query(t, p, "select count(*) from pg_hba_file_rules where auth_method <> 'scram-sha-256'"); n != 0 {
		t.Errorf("%d rules let somebody in without a password", n)
	}
	for _, name := range []string{"one", "one", `a "quoted" one`} {
		if err := p.EnsureDatabase(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	if n := query(t, p, `select count(*) from pg_database where datname in ('one', 'a "quoted" one')`); n != 2 {
		t.Errorf("%d databases, not 2", n)
	}
}

func TestSecondStartIsRefused(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(room(t), "pg")
	p := start(t, dir)
	_, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir})
	var running ErrRunning
	if !errors.As(err, &running) || running.Pid != os.Getpid() {
		t.Fatalf("got %v", err)
	}
	if err := RemovePostgres(t.Context(), dir); !errors.As(err, &running) {
		t.Errorf("RemovePostgres on a running cluster: %v", err)
	}
	if query(t, p, "select 1") != 1 {
		t.Error("the refused start hurt the running server")
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := RemovePostgres(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 { // the lock
		t.Errorf("RemovePostgres left %v", left)
	}
}

func TestKilledPostmaster(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(room(t), "pg")
	p := start(t, dir)
	query(t, p, "create table kept (n int)", "insert into kept values (42)", "select 1")
	if err := syscall.Kill(p.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("Done does not tell that the server is gone")
	}
	if err := p.Stop(); err == nil || !strings.Contains(err.Error(), "by itself") {
		t.Errorf("Stop of a server that was killed: %v", err)
	}
	if n := query(t, start(t, dir), "select n from kept"); n != 42 {
		t.Errorf("lost what was committed: %d", n)
	}
}

// supervise starts a process that supervises dir and returns it with its
// server's pid.
func supervise(t *testing.T, dir string) (*exec.Cmd, int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asHelper+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	var word string
	var pid int
	if _, err := fmt.Fscan(out, &word, &pid); err != nil || word != "ready" {
		t.Fatalf("the supervising process says %q, %v", word, err)
	}
	return cmd, pid
}

func TestKilledSupervisor(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(room(t), "pg")
	cmd, pid := supervise(t, dir)

	_, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir})
	var running ErrRunning
	if !errors.As(err, &running) || running.Pid != cmd.Process.Pid {
		t.Fatalf("while another process supervises it: %v", err)
	}

	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	p := start(t, dir) // at once, while the old server may be ending still
	if p.Pid() == pid {
		t.Error("the old server is still there")
	}
	if runsIn(pid, filepath.Join(dir, "data")) {
		t.Errorf("the old server %d outlived its supervisor and the next start", pid)
	}
	query(t, p, "select 1")
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}

	if runtime.GOOS != "linux" {
		return
	}
	cmd, pid = supervise(t, dir)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if !poll(t.Context(), 20*time.Second, func() bool { return !alive(pid) }) {
		t.Errorf("the server %d does not follow its supervisor", pid)
	}
}

// An orphan: a postmaster whose supervisor is gone and that nothing told. It is
// made by starting one with nothing but the lock left out.
func TestOrphanIsStopped(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(room(t), "pg")
	first := start(t, dir)
	query(t, first, "create table kept (n int)", "insert into kept values (42)", "select 1")
	first.lock.Close() // as if this supervisor had died
	var log strings.Builder
	second, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir, NoFsync: true, Settings: small, Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { second.Stop() })
	if !strings.Contains(log.String(), strconv.Itoa(first.Pid())) {
		t.Errorf("the log does not tell of the orphan: %q", log.String())
	}
	select {
	case <-first.Done():
	default:
		t.Error("the orphan runs still")
	}
	if n := query(t, second, "select n from kept"); n != 42 {
		t.Errorf("%d", n)
	}
}

func TestPidFileOfAnotherProcess(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(room(t), "pg")
	if err := start(t, dir).Stop(); err != nil {
		t.Fatal(err)
	}
	// A crashed postmaster's number went to a process of the same user.
	who, err := chooseOwner(filepath.Join(dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	other := exec.Command("sleep", "60")
	other.SysProcAttr = &syscall.SysProcAttr{Credential: who.credential()}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Process.Kill(); other.Wait() })
	path := filepath.Join(dir, "data", "postmaster.pid")
	if err := os.WriteFile(path, []byte(strconv.Itoa(other.Process.Pid)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := who.own(path); err != nil {
		t.Fatal(err)
	}
	query(t, start(t, dir), "select 1")
	if !alive(other.Process.Pid) {
		t.Error("a stranger was killed")
	}
}

func TestOtherVersionIsRefusedAndKept(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(room(t), "pg")
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"PG_VERSION", "precious"} {
		if err := os.WriteFile(filepath.Join(data, name), []byte("9\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir})
	var version ErrVersion
	if !errors.As(err, &version) || version.Version != "9" {
		t.Errorf("got %v", err)
	}
	if err := os.Remove(filepath.Join(data, "PG_VERSION")); err != nil {
		t.Fatal(err)
	}
	if _, err = StartPostgres(t.Context(), PostgresOptions{Dir: dir}); err == nil || !strings.Contains(err.Error(), "not a PostgreSQL data directory") {
		t.Errorf("for a directory that is no cluster: %v", err)
	}
	if _, err := os.Stat(filepath.Join(data, "precious")); err != nil {
		t.Error(err)
	}
}

func TestInterruptedInitdbIsSweptAway(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(room(t), "pg")
	half := filepath.Join(dir, "initdb-123", "data", "base")
	if err := os.MkdirAll(half, 0o700); err != nil {
		t.Fatal(err)
	}
	query(t, start(t, dir), "select 1")
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the half-made cluster is still there: %v", err)
	}
}

func TestFailureShowsTheServersLastWords(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(room(t), "pg")
	_, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir, NoFsync: true, Settings: map[string]string{"shared_buffers": "plenty"}})
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "shared_buffers"`) {
		t.Errorf("got %v", err)
	}
	query(t, start(t, dir), "select 1") // nothing is left in the way
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(room(t), "pg")
	if err := start(t, dir).Stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "password")
	if err := os.WriteFile(path, []byte("guess\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("with a wrong password: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("without the password: %v", err)
	}
}

func TestCancelledStartLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(room(t), "pg")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := StartPostgres(ctx, PostgresOptions{Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	query(t, start(t, dir), "select 1")
}

func TestUnreachableDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root runs the server as another user")
	}
	t.Parallel()
	shut := filepath.Join(room(t), "shut")
	if err := os.Mkdir(shut, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := StartPostgres(t.Context(), PostgresOptions{Dir: filepath.Join(shut, "pg")})
	if err == nil || !strings.Contains(err.Error(), "cannot enter "+shut+" ") {
		t.Errorf("got %v", err)
	}
	// The cluster's own directory is ours to open.
	own := filepath.Join(room(t), "own")
	if err := os.Mkdir(own, 0o700); err != nil {
		t.Fatal(err)
	}
	query(t, start(t, own), "select 1")
}

// The rest of the package again as a user who is not root.
func TestAsAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the other tests show it")
	}
	t.Parallel()
	who, err := chooseOwner("")
	if err != nil {
		t.Fatal(err)
	}
	dir := room(t)
	if err := who.own(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "devenv.test")
	if err := os.WriteFile(bin, text, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), bin, "-test.run", "TestStopAndStart|TestKilled|TestSecond|TestRedis", "-test.v")
	cmd.Dir, cmd.Env = dir, append(bareEnv(), "TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who.credential()}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "--- PASS") < 6 {
		t.Errorf("as %s: %v\n%s", who.name, err, out)
	}
}

func TestBusyPortIsGivenWay(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	busy := l.Addr().(*net.TCPAddr).Port
	dir := filepath.Join(room(t), "pg")
	p := &Postgres{log: io.Discard, pick: func() (int, error) {
		defer func() { busy = 0 }()
		if busy != 0 {
			return busy, nil
		}
		return freePort()
	}}
	if p.dir, err = makeDir(dir); err != nil {
		t.Fatal(err)
	}
	if p.lock, err = lockDir(p.dir); err != nil {
		t.Fatal(err)
	}
	if err := p.start(t.Context(), PostgresOptions{NoFsync: true, Settings: small}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop() })
	query(t, p, "select 1")
}
