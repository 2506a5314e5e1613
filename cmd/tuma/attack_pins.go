package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"

	"tuma/internal/db"
)

// guessed is somebody whose PIN is guessed.
type guessed struct {
	number, pin string
	operator    bool
}

const (
	guessesEach  = 50 // at once, for one PIN: from sessions on both processes, and of an operator in the portal
	guessesAtOne = 8  // of them at the portal
	stormsAtOnce = 2  // a process answers 128 steps at a time, and tells others that it is busy
	triesAllowed = 3
)

// What a guess may be told.
var (
	toldWrong   = regexp.MustCompile(`Wrong PIN\. Tries left: ([12])\.`)
	toldBalance = regexp.MustCompile(`Your balance is|balance|Float`)
)

const toldLocked = "Wrong PIN. Your PIN is now locked."

// guess has everybody's PIN guessed from many sessions at once. Three tries are
// compared and no more: afterwards not even the right PIN is, neither when Redis
// has forgotten everything nor when the processes have started anew.
func (a *attack) guess(ctx context.Context) error {
	var next atomic.Int64
	room := make(chan struct{}, stormsAtOnce)
	err := a.many(ctx, "people whose PIN is guessed", len(a.victims), func(ctx context.Context, w *attacker) error {
		room <- struct{}{}
		defer func() { <-room }()
		return w.storm(ctx, int(next.Add(1)-1))
	})
	if err != nil {
		return err
	}
	a.result.Victims = len(a.victims)
	if a.Plant {
		if err := a.pool.InTx(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(ctx, `update pin set tries = 0`)
			return err
		}); err != nil {
			return err
		}
	}
	if err := a.locked(ctx, "after the guesses"); err != nil {
		return err
	}
	if err := a.redis.FlushAll(ctx).Err(); err != nil {
		return err
	}
	if err := a.locked(ctx, "after Redis forgot"); err != nil {
		return err
	}
	for _, t := range a.site.instances {
		if err := t.again(ctx); err != nil {
			return err
		}
	}
	if err := a.addresses(ctx); err != nil {
		return err
	}
	return a.locked(ctx, "after a restart")
}

