package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/internal/money"
	"tuma/simulator/people"
)

// rehearseUpgrade replaces a program by its next version while people use it, as
// docs/operations.md says: expand, roll (one process there and back first),
// contract. It asks the two programs for everything and knows nothing of their
// schemas, so it can be a third.
type rehearseUpgrade struct {
	Old       string  `required:"" type:"existingfile" placeholder:"PATH" help:"The program that runs."`
	New       string  `required:"" type:"existingfile" placeholder:"PATH" help:"The program that shall run."`
	Seconds   float64 `default:"5" help:"How long people pay between two steps."`
	Customers int     `default:"100" help:"People with phones."`
	Rate      float64 `default:"40" help:"Sessions begun in a second, on the average."`
	Seed      uint64  `help:"Of people and traffic; 0 is a fresh one. It is printed."`
	Plant     string  `hidden:"" enum:",alone" default:""` // one process with a socket of its own, to see that it is noticed
}

// upgrade is one rehearsal under way.
type upgrade struct {
	*rehearseUpgrade
	began  time.Time
	dir    string
	site   *site
	socket *os.File
	crowd  *crowd
	set    map[string]string
	finds  []string
}

func (u *upgrade) say(format string, args ...any) {
	fmt.Printf("%6.2f s  %s\n", time.Since(u.began).Seconds(), fmt.Sprintf(format, args...))
}

func (u *upgrade) found(format string, args ...any) {
	u.finds = append(u.finds, fmt.Sprintf(format, args...))
	fmt.Println("FOUND", u.finds[len(u.finds)-1])
}

// Run rehearses.
func (c *rehearseUpgrade) Run(ctx context.Context) (err error) {
	if c.Seed == 0 {
		c.Seed = uint64(time.Now().UnixNano())
	}
	u := &upgrade{rehearseUpgrade: c, began: time.Now()}
	defer func() { err = errors.Join(err, u.close()) }()
	if err := u.open(ctx); err != nil {
		return err
	}
	living := make(chan error, 1)
	life, enough := context.WithCancel(ctx)
	defer enough()
	go func() { living <- u.crowd.country.Live(life) }()
	err = u.upgrade(ctx)
	enough()
	if err := errors.Join(err, <-living); err != nil {
		return err
	}
	if err := u.verdict(ctx); err != nil {
		return err
	}
	if len(u.finds) > 0 {
		return fmt.Errorf("%d findings, first: %s (seed %d)", len(u.finds), u.finds[0], c.Seed)
	}
	return nil
}

// open has the old program make its installation, and its people registered.
func (u *upgrade) open(ctx context.Context) (err error) {
	if u.dir, err = os.MkdirTemp("/var/tmp", "tuma-rehearse-"); err != nil {
		return err
	}
	if err := os.Chmod(u.dir, 0o755); err != nil { // PostgreSQL may run as another user
		return err
	}
	if u.site, err = openBareSite(ctx, u.dir, nil, func() time.Duration { return 0 }); err != nil {
		return err
	}
	var address string
	if u.socket, address, err = shareSocket(); err != nil {
		return err
	}
	if u.crowd, err = openCrowd("http://"+address+"/ussd/africastalking", filepath.Join(u.dir, "history.jsonl")); err != nil {
		return err
	}
	u.crowd.settings["TUMA_DRAIN"] = "1s"
	if u.set, err = u.site.settings(u.crowd.settings); err != nil {
		return err
	}
	if _, err := u.ask(ctx, u.Old, "migrate"); err != nil {
		return err
	}
	said, err := u.ask(ctx, u.Old, "rehearse", "stage", "--tills", "4")
	if err != nil {
		return err
	}
	var tills []people.Till
	if err := json.Unmarshal([]byte(said), &tills); err != nil {
		return fmt.Errorf("the old program's tills: %w", err)
	}
	if u.Plant == "alone" {
		u.set["TUMA_LISTEN"] = address
		err = errors.Join(u.socket.Close(), u.site.openShared(ctx, 1, u.set, u.Old, nil))
	} else {
		err = u.site.openShared(ctx, 2, u.set, u.Old, u.socket)
	}
	if err != nil {
		return err
	}
	err = u.crowd.gather(ctx, people.Options{
		Customers: u.Customers, Tills: tills, Seed: u.Seed, Rate: u.Rate, Speed: 200, Profile: people.Soak, Duration: time.Hour,
	})
	u.say("the old program runs in %d processes, %d people are registered (seed %d)", len(u.site.instances), u.Customers, u.Seed)
	return err
}

