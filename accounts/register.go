package accounts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/internal/phone"
	"tuma/internal/text"
	"tuma/sms/outbox"
)

// The tiers of self-registration and of registration at a till.
const (
	TierBasic = 1
	TierFull  = 2
)

// Registration is a person who wants a wallet.
type Registration struct {
	Ref      string // unique: the same again gives the customer of the first time
	Phone    phone.Number
	Name     string
	IDNumber string
	Lang     string
	Tier     int
	PIN      SealedPIN // "": chosen with the ID number on the first dial
}

const (
	sqlByRegistration = `select id from customer where ref = $1`
	sqlNumberTaken    = `select exists (select from sim where msisdn = $1)`
	sqlIDTaken        = `select exists (select from customer where id_number = $1)`
	sqlNewCustomer    = `
with c as (
    insert into customer (id, ref, name, id_number, lang, tier, wallet, pin, created_at)
    values (nextval('customer_id'), $1, $2, $3, $4, $5, $6, $7, $8) returning id
)
insert into sim (msisdn, customer, since) select $9, id, $8 from c returning customer`
)

// Register opens a wallet for a person. Refusals: bad_name, bad_id, bad_lang,
// already_registered (the number has a wallet), id_taken (the document has one).
func (s *Service) Register(ctx context.Context, r Registration) (Customer, error) {
	var err error
	if r.Name, err = s.CheckName(r.Name); err != nil {
		return Customer{}, err
	}
	if r.IDNumber, err = s.CheckID(r.IDNumber); err != nil {
		return Customer{}, err
	}
	if err := s.CheckLang(r.Lang); err != nil {
		return Customer{}, err
	}
	tier, err := s.tariff.tier(r.Tier, s.day())
	if err != nil {
		return Customer{}, err
	}
	var id int64
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		err := tx.Get(ctx, &id, sqlByRegistration, r.Ref)
		if !errors.Is(err, sql.ErrNoRows) {
			return err // nil: the same registration again
		}
		if err := s.free(ctx, tx, r); err != nil {
			return err
		}
		return s.open(ctx, tx, r, tier, &id)
	})
	// Two registrations at the same moment: the constraint decides.
	switch {
	case db.Violates(err, "number_has_one_customer"):
		err = Refuse("already_registered")
	case db.Violates(err, "id_number_has_one_customer"):
		err = Refuse("id_taken")
	}
	if err != nil {
		return Customer{}, fmt.Errorf("accounts: registering: %w", err)
	}
	return s.byID(ctx, id)
}

func (s *Service) free(ctx context.Context, tx *db.Tx, r Registration) error {
	var taken bool
	if err := tx.Get(ctx, &taken, sqlNumberTaken, string(r.Phone)); err != nil {
		return err
	}
	if taken {
		return Refuse("already_registered")
	}
	if err := tx.Get(ctx, &taken, sqlIDTaken, r.IDNumber); err != nil {
		return err
	}
	if taken {
		return Refuse("id_taken")
	}
	return nil
}

func (s *Service) open(ctx context.Context, tx *db.Tx, r Registration, tier Tier, id *int64) error {
	wallet, err := ledger.OpenAccount(ctx, tx, ledger.Wallet, s.country.Currency.Code, tier.rules(ledger.Open))
	if err != nil {
		return err
	}
	pin, err := s.pins.Open(ctx, tx, r.PIN)
	if err != nil {
		return err
	}
	if err := tx.Get(ctx, id, sqlNewCustomer, r.Ref, r.Name, r.IDNumber, r.Lang, r.Tier, int64(wallet), int64(pin), tx.Now, string(r.Phone)); err != nil {
		return err
	}
	name := "welcome"
	if r.PIN == "" {
		name = "welcome_till"
	}
	body, err := s.words.Fill(r.Lang, name, s.common(text.Holes{"name": ShortName(r.Name, noticeName)}))
	if err != nil {
		return err
	}
	return outbox.Write(ctx, tx, []outbox.Notice{{Key: fmt.Sprintf("welcome:%d", *id), To: r.Phone, Lang: r.Lang, Body: body, Priority: 2}})
}

// rules are a tier's limits as the wallet's own.
func (t Tier) rules(status ledger.Status) ledger.Rules {
	return ledger.Rules{Floor: ledger.Zero(), Ceiling: ledger.Bound(t.MaxBalance), DayLimit: ledger.Bound(t.PerDay), Status: status}
}

const sqlSetTier = `update customer set tier = $2 where id = $1`

// Raise gives a registered customer another tier: a till has seen the document.
func (s *Service) Raise(ctx context.Context, c Customer, tier int) error {
	t, err := s.tariff.tier(tier, s.day())
	if err != nil {
		return err
	}
	status := ledger.Open
	if c.Frozen {
		status = ledger.Frozen
	}
	return s.pool.InTx(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(ctx, sqlSetTier, c.ID, tier); err != nil {
			return err
		}
		return ledger.SetRules(ctx, tx, c.Wallet, t.rules(status))
	})
}

const sqlFreeze = `update customer set frozen = $2 where id = $1`

// Freeze stops a customer's wallet, in and out, or lets it go again.
func (s *Service) Freeze(ctx context.Context, c Customer, frozen bool) error {
	status := ledger.Open
	if frozen {
		status = ledger.Frozen
	}
	return s.pool.InTx(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(ctx, sqlFreeze, c.ID, frozen); err != nil {
			return err
		}
		return ledger.SetRules(ctx, tx, c.Wallet, c.Tier.rules(status))
	})
}

const (
	sqlLeaveNumber = `
with old as (delete from sim where customer = $1 returning msisdn, customer, since)
insert into sim_before (msisdn, customer, since, until) select msisdn, customer, since, $2 from old`
	sqlTakeNumber = `insert into sim (msisdn, customer, since) values ($1, $2, $3)`
)

// MoveNumber gives a customer another number; identity, wallet, PIN and history
// stay. Refusal already_registered when the new number has a wallet.
func (s *Service) MoveNumber(ctx context.Context, c Customer, to phone.Number) error {
	err := s.pool.InTx(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(ctx, sqlLeaveNumber, c.ID, tx.Now); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, sqlTakeNumber, string(to), c.ID, tx.Now); err != nil {
			return err
		}
		body, err := s.words.Fill(c.Lang, "number_changed", s.common(s.stamp(tx.Now)))
		if err != nil {
			return err
		}
		return outbox.Write(ctx, tx, []outbox.Notice{{Key: fmt.Sprintf("number:%d:%d", c.ID, tx.Now.UnixMicro()), To: to, Lang: c.Lang, Body: body, Priority: 1}})
	})
	if db.Violates(err, "number_has_one_customer") {
		err = Refuse("already_registered")
	}
	if err != nil {
		return fmt.Errorf("accounts: moving a number: %w", err)
	}
	return nil
}
