package portal

import (
	"errors"
	"net/http"

	"tuma/accounts"
	"tuma/agents"
)

// disputeForm is the page on which the reversal of a deposit is asked for.
type disputeForm struct {
	agents.Entry
	Reason string
}

func (c *call) showDispute() error { return c.disputePage(http.StatusOK, "") }

// disputePage shows the deposit and asks why. One that was disputed before, or
// no longer can be, is shown as it is.
func (c *call) disputePage(status int, say string) error {
	e, err := c.Agents.Entry(c.r.Context(), c.operator, c.r.PathValue("code"))
	if errors.Is(err, agents.ErrNoEntry) {
		return c.notFound()
	}
	if err != nil {
		return err
	}
	v, err := c.Agents.ReversalOf(c.r.Context(), c.operator, e.Code)
	switch {
	case err == nil && v.State == "asked": // it broke off before anything was held
	case err == nil, errors.Is(err, agents.ErrNoReversal) && !c.Agents.Disputable(e):
		return c.redirect("/agents/entries/" + escape(e.Code))
	case !errors.Is(err, agents.ErrNoReversal):
		return err
	}
	return c.page(status, "dispute", view{Title: "dispute", Say: say, Data: disputeForm{e, clip(c.field("reason"))}})
}

// dispute asks for the reversal. A deposit is disputed once: the same form again
// shows what became of the first, or completes it when it broke off.
func (c *call) dispute() error {
	code := c.r.PathValue("code")
	v, err := c.Agents.ReversalOf(c.r.Context(), c.operator, code)
	if err == nil && v.State != "asked" {
		return c.redirect("/agents/entries/" + escape(code))
	}
	if err != nil && !errors.Is(err, agents.ErrNoReversal) {
		return err
	}
	if _, err := c.Agents.Entry(c.r.Context(), c.operator, code); errors.Is(err, agents.ErrNoEntry) {
		return c.notFound()
	} else if err != nil {
		return err
	}
	if say, err := c.checkPIN(c.operator, c.field("pin")); err != nil {
		return err
	} else if say != "" {
		return c.disputePage(http.StatusUnprocessableEntity, say)
	}
	_, err = c.Agents.AskReversal(c.r.Context(), c.operator, code, c.field("reason"))
	switch {
	case errors.Is(err, agents.ErrNothingLeft), errors.Is(err, agents.ErrTooLate):
		err = nil // the entry's page says so
	case errors.Is(err, agents.ErrNoDeposit):
		return c.notFound()
	case errors.Is(err, agents.ErrNoReason):
		err = accounts.Refuse("no_why")
	case accounts.Refused(err, "payer_frozen"):
		err = accounts.Refuse("payee_frozen")
	}
	if err != nil {
		say, err := c.refused(err)
		if err != nil {
			return err
		}
		return c.disputePage(http.StatusUnprocessableEntity, say)
	}
	return c.redirect("/agents/entries/" + escape(code))
}

// disputed is what became of an entry's reversal, nil when none was asked for.
func (c *call) disputed(e agents.Entry) (*agents.Reversal, error) {
	if e.Kind != "deposit" {
		return nil, nil
	}
	v, err := c.Agents.ReversalOf(c.r.Context(), c.operator, e.Code)
	if errors.Is(err, agents.ErrNoReversal) {
		return nil, nil
	}
	return &v, err
}
