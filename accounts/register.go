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

// ErrRegistrationReused says that a registration's ref stands for another person.
var ErrRegistrationReused = errors.New("accounts: this ref registered somebody else")

const (
	sqlByRegistration = `select id, id_number from customer where ref = $1`
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
// The same Ref again gives the customer of the first time, and
// ErrRegistrationReused when that has another document.
func (s *Service) Register(ctx context.Context, r Registration) (Customer, error) {
	if r.Ref == "" || r.Phone == "" {
		return Customer{}, errors.New("accounts: a registration needs a ref and a phone number")
	}
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
	tier, err := s.tier(ctx, r.Tier)
	if err != nil {
		return Customer{}, err
	}
	id, err := s.register(ctx, r, tier)
	if _, refused := errors.AsType[Refusal](err); refused || db.Violates(err, "") {
		// Taken since we looked, perhaps by this very registration, tried twice at once.
		id, err = s.register(ctx, r, tier)
	}
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
	return s.ByID(ctx, id)
}

func (s *Service) register(ctx context.Context, r Registration, tier Tier) (id int64, err error) {
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		var before struct {
			ID       int64  `db:"id"`
			IDNumber string `db:"id_number"`
		}
		err := tx.Get(ctx, &before, sqlByRegistration, r.Ref)
		switch {
		case err == nil && before.IDNumber != r.IDNumber:
			return ErrRegistrationReused
		case !errors.Is(err, sql.ErrNoRows):
			id = before.ID
			return err // nil: the same registration again
		}
		if err := s.free(ctx, tx, r); err != nil {
			return err
		}
		id, err = s.open(ctx, tx, r, tier)
		return err
	})
	return id, err
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

func (s *Service) open(ctx context.Context, tx *db.Tx, r Registration, tier Tier) (id int64, err error) {
	wallet, err := ledger.OpenAccount(ctx, tx, ledger.Wallet, s.country.Currency.Code, tier.rules(false))
	if err != nil {
		return 0, err
	}
	pin, err := s.pins.Open(ctx, tx, r.PIN)
	if err != nil {
		return 0, err
	}
	if err := tx.Get(ctx, &id, sqlNewCustomer, r.Ref, r.Name, r.IDNumber, r.Lang, r.Tier, int64(wallet), int64(pin), tx.Now, string(r.Phone)); err != nil {
		return 0, err
	}
	name := "welcome"
	if r.PIN == "" {
		name = "welcome_till"
	}
	h := text.Holes{"name": ShortName(r.Name, noticeName)}
	return id, s.notify(ctx, tx, fmt.Sprintf("welcome:%d", id), r.Phone, r.Lang, name, h, outbox.Rest)
}

// rules are a tier's limits as the wallet's own.
func (t Tier) rules(frozen bool) ledger.Rules {
	status := ledger.Open
	if frozen {
		status = ledger.Frozen
	}
	return ledger.Rules{Floor: ledger.Zero(), Ceiling: ledger.Bound(t.MaxBalance), DayLimit: ledger.Bound(t.PerDay), Status: status}
}

// Both lock the customer, so that raising and freezing at the same moment see
// each other, whatever the caller read before.
const (
	sqlSetTier = `update customer set tier = $2 where id = $1 returning frozen`
	sqlFreeze  = `update customer set frozen = $2 where id = $1 returning tier`
)

// Raise gives a registered customer another tier: a till has seen the document.
func (s *Service) Raise(ctx context.Context, c Customer, tier int) error {
	t, err := s.tier(ctx, tier)
	if err != nil {
		return err
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		var frozen bool
		if err := tx.Get(ctx, &frozen, sqlSetTier, c.ID, tier); err != nil {
			return err
		}
		return ledger.SetRules(ctx, tx, c.Wallet, t.rules(frozen))
	})
	if err != nil {
		return fmt.Errorf("accounts: another tier: %w", err)
	}
	return nil
}

// Freeze stops a customer's wallet, in and out, or lets it go again.
func (s *Service) Freeze(ctx context.Context, c Customer, frozen bool) error {
	return s.pool.InTx(ctx, func(tx *db.Tx) error { return s.FreezeIn(ctx, tx, c, frozen) })
}

// FreezeIn does the same in the caller's transaction.
func (s *Service) FreezeIn(ctx context.Context, tx *db.Tx, c Customer, frozen bool) error {
	var tier int
	if err := tx.Get(ctx, &tier, sqlFreeze, c.ID, frozen); err != nil {
		return fmt.Errorf("accounts: freezing: %w", err)
	}
	t, err := s.tier(ctx, tier)
	if err == nil {
		err = ledger.SetRules(ctx, tx, c.Wallet, t.rules(frozen))
	}
	if err != nil {
		return fmt.Errorf("accounts: freezing: %w", err)
	}
	return nil
}

const (
	sqlHoldCustomer = `select id from customer where id = $1 for update`
	sqlLeaveNumber  = `
with old as (delete from sim where customer = $1 returning msisdn, customer, since)
insert into sim_before (msisdn, customer, since, until) select msisdn, customer, since, $2 from old`
	sqlTakeNumber = `insert into sim (msisdn, customer, since) values ($1, $2, $3)`
	sqlMovedSIM   = `update pin set moved_at = $2 where id = $1`
)

// MoveNumber gives a customer another number; identity, wallet, PIN and history
// stay. For a while, the brake sim_swap holds larger payments and changes of the
// PIN back. Refusal already_registered when the new number has a wallet, be it the
// customer's own.
func (s *Service) MoveNumber(ctx context.Context, c Customer, to phone.Number) error {
	if to == "" {
		return errors.New("accounts: moving a number: there is no new one")
	}
	err := s.pool.InTx(ctx, func(tx *db.Tx) error {
		var id int64
		if err := tx.Get(ctx, &id, sqlHoldCustomer, c.ID); err != nil {
			return err
		}
		var taken bool
		if err := tx.Get(ctx, &taken, sqlNumberTaken, string(to)); err != nil {
			return err
		}
		if taken {
			return Refuse("already_registered")
		}
		if _, err := tx.Exec(ctx, sqlLeaveNumber, c.ID, tx.Now); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, sqlTakeNumber, string(to), c.ID, tx.Now); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, sqlMovedSIM, int64(c.PIN), tx.Now); err != nil {
			return err
		}
		key := fmt.Sprintf("number:%d:%d", c.ID, tx.Now.UnixMicro())
		return s.notify(ctx, tx, key, to, c.Lang, "number_changed", s.stamp(tx.Now), outbox.Receipt)
	})
	if db.Violates(err, "number_has_one_customer") {
		err = Refuse("already_registered")
	}
	if err != nil {
		return fmt.Errorf("accounts: moving a number: %w", err)
	}
	return nil
}

// SwappedSIM notes that a customer's number is on another SIM card now, as the
// network says: the brake sim_swap holds as after MoveNumber.
func (s *Service) SwappedSIM(ctx context.Context, c Customer) error {
	return s.pool.InTx(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(ctx, sqlMovedSIM, int64(c.PIN), tx.Now)
		if err == nil && n != 1 {
			err = sql.ErrNoRows
		}
		if err != nil {
			return fmt.Errorf("accounts: noting another SIM: %w", err)
		}
		return nil
	})
}
