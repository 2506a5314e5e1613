package portal

import (
	"net/http"
	"strconv"
	"time"

	"tuma/agents"
)

// logOnPage is how many lines of the log a page shows.
const logOnPage = 20

// logForm is the page of the whole log.
type logForm struct {
	Who, What, Day string
	List           []agents.FoundLine
	More           string // address of what is older; ""
	Broken         bool   // a line that is shown is not as it was written
	Check          string // address that has all of it checked
}

func (c *call) wholeLog() error {
	form := logForm{Who: clip(c.field("who")), What: clip(c.field("what")), Day: clip(c.field("day"))}
	f := agents.LogSearch{Who: form.Who, Action: form.What, Limit: logOnPage + 1}
	var err error
	if form.Day != "" {
		f.From, err = time.ParseInLocation(time.DateOnly, form.Day, c.Accounts.Country().Zone)
		f.Until = f.From.AddDate(0, 0, 1)
	}
	if before := c.field("before"); before != "" && err == nil {
		f.Before, err = strconv.ParseInt(before, 10, 64)
	}
	if err != nil {
		return c.page(http.StatusUnprocessableEntity, "whole_log", view{Title: "whole_log", Say: c.t("refusal.bad_day"), Data: form})
	}
	if form.List, err = c.Agents.FindLog(c.r.Context(), f); err != nil {
		return err
	}
	query := "who=" + escape(form.Who) + "&what=" + escape(form.What) + "&day=" + escape(form.Day)
	if len(form.List) > logOnPage {
		form.List = form.List[:logOnPage]
		form.More = "/agents/staff/log?" + query + "&before=" + strconv.FormatInt(form.List[logOnPage-1].ID, 10)
	}
	for _, l := range form.List {
		form.Broken = form.Broken || !l.Holds
	}
	v := view{Title: "whole_log", Data: form}
	if c.field("check") != "" {
		if v.Say, v.Good, err = c.checkLog(); err != nil {
			say, err := c.refused(err)
			if err != nil {
				return err
			}
			v.Say = say
		}
	}
	return c.page(http.StatusOK, "whole_log", v)
}

// checkLog reads the whole log and says whether it is as it was written.
func (c *call) checkLog() (say string, good bool, err error) {
	if err := c.within("log_check", c.staff, triesOfNumber()); err != nil {
		return "", false, err
	}
	if err := c.wait(); err != nil {
		return "", false, err
	}
	defer func() { <-c.heavy }()
	lines := int64(0)
	breaks, err := agents.EachLog(c.r.Context(), c.Pool, func(agents.LogEntry) { lines++ })
	if err != nil {
		return "", false, err
	}
	if len(breaks) > 0 {
		return c.t("log_broken", "what", breaks[0].What), false, nil
	}
	return c.t("log_whole", "lines", strconv.FormatInt(lines, 10)), true, nil
}

// national writes a phone number as people say it, and leaves anything else.
func (c *call) national(s string) string {
	if len(s) == 0 || s[0] != '+' {
		return s
	}
	n, err := c.Accounts.Country().Phone.Parse(s)
	if err != nil {
		return s
	}
	return c.Accounts.Country().Phone.National(n)
}
