package main

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"time"

	"tuma/simulator"
)

type phoneCommand struct {
	MSISDN      string `arg:"" help:"The phone's number, like +254712000001."`
	URL         string `default:"http://127.0.0.1:8080" help:"A running tuma dev."`
	ServiceCode string `default:"*334#" help:"The service code."`
	Record      string `placeholder:"FILE" help:"Write the conversation as a dialogue file."`
	Name        string `help:"What the dialogue calls the person."`
}

// Run is a phone in line mode.
func (c *phoneCommand) Run(ctx context.Context) (err error) {
	base := strings.TrimRight(c.URL, "/")
	o := simulator.TerminalOptions{
		In: os.Stdin, Out: os.Stdout, MSISDN: c.MSISDN, USSDURL: base + "/ussd/africastalking", EventsURL: base + "/ussd/africastalking/events",
		BaseURL: base, ServiceCode: c.ServiceCode, Now: time.Now, Rand: rand.Reader, RecordName: c.Name,
	}
	if c.Record != "" {
		f, openErr := os.Create(c.Record)
		if openErr != nil {
			return openErr
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		o.Record = f
	}
	return simulator.RunTerminal(ctx, o)
}
