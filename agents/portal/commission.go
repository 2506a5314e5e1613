package portal

import (
	"errors"
	"net/http"
	"time"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/money"
)

// monthsBack is how far a statement goes back: a till's list is walked.
const monthsBack = 12

// commissionForm is the page of a month's commission by day, or of a day's by
// entry.
type commissionForm struct {
	Balance         money.Amount
	Month           time.Time
	Day             time.Time // zero: the whole month
	Days            []agents.EarnedDay
	List            []agents.Earning
	Entries         int
	Earned, PaidOut money.Amount // of the month
	Older, Newer    string       // months; "": there is none
	More, CSV       string
	MayPayOut       bool
	Ref, Amount     string
}

// period reads which month or day is wanted: this month when none is.
func (c *call) period() (month, day time.Time, err error) {
	zone := c.Accounts.Country().Zone
	today := c.midnight()
	month = time.Date(today.Year(), today.Month(), 1, 0, 0, 0, 0, zone)
	if s := c.field("day"); s != "" {
		if day, err = time.ParseInLocation(time.DateOnly, s, zone); err != nil {
			return month, time.Time{}, accounts.Refuse("bad_day")
		}
		month = time.Date(day.Year(), day.Month(), 1, 0, 0, 0, 0, zone)
	} else if s := c.field("month"); s != "" {
		if month, err = time.ParseInLocation("2006-01", s, zone); err != nil {
			return month, day, accounts.Refuse("bad_day")
		}
	}
	if month.After(today) || month.Before(today.AddDate(0, -monthsBack, 0)) {
		return month, day, accounts.Refuse("bad_month")
	}
	return month, day, nil
}

func (c *call) showCommission() error { return c.commissionPage(http.StatusOK, "") }

func (c *call) commissionPage(status int, say string) error {
	ctx := c.r.Context()
	position, err := c.Agents.Float(ctx, c.operator)
	if err != nil {
		return err
	}
	form := commissionForm{Balance: position.Commission, MayPayOut: c.may(agents.ActCommissionPayout), Amount: clip(c.field("amount"))}
	if form.Amount == "" && position.Commission > 0 {
		form.Amount = c.plain(position.Commission)
	}
	if form.Ref, err = c.ref(); err != nil {
		return err
	}
	if form.Month, form.Day, err = c.period(); err == nil {
		err = c.fillCommission(&form)
	}
	if errors.Is(err, agents.ErrNoEntry) {
		err = accounts.Refuse("no_entry")
	}
	if err != nil {
		if say, err = c.refused(err); err != nil {
			return err
		}
		form.Month, form.Day, status = c.midnight(), time.Time{}, http.StatusUnprocessableEntity
	}
	return c.page(status, "commission", view{Title: "commission", Say: say, Data: form})
}

func (c *call) fillCommission(form *commissionForm) (err error) {
	ctx, today := c.r.Context(), c.midnight()
	if form.Day.IsZero() {
		if form.Days, err = c.Agents.EarnedByDay(ctx, c.operator, form.Month, form.Month.AddDate(0, 1, 0)); err != nil {
			return err
		}
		for _, d := range form.Days {
			form.Entries += d.Entries
			form.Earned += d.Earned
			form.PaidOut += d.PaidOut
		}
		form.CSV = "/agents/commission.csv?month=" + form.Month.Format("2006-01")
		if older := form.Month.AddDate(0, -1, 0); !older.Before(today.AddDate(0, -monthsBack, 0)) {
			form.Older = older.Format("2006-01")
		}
		if newer := form.Month.AddDate(0, 1, 0); !newer.After(today) {
			form.Newer = newer.Format("2006-01")
		}
		return nil
	}
	form.List, err = c.Agents.Earnings(ctx, c.operator, agents.Find{From: form.Day, Until: form.Day.AddDate(0, 0, 1), Before: c.field("before"), Limit: entriesOnPage + 1})
	if err != nil {
		return err
	}
	day := form.Day.Format(time.DateOnly)
	form.CSV = "/agents/commission.csv?day=" + day
	if len(form.List) > entriesOnPage {
		form.List = form.List[:entriesOnPage]
		form.More = "/agents/commission?day=" + day + "&before=" + escape(form.List[entriesOnPage-1].Code)
	}
	return nil
}

// commissionCSV gives a month's or a day's commission by entry.
func (c *call) commissionCSV() error {
	from, day, err := c.period()
	if err != nil {
		return c.notFound()
	}
	until := from.AddDate(0, 1, 0)
	if !day.IsZero() {
		from, until = day, day.AddDate(0, 0, 1)
	}
	list, err := c.Agents.Earnings(c.r.Context(), c.operator, agents.Find{From: from, Until: until, Limit: entriesInFile})
	if err != nil {
		return err
	}
	rows := [][]string{{c.t("csv.time"), c.t("receipt"), c.t("csv.kind"), c.t("csv.in"), c.t("csv.out"), c.t("commission_left"), c.t("csv.other")}}
	for _, e := range list {
		in, out := "", ""
		switch {
		case e.PaidOut > 0:
			out = c.plain(e.PaidOut)
		case e.Earned < 0:
			out = c.plain(-e.Earned)
		default:
			in = c.plain(e.Earned)
		}
		rows = append(rows, []string{e.At.In(c.Accounts.Country().Zone).Format(time.DateTime), e.Code, c.kind(c.lang, e.Kind), in, out, c.plain(e.After), e.Other})
	}
	return c.file("commission-"+from.Format(time.DateOnly), rows)
}

// payOut moves commission to the float, once for each token.
func (c *call) payOut() error {
	token := c.field("ref")
	if !isToken(token) {
		return c.oldForm()
	}
	if paid, err := c.paid(); err != nil {
		return err
	} else if paid != "" {
		return c.redirect(paid)
	}
	a, err := c.amount()
	if err == nil {
		if say, err := c.checkPIN(c.operator, c.field("pin")); err != nil {
			return err
		} else if say != "" {
			return c.commissionPage(http.StatusUnprocessableEntity, say)
		}
		_, err = c.Agents.PayOutCommission(c.r.Context(), "portal:"+token, c.operator, a)
	}
	if accounts.Refused(err, "insufficient") {
		err = accounts.Refuse("not_earned")
	}
	if err != nil && !errors.Is(err, accounts.ErrPending) {
		say, err := c.refused(err)
		if err != nil {
			return err
		}
		return c.commissionPage(http.StatusUnprocessableEntity, say)
	}
	return c.redirect("/agents/done/" + token)
}

// askPayOut answers an old form: with the first result, or with the form again.
func (c *call) askPayOut() error {
	if paid, err := c.paid(); err != nil {
		return err
	} else if paid != "" {
		return c.redirect(paid)
	}
	return c.commissionPage(http.StatusOK, "")
}
