package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"tuma/ussd/dialogues"
)

type playCommand struct {
	URL         string   `default:"http://127.0.0.1:8080" help:"A running tuma dev."`
	ServiceCode string   `default:"*334#" help:"The service code."`
	Files       []string `arg:"" type:"existingfile" help:"Dialogue files, ussd/dialogues/*.txt."`
	Verbose     bool     `short:"v" help:"Print what was said."`
}

// Run plays each file against the server, on the phones of people registered for
// it, and compares what is said. Files that need the service's clock or books
// cannot be played from outside: they are named and do not count.
func (c *playCommand) Run(ctx context.Context) error {
	var played, differ, inside int
	for _, name := range c.Files {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		script, err := dialogues.Parse(name, string(text))
		if err != nil {
			return err
		}
		stage := &dialogues.Remote{BaseURL: strings.TrimRight(c.URL, "/"), Client: &http.Client{Timeout: 20 * time.Second}, ServiceCode: c.ServiceCode, Rand: rand.Reader, Patience: 5 * time.Second}
		result, err := dialogues.Play(ctx, script, stage, dialogues.Options{ServiceCode: c.ServiceCode, Loose: true})
		switch {
		case errors.Is(err, dialogues.ErrOnlyInside):
			inside++
			fmt.Printf("--   %s: %v\n", name, err)
			continue
		case err != nil:
			return fmt.Errorf("%s: %w", name, err)
		}
		played++
		if result.Diff == "" {
			fmt.Println("ok  ", name)
		} else {
			differ++
			fmt.Printf("DIFF %s\n%s\n", name, result.Diff)
		}
		if c.Verbose {
			fmt.Println(result.Text)
		}
	}
	fmt.Printf("%d played, %d differ, %d cannot be played from outside\n", played, differ, inside)
	if differ > 0 {
		return fmt.Errorf("%d dialogues differ", differ)
	}
	if played == 0 {
		return errors.New("nothing could be played")
	}
	return nil
}