// storm guesses one PIN. All sessions stand at the question before the first
// guess, since a locked PIN is not asked for any more. A phone has one session, so
// Redis is made to forget which one before each guess.
func (w *attacker) storm(ctx context.Context, i int) error {
	v := w.victims[i]
	guesses := make([]func() string, 0, guessesEach)
	path := "4*1" // balance
	if v.operator {
		path = "3" // float
		browser, err := w.known(ctx, v)
		if err != nil {
			return err
		}
		for range guessesAtOne {
			guesses = append(guesses, func() string {
				form := url.Values{"form": {browser.form}, "number": {"0" + v.number[4:]}, "pin": {w.wrongPIN(v.pin, len(guesses))}}
				s := shot{kind: "guess portal", by: w.ours, method: "POST", base: w.byAddress, path: "/agents/in", header: browser.header(), body: form.Encode()}
				s.header.Set("Content-Type", formType)
				return w.told(s.send(ctx))
			})
		}
	}
	for len(guesses) < guessesEach {
		n := len(guesses)
		session := fmt.Sprintf("guess-%d-%d", i, n)
		if s := w.ussd(n%2 == 0, session, v.number, path).send(ctx); s.status != 200 || !strings.HasPrefix(s.said, "CON ") || !strings.Contains(s.said, "PIN") {
			return fmt.Errorf("%s is not asked for the PIN: %d %s", v.number, s.status, s.said)
		}
		guesses = append(guesses, func() string {
			s := w.ussd(n%2 == 1, session, v.number, path+"*"+w.wrongPIN(v.pin, n))
			s.kind = "guess ussd"
			w.forgetLine(ctx, v.number)
			return w.told(s.send(ctx))
		})
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	told := map[string]int{}
	for _, g := range guesses {
		all.Go(func() {
			what := g()
			mu.Lock()
			defer mu.Unlock()
			told[what]++
		})
	}
	all.Wait()
	w.result.mu.Lock()
	for what, n := range told {
		w.result.Verdicts[what] += n
	}
	w.result.Guesses += len(guesses)
	w.result.mu.Unlock()
	if told["locked"] < 2 {
		w.result.found("too few guesses at once", "%s was told %v: nothing was proven", v.number, told)
	}
	if told["right"] > 0 || told["2 left"] > 1 || told["1 left"] > 1 {
		w.result.found("a guess too many was compared", "%s was told %v", v.number, told)
	}
	if told["locked"] == 0 {
		w.result.found("a PIN was not locked", "%s was told %v", v.number, told)
	}
	return nil
}

// forgetLine is a Redis that lost which session a phone is in.
func (a *attack) forgetLine(ctx context.Context, number string) {
	a.redis.Del(ctx, "ussd:line:"+number) // when it fails, the guess is refused at the door
}

// wrongPIN is the n-th that is not somebody's.
func (w *attacker) wrongPIN(right string, n int) string {
	guess := fmt.Sprintf("%04d", (n*97+1234)%10_000)
	if guess == right || guess == demoPIN {
		return "1000"
	}
	return guess
}

// told sorts what a guess was answered.
func (a *attack) told(s answered) string {
	a.judge(s)
	switch m := toldWrong.FindStringSubmatch(s.said); {
	case m != nil:
		return m[1] + " left"
	case strings.Contains(s.said, toldLocked):
		return "locked"
	case s.status == http.StatusTooManyRequests:
		return "too many"
	case s.status == http.StatusSeeOther, s.status == http.StatusOK && toldBalance.MatchString(s.said):
		return "right"
	}
	return "nothing"
}

const sqlKnownDevice = `insert into portal_device (token, operator, created_at) select $1, id, $3 from operator where msisdn = $2`

// known is a browser in which an operator has given a code before: in another the
// portal does not take a PIN without one.
func (w *attacker) known(ctx context.Context, v guessed) (*visit, error) {
	secret := fmt.Sprintf("%016x%016x", w.Uint64(), w.Uint64())
	sum := sha256.Sum256([]byte(secret))
	err := w.pool.InTx(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(ctx, sqlKnownDevice, hex.EncodeToString(sum[:]), v.number, tx.Now)
		if err == nil && n != 1 {
			err = errors.New("no such operator: " + v.number)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	nobody, err := w.visit(ctx, "")
	if err != nil {
		return nil, err
	}
	return &visit{cookie: nobody.cookie + "; __Host-tuma-device=" + secret, form: nobody.form}, nil
}

const sqlTriesLeft = `select count(*) from pin where tries < $1 and id in (select pin from customer c join sim s on s.customer = c.id where s.msisdn = any(string_to_array($2, ',')) union select pin from operator where msisdn = any(string_to_array($2, ',')))`

// locked wants every guessed's PIN to be locked: the row says so, and the right
// PIN, in sessions that stand at the question, opens nothing.
func (a *attack) locked(ctx context.Context, when string) error {
	var numbers []string
	for _, v := range a.victims {
		numbers = append(numbers, v.number)
	}
	var open int
	if err := a.pool.Get(ctx, &open, sqlTriesLeft, triesAllowed, strings.Join(numbers, ",")); err != nil {
		return err
	}
	if open > 0 {
		a.result.found("a PIN was not locked", "%d of %d have tries left %s", open, len(a.victims), when)
	}
	var next atomic.Int64
	return a.many(ctx, "right PINs "+when, len(a.victims), func(ctx context.Context, w *attacker) error {
		i := next.Add(1) - 1
		v := w.victims[i]
		path := "4*1"
		if v.operator {
			path = "3"
		}
		for n := range 4 { // a session from before the lock, and a new one, on each process
			session := fmt.Sprintf("guess-%d-%d", i, guessesEach-1-n%2)
			if n > 1 {
				session = fmt.Sprintf("right-%d-%d-%s", i, n, strings.ReplaceAll(when, " ", "-"))
				w.ussd(n%2 == 0, session, v.number, path).send(ctx)
			}
			w.forgetLine(ctx, v.number)
			s := w.ussd(n%2 == 0, session, v.number, path+"*"+v.pin)
			s.kind = "right PIN, locked"
			if what := w.told(s.send(ctx)); what == "right" {
				w.result.found("a locked PIN was compared", "%s %s", v.number, when)
			}
		}
		return nil
	})
}