// upgrade does what the operator does.
func (u *upgrade) upgrade(ctx context.Context) error {
	pause := func(step string) error {
		err := wait(ctx, u.Seconds)
		u.say("%s: %s", step, u.crowd.since())
		return err
	}
	if err := pause("people pay"); err != nil {
		return err
	}
	said, err := u.ask(ctx, u.New, "migrate", "--expand")
	if err != nil {
		return err
	}
	for line := range strings.Lines(said) {
		u.say("new migrate --expand: %s", strings.TrimSpace(line))
	}
	contracts := strings.Contains(said, " contracts: ")
	if err := pause("the old program runs on the expanded schema"); err != nil {
		return err
	}
	if contracts {
		if _, err := u.ask(ctx, u.New, "migrate"); err == nil || !strings.Contains(err.Error(), "older programs are still running") {
			u.found("the schema is contracted under the old program: %v", err)
		} else {
			u.say("new migrate: refused while the old program runs")
		}
	}
	first, second := u.site.instances[0], u.site.instances[len(u.site.instances)-1]
	for _, roll := range []struct {
		i       *instance
		program string
		what    string
	}{{first, u.New, "the first process is new"}, {first, u.Old, "the first process is old again"}, {first, u.New, "the first process is new again"}, {second, u.New, "the second process is new"}} {
		if err := roll.i.become(ctx, roll.program); err != nil {
			return err
		}
		if err := pause(roll.what); err != nil {
			return err
		}
	}
	if said, err = u.ask(ctx, u.New, "migrate"); err != nil {
		return err
	}
	for line := range strings.Lines(said) {
		u.say("new migrate: %s", strings.TrimSpace(line))
	}
	if contracts {
		if _, err := u.ask(ctx, u.Old, "serve"); err == nil || !strings.Contains(err.Error(), "the schema is newer than this program") {
			u.found("the old program starts on the contracted schema: %v", err)
		} else {
			u.say("old serve: refused")
		}
	}
	return pause("the new program runs on the contracted schema")
}

// verdict compares what people know with the books.
func (u *upgrade) verdict(ctx context.Context) error {
	watcher, err := db.Open(ctx, db.Options{URL: u.site.server.url(), App: "tuma rehearse", MaxConns: 1})
	if err != nil {
		return err
	}
	defer watcher.Close()
	if err := atRest(ctx, watcher); err != nil {
		return err
	}
	if err := u.crowd.history.Flush(); err != nil {
		return err
	}
	var r reconciled
	said, err := u.ask(ctx, u.New, "reconcile", "--json", "--history", u.crowd.file.Name())
	if bad := json.Unmarshal([]byte(said), &r); bad != nil {
		return errors.Join(err, bad)
	}
	for kind, n := range r.Found {
		if n > 0 {
			u.found("%d %s: %s", n, kind, r.First[0])
		}
	}
	var p ledger.Proof
	said, err = u.ask(ctx, u.New, "audit", "--json")
	if bad := json.Unmarshal([]byte(said), &p); bad != nil {
		return errors.Join(err, bad)
	}
	for _, b := range p.Breaks {
		u.found("audit: %s: %s", b.Check, b.What)
	}
	if n := u.crowd.unclear["sorry"]; n > 0 { // ours; nothing is lost by it
		u.say("%d payments were answered with sorry:", n)
		if err := u.complaints(); err != nil {
			return err
		}
	}
	w := u.crowd.wire
	if n := w.refused.Load() + w.failed.Load(); n > 0 {
		u.found("%d requests were refused or failed, the first: %s", n, *w.first.Load())
	}
	if len(u.finds) == 0 {
		fmt.Printf("\n%d requests: none refused, none failed, %d answered too late for the gateway\n", w.requests.Load(), w.late.Load())
		fmt.Printf("%d payments acknowledged, none lost, none doubled; %d did not see their answer at first (who hangs up does not); the audit of %d entries found nothing\n", r.OK, r.Ambiguous, p.Entries)
	}
	return nil
}

// complaints prints the first errors that each process has logged.
func (u *upgrade) complaints() error {
	for _, i := range u.site.instances {
		b, err := os.ReadFile(filepath.Join(u.dir, i.name+".log"))
		if err != nil {
			return err
		}
		n := 0
		for line := range strings.Lines(string(b)) {
			if n < 5 && strings.Contains(line, "level=ERROR") {
				n++
				fmt.Printf("%s: %s", i.name, line)
			}
		}
	}
	return nil
}

// ask runs a command of one of the programs on the installation.
func (u *upgrade) ask(ctx context.Context, program string, args ...string) (string, error) {
	set := maps.Clone(u.set)
	set["TUMA_DATABASE_URL"] = u.site.server.url()
	return command(ctx, program, set, args...)
}

// command runs a command of a program to its end, and gives its output; an error
// has what it said of it.
func command(ctx context.Context, program string, set map[string]string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = os.Environ()
	for k, v := range set {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, last(errs.Bytes(), 2000))
	}
	return out.String(), nil
}

func (u *upgrade) close() error {
	var errs []error
	if u.site != nil {
		errs = append(errs, u.site.close())
	}
	if u.crowd != nil {
		errs = append(errs, u.crowd.close())
	}
	if u.socket != nil {
		u.socket.Close()
	}
	return errors.Join(append(errs, os.RemoveAll(u.dir))...)
}

// rehearseStage sets up tills with operators and float in an empty installation
// and prints them: a rehearsal has the old program do that on its own schema. So
// what it is called and what it prints stay as they are.
type rehearseStage struct {
	books
	Tills int `default:"4" help:"How many."`
}

// Run sets them up.
func (c *rehearseStage) Run(ctx context.Context) error {
	return c.with(ctx, func(s *service) error {
		tills, err := openTills(ctx, s, c.Tills, func(int) money.Amount { return 10_000_000_00 })
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(tills)
	})
}
