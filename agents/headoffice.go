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
)

// HeadOffice is a super-agent: it has agents, takes a share of what their tills
// earn, and moves float to them.
type HeadOffice struct {
	ID    int64  `db:"id"`
	Name  string `db:"name"`
	Share int64  `db:"share_bps"` // of its tills' commission, in basis points
}

func officeScope(id int64) string { return fmt.Sprintf("office:%d", id) }

// maxShare is the whole in basis points.
const maxShare = 10_000

// ErrNoHeadOffice says that there is none of that name.
var ErrNoHeadOffice = errors.New("agents: there is no head office of this name")

const (
	sqlNewOffice = `
insert into head_office (id, name, float, commission, share_bps, created_at) values (nextval('head_office_id'), $1, $2, $3, $4, $5) returning id`
	sqlOffice      = `select id, name, share_bps from head_office where name = $1`
	sqlSetShare    = `update head_office set share_bps = $2 where id = $1`
	sqlAgentOffice = `select a.id, coalesce(h.name, '') as office from agent a left join head_office h on h.id = a.head_office where a.name = $1 for update of a`
	sqlAttach      = `update agent set head_office = nullif($2::bigint, 0) where id = $1`
)

// CreateHeadOffice registers a super-agent with its float and commission
// accounts; share is what it takes of its tills' commission, in basis points.
// ErrExists when the name is taken.
func (s *Service) CreateHeadOffice(ctx context.Context, name string, share int64) (id int64, err error) {
	if name, err = checkTitle(name); err != nil {
		return 0, err
	}
	if err := checkShare(share); err != nil {
		return 0, err
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		float, commission, err := openPair(ctx, tx, s.accounts.Country().Currency.Code)
		if err != nil {
			return err
		}
		if err := tx.Get(ctx, &id, sqlNewOffice, name, int64(float), int64(commission), share, tx.Now); err != nil {
			return err
		}
		return s.Log(ctx, tx, LogEntry{Scope: officeScope(id), Action: "office_create", Subject: officeScope(id), After: fmt.Sprintf("%s, share %d", name, share)})
	})
	switch {
	case db.Violates(err, "head_office_has_one_name"):
		return 0, fmt.Errorf("%w: a head office called %s", ErrExists, name)
	case err != nil:
		return 0, fmt.Errorf("agents: creating a head office: %w", err)
	}
	return id, nil
}

func checkShare(share int64) error {
	if share < 0 || share > maxShare {
		return fmt.Errorf("agents: a share is 0 to %d basis points, not %d", maxShare, share)
	}
	return nil
}

// HeadOffice finds a head office by its name; ErrNoHeadOffice.
func (s *Service) HeadOffice(ctx context.Context, name string) (h HeadOffice, err error) {
	if name, err = checkTitle(name); err != nil {
		return HeadOffice{}, err
	}
	err = s.pool.Get(ctx, &h, sqlOffice, name)
	if errors.Is(err, sql.ErrNoRows) {
		return HeadOffice{}, fmt.Errorf("%w: %s", ErrNoHeadOffice, name)
	}
	if err != nil {
		return HeadOffice{}, fmt.Errorf("agents: head office %s: %w", name, err)
	}
	return h, nil
}

// SetShare changes what a head office takes of its tills' commission from now on.
func (s *Service) SetShare(ctx context.Context, office string, share int64) error {
	if err := checkShare(share); err != nil {
		return err
	}
	h, err := s.HeadOffice(ctx, office)
	if err != nil {
		return err
	}
	return s.pool.InTx(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(ctx, sqlSetShare, h.ID, share); err != nil {
			return err
		}
		return s.Log(ctx, tx, LogEntry{Scope: officeScope(h.ID), Action: "office_share", Subject: officeScope(h.ID), Before: fmt.Sprint(h.Share), After: fmt.Sprint(share)})
	})
}

// AttachAgent puts an agent under a head office, or, with "", under none.
func (s *Service) AttachAgent(ctx context.Context, agent, office string) error {
	agent, err := checkTitle(agent)
	if err != nil {
		return err
	}
	var h HeadOffice
	if office != "" {
		if h, err = s.HeadOffice(ctx, office); err != nil {
			return err
		}
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		var a struct {
			ID     int64  `db:"id"`
			Office string `db:"office"`
		}
		err := tx.Get(ctx, &a, sqlAgentOffice, agent)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("there is no agent called %s", agent)
		}
		if err != nil {
			return err
		}
		if a.Office == h.Name {
			return nil // it is so already
		}
		if _, err := tx.Exec(ctx, sqlAttach, a.ID, h.ID); err != nil {
			return err
		}
		return s.Log(ctx, tx, LogEntry{Scope: agentScope(a.ID), Action: "agent_attach", Subject: agentScope(a.ID), Before: a.Office, After: h.Name})
	})
	if err != nil {
		return fmt.Errorf("agents: attaching an agent: %w", err)
	}
	return nil
}

