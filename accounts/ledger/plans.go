package ledger

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tuma/internal/db"
)

// Plans shows how the server answers the questions that customers ask: an
// account's statement, an entry by its number (what a receipt's code stands
// for) and by its Ref. It runs them, on the account with the given id.
func Plans(ctx context.Context, pool *db.Pool, account AccountID) (string, error) {
	var text strings.Builder
	err := pool.InSnapshot(ctx, func(s *db.Snapshot) error {
		var newest []int64
		if err := s.Select(ctx, &newest, sqlStatement, int64(account), int64(0), 5); err != nil {
			return err
		}
		if len(newest) == 0 {
			return fmt.Errorf("account %d has no entries", account)
		}
		var refs []string
		if err := s.Select(ctx, &refs, `select ref from entry_ref limit 1`); err != nil {
			return err
		}
		for _, q := range []struct {
			what, query string
			args        []any
		}{
			{"mini statement", sqlStatement, []any{int64(account), int64(0), 5}},
			{"its entries", sqlEntriesByID, []any{db.Array(newest), slices.Min(newest), slices.Max(newest)}},
			{"receipt look-up", sqlEntriesByID, []any{db.Array(newest[:1]), newest[0], newest[0]}},
			{"look-up by Ref", sqlEntriesByRef, []any{db.Array(refs)}},
		} {
			fmt.Fprintf(&text, "-- %s\n", q.what)
			err := s.Each(ctx, func(scan func(...any) error) error {
				var line string
				err := scan(&line)
				text.WriteString(line + "\n")
				return err
			}, "explain (analyze, costs off, buffers) "+q.query, q.args...)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("ledger: plans: %w", err)
	}
	return text.String(), nil
}
