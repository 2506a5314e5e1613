package main

import (
	"context"
	"fmt"
	"time"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/db"
)

type officeCommand struct {
	Create officeCreate `cmd:"" help:"Register a head office (super-agent)."`
	Attach officeAttach `cmd:"" help:"Put an agent under a head office, or under none."`
	Share  officeShare  `cmd:"" help:"Change what a head office takes of its tills' commission."`
}

type officeCreate struct {
	books
	Name  string `arg:"" help:"The head office's name."`
	Share int64  `default:"0" help:"What it takes of its tills' commission, in basis points: 2500 is a quarter."`
}

// Run creates a head office.
func (c *officeCreate) Run(ctx context.Context) error {
	return c.with(ctx, func(s *service) error {
		id, err := s.agents.CreateHeadOffice(ctx, c.Name, c.Share)
		if err == nil {
			fmt.Printf("head office %d, share %d basis points\n", id, c.Share)
		}
		return err
	})
}

type officeAttach struct {
	books
	Agent  string `required:"" help:"The agent's name."`
	Office string `help:"The head office's name; without it the agent is under none."`
}

// Run attaches an agent.
func (c *officeAttach) Run(ctx context.Context) error {
	return c.with(ctx, func(s *service) error { return s.agents.AttachAgent(ctx, c.Agent, c.Office) })
}

type officeShare struct {
	books
	Name  string `arg:"" help:"The head office's name."`
	Share int64  `arg:"" help:"In basis points."`
}

// Run changes a share.
func (c *officeShare) Run(ctx context.Context) error {
	return c.with(ctx, func(s *service) error { return s.agents.SetShare(ctx, c.Name, c.Share) })
}

type agentPayout struct{ books }

// Run pays out commissions, once a day for each till.
func (c *agentPayout) Run(ctx context.Context) error {
	return c.with(ctx, func(s *service) error {
		paid, err := s.agents.PayOutAll(ctx)
		for _, p := range paid {
			fmt.Printf("%s\t%s\t%s\n", p.Done.Code, p.Place, s.accounts.Money(p.Done.Amount))
		}
		fmt.Printf("%d paid\n", len(paid))
		return err
	})
}

// because is a verb of staff that is written into the log with its reason.
type because struct {
	books
	as
	Reason string `required:"" help:"Why; it is kept in the log."`
}

func (b because) do(ctx context.Context, fn func(s *service) error) error {
	return b.with(ctx, func(s *service) error {
		if err := b.signIn(ctx, s); err != nil {
			return err
		}
		return fn(s)
	})
}

// stop is what a freeze and its end have in common.
type stop struct {
	because
	Whom string `arg:"" help:"The till's number, the agent's name, or the operator's phone number."`
}

func (c stop) till(ctx context.Context, frozen bool) error {
	return c.do(ctx, func(s *service) error {
		return s.agents.FreezeTill(ctx, c.As, c.Whom, frozen, c.Reason)
	})
}

func (c stop) agent(ctx context.Context, frozen bool) error {
	return c.do(ctx, func(s *service) error {
		return s.agents.FreezeAgent(ctx, c.As, c.Whom, frozen, c.Reason)
	})
}

func (c stop) operator(ctx context.Context, frozen bool) error {
	return c.do(ctx, func(s *service) error {
		n, err := s.accounts.Country().Phone.Parse(c.Whom)
		if err != nil {
			return err
		}
		return s.agents.FreezeOperator(ctx, c.As, n, frozen, c.Reason)
	})
}

type tillFreeze struct{ stop }

// Run freezes a till.
func (c *tillFreeze) Run(ctx context.Context) error { return c.till(ctx, true) }

type tillUnfreeze struct{ stop }

// Run lets a till go.
func (c *tillUnfreeze) Run(ctx context.Context) error { return c.till(ctx, false) }

type agentFreeze struct{ stop }

// Run freezes all tills of an agent.
func (c *agentFreeze) Run(ctx context.Context) error { return c.agent(ctx, true) }

type agentUnfreeze struct{ stop }

// Run lets an agent go.
func (c *agentUnfreeze) Run(ctx context.Context) error { return c.agent(ctx, false) }

type operatorFreeze struct{ stop }

// Run freezes an operator.
func (c *operatorFreeze) Run(ctx context.Context) error { return c.operator(ctx, true) }

type operatorUnfreeze struct{ stop }

// Run lets an operator go.
func (c *operatorUnfreeze) Run(ctx context.Context) error { return c.operator(ctx, false) }

type customerStop struct {
	because
	Phone string `arg:"" help:"The customer's phone number."`
}

func (c customerStop) freeze(ctx context.Context, frozen bool) error {
	return c.do(ctx, func(s *service) error {
		n, err := s.accounts.Country().Phone.Parse(c.Phone)
		if err != nil {
			return err
		}
		who, err := s.accounts.ByPhone(ctx, n)
		if err != nil {
			return err
		}
		return s.agents.FreezeCustomer(ctx, c.As, who, frozen, c.Reason)
	})
}

type customerFreeze struct{ customerStop }

// Run freezes a wallet.
func (c *customerFreeze) Run(ctx context.Context) error { return c.freeze(ctx, true) }

type customerUnfreeze struct{ customerStop }

