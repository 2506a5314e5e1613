package portal

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/money"
)

// bankForm is the page on which bank and book are compared.
type bankForm struct {
	agents.Reconciliation
	Off, Rest  money.Amount // bank less e-money; what of it no line explains
	OpenMore   int
	Import     *agents.BankImport
	Faults     []string
	FaultsMore int
	Closing    string
	MostMB     int
}

// faultsShown is how many lines that could not be read a page names.
const faultsShown = 20

func (c *call) showBank() error { return c.bankPage(http.StatusOK, "", nil) }

func (c *call) bankPage(status int, say string, done *agents.BankImport) error {
	r, err := c.Agents.Reconcile(c.r.Context(), c.staff)
	if err != nil {
		return err
	}
	form := bankForm{Reconciliation: r, Off: r.Difference(), Rest: r.Unlisted(), Import: done, MostMB: agents.MaxBankFile >> 20}
	form.OpenMore = max(0, len(r.Open)-listed)
	form.Open, form.Closed = r.Open[:min(len(r.Open), listed)], r.Closed[max(0, len(r.Closed)-5):]
	if say != "" {
		form.Closing = clip(c.field("closing"))
	}
	v := view{Title: "bank", Say: say, Data: &form}
	if done != nil {
		form.FaultsMore = max(0, len(done.Faults)-faultsShown)
		for _, f := range done.Faults[:min(len(done.Faults), faultsShown)] {
			why := "bank_fault." + f.Why
			form.Faults = append(form.Faults, c.t(why, "line", strconv.Itoa(f.Line), "what", f.What))
		}
		v.Good = len(done.Faults) == 0
		v.Say = c.t("bank_imported", "lines", strconv.Itoa(len(done.Lines)), "added", strconv.Itoa(done.Added), "skipped", strconv.Itoa(done.Skipped))
	}
	return c.page(status, "bank", v)
}

// importBank takes a statement as a file. The same file again adds nothing.
func (c *call) importBank() error {
	done, err := c.bankFile()
	if err != nil {
		say, err := c.staffSays(err)
		if err != nil {
			return err
		}
		return c.bankPage(http.StatusUnprocessableEntity, say, nil)
	}
	return c.bankPage(http.StatusOK, "", &done)
}

func (c *call) bankFile() (done agents.BankImport, err error) {
	f, head, err := c.r.FormFile("statement")
	if err != nil {
		return done, accounts.Refuse("bank_no_file")
	}
	defer f.Close()
	var closing *money.Amount
	if given := c.field("closing"); given != "" {
		a, err := c.Accounts.Country().Currency.Parse(given)
		if err != nil {
			return done, accounts.Refuse("bad_amount")
		}
		closing = &a
	}
	if err := c.wait(); err != nil {
		return done, err
	}
	defer func() { <-c.heavy }()
	raw, err := io.ReadAll(io.LimitReader(f, agents.MaxBankFile+1))
	if err != nil {
		return done, err
	}
	if len(raw) > agents.MaxBankFile {
		return done, accounts.Refuse("bank_large")
	}
	return c.Agents.ImportBank(c.r.Context(), c.staff, head.Filename, raw, closing)
}

// differenceForm is the page of one difference.
type differenceForm struct {
	agents.Difference
	Delta            money.Amount
	Explain, Close   bool
	Closed, OwnWords bool
	Reason           string
}

func (c *call) showDifference() error {
	return c.differencePage(http.StatusOK, c.r.PathValue("name"), "")
}

func (c *call) differencePage(status int, name, say string) error {
	d, err := c.Agents.DifferenceOf(c.r.Context(), c.staff, name)
	if errors.Is(err, agents.ErrNoDifference) {
		return c.notFound()
	}
	if err != nil {
		return err
	}
	form := differenceForm{Difference: d, Delta: d.Delta(), Closed: d.Closed(), Reason: clip(c.field("reason"))}
	form.OwnWords = d.Note != nil && d.Note.Maker == c.staff && !form.Closed
	form.Explain = !form.Closed && c.may(agents.ActReconcileNote)
	form.Close = !form.Closed && d.Note != nil && !form.OwnWords && c.may(agents.ActReconcileClose)
	return c.page(status, "difference", view{Title: "difference", Say: say, Data: form})
}

func (c *call) explainDifference() error { return c.onDifference(c.Agents.ExplainDifference) }
func (c *call) closeDifference() error   { return c.onDifference(c.Agents.CloseDifference) }

func (c *call) onDifference(do func(ctx context.Context, staff, name, reason string) error) error {
	name := c.field("name")
	err := do(c.r.Context(), c.staff, name, c.field("reason"))
	if errors.Is(err, agents.ErrNoDifference) {
		return c.notFound()
	}
	if err != nil {
		say, err := c.staffSays(err)
		if err != nil {
			return err
		}
		return c.differencePage(http.StatusUnprocessableEntity, name, say)
	}
	return c.redirect("/agents/staff/bank/" + name)
}

// bankCSV gives all differences as a file.
func (c *call) bankCSV() error {
	r, err := c.Agents.Reconcile(c.r.Context(), c.staff)
	if err != nil {
		return err
	}
	rows := [][]string{{c.t("csv.kind"), c.t("bank_ref"), c.t("since"), c.t("bank_has"), c.t("book_has"), c.t("bank_text"), c.t("float_request_no"), c.t("explanation"), c.t("explained_by"), c.t("closed_by")}}
	for _, list := range [][]agents.Difference{r.Open, r.Closed} {
		for _, d := range list {
			note := agents.Explanation{}
			if d.Note != nil {
				note = *d.Note
			}
			kind, request := "difference_"+d.Kind, ""
			if d.Request != 0 {
				request = strconv.FormatInt(d.Request, 10)
			}
			rows = append(rows, []string{
				c.t(kind), d.Ref, d.Since.In(c.Accounts.Country().Zone).Format(time.DateOnly), c.Accounts.Country().Currency.Plain(d.Bank), c.Accounts.Country().Currency.Plain(d.Book), d.Text, request, note.Note, note.Maker, note.Checker,
			})
		}
	}
	return c.csvFile("differences", rows)
}
