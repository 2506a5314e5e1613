package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Faults that are done from within PostgreSQL and Redis, as somebody with a
// console there would do them. A server that is away at the moment has the fault
// already, so these report nothing but what is a mistake of their own.

// heldRows are how many accounts a careless session locks at once: with the
// house's among them, some of every batch.
const heldRows = 300

// holdRows locks accounts and goes for a coffee, in a transaction that is idle.
func holdRows(ctx context.Context, s *simulation, d *rand.Rand) error {
	dba, err := sql.Open("postgres", s.site.server.url())
	if err != nil {
		return err
	}
	defer dba.Close()
	tx, err := dba.BeginTx(ctx, nil)
	if err != nil {
		return away(err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, `select id from account where id in (select id from account order by random() limit $1) order by id for update`, heldRows); err != nil {
		return away(err)
	}
	rest(ctx, time.Duration(1000+d.IntN(3000))*time.Millisecond)
	return nil
}

// manyConnections are more than PostgreSQL has for everybody.
const manyConnections = 1000

// takeConnections takes all connections that PostgreSQL has left.
func takeConnections(ctx context.Context, s *simulation, d *rand.Rand) error {
	dba, err := sql.Open("postgres", s.site.server.url())
	if err != nil {
		return err
	}
	defer dba.Close()
	for range manyConnections {
		c, err := dba.Conn(ctx)
		if sqlState(err) == "53300" {
			rest(ctx, time.Duration(2000+d.IntN(2000))*time.Millisecond)
			return nil
		}
		if err != nil {
			return away(err)
		}
		defer c.Close()
	}
	return fmt.Errorf("PostgreSQL has more than %d connections to give", manyConnections)
}

// away keeps an error that is not the server's absence: a statement of ours that
// is wrong (class 42).
func away(err error) error {
	if strings.HasPrefix(sqlState(err), "42") {
		return err
	}
	return nil
}

func sqlState(err error) string {
	if e, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok {
		return e.SQLState()
	}
	return ""
}

// crampRedis gives Redis no memory to write with.
func crampRedis(ctx context.Context, s *simulation, d *rand.Rand) error {
	return atRedis(s, func(c *redis.Client) error {
		if c.ConfigSet(ctx, "maxmemory", "1").Err() != nil {
			return nil
		}
		rest(ctx, time.Duration(1000+d.IntN(2000))*time.Millisecond)
		return c.ConfigSet(context.WithoutCancel(ctx), "maxmemory", "0").Err()
	})
}

// spoiledKeys are how many keys at most become something else.
const spoiledKeys = 500

// spoilRedis makes every key that it finds a list.
func spoilRedis(ctx context.Context, s *simulation, _ *rand.Rand) error {
	return atRedis(s, func(c *redis.Client) error {
		keys, _, err := c.Scan(ctx, 0, "*", spoiledKeys).Result()
		if err != nil {
			return nil
		}
		for _, k := range keys {
			c.TxPipelined(ctx, func(p redis.Pipeliner) error {
				p.Del(ctx, k)
				p.LPush(ctx, k, "spoiled")
				p.Expire(ctx, k, time.Minute)
				return nil
			})
		}
		return nil
	})
}

func atRedis(s *simulation, do func(c *redis.Client) error) (err error) {
	o, err := redis.ParseURL(s.site.redis.url())
	if err != nil {
		return err
	}
	c := redis.NewClient(o)
	defer func() { err = errors.Join(err, c.Close()) }()
	return do(c)
}
