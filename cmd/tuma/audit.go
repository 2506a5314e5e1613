package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/agents"
	"tuma/internal/db"
)

type auditCommand struct {
	database
	JSON  bool   `help:"Print one JSON object."`
	Seal  string `placeholder:"FILE" help:"When the book is right, write the heads of its chains here: keep the file away from the database."`
	Since string `placeholder:"FILE" type:"existingfile" help:"Read only what has come since this file was sealed, and prove that what it sealed still stands."`
}

// proof runs every room's audit over all there is.
func proof(ctx context.Context, pool *db.Pool) (ledger.Proof, error) {
	return prove(ctx, pool, ledger.AuditOptions{})
}

// prove leaves out the rooms' own audits, which read everything, when only what
// has come since a seal is asked for.
func prove(ctx context.Context, pool *db.Pool, o ledger.AuditOptions) (ledger.Proof, error) {
	p, err := ledger.Audit(ctx, pool, o)
	if err != nil || o.Since != nil {
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
	o := ledger.AuditOptions{Progress: func(done, total int64) { fmt.Fprintf(os.Stderr, "\r%d of %d entries", done, total) }}
	if c.Since != "" {
		if o.Since, err = readHeads(c.Since); err != nil {
			return err
		}
	}
	// The heads are read first: what is sealed is then certainly under audit.
	heads, err := ledger.Seal(ctx, pool)
	if err != nil {
		return err
	}
	p, err := prove(ctx, pool, o)
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
	if c.Seal != "" {
		return writeHeads(c.Seal, heads)
	}
	return nil
}

func readHeads(path string) (*ledger.Heads, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var h ledger.Heads
	if err := json.Unmarshal(b, &h); err != nil || h.At.IsZero() {
		return nil, fmt.Errorf("%s is not a seal: %w", path, err)
	}
	return &h, nil
}

func writeHeads(path string, h ledger.Heads) error {
	b, err := json.MarshalIndent(h, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "sealed at %s in %s\n", h.At.Format(time.RFC3339), filepath.Base(path))
	return os.Rename(path+".new", path)
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
