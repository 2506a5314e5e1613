package ussd_test

import (
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"tuma/internal/db"
	"tuma/ussd"
	"tuma/ussd/dialogues"
)

// A database in which nothing moves: who dials meanwhile is told so, and
// when it moves again everybody is served as before.
func TestNoRoomIsToldAtOnce(t *testing.T) {
	w := newWorld(t)
	w.people([]dialogues.Person{{Handle: "asha", Number: asha, FullName: "ASHA JUMA", IDNumber: "11111111", Role: dialogues.Customer}})
	words, err := ussd.Words()
	w.must(err)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	limits, err := ussd.NewLimits(w.redis, ussd.LimitOptions{DialsPerMinute: 1000, LookUpsPerDay: 10}, log)
	w.must(err)
	var mu sync.Mutex
	outcomes := map[string]int{}
	arrived := make(chan struct{}, 100)
	m, err := ussd.New(ussd.Config{
		Accounts: w.accounts, Agents: w.agents, Redis: w.redis, Limits: limits, Menu: ussd.Tree(), Words: words,
		Key: []byte("the key of tests"), Rand: newSeeded(), Now: w.clock.now, Log: log, Steps: 4,
		Seen: func(s ussd.Seen) {
			mu.Lock()
			outcomes[s.Outcome+" "+s.Refusal]++
			mu.Unlock()
			arrived <- struct{}{}
		},
	})
	w.must(err)
	dial := func(session string) ussd.Reply {
		return m.Answer(t.Context(), ussd.Request{Gateway: "at", Session: session, From: asha, ServiceCode: "*334#"})
	}
	held, release := make(chan struct{}), make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		w.must(w.pool.InTx(t.Context(), func(tx *db.Tx) error {
			if _, err := tx.Exec(t.Context(), "lock table sim in access exclusive mode"); err != nil {
				return err
			}
			close(held)
			<-release
			return nil
		}))
	})
	<-held
	for i := range 20 {
		done.Go(func() { dial("held-" + string(rune('a'+i))) })
	}
	for range 17 { // three have the places of those who dial
		<-arrived
	}
	close(release)
	done.Wait()
	if r := dial("after"); r.End || !strings.Contains(r.Text, "Send money") {
		t.Errorf("afterwards: %+v", r)
	}
	if outcomes["shed busy"] != 17 || outcomes["continued "] != 4 || len(outcomes) != 2 {
		t.Errorf("outcomes: %v", outcomes)
	}
}

// Who dials and finds no room costs Redis nothing: here nobody could ask it.
func TestNoRoomAsksNobody(t *testing.T) {
	w := newWorld(t)
	m := w.newMachine(openRedis(t, "redis://127.0.0.1:1"), slog.New(slog.DiscardHandler))
	dial := func() string {
		return m.Answer(t.Context(), ussd.Request{Gateway: "at", Session: "s", From: asha, ServiceCode: "*334#"}).Text
	}
	leave := m.FillRoom()
	if got := dial(); !strings.Contains(got, "very busy") {
		t.Errorf("in a full room: %s", got)
	}
	leave()
	if got := dial(); !strings.Contains(got, "went wrong") {
		t.Errorf("with room, and without a Redis: %s", got)
	}
}

// Whoever is told in the middle of a payment that there is no room has paid
// nothing, also when the gateway asks again and there is room by then.
func TestNoRoomInTheMiddle(t *testing.T) {
	w := demo(t)
	m := w.newMachine(w.redis, slog.New(slog.DiscardHandler))
	ask := func(session, text string) ussd.Reply {
		return m.Answer(t.Context(), ussd.Request{Gateway: "at", Session: session, From: asha, ServiceCode: "*334#", Text: text})
	}
	ask("s", payment)
	leave := m.FillRoom()
	first := ask("s", payment+"*"+canary)
	leave()
	if again := ask("s", payment+"*"+canary); !strings.Contains(first.Text, "Nothing was paid") || again != first {
		t.Errorf("first %+v, then %+v", first, again)
	}
	w.wantPaid(0)
	if next := ask("t", ""); next.End || !strings.Contains(next.Text, "Continue: Send money") {
		t.Errorf("the next dial: %+v", next)
	}
}
