package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/db"
	"tuma/sms"
	"tuma/ussd"
)

// config is a service about to be composed; dev, serve and the tests each fill it.
type config struct {
	databaseURL string
	redisURL    string
	country     accounts.Country
	tariff      accounts.Tariff
	brakes      accounts.Brakes
	keys        keys
	gateways    gateways
	limits      ussd.LimitOptions
	asking      agents.AskLimits // zero: the defaults
	photos      string           // folder of ID photos; "": the portal registers nobody
	plain       bool             // the portal's cookies go over plain HTTP: dev
	now         func() time.Time // nil: the database's clock
	own         func() time.Time // the process's own clock; nil: the machine's
	posters     int
	steps       int // USSD requests answered at a time; 0: the machine's default
	maxConns    int
	durable     bool // refuse a database that may forget commits: production
	log         *slog.Logger
}

// service is everything that runs, wired.
type service struct {
	pool     *db.Pool
	redis    *redis.Client
	accounts *accounts.Service
	agents   *agents.Service
	machine  *ussd.Machine
	relay    *sms.Relay
	inbox    *sms.Inbox
	handler  http.Handler
	airtime  accounts.AirtimeOperator
	metrics  *metrics
	clients  []func(context.Context) error // keep connections to message centres
	log      *slog.Logger
	outdated chan error      // gets what Attend tells
	draining atomic.Bool     // no new requests should come
	life     context.Context // ends with what runs in the background
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// books is the part of a service that needs no way in: the operator's verbs use it.
func (c config) books(ctx context.Context) (*service, error) {
	pool, err := db.Open(ctx, db.Options{URL: c.databaseURL, Now: c.now, Own: c.own, MaxConns: c.maxConns, Batches: c.posters + 3})
	if err != nil {
		return nil, err
	}
	outdated := make(chan error, 1)
	err = pool.Attend(ctx, func(err error) {
		c.log.Error("the schema was changed under this program", "error", err)
		outdated <- err
	})
	if err == nil && c.durable {
		err = pool.CheckDurable(ctx)
	}
	if err != nil {
		pool.Close()
		return nil, err
	}
	s := &service{pool: pool, log: c.log, metrics: newMetrics(), outdated: outdated}
	var push func(context.Context, accounts.Approval) error
	if c.gateways.pushes() {
		push = s.push
	}
	s.metrics.brake(c.brakes)
	a, err := accounts.New(ctx, accounts.Config{
		Push: push, Pool: pool, Country: c.country, Keys: c.keys.pin, ReceiptKey: c.keys.receipt, Tariff: c.tariff, Rand: rand.Reader, Log: c.log, Posters: c.posters, Watch: s.metrics.batch,
		Brakes: c.brakes, Braked: s.metrics.braked,
	})
	if err != nil {
		pool.Close()
		return nil, err
	}
	s.accounts, s.agents = a, agents.New(pool, a, rand.Reader)
	if c.asking != (agents.AskLimits{}) {
		if err := s.agents.LimitAsking(c.asking); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

// push puts an approval on the customer's phone, once there is a machine.
func (s *service) push(ctx context.Context, a accounts.Approval) error {
	if s.machine == nil {
		return errors.New("this process serves no phones")
	}
	return s.machine.Push(ctx, a)
}

// start composes the whole service. Its background work runs until close.
func (c config) start(ctx context.Context) (*service, error) {
	s, err := c.books(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.compose(ctx, s); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.background()
	return s, nil
}

// compose adds to the books what start needs beside them.
func (c config) compose(ctx context.Context, s *service) error {
	options, err := ussd.RedisOptions(c.redisURL)
	if err != nil {
		return err
	}
	redis.SetLogger(redisLog{c.log}) // it would write to stderr otherwise
	s.redis = redis.NewClient(options)
	if err := s.redis.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return c.ways(s)
}

// redisLog takes what the Redis client says of lost connections.
type redisLog struct{ log *slog.Logger }

func (r redisLog) Printf(ctx context.Context, format string, v ...any) {
	r.log.DebugContext(ctx, "redis client", "says", fmt.Sprintf(format, v...))
}

// ways wires what leads in and out.
func (c config) ways(s *service) error {
	words, err := ussd.Words()
	if err != nil {
		return err
	}
	limits, err := ussd.NewLimits(s.redis, c.limits, c.log)
	if err != nil {
		return err
	}
	pusher, err := c.pusher(s)
	if err != nil {
		return err
	}
	s.machine, err = ussd.New(ussd.Config{
		Pusher:   pusher,
		Accounts: s.accounts, Agents: s.agents, Redis: s.redis, Limits: limits, Menu: ussd.Tree(), Words: words,
		Key: c.keys.session, Rand: rand.Reader, Now: s.pool.Now, Log: c.log, Steps: c.steps, Seen: s.metrics.step,
	})
	if err != nil {
		return err
	}
	relay, err := c.relayOptions(s)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	relay.Pool, relay.Name, relay.Rand, relay.Log = s.pool, fmt.Sprintf("%s:%d", host, os.Getpid()), rand.Reader, c.log
	if s.relay, err = sms.NewRelay(relay); err != nil {
		return err
	}
	if s.inbox, err = sms.NewInbox(sms.InboxOptions{Pool: s.pool, Accounts: s.accounts, Agents: s.agents, Refusals: words, Log: c.log}); err != nil {
		return err
	}
	s.airtime = accounts.AirtimeOperator{URL: c.gateways.AirtimeURL, Token: c.gateways.AirtimeKey, Client: &http.Client{Timeout: 15 * time.Second}}
	if s.handler, err = c.routes(s); err != nil {
		return err
	}
	return s.metrics.watch(s)
}

// background starts the relay and the airtime orders.
func (s *service) background() {
	ctx, cancel := context.WithCancel(context.Background())
	s.life, s.stop = ctx, cancel
	s.running.Go(func() {
		if err := s.relay.Run(ctx); err != nil {
			s.log.Error("the relay stopped", "error", err)
		}
	})
	for _, run := range s.clients {
		s.running.Go(func() {
			if err := run(ctx); err != nil {
				s.log.Error("a message centre's connection stopped", "error", err)
			}
		})
	}
	if s.airtime.URL != "" {
		s.running.Go(func() {
			if err := s.accounts.RunTopUps(ctx, s.airtime); err != nil {
				s.log.Error("airtime orders stopped", "error", err)
			}
		})
	}
}

// close ends what start began, in the order in which things need each other.
func (s *service) close() error {
	if s.stop != nil {
		s.stop()
	}
	s.running.Wait()
	s.accounts.Close()
	var errs []error
	if s.redis != nil {
		errs = append(errs, s.redis.Close())
	}
	return errors.Join(append(errs, s.pool.Close())...)
}

// server bounds what a stranger's connection may cost.
func server(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
