package portal

import (
	"errors"
	"net/http"
	"time"

	"tuma/accounts"
	"tuma/agents"
)

// A till's day: cash that is declared and counted. What makes a form count once
// is the date that it is about: a till has one day for each.

// daysOnPage is how many days a page shows.
const daysOnPage = 10

// dayForm is the page of a till's days.
type dayForm struct {
	Open              *agents.Day // nil: none is
	Today             string      // a date: the form to open is about it
	Closed            *agents.Day // today's, when it was opened and closed
	List              []agents.Day
	More              string // the date before which there are more; ""
	MayOpen, MayClose bool
	Cash              string
}

func (c *call) showDay() error { return c.dayPage(http.StatusOK, "") }

func (c *call) dayPage(status int, say string) error {
	ctx := c.r.Context()
	var before time.Time
	if c.r.Method == get {
		before, _ = time.Parse(time.DateOnly, c.field("before")) // what is no date begins with the newest
	}
	position, err := c.Agents.Float(ctx, c.operator)
	if err != nil {
		return err
	}
	list, err := c.Agents.Days(ctx, c.operator, before, daysOnPage+1)
	if err != nil {
		return err
	}
	form := dayForm{Open: position.Day, Today: c.midnight().Format(time.DateOnly), List: list, MayOpen: c.may(agents.ActDayOpen), MayClose: c.may(agents.ActDayClose), Cash: clip(c.field("cash"))}
	for i, d := range list {
		if d.Closed && d.Date.Format(time.DateOnly) == form.Today {
			form.Closed = &list[i]
		}
	}
	if len(list) > daysOnPage {
		form.List = list[:daysOnPage]
		form.More = form.List[daysOnPage-1].Date.Format(time.DateOnly)
	}
	return c.page(status, "day", view{Title: "till_day", Say: say, Data: form})
}

// openDay declares the cash with which today begins. A form of another day, or
// of one that was opened before, changes nothing and shows what there is.
func (c *call) openDay() error {
	cash, err := c.amountOrZero("cash")
	if err == nil && c.field("day") == c.midnight().Format(time.DateOnly) {
		_, err = c.Agents.OpenDay(c.r.Context(), c.operator, cash)
	}
	if errors.Is(err, agents.ErrDayOpen) {
		err = nil
	}
	return c.dayDone(err)
}

// closeDay takes what was counted at the end of the day that the form is about.
func (c *call) closeDay() error {
	cash, err := c.amountOrZero("cash")
	if err != nil {
		return c.dayDone(err)
	}
	position, err := c.Agents.Float(c.r.Context(), c.operator)
	if err != nil {
		return err
	}
	if position.Day == nil || position.Day.Date.Format(time.DateOnly) != c.field("day") {
		return c.dayDone(nil) // it is closed already
	}
	if say, err := c.checkPIN(c.operator, c.field("pin")); err != nil {
		return err
	} else if say != "" {
		return c.dayPage(http.StatusUnprocessableEntity, say)
	}
	_, err = c.Agents.CloseDay(c.r.Context(), c.operator, cash)
	if errors.Is(err, agents.ErrDayNotOpen) {
		err = nil
	}
	return c.dayDone(err)
}

func (c *call) dayDone(err error) error {
	if err == nil {
		return c.redirect("/agents/day")
	}
	if _, ours := errors.AsType[accounts.Refusal](err); !ours {
		return err
	}
	say, err := c.refused(err)
	if err != nil {
		return err
	}
	return c.dayPage(http.StatusUnprocessableEntity, say)
}
