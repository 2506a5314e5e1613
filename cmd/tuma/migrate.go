package main

import (
	"context"
	"fmt"

	"tuma/internal/db"
)

// migrateCommand runs as the URL's own user, who must be able to create tables
// and the role that the service acts as; the service's own user need not.
type migrateCommand struct{ database }

// Run brings the schema up to date.
func (c *migrateCommand) Run(ctx context.Context) error {
	done, err := db.Migrate(ctx, c.DatabaseURL)
	if err != nil {
		return err
	}
	for _, name := range done {
		fmt.Println("applied", name)
	}
	if len(done) == 0 {
		fmt.Println("the schema is up to date")
	}
	return nil
}
