package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/db"
)

// books is what every verb of the operator needs. The secrets are the service's
// own: what is written here must be readable there.
type books struct {
	database
	country
	secrets
}

// with composes the business without any way in and gives it to fn.
func (b books) with(ctx context.Context, fn func(s *service) error) error {
	country, tariff, err1 := b.country.build()
	keys, err2 := b.secrets.build()
	brakes, err3 := b.country.rules()
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	s, err := config{databaseURL: b.DatabaseURL, country: country, tariff: tariff, brakes: brakes, keys: keys, log: logger(false)}.books(ctx)
	if err != nil {
		return err
	}
	return errors.Join(fn(s), s.close())
}

type agentCommand struct {
	Create   agentCreate   `cmd:"" help:"Register a business that will have tills."`
	Payout   agentPayout   `cmd:"" help:"Pay out what all tills and head offices have earned, once a day."`
	Freeze   agentFreeze   `cmd:"" help:"Stop all tills of an agent."`
	Unfreeze agentUnfreeze `cmd:"" help:"Let an agent's tills go, but for those that were frozen by themselves."`
}

type agentCreate struct {
	books
	Name string `arg:"" help:"The business's name."`
}

// Run creates an agent.
func (c *agentCreate) Run(ctx context.Context) error {
	return c.with(ctx, func(s *service) error {
		id, err := s.agents.CreateAgent(ctx, c.Name)
		if err == nil {
			fmt.Printf("agent %d %s\n", id, strings.ToUpper(c.Name))
		}
		return err
	})
}

type tillCommand struct {
	Create   tillCreate   `cmd:"" help:"Open a till of an agent."`
	Freeze   tillFreeze   `cmd:"" help:"Stop a till."`
	Unfreeze tillUnfreeze `cmd:"" help:"Let a frozen till go."`
	Flags    tillFlags    `cmd:"" help:"List the warnings about a till: split and direct deposits, the same cash in and out."`
}

type tillCreate struct {
	books
	Agent  string `required:"" help:"The agent's name."`
	Name   string `required:"" help:"The till's name, as customers read it."`
	Number string `help:"Six digits; the next free number when not given."`
}

// Run creates a till.
func (c *tillCreate) Run(ctx context.Context) error {
	return c.with(ctx, func(s *service) error {
		number, err := s.agents.CreateTill(ctx, c.Agent, c.Name, c.Number)
		if err == nil {
			fmt.Println("till", number)
		}
		return err
	})
}

type operatorCommand struct {
	Create   operatorCreate   `cmd:"" help:"Put a person at a till; the PIN is chosen on the first dial."`
	Freeze   operatorFreeze   `cmd:"" help:"Stop an operator."`
	Unfreeze operatorUnfreeze `cmd:"" help:"Let a frozen operator go."`
}

type operatorCreate struct {
	books
	Till     string `help:"Number of the till."`
	Office   string `help:"Instead of a till: name of the head office, with the role head."`
	Phone    string `required:"" help:"The operator's phone number."`
	Name     string `required:"" help:"The operator's name."`
	IDNumber string `required:"" name:"id-number" help:"The operator's ID number, asked for on the first dial."`
	Role     string `enum:"owner,assistant,auditor,head" default:"assistant" help:"owner, assistant or auditor; head in a head office."`
	Lang     string `default:"en" help:"Language of menu and notices."`
}

// Run creates an operator.
func (c *operatorCreate) Run(ctx context.Context) error {
	return c.with(ctx, func(s *service) error {
		n, err := s.accounts.Country().Phone.Parse(c.Phone)
		if err != nil {
			return err
		}
		err = s.agents.CreateOperator(ctx, agents.NewOperator{Till: c.Till, Office: c.Office, Phone: n, Name: c.Name, IDNumber: c.IDNumber, Role: c.Role, Lang: c.Lang})
		if err == nil {
			fmt.Printf("operator %s at till %s: dials %s and gives the ID number to choose a PIN\n", n, c.Till+c.Office, s.accounts.Country().ServiceCode)
		}
		return err
	})
}

