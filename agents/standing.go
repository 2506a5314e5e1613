package agents

import (
	"context"
	"fmt"
)

// TillClass sorts tills by what they can still do for their customers.
type TillClass string

// The classes, of which a till has one.
const (
	TillStopped TillClass = "stopped" // frozen, or its agent is
	TillEmpty   TillClass = "empty"   // no float at all: no deposit
	TillLow     TillClass = "low"     // below its own threshold
	TillReady   TillClass = "ready"
)

const sqlTillClasses = `
select case when t.closed or t.frozen or a.frozen then 'stopped'
            when x.balance <= 0 then 'empty'
            when x.balance < coalesce(t.low_float, 0) then 'low'
            else 'ready' end as class, count(*) as tills, coalesce(sum(x.balance), 0)::bigint as float
from till t join agent a on a.id = t.agent join account x on x.id = t.float
group by 1`

// TillClassStanding is how many tills are of a class, and their float in minor units.
type TillClassStanding struct {
	Class TillClass `db:"class"`
	Tills int       `db:"tills"`
	Float int64     `db:"float"`
}

// TillClasses counts the tills of each class, for whoever watches the network.
func (s *Service) TillClasses(ctx context.Context) ([]TillClassStanding, error) {
	var all []TillClassStanding
	if err := s.pool.Select(ctx, &all, sqlTillClasses); err != nil {
		return nil, fmt.Errorf("agents: classes of tills: %w", err)
	}
	return all, nil
}
