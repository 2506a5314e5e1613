package agents

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/internal/money"
)

// model is a bank that a child could keep: who has how much, who sent how much
// today, who is frozen. It prices with a loop over the published bands and
// knows nothing of how the real one works.
type model struct {
	rt     *rapid.T
	w      *world
	tariff accounts.Tariff
	people []*person
	tills  []*shop
	issued money.Amount
	fees   money.Amount // with the tax in them
	air    money.Amount
	owed   money.Amount // commissions
	posted []func()     // the payments that went through, to be asked again

	office       Operator // of the head office that takes a quarter
	officeEarned money.Amount
	made         []*made
}

// made is a deposit, to be disputed.
type made struct {
	code           string
	at             time.Time
	to             *person
	by             *shop
	a, till, owner money.Amount // owner: the head office's part of the commission
	disputed       bool
}

type person struct {
	number    string
	tier      accounts.Tier
	has, sent money.Amount
	day       time.Time // of sent
	frozen    bool
	wallet    ledger.AccountID
}

type shop struct {
	number      string
	has, earned money.Amount
	real        Operator
}

func (m *model) cost(sort, kind string, a money.Amount) (cost, least, most money.Amount) {
	found := false
	for _, b := range m.tariff.Bands {
		if b.Sort != sort || b.Kind != kind {
			continue
		}
		if least == 0 {
			least = money.Amount(b.Low)
		}
		most = money.Amount(b.High)
		if !found && a <= most {
			cost, found = money.Amount(b.Amount), true
		}
	}
	if a < least || a > most {
		cost = 0
	}
	return cost, least, most
}

// out is why money may not leave a wallet, "" when it may.
func (m *model) out(p *person, kind string, a money.Amount) string {
	fee, least, most := m.cost("fee", kind, a)
	switch {
	case a < least:
		return "below_min"
	case a > most || a > p.tier.PerEntry:
		return "over_entry"
	case p.frozen:
		return "payer_frozen"
	case p.has < a+fee:
		return "insufficient"
	case m.sent(p)+a > p.tier.PerDay:
		return "over_day"
	}
	return ""
}

func (m *model) sent(p *person) money.Amount {
	if day := m.today(); !p.day.Equal(day) {
		p.day, p.sent = day, 0
	}
	return p.sent
}

func (m *model) today() time.Time {
	y, month, d := m.w.clock.now().In(nairobi).Date()
	return time.Date(y, month, d, 0, 0, 0, 0, time.UTC)
}

func (m *model) paid(p *person, kind string, a money.Amount) money.Amount {
	fee, _, _ := m.cost("fee", kind, a)
	m.sent(p)
	p.has, p.sent, m.fees = p.has-a-fee, p.sent+a, m.fees+fee
	return fee
}

// fresh reads a customer as a way in would, at every step.
func (m *model) fresh(p *person) accounts.Customer {
	c, err := m.w.accounts.ByPhone(m.rt.Context(), number(m.rt, p.number))
	m.must(err)
	return c
}

func (m *model) must(err error) {
	if err != nil {
		m.rt.Fatal(err)
	}
}

func (m *model) ref() string {
	m.w.n++
	return fmt.Sprint("bank:", m.w.n)
}

// wants compares what happened with what the model says, "" for no refusal.
func (m *model) wants(what string, err error, refusal string) bool {
	r, refused := errors.AsType[accounts.Refusal](err)
	if refusal == "" && err != nil || refusal != "" && (!refused || r.Key != refusal) {
		m.rt.Fatalf("%s: %v, want %q", what, err, refusal)
	}
	return refusal == ""
}

// pay does one payment and keeps it, so that the same is asked again later.
func (m *model) pay(what, refusal string, fee, after money.Amount, do func(ref string) (accounts.Done, error)) {
	ref := m.ref()
	d, err := do(ref)
	if !m.wants(what, err, refusal) {
		return
	}
	if d.Fee != fee || d.Balance != after || d.Again {
		m.rt.Fatalf("%s: %+v, want a fee of %d and %d left", what, d, fee, after)
	}
	m.posted = append(m.posted, func() {
		again, err := do(ref)
		if d.Again = true; err != nil || again != d {
			m.rt.Fatalf("%s again: %+v, %v, want %+v", what, again, err, d)
		}
	})
}

