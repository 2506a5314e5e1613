package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"tuma/internal/text"
	"tuma/ussd"
)

// sight is what a person makes of a screen: which one it is, what it complains
// about, and what stands in it.
type sight struct {
	End     bool
	Screen  string // name in the menu; for an END without a screen the name of its text
	Problem string // key of the refusal in the line above, "" for none
	Holes   text.Holes
	Text    string
}

// shape is one screen in one language as a pattern.
type shape struct {
	name string
	end  bool
	re   *regexp.Regexp
}

// shapes reads the words and the tree once: screens, and refusals' lines.
var shapes = sync.OnceValues(func() (screens, problems []shape) {
	words, err := ussd.Words()
	if err != nil {
		panic(err)
	}
	tree := ussd.Tree()
	for _, lang := range words.Languages() {
		label := func(name string) string {
			t, _ := words.Text(lang, name)
			return t.Label
		}
		for _, name := range slices.Sorted(maps.Keys(tree.Screens)) {
			sc := tree.Screens[name]
			t, _ := words.Text(lang, name)
			var options []string
			for i, target := range sc.Pick {
				options = append(options, fmt.Sprintf("%d %s", i+1, label(target)))
			}
			if sc.Ask == ussd.Language {
				for i, l := range []string{"en", "sw", "fr"} {
					own, _ := words.Text(l, "own_name")
					options = append(options, fmt.Sprintf("%d %s", i+1, own.Label))
				}
			}
			if t.Body == "" && len(options) == 0 {
				continue // a junction
			}
			pattern := patternOf(t.Body)
			if sc.Above != "" {
				pattern += `(?:\n9 ` + patternOf(label(sc.Above)) + `)?`
			}
			for _, o := range options {
				if pattern != "" {
					pattern += `\n`
				}
				pattern += regexp.QuoteMeta(o)
			}
			if !sc.End {
				pattern += `(?:\n0 ` + regexp.QuoteMeta(label("back")) + `)?`
			}
			screens = append(screens, shape{name, sc.End, regexp.MustCompile(`^` + pattern + `$`)})
		}
		for name := range tree.Refusals {
			t, _ := words.Text(lang, "refusal."+name)
			re := regexp.MustCompile(`^` + patternOf(t.Body) + `$`)
			problems = append(problems, shape{name, false, re})
			screens = append(screens, shape{"refusal." + name, true, re})
		}
		for _, name := range []string{"sorry", "pending", "over", "slow_down"} {
			t, _ := words.Text(lang, name)
			screens = append(screens, shape{name, true, regexp.MustCompile(`^` + patternOf(t.Body) + `$`)})
		}
	}
	return screens, problems
})

var holePattern = regexp.MustCompile(`\{([a-z][a-z0-9_.]*)\}`)

// patternOf makes a text's holes into groups that hold what may stand there.
func patternOf(body string) string {
	body = strings.NewReplacer("{brand}", "Tuma", "{service}", "*334#", "{care}", "100").Replace(body)
	kinds := map[string]string{
		"amount": `-?Ksh[0-9,]+\.[0-9]{2}`, "number": `\+?[0-9]+`, "till": `[0-9]{6}`, "my_till": `[0-9]{6}`, "code": `[A-Z0-9]{10}`,
		"time": `[0-9]+:[0-9]{2} [AP]M`, "lines": `(?s:.+)`, "left": `[0-9]+|-?Ksh[0-9,]+\.[0-9]{2}`, "tier": `[0-9]`,
	}
	for _, k := range []string{"fee", "total", "balance", "float", "commission", "today", "min", "max", "entry", "room"} {
		kinds[k] = kinds["amount"]
	}
	var b strings.Builder
	rest := 0
	for _, at := range holePattern.FindAllStringSubmatchIndex(body, -1) {
		name := body[at[2]:at[3]]
		kind := kinds[name]
		if kind == "" {
			kind = `.+?`
		}
		b.WriteString(regexp.QuoteMeta(body[rest:at[0]]))
		fmt.Fprintf(&b, `(?P<%s>%s)`, name, kind)
		rest = at[1]
	}
	b.WriteString(regexp.QuoteMeta(body[rest:]))
	return b.String()
}

// look recognises an answer of the gateway's callback; an error when nothing in
// the menu looks like it.
func look(answer string) (sight, error) {
	kind, body, _ := strings.Cut(answer, " ")
	if kind != "CON" && kind != "END" {
		return sight{}, fmt.Errorf("neither CON nor END: %q", answer)
	}
	s := sight{End: kind == "END", Text: answer}
	screens, problems := shapes()
	if s.find(screens, body) {
		return s, nil
	}
	first, rest, _ := strings.Cut(body, "\n")
	for _, p := range problems {
		if p.re.MatchString(first) && s.find(screens, rest) {
			s.Problem = p.name
			return s, nil
		}
	}
	return s, fmt.Errorf("no screen looks like %q", answer)
}

func (s *sight) find(screens []shape, body string) bool {
	for _, sh := range screens {
		m := sh.re.FindStringSubmatch(body)
		if m == nil || sh.end != s.End {
			continue
		}
		s.Screen, s.Holes = sh.name, text.Holes{}
		for i, name := range sh.re.SubexpNames() {
			if name != "" {
				s.Holes[name] = m[i]
			}
		}
		return true
	}
	return false
}

// cents reads an amount from a screen: Ksh1,234.50.
func cents(shown string) int64 {
	n, err := strconv.ParseInt(strings.NewReplacer("Ksh", "", ",", "", ".", "").Replace(shown), 10, 64)
	if err != nil {
		panic("not an amount: " + shown)
	}
	return n
}

// international is a number from a screen as the books have it.
func international(shown string) string {
	if strings.HasPrefix(shown, "0") {
		return "+254" + shown[1:]
	}
	return shown
}

// national is a number as people key it in.
func national(number string) string { return "0" + strings.TrimPrefix(number, "+254") }
