package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"tuma/internal/db"
	"tuma/sms/outbox"
)

type smsCommand struct {
	Dead   smsDead   `cmd:"" help:"List the notices that did not reach their phones."`
	Resend smsResend `cmd:"" help:"Queue such notices again."`
}

// days is how far back an operator looks.
type days struct {
	Days int `default:"7" help:"Only notices that were owed in that many days."`
}

func (d days) since(pool *db.Pool) time.Time { return pool.Now().AddDate(0, 0, -d.Days) }

// with opens the database for a verb that needs no business.
func (d database) with(ctx context.Context, fn func(pool *db.Pool) error) error {
	pool, err := db.Open(ctx, db.Options{URL: d.DatabaseURL})
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := pool.Attend(ctx, func(error) {}); err != nil {
		return err
	}
	return fn(pool)
}

type smsDead struct {
	database
	days
	Limit int `default:"100" help:"Lines at most."`
}

// Run lists what was given up or not delivered, the newest first; never what a
// notice says.
func (c *smsDead) Run(ctx context.Context) error {
	return c.with(ctx, func(pool *db.Pool) error {
		list, err := outbox.DeadSince(ctx, pool, c.since(pool), c.Limit)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		for _, d := range list {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\ttries %d, doubts %d\t%s\n", d.Created.UTC().Format(time.RFC3339), d.Key, d.To.Masked(), d.Status, orDash(d.Gateway), d.Attempts, d.Doubts, d.Why)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if len(list) == 0 {
			fmt.Println("no dead letters")
		}
		return nil
	})
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

type smsResend struct {
	database
	days
	Key string `arg:"" optional:"" help:"The notice's key, as dead lists it."`
	All bool   `help:"All that were given up, but for expired ones and for those who have opted out."`
}

// Run queues dead notices again and wakes the relays.
func (c *smsResend) Run(ctx context.Context) error {
	if (c.Key == "") != c.All {
		return errors.New("give a key, or --all")
	}
	return c.with(ctx, func(pool *db.Pool) error {
		var n int64
		var err error
		if c.All {
			n, err = outbox.ResendAll(ctx, pool, c.since(pool))
		} else {
			n, err = outbox.Resend(ctx, pool, c.Key)
		}
		if err != nil {
			return err
		}
		if n == 0 && !c.All {
			return fmt.Errorf("there is no dead letter %s", c.Key)
		}
		fmt.Printf("%d queued again\n", n)
		return outbox.Wake(ctx, pool)
	})
}
