package portal

import (
	"errors"
	"net/http"
	"strconv"

	"tuma/accounts"
	"tuma/agents"
)

// reversalsForm is the page of disputed deposits.
type reversalsForm struct {
	Open, Decided []agents.Reversal
}

func (c *call) showReversals() error {
	open, err := c.Agents.OpenReversals(c.r.Context())
	if err != nil {
		return err
	}
	decided, err := c.Agents.DecidedReversals(c.r.Context(), listed)
	if err != nil {
		return err
	}
	return c.page(http.StatusOK, "reversals", view{Title: "reversals", Data: reversalsForm{open[:min(len(open), listed)], decided}})
}

// oneReversal is the page of one, with what may be done about it.
type oneReversal struct {
	agents.Reversal
	State                   string // a word
	Customer                accounts.Customer
	Asker                   string
	Held, MayDecide, Finish bool
	Note                    string
}

func (c *call) showOneReversal() error {
	return c.oneReversalPage(http.StatusOK, c.r.PathValue("id"), "")
}

func (c *call) oneReversalPage(status int, number, say string) error {
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return c.notFound()
	}
	v, who, err := c.Agents.ReversalByID(c.r.Context(), id)
	if errors.Is(err, agents.ErrNoReversal) {
		return c.notFound()
	}
	if err != nil {
		return err
	}
	form := oneReversal{Reversal: v, State: "reversal_" + v.State, Customer: who, Asker: c.national(v.AskedBy), Note: clip(c.field("reason"))}
	form.Held = v.State == "held"
	form.Finish = v.Settled == "" && (v.Checker == c.staff || v.Checker == "" && v.Agreed.Valid && v.State == "approved") // decided or agreed, and refused by the book
	form.MayDecide = (form.Held || form.Finish) && c.may(agents.ActReversalDecide)
	return c.page(status, "reversal", view{Title: "reversal", Say: say, Data: form})
}

// decideReversal is the checker's word. The same word again is the same answer.
func (c *call) decideReversal() error {
	ctx, number, word := c.r.Context(), c.field("id"), c.field("decide")
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil || word != "approve" && word != "decline" {
		return c.notFound()
	}
	v, _, err := c.Agents.ReversalByID(ctx, id)
	if errors.Is(err, agents.ErrNoReversal) {
		return c.notFound()
	}
	here := "/agents/staff/reversals/" + strconv.FormatInt(id, 10)
	if err == nil && v.Settled != "" && v.Checker == c.staff && v.State == word+"d" {
		return c.redirect(here) // pressed twice
	}
	reason := c.field("reason")
	if err == nil {
		reason, err = agents.CheckReason(reason)
	}
	if err == nil {
		err = c.confirmed()
	}
	if err == nil {
		_, err = c.Agents.DecideReversal(ctx, c.staff, id, word == "approve", reason)
	}
	if err != nil {
		say, err := c.staffSays(err)
		if err != nil {
			return err
		}
		return c.oneReversalPage(http.StatusUnprocessableEntity, number, say)
	}
	return c.redirect(here)
}
