package portal

import (
	"errors"
	"net/http"
	"strconv"

	"tuma/agents"
)

// watchedOnPage is how many flags or disputes of a till a page shows.
const watchedOnPage = 20

// watchForm is a page of what is to be watched at a till, for its head office or
// for staff: warnings about its entries, or the deposits that it disputed.
type watchForm struct {
	Till, Name string
	Staff      bool   // who chooses the till on this page
	Flags      string // address of the till's flags, and of its disputes
	Disputes   string
	Back       string
	List       []agents.Flag
	Disputed   []agents.Reversal
	MayDecide  bool
	More       string // address of what is older; ""
}

func (c *call) showFlags() error { return c.watch("flags", c.flags) }

func (c *call) showDisputes() error { return c.watch("disputes", c.disputes) }

// watch finds out whose till is looked at, and shows a page of it. A head office
// sees its own tills, by their address; staff see any, by its number in a form.
func (c *call) watch(page string, fill func(*watchForm, int64) error) error {
	form := watchForm{Staff: c.staff != ""}
	here := ""
	if form.Staff {
		form.Till = clip(c.field("till"))
		here, form.Flags, form.Disputes = "/agents/staff/"+page+"?till="+escape(form.Till), "/agents/staff/flags?till="+escape(form.Till), "/agents/staff/disputes?till="+escape(form.Till)
		if form.Till == "" {
			return c.page(http.StatusOK, page, view{Title: page, Data: form})
		}
		t, err := c.Agents.AnyTill(c.r.Context(), form.Till) // a closed one, too
		if err != nil {
			say, err := c.refused(err)
			if err != nil {
				return err
			}
			return c.page(http.StatusUnprocessableEntity, page, view{Title: page, Say: say, Data: watchForm{Staff: true, Till: form.Till}})
		}
		form.Name = t.Name
	} else {
		t, _, err := c.Agents.NetworkTill(c.r.Context(), c.operator, c.r.PathValue("till"), 0)
		if errors.Is(err, agents.ErrOtherNetwork) {
			return c.notFound()
		}
		if err != nil {
			return err
		}
		form.Till, form.Name, form.Back = t.Number, t.Name, "/agents/office/"+t.Number
		form.Flags, form.Disputes = form.Back+"/flags", form.Back+"/disputes"
		here = form.Back + "/" + page + "?"
	}
	before, err := strconv.ParseInt(c.field("before"), 10, 64)
	if err != nil || before < 0 {
		before = 0
	}
	if err := fill(&form, before); err != nil {
		return err
	}
	if form.More != "" {
		form.More = here + "&before=" + form.More
	}
	return c.page(http.StatusOK, page, view{Title: page, Data: form})
}

func (c *call) flags(form *watchForm, before int64) (err error) {
	if form.List, err = c.Agents.Flags(c.r.Context(), form.Till, before, watchedOnPage+1); err != nil {
		return err
	}
	if len(form.List) > watchedOnPage {
		form.List = form.List[:watchedOnPage]
		form.More = strconv.FormatInt(form.List[watchedOnPage-1].ID, 10)
	}
	return nil
}

func (c *call) disputes(form *watchForm, before int64) (err error) {
	if form.Disputed, err = c.Agents.TillDisputes(c.r.Context(), form.Till, before, watchedOnPage+1); err != nil {
		return err
	}
	form.MayDecide = c.may(agents.ActReversalDecide)
	if len(form.Disputed) > watchedOnPage {
		form.Disputed = form.Disputed[:watchedOnPage]
		form.More = strconv.FormatInt(form.Disputed[watchedOnPage-1].ID, 10)
	}
	return nil
}
