package accounts

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"tuma/accounts/ledger"
	"tuma/internal/money"
)

// Outgoing is a payment that a customer has confirmed with the PIN and that has
// not been posted yet.
type Outgoing struct {
	Ref, Kind string
	Payer     Customer
	Payee     ledger.AccountID // of a send
	Amount    money.Amount
}

// movement is an entry of a wallet, as recent_of has it.
type movement struct {
	At     time.Time        `db:"at"`
	Kind   string           `db:"kind"`
	Debit  ledger.AccountID `db:"debit"`
	Credit ledger.AccountID `db:"credit"`
	Amount money.Amount     `db:"amount"`
	Left   money.Amount     `db:"left_over"` // in the debited account, afterwards
}

const (
	// recent_of, written out: a function would be planned at each call.
	sqlRecent = `
with recursive walk as (
    select e.at, e.kind, e.debits[1] as debit, e.credits[1] as credit, e.amounts[1] as amount,
           e.afters[array_position(e.accounts, e.debits[1])] as left_over, e.befores[array_position(e.accounts, $1)] as before, 1 as n
    from account a join entry e on e.id = a.last_entry where a.id = $1
    union all
    select e.at, e.kind, e.debits[1], e.credits[1], e.amounts[1],
           e.afters[array_position(e.accounts, e.debits[1])], e.befores[array_position(e.accounts, $1)], w.n + 1
    from walk w join entry e on e.id = w.before where w.at >= $2 and w.n < $3
)
select at, kind, debit, credit, amount, coalesce(left_over, 0) as left_over from walk where at >= $2`
	// By its first payment to somebody a customer knows the payee from then on.
	sqlPaidBefore = `select exists (select from recent_of($1, $2, 500) where kind = 'send' and debit = $1 and credit = $3 and at <= $4)`
)

// How far back the brakes look.
const (
	leastRecent = 20  // entries of a wallet, for what has happened within an hour
	mostRecent  = 200 // likewise
	knownFor    = 180 * 24 * time.Hour
)

// Brake asks the rules whether a payment may go on: behind the PIN, so that
// whoever holds a stolen phone learns nothing of them, and before anything is
// posted. It costs one query, more for what is large. Refusals: held (holes max,
// hours), too_often, new_payee (holes max, minutes), fresh_money (hole minutes).
// What only alerts is noted and goes on.
func (s *Service) Brake(ctx context.Context, o Outgoing) error {
	if len(s.brakes) == 0 {
		return nil
	}
	if err := s.held(ctx, o); err != nil {
		return err
	}
	now := s.pool.Now()
	if err := s.drained(ctx, o, now); err != nil {
		return err
	}
	recent, err := s.recent(ctx, o, now)
	if err != nil {
		return err
	}
	for _, rule := range []func(context.Context, Outgoing, []movement, time.Time) error{s.pace, s.newPayee, s.freshMoney} {
		if err := rule(ctx, o, recent, now); err != nil {
			return err
		}
	}
	return nil
}

// brake notes that a rule holds, and gives the refusal when it refuses. A ref that
// stands, or comes to stand by a commit under way, was let through before: its
// caller finds the first answer (OrFirst).
func (s *Service) brake(ctx context.Context, b Brake, o Outgoing, detail string, refusal Refusal) error {
	if _, err := s.book.Settled(ctx, o.Ref); errors.Is(err, ledger.ErrNotFound) {
		s.NoteBrake(ctx, BrakeEvent{Rule: b.Rule, Subject: fmt.Sprint("customer:", o.Payer.ID), Ref: o.Ref, Detail: o.Kind + " of " + s.Money(o.Amount) + ": " + detail})
	}
	if b.Outcome == BrakeRefuse {
		return refusal
	}
	return nil
}

