package agents

import (
	"errors"
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"tuma/accounts"
)

// rounds multiplies what the tests of races do: the suite takes the short form,
// go test ./agents -run Race -rounds 200 the long one.
var rounds = flag.Int("rounds", 1, "how many times as many rounds the tests of races take")

// race has many try the same at once, from two processes of the service in
// turns, and counts those who did it; the others must be refused with one of keys.
func (w *world) race(n int, other *Service, try func(s *Service, i int) error, keys ...string) (won int) {
	w.t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	start := make(chan struct{})
	for i := range n {
		s := w.Service
		if i%2 == 1 {
			s = other
		}
		all.Go(func() {
			<-start
			err := try(s, i)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
				return
			}
			for _, key := range keys {
				if accounts.Refused(err, key) {
					return
				}
			}
			w.t.Error(err)
		})
	}
	close(start)
	all.Wait()
	return won
}

// A hundred withdrawals of all that a customer has: one is paid.
func TestRaceForABalance(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	juma, asha := w.counter(0)
	other := w.process(w.pool)
	for round := range 3 * *rounds {
		w.give(juma, asha, 529*shilling)
		won := w.race(100, other, func(s *Service, i int) error {
			_, err := s.Withdraw(t.Context(), fmt.Sprintf("race:%d:%d", round, i), asha, juma.Till.Number, 500*shilling)
			return err
		}, "insufficient")
		if left := w.has(asha.Wallet); won != 1 || left != 0 {
			t.Fatalf("round %d: %d were paid, %d is left", round, won, left)
		}
		w.clock.pass(24 * time.Hour) // the day's limit
	}
	t.Logf("%d rounds", 3**rounds)
	w.proven()
}

// Fifty deposits over a float that is enough for seven.
func TestRaceForAFloat(t *testing.T) {
	t.Parallel()
	const enough, amount = 7, 1000 * shilling
	w := newWorld(t)
	juma := w.till("100001", "Mama Mboga Kiosk", "+254722000001", 0)
	asha := w.customer("+254712000001", "Asha Juma", accounts.TierFull)
	const depotPhone = "+254722000009"
	w.till("100009", "Depot", depotPhone, 0)
	other := w.process(w.pool)
	for round := range 3 * *rounds {
		w.float("100001", enough*amount+amount/2)
		won := w.race(50, other, func(s *Service, i int) error {
			_, err := s.Deposit(t.Context(), fmt.Sprintf("race:%d:%d", round, i), juma, asha.Phone, amount)
			return err
		}, "float_low")
		if left := w.has(juma.Till.float); won != enough || left != amount/2 {
			t.Fatalf("round %d: %d were paid in, %d is left", round, won, left)
		}
		// For the next round the till has nothing again, and she has room.
		depot := w.operator(depotPhone)
		_, err := w.TransferFloat(t.Context(), fmt.Sprint("back:", round), juma, depot.Till.Number, amount/2)
		w.must(err)
		q, err := w.QuoteWithdraw(t.Context(), asha, depot.Till.Number, enough*amount-200*shilling)
		w.must(err)
		_, err = w.Withdraw(t.Context(), fmt.Sprint("out:", round), asha, depot.Till.Number, q.Amount)
		w.must(err)
		w.clock.pass(24 * time.Hour)
	}
	t.Logf("%d rounds", 3**rounds)
	w.proven()
}

// What a customer says of a disputed deposit, yes against no against the
// checker's word: one of yes and no is written, and none after the decision.
func TestRaceForADispute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	juma, asha := w.counter(0)
	other := w.process(w.pool)
	said := map[string]int{}
	for round := range 10 * *rounds {
		d, err := w.Deposit(t.Context(), fmt.Sprint("wrong:", round), juma, asha.Phone, 100*shilling)
		w.must(err)
		v, err := w.AskReversal(t.Context(), juma, d.Code, "wrong number")
		w.must(err)
		won := w.race(3, other, func(s *Service, i int) error {
			var err error
			switch (i + round) % 3 {
			case 0:
				err = s.Object(t.Context(), asha, v.ID)
			case 1:
				err = s.Agree(t.Context(), asha, v.ID)
			case 2:
				_, err = s.DecideReversal(t.Context(), "charles", v.ID, round%2 == 0, "as it was heard")
			}
			if errors.Is(err, ErrNoReversal) {
				err = accounts.Refuse("none")
			}
			return err
		}, "none")
		v, err = w.reversal(t.Context(), sqlReversalByID, v.ID)
		w.must(err)
		heard := 0
		if v.Objected.Valid {
			said["mine"]++
			heard++
		}
		if v.Agreed.Valid {
			said["not mine"]++
			heard++
		}
		if heard == 0 {
			said["nothing"]++
		}
		if heard > 1 || won != heard+1 || v.Settled == "" {
			t.Fatalf("round %d: %d were told that it counts: %+v", round, won, v)
		}
		if err := w.Object(t.Context(), asha, v.ID); !v.Objected.Valid && !errors.Is(err, ErrNoReversal) {
			t.Fatalf("round %d: after the decision: %v", round, err)
		}
		w.clock.pass(24 * time.Hour)
	}
	t.Logf("%d rounds, said %v", 10**rounds, said)
	w.proven()
}
