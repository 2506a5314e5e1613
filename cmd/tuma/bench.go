package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"tuma/accounts"
	"tuma/internal/db"
	"tuma/internal/devenv"
)

type benchCommand struct {
	Post     benchPost     `cmd:"" help:"Whole payments at the book, beside pgbench if asked."`
	Portal   benchPortal   `cmd:"" help:"What an operator waits for in the portal over a 2G link."`
	USSD     benchUSSD     `cmd:"" name:"ussd" help:"Whole payments over HTTP: USSD steps and payments a second."`
	Overload benchOverload `cmd:"" help:"What people meet when PostgreSQL is ten times slower for a minute, and how soon all is well again."`
	SMS      benchSMS      `cmd:"" name:"sms" help:"The outbox through a provider on this machine: notices a second, and the delay of each."`
}

// bench is a machine of its own for one measurement: PostgreSQL with fsync on,
// a Redis, and their data in a folder that is removed afterwards.
type bench struct {
	databaseURL, redisURL string
	dir                   string
	pgbench               string // path of the server's own
	stops                 []func() error
}

func startBench(ctx context.Context, redisKind string) (b *bench, err error) {
	return startServers(ctx, redisKind, true, nil)
}

// startServers is a bench whose database is worn in, or, where nothing is measured
// that a commit could delay, new. more are settings of PostgreSQL beside the bench's.
func startServers(ctx context.Context, redisKind string, worn bool, more map[string]string) (b *bench, err error) {
	b = &bench{}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.stop())
		}
	}()
	dir, err := os.MkdirTemp("/var/tmp", "tuma-bench-")
	if err != nil {
		return nil, err
	}
	b.dir, b.stops = dir, append(b.stops, func() error { return os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL may run as another user
		return nil, err
	}
	set := maps.Clone(benchPostgres)
	maps.Copy(set, more)
	pg, err := devenv.StartPostgres(ctx, devenv.PostgresOptions{Dir: filepath.Join(dir, "postgres"), Settings: set})
	if err != nil {
		return nil, err
	}
	b.stops = append(b.stops, pg.Stop)
	if err := pg.EnsureDatabase(ctx, "tuma"); err != nil {
		return nil, err
	}
	b.databaseURL, b.pgbench = pg.URL("tuma"), pg.Tool("pgbench")
	if worn {
		if err := wearIn(ctx, b.pgbench, b.databaseURL, dir); err != nil {
			return nil, err
		}
	}
	if _, err := db.Migrate(ctx, b.databaseURL, db.MigrateOptions{}); err != nil {
		return nil, err
	}
	if redisKind == "" {
		return b, nil
	}
	r, err := devenv.StartRedis(ctx, devenv.RedisOptions{Kind: redisKind, Dir: dir})
	if err != nil {
		return nil, err
	}
	b.stops = append(b.stops, r.Stop)
	b.redisURL = r.URL()
	return b, nil
}

// benchPostgres is a modest production server: nothing that risks data.
var benchPostgres = map[string]string{"shared_buffers": "4GB", "min_wal_size": "4GB", "max_wal_size": "8GB", "checkpoint_timeout": "15min", "wal_compression": "on"}

// wornSegments is how many files of 16 MB the server has ready for its log.
const wornSegments = 192

// wearIn gives a new server what one that has run for an hour has: files for its
// log that it uses again. A new one makes each of them first, in the middle of
// somebody's commit, which would be measured.
func wearIn(ctx context.Context, pgbench, url, dir string) error {
	for _, x := range []struct {
		script string
		times  int
	}{{"select txid_current(); select pg_switch_wal();", wornSegments}, {"checkpoint;", 1}} {
		file := filepath.Join(dir, "wear.sql")
		if err := os.WriteFile(file, []byte(x.script), 0o644); err != nil {
			return err
		}
		if out, err := exec.CommandContext(ctx, pgbench, "-n", "-t", strconv.Itoa(x.times), "-f", file, url).CombinedOutput(); err != nil {
			return fmt.Errorf("pgbench: %w: %s", err, out)
		}
	}
	return nil
}

func (b *bench) stop() error { return (&devEnv{stops: b.stops}).stop() }

// config is a service on the bench's servers, with Kenya's settings and keys of
// its own.
func (b *bench) config() (config, error) {
	kenya := country{
		Region: "KE", Currency: "KES", ServiceCode: "*334#", Languages: []string{"en", "sw", "fr"}, TimeZone: "Africa/Nairobi", Brand: "Tuma", Care: "100",
	}
	where, tariff, err := kenya.build()
	if err != nil {
		return config{}, err
	}
	// As in production; but a phone of the bench pays more often than a person.
	brakes, err := accounts.ParseBrakes(strings.NewReader("rule,outcome,most,amount,within,explanation\ncustomer_pace,,1000000,,,\ncustomer_sum,,,1000000000,,\n"), where.Currency)
	if err != nil {
		return config{}, err
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return config{}, err
	}
	return config{
		databaseURL: b.databaseURL, redisURL: b.redisURL, country: where, tariff: tariff, brakes: brakes,
		keys:     keys{pin: accounts.Keys{Active: "bench", ByID: map[string][]byte{"bench": key}}, receipt: key, session: key},
		gateways: gateways{USSDAllow: []string{"127.0.0.0/8"}, smsSettings: smsSettings{SMS: []string{"log"}}},
		log:      slog.New(slog.DiscardHandler),
	}, nil
}

// checkBook refuses figures of a book that is not right.
func checkBook(ctx context.Context, pool *db.Pool) error {
	p, err := proof(ctx, pool)
	if err != nil {
		return err
	}
	if len(p.Breaks) > 0 {
		return fmt.Errorf("no figures: the audit failed in %d places, first %s: %s", len(p.Breaks), p.Breaks[0].Check, p.Breaks[0].What)
	}
	return nil
}
