package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"tuma/internal/db"
	"tuma/internal/devenv"
	"tuma/simulator"
	"tuma/ussd"
)

// defaultListen gives way to the next free port; an address that was asked for
// does not.
const (
	defaultListen = "127.0.0.1:8080"
	portsToTry    = 50
)

type devCommand struct {
	country
	Listen      string `placeholder:"ADDRESS" help:"Address to answer on (127.0.0.1:8080, or the next free port)."`
	Data        string `placeholder:"DIR" help:"Where the data lives; it survives a restart."`
	Fresh       bool   `help:"Start over: remove the data first."`
	DatabaseURL string `name:"database-url" placeholder:"URL" help:"Use this PostgreSQL instead of starting one."`
	RedisURL    string `name:"redis-url" placeholder:"URL" help:"Use this Redis instead of starting one."`
	Redis       string `enum:"inprocess,server" default:"inprocess" help:"Which Redis to start: inprocess, or an installed redis-server."`
	Clock       bool   `help:"Let the simulator move time forward: POST /simulator/clock."`
	Verbose     bool   `help:"Log to the terminal instead of the file."`

	// Dialogues played from outside all pay in at one till; production allows ten.
	askSettings
	DialsPerMinute int `default:"120" help:"Dials of one number in a minute."`
	LookUpsPerDay  int `default:"20" help:"Names that one customer may look up in a day without paying."`

	out  io.Writer  // tests read the banner
	time *testClock // of the data directory
}

// devEnv is what dev has started, in the order in which it is to be stopped.
type devEnv struct {
	databaseURL, redisURL string
	runs                  []string // lines of the banner
	stops                 []func() error
}

func (e *devEnv) stop() error {
	var errs []error
	for _, stop := range slices.Backward(e.stops) {
		errs = append(errs, stop())
	}
	return errors.Join(errs...)
}

// Run runs everything until it is told to stop.
func (c *devCommand) Run(ctx context.Context) (err error) {
	if c.out == nil {
		c.out = os.Stdout
	}
	country, tariff, err := c.country.build()
	if err != nil {
		return err
	}
	brakes, err := c.country.rules()
	if err != nil {
		return err
	}
	// The address first: a start that fails must not have removed anything.
	l, moved, err := c.listen()
	if err != nil {
		return err
	}
	defer l.Close()
	dir, err := c.dir(ctx)
	if err != nil {
		return err
	}
	if err := c.openClock(dir); err != nil {
		return err
	}
	env, err := c.startServers(ctx, dir)
	defer func() { err = errors.Join(err, env.stop()) }()
	if err != nil {
		return err
	}
	if _, err := db.Migrate(ctx, env.databaseURL, db.MigrateOptions{}); err != nil {
		return err
	}
	log, closeLog, err := c.logger(dir)
	if err != nil {
		return err
	}
	env.stops = append([]func() error{closeLog}, env.stops...)
	sec, err := devSecrets(filepath.Join(dir, "secrets.json"))
	if err != nil {
		return err
	}
	keys, err := sec.build()
	if err != nil {
		return err
	}
	base := "http://" + l.Addr().String()
	cfg := config{
		databaseURL: env.databaseURL, redisURL: env.redisURL, country: country, tariff: tariff, brakes: brakes, keys: keys, log: log, now: c.time.now,
		limits: ussd.LimitOptions{DialsPerMinute: c.DialsPerMinute, LookUpsPerDay: c.LookUpsPerDay},
		asking: c.askSettings.limits(),
		photos: filepath.Join(dir, "id_photos"), plain: true,
		gateways: gateways{
			USSDAllow: []string{"127.0.0.0/8", "::1/128"}, smsSettings: smsSettings{SMS: []string{"twilio"}, PublicURL: base}, TwilioSID: devTwilioSID, TwilioToken: sec.Twilio, TwilioFrom: country.Brand, TwilioURL: base,
			PushURL: base + "/simulator/push", PushToken: sec.Airtime, // the simulated network has one token for both
			AirtimeURL: base + "/simulator/airtime/topup", AirtimeKey: sec.Airtime,
		},
	}
	s, err := cfg.start(ctx)
	if err != nil {
		return err
	}
	env.stops = append(env.stops, s.close)
	if err := seed(ctx, s); err != nil {
		return fmt.Errorf("demo people: %w", err)
	}
	if err := seedOffice(ctx, s); err != nil {
		return fmt.Errorf("demo head office: %w", err)
	}
	network, err := c.network(base, country.ServiceCode, country.Currency.Symbol, sec)
	if err != nil {
		return err
	}
	if err := writeEnv(filepath.Join(dir, "env"), env, sec); err != nil {
		return err
	}
	admin, err := s.serveAdmin("127.0.0.1:0")
	if err != nil {
		return err
	}
	c.banner(env, dir, base, admin, moved)
	world := withSimulator(s.handler, network)
	if c.Clock {
		world.Handle("/simulator/clock", c.time)
	}
	return serveUntil(ctx, l, world, log, network.Close)
}