type staffCommand struct {
	Create      staffCreate      `cmd:"" help:"Register a member of staff; the password is asked for."`
	ResetFactor staffResetFactor `cmd:"" help:"Take a colleague's second factor away whose phone is lost; the next sign-in sets up another."`
	Code        staffCode        `cmd:"" help:"An authenticator in the terminal: print the one-time code of a secret."`
}

type staffCreate struct {
	books
	Name string `arg:"" help:"a-z, 0-9, . and -"`
	Role string `required:"" enum:"maker,checker,care" help:"maker, checker or care."`
}

// Run creates a member of staff.
func (c *staffCreate) Run(ctx context.Context) error {
	return c.with(ctx, func(s *service) error {
		password, err := askPassword("Password of " + c.Name)
		if err != nil {
			return err
		}
		if err := s.agents.CreateStaff(ctx, c.Name, password, c.Role); err != nil {
			return err
		}
		fmt.Println(c.Role, c.Name)
		return nil
	})
}

// as signs a member of staff in for one command.
type as struct {
	As string `required:"" help:"Who you are; your password is asked for, or read from TUMA_STAFF_PASSWORD or the standard input."`
}

func (a as) signIn(ctx context.Context, s *service) error {
	password, err := askPassword("Password of " + a.As)
	if err != nil {
		return err
	}
	return s.agents.CheckStaff(ctx, a.As, password)
}

func askPassword(prompt string) (string, error) {
	if p := os.Getenv("TUMA_STAFF_PASSWORD"); p != "" {
		return p, nil
	}
	if in := int(os.Stdin.Fd()); term.IsTerminal(in) {
		fmt.Fprint(os.Stderr, prompt, ": ")
		b, err := term.ReadPassword(in)
		fmt.Fprintln(os.Stderr)
		return string(b), err
	}
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if line = strings.TrimRight(line, "\r\n"); line == "" && err != nil {
		return "", fmt.Errorf("no password: %w", err)
	}
	return line, nil
}

type floatCommand struct {
	Request floatRequest `cmd:"" help:"Ask for float against a credit at the bank (maker)."`
	Approve floatApprove `cmd:"" help:"Issue requested float (checker, another person)."`
	List    floatList    `cmd:"" help:"List what waits for a maker or a checker."`
	Take    floatTake    `cmd:"" help:"Take up what an operator has asked for (maker)."`
	Decline floatDecline `cmd:"" help:"Decline a request (checker, another person)."`
}

type floatRequest struct {
	books
	as
	Till    string `required:"" help:"Number of the till, or name of the head office."`
	Amount  string `required:"" help:"In whole currency units, like 50000."`
	BankRef string `required:"" help:"The bank's reference of the credit; each is used once."`
}

// Run files a request.
func (c *floatRequest) Run(ctx context.Context) error {
	return c.with(ctx, func(s *service) error {
		if err := c.signIn(ctx, s); err != nil {
			return err
		}
		a, err := s.accounts.Country().Currency.Parse(c.Amount)
		if err != nil {
			return err
		}
		id, err := s.agents.RequestFloat(ctx, c.As, c.Till, a, c.BankRef)
		if err == nil {
			fmt.Printf("float request %d: %s for till %s, waits for a checker\n", id, s.accounts.Money(a), c.Till)
		}
		return err
	})
}

type floatApprove struct {
	books
	as
	ID int64 `arg:"" help:"Number of the request."`
}

// Run issues the float.
func (c *floatApprove) Run(ctx context.Context) error {
	return c.with(ctx, func(s *service) error {
		if err := c.signIn(ctx, s); err != nil {
			return err
		}
		d, err := s.agents.ApproveFloat(ctx, c.As, c.ID)
		if err == nil {
			fmt.Printf("%s %s, %s: float is now %s\n", d.Code, s.accounts.Money(d.Amount), d.Name, s.accounts.Money(d.Balance))
		}
		return err
	})
}

type floatList struct{ books }

