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
	"tuma/internal/money"
	"tuma/internal/phone"
)

// Till is an agent's outlet, known to customers by its number. That of a
// head-office operator has no number, and the accounts of the head office.
type Till struct {
	Number, Name, Agent string
	Closed              bool // it is closed or frozen, or its agent is frozen
	float, commission   ledger.AccountID
	agent, office       int64            // 0: none
	share               int64            // of its commission that goes to the head office, in basis points
	officeCommission    ledger.AccountID // where that goes
	low                 money.Amount     // float below it warns; 0: never
}

// tillDigits is how long a till's number is.
const tillDigits = 6

type tillRow struct {
	Number           string `db:"number"`
	Name             string `db:"till_name"`
	Agent            string `db:"agent"`
	Closed           bool   `db:"closed"`
	Float            int64  `db:"float"`
	Commission       int64  `db:"commission"`
	AgentID          int64  `db:"agent_id"`
	Office           int64  `db:"office"`
	Share            int64  `db:"share"`
	OfficeCommission int64  `db:"office_commission"`
	Low              int64  `db:"low"`
}

func (r tillRow) till() Till {
	return Till{
		Number: r.Number, Name: r.Name, Agent: r.Agent, Closed: r.Closed, float: ledger.AccountID(r.Float), commission: ledger.AccountID(r.Commission),
		agent: r.AgentID, office: r.Office, share: r.Share, officeCommission: ledger.AccountID(r.OfficeCommission), low: money.Amount(r.Low),
	}
}

const (
	tillFields = `coalesce(t.number, '') as number, coalesce(t.name, h.name) as till_name, coalesce(a.name, '') as agent,
       coalesce(t.closed or t.frozen or a.frozen, false) as closed, coalesce(t.float, h.float) as float, coalesce(t.commission, h.commission) as commission,
       coalesce(a.id, 0) as agent_id, coalesce(h.id, 0) as office, coalesce(h.share_bps, 0) as share, coalesce(h.commission, 0) as office_commission,
       coalesce(t.low_float, 0) as low`
	sqlTills = `select ` + tillFields + ` from till t join agent a on a.id = t.agent left join head_office h on h.id = a.head_office`
	sqlTill  = sqlTills + ` where t.number = $1`
)

func isTillNumber(s string) bool {
	return len(s) == tillDigits && strings.Trim(s, "0123456789") == ""
}

// Till finds a till that is open for business. Refusals: bad_till (not six
// digits), till_unknown, till_closed.
func (s *Service) Till(ctx context.Context, number string) (Till, error) {
	t, err := s.AnyTill(ctx, number)
	if err == nil && t.Closed {
		return Till{}, accounts.Refuse("till_closed")
	}
	return t, err
}

// AnyTill finds a till, a closed one, too.
func (s *Service) AnyTill(ctx context.Context, number string) (Till, error) {
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
		float, commission, err := openPair(ctx, tx, currency)
		if err != nil {
			return err
		}
		err = tx.Get(ctx, &number, sqlNewTill, id, name, int64(float), int64(commission), tx.Now, wanted)
		if err == nil && !isTillNumber(number) {
			err = fmt.Errorf("the numbers of %d digits are used up", tillDigits)
		}
		if err != nil {
			return err
		}
		return s.Log(ctx, tx, LogEntry{Scope: agentScope(id), Action: "till_create", Subject: "till:" + number, After: name})
	})
	return number, err
}

// openPair opens the accounts of a till or a head office.
func openPair(ctx context.Context, tx *db.Tx, currency string) (float, commission ledger.AccountID, err error) {
	if float, err = ledger.OpenAccount(ctx, tx, ledger.Float, currency, tillRules(false)); err != nil {
		return 0, 0, err
	}
	commission, err = ledger.OpenAccount(ctx, tx, ledger.CommissionEarned, currency, tillRules(false))
	return float, commission, err
}

// tillRules are those of both accounts of a till.
func tillRules(frozen bool) ledger.Rules {
	r := ledger.Rules{Floor: ledger.Zero()}
	if frozen {
		r.Status = ledger.Frozen
	}
	return r
}

// Operator is a person at a till, or of a head office.
type Operator struct {
	ID                         int64
	Phone                      phone.Number
	Name, IDNumber, Lang, Role string
	Till                       Till
	PIN                        accounts.PINID
	PINState                   accounts.PINState
	Frozen                     bool
	Hours                      *Hours // nil: always
	OffHours                   bool   // when he was read it was outside his hours
}

