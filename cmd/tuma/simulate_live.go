package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/term"

	"tuma/internal/db"
	"tuma/simulator/people"
)

// live is a simulation's screen in a terminal: what people see, how fast, what
// is refused, what waits, and the faults, which keys can do at once.
type live struct {
	program *tea.Program
	ended   chan struct{}
}

// watchable tells whether somebody sits before a terminal.
func (s *simulation) watchable() bool {
	return !s.Plain && !s.JSON && term.IsTerminal(int(os.Stdout.Fd())) && term.IsTerminal(int(os.Stdin.Fd()))
}

// screen is the live one before a terminal, and lines otherwise. stop ends the
// traffic when somebody asks for it.
func (s *simulation) screen(stop context.CancelFunc) screen {
	if !s.watchable() {
		return lines{os.Stderr}
	}
	l := &live{ended: make(chan struct{})}
	l.program = tea.NewProgram(view{s: s, stop: stop, width: 100}, tea.WithoutSignalHandler())
	go func() {
		defer close(l.ended)
		if _, err := l.program.Run(); err != nil && !errors.Is(err, tea.ErrProgramKilled) {
			fmt.Fprintln(os.Stderr, "the live screen:", err)
		}
	}()
	return l
}

func (l *live) second(s *simulation, now people.Second) {
	l.program.Send(pulse{now: now, figures: s.country.Tally().Figures(), sms: s.sms.Load(), standing: *s.inside.Load()})
}

func (l *live) close() {
	l.program.Quit()
	<-l.ended
}

// inside is what the screen shows of the service itself.
type inside struct {
	Waiting int   `db:"waiting"` // notices
	EMoney  int64 `db:"emoney"`  // minor units
	Stale   bool  `db:"-"`       // the database does not answer, and this is from before
}

const sqlInside = `
select (select count(*) from owed) + (select count(*) from notice where status in ('queued', 'sending')) as waiting,
       (select coalesce(-sum(balance), 0)::bigint from account where kind = 'trust') as emoney`

// look asks the database every second, past the proxies, until the function that
// it returns is called. It is on its own because it waits while the server is
// started again.
func (s *simulation) look(ctx context.Context) (enough func()) {
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	s.inside.Store(&inside{})
	go func() {
		defer close(over)
		for ; ctx.Err() == nil; rest(ctx, time.Second) {
			now, err := s.stand(ctx)
			if err != nil { // it may have started again, which is at another port
				now, s.watcher = *s.inside.Load(), s.again(ctx)
				now.Stale = true
			}
			s.inside.Store(&now)
		}
	}()
	return func() { cancel(); <-over }
}

func (s *simulation) stand(ctx context.Context) (now inside, err error) {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	return now, s.watcher.Get(ctx, &now, sqlInside)
}

// again is a way to the database where it is now, or the one there was.
func (s *simulation) again(ctx context.Context) *db.Pool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	w, err := db.Open(ctx, db.Options{URL: s.site.server.url(), App: "tuma simulate", MaxConns: 2})
	if err != nil {
		return s.watcher
	}
	if s.watcher != nil {
		s.watcher.Close() // whose server is gone
	}
	return w
}

// pulse is what a second has brought.
type pulse struct {
	now      people.Second
	figures  people.Figures
	sms      int64
	standing inside
}

// view is the screen's state.
type view struct {
	s     *simulation
	stop  context.CancelFunc
	pulse pulse
	width int
	over  bool
}

func (v view) Init() tea.Cmd { return nil }

func (v view) Update(m tea.Msg) (tea.Model, tea.Cmd) {
	switch m := m.(type) {
	case pulse:
		v.pulse = m
	case tea.WindowSizeMsg:
		v.width = m.Width
	case tea.KeyPressMsg:
		key := m.String()
		if key == "q" || key == "ctrl+c" {
			v.over = true
			v.stop()
			return v, nil
		}
		if i := strings.Index(faultKeys, key); len(key) == 1 && i >= 0 && i < len(allFaults) {
			v.s.byHand(allFaults[i])
		}
	}
	return v, nil
}

func (v view) View() tea.View {
	f, n := v.pulse.figures, v.pulse.now
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	left := max(0, v.s.Duration-time.Duration(len(f.PerSecond))*time.Second)
	state := left.String() + " left"
	if v.over {
		state = "ending"
	}
	line("Tuma: %d customers, %d tills, seed %d   %s", v.s.Customers, v.s.Agents, v.s.Seed, state)
	line("")
	line("payments/s %6d   %s", n.Payments, spark(f.PerSecond, v.width-22, func(s people.Second) float64 { return float64(s.Payments) }))
	line("refused/s  %6d   %s", n.Refused, spark(f.PerSecond, v.width-22, func(s people.Second) float64 { return float64(s.Refused) }))
	line("p99 ms     %6.0f   %s", n.P99, spark(f.PerSecond, v.width-22, func(s people.Second) float64 { return s.P99 }))
	line("")
	var paid int64
	for _, k := range f.Payments {
		paid += k
	}
	line("%d sessions, %d key presses, %d without an answer; %d people in a session", f.Sessions, f.Hops, f.Lost, n.Busy)
	line("%d payments of Ksh%d in all; %d unknown to those who made them", paid, f.Moved/100, f.Unknown-f.Resolved)
	stale := ""
	if v.pulse.standing.Stale {
		stale = "   (PostgreSQL does not answer)"
	}
	line("Ksh%d of e-money in circulation; %d SMS received, %d waiting%s", v.pulse.standing.EMoney/100, v.pulse.sms, v.pulse.standing.Waiting, stale)
	line("")
	line("refusals: %s", most(f.Refusals, 6))
	under, done := v.s.done.underWay()
	if under == "" {
		under = "none"
	}
	line("faults: %d so far, now %s", done, under)
	line("")
	for i, x := range allFaults {
		line("  %c  %s", faultKeys[i], x.name)
	}
	line("")
	line("a letter does that fault at once; q ends the traffic and compares the books")
	line("the town in a browser: http://%s/simulator/town", v.s.listener.Addr())
	w := tea.NewView(b.String())
	w.AltScreen = true
	return w
}

// faultKeys do the faults, in their order; q is for the end.
const faultKeys = "abcdefghijklmnoprstuvwxyz"

// most lists the largest counts.
func most(n map[string]int64, k int) string {
	names := make([]string, 0, len(n))
	for name := range n {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		return n[names[i]] > n[names[j]] || n[names[i]] == n[names[j]] && names[i] < names[j]
	})
	var parts []string
	for _, name := range names[:min(k, len(names))] {
		parts = append(parts, fmt.Sprintf("%s %d", strings.ReplaceAll(name, "_", " "), n[name]))
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// spark draws the last seconds as a row of blocks.
func spark(seconds []people.Second, width int, of func(people.Second) float64) string {
	const blocks = "▁▂▃▄▅▆▇█"
	seconds = seconds[max(0, len(seconds)-max(10, width)):]
	top := 1.0
	for _, s := range seconds {
		top = max(top, of(s))
	}
	var b strings.Builder
	for _, s := range seconds {
		b.WriteRune([]rune(blocks)[int(of(s)/top*7)])
	}
	return b.String()
}
