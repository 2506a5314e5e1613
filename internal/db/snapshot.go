package db

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// Snapshot is one consistent, read-only view of the database, without the
// limits on the time of a statement and on the server's silence: for audits and
// reports.
type Snapshot struct{ tx *sqlx.Tx }

// Get reads one row of the snapshot.
func (s *Snapshot) Get(ctx context.Context, dest any, query string, args ...any) error {
	return s.tx.GetContext(ctx, dest, query, args...)
}

// Select reads rows of the snapshot.
func (s *Snapshot) Select(ctx context.Context, dest any, query string, args ...any) error {
	return s.tx.SelectContext(ctx, dest, query, args...)
}

// Each streams the rows of a long query to fn, on a read-only connection and
// inside one snapshot with the other queries of the same Snapshot.
func (s *Snapshot) Each(ctx context.Context, fn func(scan func(dest ...any) error) error, query string, args ...any) error {
	rows, err := s.tx.QueryxContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// InSnapshot runs fn on one repeatable-read, read-only snapshot.
func (p *Pool) InSnapshot(ctx context.Context, fn func(s *Snapshot) error) error {
	tx, err := p.long.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return fmt.Errorf("db: begin: %w", err)
	}
	defer tx.Rollback()
	return fn(&Snapshot{tx})
}
