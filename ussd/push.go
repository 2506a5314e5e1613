package ussd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"tuma/accounts"
	"tuma/internal/phone"
)

// Push is a screen for a phone that has not dialled.
type Push struct {
	To      phone.Number
	Session string // what the gateway calls the session that begins with it
	Text    string
}

// Pusher is a gateway that can begin a session by itself. What is keyed in then
// comes back as requests of that session. When Push fails the phone may have the
// screen all the same, and its answers count.
type Pusher interface {
	Name() string // the Gateway of those requests
	Push(ctx context.Context, p Push) error
}

// Push puts an approval on its customer's phone. The session stands at that
// screen before the phone has it, bound to the phone's number, and its answers
// continue there.
func (m *Machine) Push(ctx context.Context, a accounts.Approval) error {
	if m.pusher == nil {
		return errors.New("ussd: no gateway can push")
	}
	country := m.accounts.Country()
	r := Request{Gateway: m.pusher.Name(), Session: "push-" + strconv.FormatInt(a.ID, 10), From: a.Phone, ServiceCode: country.ServiceCode}
	h := &held{s: m.sessions, id: r.id(), from: r.From, session: &session{
		From: r.From, ServiceCode: r.ServiceCode, Pushed: true, State: state{As: AsCustomer, Lang: country.Languages[0]},
	}}
	w := m.walk(r, h, &trace{})
	w.ask(ctx, a.ID)
	if w.reply.End || w.step.Screen == "" {
		return fmt.Errorf("ussd: the customer cannot be asked now: %w", errors.Join(w.err, errors.New(w.reply.Text)))
	}
	// It counts as answered: the phone's first request may be empty, or an answer.
	h.session.Steps = []storedStep{{Hash: m.sessions.hash(r.id(), r.mark()), Reply: w.reply}}
	if err := m.sessions.prepare(ctx, h); err != nil {
		return err
	}
	err := m.pusher.Push(ctx, Push{To: r.From, Session: r.Session, Text: w.reply.Text})
	m.log.LogAttrs(ctx, slog.LevelInfo, "ussd push", slog.String("gateway", r.Gateway), slog.String("session", r.Session), slog.String("to", r.From.Masked()), slog.Bool("shown", err == nil))
	return err
}

// ask walks to the screen that asks for an approval, with nothing behind it.
func (w *walk) ask(ctx context.Context, approval int64) {
	s := w.step
	if err := s.load(ctx); err != nil {
		w.fail(err)
		return
	}
	if err := ready(s.Customer.Frozen, s.Customer.PINState); err != nil {
		w.fail(err)
		return
	}
	s.speak(s.Customer.Lang)
	s.Answers.Chosen = Choice{"approval", approval}
	w.arrive(ctx, w.m.menu.Asked)
	w.show()
}

// prepare stores a session that the phone does not know yet. The phone's line is
// left alone: it may be in the middle of something else, and then the network
// refuses the push.
func (s *sessions) prepare(ctx context.Context, h *held) error {
	body, err := json.Marshal(h.session)
	if err == nil {
		err = s.redis.Set(ctx, h.keys()[0], body, sessionLifetime).Err()
	}
	if err != nil {
		return fmt.Errorf("ussd: storing a session to push: %w", err)
	}
	return nil
}
