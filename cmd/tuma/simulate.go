package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"tuma/agents"
	"tuma/internal/db"
	"tuma/internal/money"
	"tuma/internal/phone"
	"tuma/simulator"
	"tuma/simulator/people"
)

// simulateCommand runs a country in a box: a whole installation on this machine,
// thousands of people who use it by the public wires, faults, and in the end the
// comparison of everybody's own account with the books.
type simulateCommand struct {
	Customers int           `default:"1000" help:"People with phones."`
	Agents    int           `default:"20" help:"Tills, each with an operator."`
	Rate      float64       `default:"20" help:"Sessions begun in a second, on the average."`
	Duration  time.Duration `default:"1m" help:"Of the traffic, after everybody is registered."`
	Seed      uint64        `help:"Of people, traffic and faults; 0 is a fresh one. It is printed."`
	Speed     float64       `default:"20" help:"How much faster than people they read and type."`
	Profile   string        `enum:"day,peak,soak" default:"soak" help:"A day with its evening, the busiest hour for the whole time, or the mean."`
	Faults    []string      `placeholder:"LIST" help:"Kinds of faults, or all: see the list with --faults help."`
	Every     time.Duration `default:"10s" help:"Between two faults, on the average."`
	Disk      int           `placeholder:"MB" help:"Keep the installation's data on a disk of this size of its own, so that it can be full: a tmpfs, which needs root. 1000 will do."`
	New       string        `type:"existingfile" placeholder:"PATH" help:"The next version of this program, for the fault upgrade."`
	Instances int           `default:"2" help:"Processes of the service."`
	Fraud     float64       `default:"0.005" help:"Part of the sessions that are begun by somebody who is up to no good."`
	Brakes    string        `placeholder:"FILE" type:"existingfile" help:"Changes to the rules against fraud, as TUMA_BRAKES."`
	Report    string        `placeholder:"DIR" help:"Where the report, the history and the logs are kept; without it a folder is made."`
	JSON      bool          `help:"End with one JSON object."`
	Plain     bool          `help:"Lines instead of the live screen."`
	Plant     string        `hidden:"" enum:",drop-history,forget-sms,false-receipt" default:""`
}

// Run simulates.
func (c *simulateCommand) Run(ctx context.Context) (err error) {
	if len(c.Faults) == 1 && c.Faults[0] == "help" {
		return printFaults(os.Stdout)
	}
	kinds, err := faultKinds(c.Faults, c.cannot())
	if err != nil {
		return err
	}
	if c.Disk != 0 && c.Disk < leastDisk {
		return fmt.Errorf("a disk of %d MB is too small: at least %d", c.Disk, leastDisk)
	}
	if c.Instances < 1 || c.Agents < 1 {
		return errors.New("at least one instance and one till are needed")
	}
	if c.Seed == 0 {
		c.Seed = uint64(time.Now().UnixNano())
	}
	if c.Report == "" {
		if c.Report, err = os.MkdirTemp("", "tuma-simulate-"); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(c.Report, 0o755); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "seed %d, report in %s\n", c.Seed, c.Report)
	sim := &simulation{simulateCommand: c, kinds: kinds, began: time.Now(), hand: make(chan fault, 8)}
	if err := sim.open(ctx); err != nil {
		return errors.Join(err, sim.close())
	}
	defer func() { err = errors.Join(err, sim.close()) }()
	if err := sim.live(ctx); err != nil {
		return err
	}
	result, err := sim.settle(ctx)
	if err != nil {
		return err
	}
	if err := result.write(c.Report); err != nil {
		return err
	}
	if c.JSON {
		if err := json.NewEncoder(os.Stdout).Encode(result.brief()); err != nil {
			return err
		}
	} else {
		result.print(os.Stdout)
		fmt.Printf("the report: %s\n", filepath.Join(c.Report, "report.html"))
	}
	if n := result.Reconciled.problems() + len(result.Breaks); n > 0 {
		return fmt.Errorf("%d things are not as they should be", n)
	}
	return nil
}

// simulation is one run.
type simulation struct {
	*simulateCommand
	kinds []fault // to choose from
	deck  []fault // those that are next; harm's alone
	began time.Time

	site     *site
	set      map[string]string
	front    *front
	provider *provider
	network  *simulator.Network
	listener net.Listener
	server   *http.Server
	file     *os.File
	history  *people.History
	country  *people.Country
	done     faultLog
	sms      atomic.Int64 // that phones have got
	dataDir  string
	mounted  bool                   // dataDir is a disk of its own
	watcher  *db.Pool               // looks at the database, past the proxies
	inside   atomic.Pointer[inside] // by the last look
	hand     chan fault
	harmless atomic.Bool // no fault is done any more
	stopped  context.CancelFunc
}

