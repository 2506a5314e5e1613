package portal

import (
	"net/http"

	"tuma/agents"
	"tuma/internal/money"
)

// lastEntries is how many entries the first page shows.
const lastEntries = 5

// todayForm is a till at a glance.
type todayForm struct {
	agents.Position
	Last    []agents.Entry
	In, Out money.Amount // cash over the counter
	Hours   []bar        // none: nothing has happened yet
	MayAsk  bool         // for float
	ByTill  bool         // it has a drawer; a head office has none
}

// bar is one hour of the chart: what came in as cash, and what went out, as
// heights out of barHeight.
type bar struct {
	Hour               int
	X, OutX            int
	In, InY, Out, OutY money.Amount // drawn
	Cash, Paid         money.Amount
	Labelled           bool
}

const (
	barHeight = 40
	barStep   = 12
)

func (c *call) today() error {
	ctx := c.r.Context()
	position, err := c.Agents.Float(ctx, c.operator)
	if err != nil {
		return err
	}
	last, err := c.Agents.Entries(ctx, c.operator, agents.Find{Limit: lastEntries})
	if err != nil {
		return err
	}
	all, err := c.Agents.Entries(ctx, c.operator, agents.Find{From: c.midnight(), Limit: entriesInFile})
	if err != nil {
		return err
	}
	form := todayForm{Position: position, Last: last, MayAsk: c.may(agents.ActFloatRequest), ByTill: c.may(agents.ActDayView)}
	form.Hours, form.In, form.Out = c.chart(all)
	next, err := c.nextDeposit()
	if err != nil {
		return err
	}
	return c.page(http.StatusOK, "today", view{Title: "today", Data: form, Deposit: next})
}

// chart adds the day's cash up by hours: a deposit brings cash, a withdrawal
// takes it.
func (c *call) chart(all []agents.Entry) (hours []bar, in, out money.Amount) {
	var cash, paid [24]money.Amount
	var most money.Amount = 1
	for _, e := range all {
		h := e.At.In(c.Accounts.Country().Zone).Hour()
		switch e.Kind {
		case "deposit":
			cash[h] += e.Amount
			in += e.Amount
		case "withdraw":
			paid[h] += e.Amount
			out += e.Amount
		}
		most = max(most, cash[h], paid[h])
	}
	for h := range 24 {
		if in+out == 0 || (cash[h] == 0 && paid[h] == 0 && h%6 != 0) {
			continue
		}
		b := bar{Hour: h, X: h * barStep, OutX: h*barStep + barStep/2, Cash: cash[h], Paid: paid[h], Labelled: h%6 == 0}
		b.In, b.Out = cash[h]*barHeight/most, paid[h]*barHeight/most
		b.InY, b.OutY = barHeight-b.In, barHeight-b.Out
		hours = append(hours, b)
	}
	return hours, in, out
}