func (m *model) quoted(what string, q accounts.Quote, err error, refusal string, a, fee, has money.Amount) {
	if m.wants("quote of "+what, err, refusal) && (q.Amount != a || q.Fee != fee || q.Total != a+fee || q.Balance != has) {
		m.rt.Fatalf("quote of %s: %+v, want a fee of %d and %d there", what, q, fee, has)
	}
}

// amounts that are worth trying: the edges of bands and limits, and what is there.
func (m *model) amount(has money.Amount) money.Amount {
	edges := []money.Amount{1, 49_99, 50_00, 100_00, 100_01, 500_00, 2500_00, 5000_00, 20_000_00, 35_000_00, 35_000_01, 70_000_00, 100_000_00, 250_000_00, 250_000_01, has, has / 2, has - 7_00}
	a := rapid.SampledFrom(edges).Draw(m.rt, "amount")
	return max(0, a+money.Amount(rapid.Int64Range(-1, 1).Draw(m.rt, "cents")))
}

func (m *model) person(label string) *person { return rapid.SampledFrom(m.people).Draw(m.rt, label) }
func (m *model) shop() *shop                 { return rapid.SampledFrom(m.tills).Draw(m.rt, "till") }

func (m *model) send(*rapid.T) {
	from, to := m.person("from"), m.person("to")
	a := m.amount(from.has)
	payer, payee := m.fresh(from), number(m.rt, to.number)
	refusal := m.out(from, "send", a)
	switch {
	case from == to:
		refusal = "self"
	case to.frozen:
		refusal = "payee_frozen"
	}
	what := fmt.Sprintf("send %d", a)
	fee, _, _ := m.cost("fee", "send", a)
	q, err := m.w.accounts.QuoteSend(m.rt.Context(), payer, payee, a)
	m.quoted(what, q, err, refusal, a, fee, from.has)
	if refusal == "" && to.has+a > to.tier.MaxBalance {
		refusal = "payee_full"
	}
	if refusal == "" {
		m.paid(from, "send", a)
		to.has += a
	}
	m.pay(what, refusal, fee, from.has, func(ref string) (accounts.Done, error) {
		return m.w.accounts.Send(m.rt.Context(), ref, payer, payee, a)
	})
}

func (m *model) airtime(*rapid.T) {
	from := m.person("from")
	a := m.amount(from.has)
	payer, refusal := m.fresh(from), m.out(from, "airtime", a)
	what := fmt.Sprintf("airtime %d", a)
	q, err := m.w.accounts.QuoteAirtime(m.rt.Context(), payer, payer.Phone, a)
	m.quoted(what, q, err, refusal, a, 0, from.has)
	if refusal == "" {
		m.paid(from, "airtime", a)
		m.air += a
	}
	m.pay(what, refusal, 0, from.has, func(ref string) (accounts.Done, error) {
		return m.w.accounts.Airtime(m.rt.Context(), ref, payer, payer.Phone, a)
	})
}

func (m *model) withdraw(*rapid.T) {
	from, till := m.person("from"), m.shop()
	a := m.amount(from.has)
	payer, refusal := m.fresh(from), m.out(from, "withdraw", a)
	what := fmt.Sprintf("withdraw %d", a)
	fee, _, _ := m.cost("fee", "withdraw", a)
	q, err := m.w.QuoteWithdraw(m.rt.Context(), payer, till.number, a)
	m.quoted(what, q, err, refusal, a, fee, from.has)
	if refusal == "" {
		m.paid(from, "withdraw", a)
		m.earn(till, "withdraw", a)
		till.has += a
	}
	m.pay(what, refusal, fee, from.has, func(ref string) (accounts.Done, error) {
		return m.w.Withdraw(m.rt.Context(), ref, payer, till.number, a)
	})
}