func (s *simulation) dice(stream uint64) *mathrand.Rand {
	return mathrand.New(mathrand.NewPCG(s.Seed, stream))
}

// open starts the installation and the outside world, and registers everybody.
func (s *simulation) open(ctx context.Context) (err error) {
	if s.dataDir, err = os.MkdirTemp("/var/tmp", "tuma-simulate-"); err != nil {
		return err
	}
	if err := os.Chmod(s.dataDir, 0o755); err != nil { // PostgreSQL may run as another user
		return err
	}
	if s.Disk > 0 {
		if err := mountDisk(ctx, s.dataDir, s.Disk); err != nil {
			return err
		}
		s.mounted = true
	}
	ctx, s.stopped = context.WithCancel(ctx)
	late := s.dice(9)
	settings := map[string]string{"shared_buffers": "1GB", "max_wal_size": "4GB", "checkpoint_timeout": "15min", "wal_compression": "on"}
	if s.Disk > 0 {
		settings["max_wal_size"] = fmt.Sprintf("%dMB", s.Disk/4)
	}
	if s.site, err = openSite(ctx, s.dataDir, settings, func() time.Duration { return time.Duration(late.Int64N(int64(lateCommit))) }); err != nil {
		return err
	}
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	world := "http://" + s.listener.Addr().String()
	token := make([]byte, 16)
	if _, err := rand.Read(token); err != nil {
		return err
	}
	secret := hex.EncodeToString(token)
	if s.set, err = s.site.settings(map[string]string{
		"TUMA_SMS": "twilio", "TUMA_TWILIO_SID": devTwilioSID, "TUMA_TWILIO_TOKEN": secret, "TUMA_TWILIO_FROM": "Tuma", "TUMA_TWILIO_URL": world, "TUMA_SMS_DOUBTS": "12",
		"TUMA_AIRTIME_URL": world + "/simulator/airtime/topup", "TUMA_AIRTIME_TOKEN": secret,
		"TUMA_USSD_PUSH_URL": world + "/simulator/push", "TUMA_USSD_PUSH_TOKEN": secret,
		// As in the field, for people who are so much faster.
		"TUMA_DIALS_PER_MINUTE": fmt.Sprint(int(10 * max(1, s.Speed))), "TUMA_LOOKUPS_PER_DAY": "20",
	}); err != nil {
		return err
	}
	if s.Brakes != "" {
		if s.set["TUMA_BRAKES"], err = filepath.Abs(s.Brakes); err != nil {
			return err
		}
	}
	tills, err := s.setUp(ctx)
	if err != nil {
		return fmt.Errorf("setting up tills: %w", err)
	}
	if s.watcher, err = db.Open(ctx, db.Options{URL: s.site.server.url(), App: "tuma simulate", MaxConns: 2}); err != nil {
		return err
	}
	if err := s.outside(world, secret); err != nil {
		return err
	}
	s.site.clocks = true
	if err := s.site.open(ctx, s.Instances, s.set); err != nil {
		return err
	}
	s.front.instances = s.site.instances
	if s.country, err = people.New(people.Options{
		Network: s.network, Customers: s.Customers, Tills: tills, Seed: s.Seed, Rate: s.Rate, Speed: s.Speed, Profile: people.Profile(s.Profile),
		Duration: s.Duration, History: s.history, Fraud: s.Fraud, Swap: s.swapSIM, Watch: moves(s.network.Town(), tills),
	}); err != nil {
		return err
	}
	if err := s.settleTown(); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "the town: %s/simulator/town\n", world)
	return s.country.Open(ctx, func(done, all int) {
		if done%max(1, all/20) == 0 {
			s.network.Town().Tell(simulator.Figure{Name: "registered", Value: fmt.Sprintf("%d of %d", done, all)})
			fmt.Fprintf(os.Stderr, "\r%d of %d people are registered and have money ", done, all)
		}
		if done == all {
			fmt.Fprintln(os.Stderr)
		}
	})
}

