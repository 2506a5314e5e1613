package portal

import (
	"cmp"
	"errors"
	"net/http"
	"strconv"
	"unicode/utf8"

	"tuma/accounts"
	"tuma/agents"
)

// staffForm is the page on which staff sign in.
type staffForm struct{ Name, Next string }

func (c *call) showStaffIn() error { return c.staffInPage(http.StatusOK, "") }

func (c *call) staffInPage(status int, say string) error {
	return c.page(status, "staff_in", view{Title: "sign_in", Say: say, Data: staffForm{clip(c.field("name")), local(c.field("next"))}})
}

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
	if err := c.enter(agents.Operator{}, name); err != nil {
		return err
	}
	return c.redirect(cmp.Or(local(c.field("next")), "/agents/"))
}

// checkPassword verifies the form's password, few at a time: each takes memory.
func (c *call) checkPassword(name string) error {
	if err := c.wait(); err != nil {
		return err
	}
	defer func() { <-c.heavy }()
	return c.Agents.CheckStaff(c.r.Context(), name, c.r.PostFormValue("password"))
}

// again asks a member of staff for the password once more, as money is about to
// move; say is not "" when it is not right.
func (c *call) again() (say string, err error) {
	if say, err = c.mayTry("staff:" + c.staff); err != nil || say != "" {
		return say, err
	}
	err = c.checkPassword(c.staff)
	if errors.Is(err, agents.ErrNotStaff) {
		return c.t("refusal.not_staff"), nil
	}
	return "", err
}

// floatForm is the page of requests for float.
type floatForm struct {
	Open                  []agents.FloatRequest
	MayAsk, MayGive       bool
	Self                  string
	Till, Amount, BankRef string
}

func (c *call) showFloat() error { return c.floatPage(http.StatusOK, "", false) }

func (c *call) floatPage(status int, say string, good bool) error {
	open, err := c.Agents.OpenFloat(c.r.Context())
	if err != nil {
		return err
	}
	form := floatForm{Open: open, MayAsk: c.may(agents.ActFloatMake), MayGive: c.may(agents.ActFloatCheck), Self: c.staff}
	if !good {
		form.Till, form.Amount, form.BankRef = clip(c.field("till")), clip(c.field("amount")), clip(c.field("bank"))
	}
	return c.page(status, "float", view{Title: "float_requests", Say: say, Good: good, Data: form})
}

// floatRefused says why float is not asked for or given.
func (c *call) floatRefused(err error) error {
	word := ""
	switch {
	case errors.Is(err, agents.ErrExists):
		word = "refusal.bank_ref_used"
	case errors.Is(err, agents.ErrSamePerson):
		word = "refusal.same_person"
	case errors.Is(err, agents.ErrNotStaff):
		word = "refusal.not_staff"
	default:
		say, err := c.refused(err)
		if err != nil {
			return err
		}
		return c.floatPage(http.StatusUnprocessableEntity, say, false)
	}
	return c.floatPage(http.StatusUnprocessableEntity, c.t(word), false)
}

// askFloat is the maker's half. The bank's reference makes it happen once.
func (c *call) askFloat() error {
	a, err := c.Accounts.Country().Currency.Parse(c.field("amount"))
	if err != nil {
		return c.floatRefused(accounts.Refuse("bad_amount"))
	}
	if say, err := c.again(); err != nil {
		return err
	} else if say != "" {
		return c.floatPage(http.StatusUnprocessableEntity, say, false)
	}
	id, err := c.Agents.RequestFloat(c.r.Context(), c.staff, c.field("till"), a, c.field("bank"))
	if err != nil {
		if !isBankRef(c.field("bank")) {
			err = accounts.Refuse("bad_bank_ref")
		}
		return c.floatRefused(err)
	}
	return c.floatPage(http.StatusOK, c.t("float_asked", "id", strconv.FormatInt(id, 10)), true)
}

// isBankRef is the rule of agents.RequestFloat, told before it is broken.
func isBankRef(s string) bool {
	for i := range len(s) {
		letter := s[i]|0x20 >= 'a' && s[i]|0x20 <= 'z'
		if !letter && (s[i] < '-' || s[i] > '9') {
			return false
		}
	}
	return len(s) >= 4 && len(s) <= 40
}

// giveFloat is the checker's half. Approving again gives the first receipt.
func (c *call) giveFloat() error {
	id, err := strconv.ParseInt(c.field("id"), 10, 64)
	if err != nil {
		return c.notFound()
	}
	if say, err := c.again(); err != nil {
		return err
	} else if say != "" {
		return c.floatPage(http.StatusUnprocessableEntity, say, false)
	}
	d, err := c.Agents.ApproveFloat(c.r.Context(), c.staff, id)
	if err != nil {
		return c.floatRefused(err)
	}
	return c.floatPage(http.StatusOK, c.t("float_given", "code", d.Code, "amount", c.Accounts.Money(d.Amount), "name", d.Name), true)
}

// lookUpForm is the page on which customer care looks a customer up.
type lookUpForm struct {
	Number, Reason string
	Found          bool
	Customer       accounts.Customer
	State          string // a word
	Left           accounts.Left
}

func (c *call) showLookUp() error { return c.lookUpPage(http.StatusOK, "", lookUpForm{}) }

func (c *call) lookUpPage(status int, say string, form lookUpForm) error {
	form.Number, form.Reason = clip(c.field("number")), clip(c.field("reason"))
	return c.page(status, "customer", view{Title: "customer", Say: say, Data: form})
}

// What a reason has at least and at most, in characters.
const (
	minReason = 5
	maxReason = 200
)

// lookUp shows a customer to care. That it was done, and why, stands in the log
// before anything is shown.
func (c *call) lookUp() error {
	form, err := c.customer()
	if err != nil {
		say, err := c.refused(err)
		if err != nil {
			return err
		}
		return c.lookUpPage(http.StatusUnprocessableEntity, say, lookUpForm{})
	}
	return c.lookUpPage(http.StatusOK, "", form)
}

func (c *call) customer() (form lookUpForm, err error) {
	ctx, reason := c.r.Context(), c.field("reason")
	n, err := c.number("number")
	if err != nil {
		return form, err
	}
	if l := utf8.RuneCountInString(reason); l < minReason || l > maxReason || !utf8.ValidString(reason) {
		return form, accounts.Refuse("no_reason")
	}
	who, err := c.Agents.LookUpCustomer(ctx, c.staff, n, reason)
	if errors.Is(err, accounts.ErrNoCustomer) {
		return form, accounts.Refuse("payee_unregistered", "number", c.Accounts.Country().Phone.National(n))
	}
	if err != nil {
		return form, err
	}
	left, err := c.Accounts.Left(ctx, who)
	if err != nil {
		return form, err
	}
	state := map[accounts.PINState]string{accounts.PINReady: "pin_ready", accounts.PINUnset: "pin_unset", accounts.PINLocked: "pin_locked"}[who.PINState]
	return lookUpForm{Found: true, Customer: who, State: state, Left: left}, nil
}
