package db

import (
	"context"
	"errors"
	"fmt"
)

const sqlDurable = `select current_setting('synchronous_commit')`

// CheckDurable refuses a server that answers a COMMIT before it is on the disk:
// a crash of it would forget payments that people have receipts for, and no
// audit would miss them. It asks on a connection that the book commits on, since
// the setting may be the server's, the database's, the user's or the URL's.
func (p *Pool) CheckDurable(ctx context.Context) error {
	var is string
	err := p.InBatch(ctx, func(tx *Tx) error { return tx.Get(ctx, &is, sqlDurable) })
	if err != nil {
		return fmt.Errorf("db: is what is committed kept: %w", err)
	}
	if is == "off" {
		return errors.New("db: synchronous_commit is off for this database: a crash would forget confirmed payments")
	}
	return nil
}
