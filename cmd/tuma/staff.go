package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tuma/agents"
)

type staffResetFactor struct {
	because
	Name string `arg:"" help:"The colleague's name."`
}

// Run takes a second factor away.
func (c *staffResetFactor) Run(ctx context.Context) error {
	return c.do(ctx, func(s *service) error {
		if err := s.agents.ResetFactor(ctx, c.As, c.Name, c.Reason); err != nil {
			return err
		}
		fmt.Printf("%s sets up another at the next sign-in\n", c.Name)
		return nil
	})
}

type staffCode struct {
	Secret string `arg:"" help:"The secret that the portal showed, in base32."`
}

// Run prints the code and how long it is good for.
func (c *staffCode) Run() error {
	now := time.Now()
	code, err := agents.CodeAt(strings.ToUpper(strings.ReplaceAll(c.Secret, " ", "")), now)
	if err == nil {
		fmt.Printf("%s (for %d seconds)\n", code, 30-now.Unix()%30)
	}
	return err
}