func (m *model) earn(till *shop, kind string, a money.Amount) {
	earned, _, _ := m.cost("commission", kind, a)
	office := (earned*2500 + 5000) / 10_000
	till.earned += earned - office
	m.officeEarned += office
	m.owed += earned
}

func (m *model) deposit(*rapid.T) {
	to, till := m.person("to"), m.shop()
	a := m.amount(to.tier.MaxBalance - to.has)
	_, least, most := m.cost("fee", "deposit", a)
	refusal := ""
	switch {
	case to.frozen:
		refusal = "payee_frozen"
	case a < least:
		refusal = "below_min"
	case a > most:
		refusal = "over_entry"
	case till.has < a:
		refusal = "float_low"
	case to.has+a > to.tier.MaxBalance:
		refusal = "payee_full"
	}
	what := fmt.Sprintf("deposit %d", a)
	q, err := m.w.QuoteDeposit(m.rt.Context(), till.real, number(m.rt, to.number), a)
	m.quoted(what, q, err, refusal, a, 0, till.has)
	if refusal == "" {
		m.earn(till, "deposit", a)
		till.has, to.has = till.has-a, to.has+a
	}
	m.pay(what, refusal, 0, till.has, func(ref string) (accounts.Done, error) {
		d, err := m.w.Deposit(m.rt.Context(), ref, till.real, number(m.rt, to.number), a)
		if err == nil && !d.Again {
			earned, _, _ := m.cost("commission", "deposit", a)
			office := (earned*2500 + 5000) / 10_000
			m.made = append(m.made, &made{code: d.Code, at: d.At, to: to, by: till, a: a, till: earned - office, owner: office})
		}
		return d, err
	})
}

func (m *model) transfer(*rapid.T) {
	from, to := m.shop(), m.shop()
	a := m.amount(from.has)
	refusal := ""
	switch {
	case a <= 0:
		refusal = "bad_amount"
	case from == to:
		refusal = "self"
	case from.has < a:
		refusal = "float_low"
	default:
		from.has, to.has = from.has-a, to.has+a
	}
	m.pay(fmt.Sprintf("transfer %d", a), refusal, 0, from.has, func(ref string) (accounts.Done, error) {
		return m.w.TransferFloat(m.rt.Context(), ref, from.real, to.number, a)
	})
}

func (m *model) payout(*rapid.T) {
	till := m.shop()
	a := m.amount(till.earned)
	refusal := ""
	switch {
	case a <= 0:
		refusal = "bad_amount"
	case till.earned < a:
		refusal = "insufficient"
	default:
		till.has, till.earned = till.has+a, till.earned-a
	}
	m.pay(fmt.Sprintf("payout %d", a), refusal, 0, till.earned, func(ref string) (accounts.Done, error) {
		return m.w.PayOutCommission(m.rt.Context(), ref, till.real, a)
	})
}

func (m *model) giveBack(rt *rapid.T) {
	till := m.shop()
	if till.has == 0 {
		rt.Skip()
	}
	a := money.Amount(rapid.Int64Range(1, int64(till.has)).Draw(m.rt, "return"))
	id, err := m.w.ReturnFloat(m.rt.Context(), m.ref(), till.real, a)
	m.must(err)
	m.must(m.w.TakeFloat(m.rt.Context(), "mary", id, fmt.Sprintf("OUT-%d", m.w.n)))
	_, err = m.w.ApproveFloat(m.rt.Context(), "charles", id)
	m.must(err)
	till.has, m.issued = till.has-a, m.issued-a
}

