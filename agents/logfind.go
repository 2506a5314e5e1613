package agents

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"tuma/internal/db"
	"tuma/internal/phone"
)

// LogSearch says which lines of the whole log are wanted.
type LogSearch struct {
	Who         string    // who did it, or whom it was about: a name, a number, or as the log has it
	Action      string    // "": any
	From, Until time.Time // from the first on, before the second; zero: no bound
	Before      int64     // only older lines; 0: the newest
	Limit       int
}

// FoundLine is a line, and whether it is as it was written after the line before.
type FoundLine struct {
	LogEntry
	Holds bool
}

type foundRow struct {
	LogEntry
	Previous []byte `db:"previous"`
}

const sqlFindLog = `
select l.id, l.at, l.actor, l.from_where, l.scope, l.action, l.subject, l.before, l.after, l.reason, l.digest, p.digest as previous
from log l left join log p on p.id = l.id - 1
where ($1 = '' or l.actor in ($1, $2, $3, $4) or l.subject in ($1, $2, $3, $4)) and ($5 = '' or l.action = $5)
  and ($6::timestamptz is null or l.at >= $6) and ($7::timestamptz is null or l.at < $7) and ($8::bigint = 0 or l.id < $8)
order by l.id desc limit $9`

// FindLog finds lines of the whole log, newest first.
func (s *Service) FindLog(ctx context.Context, f LogSearch) ([]FoundLine, error) {
	who := strings.TrimSpace(f.Who)
	person := "staff:" + who
	if n, err := s.accounts.Country().Phone.Parse(who); err == nil {
		person = "operator:" + string(n)
	} else if n, err := phone.Parse(strings.TrimPrefix(who, "operator:")); err == nil {
		person = "operator:" + string(n)
	}
	bound := func(at time.Time) sql.NullTime { return sql.NullTime{Time: at, Valid: !at.IsZero()} }
	var rows []foundRow
	err := s.pool.InSnapshot(ctx, func(snap *db.Snapshot) error {
		return snap.Select(ctx, &rows, sqlFindLog, who, person, "till:"+who, "receipt:"+strings.ToUpper(who), f.Action, bound(f.From), bound(f.Until), f.Before, f.Limit)
	})
	if err != nil {
		return nil, fmt.Errorf("agents: log: %w", err)
	}
	genesis := sha256.Sum256([]byte("tuma log"))
	found := make([]FoundLine, len(rows))
	for i, r := range rows {
		if r.ID == 1 {
			r.Previous = genesis[:]
		}
		r.At = r.At.UTC()
		found[i] = FoundLine{r.LogEntry, r.Previous != nil && bytes.Equal(r.digest(r.Previous), r.Digest)}
	}
	return found, nil
}