// dir makes the data directory ready, emptied when a fresh start was asked for.
func (c *devCommand) dir(ctx context.Context) (string, error) {
	dir := c.Data
	if dir == "" {
		var err error
		if dir, err = devenv.DefaultDir(); err != nil {
			return "", err
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if c.Fresh {
		if err := devenv.RemovePostgres(ctx, filepath.Join(dir, "postgres")); err != nil {
			return "", running(err, dir)
		}
		for _, f := range []string{"secrets.json", "env", "id_photos", "clock"} {
			if err := os.RemoveAll(filepath.Join(dir, f)); err != nil {
				return "", err
			}
		}
	}
	return dir, os.MkdirAll(dir, 0o755)
}

// openClock reads the directory's clock. A Redis server and somebody else's
// database cannot be told another time.
func (c *devCommand) openClock(dir string) (err error) {
	if c.time, err = openClock(filepath.Join(dir, "clock")); err != nil {
		return err
	}
	if (c.Clock || c.time.moved()) && (c.Redis == "server" || c.RedisURL != "" || c.DatabaseURL != "") {
		return errors.New("time cannot be moved (--clock, now or before) with a Redis server, or with servers that were given: they have clocks of their own")
	}
	return nil
}

// redis is the Redis to start, on the directory's clock where that was moved or may be.
func (c *devCommand) redis(dir string) devenv.RedisOptions {
	o := devenv.RedisOptions{Kind: c.Redis, Dir: dir}
	if c.Clock || c.time.moved() {
		o.Clock = c.time.now
	}
	return o
}

// running says in plain words that another tuma has the directory.
func running(err error, dir string) error {
	if r, ok := errors.AsType[devenv.ErrRunning](err); ok {
		return fmt.Errorf("%s is in use: another tuma dev runs on it (process %d). Stop that one, or give this one a directory of its own with --data", dir, r.Pid)
	}
	return err
}

func (c *devCommand) listen() (net.Listener, string, error) {
	if c.Listen != "" {
		l, err := net.Listen("tcp", c.Listen)
		if err != nil {
			return nil, "", fmt.Errorf("the address that was asked for: %w", err)
		}
		return l, "", nil
	}
	host, _, _ := strings.Cut(defaultListen, ":")
	for port := 8080; port < 8080+portsToTry; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", host, port))
		if err == nil {
			moved := ""
			if port != 8080 {
				moved = fmt.Sprintf("port 8080 is busy, so this is %d", port)
			}
			return l, moved, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return nil, "", err
		}
	}
	return nil, "", fmt.Errorf("ports 8080 to %d are all busy; give one with --listen", 8080+portsToTry-1)
}

// startServers starts PostgreSQL and Redis where no address of one was given.
func (c *devCommand) startServers(ctx context.Context, dir string) (*devEnv, error) {
	e := &devEnv{databaseURL: c.DatabaseURL, redisURL: c.RedisURL}
	if e.databaseURL == "" {
		pg, err := devenv.StartPostgres(ctx, devenv.PostgresOptions{Dir: filepath.Join(dir, "postgres"), Log: os.Stderr})
		if err != nil {
			return e, running(err, dir)
		}
		e.stops = append(e.stops, pg.Stop)
		if err := pg.EnsureDatabase(ctx, "tuma"); err != nil {
			return e, err
		}
		e.databaseURL = pg.URL("tuma")
		e.runs = append(e.runs, pg.Describe())
	} else {
		e.runs = append(e.runs, "PostgreSQL as given")
	}
	if e.redisURL == "" {
		r, err := devenv.StartRedis(ctx, c.redis(dir))
		if err != nil {
			return e, err
		}
		e.stops = append(e.stops, r.Stop)
		e.redisURL = r.URL()
		e.runs = append(e.runs, r.Describe())
	} else {
		e.runs = append(e.runs, "Redis as given")
	}
	return e, nil
}

// logger writes to a file beside the data, so that the banner stays on the
// screen; warnings are shown there, too.
func (c *devCommand) logger(dir string) (*slog.Logger, func() error, error) {
	if c.Verbose {
		return slog.New(slog.NewTextHandler(os.Stderr, nil)), func() error { return nil }, nil
	}
	f, err := os.OpenFile(filepath.Join(dir, "tuma.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, nil, err
	}
	return slog.New(slog.NewTextHandler(f, nil)), f.Close, nil
}

// devTwilioSID names the simulator's account; it has Twilio's shape.
const devTwilioSID = "AC00000000000000000000000000000334"

// devKeys are the secrets of one data directory: what it has sealed can be read
// by nobody else.
type devKeys struct {
	secrets
	Twilio, Airtime string
}

// devSecrets reads the directory's secrets and makes them the first time.
func devSecrets(path string) (devKeys, error) {
	var k devKeys
	b, err := os.ReadFile(path)
	if err == nil {
		return k, json.Unmarshal(b, &k)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return k, err
	}
	var made [5]string
	for i := range made {
		if made[i], err = newKey(); err != nil {
			return k, err
		}
	}
	k = devKeys{secrets: secrets{PINKeys: []string{"dev:" + made[0]}, ReceiptKey: made[1], SessionKey: made[2]}, Twilio: made[3], Airtime: made[4]}
	if b, err = json.MarshalIndent(k, "", "  "); err != nil {
		return k, err
	}
	// Whole or not at all: a half-written file would lock everybody out.
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return k, err
	}
	return k, os.Rename(path+".new", path)
}

// writeEnv lets the operator's verbs find a running dev: `. DIR/env`.
func writeEnv(path string, e *devEnv, k devKeys) error {
	text := fmt.Sprintf("export TUMA_DATABASE_URL='%s' TUMA_REDIS_URL='%s' TUMA_PIN_KEYS='%s' TUMA_RECEIPT_KEY='%s' TUMA_SESSION_KEY='%s'\n",
		e.databaseURL, e.redisURL, strings.Join(k.PINKeys, ","), k.ReceiptKey, k.SessionKey)
	return os.WriteFile(path, []byte(text), 0o600)
}

func (c *devCommand) network(base, serviceCode, symbol string, k devKeys) (*simulator.Network, error) {
	var people []simulator.Person
	for _, p := range demoCustomers {
		people = append(people, simulator.Person{Name: p.name, MSISDN: p.number, Note: "customer", PIN: demoPIN})
	}
	for _, t := range demoTills {
		people = append(people, simulator.Person{Name: t.operator, MSISDN: t.operatorNumber, Note: "operator of till " + t.number, PIN: demoPIN, Role: "till", Till: t.number})
	}
	told := &notices{first: map[string]simulator.SMS{}}
	network, err := simulator.NewNetwork(simulator.Config{
		USSDURL: base + "/ussd/africastalking", EventsURL: base + "/ussd/africastalking/events", ServiceCode: serviceCode,
		SMSURL: base + "/sms/twilio/inbound", TwilioSID: devTwilioSID, TwilioToken: k.Twilio, AirtimeToken: k.Airtime, PushToken: k.Airtime, CurrencySymbol: symbol,
		Now: c.time.now, Rand: rand.Reader, People: people, Received: told.received,
	})
	told.network = network
	return network, err
}

// withSimulator puts the outside world on the same address.
func withSimulator(service http.Handler, network http.Handler) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("/", service)
	mux.Handle("/simulator/", network)
	mux.Handle("/2010-04-01/", network)
	mux.Handle("GET /{$}", http.RedirectHandler("/simulator/", http.StatusFound))
	return mux
}

