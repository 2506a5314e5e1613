package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// fault is one way to break a site. do breaks it and mends it again, and returns
// when it is mended.
type fault struct {
	name, what string
	do         func(ctx context.Context, s *simulation, dice *rand.Rand) error
}

// allFaults are the kinds of faults, each with the number that the programme of
// tests gives it.
var allFaults = []fault{
	{"kill-app", "F1: a process of the service is killed and started again", func(_ context.Context, s *simulation, d *rand.Rand) error {
		s.site.instances[d.IntN(len(s.site.instances))].signal(syscall.SIGKILL)
		return nil
	}},
	{"pause-app", "F3: a process hangs for one to four seconds", func(ctx context.Context, s *simulation, d *rand.Rand) error {
		i := s.site.instances[d.IntN(len(s.site.instances))]
		i.signal(syscall.SIGSTOP)
		rest(ctx, time.Duration(1000+d.IntN(3000))*time.Millisecond)
		i.signal(syscall.SIGCONT)
		return nil
	}},
	{"kill-postgres", "F2: PostgreSQL is killed with all its processes, and started again", func(ctx context.Context, s *simulation, d *rand.Rand) error {
		return s.site.server.kill(context.WithoutCancel(ctx), d.IntN(2) == 0)
	}},
	{"kill-backend", "F2: one process of PostgreSQL is killed, which restarts all of them", func(ctx context.Context, s *simulation, d *rand.Rand) error {
		if pids := s.site.server.children(); len(pids) > 0 {
			syscall.Kill(pids[d.IntN(len(pids))], syscall.SIGKILL)
		}
		rest(ctx, time.Second)
		return s.site.server.revive(context.WithoutCancel(ctx))
	}},
	{"pause-postgres", "F3: PostgreSQL hangs for one to three seconds", func(ctx context.Context, s *simulation, d *rand.Rand) error {
		pids := append(s.site.server.children(), s.site.server.pid())
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGSTOP)
		}
		rest(ctx, time.Duration(1000+d.IntN(2000))*time.Millisecond)
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGCONT)
		}
		return nil
	}},
	{"cut-commit", "F8: for two seconds, connections are cut before, at and after COMMIT", func(ctx context.Context, s *simulation, d *rand.Rand) error {
		for until := time.Now().Add(2 * time.Second); time.Now().Before(until) && ctx.Err() == nil; rest(ctx, 20*time.Millisecond) {
			s.site.cutter.arm(wound(d.IntN(int(wounds))))
		}
		s.site.cutter.calm()
		return nil
	}},
	{"stall-db", "F8: nothing passes between the service and PostgreSQL for one to three seconds", func(ctx context.Context, s *simulation, d *rand.Rand) error {
		t := time.Duration(1000+d.IntN(2000)) * time.Millisecond
		s.site.cutter.stall(t)
		rest(ctx, t)
		return nil
	}},
	{"slow-db", "PostgreSQL answers ten times slower for six seconds: what passes is 10 ms late, both ways", func(ctx context.Context, s *simulation, _ *rand.Rand) error {
		s.site.cutter.slow.Store(int64(10 * time.Millisecond))
		defer s.site.cutter.slow.Store(0)
		rest(ctx, 6*time.Second)
		return nil
	}},
	{"kill-redis", "F7: Redis is ended and started again, empty", func(ctx context.Context, s *simulation, _ *rand.Rand) error {
		return s.site.redis.restart(context.WithoutCancel(ctx))
	}},
	{"flush-redis", "F7: Redis forgets everything", func(ctx context.Context, s *simulation, _ *rand.Rand) error {
		o, err := redis.ParseURL(s.site.redis.url())
		if err != nil {
			return err
		}
		c := redis.NewClient(o)
		defer c.Close()
		c.FlushAll(ctx) // a Redis that is away has forgotten, too
		return nil
	}},
	{"cut-redis", "F9: all connections to Redis are cut", func(_ context.Context, s *simulation, _ *rand.Rand) error {
		s.site.redis.pipe.cut()
		return nil
	}},
	{"stall-redis", "F9: nothing passes between the service and Redis for half a second to two", func(ctx context.Context, s *simulation, d *rand.Rand) error {
		t := time.Duration(500+d.IntN(1500)) * time.Millisecond
		s.site.redis.pipe.stall(t)
		rest(ctx, t)
		return nil
	}},
	{"slow-redis", "F9: Redis answers 20 ms late for three seconds", func(ctx context.Context, s *simulation, _ *rand.Rand) error {
		s.site.redis.pipe.delay.Store(int64(20 * time.Millisecond))
		defer s.site.redis.pipe.delay.Store(0)
		rest(ctx, 3*time.Second)
		return nil
	}},
	{"clock", "F10: the clock of one process is set up to 90 seconds forward or back, and after three to eight seconds right again", func(ctx context.Context, s *simulation, d *rand.Rand) error {
		i := s.site.instances[d.IntN(len(s.site.instances))]
		if err := i.setClock(time.Duration(d.IntN(181)-90) * time.Second); err != nil {
			return err
		}
		rest(ctx, time.Duration(3000+d.IntN(5000))*time.Millisecond)
		return i.setClock(0)
	}},
	{"cramp-redis", "F7: Redis has no memory left to write with for one to three seconds", crampRedis},
	{"spoil-redis", "F7: what is kept in Redis turns into something else", spoilRedis},
	{"hold-rows", "F16: somebody's idle transaction holds hundreds of accounts' rows for one to four seconds", holdRows},
	{"take-connections", "F16: somebody takes all connections that PostgreSQL has left for two to four seconds", takeConnections},
	{"odd-gateway", "F11: for five seconds a third of the requests come twice, late or out of order", func(ctx context.Context, s *simulation, _ *rand.Rand) error {
		s.front.odd.Store(333)
		defer s.front.odd.Store(0)
		rest(ctx, 5*time.Second)
		return nil
	}},
	{fullDisk, "F4 to F6: the disk of PostgreSQL, its log and the logs is full for two to four seconds (with --disk)", func(ctx context.Context, s *simulation, d *rand.Rand) error {
		if !s.mounted {
			return nil
		}
		mend, err := fill(s.dataDir)
		if err != nil {
			return err
		}
		rest(ctx, time.Duration(2000+d.IntN(2000))*time.Millisecond)
		if err := mend(); err != nil {
			return err
		}
		return s.site.server.revive(context.WithoutCancel(ctx))
	}},
	{upgradeFault, "F15: the schema is expanded, and a process becomes the next version, or this one again (with --new)", func(ctx context.Context, s *simulation, d *rand.Rand) error {
		if s.New == "" {
			return nil
		}
		ctx = context.WithoutCancel(ctx)
		if _, err := command(ctx, s.New, map[string]string{"TUMA_DATABASE_URL": s.site.server.url()}, "migrate", "--expand"); err != nil {
			return err
		}
		i, program := s.site.instances[d.IntN(len(s.site.instances))], s.New
		if i.is(program) {
			program = ""
		}
		return i.become(ctx, program)
	}},
	{"bad-sms", "F13: for five seconds the SMS provider answers 429, 500 or nothing, or takes a message and then says nothing", func(ctx context.Context, s *simulation, _ *rand.Rand) error {
		s.provider.bad.Store(500)
		defer s.provider.bad.Store(0)
		rest(ctx, 5*time.Second)
		return nil
	}},
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func printFaults(w io.Writer) error {
	for _, f := range allFaults {
		fmt.Fprintf(w, "%-17s %s\n", f.name, f.what)
	}
	return nil
}

