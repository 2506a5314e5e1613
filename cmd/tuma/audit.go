package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/agents"
	"tuma/internal/db"
)

type auditCommand struct {
	database
	JSON bool `help:"Print one JSON object."`
}

// proof runs every room's audit.
func proof(ctx context.Context, pool *db.Pool) (ledger.Proof, error) {
	p, err := ledger.Audit(ctx, pool)
	if err != nil {
		return p, err
	}
	for _, audit := range []func(context.Context, *db.Pool) ([]ledger.Break, error){accounts.Audit, agents.Audit} {
		breaks, err := audit(ctx, pool)
		if err != nil {
			return p, err
		}
		p.Breaks = append(p.Breaks, breaks...)
	}
	return p, nil
}

// Run proves the book.
func (c *auditCommand) Run(ctx context.Context) error {
	pool, err := db.Open(ctx, db.Options{URL: c.DatabaseURL, App: "tuma audit"})
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := pool.CheckSchema(ctx); err != nil {
		return err
	}
	p, err := proof(ctx, pool)
	if err != nil {
		return err
	}
	if c.JSON {
		if err := json.NewEncoder(os.Stdout).Encode(p); err != nil {
			return err
		}
	} else {
		printProof(p)
	}
	if n := len(p.Breaks); n > 0 {
		return fmt.Errorf("the book is broken in %d places", n)
	}
	return nil
}

func printProof(p ledger.Proof) {
	fmt.Printf("%d entries, %d postings, %d accounts, %d blocks in %d chains\n", p.Entries, p.Postings, p.Accounts, p.Blocks, p.Chains)
	for currency := range p.Trust {
		fmt.Printf("%s: e-money in circulation %d, trust account %d (minor units)\n", currency, p.EMoney[currency], p.Trust[currency])
	}
	for _, b := range p.Breaks {
		fmt.Printf("BROKEN %s: %s\n", b.Check, b.What)
	}
	if len(p.Breaks) == 0 {
		fmt.Println("the book is right")
	}
}
