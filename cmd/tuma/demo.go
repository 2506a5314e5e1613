package main

import (
	"context"
	"errors"
	"fmt"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/money"
	"tuma/internal/phone"
)

// The people of every demo. Their PIN is 4826.
const demoPIN = "4826"

type demoCustomer struct {
	name, number, id, lang string
	balance                money.Amount
}

type demoTill struct {
	agent, name, number            string
	operator, operatorNumber, lang string
	operatorID                     string
	float                          money.Amount
}

var demoCustomers = [...]demoCustomer{
	{"Asha Juma", "+254712000001", "23000001", "en", 1000_00},
	{"Baraka Otieno", "+254712000002", "23000002", "en", 250_00},
	{"Chausiku Mwangi", "+254712000003", "23000003", "en", 0},
}

var demoTills = [...]demoTill{
	{"Pima Traders", "Mama Pima Shop", "100001", "Juma Kamau", "+254722000001", "en", "24000001", 50_000_00},
	{"Uhuru Stores", "Uhuru Stores", "100002", "Neema Wanjiru", "+254722000002", "en", "24000002", 300_00},
}

// demoOffice is a head office that has the agent of the second till under it.
var demoOffice = struct {
	name, agent, head, number, id string
	share                         int64 // basis points
	float                         money.Amount
}{"Pwani Distributors", "Uhuru Stores", "Amina Said", "+254722000009", "24000009", 2000, 20_000_00}

// Demo staff, so that float is issued as it will be: by two people. The secret of
// their one-time codes is the same for all, as their password is.
const (
	demoMaker    = "wanjiku"
	demoChecker  = "otieno"
	demoCare     = "zawadi"
	demoPassword = "demo-password"
	demoSecret   = "TUMATUMATUMATUMATUMATUMATUMATUMA"
)

// seed makes the demo people, once: every step has a key of its own, so that a
// start which was killed in the middle is finished by the next.
func seed(ctx context.Context, s *service) error {
	pin, err := s.accounts.PINs().Seal(demoPIN)
	if err != nil {
		return err
	}
	for name, role := range map[string]string{demoMaker: "maker", demoChecker: "checker", demoCare: "care"} {
		if err := s.agents.CreateStaff(ctx, name, demoPassword, role); err != nil && !errors.Is(err, agents.ErrExists) {
			return err
		}
		if err := s.agents.DemoFactor(ctx, name, demoSecret); err != nil && !errors.Is(err, agents.ErrExists) {
			return err
		}
	}
	var opening money.Amount
	for _, c := range demoCustomers {
		opening += c.balance
	}
	for i, t := range demoTills {
		float := t.float
		if i == 0 {
			float += opening // it takes the demo customers' cash
		}
		if err := seedTill(ctx, s, t, float, pin); err != nil {
			return fmt.Errorf("demo till %s: %w", t.number, err)
		}
	}
	for _, c := range demoCustomers {
		if err := seedCustomer(ctx, s, c, pin); err != nil {
			return fmt.Errorf("demo customer %s: %w", c.number, err)
		}
	}
	return nil
}

func seedTill(ctx context.Context, s *service, t demoTill, float money.Amount, pin accounts.SealedPIN) error {
	if _, err := s.agents.CreateAgent(ctx, t.agent); err != nil && !errors.Is(err, agents.ErrExists) {
		return err
	}
	if _, err := s.agents.CreateTill(ctx, t.agent, t.name, t.number); err != nil && !errors.Is(err, agents.ErrExists) {
		return err
	}
	operator, err := phone.Parse(t.operatorNumber)
	if err != nil {
		return err
	}
	err = s.agents.CreateOperator(ctx, agents.NewOperator{
		Till: t.number, Phone: operator, Name: t.operator, IDNumber: t.operatorID, Lang: t.lang, Role: "owner", PIN: pin,
	})
	if err != nil && !errors.Is(err, agents.ErrExists) {
		return err
	}
	return seedFloat(ctx, s, t.number, float, "DEMO-"+t.number)
}

// seedOffice puts the demo's head office over one of its agents.
func seedOffice(ctx context.Context, s *service) error {
	o := demoOffice
	pin, err := s.accounts.PINs().Seal(demoPIN)
	if err != nil {
		return err
	}
	if _, err := s.agents.CreateHeadOffice(ctx, o.name, o.share); err != nil && !errors.Is(err, agents.ErrExists) {
		return err
	}
	if err := s.agents.AttachAgent(ctx, o.agent, o.name); err != nil {
		return err
	}
	err = s.agents.CreateOperator(ctx, agents.NewOperator{Office: o.name, Phone: phone.Number(o.number), Name: o.head, IDNumber: o.id, Lang: "en", Role: "head", PIN: pin})
	if err != nil && !errors.Is(err, agents.ErrExists) {
		return err
	}
	return seedFloat(ctx, s, o.name, o.float, "DEMO-OFFICE")
}

// seedFloat has two people issue float to a till or a head office, once.
func seedFloat(ctx context.Context, s *service, to string, float money.Amount, bankRef string) error {
	_, err := s.agents.RequestFloat(ctx, demoMaker, to, float, bankRef)
	if err != nil && !errors.Is(err, agents.ErrExists) {
		return err
	}
	waiting, err := s.agents.OpenFloat(ctx)
	if err != nil {
		return err
	}
	for _, f := range waiting {
		if f.BankRef == bankRef {
			if _, err := s.agents.ApproveFloat(ctx, demoChecker, f.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

func seedCustomer(ctx context.Context, s *service, c demoCustomer, pin accounts.SealedPIN) error {
	number, err := phone.Parse(c.number)
	if err != nil {
		return err
	}
	_, err = s.accounts.Register(ctx, accounts.Registration{
		Ref: "demo:" + c.number, Phone: number, Name: c.name, IDNumber: c.id, Lang: c.lang, Tier: accounts.TierFull, PIN: pin,
	})
	if err != nil || c.balance == 0 {
		return err
	}
	operator, err := phone.Parse(demoTills[0].operatorNumber)
	if err != nil {
		return err
	}
	o, err := s.agents.ByPhone(ctx, operator)
	if err != nil {
		return err
	}
	_, err = s.agents.Deposit(ctx, "demo:"+c.number, o, number, c.balance)
	return err
}
