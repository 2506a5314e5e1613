package ussd

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"tuma/internal/text"
)

// Document writes the menu as a page of Markdown: a drawing of the tree, and
// every screen's text in every language. The order is the one in which a
// customer could come upon the screens.
func (m Menu) Document(words *text.Catalogue) string {
	var b strings.Builder
	b.WriteString("# The USSD menu\n\nMade from `ussd/menu.go` and `ussd/screens/*.txt`; `go test ./ussd -update` writes it anew.\n\n")
	b.WriteString("```mermaid\n" + m.Mermaid(words) + "```\n\n")
	b.WriteString("Boxes are lists to choose from, slanted boxes questions, circles ends, small diamonds are passed through.\n" +
		"A line with the key 9 is there while something waits for an answer.\n" +
		"Dotted arrows are refusals that have a screen of their own; a thick arrow follows money that has moved.\n\n## Screens\n")
	for _, name := range m.names() {
		sc := m.Screens[name]
		if sc.junction() {
			continue
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s.\n", name, m.describe(sc))
		for _, lang := range words.Languages() {
			fmt.Fprintf(&b, "\n%s\n\n```\n%s\n```\n", lang, m.sketch(words, lang, name))
		}
	}
	b.WriteString("\n## Refusals\n\n| key | then |")
	for _, lang := range words.Languages() {
		b.WriteString(" " + lang + " |")
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(words.Languages())) + "\n")
	for _, key := range m.refusalKeys() {
		then := "ask again"
		if m.Refusals[key] == EndsWith {
			then = "end"
		}
		fmt.Fprintf(&b, "| %s | %s |", key, then)
		for _, lang := range words.Languages() {
			t, _ := words.Text(lang, "refusal."+key)
			b.WriteString(" " + strings.ReplaceAll(t.Body, "\n", " ") + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (m Menu) refusalKeys() []string {
	var keys []string
	for key := range m.Refusals {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func (m Menu) describe(sc Screen) string {
	var what string
	switch {
	case len(sc.Pick) > 0:
		what = "A list"
	case sc.Ask != Nothing:
		what = "Asks for: " + sc.Ask.String()
	default:
		what = "An end"
	}
	if sc.Long {
		what += ", in pages"
	}
	if sc.Pay != nil {
		what += ", then moves money"
	}
	return what
}

// sketch is a screen with its holes left open.
func (m Menu) sketch(words *text.Catalogue, lang, name string) string {
	sc := m.Screens[name]
	t, _ := words.Text(lang, name)
	v := view{body: t.Body}
	if sc.Above != "" {
		l, _ := words.Text(lang, sc.Above)
		v.options = append(v.options, keyAbove+" "+l.Label)
	}
	for i, target := range sc.Pick {
		l, _ := words.Text(lang, target)
		v.options = append(v.options, strconv.Itoa(i+1)+" "+l.Label)
	}
	if sc.Ask == Language {
		for i, other := range words.Languages() {
			l, _ := words.Text(other, "own_name")
			v.options = append(v.options, strconv.Itoa(i+1)+" "+l.Label)
		}
	}
	return v.text()
}

// Mermaid draws the tree.
func (m Menu) Mermaid(words *text.Catalogue) string {
	lang := "en"
	if !slices.Contains(words.Languages(), lang) {
		lang = words.Languages()[0]
	}
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	names := m.names()
	for _, name := range names {
		sc := m.Screens[name]
		open, shut := "[", "]"
		switch {
		case sc.junction():
			open, shut = "{", "}"
		case sc.End:
			open, shut = "((", "))"
		case sc.Ask != Nothing:
			open, shut = "[/", "/]"
		}
		title := name
		if sc.Ask != Nothing {
			title += "<br/>" + sc.Ask.String()
		}
		// "end" alone would be a word of the drawing's own language.
		fmt.Fprintf(&b, "  s_%s%s\"%s\"%s\n", name, open, title, shut)
	}
	for _, name := range names {
		sc := m.Screens[name]
		if sc.Above != "" {
			l, _ := words.Text(lang, sc.Above)
			fmt.Fprintf(&b, "  s_%s -->|\"%s %s\"| s_%s\n", name, keyAbove, l.Label, sc.Above)
		}
		for i, target := range sc.Pick {
			l, _ := words.Text(lang, target)
			fmt.Fprintf(&b, "  s_%s -->|\"%d %s\"| s_%s\n", name, i+1, strings.ReplaceAll(l.Label, `"`, "'"), target)
		}
		switch {
		case sc.Then == Resumed:
			fmt.Fprintf(&b, "  s_%s --> resumed([\"where it broke off\"])\n", name)
		case sc.Then != "" && sc.Pay != nil:
			fmt.Fprintf(&b, "  s_%s ==> s_%s\n", name, sc.Then)
		case sc.Then != "":
			fmt.Fprintf(&b, "  s_%s --> s_%s\n", name, sc.Then)
		}
		var keys []string
		for key := range sc.Else {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			fmt.Fprintf(&b, "  s_%s -.->|%s| s_%s\n", name, key, sc.Else[key])
		}
	}
	return b.String()
}

// Print writes the tree for a terminal: each screen once, under the first that
// leads to it.
func (m Menu) Print(w io.Writer, words *text.Catalogue, lang string) error {
	seen := map[string]bool{}
	var print func(name, how string, depth int) error
	print = func(name, how string, depth int) error {
		sc, ok := m.Screens[name]
		indent := strings.Repeat("  ", depth)
		if !ok || seen[name] {
			_, err := fmt.Fprintf(w, "%s%s-> %s\n", indent, how, name)
			return err
		}
		seen[name] = true
		body := "(passed through)"
		if !sc.junction() {
			t, _ := words.Text(lang, name)
			body = strings.ReplaceAll(t.Body, "\n", " / ")
		}
		if sc.Ask != Nothing {
			body += " [" + sc.Ask.String() + "]"
		}
		if sc.Pay != nil {
			body += " [moves money]"
		}
		if _, err := fmt.Fprintf(w, "%s%s%s: %s\n", indent, how, name, body); err != nil {
			return err
		}
		if sc.Above != "" {
			l, _ := words.Text(lang, sc.Above)
			if err := print(sc.Above, keyAbove+" "+l.Label+" ", depth+1); err != nil {
				return err
			}
		}
		for i, target := range sc.Pick {
			l, _ := words.Text(lang, target)
			if err := print(target, fmt.Sprintf("%d %s ", i+1, l.Label), depth+1); err != nil {
				return err
			}
		}
		var keys []string
		for key := range sc.Else {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			if err := print(sc.Else[key], "("+key+") ", depth+1); err != nil {
				return err
			}
		}
		if sc.Then != "" {
			return print(sc.Then, "", depth+1)
		}
		return nil
	}
	if err := print(m.Start, "", 0); err != nil {
		return err
	}
	return print(m.Resume, "", 0)
}
