package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"

	"tuma/internal/db"
)

// Faults that are done from within PostgreSQL and Redis, as somebody with a
// console there would do them. A server that is away at the moment has the fault
// already, so these report no errors of the server.

// heldRows are how many accounts a careless session locks at once: with the
// house's among them, some of every batch.
const heldRows = 300

// holdRows locks accounts and goes for a coffee, in a transaction that is idle.
func holdRows(ctx context.Context, s *simulation, d *rand.Rand) error {
	pool, err := db.Open(ctx, db.Options{URL: s.site.server.url(), Role: tortureOwner, App: "tuma simulate", MaxConns: 1})
	if err != nil {
		return nil
	}
	defer pool.Close()
	var held []int64
	pool.InTx(ctx, func(tx *db.Tx) error {
		if err := tx.Select(ctx, &held, `select id from account where id in (select id from account order by random() limit $1) order by id for update`, heldRows); err != nil {
			return err
		}
		rest(ctx, time.Duration(1000+d.IntN(3000))*time.Millisecond)
		return nil
	})
	return nil
}

// manyConnections are more than PostgreSQL has for everybody.
const manyConnections = 1000

// takeConnections takes all connections that PostgreSQL has left, by callers who
// say hello and never tell their password.
func takeConnections(ctx context.Context, s *simulation, d *rand.Rand) error {
	u, err := url.Parse(s.site.server.url())
	if err != nil {
		return err
	}
	hello := []byte("\x00\x00\x00\x00\x00\x03\x00\x00user\x00" + u.User.Username() + "\x00\x00")
	binary.BigEndian.PutUint32(hello, uint32(len(hello)))
	for range manyConnections {
		c, err := net.DialTimeout("tcp", u.Host, time.Second)
		if err != nil {
			return nil
		}
		defer c.Close()
		answer := make([]byte, 1)
		c.SetDeadline(time.Now().Add(time.Second))
		if _, err := c.Write(hello); err != nil {
			return nil
		}
		if _, err := c.Read(answer); err != nil {
			return nil
		}
		if answer[0] == 'E' { // and not 'R', which asks for the password
			rest(ctx, time.Duration(2000+d.IntN(2000))*time.Millisecond)
			return nil
		}
	}
	return fmt.Errorf("PostgreSQL has more than %d connections to give", manyConnections)
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