// dispute asks for a deposit back and decides at once.
func (m *model) dispute(rt *rapid.T) {
	if len(m.made) == 0 {
		rt.Skip()
	}
	d := rapid.SampledFrom(m.made).Draw(m.rt, "deposit")
	if d.disputed || d.to.frozen {
		rt.Skip()
	}
	late := m.w.accounts.Now().Sub(d.at) > 24*time.Hour
	v, err := m.w.AskReversal(m.rt.Context(), d.by.real, d.code, "wrong number")
	d.disputed = !late
	switch {
	case late:
		if !errors.Is(err, ErrTooLate) {
			m.rt.Fatalf("a late dispute: %+v, %v", v, err)
		}
		return
	case d.to.has == 0:
		if !errors.Is(err, ErrNothingLeft) {
			m.rt.Fatalf("a dispute of nothing: %+v, %v", v, err)
		}
		return
	}
	held := min(d.to.has, d.a)
	if err != nil || v.Held != held {
		m.rt.Fatalf("dispute of %d: %+v, %v, want %d held", d.a, v, err, held)
	}
	approve := rapid.Bool().Draw(m.rt, "approve")
	for range 2 { // the second time it is the same answer
		_, err = m.w.DecideReversal(m.rt.Context(), "charles", v.ID, approve, "so it is")
		m.must(err)
	}
	if !approve {
		return
	}
	d.to.has, d.by.has = d.to.has-held, d.by.has+held
	if held == d.a && d.by.earned >= d.till && m.officeEarned >= d.owner {
		d.by.earned, m.officeEarned, m.owed = d.by.earned-d.till, m.officeEarned-d.owner, m.owed-d.till-d.owner
	}
}

func (m *model) float(*rapid.T) {
	till := m.shop()
	a := money.Amount(rapid.Int64Range(1, 400_000_00).Draw(m.rt, "float"))
	m.w.n++
	id, err := m.w.RequestFloat(m.rt.Context(), "mary", till.number, a, fmt.Sprintf("BANK-%d", m.w.n))
	m.must(err)
	_, err = m.w.ApproveFloat(m.rt.Context(), "charles", id)
	m.must(err)
	till.has, m.issued = till.has+a, m.issued+a
}

func (m *model) freeze(*rapid.T) {
	p := m.person("whom")
	p.frozen = !p.frozen
	m.must(m.w.accounts.Freeze(m.rt.Context(), m.fresh(p), p.frozen))
}

func (m *model) raise(*rapid.T) {
	p := m.person("whom")
	m.must(m.w.accounts.Raise(m.rt.Context(), m.fresh(p), accounts.TierFull))
	p.tier = m.fresh(p).Tier
}

func (m *model) again(rt *rapid.T) {
	if len(m.posted) == 0 {
		rt.Skip()
	}
	rapid.SampledFrom(m.posted).Draw(rt, "which")()
}

func (m *model) wait(*rapid.T) {
	m.w.clock.pass(time.Duration(rapid.IntRange(1, 30).Draw(m.rt, "hours")) * time.Hour)
}

// check compares every account after every step.
func (m *model) check(*rapid.T) {
	want := map[ledger.AccountID]money.Amount{}
	for _, p := range m.people {
		want[p.wallet] = p.has
	}
	for _, s := range m.tills {
		want[s.real.Till.float], want[s.real.Till.commission] = s.has, s.earned
	}
	want[m.office.Till.commission], want[m.w.accounts.House().Held] = m.officeEarned, 0
	var rows []struct {
		ID      ledger.AccountID `db:"id"`
		Balance money.Amount     `db:"balance"`
	}
	var ids []int64
	for id := range want {
		ids = append(ids, int64(id))
	}
	// The house's is in stripes.
	m.must(m.w.pool.Select(m.rt.Context(), &rows, `
select case when id < 1000 then id - id % 16 else id end as id, sum(balance)::bigint as balance from account
where case when id < 1000 then id - id % 16 else id end = any($1) group by 1`, db.Array(ids)))
	for _, r := range rows {
		if r.Balance != want[r.ID] {
			m.rt.Fatalf("account %d has %d, want %d", r.ID, r.Balance, want[r.ID])
		}
	}
	if len(rows) != len(want) {
		m.rt.Fatalf("%d of %d accounts", len(rows), len(want))
	}
}

