package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"tuma/internal/db"
	"tuma/internal/devenv"
)

// rehearseFailover loses the primary under load and promotes its synchronous
// standby. Afterwards the old primary starts again, as a machine does that was
// only switched off, and must not confirm anything; then it follows the new one.
type rehearseFailover struct {
	rehearsing
	Plant string `hidden:"" enum:",async" default:""` // do not wait for the standby, to see that it is noticed
}

const (
	sqlPromote = `select pg_promote(true, 30)`
	sqlSync    = `select count(*) from pg_stat_replication where sync_state in ('sync', 'quorum') and state = 'streaming'`
	// One statement each: they cannot be part of a transaction.
	sqlStandby = `alter system set synchronous_standby_names = '%s'`
	sqlReload  = `select pg_reload_conf()`
)

// The names under which the two servers follow each other.
const standbyB, standbyA = "tuma_b", "tuma_a"

// Run rehearses.
func (c *rehearseFailover) Run(ctx context.Context) (err error) {
	x, err := c.open(ctx, map[string]string{"wal_log_hints": "on", "wal_keep_size": "512MB"}) // which pg_rewind needs
	if err != nil {
		return err
	}
	x.Plant = c.Plant
	defer func() { err = x.close(err) }()
	second, err := c.follow(ctx, x)
	if err != nil {
		return err
	}
	stopped := false
	defer func() {
		if !stopped {
			err = errors.Join(err, second.stop())
		}
	}()
	if err := x.begin(); err != nil {
		return err
	}
	if err := wait(ctx, c.Seconds); err != nil {
		return err
	}
	if c.Plant == "async" { // a standby that lags, and commits that do not wait for it
		if err := errors.Join(second.stop(), wait(ctx, 0.5)); err != nil {
			return err
		}
	}
	before, first := x.acknowledged(), x.server
	if err := first.lose(); err != nil {
		return err
	}
	lost := time.Now()
	if c.Plant == "async" {
		if err := second.start(ctx); err != nil {
			return err
		}
	}
	x.say("the primary is lost; %d entries were acknowledged", before)
	if err := promote(ctx, x, second); err != nil {
		return err
	}
	stopped = true // it is the rehearsal's server now
	before = x.acknowledged()
	promoted := time.Since(lost)
	x.say("the standby is promoted, and the service reaches it")
	if err := waitFor(ctx, "an entry on the new primary", func() (bool, error) { return x.acknowledged() > before, nil }); err != nil {
		return err
	}
	back := time.Since(lost)
	x.say("the first entry is acknowledged there")
	if err := wait(ctx, c.Seconds); err != nil {
		return err
	}
	x.rest()
	if err := x.check(ctx); err != nil {
		return err
	}
	x.say("every entry that was acknowledged is there")
	if c.Plant == "" {
		if err := c.returns(ctx, x, first); err != nil {
			return err
		}
	}
	if x.any() {
		return nil
	}
	s := x.record.summary()
	fmt.Printf("\n%d entries acknowledged, %d of them by the new primary; %d tries had an unknown outcome, all settled; none was lost, none doubled\n", s.Acknowledged, s.Acknowledged-before, s.Unknown)
	fmt.Printf("promoted %.1f s after the loss, payments again after %.1f s; the old primary confirmed nothing and follows\n", promoted.Seconds(), back.Seconds())
	return nil
}

// follow starts a standby and has commits wait for it.
func (c *rehearseFailover) follow(ctx context.Context, x *rehearsal) (*mortal, error) {
	dir := filepath.Join(x.dir, "second")
	if err := x.server.pg.Backup(ctx, dir, standbyB); err != nil {
		return nil, err
	}
	o := devenv.PostgresOptions{Dir: dir, Settings: x.server.options.Settings}
	pg, err := devenv.StartPostgres(ctx, o)
	if err != nil {
		return nil, err
	}
	m := &mortal{cutter: x.cutter, options: o, pg: pg}
	if c.Plant == "async" {
		return m, nil
	}
	if err := synchronous(ctx, x, standbyB); err != nil {
		return nil, errors.Join(err, m.stop())
	}
	x.say("a standby follows, and every commit waits for it")
	return m, nil
}

// synchronous has the primary's commits wait for a standby, once it is there.
func synchronous(ctx context.Context, x *rehearsal, name string) error {
	pool, err := x.admin(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := x.server.pg.Do(ctx, fmt.Sprintf(sqlStandby, name), sqlReload); err != nil {
		return err
	}
	return waitFor(ctx, "the standby", func() (bool, error) {
		var n int
		err := pool.Get(ctx, &n, sqlSync)
		return n == 1, err
	})
}

// promote makes the standby the primary and points the service at it.
func promote(ctx context.Context, x *rehearsal, second *mortal) error {
	// The copy has the first one's settings, and nobody follows it yet.
	if err := second.pg.Do(ctx, sqlPromote, fmt.Sprintf(sqlStandby, ""), sqlReload); err != nil {
		return err
	}
	return x.take(second)
}

// returns starts the old primary as its machine would by itself. It still waits
// for the standby that it had, so it confirms nothing; then it is made to follow.
func (c *rehearseFailover) returns(ctx context.Context, x *rehearsal, first *mortal) error {
	pg, err := devenv.StartPostgres(ctx, first.options)
	if err != nil {
		return err
	}
	pool, err := db.Open(ctx, db.Options{URL: pg.URL("tuma"), Role: tortureOwner, Silence: 2 * time.Second, MaxConns: 1})
	if err == nil {
		err = pool.InTx(ctx, func(tx *db.Tx) error {
			var n int64
			return tx.Get(ctx, &n, sqlSkipNotices) // something that is written
		})
		pool.Close()
		switch {
		case err == nil:
			x.found("the old primary confirms commits although nobody follows it")
		case errors.Is(err, db.ErrUnknown):
			err = nil
			x.say("the old primary is back, and confirms nothing")
		}
	}
	if err := errors.Join(err, pg.Stop()); err != nil {
		return err
	}
	// Until its first checkpoint the new primary's files say that it is on the old
	// one's timeline, and pg_rewind believes that there is nothing to undo.
	if err := x.server.pg.Do(ctx, "checkpoint"); err != nil {
		return err
	}
	if err := x.server.pg.Rewind(ctx, first.options.Dir, standbyA); err != nil {
		return err
	}
	if pg, err = devenv.StartPostgres(ctx, first.options); err != nil {
		return err
	}
	err = synchronous(ctx, x, standbyA)
	if err == nil {
		x.say("the old primary follows the new one, and every commit waits for it")
	}
	// Without it the primary would not shut down in order.
	return errors.Join(err, x.server.pg.Do(ctx, fmt.Sprintf(sqlStandby, ""), sqlReload), pg.Stop())
}
