package portal

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rsc.io/qr"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/money"
)

// How many entries a page and a file show.
const (
	entriesOnPage = 15
	entriesInFile = 5000
)

// entriesForm is the page of entries: what is looked for, and what was found.
type entriesForm struct {
	Find, Day string
	List      []agents.Entry
	More      string // address of what is older; ""
	CSV       string
}

// find reads what is looked for: a phone number, a day, or both. A receipt's
// code leads to its own page.
func (c *call) find() (f agents.Find, code string, err error) {
	if day := c.field("day"); day != "" {
		f.From, err = time.ParseInLocation(time.DateOnly, day, c.Accounts.Country().Zone)
		if err != nil {
			return f, "", accounts.Refuse("bad_day")
		}
		f.Until = f.From.AddDate(0, 0, 1)
	}
	what := c.field("find")
	if what == "" {
		return f, "", nil
	}
	if n, err := c.Accounts.Country().Phone.Parse(what); err == nil {
		f.Phone = n
		return f, "", nil
	}
	return f, strings.ToUpper(what), nil
}

func (c *call) entries() error {
	form := entriesForm{Find: clip(c.field("find")), Day: clip(c.field("day"))}
	f, code, err := c.find()
	if err == nil && code != "" {
		_, err = c.Agents.Entry(c.r.Context(), c.operator, code)
		if err == nil {
			return c.redirect("/agents/entries/" + escape(code))
		}
	}
	f.Limit, f.Before = entriesOnPage+1, c.field("before")
	if err == nil {
		form.List, err = c.Agents.Entries(c.r.Context(), c.operator, f)
	}
	if errors.Is(err, agents.ErrNoEntry) {
		err = accounts.Refuse("no_entry")
	}
	if err != nil {
		say, err := c.refused(err)
		if err != nil {
			return err
		}
		return c.page(http.StatusUnprocessableEntity, "entries", view{Title: "entries", Say: say, Data: form})
	}
	query := "find=" + escape(form.Find) + "&day=" + escape(form.Day)
	form.CSV = "/agents/entries.csv?" + query
	if len(form.List) > entriesOnPage {
		form.List = form.List[:entriesOnPage]
		form.More = "/agents/entries?" + query + "&before=" + escape(form.List[entriesOnPage-1].Code)
	}
	return c.page(http.StatusOK, "entries", view{Title: "entries", Data: form})
}

// entriesCSV gives the same entries as a file; of today when no day was asked for.
func (c *call) entriesCSV() error {
	f, code, err := c.find()
	if err != nil || code != "" {
		return c.notFound()
	}
	if f.Limit = entriesInFile; f.From.IsZero() && f.Phone == "" {
		f.From = c.midnight()
	}
	list, err := c.Agents.Entries(c.r.Context(), c.operator, f)
	if err != nil {
		return err
	}
	rows := [][]string{{c.t("csv.time"), c.t("receipt"), c.t("csv.kind"), c.t("csv.in"), c.t("csv.out"), c.t("commission"), c.t("float"), c.t("csv.other"), c.t("number")}}
	for _, e := range list {
		in, out := "", c.plain(e.Amount)
		if e.In {
			in, out = out, in
		}
		rows = append(rows, []string{
			e.At.In(c.Accounts.Country().Zone).Format(time.DateTime), e.Code, c.kind(c.lang, e.Kind), in, out, c.plain(e.Commission), c.plain(e.Float), e.Other, e.Number,
		})
	}
	return c.file("entries", rows)
}

// file answers with a table for spreadsheets, named after the till and what it is.
func (c *call) file(name string, rows [][]string) error {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	for _, row := range rows {
		for i := range row {
			row[i] = cell(row[i])
		}
		if err := w.Write(row); err != nil {
			return err
		}
	}
	w.Flush()
	place := c.operator.Till.Number
	if place == "" {
		place = "office"
	}
	c.w.Header().Set("Content-Disposition", `attachment; filename="`+place+"-"+name+`.csv"`)
	return c.write(http.StatusOK, "text/csv; charset=utf-8", b.Bytes())
}

// cell keeps a spreadsheet from taking a text for a formula.
func cell(s string) string {
	if s != "" && strings.IndexByte("=+-@\t\r", s[0]) >= 0 {
		return "'" + s
	}
	return s
}

// plain writes an amount for programs: 1234.50.
func (c *call) plain(a money.Amount) string { return c.Accounts.Country().Currency.Plain(a) }

// midnight is when today began.
func (c *call) midnight() time.Time {
	zone := c.Accounts.Country().Zone
	y, m, d := c.Pool.Now().In(zone).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, zone)
}

func (c *call) entry() error {
	e, err := c.Agents.Entry(c.r.Context(), c.operator, c.r.PathValue("code"))
	if errors.Is(err, agents.ErrNoEntry) {
		return c.notFound()
	}
	if err != nil {
		return err
	}
	return c.receiptPage(e, "")
}

// receiptForm is an entry as it is shown and printed.
type receiptForm struct {
	agents.Entry
	Till       agents.Till
	QR         template.HTML
	Disputed   *agents.Reversal // nil: it was not
	MayDispute bool
}

func (c *call) receiptPage(e agents.Entry, say string) error {
	at := e.At.In(c.Accounts.Country().Zone).Format("2/1/06 15:04")
	square, err := square(strings.Join([]string{c.Accounts.Country().Brand, e.Code, c.kind(c.lang, e.Kind), c.Accounts.Money(e.Amount), at, cmp.Or(c.operator.Till.Number, c.operator.Till.Name)}, " "))
	if err != nil {
		return err
	}
	form := receiptForm{Entry: e, Till: c.operator.Till, QR: square}
	if form.Disputed, err = c.disputed(e); err != nil {
		return err
	}
	brokeOff := form.Disputed != nil && form.Disputed.State == "asked"
	form.MayDispute = c.may(agents.ActReversalAsk) && (brokeOff || form.Disputed == nil && c.Agents.Disputable(e))
	next, err := c.nextDeposit()
	if err != nil {
		return err
	}
	return c.page(http.StatusOK, "receipt", view{Title: "receipt", Say: say, Good: true, Data: form, Deposit: next})
}

// square draws a text as a QR code. What is drawn are numbers only.
func square(text string) (template.HTML, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", fmt.Errorf("portal: QR code: %w", err)
	}
	var path strings.Builder
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			from := x
			for x < code.Size && code.Black(x, y) {
				x++
			}
			if x > from {
				n := strconv.Itoa(x - from)
				path.WriteString("M" + strconv.Itoa(from+4) + " " + strconv.Itoa(y+4) + "h" + n + "v1h-" + n + "z")
			}
		}
	}
	side := strconv.Itoa(code.Size + 8)
	return template.HTML(`<svg class="qr" aria-hidden="true" viewBox="0 0 ` + side + ` ` + side + `"><path d="` + path.String() + `"/></svg>`), nil
}
