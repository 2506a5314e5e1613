package portal

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"tuma/accounts"
	"tuma/agents"
)

// staffSays gives the words of what the verbs of staff refuse; any other error
// comes back.
func (c *call) staffSays(err error) (say string, fault error) {
	for _, known := range []struct {
		err  error
		word string
	}{
		{agents.ErrExists, "refusal.bank_ref_used"}, {agents.ErrSamePerson, "refusal.same_person"}, {agents.ErrNotStaff, "refusal.not_staff"},
		{agents.ErrNoReason, "refusal.no_reason"}, {agents.ErrDecided, "refusal.decided"}, {agents.ErrNoOperator, "refusal.no_operator"},
		{agents.ErrNoAgent, "refusal.no_agent"}, {agents.ErrNoHeadOffice, "refusal.till_unknown"}, {accounts.ErrNoCustomer, "refusal.no_customer"},
		{agents.ErrNotHeld, "refusal.not_held"},
	} {
		if errors.Is(err, known.err) {
			return c.t(known.word), nil
		}
	}
	return c.refused(err)
}

// floatForm is the page of requests for float.
type floatForm struct {
	Open, Asked           []agents.FloatRequest
	MayAsk                bool
	Till, Amount, BankRef string
}

func (c *call) showFloat() error { return c.floatPage(http.StatusOK, "") }

func (c *call) floatPage(status int, say string) error {
	open, err := c.Agents.OpenFloat(c.r.Context())
	if err != nil {
		return err
	}
	asked, err := c.Agents.AskedFloat(c.r.Context())
	if err != nil {
		return err
	}
	return c.page(status, "float", view{Title: "float_requests", Say: say, Data: floatForm{
		Open: open[:min(len(open), listed)], Asked: asked[:min(len(asked), listed)], MayAsk: c.may(agents.ActFloatMake),
		Till: clip(c.field("till")), Amount: clip(c.field("amount")), BankRef: clip(c.field("bank")),
	}})
}

// listed is how many of a kind a page of staff lists; the oldest come first, so
// that nothing waits for ever behind others.
const listed = 25

// askFloat is the maker's half. The bank's reference makes it happen once: the
// same again shows the request of the first time.
func (c *call) askFloat() error {
	refused := func(err error) error {
		say, err := c.staffSays(err)
		if err != nil {
			return err
		}
		return c.floatPage(http.StatusUnprocessableEntity, say)
	}
	ctx, bank, till := c.r.Context(), c.field("bank"), c.field("till")
	a, err := c.Accounts.Country().Currency.Parse(c.field("amount"))
	if err != nil {
		return refused(accounts.Refuse("bad_amount"))
	}
	if !isBankRef(bank) {
		return refused(accounts.Refuse("bad_bank_ref"))
	}
	id, err := c.Agents.RequestFloat(ctx, c.staff, till, a, bank)
	if errors.Is(err, agents.ErrExists) {
		first, err2 := c.Agents.FloatByBank(ctx, bank)
		if err2 == nil && first.Maker == c.staff && first.Till == till && first.Amount == a {
			id, err = first.ID, nil
		}
	}
	if err != nil {
		if strings.Trim(till, "0123456789") != "" && !errors.Is(err, agents.ErrExists) && !errors.Is(err, agents.ErrNotStaff) {
			err = accounts.Refuse("till_unknown")
		}
		return refused(err)
	}
	return c.redirect("/agents/staff/float/" + strconv.FormatInt(id, 10))
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

// oneFloat is the page of one request, with what this member of staff may do.
type oneFloat struct {
	agents.FloatRequest
	State                    string // a word
	Take, Give, Decline, Own bool
	Bank, Reason             string
}

func (c *call) showOneFloat() error { return c.oneFloatPage(http.StatusOK, c.r.PathValue("id"), "") }

func (c *call) oneFloatPage(status int, number, say string) error {
	f, err := c.floatOf(number)
	if errors.Is(err, agents.ErrNoFloatRequest) {
		return c.notFound()
	}
	if err != nil {
		return err
	}
	asked, made := f.State == "asked", f.State == "made" || f.State == "approved" && !f.Receipt.Valid && f.Checker.String == c.staff
	form := oneFloat{FloatRequest: f, State: "float_" + f.State, Own: f.Maker == c.staff && made, Bank: clip(c.field("bank")), Reason: clip(c.field("reason"))}
	form.Take = asked && c.may(agents.ActFloatMake)
	form.Give = made && !form.Own && c.may(agents.ActFloatCheck)
	form.Decline = asked || f.State == "made" && form.Give
	return c.page(status, "float_one", view{Title: "staff_float_request", Say: say, Data: form})
}

func (c *call) floatOf(number string) (agents.FloatRequest, error) {
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return agents.FloatRequest{}, agents.ErrNoFloatRequest
	}
	return c.Agents.FloatOf(c.r.Context(), id)
}

// onFloat does something with the form's request and leads back to its page.
func (c *call) onFloat(do func(f agents.FloatRequest) error) error {
	f, err := c.floatOf(c.field("id"))
	if errors.Is(err, agents.ErrNoFloatRequest) {
		return c.notFound()
	}
	if err == nil {
		err = do(f)
	}
	if err != nil {
		say, err := c.staffSays(err)
		if err != nil {
			return err
		}
		return c.oneFloatPage(http.StatusUnprocessableEntity, c.field("id"), say)
	}
	return c.redirect("/agents/staff/float/" + strconv.FormatInt(f.ID, 10))
}

// takeFloat makes what an operator has asked for the maker's own request.
func (c *call) takeFloat() error {
	return c.onFloat(func(f agents.FloatRequest) error {
		if f.Maker == c.staff && f.State != "asked" {
			return nil // pressed twice
		}
		bank := c.field("bank")
		if bank != "" || f.BankRef == "" {
			if !isBankRef(bank) {
				return accounts.Refuse("bad_bank_ref")
			}
		}
		if f.BankRef != "" && bank != "" && !strings.EqualFold(f.BankRef, bank) {
			return accounts.Refuse("other_bank_ref")
		}
		return c.Agents.TakeFloat(c.r.Context(), c.staff, f.ID, bank)
	})
}

// giveFloat is the checker's half. Approving again gives the first receipt.
func (c *call) giveFloat() error {
	return c.onFloat(func(f agents.FloatRequest) error {
		switch {
		case f.Maker == c.staff:
			return agents.ErrSamePerson
		case f.Receipt.Valid && f.Checker.String == c.staff:
			return nil // pressed twice
		}
		if err := c.confirmed(); err != nil {
			return err
		}
		_, err := c.Agents.ApproveFloat(c.r.Context(), c.staff, f.ID)
		return err
	})
}

func (c *call) declineFloat() error {
	return c.onFloat(func(f agents.FloatRequest) error {
		return c.Agents.DeclineFloat(c.r.Context(), c.staff, f.ID, c.field("reason"))
	})
}
