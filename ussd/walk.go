package ussd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tuma/accounts"
	"tuma/internal/text"
)

// Keys that mean the same on every screen.
const (
	keyBack = "0" // on every screen but a root
	keyHome = "00"
	keyMore = "98" // where a long text goes on

	keyAbove = "9" // of a list with a screen above it
)

// maxHops bounds the junctions passed for one answer; the menu has three in a row.
const maxHops = 8

// walk is one step's way through the menu.
type walk struct {
	m       *Machine
	h       *held
	t       *trace
	step    *Step
	leaving crumb  // the screen on which the answer was given
	problem string // a line with a reason, to show above the screen
	halt    bool   // this is not where the answers of a dial string were meant to lead
	over    bool   // reply is decided
	reply   Reply
	err     error // ours, for the log
}

func (m *Machine) walk(r Request, h *held, t *trace) *walk {
	return &walk{m: m, h: h, t: t, step: &Step{
		Accounts: m.accounts, Agents: m.agents, From: r.From, state: &h.session.State, m: m, id: h.session.ref(r),
	}}
}

// dial begins at the beginning and gives the answers of a dial string
// ("*334*1*0712000001#"), or of a session that was lost. It stops at the first
// question for a PIN, and wherever the menu does not go straight on, and
// throws the rest away: what follows there was meant for another screen, and
// may be a PIN. A list of what waits is not known beforehand either.
func (w *walk) dial(ctx context.Context, inputs []string) {
	w.home(ctx)
	w.halt = !w.screen().Root
	for _, in := range inputs {
		if w.over || w.halt || w.screen().Ask.Secret() || w.screen().Ask == Listed || w.step.Inputs >= MaxSteps {
			break
		}
		w.take(ctx, in)
	}
	w.show()
}

// offer begins with the question whether to go on where the last session broke off.
func (w *walk) offer(ctx context.Context, last state) {
	s := w.step
	s.Resume, s.Lang = &last, last.Lang
	var labels []string
	for _, c := range append(slices.Clone(last.Trail), crumb{Screen: last.Screen}) {
		if l := w.m.label(s.Lang, c.Screen); l != "" && len(text.HolesOf(l)) == 0 {
			labels = append(labels, l)
		}
	}
	s.Put("what", strings.Join(labels, " > "))
	w.arrive(ctx, w.m.menu.Resume)
	w.show()
}

// goOn gives one answer on the screen that the session is at.
func (w *walk) goOn(ctx context.Context, input string) {
	switch err := w.step.load(ctx); {
	case errors.Is(err, errGone), err == nil && !w.m.menu.has(w.step.Screen):
		// Another account, or another version of the menu: from the beginning.
		w.home(ctx)
	case err != nil:
		w.fail(err)
	default:
		w.take(ctx, input)
	}
	w.show()
}

func (w *walk) screen() Screen { return w.m.menu.Screens[w.step.Screen] }

// take gives one answer.
func (w *walk) take(ctx context.Context, input string) {
	s, sc := w.step, w.screen()
	w.leaving = crumb{s.Screen, s.As}
	input = strings.TrimSpace(input)
	home, back := input == keyHome, input == keyBack && len(s.Trail) > 0
	s.Inputs++
	switch {
	case home:
		w.home(ctx)
	case back:
		w.back(ctx)
	case sc.Long:
		if pages := w.pages(); input == keyMore && s.Page+1 < len(pages) {
			s.Page++
		} else {
			w.refused(ctx, sc, accounts.Refuse("bad_choice"))
		}
	case input == keyAbove && w.above() != "":
		w.arrive(ctx, sc.Above)
	case len(sc.Pick) > 0:
		for i, target := range sc.Pick {
			switch {
			case input != strconv.Itoa(i+1):
				continue
			case target == w.m.menu.Start:
				w.home(ctx)
			default:
				w.arrive(ctx, target)
			}
			return
		}
		w.refused(ctx, sc, accounts.Refuse("bad_choice"))
	default:
		if err := w.understand(ctx, sc.Ask, input); err != nil {
			w.refused(ctx, sc, err)
			return
		}
		if w.act(ctx, sc) {
			w.arrive(ctx, sc.Then)
		}
	}
}