// TillState is a till as its agent or head office sees it.
type TillState struct {
	Till
	Float, Commission money.Amount
	Low               bool      // float is below the threshold
	LastAt            time.Time // of its newest entry; zero: none
}

type tillStateRow struct {
	tillRow
	FloatIs      int64        `db:"float_is"`
	CommissionIs int64        `db:"commission_is"`
	LastAt       sql.NullTime `db:"last_at"`
}

const sqlTillStates = `
select ` + tillFields + `, f.balance as float_is, c.balance as commission_is, e.at as last_at
from till t join agent a on a.id = t.agent left join head_office h on h.id = a.head_office
join account f on f.id = t.float join account c on c.id = t.commission
left join entry e on e.id = f.last_entry and f.last_entry <> 0
where case when $1 then a.head_office = $2 else a.id = $2 end order by a.name, t.number`

// Tills are those that an operator may know of, with their money: all of a head
// office's agents, or those of the operator's own agent. Refusals: frozen,
// not_allowed.
func (s *Service) Tills(ctx context.Context, o Operator) ([]TillState, error) {
	whole, of := o.Role == "head", o.Till.agent
	a := ActFloatView
	if whole {
		a, of = ActNetworkView, o.Till.office
	}
	if err := o.May(a); err != nil {
		return nil, err
	}
	var rows []tillStateRow
	if err := s.pool.Select(ctx, &rows, sqlTillStates, whole, of); err != nil {
		return nil, fmt.Errorf("agents: tills: %w", err)
	}
	list := make([]TillState, len(rows))
	for i, r := range rows {
		list[i] = TillState{Till: r.till(), Float: money.Amount(r.FloatIs), Commission: money.Amount(r.CommissionIs), Low: r.FloatIs < r.Low, LastAt: r.LastAt.Time.UTC()}
		if !r.LastAt.Valid {
			list[i].LastAt = time.Time{}
		}
	}
	return list, nil
}

// ErrOtherNetwork says that a till or an operator is not the asker's business.
var ErrOtherNetwork = errors.New("agents: this is not a till of yours")

// reaches tells whether float may go from here to there: within one agent, or
// within one head office.
func (t Till) reaches(to Till) bool {
	return t.agent != 0 && t.agent == to.agent || t.office != 0 && t.office == to.office
}

// place is how a memo names a till; a head office goes by its name.
func (t Till) place() string {
	if t.Number == "" {
		return t.Name
	}
	return t.Number
}

// called is how notices name it.
func (t Till) called() string {
	if t.Number == "" {
		return accounts.ShortName(t.Name, tillName)
	}
	return t.Number
}

const sqlOfficeTill = `
select '' as number, name as till_name, '' as agent, false as closed, float, commission, 0 as agent_id, id as office, 0 as share, 0 as office_commission, 0 as low
from head_office where name = $1`

// counter finds what has float: an open till by its number, or a head office by
// its name. Refusals as in Till; ErrNoHeadOffice.
func (s *Service) counter(ctx context.Context, place string) (Till, error) {
	if strings.Trim(place, "0123456789") == "" {
		return s.Till(ctx, place)
	}
	h, err := s.HeadOffice(ctx, place)
	if err != nil {
		return Till{}, err
	}
	var r tillRow
	if err := s.pool.Get(ctx, &r, sqlOfficeTill, h.Name); err != nil {
		return Till{}, fmt.Errorf("agents: head office %s: %w", h.Name, err)
	}
	return r.till(), nil
}

const sqlHeadsOf = `select msisdn, lang from operator where head_office = $1 and not frozen order by id limit 5`

// operatorsAt are those who are told of a till's or a head office's float.
func (s *Service) operatorsAt(ctx context.Context, t Till) ([]told, error) {
	if t.Number != "" {
		return s.operatorsOf(ctx, t.Number)
	}
	var o []told
	if err := s.pool.Select(ctx, &o, sqlHeadsOf, t.office); err != nil {
		return nil, fmt.Errorf("agents: operators of %s: %w", t.Name, err)
	}
	return o, nil
}

// split divides what a till's entry has earned: half a cent goes to the head office.
func (t Till) split(earned money.Amount) (till, office money.Amount) {
	if t.office == 0 || t.share == 0 {
		return earned, 0
	}
	office = money.Portion(earned, t.share, maxShare)
	return earned - office, office
}

// withCommission adds what a till and its head office earn by an entry.
func (s *Service) withCommission(postings []ledger.Posting, t Till, earned money.Amount) []ledger.Posting {
	till, office := t.split(earned)
	for _, x := range []struct {
		to ledger.AccountID
		a  money.Amount
	}{{t.commission, till}, {t.officeCommission, office}} {
		if x.a > 0 {
			postings = append(postings, ledger.Posting{Why: ledger.Commission, Debit: s.accounts.House().CommissionExpense, Credit: x.to, Amount: x.a})
		}
	}
	return postings
}
