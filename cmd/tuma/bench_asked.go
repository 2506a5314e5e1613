package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"tuma/internal/db"
)

const (
	sqlCounting  = "create extension if not exists pg_stat_statements"
	sqlCountAnew = "select pg_stat_statements_reset()"
	sqlCounted   = `
select regexp_replace(query, '\s+', ' ', 'g') as query, sum(calls)::bigint as calls, sum(total_exec_time) * 1000 as executing, sum(total_plan_time) * 1000 as planning
from pg_stat_statements where query not like '%pg_stat_statements%'
group by 1 order by sum(total_exec_time + total_plan_time) desc`
)

// asked is a statement with what it has cost so far, in microseconds.
type asked struct {
	Query     string  `db:"query"`
	Calls     int64   `db:"calls"`
	Executing float64 `db:"executing"`
	Planning  float64 `db:"planning"`
}

// counting notes what PostgreSQL and Redis are asked from now on; the function that
// it gives prints that for each of so many hops.
func (b *bench) counting(ctx context.Context) (func(ctx context.Context, hops int64) error, error) {
	u, err := url.Parse(b.databaseURL)
	if err != nil {
		return nil, err
	}
	pool, err := db.Open(ctx, db.Options{URL: b.databaseURL, Role: u.User.Username(), MaxConns: 1})
	if err != nil {
		return nil, err
	}
	b.stops = append(b.stops, pool.Close)
	for _, statement := range []string{sqlCounting, sqlCountAnew} {
		err := pool.InTx(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(ctx, statement)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	o, err := redis.ParseURL(b.redisURL)
	if err != nil {
		return nil, err
	}
	client := redis.NewClient(o)
	b.stops = append(b.stops, client.Close)
	if err := client.ConfigResetStat(ctx).Err(); err != nil {
		return nil, err
	}
	return func(ctx context.Context, hops int64) error {
		var all []asked
		err := pool.Select(ctx, &all, sqlCounted)
		said, err2 := client.Info(ctx, "commandstats").Result()
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		fmt.Fprintf(os.Stdout, "for each hop, PostgreSQL was asked (times, microseconds of planning and executing):\n")
		var calls int64
		for _, a := range all {
			calls += a.Calls
			fmt.Printf("  %6.3f %7.1f %7.1f  %.150s\n", float64(a.Calls)/float64(hops), a.Planning/float64(hops), a.Executing/float64(hops), a.Query)
		}
		fmt.Printf("  %6.3f in all; Redis:\n", float64(calls)/float64(hops))
		lines := strings.Fields(said)
		slices.Sort(lines)
		for _, line := range lines {
			var n int64
			name, rest, _ := strings.Cut(line, ":")
			if _, err := fmt.Sscanf(rest, "calls=%d", &n); err == nil {
				fmt.Printf("  %6.3f  %s\n", float64(n)/float64(hops), strings.TrimPrefix(name, "cmdstat_"))
			}
		}
		return nil
	}, nil
}