// Run lets a wallet go.
func (c *customerUnfreeze) Run(ctx context.Context) error { return c.freeze(ctx, false) }

type floatTake struct {
	books
	as
	ID      int64  `arg:"" help:"Number of the request."`
	BankRef string `help:"The bank's reference, where the operator gave none."`
}

// Run takes up what an operator has asked for.
func (c *floatTake) Run(ctx context.Context) error {
	return c.with(ctx, func(s *service) error {
		if err := c.signIn(ctx, s); err != nil {
			return err
		}
		return s.agents.TakeFloat(ctx, c.As, c.ID, c.BankRef)
	})
}

type floatDecline struct {
	because
	ID int64 `arg:"" help:"Number of the request."`
}

// Run declines a request.
func (c *floatDecline) Run(ctx context.Context) error {
	return c.do(ctx, func(s *service) error {
		return s.agents.DeclineFloat(ctx, c.As, c.ID, c.Reason)
	})
}

type tillFlags struct {
	books
	Number string `arg:"" help:"The till's number."`
	N      int    `default:"20" help:"How many, the newest."`
}

// Run lists warnings; they stop nothing and are for people to look at.
func (c *tillFlags) Run(ctx context.Context) error {
	return c.with(ctx, func(s *service) error {
		flags, err := s.agents.Flags(ctx, c.Number, 0, c.N)
		for _, f := range flags {
			fmt.Printf("%s\t%s\t%s\tcustomer %d\t%d entries\n", f.At.In(s.accounts.Country().Zone).Format(time.DateTime), f.Kind, f.Receipt, f.Customer, len(f.Entries))
		}
		return err
	})
}

type reversalCommand struct {
	List    reversalList    `cmd:"" help:"List the disputed deposits, and what customers have sent and ask back, that wait for a checker."`
	Approve reversalApprove `cmd:"" help:"Give what is held back to the till, or to who has sent it (checker)."`
	Decline reversalDecline `cmd:"" help:"Give what is held back to the customer (checker)."`
	Object  reversalObject  `cmd:"" help:"Note that the customer says that the money is his (customer care)."`
}

type reversalList struct{ books }

// Run lists disputed deposits.
func (c *reversalList) Run(ctx context.Context) error {
	return c.with(ctx, func(s *service) error {
		list, err := s.agents.OpenReversals(ctx)
		for _, v := range list {
			says := "has not been heard"
			switch {
			case v.Objected.Valid:
				says = "objects"
			case v.Agreed.Valid:
				says = "agrees"
			}
			asker := "till " + v.Till
			if v.Payer != 0 {
				asker = "sent by " + v.AskedBy
			}
			fmt.Printf("%d\t%s\t%s\t%s of %s held\t%s\tcustomer %s\t%s\n", v.ID, v.Receipt, asker, s.accounts.Money(v.Held), s.accounts.Money(v.Amount), v.State, says, v.Reason)
		}
		return err
	})
}

type decision struct {
	because
	ID int64 `arg:"" help:"Number of the request."`
}

func (c decision) decide(ctx context.Context, approve bool) error {
	return c.do(ctx, func(s *service) error {
		v, err := s.agents.DecideReversal(ctx, c.As, c.ID, approve, c.Reason)
		if err == nil {
			fmt.Printf("%s: %s of %s %s\n", v.Settled, s.accounts.Money(v.Held), v.Receipt, v.State)
		}
		return err
	})
}

type reversalApprove struct{ decision }

// Run gives the till its float back.
func (c *reversalApprove) Run(ctx context.Context) error { return c.decide(ctx, true) }

type reversalDecline struct{ decision }

// Run gives the customer the money back.
func (c *reversalDecline) Run(ctx context.Context) error { return c.decide(ctx, false) }

type reversalObject struct {
	care
	ID int64 `required:"" help:"Number of the request."`
}

// Run notes an objection.
func (c *reversalObject) Run(ctx context.Context) error {
	return c.care.do(ctx, func(s *service, who accounts.Customer) error {
		return s.agents.Object(ctx, who, c.ID)
	})
}

type logCommand struct {
	database
	Check bool `help:"Only prove that no line was changed."`
}

// Run prints the log and proves its chain.
func (c *logCommand) Run(ctx context.Context) error {
	pool, err := db.Open(ctx, db.Options{URL: c.DatabaseURL, App: "tuma log"})
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := pool.CheckSchema(ctx); err != nil {
		return err
	}
	lines := 0
	breaks, err := agents.EachLog(ctx, pool, func(e agents.LogEntry) {
		if lines++; !c.Check {
			fmt.Printf("%d\t%s\t%s\t%s\t%s\t%s\t%q -> %q\t%s\n", e.ID, e.At.Format(time.RFC3339), e.Actor, e.From, e.Action, e.Subject, e.Before, e.After, e.Reason)
		}
	})
	if err != nil {
		return err
	}
	for _, b := range breaks {
		fmt.Printf("BROKEN %s: %s\n", b.Check, b.What)
	}
	if len(breaks) > 0 {
		return fmt.Errorf("the log is broken in %d places", len(breaks))
	}
	fmt.Printf("%d lines, the log is as it was written\n", lines)
	return nil
}
