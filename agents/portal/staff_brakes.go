package portal

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/phone"
)

// brakesOnPage is how many events of brakes a page shows.
const brakesOnPage = 20

// brakesForm is the page of what the rules against fraud have refused or noticed.
type brakesForm struct {
	Rule, Outcome, Who, Day string
	All                     bool // also what somebody has looked at
	Chosen                  bool // something of it was asked for
	Rules                   []string
	List                    []accounts.BrakeEvent
	More                    string // address of what is older; ""
}

func (c *call) showBrakes() error {
	form := brakesForm{Rule: clip(c.field("rule")), Outcome: clip(c.field("outcome")), Who: clip(c.field("who")), Day: clip(c.field("day")), All: c.field("all") != ""}
	form.Chosen = form.Rule+form.Outcome+form.Who+form.Day != "" || form.All
	for _, b := range c.Accounts.Brakes() {
		form.Rules = append(form.Rules, b.Rule)
	}
	f := accounts.BrakeFind{Rule: form.Rule, Outcome: form.Outcome, Open: !form.All, Limit: brakesOnPage + 1}
	var err error
	if form.Day != "" {
		f.Since, err = time.ParseInLocation(time.DateOnly, form.Day, c.Accounts.Country().Zone)
		f.Until = f.Since.AddDate(0, 0, 1)
	}
	if before := c.field("before"); before != "" && err == nil {
		f.Before, err = strconv.ParseInt(before, 10, 64)
	}
	if err != nil {
		return c.page(http.StatusUnprocessableEntity, "brakes", view{Title: "brakes", Say: c.t("refusal.bad_day"), Data: form})
	}
	if f.Subject = form.Who; form.Who != "" && strings.Trim(form.Who, "0123456789") == "" {
		f.Subject = "till:" + form.Who
	}
	if form.List, err = c.Accounts.BrakeEvents(c.r.Context(), f); err != nil {
		return err
	}
	if len(form.List) > brakesOnPage {
		form.List = form.List[:brakesOnPage]
		form.More = "/agents/staff/brakes?rule=" + escape(form.Rule) + "&outcome=" + escape(form.Outcome) + "&who=" + escape(form.Who) + "&day=" + escape(form.Day) +
			"&before=" + strconv.FormatInt(form.List[brakesOnPage-1].ID, 10)
		if form.All {
			form.More += "&all=1"
		}
	}
	return c.page(http.StatusOK, "brakes", view{Title: "brakes", Data: form})
}

// oneBrake is the page of one event, with what may be done about it.
type oneBrake struct {
	accounts.BrakeEvent
	Kind, Whom, Name                 string // of whom it is about, as the page of freezes has it; "" when it is nobody
	Limits                           accounts.Brake
	MayReview, MayRelease, MayFreeze bool
	Reason                           string
}

func (c *call) showOneBrake() error { return c.oneBrakePage(http.StatusOK, c.r.PathValue("id"), "") }

func (c *call) oneBrakePage(status int, number, say string) error {
	e, err := c.brakeEvent(number)
	if errors.Is(err, accounts.ErrNoBrakeEvent) {
		return c.notFound()
	}
	if err != nil {
		return err
	}
	form := oneBrake{BrakeEvent: e, Reason: clip(c.field("reason"))}
	form.Limits, _ = c.Accounts.Brakes().On(e.Rule)
	if form.Kind, form.Whom, form.Name, err = c.whom(e.Subject); err != nil {
		return err
	}
	form.MayReview = e.Word == "" && c.may(agents.ActBrakeReview)
	form.MayRelease = form.MayReview && e.Held() && c.may(agents.ActBrakeRelease)
	form.MayFreeze = form.MayReview && form.Kind != "" && c.may(agents.ActFreeze)
	return c.page(status, "brake", view{Title: "brake", Say: say, Data: form})
}

func (c *call) brakeEvent(number string) (accounts.BrakeEvent, error) {
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return accounts.BrakeEvent{}, accounts.ErrNoBrakeEvent
	}
	return c.Accounts.BrakeEventByID(c.r.Context(), id)
}