func (c *devCommand) banner(e *devEnv, dir, base, admin, moved string) {
	w := c.out
	fmt.Fprintf(w, "\nTuma runs on this machine, with play money.\n\n")
	for _, r := range e.runs {
		fmt.Fprintf(w, "  %s\n", r)
	}
	fmt.Fprintf(w, "  data and log in %s\n", dir)
	if moved != "" {
		fmt.Fprintf(w, "  %s\n", moved)
	}
	fmt.Fprintf(w, "\n  phones in the browser   %s/simulator/\n", base)
	fmt.Fprintf(w, "  all of them at a glance %s/simulator/town\n", base)
	fmt.Fprintf(w, "  the agents' portal      %s/agents/\n", base)
	fmt.Fprintf(w, "  a phone in a terminal   tuma phone %s --url %s\n", demoCustomers[0].number, base)
	fmt.Fprintf(w, "  USSD callback           %s/ussd/africastalking\n", base)
	fmt.Fprintf(w, "  metrics and profiles    http://%s/metrics\n", admin)
	if c.Clock {
		fmt.Fprintf(w, "  a day passes            curl -d '{\"forward\":\"24h\"}' %s/simulator/clock\n", base)
	}
	fmt.Fprintf(w, "  the operator's verbs    . %s/env; tuma audit\n", dir)
	fmt.Fprintf(w, "\n  people, all with the PIN %s; dial %s\n", demoPIN, c.ServiceCode)
	for _, p := range demoCustomers {
		fmt.Fprintf(w, "    %s  %-16s customer\n", p.number, p.name)
	}
	for _, t := range demoTills {
		fmt.Fprintf(w, "    %s  %-16s operator of till %s, %s\n", t.operatorNumber, t.operator, t.number, t.name)
	}
	fmt.Fprintf(w, "    %s  %-16s head office %s, over %s\n", demoOffice.number, demoOffice.head, demoOffice.name, demoOffice.agent)
	fmt.Fprintf(w, "  staff, who sign in at %s/agents/staff/in with the password %s:\n", base, demoPassword)
	fmt.Fprintf(w, "    %s (maker), %s (checker), %s (care)\n", demoMaker, demoChecker, demoCare)
	fmt.Fprintf(w, "    one-time codes          tuma staff code %s\n", demoSecret)
	fmt.Fprintf(w, "\nCtrl-C stops everything; the data stays.\nready %s\n", base)
}