// act runs what a screen does with its answer, and tells whether to go on.
func (w *walk) act(ctx context.Context, sc Screen) bool {
	var err error
	switch {
	case sc.Pay != nil:
		if !w.mayPay(ctx) {
			return false
		}
		w.t.ref = w.step.payment()
		err = sc.Pay(ctx, w.step, w.t.ref)
		w.t.ref = cmp.Or(w.step.Ref, w.t.ref)
		if err != nil && undecided(ctx, err) {
			w.err = err
			w.end("pending", nil)
			return false
		}
	case sc.Do != nil:
		err = sc.Do(ctx, w.step)
	}
	if err == nil {
		return true
	}
	if r, refused := errors.AsType[accounts.Refusal](err); refused && sc.Ask.Secret() && sc.Else[r.Key] == "" {
		w.stop(r) // asking for a PIN again would not cure it
		return false
	}
	w.refused(ctx, sc, err)
	return false
}

// mayPay makes sure, before money moves, that what could be resumed is gone and
// that no newer session has been opened on the same phone.
func (w *walk) mayPay(ctx context.Context) bool {
	newest, err := w.h.forget(ctx)
	switch {
	case err != nil:
		w.fail(err)
	case !newest:
		w.end("over", nil)
	}
	return err == nil && newest
}

// undecided tells whether a payment that failed may have happened all the same.
func undecided(ctx context.Context, err error) bool {
	return errors.Is(err, accounts.ErrPending) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		ctx.Err() != nil && !isRefusal(err)
}

func isRefusal(err error) bool {
	_, ok := errors.AsType[accounts.Refusal](err)
	return ok
}

// arrive goes to a screen, through the junctions on the way and away from
// where a Before refuses. When it says "ask again", the customer stays on the
// screen he came from.
func (w *walk) arrive(ctx context.Context, name string) {
	for range maxHops {
		if name == Resumed {
			if name = w.restore(ctx); w.over {
				return
			}
		}
		sc := w.m.menu.Screens[name]
		if sc.Before != nil {
			if err := sc.Before(ctx, w.step); err != nil {
				target, elsewhere := w.detour(sc, err)
				if !elsewhere {
					w.refused(ctx, Screen{}, err)
					return
				}
				name = target
				continue
			}
		}
		if sc.junction() {
			name = sc.Then
			continue
		}
		w.move(name)
		return
	}
	w.fail(fmt.Errorf("ussd: more than %d junctions before %q", maxHops, name))
}

// detour finds the screen that a refusal leads to by the screen's own Else,
// and puts its reason, if it has one, above it.
func (w *walk) detour(sc Screen, err error) (string, bool) {
	r, refused := errors.AsType[accounts.Refusal](err)
	target, ok := sc.Else[r.Key]
	if !refused || !ok {
		return "", false
	}
	if _, hasWords := w.m.menu.Refusals[r.Key]; hasWords {
		w.problem = w.reason(r)
	}
	w.halt = true
	return target, true
}

// refused deals with an error of a screen's question or action.
func (w *walk) refused(ctx context.Context, sc Screen, err error) {
	r, ok := errors.AsType[accounts.Refusal](err)
	if !ok {
		w.fail(err)
		return
	}
	if target, elsewhere := w.detour(sc, err); elsewhere {
		w.arrive(ctx, target)
		return
	}
	switch w.m.menu.Refusals[r.Key] {
	case AskAgain:
		if w.step.Screen == "" {
			w.stop(r)
			return
		}
		w.problem, w.halt = w.reason(r), true
		w.step.As = w.leaving.As
	case EndsWith:
		w.stop(r)
	default:
		w.fail(fmt.Errorf("ussd: refusal %q is not in the menu's table: %w", r.Key, err))
	}
}