// look compares what people are told of themselves.
func (m *model) look(*rapid.T) {
	p, s := m.person("whom"), m.shop()
	left, err := m.w.accounts.Left(m.rt.Context(), m.fresh(p))
	m.must(err)
	if want := (accounts.Left{Today: max(0, p.tier.PerDay-m.sent(p)), ToMax: max(0, p.tier.MaxBalance-p.has)}); left != want {
		m.rt.Fatalf("%+v left, want %+v", left, want)
	}
	got, err := m.w.Float(m.rt.Context(), s.real)
	m.must(err)
	if got.Float != s.has || got.Commission != s.earned {
		m.rt.Fatalf("%+v, want %d and %d", got, s.has, s.earned)
	}
}

// house is what the house's accounts have, together.
func (m *model) house() (fees, air, owed, trust money.Amount) {
	h := m.w.accounts.House()
	return m.w.has(h.Fees) + m.w.has(h.Tax), m.w.has(h.Airtime), m.w.has(h.CommissionExpense), m.w.has(h.Trust)
}

// newModel puts new people into the world, so that every run begins with nothing.
func newModel(rt *rapid.T, w *world, tariff accounts.Tariff) *model {
	m := &model{rt: rt, w: w, tariff: tariff, office: w.operator("+254722000090")}
	m.officeEarned = w.has(m.office.Till.commission)
	for _, tier := range []int{accounts.TierBasic, accounts.TierFull, accounts.TierFull} {
		w.n++
		p := &person{number: fmt.Sprintf("+2547%08d", w.n)}
		c, err := w.accounts.Register(rt.Context(), accounts.Registration{
			Ref: m.ref(), Phone: number(rt, p.number), Name: "Asha Juma", IDNumber: fmt.Sprintf("%08d", w.n), Lang: "sw", Tier: tier,
		})
		m.must(err)
		p.tier, p.wallet = c.Tier, c.Wallet
		m.people = append(m.people, p)
	}
	for range 2 {
		till, err := w.CreateTill(rt.Context(), "Mama Mboga Stores", "Corner", "")
		m.must(err)
		w.n++
		o := NewOperator{Till: till, Phone: number(rt, fmt.Sprintf("+2547%08d", w.n)), Name: "Juma Mwangi", IDNumber: "12345678", Lang: "fr", Role: "owner"}
		m.must(w.CreateOperator(rt.Context(), o))
		real, err := w.ByPhone(rt.Context(), o.Phone)
		m.must(err)
		m.tills = append(m.tills, &shop{number: till, real: real})
	}
	return m
}

// The bank does what the model does, whatever is asked in whatever order.
func TestBankAgainstModel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tariff, err := accounts.ParseTariff(accounts.DefaultTariff(), w.accounts.Country().Currency)
	w.must(err)
	w.office(2500)
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(rt, w, tariff)
		fees, air, owed, trust := m.house()
		for range 2 {
			m.float(rt)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"send": m.send, "send more": m.send, "airtime": m.airtime, "withdraw": m.withdraw, "deposit": m.deposit, "deposit more": m.deposit,
			"transfer": m.transfer, "payout": m.payout, "return": m.giveBack, "dispute": m.dispute, "dispute more": m.dispute,
			"float": m.float, "freeze": m.freeze, "raise": m.raise, "again": m.again, "wait": m.wait, "look": m.look, "": m.check,
		})
		newFees, newAir, newOwed, newTrust := m.house()
		if newFees-fees != m.fees || newAir-air != m.air || owed-newOwed != m.owed || trust-newTrust != m.issued {
			rt.Fatalf("the house: fees %d, airtime %d, commissions %d, trust %d; want %d %d %d %d",
				newFees-fees, newAir-air, owed-newOwed, trust-newTrust, m.fees, m.air, m.owed, m.issued)
		}
	})
	w.proven()
}
