package ussd

import (
	"maps"
	"strconv"
	"strings"

	"tuma/internal/text"
)

// MaxSeptets is what a phone shows of one message: 160 octets hold 182
// characters of 7 bits.
const MaxSeptets = 160 * 8 / 7

// show makes the reply of the screen that the walk has come to.
func (w *walk) show() {
	if w.over {
		return
	}
	sc, pages := w.screen(), w.pages()
	if w.over || len(pages) == 0 {
		return
	}
	page := min(w.step.Page, len(pages)-1)
	w.over, w.reply = true, Reply{End: sc.End && page == len(pages)-1, Text: pages[page]}
}

// pages is the screen's text, in as many pages as it needs; one if the screen
// is not a long one.
func (w *walk) pages() []string {
	s, sc := w.step, w.screen()
	body, err := w.fill(s.Screen, nil)
	if err != nil {
		w.fail(err)
		return nil
	}
	v := view{problem: w.problem, body: body, more: keyMore + " " + w.m.label(s.Lang, "more")}
	if above := w.above(); above != "" {
		v.options = append(v.options, above)
	}
	for i, target := range sc.Pick {
		v.options = append(v.options, strconv.Itoa(i+1)+" "+w.m.label(s.Lang, target))
	}
	if sc.Ask == Language {
		for i, lang := range s.Accounts.Country().Languages {
			v.options = append(v.options, strconv.Itoa(i+1)+" "+w.m.label(lang, "own_name"))
		}
	}
	if !sc.End && len(s.Trail) > 0 {
		v.back = keyBack + " " + w.m.label(s.Lang, "back")
	}
	if !sc.Long {
		return []string{v.text()}
	}
	v.problem = "" // it would move the pages' borders, and the line with the key says enough
	return v.pages()
}

// above is the line of the screen that is offered above a list, "" when there is
// none or its label has nothing to say.
func (w *walk) above() string {
	name := w.screen().Above
	if name == "" {
		return ""
	}
	label := w.m.label(w.step.Lang, name)
	for _, hole := range text.HolesOf(label) {
		if w.step.Holes[hole] == "" {
			return ""
		}
	}
	line, _ := text.FillString(label, w.step.Holes) // cannot fail: all holes are there
	return keyAbove + " " + line
}

// fill fills a text: the session's holes, those of a refusal, and those that
// every text may have.
func (w *walk) fill(name string, more text.Holes) (string, error) {
	holes := w.m.holes()
	maps.Copy(holes, w.step.Holes)
	maps.Copy(holes, more)
	lang := w.step.Lang
	if !w.m.speaks(lang) {
		lang = w.m.accounts.Country().Languages[0]
	}
	return w.m.words.Fill(lang, name, holes)
}

// view is a screen about to be written.
type view struct {
	problem, body string
	options       []string
	back, more    string // "" or the line with the key
}

func (v view) lines() []string {
	var lines []string
	if v.problem != "" {
		lines = append(lines, v.problem)
	}
	if v.body != "" {
		lines = append(lines, strings.Split(v.body, "\n")...)
	}
	return append(lines, v.options...)
}

func (v view) text() string {
	lines := v.lines()
	if v.back != "" {
		lines = append(lines, v.back)
	}
	return strings.Join(lines, "\n")
}

// pages cuts between lines so that each page fits a phone's screen together
// with the line that leads to the next.
func (v view) pages() []string {
	if fits(v.text()) {
		return []string{v.text()}
	}
	var pages []string
	page := ""
	for _, line := range v.lines() {
		longer := line
		if page != "" {
			longer = page + "\n" + line
		}
		if page != "" && !fits(longer+"\n"+v.more) {
			pages = append(pages, page+"\n"+v.more)
			longer = line
		}
		page = longer
	}
	if v.back != "" {
		page += "\n" + v.back
	}
	return append(pages, page)
}

func fits(s string) bool {
	n, _ := text.Septets(s)
	return n <= MaxSeptets
}