// whom says who an event is about: what freezes call it, a number as people say
// it, and a name. A phone may be a customer's or an operator's.
func (c *call) whom(subject string) (kind, number, name string, err error) {
	ctx := c.r.Context()
	what, which, _ := strings.Cut(subject, ":")
	switch what {
	case "till":
		t, err := c.Agents.AnyTill(ctx, which)
		if _, refused := errors.AsType[accounts.Refusal](err); err != nil && !refused {
			return "", "", "", err
		}
		return "till", which, t.Name, nil
	case "customer":
		id, err := strconv.ParseInt(which, 10, 64)
		if err != nil {
			return "", "", "", nil
		}
		who, err := c.Accounts.ByID(ctx, id)
		if errors.Is(err, accounts.ErrNoCustomer) {
			return "", "", "", nil
		}
		return "customer", c.Accounts.Country().Phone.National(who.Phone), who.Name, err
	case "phone":
		national := c.national(which)
		who, err := c.Accounts.ByPhone(ctx, phone.Number(which))
		if err == nil {
			return "customer", national, who.Name, nil
		}
		o, err2 := c.Agents.ByPhone(ctx, phone.Number(which))
		switch {
		case err2 == nil:
			return "operator", national, o.Name, nil
		case errors.Is(err, accounts.ErrNoCustomer) && errors.Is(err2, agents.ErrNoOperator):
			return "", national, "", nil
		}
		return "", "", "", errors.Join(err, err2)
	}
	return "", "", "", nil
}

// decideBrake is what somebody makes of an event: honest, fraud, fraud with a
// freeze of whom it is about, or honest with what is held released. That last one
// lets money move, so it asks for another code.
func (c *call) decideBrake() error {
	number, word := c.field("id"), c.field("decide")
	e, err := c.brakeEvent(number)
	if errors.Is(err, accounts.ErrNoBrakeEvent) {
		return c.notFound()
	}
	if err != nil {
		return err
	}
	say := map[string]string{"fine": accounts.BrakeFine, "fraud": accounts.BrakeFraud, "freeze": accounts.BrakeFraud, "release": accounts.BrakeReleased}[word]
	if say == "" || word == "release" && !c.may(agents.ActBrakeRelease) || word == "freeze" && !c.may(agents.ActFreeze) {
		return c.notFound()
	}
	here := "/agents/staff/brakes/" + strconv.FormatInt(e.ID, 10)
	if e.Word == say && e.By == c.staff {
		return c.redirect(here) // pressed twice
	}
	reason, err := agents.CheckReason(c.field("reason"))
	if err == nil && e.Word != "" {
		err = agents.ErrDecided
	}
	if err == nil && word == "release" {
		err = c.confirmed()
	}
	if err == nil && word == "freeze" {
		err = c.freezeSubject(e.Subject, reason)
	}
	if err == nil {
		err = c.Agents.ReviewBrake(c.r.Context(), c.staff, e.ID, say, reason)
	}
	if err != nil {
		say, err := c.staffSays(err)
		if err != nil {
			return err
		}
		return c.oneBrakePage(http.StatusUnprocessableEntity, number, say)
	}
	return c.redirect(here)
}

func (c *call) freezeSubject(subject, reason string) error {
	ctx := c.r.Context()
	kind, _, _, err := c.whom(subject)
	if err != nil {
		return err
	}
	_, which, _ := strings.Cut(subject, ":")
	switch {
	case kind == "till":
		return c.Agents.FreezeTill(ctx, c.staff, which, true, reason)
	case kind == "operator":
		return c.Agents.FreezeOperator(ctx, c.staff, phone.Number(which), true, reason)
	case kind == "customer":
		who, err := c.subjectCustomer(subject)
		if err != nil {
			return err
		}
		return c.Agents.FreezeCustomer(ctx, c.staff, who, true, reason)
	}
	return accounts.Refuse("no_customer")
}

func (c *call) subjectCustomer(subject string) (accounts.Customer, error) {
	what, which, _ := strings.Cut(subject, ":")
	if what == "phone" {
		return c.Accounts.ByPhone(c.r.Context(), phone.Number(which))
	}
	id, err := strconv.ParseInt(which, 10, 64)
	if err != nil {
		return accounts.Customer{}, err
	}
	return c.Accounts.ByID(c.r.Context(), id)
}

// ruleName is a rule's name in words, or its own where there are none.
func (p *portal) ruleName(lang, rule string) string {
	if word, ok := p.words.Text(lang, "brake."+rule); ok {
		return word.Body
	}
	return rule
}
