package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/db"
	"tuma/internal/phone"
)

// benchPeople registers customers with money, all with the demo PIN.
func benchPeople(ctx context.Context, s *service, n int) ([]phone.Number, error) {
	if err := seed(ctx, s); err != nil {
		return nil, err
	}
	pin, err := s.accounts.PINs().Seal(demoPIN)
	if err != nil {
		return nil, err
	}
	tills := make([]agents.Operator, benchTills)
	for i := range tills {
		if tills[i], err = benchTill(ctx, s, i, pin); err != nil {
			return nil, err
		}
	}
	numbers := make([]phone.Number, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	slots := make(chan struct{}, 64)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			numbers[i], errs[i] = benchCustomer(ctx, s, tills[i%benchTills], i, pin)
		})
	}
	wg.Wait()
	return numbers, errors.Join(errs...)
}

const (
	benchBalance = 90_000_00 // under the basic tier's ceiling
	benchTills   = 64        // many, since the notices of one phone go out one after the other
)

// benchTill makes a till with the cash that its customers will bring.
func benchTill(ctx context.Context, s *service, i int, pin accounts.SealedPIN) (agents.Operator, error) {
	operator := fmt.Sprintf("+2547%08d", 10_000_000+i)
	t := demoTill{
		agent: fmt.Sprint("Bench Traders ", i), name: fmt.Sprint("Bench Shop ", i), number: fmt.Sprint(200_001 + i), lang: "en",
		operator: "Bench Operator", operatorNumber: operator, operatorID: fmt.Sprint(50_000_000 + i),
	}
	if err := seedTill(ctx, s, t, benchBalance*10_000, pin); err != nil {
		return agents.Operator{}, err
	}
	return s.agents.ByPhone(ctx, phone.Number(operator))
}

func benchCustomer(ctx context.Context, s *service, o agents.Operator, i int, pin accounts.SealedPIN) (phone.Number, error) {
	n, err := phone.Parse(fmt.Sprintf("+2547%08d", 20_000_000+i))
	if err != nil {
		return "", err
	}
	_, err = s.accounts.Register(ctx, accounts.Registration{
		Ref: "bench:" + string(n), Phone: n, Name: "Bench Customer", IDNumber: fmt.Sprint(60_000_000 + i), Lang: "en", Tier: accounts.TierFull, PIN: pin,
	})
	if err != nil {
		return "", err
	}
	_, err = s.agents.Deposit(ctx, "bench:"+string(n), o, n, benchBalance)
	return n, err
}

// benchAtRest waits until the relay has sent what was owed for the people's
// registration, so that the figures are of the payments alone.
func benchAtRest(ctx context.Context, pool *db.Pool) error {
	fmt.Fprintln(os.Stderr, "waiting for their notices to be sent")
	for until := time.Now().Add(5 * time.Minute); ; {
		var left int64
		if err := pool.Get(ctx, &left, sqlUnsent); err != nil || left == 0 {
			return err
		}
		if time.Now().After(until) {
			return fmt.Errorf("%d notices are still waiting", left)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

const sqlUnsent = "select count(*) from every_notice where status in ('queued', 'sending')"
