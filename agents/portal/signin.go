package portal

import (
	"cmp"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/go-redis/redis_rate/v10"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/db"
	"tuma/internal/phone"
)

// Tries to come in. Many agents share one address of a mobile network, so that
// bound is wide; what protects a PIN and a code are their own three tries.
func triesOfNumber() redis_rate.Limit {
	return redis_rate.Limit{Rate: 10, Burst: 10, Period: 15 * time.Minute}
}

func triesOfAddress() redis_rate.Limit { return redis_rate.PerMinute(60) }

// front leads everybody to the first of their pages, and shows strangers where to
// sign in at once: a redirect is one more journey over a slow link.
func (c *call) front() error {
	for _, r := range routes() {
		if r.menu != "" && c.may(r.right) {
			return c.redirect(r.path)
		}
	}
	if c.halfway() {
		return c.redirect("/agents/staff/code")
	}
	return c.showSignIn()
}

func (c *call) setLang() error {
	lang := c.field("lang")
	if err := c.Accounts.CheckLang(lang); err != nil {
		return c.refusePage(http.StatusBadRequest, "not_found")
	}
	if c.session != nil && c.staff == "" {
		if err := c.Agents.SetLang(c.r.Context(), c.operator, lang); err != nil {
			return err
		}
	}
	c.setCookie(cookieLang, lang, 365*24*time.Hour)
	return c.redirect(cmp.Or(local(c.field("next")), "/agents/"))
}

// signInForm is what the two pages of signing in show.
type signInForm struct {
	Number, Next string
	Known        bool // a code was given in this browser before, perhaps by somebody else
}

func (c *call) showSignIn() error { return c.signInPage(http.StatusOK, "") }

func (c *call) signInPage(status int, say string) error {
	return c.page(status, "in", view{Title: "sign_in", Say: say, Data: signInForm{
		Number: clip(c.field("number")), Next: local(c.field("next")), Known: isToken(c.cookie(cookieDevice)),
	}})
}

// clip bounds what is looked for and shown again of what was keyed in. It cuts
// between two characters: half of one is no text.
func clip(s string) string {
	n := min(len(s), 60)
	for n < len(s) && n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// signIn takes a number, and in a browser that its operator has used before the
// PIN. Elsewhere the phone is proven first, by a code: nobody can lock an
// operator's PIN, or try it, who does not hold the operator's phone. Whether a
// number is an operator's is not told.
func (c *call) signIn() error {
	ctx := c.r.Context()
	n, err := c.Accounts.Country().Phone.Parse(c.field("number"))
	if err != nil {
		return c.signInPage(http.StatusUnprocessableEntity, c.t("refusal.bad_phone"))
	}
	if say, err := c.mayTry(string(n)); err != nil || say != "" {
		return errors.Join(err, c.ifSaid(say, func() error { return c.signInPage(http.StatusTooManyRequests, say) }))
	}
	o, err := c.Agents.ByPhone(ctx, n)
	if err != nil && !errors.Is(err, agents.ErrNoOperator) {
		return err
	}
	known, err := c.known(o)
	if err != nil {
		return err
	}
	if pin := c.field("pin"); known && pin != "" {
		say, err := c.checkPIN(o, pin)
		if err != nil || say != "" {
			return errors.Join(err, c.ifSaid(say, func() error { return c.signInPage(http.StatusUnprocessableEntity, say) }))
		}
		return c.admit(o)
	}
	if o.Frozen {
		o = agents.Operator{}
	}
	if err := c.sendCode(n, o); err != nil {
		return err
	}
	return c.codePage(http.StatusOK, "")
}

// ifSaid does something when there is something to say.
func (c *call) ifSaid(say string, then func() error) error {
	if say == "" {
		return nil
	}
	return then()
}

func (c *call) codePage(status int, say string) error {
	return c.page(status, "code", view{Title: "sign_in", Say: say, Data: signInForm{Number: clip(c.field("number")), Next: local(c.field("next"))}})
}

// mayTry counts a try to come in; say is not "" when there were too many.
func (c *call) mayTry(whose string) (say string, err error) {
	err = c.within("address", c.address(), triesOfAddress())
	if err == nil {
		err = c.within("in", whose, triesOfNumber())
	}
	if err == nil {
		return "", nil
	}
	return c.refused(err)
}

// signInByCode takes the code and the PIN. The PIN is not looked at before the
// code is right.
func (c *call) signInByCode() error {
	ctx := c.r.Context()
	if say, err := c.mayTry("visit:" + hashed(c.visit)); err != nil || say != "" {
		return errors.Join(err, c.ifSaid(say, func() error { return c.codePage(http.StatusTooManyRequests, say) }))
	}
	row, err := c.tryCode(c.field("code"))
	if err != nil {
		return c.codeRefused(err)
	}
	o, err := c.operatorOf(row)
	if err != nil {
		return c.codeRefused(err)
	}
	if say, err := c.checkPIN(o, c.field("pin")); err != nil || say != "" {
		return errors.Join(err, c.ifSaid(say, func() error { return c.codePage(http.StatusUnprocessableEntity, say) }))
	}
	device, err := c.token()
	if err != nil {
		return err
	}
	err = c.Pool.InTx(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(ctx, sqlUsedCode, hashed(c.visit))
		if err == nil && n != 1 {
			err = accounts.Refuse("code_gone") // used a moment ago
		}
		if err != nil {
			return err
		}
		return c.remember(ctx, tx, o, device)
	})
	if err != nil {
		return c.codeRefused(err)
	}
	c.setCookie(cookieDevice, device, deviceFor)
	return c.admit(o)
}

func (c *call) codeRefused(err error) error {
	say, err := c.refused(err)
	if err != nil {
		return err
	}
	return c.codePage(http.StatusUnprocessableEntity, say)
}

// operatorOf is whose code it was, if that is still so.
func (c *call) operatorOf(r codeRow) (agents.Operator, error) {
	o, err := c.Agents.ByPhone(c.r.Context(), r.MSISDN)
	switch {
	case errors.Is(err, agents.ErrNoOperator), err == nil && o.ID != r.Operator.Int64:
		return o, accounts.Refuse("code_gone")
	case err == nil && o.Frozen:
		return o, accounts.Refuse("frozen")
	}
	return o, err
}

// checkPIN hands a PIN to its verification; say is not "" when it was refused.
func (c *call) checkPIN(o agents.Operator, pin string) (say string, err error) {
	ctx := c.r.Context()
	err = c.Accounts.PINs().Verify(ctx, o.PIN, pin)
	if accounts.Refused(err, "pin_locked") {
		if err := c.Accounts.TellPINLocked(ctx, o.PIN, o.Phone, o.Lang); err != nil {
			return "", err
		}
	}
	if err == nil && o.Frozen {
		err = accounts.Refuse("frozen")
	}
	if err == nil {
		return "", nil
	}
	return c.refused(err)
}

// admit opens the door.
func (c *call) admit(o agents.Operator) error {
	if err := c.enter(o, "", time.Time{}); err != nil {
		return err
	}
	return c.redirect(cmp.Or(local(c.field("next")), "/agents/today"))
}

// number reads a phone number that was keyed in.
func (c *call) number(name string) (phone.Number, error) {
	n, err := c.Accounts.Country().Phone.Parse(c.field(name))
	if err != nil {
		return "", accounts.Refuse("bad_phone")
	}
	return n, nil
}
