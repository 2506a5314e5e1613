package db

import (
	"context"
	"errors"
	"fmt"
)

const sqlDurable = `select current_setting('synchronous_commit') commits, current_setting('synchronous_standby_names') standbys`

// CheckDurable refuses a server that answers a COMMIT before it is on the disk,
// and, where a standby is there to take over, before it is on the standby's: a
// crash would forget payments that people have receipts for, and no audit would
// miss them. It asks on a connection that the book commits on, since the setting
// may be the server's, the database's, the user's or the URL's.
func (p *Pool) CheckDurable(ctx context.Context) error {
	var is struct{ Commits, Standbys string }
	err := p.InBatch(ctx, func(tx *Tx) error { return tx.Get(ctx, &is, sqlDurable) })
	switch {
	case err != nil:
		return fmt.Errorf("db: is what is committed kept: %w", err)
	case is.Commits == "off":
		return errors.New("db: synchronous_commit is off for this database: a crash would forget confirmed payments")
	case is.Standbys != "" && (is.Commits == "local" || is.Commits == "remote_write"):
		return fmt.Errorf("db: there is a synchronous standby (%s), but synchronous_commit is %s for this database: a failover would forget confirmed payments", is.Standbys, is.Commits)
	}
	return nil
}
