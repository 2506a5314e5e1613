package portal

import (
	"errors"
	"net/http"
	"strconv"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/money"
)

// A till's float: what there is, what was asked for and became of it, and the
// three ways in which it moves without a customer. Asking, sending and returning
// each have one form whose token is the ref of what it does.

// requestsOnPage is how many requests for float a page shows.
const requestsOnPage = 10

// tillFloatForm is the page of a till's float.
type tillFloatForm struct {
	agents.Position
	List                                   []agents.FloatRequest
	More                                   string // address of what is older; ""
	MayAsk, MaySend, MayReturn, MayBeAlert bool
	Low                                    string // as it was keyed in
}

func (c *call) showTillFloat() error { return c.tillFloatPage(http.StatusOK, "", false) }

func (c *call) tillFloatPage(status int, say string, good bool) error {
	ctx := c.r.Context()
	position, err := c.Agents.Float(ctx, c.operator)
	if err != nil {
		return err
	}
	var before int64
	if c.r.Method == get {
		before, _ = strconv.ParseInt(c.field("before"), 10, 64) // what is no number begins with the newest
	}
	list, err := c.Agents.FloatRequests(ctx, c.operator, max(before, 0), requestsOnPage+1)
	if err != nil {
		return err
	}
	form := tillFloatForm{
		Position: position, List: list, Low: clip(c.field("low")),
		MayAsk: c.may(agents.ActFloatRequest), MaySend: c.may(agents.ActFloatTransfer), MayReturn: c.may(agents.ActFloatReturn), MayBeAlert: c.may(agents.ActFloatThreshold),
	}
	if form.Low == "" && position.LowFloat > 0 {
		form.Low = c.plain(position.LowFloat)
	}
	if len(list) > requestsOnPage {
		form.List = list[:requestsOnPage]
		form.More = "/agents/float?before=" + strconv.FormatInt(form.List[requestsOnPage-1].ID, 10)
	}
	return c.page(status, "till_float", view{Title: "float", Say: say, Good: good, Data: form})
}

// alert sets below what the till is warned. An old form that says what was so
// before somebody else has changed it changes nothing.
func (c *call) alert() error {
	a, err := c.amountOrZero("low")
	if err != nil {
		return c.alertRefused(err)
	}
	position, err := c.Agents.Float(c.r.Context(), c.operator)
	if err != nil {
		return err
	}
	if c.field("was") != c.plain(position.LowFloat) {
		return c.redirect("/agents/float")
	}
	if err := c.Agents.SetLowFloat(c.r.Context(), c.operator, a); err != nil {
		return c.alertRefused(err)
	}
	return c.redirect("/agents/float")
}

func (c *call) alertRefused(err error) error {
	say, err := c.refused(err)
	if err != nil {
		return err
	}
	return c.tillFloatPage(http.StatusUnprocessableEntity, say, false)
}

// amountOrZero reads an amount that may be nothing.
func (c *call) amountOrZero(name string) (money.Amount, error) {
	a, err := c.Accounts.Country().Currency.Parse(c.field(name))
	if errors.Is(err, money.ErrZero) {
		return 0, nil
	}
	if err != nil {
		return 0, accounts.Refuse("bad_amount")
	}
	return a, nil
}

// amount reads one that is something.
func (c *call) amount() (money.Amount, error) {
	a, err := c.Accounts.Country().Currency.Parse(c.field("amount"))
	if err != nil {
		return 0, accounts.Refuse("bad_amount")
	}
	return a, nil
}

// moveForm is a page that moves float, or asks for it.
type moveForm struct {
	Ref, Amount, Bank, To string
	Whom                  agents.Till   // to be sent to, when it is confirmed
	Money                 money.Amount  // to be sent
	Float                 money.Amount  // there is
	Near                  []agents.Till // where it may go
	Kind                  string        // issue, return
	Path                  string        // where the form goes
	Word                  string        // on its button
}

// settled is where the result of the form's token is, "" when it has none.
func (c *call) settled() (string, error) {
	if paid, err := c.paid(); err != nil || paid != "" {
		return paid, err
	}
	token := c.field("ref")
	if !isToken(token) {
		return "", nil
	}
	_, err := c.Agents.FloatByRef(c.r.Context(), c.operator, "portal:"+token)
	if errors.Is(err, agents.ErrNoFloatRequest) {
		return "", nil
	}
	return "/agents/done/" + token, err
}

// movePage shows a form for float, with what was keyed in and its token.
func (c *call) movePage(status int, name, title, say string, form moveForm) error {
	to, err := c.settled()
	if err != nil {
		return err
	}
	if to != "" {
		return c.redirect(to)
	}
	if form.Ref, err = c.ref(); err != nil {
		return err
	}
	position, err := c.Agents.Float(c.r.Context(), c.operator)
	if err != nil {
		return err
	}
	form.Float, form.Amount, form.Bank = position.Float, clip(c.field("amount")), clip(c.field("bank"))
	if form.To = clip(c.field("to")); name == "float_send" {
		tills, err := c.Agents.Tills(c.r.Context(), c.operator)
		if err != nil {
			return err
		}
		for _, t := range tills[:min(len(tills), tillsOffered)] {
			if t.Number != c.operator.Till.Number && !t.Closed {
				form.Near = append(form.Near, t.Till)
			}
		}
	}
	return c.page(status, name, view{Title: title, Say: say, Data: form})
}

