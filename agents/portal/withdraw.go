package portal

import (
	"errors"
	"net/http"

	"tuma/accounts"
	"tuma/internal/money"
	"tuma/internal/phone"
)

// Cash that the till pays out: the operator asks, the customer approves on the
// own phone, and the page that waits hears of it. The entry has the Ref of the
// approval, so /agents/done/<token> shows whichever of the two there is.

func (c *call) showWithdraw() error { return c.withdrawPage(http.StatusOK, "") }

func (c *call) withdrawPage(status int, say string) error {
	ref, err := c.ref()
	if err != nil {
		return err
	}
	return c.page(status, "withdraw", view{Title: "withdraw", Say: say, Data: depositForm{Ref: ref, Number: clip(c.field("number")), Amount: clip(c.field("amount"))}})
}

// askWish reads a withdrawal's form and prices it. When the form's token has
// asked already, the answer is that: asked is where to read it.
func (c *call) askWish() (n phone.Number, a money.Amount, q accounts.Quote, asked string, err error) {
	if token := c.field("ref"); isToken(token) {
		_, err := c.Agents.AskedByRef(c.r.Context(), c.operator, "portal:"+token)
		if !errors.Is(err, accounts.ErrNoApproval) {
			return n, a, q, "/agents/done/" + token, err
		}
	}
	if n, a, err = c.whoAndHowMuch(); err != nil {
		return n, a, q, "", err
	}
	q, err = c.Agents.QuoteAskWithdraw(c.r.Context(), c.operator, n, a)
	return n, a, q, "", err
}

func (c *call) withdrawRefused(err error) error {
	say, err := c.refused(err)
	if err != nil {
		return err
	}
	return c.withdrawPage(http.StatusUnprocessableEntity, say)
}

// checkWithdraw shows whom it is for and what it costs, and asks for the PIN.
func (c *call) checkWithdraw() error { return c.confirmWithdraw(http.StatusOK, "") }

func (c *call) confirmWithdraw(status int, say string) error {
	n, _, q, asked, err := c.askWish()
	switch {
	case err != nil:
		return c.withdrawRefused(err)
	case asked != "":
		return c.redirect(asked)
	}
	ref, err := c.ref()
	if err != nil {
		return err
	}
	return c.page(status, "ask", view{Title: "withdraw", Say: say, Data: depositForm{Ref: ref, Number: string(n), Amount: clip(c.field("amount")), Quote: q}})
}

// withdraw asks the customer, once for each token.
func (c *call) withdraw() error {
	token := c.field("ref")
	if !isToken(token) {
		return c.oldForm()
	}
	n, a, _, asked, err := c.askWish()
	switch {
	case err != nil:
		return c.withdrawRefused(err)
	case asked != "":
		return c.redirect(asked)
	}
	if say, err := c.checkPIN(c.operator, c.field("pin")); err != nil {
		return err
	} else if say != "" {
		return c.confirmWithdraw(http.StatusUnprocessableEntity, say)
	}
	if _, err := c.Agents.AskWithdraw(c.r.Context(), "portal:"+token, c.operator, n, a); err != nil {
		return c.withdrawRefused(err)
	}
	return c.redirect("/agents/done/" + token)
}

// cancelAsked takes back what was asked, unless the customer was faster.
func (c *call) cancelAsked() error {
	token := c.field("ref")
	if !isToken(token) {
		return c.oldForm()
	}
	a, err := c.Agents.AskedByRef(c.r.Context(), c.operator, "portal:"+token)
	if errors.Is(err, accounts.ErrNoApproval) {
		return c.notFound()
	}
	if err != nil {
		return err
	}
	if err := c.Agents.CancelAsked(c.r.Context(), c.operator, a.ID); err != nil {
		if _, ok := errors.AsType[accounts.Refusal](err); !ok && !errors.Is(err, accounts.ErrNotPending) {
			return err
		}
	}
	return c.redirect("/agents/done/" + token)
}

// askedForm is what the page of an approval shows.
type askedForm struct {
	Token, Live string
	Approval    accounts.Approval
}

// asked shows what has become of what a form asked for.
func (c *call) asked(token string, a accounts.Approval) error {
	if a.State == accounts.ApprovalPending {
		return c.page(http.StatusOK, "asked", view{Title: "asked", Say: c.t("asked.more"), Data: askedForm{token, "/agents/live/" + token, a}})
	}
	word := "asked_" + string(a.State)
	return c.page(http.StatusOK, "message", view{Title: word, Say: c.t(word + ".more")})
}
