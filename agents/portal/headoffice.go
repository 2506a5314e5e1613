package portal

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/money"
)

// tillsOnPage is how many tills a page of a head office shows; the file has all.
const tillsOnPage = 25

// officeForm is a head office at a glance.
type officeForm struct {
	agents.Position
	List                []agents.NetworkTill
	Tills, Low, Entries int
	Floats, In, Out     money.Amount // of all tills
	More                string       // address of the next page; ""
}

func (c *call) office() error {
	ctx := c.r.Context()
	own, err := c.Agents.Float(ctx, c.operator)
	if err != nil {
		return err
	}
	list, err := c.Agents.Network(ctx, c.operator)
	if err != nil {
		return err
	}
	form := officeForm{Position: own, Tills: len(list)}
	for _, t := range list {
		form.Floats, form.In, form.Out, form.Entries = form.Floats+t.Float, form.In+t.In, form.Out+t.Out, form.Entries+t.Entries
		if t.Low {
			form.Low++
		}
	}
	from, err := strconv.Atoi(c.field("from"))
	if err != nil || from < 0 || from > len(list) {
		from = 0
	}
	form.List = list[from:min(from+tillsOnPage, len(list))]
	if next := from + tillsOnPage; next < len(list) {
		form.More = "/agents/office?from=" + strconv.Itoa(next)
	}
	return c.page(http.StatusOK, "office", view{Title: "office", Data: form})
}

// officeCSV gives all tills of a head office as a file.
func (c *call) officeCSV() error {
	list, err := c.Agents.Network(c.r.Context(), c.operator)
	if err != nil {
		return err
	}
	rows := [][]string{{c.t("freeze_agent"), c.t("till"), c.t("name"), c.t("float"), c.t("low_float"), c.t("commission"), c.t("entries_today"), c.t("cash_in"), c.t("cash_out"), c.t("last_entry"), c.t("closed")}}
	yes := func(b bool) string {
		if b {
			return c.t("yes")
		}
		return ""
	}
	for _, t := range list {
		last := ""
		if !t.LastAt.IsZero() {
			last = t.LastAt.In(c.Accounts.Country().Zone).Format(time.DateTime)
		}
		rows = append(rows, []string{
			t.Agent, t.Number, t.Name, c.plain(t.Float), yes(t.Low), c.plain(t.Commission), strconv.Itoa(t.Entries), c.plain(t.In), c.plain(t.Out), last, yes(t.Closed),
		})
	}
	return c.csvFile("tills", rows)
}

// officeTillForm is the page of one of a head office's tills.
type officeTillForm struct {
	agents.NetworkTill
	Last        []agents.Entry
	Own         money.Amount // the head office's float
	MayMove     bool
	Ref, Amount string
}

func (c *call) officeTill() error {
	return c.officeTillPage(http.StatusOK, c.r.PathValue("till"), "")
}

func (c *call) officeTillPage(status int, number, say string) error {
	ctx := c.r.Context()
	t, last, err := c.Agents.NetworkTill(ctx, c.operator, number, lastEntries)
	if errors.Is(err, agents.ErrOtherNetwork) {
		return c.notFound()
	}
	if err != nil {
		return err
	}
	own, err := c.Agents.Float(ctx, c.operator)
	if err != nil {
		return err
	}
	form := officeTillForm{NetworkTill: t, Last: last, Own: own.Float, MayMove: c.may(agents.ActFloatTransfer) && !t.Closed, Amount: clip(c.field("amount"))}
	if form.Ref, err = c.ref(); err != nil {
		return err
	}
	return c.page(status, "office_till", view{Title: "till", Say: say, Data: form})
}

// moveFloat moves float of the head office to one of its tills, once for each
// token.
func (c *call) moveFloat() error {
	token, number := c.field("ref"), c.field("till")
	if !isToken(token) {
		return c.oldForm()
	}
	if paid, err := c.paid(); err != nil || paid != "" {
		return errors.Join(err, c.ifSaid(paid, func() error { return c.redirect(paid) }))
	}
	refused := func(err error) error {
		if errors.Is(err, agents.ErrOtherNetwork) {
			return c.notFound()
		}
		say, err := c.refused(err)
		if err != nil {
			return err
		}
		return c.officeTillPage(http.StatusUnprocessableEntity, number, say)
	}
	ctx := c.r.Context()
	if _, _, err := c.Agents.NetworkTill(ctx, c.operator, number, 0); err != nil {
		return refused(err)
	}
	a, err := c.Accounts.Country().Currency.Parse(c.field("amount"))
	if err != nil {
		return refused(accounts.Refuse("bad_amount"))
	}
	if say, err := c.checkPIN(c.operator, c.field("pin")); err != nil || say != "" {
		return errors.Join(err, c.ifSaid(say, func() error { return c.officeTillPage(http.StatusUnprocessableEntity, number, say) }))
	}
	if _, err = c.Agents.TransferFloat(ctx, "portal:"+token, c.operator, number, a); err != nil && !errors.Is(err, accounts.ErrPending) {
		return refused(err)
	}
	return c.redirect("/agents/done/" + token)
}