// held keeps large payments back after a change of SIM or a PIN that was reset.
// Whoever is calling was read with that, so it costs nothing.
func (s *Service) held(ctx context.Context, o Outgoing) error {
	for _, h := range []struct {
		rule  string
		since time.Time
	}{{"sim_swap", o.Payer.MovedAt}, {"pin_reset", o.Payer.ResetAt}} {
		b, on := s.brakes.On(h.rule)
		if on && o.Amount > b.Amount && s.pool.Now().Sub(h.since) < b.Within {
			err := s.brake(ctx, b, o, "changed at "+s.clock(h.since), Refuse("held", "max", s.Money(b.Amount), "hours", hours(b.Within)))
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// drained sees most of a wallet go out after a change of SIM, in amounts that
// sim_swap lets pass. Only then does it cost a query.
func (s *Service) drained(ctx context.Context, o Outgoing, now time.Time) error {
	b, on := s.brakes.On("swap_and_drain")
	if !on || o.Amount < b.Amount || now.Sub(o.Payer.MovedAt) >= b.Within {
		return nil
	}
	wallet, err := s.book.Account(ctx, o.Payer.Wallet)
	if err != nil {
		return err
	}
	if o.Amount*100 < money.Amount(b.Most)*wallet.Balance {
		return nil
	}
	return s.brake(ctx, b, o, "of "+s.Money(wallet.Balance)+", SIM changed at "+s.clock(o.Payer.MovedAt), Refusal{})
}

// clock is an instant as events tell it.
func (s *Service) clock(at time.Time) string {
	return at.In(s.country.Zone).Format("2006-01-02 15:04")
}

func hours(d time.Duration) string { return strconv.Itoa(max(1, int((d+time.Hour-1)/time.Hour))) }

func minutes(d time.Duration) string { return strconv.Itoa(int((d + time.Minute - 1) / time.Minute)) }

// recent reads what has happened to the wallet for as long as any rule looks back.
func (s *Service) recent(ctx context.Context, o Outgoing, now time.Time) (list []movement, err error) {
	var back time.Duration
	most := leastRecent
	for _, rule := range []string{"customer_pace", "customer_sum", "new_payee_drain", "drain_and_cash_out"} {
		if b, on := s.brakes.On(rule); on {
			back = max(back, b.Within)
			if rule == "customer_pace" {
				most = min(max(most, 2*b.Most), mostRecent)
			}
		}
	}
	if back == 0 {
		return nil, nil
	}
	if err := s.pool.Select(ctx, &list, sqlRecent, int64(o.Payer.Wallet), now.Add(-back), most); err != nil {
		return nil, fmt.Errorf("accounts: what has happened lately: %w", err)
	}
	return list, nil
}

// pace counts and adds up what has gone out.
func (s *Service) pace(ctx context.Context, o Outgoing, recent []movement, now time.Time) error {
	out := func(within time.Duration) (n int, sum money.Amount) {
		for _, m := range recent {
			if m.Debit == o.Payer.Wallet && now.Sub(m.At) < within {
				n, sum = n+1, sum+m.Amount
			}
		}
		return n, sum
	}
	if b, on := s.brakes.On("customer_pace"); on {
		if n, _ := out(b.Within); n >= b.Most {
			if err := s.brake(ctx, b, o, fmt.Sprintf("%d before it within %v", n, b.Within), Refuse("too_often")); err != nil {
				return err
			}
		}
	}
	if b, on := s.brakes.On("customer_sum"); on {
		if _, sum := out(b.Within); sum+o.Amount > b.Amount {
			if err := s.brake(ctx, b, o, fmt.Sprintf("%s before it within %v", s.Money(sum), b.Within), Refuse("too_often")); err != nil {
				return err
			}
		}
	}
	return nil
}

// newPayee keeps nearly all of a wallet from going to a number that was never
// paid before, in one payment or in several small ones.
func (s *Service) newPayee(ctx context.Context, o Outgoing, recent []movement, now time.Time) error {
	b, on := s.brakes.On("new_payee_drain")
	if !on || o.Kind != "send" {
		return nil
	}
	sum := o.Amount
	for _, m := range recent {
		if m.Kind == "send" && m.Debit == o.Payer.Wallet && m.Credit == o.Payee && now.Sub(m.At) < b.Within {
			sum += m.Amount
		}
	}
	if sum <= b.Amount {
		return nil
	}
	wallet, err := s.book.Account(ctx, o.Payer.Wallet)
	if err != nil {
		return err
	}
	if o.Amount*100 <= money.Amount(b.Most)*wallet.Balance {
		return nil
	}
	if known, err := s.paidBefore(ctx, o.Payer.Wallet, o.Payee, now.Add(-b.Within)); err != nil || known {
		return err
	}
	return s.brake(ctx, b, o, "of "+s.Money(wallet.Balance)+", to somebody new", Refuse("new_payee", "max", s.Money(b.Amount), "minutes", minutes(b.Within)))
}

// freshMoney sees cash taken out that somebody has sent a moment ago, out of most
// of a wallet that had never paid this one.
func (s *Service) freshMoney(ctx context.Context, o Outgoing, recent []movement, now time.Time) error {
	b, on := s.brakes.On("drain_and_cash_out")
	if !on || o.Kind != "withdraw" {
		return nil
	}
	for _, m := range recent {
		drained := m.Kind == "send" && m.Credit == o.Payer.Wallet && m.Amount >= b.Amount && now.Sub(m.At) < b.Within &&
			m.Amount*100 >= money.Amount(b.Most)*(m.Amount+m.Left)
		if !drained || 2*o.Amount < m.Amount || 4*o.Amount > 5*m.Amount {
			continue
		}
		known, err := s.paidBefore(ctx, m.Debit, o.Payer.Wallet, m.At.Add(-time.Microsecond))
		if err != nil {
			return err
		}
		if !known {
			return s.brake(ctx, b, o, s.Money(m.Amount)+" had come "+now.Sub(m.At).Round(time.Second).String()+" before", Refuse("fresh_money", "minutes", minutes(b.Within)))
		}
	}
	return nil
}

// paidBefore tells whether a wallet had paid another one up to an instant, as far
// back as the brakes look.
func (s *Service) paidBefore(ctx context.Context, payer, payee ledger.AccountID, until time.Time) (known bool, err error) {
	if err = s.pool.Get(ctx, &known, sqlPaidBefore, int64(payer), until.Add(-knownFor), int64(payee), until); err != nil {
		err = fmt.Errorf("accounts: who was paid before: %w", err)
	}
	return known, err
}
