package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/internal/devenv"
)

// rehearseRestore loses the database's machine under load and restores it to an
// instant before, from a base backup that was made under load, too, and the log
// that was archived until then.
type rehearseRestore struct {
	rehearsing
	Plant string `hidden:"" enum:",early" default:""` // restore to an instant too early, to see that it is noticed
}

// horizon is the instant to which a book was restored, as callers know it.
type horizon struct {
	told      int64          // what was acknowledged before must be there
	known     map[*deed]bool // what was not among these must not
	forgotten []*deed        // acknowledged afterwards, and not there
}

func (h *horizon) knew(d *deed) bool { return h.known[d] }

// restorePostgres keeps every finished file of the log: whole or not at all, and
// never over another.
var restorePostgres = map[string]string{
	"archive_mode":    "on",
	"archive_command": "test ! -f ${dir}/archive/%f && cp %p ${dir}/archive/%f.new && sync ${dir}/archive/%f.new && mv ${dir}/archive/%f.new ${dir}/archive/%f",
}

const (
	sqlSwitch  = `select pg_walfile_name(pg_switch_wal())`
	sqlInDoubt = `select pg_is_in_recovery()`
	// What was acknowledged after the instant has numbers, too, and its receipts
	// are on phones: new entries must not get them.
	sqlSkipNumbers = `select setval('entry_number', last_value + 1024 * 100000) from entry_number`
	sqlSkipNotices = `select setval('notice_id', last_value + 4096 * 100000) from notice_id`
)

// Run rehearses.
func (c *rehearseRestore) Run(ctx context.Context) (err error) {
	settings := map[string]string{}
	for k, v := range restorePostgres {
		settings[k] = v
	}
	x, err := c.open(ctx, settings, "archive")
	if err != nil {
		return err
	}
	x.Plant = c.Plant
	defer func() { err = x.close(err) }()
	if err := x.begin(); err != nil {
		return err
	}
	backup, began := filepath.Join(x.dir, "backup"), time.Now()
	if err := x.server.pg.Backup(ctx, backup, ""); err != nil {
		return err
	}
	x.say("a base backup was made while %d entries were acknowledged (%.1f s)", x.acknowledged(), time.Since(began).Seconds())
	seal, at, err := c.upTo(ctx, x)
	if err != nil {
		return err
	}
	if err := x.server.lose(); err != nil {
		return err
	}
	lost := time.Now()
	for _, v := range x.victims { // they are on the machine, too
		v.kill()
	}
	x.hush()
	x.rest()
	x.say("the machine is lost, its data with it; %d entries were acknowledged", x.acknowledged())
	if err := os.RemoveAll(filepath.Join(x.server.options.Dir, "data")); err != nil {
		return err
	}
	pool, err := c.restore(ctx, x, backup, at)
	if err != nil {
		return err
	}
	defer pool.Close()
	up := time.Since(lost)
	x.say("the database is back as of %s", at.Format("15:04:05.000000"))
	if err := x.audited(ctx, pool, seal); err != nil {
		return err
	}
	if err := x.compare(ctx, pool); err != nil {
		return err
	}
	if err := c.goOn(ctx, x); err != nil {
		return err
	}
	if x.any() {
		return nil
	}
	fmt.Printf("\nevery one of %d entries that callers knew before the instant is there; %d that were acknowledged after it are forgotten, as asked\n",
		x.acknowledged()-len(x.until.forgotten), len(x.until.forgotten))
	fmt.Printf("back after %.1f s, proven after %.1f s (the copying of %s of backup included); the audit found nothing\n", up.Seconds(), time.Since(lost).Seconds(), size(backup))
	return nil
}

