package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"tuma/internal/db"
	"tuma/ussd"
)

type serveCommand struct {
	database
	country
	secrets
	gateways
	askSettings
	RedisURL       string        `env:"TUMA_REDIS_URL" required:"" placeholder:"URL" help:"Redis, redis://user:password@host:port/db"`
	Listen         string        `env:"TUMA_LISTEN" default:"127.0.0.1:8080" help:"Address to answer on; put a TLS proxy before it."`
	DialsPerMinute int           `env:"TUMA_DIALS_PER_MINUTE" default:"10" help:"Dials of one number in a minute."`
	IDPhotos       string        `env:"TUMA_ID_PHOTOS" placeholder:"DIR" help:"Folder where the agents' portal keeps photos of ID documents; without it nobody is registered there."`
	LookUpsPerDay  int           `env:"TUMA_LOOKUPS_PER_DAY" default:"20" help:"Names that one customer may look up in a day without paying."`
	MaxConns       int           `env:"TUMA_MAX_CONNS" default:"16" help:"Database connections for writing, and as many again for reading."`
	Posters        int           `env:"TUMA_POSTERS" default:"2" help:"Commits of the book under way at once; in all processes together about as many as the database has cores."`
	Steps          int           `env:"TUMA_STEPS" default:"48" help:"USSD requests answered at a time; beyond, callers are told to try again."`
	Admin          string        `env:"TUMA_ADMIN" placeholder:"ADDRESS" help:"Address of metrics, health and profiles, for the operator alone; without it there is none."`
	Drain          time.Duration `env:"TUMA_DRAIN" default:"5s" help:"How long, when told to stop, it says that it is not ready and answers all the same; longer than a proxy takes to notice."`
	JSONLog        bool          `env:"TUMA_JSON_LOG" help:"Log as JSON lines."`

	own func() time.Time // the process's own clock; nil: the machine's
}

func logger(json bool) *slog.Logger {
	if json {
		return slog.New(slog.NewJSONHandler(os.Stderr, nil))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}

// config turns what was said on the command line into a service, and names
// everything that is wrong with it at once.
func (c serveCommand) config() (config, error) {
	country, tariff, err1 := c.country.build()
	keys, err2 := c.secrets.build()
	err3 := errors.Join(c.gateways.check(), c.askSettings.check())
	brakes, err4 := c.country.rules()
	if c.Posters < 1 || c.Posters > 16 {
		err3 = errors.Join(err3, errors.New("TUMA_POSTERS is between 1 and 16"))
	}
	if c.Drain < 0 || c.Drain > time.Minute {
		err3 = errors.Join(err3, errors.New("TUMA_DRAIN is a minute at most"))
	}
	if c.Steps < 1 {
		err3 = errors.Join(err3, errors.New("TUMA_STEPS is 1 or more"))
	}
	return config{
		databaseURL: c.DatabaseURL, redisURL: c.RedisURL, country: country, tariff: tariff, brakes: brakes, keys: keys, gateways: c.gateways,
		limits:   ussd.LimitOptions{DialsPerMinute: c.DialsPerMinute, LookUpsPerDay: c.LookUpsPerDay},
		asking:   c.askSettings.limits(),
		photos:   c.IDPhotos,
		maxConns: c.MaxConns, posters: c.Posters, steps: c.Steps, durable: true, own: c.own, log: logger(c.JSONLog),
	}, errors.Join(err1, err2, err3, err4)
}

// check refuses ways in that anybody could use, and half a Twilio account.
func (g gateways) check() error {
	var errs []error
	for _, name := range g.USSD {
		if !slices.Contains(ussd.Dialects(), name) {
			errs = append(errs, fmt.Errorf("TUMA_USSD: no dialect is called %q; there are %s", name, strings.Join(ussd.Dialects(), ", ")))
		}
	}
	if len(g.USSDAllow) == 0 && g.USSDSecret == "" {
		errs = append(errs, errors.New("the USSD callback needs TUMA_USSD_ALLOW or TUMA_USSD_SECRET: anybody could call it"))
	}
	for _, x := range [][3]string{{"TUMA_USSD", g.USSDSecret, g.OldUSSD}, {"TUMA_SMS", g.SMSSecret, g.OldSMS}} {
		if x[1] != "" && len(x[1]) < 24 {
			errs = append(errs, fmt.Errorf("%s_SECRET is weak: it needs 24 characters or more", x[0]))
		}
		if x[2] != "" && (len(x[2]) < 24 || x[1] == "") {
			errs = append(errs, fmt.Errorf("%s_OLD_SECRET is weak, or there is no %[1]s_SECRET beside it", x[0]))
		}
	}
	if g.OldTwilio != "" && g.TwilioToken == "" {
		errs = append(errs, errors.New("TUMA_TWILIO_OLD_TOKEN needs TUMA_TWILIO_TOKEN"))
	}
	if g.PushURL != "" && g.PushToken == "" {
		errs = append(errs, errors.New("TUMA_USSD_PUSH_URL needs TUMA_USSD_PUSH_TOKEN"))
	}
	if g.AirtimeURL != "" && g.AirtimeKey == "" {
		errs = append(errs, errors.New("TUMA_AIRTIME_URL needs TUMA_AIRTIME_TOKEN"))
	}
	return errors.Join(append(errs, g.checkSMS(), g.checkSMPP(), g.checkUSSDSMPP())...)
}

// Run serves until it is told to stop.
func (c *serveCommand) Run(ctx context.Context) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	l, err := listen(c.Listen)
	if err != nil {
		return err
	}
	s, err := cfg.start(ctx)
	if err != nil {
		l.Close()
		return err
	}
	if c.Admin != "" {
		address, err := s.serveAdmin(c.Admin)
		if err != nil {
			l.Close()
			return errors.Join(err, s.close())
		}
		fmt.Printf("admin http://%s\n", address)
	}
	fmt.Printf("ready http://%s\n", l.Addr())
	return errors.Join(notify("READY=1"), c.serve(ctx, s, l), s.close())
}

// serve answers until ctx ends, or the schema is changed so that this program
// must not go on.
func (c *serveCommand) serve(ctx context.Context, s *service, l net.Listener) (err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	over := make(chan struct{})
	go func() {
		defer close(over)
		select {
		case <-ctx.Done():
		case err := <-s.outdated:
			stop(err)
		}
	}()
	err = serveUntil(ctx, l, s.handler, s.log, func() {
		s.draining.Store(true)
		s.log.Info("draining", "for", c.Drain)
		if err := notify("STOPPING=1"); err != nil {
			s.log.Error("systemd was not told", "error", err)
		}
		time.Sleep(c.Drain)
	})
	stop(nil)
	<-over
	if cause := context.Cause(ctx); errors.Is(cause, db.ErrNewSchema) {
		err = errors.Join(err, cause)
	}
	return err
}
