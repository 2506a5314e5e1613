package portal

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-redis/redis_rate/v10"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/money"
	"tuma/internal/phone"
)

// lookUps is how many names an operator may see in a day without taking cash
// from anybody: names are shown to pay people, not to collect them.
func lookUps() redis_rate.Limit {
	return redis_rate.Limit{Rate: 40, Burst: 40, Period: 24 * time.Hour}
}

// depositForm is what the two pages of a deposit show.
type depositForm struct {
	Ref, Number, Amount string
	Quote               accounts.Quote
}

func (c *call) showDeposit() error { return c.depositPage(http.StatusOK, "") }

func (c *call) depositPage(status int, say string) error {
	ref, err := c.ref()
	if err != nil {
		return err
	}
	return c.page(status, "deposit", view{Title: "deposit", Say: say, Deposit: &depositForm{Ref: ref, Number: clip(c.field("number")), Amount: clip(c.field("amount"))}})
}

// nextDeposit is the form of a new deposit on another page, for those who may.
func (c *call) nextDeposit() (*depositForm, error) {
	if !c.may(agents.ActDeposit) {
		return nil, nil
	}
	ref, err := c.token()
	return &depositForm{Ref: ref}, err
}

// wish reads a deposit's form and prices it. When the form's token has moved
// money already, the answer is that: paid is where to read it.
func (c *call) wish() (n phone.Number, a money.Amount, q accounts.Quote, paid string, err error) {
	if paid, err = c.paid(); err != nil || paid != "" {
		return n, a, q, paid, err
	}
	if n, a, err = c.whoAndHowMuch(); err != nil {
		return n, a, q, "", err
	}
	q, err = c.Agents.QuoteDeposit(c.r.Context(), c.operator, n, a)
	return n, a, q, "", err
}

// whoAndHowMuch reads a customer's number and an amount, and counts a look-up
// before anything is told of the number.
func (c *call) whoAndHowMuch() (n phone.Number, a money.Amount, err error) {
	if n, err = c.number("number"); err != nil {
		return n, a, err
	}
	if a, err = c.Accounts.Country().Currency.Parse(c.field("amount")); err != nil {
		return n, a, accounts.Refuse("bad_amount")
	}
	if err = c.within("lookups", string(c.operator.Phone), lookUps()); accounts.Refused(err, "too_many") {
		c.Accounts.NoteBrake(c.r.Context(), accounts.BrakeEvent{Rule: "lookups", Subject: "phone:" + string(c.operator.Phone), Detail: "in the portal"})
		err = accounts.Refuse("lookups_spent")
	}
	return n, a, err
}

// paid tells where the result of the form's token is, "" when there is none.
func (c *call) paid() (string, error) {
	token := c.field("ref")
	if !isToken(token) {
		return "", nil
	}
	_, err := c.Agents.EntryByRef(c.r.Context(), c.operator, "portal:"+token)
	if errors.Is(err, agents.ErrNoEntry) {
		return "", nil
	}
	return "/agents/done/" + token, err
}

// checkDeposit shows whom it is for and what it costs, and asks for the PIN.
func (c *call) checkDeposit() error { return c.confirmDeposit(http.StatusOK, "") }

func (c *call) depositRefused(err error) error {
	say, err := c.refused(err)
	if err != nil {
		return err
	}
	return c.depositPage(http.StatusUnprocessableEntity, say)
}

func (c *call) confirmDeposit(status int, say string) error {
	n, _, q, paid, err := c.wish()
	switch {
	case err != nil:
		return c.depositRefused(err)
	case paid != "":
		return c.redirect(paid)
	}
	ref, err := c.ref()
	if err != nil {
		return err
	}
	return c.page(status, "confirm", view{Title: "deposit", Say: say, Data: depositForm{
		Ref: ref, Number: string(n), Amount: clip(c.field("amount")), Quote: q,
	}})
}

// deposit moves the money, once for each token.
func (c *call) deposit() error {
	ctx, token := c.r.Context(), c.field("ref")
	if !isToken(token) {
		return c.oldForm()
	}
	n, a, _, paid, err := c.wish()
	switch {
	case err != nil:
		return c.depositRefused(err)
	case paid != "":
		return c.redirect(paid)
	}
	if say, err := c.checkPIN(c.operator, c.field("pin")); err != nil {
		return err
	} else if say != "" {
		return c.confirmDeposit(http.StatusUnprocessableEntity, say)
	}
	_, err = c.Agents.Deposit(ctx, "portal:"+token, c.operator, n, a)
	switch {
	case errors.Is(err, accounts.ErrPending):
		return c.redirect("/agents/done/" + token)
	case err != nil:
		return c.depositRefused(err)
	}
	if err := c.rate.Reset(ctx, "portal:lookups:"+string(c.operator.Phone)); err != nil {
		c.Log.Warn("portal: look-ups not given back after a deposit", "error", err)
	}
	return c.redirect("/agents/done/" + token)
}

// done shows what became of a form. It can be read again at any time.
func (c *call) done() error {
	token := c.r.PathValue("token")
	if !isToken(token) {
		return c.notFound()
	}
	e, err := c.Agents.EntryByRef(c.r.Context(), c.operator, "portal:"+token)
	if errors.Is(err, agents.ErrNoEntry) {
		a, err := c.Agents.AskedByRef(c.r.Context(), c.operator, "portal:"+token)
		if err == nil {
			return c.asked(token, a)
		}
		if !errors.Is(err, accounts.ErrNoApproval) {
			return fmt.Errorf("portal: %w", err)
		}
		f, err := c.Agents.FloatByRef(c.r.Context(), c.operator, "portal:"+token)
		if err == nil {
			return c.askedFloatPage(f)
		}
		if !errors.Is(err, agents.ErrNoFloatRequest) {
			return fmt.Errorf("portal: %w", err)
		}
		return c.page(http.StatusNotFound, "waiting", view{Title: "nothing_done", Say: c.t("nothing_done.more"), Data: "/agents/live/" + token})
	}
	if err != nil {
		return fmt.Errorf("portal: %w", err)
	}
	return c.receiptPage(e, c.t("done"))
}
