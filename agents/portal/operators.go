package portal

import (
	"cmp"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/phone"
)

// The operators of one's own tills. A form says how it found the operator; when
// that has changed since, it changes nothing and the page says how it is now: an
// old form sent again undoes nobody's work.

// operatorsOnPage is how many operators a page shows.
const operatorsOnPage = 20

// operatorsForm is the list of operators.
type operatorsForm struct {
	List []agents.Operator
	More string
}

func (c *call) operators() error {
	list, err := c.Agents.Operators(c.r.Context(), c.operator)
	if err != nil {
		return c.managedRefused(err)
	}
	from, _ := strconv.Atoi(c.field("from"))
	from = min(max(from, 0), len(list))
	form := operatorsForm{List: list[from:]}
	if len(form.List) > operatorsOnPage {
		form.List = form.List[:operatorsOnPage]
		form.More = "/agents/operators?from=" + strconv.Itoa(from+operatorsOnPage)
	}
	return c.page(http.StatusOK, "operators", view{Title: "operators", Data: form})
}

// managedRefused says that this till manages nobody now, for instance because it
// is closed.
func (c *call) managedRefused(err error) error {
	say, err := c.refused(err)
	if err != nil {
		return err
	}
	return c.page(http.StatusUnprocessableEntity, "message", view{Title: "operators", Say: say})
}

// newOperatorForm is the page on which an operator is added.
type newOperatorForm struct {
	Number, Name, ID, Till, Role, Lang string
	Tills                              []agents.Till
	Roles                              []string // none: a head office has heads
	Languages                          []language
}

// ownRoles are the roles at a till.
var ownRoles = [...]string{"assistant", "auditor", "owner"}

func (c *call) showNewOperator() error { return c.newOperatorPage(http.StatusOK, "") }

func (c *call) newOperatorPage(status int, say string) error {
	form := newOperatorForm{Number: clip(c.field("number")), Name: clip(c.field("name")), ID: clip(c.field("id")),
		Till: cmp.Or(clip(c.field("till")), c.operator.Till.Number), Role: cmp.Or(clip(c.field("role")), ownRoles[0]), Lang: cmp.Or(c.field("lang"), c.lang)}
	for _, code := range c.languages {
		own, _ := c.words.Text(code, "own_name")
		form.Languages = append(form.Languages, language{code, own.Body, code == form.Lang})
	}
	if c.operator.Role != "head" {
		tills, err := c.Agents.Tills(c.r.Context(), c.operator)
		if err != nil {
			return err
		}
		for _, t := range tills {
			form.Tills = append(form.Tills, t.Till)
		}
		form.Roles = ownRoles[:]
	}
	return c.page(status, "operator_new", view{Title: "operator_new", Say: say, Data: form})
}

// addOperator puts a person at a till. The number makes it happen once: the same
// form again shows the operator that it has made.
func (c *call) addOperator() error {
	n, err := c.number("number")
	if err != nil {
		return c.newOperatorRefused(err)
	}
	if x, err := c.managed(n); err == nil && sameName(x.Name, c.field("name")) && x.IDNumber == c.field("id") {
		return c.redirect("/agents/operators/" + c.Accounts.Country().Phone.National(n))
	}
	if say, err := c.checkPIN(c.operator, c.field("pin")); err != nil {
		return err
	} else if say != "" {
		return c.newOperatorPage(http.StatusUnprocessableEntity, say)
	}
	role := c.field("role")
	if role != ownRoles[0] && role != ownRoles[1] && role != ownRoles[2] {
		role = ownRoles[0]
	}
	err = c.Agents.AddOperator(c.r.Context(), c.operator, agents.NewOperator{
		Till: c.field("till"), Phone: n, Name: c.field("name"), IDNumber: c.field("id"), Lang: c.field("lang"), Role: role,
	})
	switch {
	case errors.Is(err, agents.ErrExists):
		err = accounts.Refuse("operator_exists")
	case errors.Is(err, agents.ErrOtherNetwork):
		err = accounts.Refuse("other_network")
	}
	if err != nil {
		return c.newOperatorRefused(err)
	}
	return c.redirect("/agents/operators/" + c.Accounts.Country().Phone.National(n))
}

func sameName(a, b string) bool {
	return strings.Join(strings.Fields(strings.ToUpper(a)), " ") == strings.Join(strings.Fields(strings.ToUpper(b)), " ")
}

func (c *call) newOperatorRefused(err error) error {
	say, err := c.refused(err)
	if err != nil {
		return err
	}
	return c.newOperatorPage(http.StatusUnprocessableEntity, say)
}

// managed is one of the operators that the caller manages; agents.ErrNoOperator
// for anybody else.
func (c *call) managed(n phone.Number) (agents.Operator, error) {
	list, err := c.Agents.Operators(c.r.Context(), c.operator)
	if err != nil {
		return agents.Operator{}, err
	}
	for _, o := range list {
		if o.Phone == n {
			return o, nil
		}
	}
	return agents.Operator{}, agents.ErrNoOperator
}

// operatorForm is the page of an operator.
type operatorForm struct {
	agents.Operator
	Self            bool
	Roles           []string // none: a head office has heads
	From, To        string   // of the hours; "": always
	Reason          string
	WasDuty, WasPIN string
}