// outside starts the network with its phones, the SMS provider and the airtime
// operator.
func (s *simulation) outside(world, secret string) (err error) {
	if s.file, err = os.Create(filepath.Join(s.Report, "history.jsonl")); err != nil {
		return err
	}
	s.history = people.NewHistory(s.file, time.Now)
	s.front = newFront(nil, s.dice(2))
	mux := http.NewServeMux()
	mux.Handle("/ussd/", s.front)
	s.network, err = simulator.NewNetwork(simulator.Config{
		USSDURL: world + "/ussd/africastalking", EventsURL: world + "/ussd/africastalking/events", ServiceCode: kenyaSettings.ServiceCode,
		TwilioSID: devTwilioSID, TwilioToken: secret, AirtimeToken: secret, PushToken: secret, CurrencySymbol: "Ksh",
		Now: time.Now, Rand: rand.Reader, Kept: 2,
		HTTPClient: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1024, MaxIdleConns: 4096, IdleConnTimeout: 30 * time.Second}},
		Received: func(m simulator.SMS) {
			if n := s.sms.Add(1); s.Plant == "forget-sms" && n == 200 {
				return
			}
			s.history.Received(m)
		},
	})
	if err != nil {
		return err
	}
	if err := s.openTown(); err != nil {
		return err
	}
	s.provider = &provider{next: s.network, dice: s.dice(3)}
	mux.Handle("/simulator/", s.network)
	mux.Handle("/2010-04-01/", s.provider)
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go s.server.Serve(s.listener)
	return nil
}

// setUp makes agents, tills and operators, as the operator of the service does,
// and issues their float by two people. Some tills have little of it.
func (s *simulation) setUp(ctx context.Context) ([]people.Till, error) {
	books, err := s.site.books(ctx, s.set)
	if err != nil {
		return nil, err
	}
	defer books.close()
	dice := s.dice(1)
	return openTills(ctx, books, s.Agents, func(i int) money.Amount {
		if dice.IntN(20) == 0 && i > 0 {
			return 5_000_00
		}
		return money.Amount(s.Customers/s.Agents+100) * 20_000_00
	})
}

// openTills makes tills with their operators, and the two people who issue their
// float.
func openTills(ctx context.Context, books *service, n int, float func(i int) money.Amount) ([]people.Till, error) {
	for name, role := range map[string]string{demoMaker: "maker", demoChecker: "checker"} {
		if err := books.agents.CreateStaff(ctx, name, demoPassword, role); err != nil {
			return nil, err
		}
	}
	var tills []people.Till
	for i := range n {
		t := people.Till{Number: fmt.Sprint(200001 + i), Name: "Shop " + letters(i), Operator: fmt.Sprintf("+2547200%05d", i), PIN: demoPIN}
		pin, err := books.accounts.PINs().Seal(t.PIN)
		if err != nil {
			return nil, err
		}
		if _, err := books.agents.CreateAgent(ctx, t.Name); err != nil {
			return nil, err
		}
		if _, err := books.agents.CreateTill(ctx, t.Name, t.Name, t.Number); err != nil {
			return nil, err
		}
		if err := books.agents.CreateOperator(ctx, agents.NewOperator{
			Till: t.Number, Phone: phone.Number(t.Operator), Name: "Keeper " + letters(i), IDNumber: fmt.Sprint(50_000_000 + i), Lang: "en", Role: "owner", PIN: pin,
		}); err != nil {
			return nil, err
		}
		id, err := books.agents.RequestFloat(ctx, demoMaker, t.Number, float(i), "SIM-"+t.Number)
		if err != nil {
			return nil, err
		}
		if _, err := books.agents.ApproveFloat(ctx, demoChecker, id); err != nil {
			return nil, err
		}
		tills = append(tills, t)
	}
	return tills, nil
}

// letters names a till: names have no digits.
func letters(i int) string {
	return "A" + string(rune('a'+i/676%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i%26))
}

// live runs the traffic, with faults.
func (s *simulation) live(ctx context.Context) error {
	harming, calm := context.WithCancel(ctx)
	defer calm()
	var ended = make(chan error, 2)
	go func() { ended <- s.harm(harming) }()
	seconds := time.NewTicker(time.Second)
	defer seconds.Stop()
	living := make(chan error, 1)
	trading, stop := context.WithCancel(ctx)
	defer stop()
	go func() { living <- s.country.Live(trading) }()
	defer s.look(ctx)()
	show := s.screen(stop)
	defer show.close()
	over := time.After(s.Duration)
	asked := trading.Done()
	for {
		select {
		case <-seconds.C:
			now := s.country.Tally().Tick(s.country.Busy())
			s.tellTown(now)
			show.second(s, now)
		case <-over:
			calm() // everything is healed before people are asked what they do not know
			over = nil
		case <-asked:
			calm()
			asked = nil
		case err := <-living:
			calm()
			return errors.Join(err, <-ended)
		}
	}
}

