package agents

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/internal/phone"
)

// Till is an agent's outlet, known to customers by its number.
type Till struct {
	Number, Name, Agent string
	Closed              bool
	float, commission   ledger.AccountID
}

// tillDigits is how long a till's number is.
const tillDigits = 6

type tillRow struct {
	Number     string `db:"number"`
	Name       string `db:"till_name"`
	Agent      string `db:"agent"`
	Closed     bool   `db:"closed"`
	Float      int64  `db:"float"`
	Commission int64  `db:"commission"`
}

func (r tillRow) till() Till {
	return Till{Number: r.Number, Name: r.Name, Agent: r.Agent, Closed: r.Closed, float: ledger.AccountID(r.Float), commission: ledger.AccountID(r.Commission)}
}

const (
	tillFields = `t.number, t.name as till_name, a.name as agent, t.closed, t.float, t.commission`
	sqlTill    = `select ` + tillFields + ` from till t join agent a on a.id = t.agent where t.number = $1`
)

func isTillNumber(s string) bool {
	return len(s) == tillDigits && strings.Trim(s, "0123456789") == ""
}

// Till finds a till that is open for business. Refusals: bad_till (not six
// digits), till_unknown, till_closed.
func (s *Service) Till(ctx context.Context, number string) (Till, error) {
	if !isTillNumber(number) {
		return Till{}, accounts.Refuse("bad_till")
	}
	var r tillRow
	err := s.pool.Get(ctx, &r, sqlTill, number)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Till{}, accounts.Refuse("till_unknown")
	case err != nil:
		return Till{}, fmt.Errorf("agents: till %s: %w", number, err)
	case r.Closed:
		return Till{}, accounts.Refuse("till_closed")
	}
	return r.till(), nil
}

const (
	sqlAgentID = `select id from agent where name = $1`
	sqlNewTill = `
insert into till (number, agent, name, float, commission, created_at)
values (coalesce(nullif($6, ''), nextval('till_number')::text), $1, $2, $3, $4, $5) returning number`
)

// CreateTill opens a till of an agent, with its float and commission accounts.
// wanted is its number, "" for the next free one; ErrExists when it is taken.
func (s *Service) CreateTill(ctx context.Context, agent, name, wanted string) (number string, err error) {
	if name, err = checkTitle(name); err != nil {
		return "", err
	}
	if agent, err = checkTitle(agent); err != nil {
		return "", err
	}
	if wanted != "" && !isTillNumber(wanted) {
		return "", fmt.Errorf("agents: a till's number has %d digits, not %.60q", tillDigits, wanted)
	}
	for {
		number, err = s.createTill(ctx, agent, name, wanted)
		taken := db.Violates(err, "till_pkey")
		switch {
		case taken && wanted == "":
			continue // the next free number was given by hand; there is another after it
		case taken:
			return "", fmt.Errorf("%w: a till with the number %s", ErrExists, wanted)
		case err != nil:
			return "", fmt.Errorf("agents: creating a till: %w", err)
		}
		return number, nil
	}
}

func (s *Service) createTill(ctx context.Context, agent, name, wanted string) (number string, err error) {
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		var id int64
		err := tx.Get(ctx, &id, sqlAgentID, agent)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("there is no agent called %s", agent)
		}
		if err != nil {
			return err
		}
		currency := s.accounts.Country().Currency.Code
		float, err := ledger.OpenAccount(ctx, tx, ledger.Float, currency, ledger.Rules{Floor: ledger.Zero()})
		if err != nil {
			return err
		}
		commission, err := ledger.OpenAccount(ctx, tx, ledger.CommissionEarned, currency, ledger.Rules{Floor: ledger.Zero()})
		if err != nil {
			return err
		}
		err = tx.Get(ctx, &number, sqlNewTill, id, name, int64(float), int64(commission), tx.Now, wanted)
		if err == nil && !isTillNumber(number) {
			err = fmt.Errorf("the numbers of %d digits are used up", tillDigits)
		}
		return err
	})
	return number, err
}

// Operator is a person at a till.
type Operator struct {
	ID                         int64
	Phone                      phone.Number
	Name, IDNumber, Lang, Role string
	Till                       Till
	PIN                        accounts.PINID
	PINState                   accounts.PINState
	Frozen                     bool
}