// whose finds the operator of the address; the page says that there is none
// where it is nobody's whom the caller manages.
func (c *call) whose() (o agents.Operator, found bool, err error) {
	n, err := c.Accounts.Country().Phone.Parse(c.r.PathValue("number"))
	if err != nil {
		return o, false, nil
	}
	o, err = c.managed(n)
	if errors.Is(err, agents.ErrNoOperator) {
		return o, false, nil
	}
	return o, err == nil, err
}

func (c *call) showOperator() error {
	o, found, err := c.whose()
	switch {
	case err != nil:
		return c.managedRefused(err)
	case !found:
		return c.notFound()
	}
	return c.operatorPage(http.StatusOK, "", o)
}

func (c *call) operatorPage(status int, say string, o agents.Operator) error {
	form := operatorForm{Operator: o, Self: o.ID == c.operator.ID, Reason: clip(c.field("reason"))}
	var err error
	if form.WasPIN, err = c.wasPIN(o); err != nil {
		return err
	}
	if form.WasDuty, err = wasDuty(o); err != nil {
		return err
	}
	if o.Role != "head" {
		form.Roles = ownRoles[:]
	}
	if o.Hours != nil {
		form.From, form.To, _ = strings.Cut(o.Hours.String(), "-")
	}
	return c.page(status, "operator", view{Title: "operator", Say: say, Data: form})
}

// manage does something to the operator of the address, after the caller's PIN,
// unless was, what the form found, is no longer so.
func (c *call) manage(is func(o agents.Operator) (string, error), do func(o agents.Operator) error) error {
	o, found, err := c.whose()
	switch {
	case err != nil:
		return c.managedRefused(err)
	case !found:
		return c.notFound()
	}
	here := "/agents/operators/" + c.Accounts.Country().Phone.National(o.Phone)
	if was, err := is(o); err != nil {
		return err
	} else if was != c.field("was") {
		return c.redirect(here)
	}
	if say, err := c.checkPIN(c.operator, c.field("pin")); err != nil {
		return err
	} else if say != "" {
		return c.operatorPage(http.StatusUnprocessableEntity, say, o)
	}
	err = do(o)
	switch {
	case errors.Is(err, agents.ErrNoOperator):
		return c.notFound()
	case errors.Is(err, agents.ErrSelf):
		err = accounts.Refuse("not_yourself")
	case errors.Is(err, agents.ErrNoReason):
		err = accounts.Refuse("no_why")
	}
	if err != nil {
		say, err := c.refused(err)
		if err != nil {
			return err
		}
		return c.operatorPage(http.StatusUnprocessableEntity, say, o)
	}
	return c.redirect(here)
}

// wasDuty is what a form about role and hours has found.
func wasDuty(o agents.Operator) (string, error) { return o.Role + " " + o.Hours.String(), nil }

// setDuty changes an operator's role and hours.
func (c *call) setDuty() error {
	return c.manage(wasDuty, func(o agents.Operator) error {
		hours, err := c.hours()
		if err != nil {
			return err
		}
		if role := c.field("role"); role != o.Role && o.Role != "head" {
			if role != ownRoles[0] && role != ownRoles[1] && role != ownRoles[2] {
				return accounts.Refuse("bad_role")
			}
			if err := c.Agents.SetOperatorRole(c.r.Context(), c.operator, o.Phone, role); err != nil {
				return err
			}
		}
		if hours.String() == o.Hours.String() {
			return nil
		}
		return c.Agents.SetOperatorHours(c.r.Context(), c.operator, o.Phone, hours)
	})
}

// hours reads when an operator may move money; nil: always.
func (c *call) hours() (*agents.Hours, error) {
	from, to := c.field("from"), c.field("to")
	if from == "" && to == "" {
		return nil, nil
	}
	var h agents.Hours
	for _, x := range []struct {
		s    string
		into *int
	}{{from, &h.From}, {to, &h.To}} {
		hour, minute, ok := strings.Cut(x.s, ":")
		a, err1 := strconv.Atoi(hour)
		b, err2 := strconv.Atoi(minute)
		if !ok || err1 != nil || err2 != nil || a < 0 || a > 23 || b < 0 || b > 59 {
			return nil, accounts.Refuse("bad_hours")
		}
		*x.into = a*60 + b
	}
	if h.From == h.To {
		return nil, accounts.Refuse("bad_hours")
	}
	return &h, nil
}

func wasFrozen(o agents.Operator) (string, error) { return strconv.FormatBool(o.Frozen), nil }

// freezeOperator stops an operator, or lets him go.
func (c *call) freezeOperator() error {
	return c.manage(wasFrozen, func(o agents.Operator) error {
		return c.Agents.FreezeOwnOperator(c.r.Context(), c.operator, o.Phone, !o.Frozen, c.field("reason"))
	})
}

// wasPIN is when the PIN was chosen, "" when there is none.
func (c *call) wasPIN(o agents.Operator) (string, error) {
	at, chosen, err := c.Accounts.PINs().Changed(c.r.Context(), o.PIN)
	if err != nil || !chosen {
		return "", err
	}
	return strconv.FormatInt(at.UnixMicro(), 10), nil
}

// resetPIN takes a forgotten PIN away.
func (c *call) resetPIN() error {
	return c.manage(c.wasPIN, func(o agents.Operator) error {
		return c.Agents.ResetOperatorPIN(c.r.Context(), c.operator, o.Phone)
	})
}
