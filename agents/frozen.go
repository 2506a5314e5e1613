package agents

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Stopped is somebody or something that is frozen.
type Stopped struct {
	Kind    string    `db:"kind"`    // till, agent, operator, customer
	Whom    string    `db:"whom"`    // a till's number, an agent's name, a phone number
	Name    string    `db:"name"`    // what people call it
	Subject string    `db:"subject"` // as in the log
	By      string    `db:"by"`      // who froze it, as in the log; "": before there was one
	Since   time.Time `db:"-"`
	Reason  string    `db:"reason"`
}

// Who froze it is the last line of the log that says so.
const sqlStopped = `
select x.kind, x.whom, x.name, x.subject, coalesce(l.actor, '') as by, l.at, coalesce(l.reason, '') as reason
from (
    select 'till' as kind, number as whom, name, 'till:' || number as subject from till where frozen
    union all select 'agent', name, name, 'agent:' || id from agent where frozen
    union all select 'operator', msisdn, name, 'operator:' || msisdn from operator where frozen
    union all (select 'customer', coalesce(s.msisdn, ''), c.name, 'customer:' || c.id from customer c left join sim s on s.customer = c.id where c.frozen order by c.id desc limit $1)
) x left join lateral (select at, actor, reason from log where subject = x.subject and action = 'freeze' order by id desc limit 1) l on true
order by l.at desc nulls last, x.subject limit $1`

// Stopped lists what is frozen, the newest first.
func (s *Service) Stopped(ctx context.Context, most int) ([]Stopped, error) {
	var rows []struct {
		Stopped
		At sql.NullTime `db:"at"`
	}
	if err := s.pool.Select(ctx, &rows, sqlStopped, most); err != nil {
		return nil, fmt.Errorf("agents: what is frozen: %w", err)
	}
	list := make([]Stopped, len(rows))
	for i, r := range rows {
		if list[i] = r.Stopped; r.At.Valid {
			list[i].Since = r.At.Time.UTC()
		}
	}
	return list, nil
}
