package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"tuma/accounts"
)

type brakesCommand struct {
	books
	Events int           `placeholder:"N" help:"Instead of the rules: the newest N things that they have refused or noticed."`
	Rule   string        `help:"With --events: of one rule only."`
	Since  time.Duration `default:"24h" help:"How far back to look."`
}

// Run lists the rules with how often each has done something, or what they have
// done.
func (c *brakesCommand) Run(ctx context.Context) error {
	return c.with(ctx, func(s *service) error {
		since := s.accounts.Now().Add(-c.Since)
		if c.Events > 0 {
			return c.events(ctx, s, since)
		}
		counts, err := s.accounts.BrakeCounts(ctx, since)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "RULE\tOUTCOME\tMOST\tAMOUNT\tWITHIN\tLAST %v\n", c.Since)
		for _, b := range s.accounts.Brakes() {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%v\t%s\n", b.Rule, b.Outcome, mostOf(b), orDash(amountOf(s, b)), b.Within, doneBy(b.Rule, counts))
		}
		if err := w.Flush(); err != nil {
			return err
		}
		fmt.Println()
		for _, b := range s.accounts.Brakes() {
			fmt.Printf("%s: %s\n", b.Rule, b.Why)
		}
		return nil
	})
}

func mostOf(b accounts.Brake) string {
	if b.Most == 0 {
		return "-"
	}
	return strconv.Itoa(b.Most)
}

func amountOf(s *service, b accounts.Brake) string {
	if b.Amount == 0 {
		return ""
	}
	return s.accounts.Money(b.Amount)
}

// doneBy says how often a rule has refused and noticed something.
func doneBy(rule string, done []accounts.BrakeCount) string {
	n := map[string]int64{}
	for _, c := range done {
		if c.Rule == rule {
			n[c.Outcome] = c.N
		}
	}
	return counts(n)
}

func (c *brakesCommand) events(ctx context.Context, s *service, since time.Time) error {
	list, err := s.accounts.BrakeEvents(ctx, accounts.BrakeFind{Rule: c.Rule, Since: since, Limit: c.Events})
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, e := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", e.At.In(s.accounts.Country().Zone).Format(time.RFC3339), e.Rule, e.Outcome, e.Subject, orDash(e.Ref), e.Detail)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(list) == 0 {
		fmt.Println("nothing")
	}
	return nil
}
