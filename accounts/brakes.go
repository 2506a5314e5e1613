package accounts

import (
	_ "embed" // brakes.csv
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"tuma/internal/money"
)

//go:embed brakes.csv
var defaultBrakes string

// What a rule does when it holds.
const (
	BrakeOff    = "off"
	BrakeAlert  = "alert"  // somebody is to look at it; nothing is stopped
	BrakeRefuse = "refuse" // it is not done, and the customer reads why
)

// alertOnly are the rules that look back at what has happened; refuseOnly count
// what something else refuses.
var (
	alertOnly  = []string{"till_cash_outs", "till_deposits", "split_deposit", "cash_in_out", "direct_deposit", "pin_spray", "swap_and_drain", "lookups_unpaid"}
	refuseOnly = []string{"pin_locked", "dials", "lookups"}
)

// Brake is a rule against fraud or abuse. Its numbers mean what Why says.
type Brake struct {
	Rule    string
	Outcome string
	Most    int
	Amount  money.Amount
	Within  time.Duration
	Why     string
}

// Brakes are all rules, in the order in which they are listed. nil: none.
type Brakes []Brake

// ParseBrakes gives the rules that come with the program, with those that
// changes has lines for (the same columns, an empty field for what stays) put in
// their place; nil for none.
func ParseBrakes(changes io.Reader, currency money.Currency) (Brakes, error) {
	var b Brakes
	if err := b.read(strings.NewReader(defaultBrakes), currency, true); err != nil {
		return nil, fmt.Errorf("accounts: brakes.csv: %w", err)
	}
	if changes != nil {
		if err := b.read(changes, currency, false); err != nil {
			return nil, fmt.Errorf("brakes: %w", err)
		}
	}
	return b, nil
}

var brakeFields = []string{"rule", "outcome", "most", "amount", "within", "explanation"}

func (b *Brakes) read(from io.Reader, currency money.Currency, fresh bool) error {
	r := csv.NewReader(from)
	r.Comment, r.FieldsPerRecord = '#', len(brakeFields)
	lines, err := r.ReadAll()
	if err != nil {
		return err
	}
	if len(lines) == 0 || !slices.Equal(lines[0], brakeFields) {
		return fmt.Errorf("the first line must be %s", strings.Join(brakeFields, ","))
	}
	for i, f := range lines[1:] {
		if fresh {
			*b = append(*b, Brake{Rule: f[0]})
		}
		k := slices.IndexFunc(*b, func(x Brake) bool { return x.Rule == f[0] })
		if k < 0 {
			return fmt.Errorf("line %d: there is no rule %q", i+2, f[0])
		}
		if err := (*b)[k].set(f, currency); err != nil {
			return fmt.Errorf("line %d: %s: %w", i+2, f[0], err)
		}
	}
	return nil
}

// set takes from a line what stands there.
func (b *Brake) set(f []string, currency money.Currency) (err error) {
	switch outcome := f[1]; {
	case outcome == BrakeRefuse && slices.Contains(alertOnly, b.Rule):
		return fmt.Errorf("this rule looks back, so it can be %s or %s", BrakeAlert, BrakeOff)
	case outcome == BrakeAlert && slices.Contains(refuseOnly, b.Rule):
		return fmt.Errorf("this rule counts what is refused elsewhere, so it can be %s or %s", BrakeRefuse, BrakeOff)
	case outcome == BrakeOff, outcome == BrakeAlert, outcome == BrakeRefuse:
		b.Outcome = outcome
	case outcome != "":
		return fmt.Errorf("the outcome is %s, %s or %s, not %q", BrakeRefuse, BrakeAlert, BrakeOff, outcome)
	}
	if f[2] != "" {
		if b.Most, err = strconv.Atoi(f[2]); err != nil || b.Most < 1 {
			return fmt.Errorf("most is a number from 1 on, not %q", f[2])
		}
	}
	if f[3] != "" {
		if b.Amount, err = currency.Parse(f[3]); err != nil {
			return fmt.Errorf("amount: %w", err)
		}
	}
	if f[4] != "" {
		if b.Within, err = time.ParseDuration(f[4]); err != nil || b.Within < time.Minute {
			return fmt.Errorf("within is a time from 1m on, such as 10m or 24h, not %q", f[4])
		}
	}
	if f[5] != "" {
		b.Why = f[5]
	}
	return nil
}

// On gives a rule, and whether it does anything.
func (b Brakes) On(rule string) (Brake, bool) {
	for _, x := range b {
		if x.Rule == rule {
			return x, x.Outcome != BrakeOff
		}
	}
	return Brake{}, false
}

// Brakes are the rules in force.
func (s *Service) Brakes() Brakes { return s.brakes }
