package accounts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/internal/phone"
	"tuma/internal/text"
)

// Customer is a person with a wallet, as reached at a number.
type Customer struct {
	ID       int64
	Phone    phone.Number
	Name     string
	IDNumber string
	Lang     string
	Tier     Tier
	PIN      PINID
	PINState PINState
	MovedAt  time.Time // when the SIM was changed, ResetAt when the PIN was taken away; zero for never
	ResetAt  time.Time
	Frozen   bool
	Wallet   ledger.AccountID

	beside *Customer // who was read with him
}

// ErrNoCustomer says that nobody is registered at a number.
var ErrNoCustomer = errors.New("accounts: nobody is registered at this number")

type customerRow struct {
	ID       int64        `db:"id"`
	MSISDN   phone.Number `db:"msisdn"`
	Name     string       `db:"name"`
	IDNumber string       `db:"id_number"`
	Lang     string       `db:"lang"`
	Tier     int          `db:"tier"`
	Frozen   bool         `db:"frozen"`
	Wallet   int64        `db:"wallet"`
	PIN      int64        `db:"pin"`
	MovedAt  time.Time    `db:"moved_at"`
	ResetAt  time.Time    `db:"reset_at"`
	pinRow
}

const sqlCustomer = `
select c.id, s.msisdn, c.name, c.id_number, c.lang, c.tier, c.frozen, c.wallet, c.pin, p.key_id, p.tries,
    coalesce(p.moved_at, 'epoch') as moved_at, coalesce(p.reset_at, 'epoch') as reset_at
from sim s join customer c on c.id = s.customer join pin p on p.id = c.pin`

// ByPhone finds the customer at a number, ErrNoCustomer when there is none.
func (s *Service) ByPhone(ctx context.Context, n phone.Number) (Customer, error) {
	return s.customer(ctx, sqlCustomer+` where s.msisdn = $1`, string(n))
}

// ByPhoneBeside is ByPhone, and reads in the same look who is at another number, if
// anybody is: the customer is about to look him up or to pay him. What comes of
// that is decided by the book, as ever.
func (s *Service) ByPhoneBeside(ctx context.Context, n, other phone.Number) (Customer, error) {
	if other == "" || other == n {
		return s.ByPhone(ctx, n)
	}
	list, err := s.customers(ctx, sqlCustomer+` where s.msisdn in ($1, $2)`, string(n), string(other))
	if err != nil {
		return Customer{}, err
	}
	at := func(n phone.Number) int { return slices.IndexFunc(list, func(c Customer) bool { return c.Phone == n }) }
	i, j := at(n), at(other)
	if i < 0 {
		return Customer{}, ErrNoCustomer
	}
	if j >= 0 {
		list[i].beside = &list[j]
	}
	return list[i], nil
}

// ByID finds the customer with a number of ours; ErrNoCustomer.
func (s *Service) ByID(ctx context.Context, id int64) (Customer, error) {
	return s.customer(ctx, sqlCustomer+` where c.id = $1`, id)
}

func (s *Service) customer(ctx context.Context, query string, key any) (Customer, error) {
	list, err := s.customers(ctx, query, key)
	if err == nil && len(list) == 0 {
		err = ErrNoCustomer
	}
	if err != nil {
		return Customer{}, err
	}
	return list[0], nil
}

func (s *Service) customers(ctx context.Context, query string, keys ...any) ([]Customer, error) {
	var rows []customerRow
	if err := s.pool.Select(ctx, &rows, query, keys...); err != nil {
		return nil, fmt.Errorf("accounts: reading a customer: %w", err)
	}
	list := make([]Customer, len(rows))
	for i, r := range rows {
		tier, err := s.tier(ctx, r.Tier)
		if err != nil {
			return nil, err
		}
		list[i] = r.customer(tier)
	}
	return list, nil
}

func (r customerRow) customer(tier Tier) Customer {
	return Customer{
		ID: r.ID, Phone: r.MSISDN, Name: r.Name, IDNumber: r.IDNumber, Lang: r.Lang, Tier: tier, Frozen: r.Frozen,
		Wallet: ledger.AccountID(r.Wallet), PIN: PINID(r.PIN), PINState: r.state(), MovedAt: unlessNever(r.MovedAt), ResetAt: unlessNever(r.ResetAt),
	}
}

// unlessNever is an instant of the database, zero for the epoch.
func unlessNever(at time.Time) time.Time {
	if at.Unix() == 0 {
		return time.Time{}
	}
	return at.UTC()
}

const sqlSetLang = `update customer set lang = $2 where id = $1`

// SetLang changes the language of a customer's menu and notices; refusal bad_lang.
func (s *Service) SetLang(ctx context.Context, c Customer, lang string) error {
	if err := s.CheckLang(lang); err != nil {
		return err
	}
	return s.pool.InTx(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, sqlSetLang, c.ID, lang)
		return err
	})
}

// CheckLang refuses a language that the country does not have.
func (s *Service) CheckLang(lang string) error {
	if slices.Contains(s.country.Languages, lang) {
		return nil
	}
	return Refuse("bad_lang")
}

// Bounds of what people are called.
const (
	minName = 3
	maxName = 30
	minID   = 5
	maxID   = 12
)

// CheckName gives a name as it is kept: upper case, single spaces, characters
// that an SMS can carry. Refusal bad_name: digits, signs, under 3 letters, over
// 30 characters, a script that an SMS has no letters for.
func (s *Service) CheckName(name string) (string, error) {
	if len(name) > 4*maxName {
		return "", Refuse("bad_name")
	}
	letters := 0
	for _, r := range name {
		switch {
		case unicode.IsLetter(r):
			letters++
		case strings.ContainsRune(" '-.‘’", r), unicode.Is(unicode.Mn, r): // a mark belongs to the letter before it
		default:
			return "", Refuse("bad_name")
		}
	}
	// Upper case first: GSM 7-bit has à and è, but not À and È. The second time
	// for what GSM7 spells out in two letters.
	name = strings.ToUpper(text.GSM7(strings.ToUpper(name)))
	name = strings.Join(strings.Fields(name), " ")
	if n := len([]rune(name)); n < minName || n > maxName || letters < minName || strings.Contains(name, "?") {
		return "", Refuse("bad_name")
	}
	return name, nil
}

// CheckID gives the number of an identity document as it is kept: upper case
// letters and digits, 5 to 12. Refusal bad_id.
func (s *Service) CheckID(id string) (string, error) {
	id = strings.ToUpper(strings.TrimSpace(id))
	if len(id) < minID || len(id) > maxID || strings.Trim(id, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" || strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
		return "", Refuse("bad_id")
	}
	return id, nil
}
