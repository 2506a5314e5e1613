package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"tuma/simulator"
	"tuma/ussd/dialogues"
)

type phoneCommand struct {
	MSISDN      string `arg:"" help:"The phone's number, like +254712000001."`
	URL         string `default:"http://127.0.0.1:8080" help:"A running tuma dev."`
	ServiceCode string `default:"*334#" help:"The service code."`
	Record      string `placeholder:"FILE" help:"Write the conversation as a dialogue file."`
	Name        string `help:"What the dialogue calls the person; the demo people have their names."`
}

// Run is a phone in line mode.
func (c *phoneCommand) Run(ctx context.Context) (err error) {
	base := strings.TrimRight(c.URL, "/")
	o := simulator.TerminalOptions{
		In: os.Stdin, Out: os.Stdout, MSISDN: c.MSISDN, USSDURL: base + "/ussd/africastalking", EventsURL: base + "/ussd/africastalking/events",
		BaseURL: base, ServiceCode: c.ServiceCode, Now: time.Now, Rand: rand.Reader,
	}
	if c.Record != "" {
		var cast string
		o.RecordName, cast = recordedAs(c.MSISDN, c.Name)
		f, openErr := os.Create(c.Record)
		if openErr != nil {
			return openErr
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		if _, err := io.WriteString(f, cast); err != nil {
			return err
		}
		o.Record = f
	}
	return simulator.RunTerminal(ctx, o)
}

// recordedAs is what a dialogue calls whoever has a number: as everybody does who
// knows the default cast, else by the given name, which the cast line introduces.
// A recording cannot know more of a stranger than the number; its reader may say
// that it is a customer.
func recordedAs(msisdn, name string) (handle, cast string) {
	number := "+" + strings.TrimPrefix(msisdn, "+")
	for _, p := range dialogues.DefaultCast() {
		if p.Number == number && (name == "" || name == p.Handle) {
			return p.Handle, ""
		}
	}
	if name == "" {
		name = "caller"
	}
	return name, fmt.Sprintf("cast %s stranger %s\n", name, number)
}