// Run lists open requests.
func (c *floatList) Run(ctx context.Context) error {
	return c.with(ctx, func(s *service) error {
		asked, err1 := s.agents.AskedFloat(ctx)
		made, err2 := s.agents.OpenFloat(ctx)
		for _, f := range append(asked, made...) {
			fmt.Printf("%d\t%s\ttill %s\t%s\t%s\tbank %s\tby %s\n", f.ID, f.State, f.Till, f.Kind, s.accounts.Money(f.Amount), f.BankRef, f.AskedBy+" "+f.Maker)
		}
		return errors.Join(err1, err2)
	})
}

type customerCommand struct {
	Show     customerShow     `cmd:"" help:"Show a customer."`
	ResetPIN customerResetPIN `cmd:"" name:"reset-pin" help:"Take a forgotten or locked PIN away; the customer chooses a new one with the ID number."`
	Move     customerMove     `cmd:"" help:"Give a customer another phone number."`
	Swapped  customerSwapped  `cmd:"" help:"Note that the number is on another SIM card, as the network says."`
	Freeze   customerFreeze   `cmd:"" help:"Stop a wallet."`
	Unfreeze customerUnfreeze `cmd:"" help:"Let a frozen wallet go."`
}

// care is a verb of customer care on one customer.
type care struct {
	books
	as
	Phone string `arg:"" help:"The customer's phone number."`
}

func (c care) do(ctx context.Context, fn func(s *service, who accounts.Customer) error) error {
	return c.with(ctx, func(s *service) error {
		if err := c.signIn(ctx, s); err != nil {
			return err
		}
		if err := s.agents.May(ctx, c.As, "care"); err != nil {
			return err
		}
		n, err := s.accounts.Country().Phone.Parse(c.Phone)
		if err != nil {
			return err
		}
		who, err := s.accounts.ByPhone(ctx, n)
		if err != nil {
			return err
		}
		if err := fn(s, who); err != nil {
			return err
		}
		what := strings.Join(os.Args[1:min(3, len(os.Args))], " ")
		s.log.Info("customer care", "command", what, "by", c.As, "customer", who.ID)
		return s.pool.InTx(ctx, func(tx *db.Tx) error {
			return s.agents.Log(ctx, tx, agents.LogEntry{Actor: "staff:" + c.As, Action: what, Subject: fmt.Sprintf("customer:%d", who.ID)})
		})
	})
}

type customerShow struct{ care }

// Run shows a customer.
func (c *customerShow) Run(ctx context.Context) error {
	return c.do(ctx, func(s *service, who accounts.Customer) error {
		left, err := s.accounts.Left(ctx, who)
		if err != nil {
			return err
		}
		state := map[accounts.PINState]string{accounts.PINReady: "ready", accounts.PINUnset: "not chosen", accounts.PINLocked: "locked"}[who.PINState]
		fmt.Printf("%s %s\ntier %s, PIN %s, frozen %v\nmay send %s more today\n", who.Phone, who.Name, who.Tier.Name, state, who.Frozen, s.accounts.Money(left.Today))
		return nil
	})
}

type customerResetPIN struct{ care }

// Run takes a PIN away.
func (c *customerResetPIN) Run(ctx context.Context) error {
	return c.do(ctx, func(s *service, who accounts.Customer) error { return s.accounts.PINs().Reset(ctx, who.PIN) })
}

type customerSwapped struct{ care }

// Run notes another SIM.
func (c *customerSwapped) Run(ctx context.Context) error {
	return c.do(ctx, func(s *service, who accounts.Customer) error { return s.accounts.SwappedSIM(ctx, who) })
}

type customerMove struct {
	care
	To string `required:"" help:"The new phone number."`
}

// Run moves a customer to another number.
func (c *customerMove) Run(ctx context.Context) error {
	return c.do(ctx, func(s *service, who accounts.Customer) error {
		to, err := s.accounts.Country().Phone.Parse(c.To)
		if err != nil {
			return err
		}
		return s.accounts.MoveNumber(ctx, who, to)
	})
}
