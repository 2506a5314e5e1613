package main

import (
	"context"
	"errors"
	"fmt"

	"tuma/internal/db"
)

// migrateCommand runs as the URL's own user, who must be able to create tables
// and the role that the service acts as; the service's own user need not.
type migrateCommand struct {
	database
	Expand bool `help:"Apply what programs of before can run beside, and leave what contracts for later."`
	Wait   bool `help:"Wait for programs that are too old to end, instead of refusing."`
}

// Run brings the schema up to date.
func (c *migrateCommand) Run(ctx context.Context) error {
	said := false
	_, err := db.Migrate(ctx, c.DatabaseURL, db.MigrateOptions{Expand: c.Expand, Wait: c.Wait, Say: func(line string) {
		said = true
		fmt.Println(line)
	}})
	if errors.Is(err, db.ErrStillRunning) {
		return fmt.Errorf("%w\nEnd them first, or let it wait for that: tuma migrate --wait", err)
	}
	if err == nil && !said {
		fmt.Println("the schema is up to date")
	}
	return err
}