// tillsOffered is how many of one's tills are named to choose from; any other is
// keyed in.
const tillsOffered = 30

func (c *call) moveRefused(name, title string, form moveForm, err error) error {
	switch {
	case errors.Is(err, agents.ErrExists):
		err = accounts.Refuse("bank_ref_used")
	case errors.Is(err, agents.ErrOtherNetwork), errors.Is(err, agents.ErrNoHeadOffice):
		err = accounts.Refuse("other_network")
	}
	say, err := c.refused(err)
	if err != nil {
		return err
	}
	return c.movePage(http.StatusUnprocessableEntity, name, title, say, form)
}

func issueForm() moveForm {
	return moveForm{Kind: "issue", Path: "/agents/float/ask", Word: "ask_float"}
}

func returnForm() moveForm {
	return moveForm{Kind: "return", Path: "/agents/float/return", Word: "return_float"}
}

func (c *call) showAskFloat() error {
	return c.movePage(http.StatusOK, "float_ask", "ask_float", "", issueForm())
}

func (c *call) showReturnFloat() error {
	return c.movePage(http.StatusOK, "float_ask", "return_float", "", returnForm())
}

// askTillFloat asks for float against money that was put into the bank, once for
// each token.
func (c *call) askTillFloat() error {
	return c.requestFloat("ask_float", issueForm(), func(ref string, a money.Amount) error {
		if !isBankRef(c.field("bank")) {
			return accounts.Refuse("bad_bank_ref")
		}
		_, err := c.Agents.AskFloat(c.r.Context(), ref, c.operator, a, c.field("bank"))
		return err
	})
}

// returnTillFloat asks for money from the bank against float.
func (c *call) returnTillFloat() error {
	return c.requestFloat("return_float", returnForm(), func(ref string, a money.Amount) error {
		position, err := c.Agents.Float(c.r.Context(), c.operator)
		if err != nil {
			return err
		}
		if position.Float < a {
			return accounts.Refuse("float_low")
		}
		_, err = c.Agents.ReturnFloat(c.r.Context(), ref, c.operator, a)
		return err
	})
}

func (c *call) requestFloat(title string, form moveForm, ask func(ref string, a money.Amount) error) error {
	token := c.field("ref")
	if !isToken(token) {
		return c.oldForm()
	}
	if to, err := c.settled(); err != nil {
		return err
	} else if to != "" {
		return c.redirect(to)
	}
	a, err := c.amount()
	if err != nil {
		return c.moveRefused("float_ask", title, form, err)
	}
	if say, err := c.checkPIN(c.operator, c.field("pin")); err != nil {
		return err
	} else if say != "" {
		return c.movePage(http.StatusUnprocessableEntity, "float_ask", title, say, form)
	}
	if err := ask("portal:"+token, a); err != nil {
		return c.moveRefused("float_ask", title, form, err)
	}
	return c.redirect("/agents/done/" + token)
}

// askedFloatPage shows what became of a request.
func (c *call) askedFloatPage(f agents.FloatRequest) error {
	word := "float_state." + f.State + ".more"
	return c.page(http.StatusOK, "float_asked", view{Title: "float_request", Say: c.t(word), Good: f.State != "declined", Data: f})
}

func (c *call) showSendFloat() error {
	return c.movePage(http.StatusOK, "float_send", "send_float", "", moveForm{})
}

// checkSendFloat shows whom it is for and asks for the PIN.
func (c *call) checkSendFloat() error { return c.confirmSendFloat(http.StatusOK, "") }

func (c *call) confirmSendFloat(status int, say string) error {
	if to, err := c.settled(); err != nil {
		return err
	} else if to != "" {
		return c.redirect(to)
	}
	a, err := c.amount()
	if err != nil {
		return c.moveRefused("float_send", "send_float", moveForm{}, err)
	}
	t, _, err := c.Agents.QuoteTransfer(c.r.Context(), c.operator, c.field("to"), a)
	if err != nil {
		return c.moveRefused("float_send", "send_float", moveForm{}, err)
	}
	return c.movePage(status, "float_send_confirm", "send_float", say, moveForm{Whom: t, Money: a})
}

// sendFloat moves float to another till, once for each token.
func (c *call) sendFloat() error {
	token := c.field("ref")
	if !isToken(token) {
		return c.oldForm()
	}
	if to, err := c.settled(); err != nil {
		return err
	} else if to != "" {
		return c.redirect(to)
	}
	a, err := c.amount()
	if err != nil {
		return c.moveRefused("float_send", "send_float", moveForm{}, err)
	}
	if say, err := c.checkPIN(c.operator, c.field("pin")); err != nil {
		return err
	} else if say != "" {
		return c.confirmSendFloat(http.StatusUnprocessableEntity, say)
	}
	_, err = c.Agents.TransferFloat(c.r.Context(), "portal:"+token, c.operator, c.field("to"), a)
	if err != nil && !errors.Is(err, accounts.ErrPending) {
		return c.moveRefused("float_send", "send_float", moveForm{}, err)
	}
	return c.redirect("/agents/done/" + token)
}
