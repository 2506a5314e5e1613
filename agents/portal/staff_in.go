package portal

import (
	"cmp"
	"errors"
	"html/template"
	"net/http"
	"strings"
	"time"

	"tuma/accounts"
	"tuma/agents"
)

// staffForm is the page on which staff sign in.
type staffForm struct{ Name, Next string }

func (c *call) showStaffIn() error { return c.staffInPage(http.StatusOK, "") }

func (c *call) staffInPage(status int, say string) error {
	return c.page(status, "staff_in", view{Title: "sign_in", Say: say, Data: staffForm{clip(c.field("name")), local(c.field("next"))}})
}

// staffIn takes name and password. What they open is the page of the code alone.
func (c *call) staffIn() error {
	name := clip(c.field("name"))
	if say, err := c.mayTry("staff:" + name); err != nil || say != "" {
		return errors.Join(err, c.ifSaid(say, func() error { return c.staffInPage(http.StatusTooManyRequests, say) }))
	}
	switch err := c.checkPassword(name); {
	case errors.Is(err, agents.ErrNotStaff):
		return c.staffInPage(http.StatusUnprocessableEntity, c.t("refusal.not_staff"))
	case err != nil:
		return err
	}
	if err := c.enter(agents.Operator{}, name, time.Time{}); err != nil {
		return err
	}
	to := "/agents/staff/code"
	if next := local(c.field("next")); next != "" {
		to += "?next=" + escape(next)
	}
	return c.redirect(to)
}

// checkPassword verifies the form's password, few at a time: each takes memory.
func (c *call) checkPassword(name string) error {
	if err := c.wait(); err != nil {
		return err
	}
	defer func() { <-c.heavy }()
	return c.Agents.CheckStaff(c.r.Context(), name, c.r.PostFormValue("password"))
}

// codeForm is the page on which staff give the one-time code, and the first time
// set up what makes them.
type codeForm struct {
	Next   string
	Set    bool // it is set up; else there is what to set up
	Secret string
	URI    template.URL
	QR     template.HTML
}

func (c *call) showStaffCode() error {
	if !c.halfway() {
		return c.showStaffIn()
	}
	return c.staffCodePage(http.StatusOK, "")
}

func (c *call) staffCodePage(status int, say string) error {
	form := codeForm{Next: local(c.field("next"))}
	factor, err := c.Agents.SetUpFactor(c.r.Context(), c.staff)
	switch {
	case errors.Is(err, agents.ErrExists):
		form.Set = true
	case err != nil:
		return err
	default:
		// The address is made of what we know; a person's name is a-z there.
		form.Secret, form.URI = inFours(factor.Secret), template.URL(factor.URI)
		if form.QR, err = square(factor.URI); err != nil {
			return err
		}
	}
	return c.page(status, "staff_code", view{Title: "second_factor", Say: say, Data: form})
}

// inFours parts what has to be keyed in letter by letter.
func inFours(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// staffCode takes the code and opens the door.
func (c *call) staffCode() error {
	if !c.halfway() {
		return c.showStaffIn()
	}
	say, err := c.oneTime()
	if err != nil {
		return err
	}
	if say != "" {
		return c.staffCodePage(http.StatusUnprocessableEntity, say)
	}
	_, factor, err := c.Agents.Standing(c.r.Context(), c.staff)
	if err != nil {
		return err
	}
	if err := c.enter(agents.Operator{}, c.staff, factor); err != nil {
		return err
	}
	return c.redirect(cmp.Or(local(c.field("next")), "/agents/"))
}

// oneTime takes the form's one-time code to come in; say is not "" when it is not
// taken.
func (c *call) oneTime() (say string, err error) {
	if err = c.confirmed(); err == nil {
		return "", nil
	}
	return c.refused(err)
}

// confirmed takes the form's one-time code: to come in, and again as money is
// about to move. Refusals: too_many, wrong_factor, factor_locked.
func (c *call) confirmed() error {
	ctx, whose := c.r.Context(), "staff:"+c.staff
	err := c.within("address", c.address(), triesOfAddress())
	if err == nil {
		err = c.within("in", whose, triesOfNumber())
	}
	if err != nil {
		return err
	}
	err = c.Agents.CheckCode(ctx, c.staff, c.field("code"))
	switch {
	case errors.Is(err, agents.ErrWrongCode):
		return accounts.Refuse("wrong_factor")
	case errors.Is(err, agents.ErrFactorLocked), errors.Is(err, agents.ErrNoFactor):
		return accounts.Refuse("factor_locked")
	case err != nil:
		return err
	}
	return c.rate.Reset(ctx, "portal:in:"+whose)
}