// settle lets everything come to rest and compares.
func (s *simulation) settle(ctx context.Context) (*report, error) {
	if err := s.history.Flush(); err != nil {
		return nil, err
	}
	books, err := s.site.books(ctx, s.set)
	if err != nil {
		return nil, err
	}
	defer books.close()
	fmt.Fprintln(os.Stderr, "waiting for the last SMS")
	if err := atRest(ctx, books.pool); err != nil {
		return nil, err
	}
	if err := s.history.Flush(); err != nil {
		return nil, err
	}
	if err := s.plant(); err != nil {
		return nil, err
	}
	r := &report{Command: s.simulateCommand, Began: s.began, Figures: s.country.Tally().Figures(), Faults: s.done.list()}
	r.Commits, r.Landed = s.site.cutter.unknown(), s.site.cutter.landed.Load()
	r.Doubled, r.SMS = s.front.seen.Load(), s.sms.Load()
	if r.Reconciled, err = reconcile(ctx, books.pool, s.file.Name()); err != nil {
		return nil, err
	}
	if r.Fraud, err = measureBrakes(ctx, books.pool, s.file.Name()); err != nil {
		return nil, err
	}
	p, err := proof(ctx, books.pool)
	if err != nil {
		return nil, err
	}
	for _, b := range p.Breaks {
		r.Breaks = append(r.Breaks, b.Check+": "+b.What)
	}
	r.Entries, r.Postings = p.Entries, p.Postings
	r.Fraud.weigh(p.Entries)
	return r, nil
}

const sqlAtRest = `
select (select count(*) from owed) + (select count(*) from notice where status in ('queued', 'sending')) + (select count(*) from airtime_order where status = 'pending')`

// quietLimit is how long the last SMS may take: a relay that was killed while it
// sent leaves leases of a minute.
const quietLimit = 4 * time.Minute

// atRest waits until nothing is owed to anybody.
func atRest(ctx context.Context, pool *db.Pool) error {
	for until := time.Now().Add(quietLimit); ; time.Sleep(200 * time.Millisecond) {
		var left int
		if err := pool.Get(ctx, &left, sqlAtRest); err != nil {
			return err
		}
		if left == 0 {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("%d notices and orders are still waiting after %v", left, quietLimit)
		}
	}
}

// plant makes the history wrong in the way that was asked for, to show that the
// comparison finds it.
func (s *simulation) plant() error {
	if s.Plant != "drop-history" && s.Plant != "false-receipt" {
		return nil
	}
	b, err := os.ReadFile(s.file.Name())
	if err != nil {
		return err
	}
	lines := strings.SplitAfter(string(b), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if !strings.Contains(lines[i], `"outcome":"ok"`) || !strings.Contains(lines[i], `"kind":"send"`) {
			continue
		}
		if s.Plant == "drop-history" { // somebody was told no, and it happened all the same
			lines[i] = strings.Replace(lines[i], `"outcome":"ok"`, `"outcome":"refused"`, 1)
		} else { // somebody has a receipt of nothing
			l := strings.Index(lines[i], `"session":"`) + len(`"session":"`)
			session := lines[i][l : l+strings.IndexByte(lines[i][l:], '"')]
			for j := range lines {
				lines[j] = strings.Replace(lines[j], session, "never-"+session, 1)
			}
		}
		return os.WriteFile(s.file.Name(), []byte(strings.Join(lines, "")), 0o600)
	}
	return errors.New("nothing to plant the fault in")
}

// close ends everything that open has started.
func (s *simulation) close() error {
	var errs []error
	if s.watcher != nil {
		errs = append(errs, s.watcher.Close())
	}
	if s.site != nil {
		errs = append(errs, s.site.close())
	}
	if s.network != nil {
		s.network.Close()
	}
	if s.server != nil {
		errs = append(errs, s.server.Close())
	} else if s.listener != nil {
		errs = append(errs, s.listener.Close())
	}
	if s.file != nil {
		errs = append(errs, s.file.Close())
	}
	if s.stopped != nil {
		s.stopped()
	}
	if s.dataDir != "" {
		logs, _ := filepath.Glob(filepath.Join(s.dataDir, "*.log"))
		for _, l := range logs {
			errs = append(errs, copyFile(l, s.Report))
		}
		if s.mounted {
			errs = append(errs, unmountDisk(s.dataDir))
		}
		errs = append(errs, os.RemoveAll(s.dataDir))
	}
	return errors.Join(errs...)
}