// move shows a screen: nearer to the root when it is on the way back already.
func (w *walk) move(name string) {
	s := w.step
	s.Page = 0
	if name == s.Screen {
		return
	}
	for i, c := range s.Trail {
		if c.Screen == name {
			s.Trail, s.Screen, s.As = s.Trail[:i:i], name, c.As
			return
		}
	}
	if s.Screen != "" {
		s.Trail = append(s.Trail, w.leaving)
	}
	s.Screen = name
}

func (w *walk) home(ctx context.Context) {
	s := w.step
	*s.state = state{As: Stranger, Lang: s.Lang, Inputs: s.Inputs}
	w.arrive(ctx, w.m.menu.Start)
}

func (w *walk) back(ctx context.Context) {
	s := w.step
	last := s.Trail[len(s.Trail)-1]
	s.Trail = s.Trail[:len(s.Trail)-1]
	s.Screen, s.As = "", last.As
	if err := s.load(ctx); err != nil {
		w.fail(err)
		return
	}
	w.arrive(ctx, last.Screen)
}

// restore takes up the state of the session that broke off, and returns the
// screen to arrive at, whose Before then runs afresh. Should it say "ask
// again", that is on the screen in front of it.
func (w *walk) restore(ctx context.Context) string {
	s := w.step
	if s.Resume == nil {
		return w.m.menu.Start
	}
	last, inputs := *s.Resume, s.Inputs
	*s.state = last
	s.Inputs, s.Screen, w.leaving = inputs, "", crumb{}
	if n := len(s.Trail); n > 0 {
		w.leaving = s.Trail[n-1]
		s.Screen, s.Trail = w.leaving.Screen, s.Trail[:n-1]
	}
	switch err := s.load(ctx); {
	case errors.Is(err, errGone):
		*s.state = state{As: Stranger, Lang: s.Lang, Inputs: inputs}
		return w.m.menu.Start
	case err != nil:
		w.fail(err)
	}
	return last.Screen
}

// resumePoint is from where a session could go on if it broke off now: the
// last question, but never one behind a PIN. nil: from the beginning.
func (m Menu) resumePoint(s state) *state {
	if s.Screen == m.Resume {
		return s.Resume
	}
	path := append(slices.Clone(s.Trail), crumb{s.Screen, s.As})
	last := 0 // the root is the beginning
	for i, c := range path {
		ask := m.Screens[c.Screen].Ask
		if ask != Nothing && ask != Language {
			last = i
		}
		if ask.Secret() {
			break
		}
	}
	if last == 0 {
		return nil
	}
	s.Screen, s.As, s.Trail = path[last].Screen, path[last].As, path[:last]
	s.Answers.PIN, s.Answers.Sure, s.Resume, s.Page, s.Inputs = "", "", nil, 0, 0
	return &s
}

// stop ends the session with a refusal's words.
func (w *walk) stop(r accounts.Refusal) {
	w.t.refusal = r.Key
	w.end("refusal."+r.Key, r.Holes)
}

// end ends the session with a text.
func (w *walk) end(name string, holes text.Holes) {
	if w.over {
		return
	}
	body, err := w.fill(name, holes)
	if err != nil {
		w.fail(err)
		return
	}
	w.over, w.reply = true, Reply{End: true, Text: body}
}

// fail ends the session for a reason that is ours.
func (w *walk) fail(err error) {
	if w.over {
		return
	}
	w.over, w.err = true, errors.Join(w.err, err)
	w.reply = w.m.sorry(w.step.Lang)
}

func (w *walk) reason(r accounts.Refusal) string {
	w.t.refusal = r.Key
	line, err := w.fill("refusal."+r.Key, r.Holes)
	if err != nil {
		w.fail(err)
	}
	return line
}
