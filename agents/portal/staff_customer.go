package portal

import (
	"errors"
	"net/http"

	"tuma/accounts"
	"tuma/agents"
)

// lookUpForm is the page on which customer care looks a customer up.
type lookUpForm struct {
	Number, Reason string
	Found          bool
	Customer       accounts.Customer
	State          string // a word
	Left           accounts.Left
	MayPhoto       bool // of the ID document
}

func (c *call) showLookUp() error { return c.lookUpPage(http.StatusOK, "", lookUpForm{}) }

func (c *call) lookUpPage(status int, say string, form lookUpForm) error {
	form.Number, form.Reason = clip(c.field("number")), clip(c.field("reason"))
	form.MayPhoto = form.Found && c.Photos != "" && c.may(agents.ActPhotoView)
	return c.page(status, "customer", view{Title: "customer", Say: say, Data: form})
}

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
	if reason, err = agents.CheckReason(reason); err != nil {
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
