package text

import (
	"fmt"
	"slices"
	"strings"
)

// Check lists what is wrong with the catalogue as a whole, one line each,
// sorted; a test wants it empty. It finds a name that a language lacks, a
// label that only some languages have, holes that differ between languages,
// characters outside GSM 7-bit, and spaces at the end of a line.
func (c *Catalogue) Check() []string {
	var problems []string
	say := func(lang, name, format string, args ...any) {
		problems = append(problems, fmt.Sprintf("%s [%s]: ", lang, name)+fmt.Sprintf(format, args...))
	}
	languages := c.Languages()
	for _, name := range c.Names() {
		model := "" // the first language that has the name; the others must agree with it
		for _, lang := range languages {
			t, ok := c.Text(lang, name)
			if !ok {
				say(lang, name, "missing")
				continue
			}
			if odd := outsideGSM7(t.Label + t.Body); odd != "" {
				say(lang, name, "characters outside GSM 7-bit: %s", odd)
			}
			for line := range strings.SplitSeq(t.Label+"\n"+t.Body, "\n") {
				if strings.TrimRight(line, " \t\r") != line {
					say(lang, name, "space at the end of %q", line)
				}
			}
			if model == "" {
				model = lang
				continue
			}
			first, _ := c.Text(model, name)
			if (t.Label == "") != (first.Label == "") {
				say(lang, name, "label %q, but %q in %s", t.Label, first.Label, model)
			}
			for _, part := range []struct{ what, here, there string }{{"label", t.Label, first.Label}, {"body", t.Body, first.Body}} {
				if here, there := HolesOf(part.here), HolesOf(part.there); !slices.Equal(here, there) {
					say(lang, name, "%s has holes %v, but %v in %s", part.what, here, there, model)
				}
			}
		}
	}
	slices.Sort(problems)
	return problems
}

// outsideGSM7 names the characters of s that are outside, each once.
func outsideGSM7(s string) string {
	var odd []string
	for _, r := range s {
		if weight(r) == 0 {
			odd = append(odd, fmt.Sprintf("%q", r))
		}
	}
	slices.Sort(odd)
	return strings.Join(slices.Compact(odd), " ")
}
