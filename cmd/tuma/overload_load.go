package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tuma/internal/phone"
	"tuma/simulator/people"
)

// openLoad is people who come whether or not those before them were served.
type openLoad struct {
	*benchOverload
	address string
	numbers []phone.Number
	rate    float64
	client  *http.Client
	seconds *overloadSeconds
	people  atomic.Int64

	paid, warned, pending, gaveUp atomic.Int64

	mu   sync.Mutex
	told map[string]told // by session, of those in which a PIN was given
}

// told is what somebody was told of a payment.
type told struct {
	person  int64
	outcome toldOutcome
	stands  bool
}

type toldOutcome int

const (
	toldUnknown toldOutcome = iota // no answer, "pending", or "something went wrong"
	toldPaid
	toldNothing // "nothing was paid"
)

// verdictOf a session.
type sessionEnd int

const (
	endPaid sessionEnd = iota
	endWarned
	endPending
	endNothing // dial again
)

func newOpenLoad(c *benchOverload, address string, numbers []phone.Number, rate float64) *openLoad {
	return &openLoad{
		benchOverload: c, address: address, numbers: numbers, rate: rate, told: map[string]told{},
		client:  &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4096, MaxIdleConns: 4096, IdleConnTimeout: time.Minute}},
		seconds: newOverloadSeconds(c),
	}
}

// run lets people come until the time is over, and waits until the last has gone.
func (l *openLoad) run(ctx context.Context) error {
	defer l.client.CloseIdleConnections()
	dice := rand.New(rand.NewPCG(l.Seed, 1))
	var all sync.WaitGroup
	begun := time.Now()
	l.seconds.begin(begun)
	end := begun.Add(l.Before + l.During + l.After)
	for due := begun; due.Before(end) && ctx.Err() == nil; {
		time.Sleep(time.Until(due))
		at, id := due, l.people.Add(1)
		all.Go(func() { l.person(ctx, id, at) })
		due = due.Add(time.Duration(dice.ExpFloat64() / l.rate * float64(time.Second)))
	}
	all.Wait()
	return ctx.Err()
}

const firstRedial = 5 * time.Second

// person wants to make one payment, and dials again when that came to nothing.
func (l *openLoad) person(ctx context.Context, id int64, due time.Time) {
	dice := rand.New(rand.NewPCG(l.Seed, uint64(id)+1000))
	from := l.numbers[int(id)%len(l.numbers)] // a phone of their own, as long as there are enough
	to := l.numbers[dice.IntN(len(l.numbers))]
	for from == to {
		to = l.numbers[dice.IntN(len(l.numbers))]
	}
	amount := fmt.Sprintf("%d.%02d", 101+dice.IntN(399), dice.IntN(100))
	l.seconds.person(due)
	for try := 0; ctx.Err() == nil; try++ {
		switch l.session(ctx, dice, id, fmt.Sprintf("over-%d-%d", id, try), due, from, to, amount) {
		case endPaid:
			l.paid.Add(1)
			return
		case endWarned:
			l.warned.Add(1)
			return
		case endPending:
			l.pending.Add(1)
			return
		}
		if try == l.Redials {
			l.gaveUp.Add(1)
			return
		}
		due = time.Now().Add(time.Duration((0.5 + dice.Float64()) * float64(firstRedial<<try)))
		time.Sleep(time.Until(due))
	}
}

// session is one conversation. Each key is pressed at a time that does not depend
// on how busy this process is; its answer's time counts from there.
func (l *openLoad) session(ctx context.Context, dice *rand.Rand, person int64, session string, due time.Time, from, to phone.Number, amount string) sessionEnd {
	text, pays := "", false
	for range 12 {
		screen, kind := l.hop(ctx, session, from, text, due)
		if pays {
			l.tell(session, person, screen, kind)
		}
		switch {
		case kind == hopPending:
			return endPending
		case kind != hopWell:
			return endNothing
		case strings.HasPrefix(screen, "END "):
			if strings.Contains(screen, " Confirmed. ") {
				l.seconds.payment(time.Now())
				return endPaid
			}
			return endNothing
		case strings.Contains(screen, "Send it again?"):
			return endWarned
		}
		key := ""
		if key, pays = keyFor(screen, to, amount); key == "" {
			return endNothing
		}
		if text != "" {
			text += "*"
		}
		text += key
		due = time.Now().Add(time.Duration(dice.ExpFloat64() * float64(l.Think)))
		time.Sleep(time.Until(due))
	}
	return endNothing
}

// keyFor reads a screen in English and says what to key in; "" is to hang up.
func keyFor(screen string, to phone.Number, amount string) (key string, pays bool) {
	switch {
	case showsPhrase(screen, "pin"):
		return demoPIN, true
	case showsPhrase(screen, "resume"):
		return "2", false // from the beginning
	case strings.Contains(screen, "1 Send money"):
		return "1", false
	case strings.Contains(screen, "Send to (phone number)"):
		return string(to), false
	case strings.Contains(screen, "\nAmount"):
		return amount, false
	}
	return "", false
}

// showsPhrase tells whether a screen has the phrase of that name.
func showsPhrase(screen, name string) bool {
	return strings.Contains(screen, people.Phrases()[name][0])
}

func (l *openLoad) tell(session string, person int64, screen string, kind hopKind) {
	t := told{person: person}
	switch {
	case kind == hopBusy:
		t.outcome = toldNothing
	case kind == hopWell && strings.Contains(screen, " Confirmed. "):
		t.outcome = toldPaid
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told[session] = t
}

// hop sends a request and tells what came.
func (l *openLoad) hop(ctx context.Context, session string, from phone.Number, text string, due time.Time) (string, hopKind) {
	ctx, cancel := context.WithDeadline(ctx, due.Add(l.Patience))
	defer cancel()
	screen, kind := l.ask(ctx, session, from, text)
	l.seconds.hop(due, time.Now(), kind)
	return screen, kind
}

func (l *openLoad) ask(ctx context.Context, session string, from phone.Number, text string) (string, hopKind) {
	form := url.Values{"sessionId": {session}, "phoneNumber": {string(from)}, "networkCode": {"63902"}, "serviceCode": {"*334#"}, "text": {text}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.address, strings.NewReader(form.Encode()))
	if err != nil {
		return "", hopFailed
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := l.client.Do(req)
	var b []byte
	if err == nil {
		b, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	screen := string(b)
	switch {
	case err != nil && ctx.Err() != nil:
		return "", hopSilent
	case err != nil, resp.StatusCode != http.StatusOK, showsPhrase(screen, "sorry"):
		return screen, hopFailed
	case showsPhrase(screen, "busy"):
		return screen, hopBusy
	case showsPhrase(screen, "pending"):
		return screen, hopPending
	}
	return screen, hopWell
}
