package portal

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/phone"
)

// linesOnPage is how many lines of the log a page shows.
const linesOnPage = 15

// ownLogForm is the page of the log that the agent, or the head office, may read.
type ownLogForm struct {
	Who, Day string
	List     []agents.LogEntry
	More     string
}

// logActor gives an actor as the log names him: a number is an operator's, what
// has no digit alone is a member of staff, or the service itself.
func (c *call) logActor(who string) string {
	if who == "" {
		return ""
	}
	if n, err := c.Accounts.Country().Phone.Parse(who); err == nil {
		return "operator:" + string(n)
	}
	if who = strings.ToLower(who); who == "system" || who == strings.ToLower(c.t("log.system")) {
		return "system"
	}
	return "staff:" + who
}

func (c *call) ownLog() error {
	form := ownLogForm{Who: clip(c.field("who")), Day: clip(c.field("day"))}
	f := agents.LogFind{Actor: c.logActor(form.Who), Limit: linesOnPage + 1}
	f.Before, _ = strconv.ParseInt(c.field("before"), 10, 64) // what is no number begins with the newest
	f.Before = max(f.Before, 0)
	if form.Day != "" {
		day, err := time.ParseInLocation(time.DateOnly, form.Day, c.Accounts.Country().Zone)
		if err != nil {
			say, err := c.refused(accounts.Refuse("bad_day"))
			if err != nil {
				return err
			}
			return c.page(http.StatusUnprocessableEntity, "log", view{Title: "log", Say: say, Data: form})
		}
		f.From, f.Until = day, day.AddDate(0, 0, 1)
	}
	var err error
	if form.List, err = c.Agents.OwnLog(c.r.Context(), c.operator, f); err != nil {
		return err
	}
	if len(form.List) > linesOnPage {
		form.List = form.List[:linesOnPage]
		form.More = "/agents/log?who=" + escape(form.Who) + "&day=" + escape(form.Day) + "&before=" + strconv.FormatInt(form.List[linesOnPage-1].ID, 10)
	}
	return c.page(http.StatusOK, "log", view{Title: "log", Data: form})
}

// logAction is what people call an action of the log; one without a word keeps
// its own.
func (p *portal) logAction(lang, action string) string {
	if word, ok := p.words.Text(lang, "log."+action); ok {
		return word.Body
	}
	return action
}

// logName writes who or what a line of the log is about as people say it:
// operator:+254722000001 is a number, till:100001 a till.
func (p *portal) logName(lang, s string) string {
	kind, key, _ := strings.Cut(s, ":")
	if n, err := phone.Parse(key); err == nil {
		return p.Accounts.Country().Phone.National(n)
	}
	if kind == "operator" || kind == "staff" {
		return key
	}
	if word, ok := p.words.Text(lang, "log."+kind); ok {
		return strings.TrimSpace(word.Body + " " + key)
	}
	return s
}
