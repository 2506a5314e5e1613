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
	{"Asha Juma", "+254712000001", "23456701", "en", 1000_00},
	{"Baraka Otieno", "+254712000002", "23456702", "sw", 250_00},
	{"Chantal Uwase", "+254712000003", "23456703", "fr", 0},
}

var demoTills = [...]demoTill{
	{"Mama Mboga Stores", "Mama Mboga", "100001", "Juma Mwangi", "+254722000001", "en", "23456711", 50_000_00},
	{"Neema Traders", "Neema Kiosk", "100002", "Neema Achieng", "+254722000002", "sw", "23456712", 300_00},
}

// Demo staff, so that float is issued as it will be: by two people.
const (
	demoMaker    = "wanjiku"
	demoChecker  = "otieno"
	demoCare     = "zawadi"
	demoPassword = "demo-password"
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
	err := s.agents.CreateOperator(ctx, agents.NewOperator{
		Till: t.number, Phone: phone.Number(t.operatorNumber), Name: t.operator, IDNumber: t.operatorID, Lang: t.lang, Role: "owner", PIN: pin,
	})
	if err != nil && !errors.Is(err, agents.ErrExists) {
		return err
	}
	_, err = s.agents.RequestFloat(ctx, demoMaker, t.number, float, "DEMO-"+t.number)
	if err != nil && !errors.Is(err, agents.ErrExists) {
		return err
	}
	waiting, err := s.agents.OpenFloat(ctx)
	if err != nil {
		return err
	}
	for _, f := range waiting {
		if f.BankRef == "DEMO-"+t.number {
			if _, err := s.agents.ApproveFloat(ctx, demoChecker, f.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

func seedCustomer(ctx context.Context, s *service, c demoCustomer, pin accounts.SealedPIN) error {
	_, err := s.accounts.Register(ctx, accounts.Registration{
		Ref: "demo:" + c.number, Phone: phone.Number(c.number), Name: c.name, IDNumber: c.id, Lang: c.lang, Tier: accounts.TierFull, PIN: pin,
	})
	if err != nil || c.balance == 0 {
		return err
	}
	o, err := s.agents.ByPhone(ctx, phone.Number(demoTills[0].operatorNumber))
	if err != nil {
		return err
	}
	_, err = s.agents.Deposit(ctx, "demo:"+c.number, o, phone.Number(c.number), c.balance)
	return err
}