// upgradeFault is the fault that needs another program.
const upgradeFault = "upgrade"

// cannot are the faults that cannot be done, and what they need.
func (c *simulateCommand) cannot() map[string]string {
	needs := map[string]string{}
	if c.Disk == 0 {
		needs[fullDisk] = "a disk that can be filled: --disk 1000"
	}
	if c.New == "" {
		needs[upgradeFault] = "the next version of the program: --new PATH"
	}
	return needs
}

// faultKinds finds the faults of these names; "all" is every one but those that
// cannot be done.
func faultKinds(names []string, cannot map[string]string) ([]fault, error) {
	var kinds []fault
	for _, name := range names {
		if name == "all" {
			return slices.DeleteFunc(slices.Clone(allFaults), func(f fault) bool { return cannot[f.name] != "" }), nil
		}
		if needs := cannot[name]; needs != "" {
			return nil, fmt.Errorf("%s needs %s", name, needs)
		}
		i := slices.IndexFunc(allFaults, func(f fault) bool { return f.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no fault %q: --faults help lists them", name)
		}
		kinds = append(kinds, allFaults[i])
	}
	return kinds, nil
}

// faultDone is one fault that was done.
type faultDone struct {
	Name string    `json:"name"`
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

type faultLog struct {
	mu   sync.Mutex
	done []faultDone
	now  string // under way
}

func (l *faultLog) list() []faultDone {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.done)
}

func (l *faultLog) underWay() (now string, done int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now, len(l.done)
}

// harm does one fault after the other until ctx ends, and leaves everything
// mended.
func (s *simulation) harm(ctx context.Context) error {
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	kept := make(chan error, 1)
	go func() { kept <- s.site.server.keep(keeping) }()
	dice := s.dice(4)
	for {
		f, asked := s.nextFault(ctx, dice)
		if !asked {
			break
		}
		s.done.mu.Lock()
		s.done.now = f.name
		s.done.mu.Unlock()
		s.network.Town().Broken(f.name)
		began := time.Now()
		err := f.do(ctx, s, dice)
		s.done.mu.Lock()
		s.done.now = ""
		s.done.done = append(s.done.done, faultDone{f.name, began, time.Now()})
		s.done.mu.Unlock()
		s.network.Town().Broken("")
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	s.harmless.Store(true)
	s.site.cutter.calm()
	stop()
	return errors.Join(<-kept, s.site.server.revive(context.WithoutCancel(ctx)))
}

// nextFault waits for the next fault: one that somebody asks for, or one of the
// kinds that were chosen, when it is time. false: ctx has ended.
func (s *simulation) nextFault(ctx context.Context, dice *rand.Rand) (fault, bool) {
	var due <-chan time.Time
	if len(s.kinds) > 0 {
		due = time.After(time.Duration((0.5 + dice.ExpFloat64()/2) * float64(s.Every)))
	}
	select {
	case f := <-s.hand:
		return f, true
	case <-due:
		if len(s.deck) == 0 { // each once before any comes twice
			s.deck = slices.Clone(s.kinds)
			dice.Shuffle(len(s.deck), func(i, k int) { s.deck[i], s.deck[k] = s.deck[k], s.deck[i] })
		}
		f := s.deck[0]
		s.deck = s.deck[1:]
		return f, true
	case <-ctx.Done():
		return fault{}, false
	}
}

// byHand has a fault done next. false: one more than can wait is not.
func (s *simulation) byHand(f fault) bool {
	select {
	case s.hand <- f:
		return true
	default:
		return false
	}
}

// provider stands before the fake Twilio and misbehaves when it is told to.
type provider struct {
	next http.Handler
	bad  atomic.Int64 // calls in a thousand that go wrong

	mu   sync.Mutex
	dice *rand.Rand
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	hit, how := p.dice.IntN(1000) < int(p.bad.Load()), p.dice.IntN(5)
	p.mu.Unlock()
	if !hit {
		p.next.ServeHTTP(w, r)
		return
	}
	switch how {
	case 0:
		w.Header().Set("Retry-After", "1")
		http.Error(w, `{"code":20429,"message":"Too Many Requests","status":429}`, http.StatusTooManyRequests)
	case 1:
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
	case 2:
		panic(http.ErrAbortHandler) // before it was taken
	case 3: // taken, and the answer is lost
		p.next.ServeHTTP(&deafWriter{header: http.Header{}}, r)
		panic(http.ErrAbortHandler)
	default: // the answer is cut in the middle
		b := &deafWriter{header: http.Header{}}
		p.next.ServeHTTP(b, r)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, strings.TrimSpace(b.body.String())[:max(0, b.body.Len()/2)])
	}
}

// deafWriter keeps an answer from its caller.
type deafWriter struct {
	header http.Header
	body   strings.Builder
}

func (w *deafWriter) Header() http.Header         { return w.header }
func (w *deafWriter) Write(p []byte) (int, error) { return w.body.Write(p) }
func (w *deafWriter) WriteHeader(int)             {}