// upTo lets the callers go on to the instant, and a while longer.
func (c *rehearseRestore) upTo(ctx context.Context, x *rehearsal) (*ledger.Heads, time.Time, error) {
	pool, err := x.admin(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer pool.Close()
	if err := wait(ctx, c.Seconds/2); err != nil {
		return nil, time.Time{}, err
	}
	seal, err := ledger.Seal(ctx, pool)
	if err != nil {
		return nil, time.Time{}, err
	}
	at := time.Now()
	if err := wait(ctx, c.Seconds/2); err != nil {
		return nil, time.Time{}, err
	}
	x.until = &horizon{told: x.record.tick(), known: map[*deed]bool{}}
	if c.Plant == "" {
		at = time.Now() // after the tick: what was told by then had been committed
	}
	for _, d := range x.record.all() {
		x.until.known[d] = true
	}
	x.say("this is the instant to which the book will be restored")
	if err := wait(ctx, min(1, c.Seconds/4)); err != nil {
		return nil, at, err
	}
	var file string // in which the log has gone beyond the instant
	if err := pool.InTx(ctx, func(tx *db.Tx) error { return tx.Get(ctx, &file, sqlSwitch) }); err != nil {
		return nil, at, err
	}
	return &seal, at, waitFor(ctx, "archiving "+file, func() (bool, error) {
		_, err := os.Stat(filepath.Join(x.dir, "archive", file))
		return err == nil, err
	})
}

// restore does what docs/operations.md tells the operator to do.
func (c *rehearseRestore) restore(ctx context.Context, x *rehearsal, backup string, at time.Time) (*db.Pool, error) {
	restored := filepath.Join(x.dir, "restored")
	if out, err := exec.CommandContext(ctx, "cp", "-a", backup, restored).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cp: %w: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(restored, "data", "recovery.signal"), nil, 0o644); err != nil {
		return nil, err
	}
	options := devenv.PostgresOptions{Dir: restored, Settings: map[string]string{
		"restore_command":        fmt.Sprintf("cp %s/archive/%%f %%p", x.dir),
		"recovery_target_time":   at.UTC().Format("2006-01-02 15:04:05.000000+00"),
		"recovery_target_action": "promote",
	}}
	pg, err := devenv.StartPostgres(ctx, options)
	if err != nil {
		return nil, err
	}
	if err := x.take(&mortal{cutter: x.cutter, options: options, pg: pg}); err != nil {
		return nil, err
	}
	pool, err := x.admin(ctx)
	if err != nil {
		return nil, err
	}
	err = waitFor(ctx, "the end of the recovery", func() (bool, error) {
		var recovering bool
		err := pool.Get(ctx, &recovering, sqlInDoubt)
		return err == nil && !recovering, err
	})
	if err == nil {
		err = pool.InTx(ctx, func(tx *db.Tx) error {
			var n int64
			return errors.Join(tx.Get(ctx, &n, sqlSkipNumbers), tx.Get(ctx, &n, sqlSkipNotices))
		})
	}
	if err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return pool, nil
}

// take puts another server in the place of the one that was lost: whoever calls
// through the proxy reaches it.
func (x *rehearsal) take(m *mortal) error {
	x.server = m
	u, err := url.Parse(m.pg.URL("tuma"))
	if err == nil {
		x.cutter.upstream.Store(&u.Host)
	}
	return err
}

// goOn posts into the restored book and makes sure that no receipt comes twice.
func (c *rehearseRestore) goOn(ctx context.Context, x *rehearsal) error {
	cfg, err := (&bench{databaseURL: x.server.url()}).config()
	if err != nil {
		return err
	}
	cfg.keys.receipt = x.key
	s, err := cfg.books(ctx)
	if err != nil {
		return err
	}
	codes := map[string]bool{}
	for _, d := range x.record.all() {
		if d.receipt != nil {
			codes[d.receipt.Code] = true
		}
	}
	for i := range 20 {
		d := &deed{kind: "fill", to: x.ground.wallets[i%len(x.ground.wallets)], amount: 100}
		r, err := s.accounts.Book().Post(ctx, ledger.Entry{Ref: fmt.Sprint("after:", i), Kind: d.kind, Memo: d.memo(), Postings: d.postings(&x.ground)})
		if refusal, ok := errors.AsType[ledger.Refusal](err); ok && refusal.Rule == ledger.OverCeiling {
			continue
		}
		if err != nil {
			return errors.Join(fmt.Errorf("the restored book takes no entry: %w", err), s.close())
		}
		if codes[r.Code] {
			x.found("the receipt %s is given a second time", r.Code)
		}
	}
	return s.close()
}

// size is what a folder holds, in MB.
func size(dir string) string {
	var n int64
	filepath.Walk(dir, func(_ string, f os.FileInfo, err error) error {
		if err == nil {
			n += f.Size()
		}
		return nil
	})
	return fmt.Sprintf("%d MB", n>>20)
}
