package portal

import (
	"errors"
	"net/http"

	"tuma/accounts"
	"tuma/agents"
)

// freezesForm is the page of what is frozen. What is to be let go is chosen from
// the list by its name in the log: no phone number stands in an address.
type freezesForm struct {
	List               []agents.Stopped
	More               bool
	Kind, Whom, Reason string
	Kinds              []string
	Letting            bool
}

// stoppedMost is how much of what is frozen is listed.
const stoppedMost = 50

func (c *call) showFreezes() error { return c.freezesPage(http.StatusOK, "", false) }

func (c *call) freezesPage(status int, say string, good bool) error {
	list, err := c.Agents.Stopped(c.r.Context(), stoppedMost+1)
	if err != nil {
		return err
	}
	form := freezesForm{List: list[:min(len(list), stoppedMost)], More: len(list) > stoppedMost, Kinds: []string{"till", "agent", "operator", "customer"}}
	if !good {
		form.Kind, form.Whom, form.Reason = clip(c.field("kind")), clip(c.field("whom")), clip(c.field("reason"))
	}
	for i := range form.List {
		if s := form.List[i]; c.r.Method == get && s.Subject == c.field("let") {
			form.Kind, form.Whom, form.Letting = s.Kind, c.national(s.Whom), true
		}
	}
	return c.page(status, "freezes", view{Title: "freezes", Say: say, Good: good, Data: form})
}

// freeze stops somebody or something at once, or lets it go. It moves no money,
// and it has to be quick: no code is asked for.
func (c *call) freeze() error {
	word := c.field("do")
	if word != "freeze" && word != "unfreeze" {
		return c.notFound()
	}
	if err := c.freezeWhom(c.field("kind"), c.field("whom"), word == "freeze", c.field("reason")); err != nil {
		say, err := c.staffSays(err)
		if err != nil {
			return err
		}
		return c.freezesPage(http.StatusUnprocessableEntity, say, false)
	}
	return c.freezesPage(http.StatusOK, c.t(word+".done", "whom", clip(c.field("whom"))), true)
}

func (c *call) freezeWhom(kind, whom string, frozen bool, reason string) error {
	ctx := c.r.Context()
	switch kind {
	case "till":
		return c.Agents.FreezeTill(ctx, c.staff, whom, frozen, reason)
	case "agent":
		return c.Agents.FreezeAgent(ctx, c.staff, whom, frozen, reason)
	}
	n, err := c.number("whom")
	if err != nil {
		return err
	}
	if kind == "operator" {
		return c.Agents.FreezeOperator(ctx, c.staff, n, frozen, reason)
	}
	who, err := c.Accounts.ByPhone(ctx, n)
	if errors.Is(err, accounts.ErrNoCustomer) {
		return accounts.Refuse("payee_unregistered", "number", c.Accounts.Country().Phone.National(n))
	}
	if err != nil {
		return err
	}
	return c.Agents.FreezeCustomer(ctx, c.staff, who, frozen, reason)
}