// Hours are when an operator may move money: minutes of the day in the
// country's zone, From included, To not. To before From is over midnight.
type Hours struct{ From, To int }

func (h Hours) on(minute int) bool {
	if h.From < h.To {
		return h.From <= minute && minute < h.To
	}
	return h.From <= minute || minute < h.To
}

// ErrNoOperator says that nobody at a till has a number.
var ErrNoOperator = errors.New("agents: no operator has this number")

type operatorRow struct {
	ID       int64         `db:"id"`
	MSISDN   phone.Number  `db:"msisdn"`
	Name     string        `db:"name"`
	IDNumber string        `db:"id_number"`
	Lang     string        `db:"lang"`
	Role     string        `db:"role"`
	Frozen   bool          `db:"frozen"`
	PIN      int64         `db:"pin"`
	From     sql.NullInt64 `db:"hours_from"`
	To       sql.NullInt64 `db:"hours_to"`
	tillRow
}

const (
	sqlOperators = `
select o.id, o.msisdn, o.name, o.id_number, o.lang, o.role, o.frozen, o.pin, o.hours_from, o.hours_to, ` + tillFields + `
from operator o left join till t on t.number = o.till left join agent a on a.id = t.agent left join head_office h on h.id = coalesce(o.head_office, a.head_office)`
	sqlOperator = sqlOperators + ` where o.msisdn = $1`
)

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
	o := s.operator(r)
	o.PINState, err = s.accounts.PINs().State(ctx, o.PIN)
	return o, err
}

// operator makes one of a row, without the state of the PIN.
func (s *Service) operator(r operatorRow) Operator {
	o := Operator{ID: r.ID, Phone: r.MSISDN, Name: r.Name, IDNumber: r.IDNumber, Lang: r.Lang, Role: r.Role, Frozen: r.Frozen, Till: r.till(), PIN: accounts.PINID(r.PIN)}
	if r.From.Valid && r.To.Valid {
		o.Hours = &Hours{int(r.From.Int64), int(r.To.Int64)}
		now := s.accounts.Now().In(s.accounts.Country().Zone)
		o.OffHours = !o.Hours.on(now.Hour()*60 + now.Minute())
	}
	return o
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

// NewOperator is a person to be put at a till, or, with the role head, into a
// head office.
type NewOperator struct {
	Till, Name, IDNumber, Lang, Role string
	Office                           string // the head office's name, with the role head alone
	Phone                            phone.Number
	PIN                              accounts.SealedPIN // "": chosen with the ID number on the first dial
}

const sqlNewOperator = `
insert into operator (id, msisdn, till, head_office, name, id_number, role, lang, pin, created_at)
values (nextval('operator_id'), $1, nullif($2, ''), nullif($3::bigint, 0), $4, $5, $6, $7, $8, $9)`

// CreateOperator puts a person at a till or into a head office. ErrExists when
// the number is an operator's; refusals bad_name, bad_id, bad_lang, then as in
// Till.
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
	var office HeadOffice
	scope := ""
	if n.Office != "" {
		office, err = s.HeadOffice(ctx, n.Office)
		scope = officeScope(office.ID)
	} else {
		var t Till
		t, err = s.Till(ctx, n.Till)
		scope = t.scope()
	}
	if err != nil {
		return err
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		pin, err := s.accounts.PINs().Open(ctx, tx, n.PIN)
		if err != nil {
			return err
		}
		if _, err = tx.Exec(ctx, sqlNewOperator, string(n.Phone), n.Till, office.ID, name, id, n.Role, n.Lang, int64(pin), tx.Now); err != nil {
			return err
		}
		return s.Log(ctx, tx, LogEntry{Scope: scope, Action: "operator_create", Subject: "operator:" + string(n.Phone), After: n.Role + " at " + n.Till + office.Name})
	})
	switch {
	case db.Violates(err, "number_has_one_operator"):
		return fmt.Errorf("%w: an operator with the number %s", ErrExists, n.Phone)
	case db.Violates(err, "role_is_known"):
		return fmt.Errorf("agents: a role is owner, assistant or auditor, in a head office head, not %.60q", n.Role)
	case db.Violates(err, "operator_has_one_place"):
		return errors.New("agents: an owner, assistant or auditor is at a till, and a head in a head office")
	case err != nil:
		return fmt.Errorf("agents: creating an operator: %w", err)
	}
	return nil
}

// midnight is when today began in the country.
func (s *Service) midnight() time.Time {
	zone := s.accounts.Country().Zone
	y, m, d := s.accounts.Now().In(zone).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, zone)
}