// ErrNoOperator says that nobody at a till has a number.
var ErrNoOperator = errors.New("agents: no operator has this number")

type operatorRow struct {
	ID       int64        `db:"id"`
	MSISDN   phone.Number `db:"msisdn"`
	Name     string       `db:"name"`
	IDNumber string       `db:"id_number"`
	Lang     string       `db:"lang"`
	Role     string       `db:"role"`
	Frozen   bool         `db:"frozen"`
	PIN      int64        `db:"pin"`
	tillRow
}

const sqlOperator = `
select o.id, o.msisdn, o.name, o.id_number, o.lang, o.role, o.frozen, o.pin, ` + tillFields + `
from operator o join till t on t.number = o.till join agent a on a.id = t.agent where o.msisdn = $1`

// ByPhone finds the operator with a number, ErrNoOperator when there is none.
func (s *Service) ByPhone(ctx context.Context, n phone.Number) (Operator, error) {
	var r operatorRow
	err := s.pool.Get(ctx, &r, sqlOperator, string(n))
	if errors.Is(err, sql.ErrNoRows) {
		return Operator{}, ErrNoOperator
	}
	if err != nil {
		return Operator{}, fmt.Errorf("agents: reading an operator: %w", err)
	}
	o := Operator{ID: r.ID, Phone: r.MSISDN, Name: r.Name, IDNumber: r.IDNumber, Lang: r.Lang, Role: r.Role, Frozen: r.Frozen, Till: r.till(), PIN: accounts.PINID(r.PIN)}
	o.PINState, err = s.accounts.PINs().State(ctx, o.PIN)
	return o, err
}

const sqlOperatorLang = `update operator set lang = $2 where id = $1`

// SetLang changes the language of an operator's menu and notices; refusal bad_lang.
func (s *Service) SetLang(ctx context.Context, o Operator, lang string) error {
	if err := s.accounts.CheckLang(lang); err != nil {
		return err
	}
	return s.pool.InTx(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, sqlOperatorLang, o.ID, lang)
		return err
	})
}

// NewOperator is a person to be put at a till.
type NewOperator struct {
	Till, Name, IDNumber, Lang, Role string
	Phone                            phone.Number
	PIN                              accounts.SealedPIN // "": chosen with the ID number on the first dial
}

const sqlNewOperator = `
insert into operator (id, msisdn, till, name, id_number, role, lang, pin, created_at)
values (nextval('operator_id'), $1, $2, $3, $4, $5, $6, $7, $8)`

// CreateOperator puts a person at a till. ErrExists when the number is an
// operator's; refusals bad_name, bad_id, bad_lang, then as in Till.
func (s *Service) CreateOperator(ctx context.Context, n NewOperator) error {
	if n.Phone == "" {
		return errors.New("agents: an operator has a phone number")
	}
	name, err := s.accounts.CheckName(n.Name)
	if err != nil {
		return err
	}
	id, err := s.accounts.CheckID(n.IDNumber)
	if err != nil {
		return err
	}
	if err := s.accounts.CheckLang(n.Lang); err != nil {
		return err
	}
	if _, err := s.Till(ctx, n.Till); err != nil {
		return err
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		pin, err := s.accounts.PINs().Open(ctx, tx, n.PIN)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, sqlNewOperator, string(n.Phone), n.Till, name, id, n.Role, n.Lang, int64(pin), tx.Now)
		return err
	})
	switch {
	case db.Violates(err, "number_has_one_operator"):
		return fmt.Errorf("%w: an operator with the number %s", ErrExists, n.Phone)
	case db.Violates(err, "role_is_known"):
		return fmt.Errorf("agents: a role is owner, assistant or auditor, not %.60q", n.Role)
	case err != nil:
		return fmt.Errorf("agents: creating an operator: %w", err)
	}
	return nil
}

// mayServe refuses an operator who cannot move money now: frozen, till_closed,
// not_allowed.
func mayServe(o Operator) error {
	switch {
	case o.Frozen:
		return accounts.Refuse("frozen")
	case o.Till.Closed:
		return accounts.Refuse("till_closed")
	case o.Role == "auditor":
		return accounts.Refuse("not_allowed")
	}
	return nil
}

// midnight is when today began in the country.
func (s *Service) midnight() time.Time {
	zone := s.accounts.Country().Zone
	y, m, d := s.accounts.Now().In(zone).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, zone)
}
