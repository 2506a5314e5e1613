package ussd

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tuma/internal/text"
)

// has tells whether there is a screen of that name.
func (m Menu) has(name string) bool { _, ok := m.Screens[name]; return ok }

// junction tells whether a screen is only passed through.
func (s Screen) junction() bool { return len(s.Pick) == 0 && s.Ask == Nothing && !s.End }

// edges are the screens that may follow.
func (s Screen) edges() []string {
	to := slices.Clone(s.Pick)
	if s.Above != "" {
		to = slices.Insert(to, 0, s.Above)
	}
	if s.Then != "" {
		to = append(to, s.Then)
	}
	for _, key := range slices.Sorted(maps.Keys(s.Else)) {
		to = append(to, s.Else[key])
	}
	return to
}

// names lists the screens from the start on, nearest first.
func (m Menu) names() []string {
	var order []string
	seen := map[string]bool{}
	queue := []string{m.Start, m.Resume}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		if seen[name] || !m.has(name) {
			continue
		}
		seen[name] = true
		order = append(order, name)
		queue = append(queue, m.Screens[name].edges()...)
	}
	return order
}

// Check lists what is wrong with the menu and its words, one line each. An
// empty answer means: every edge leads somewhere, every screen can be reached
// and left for an end, no money moves but behind the caller's PIN, every text
// is there in every language with the same holes, and fits a phone's screen
// with the widest value in every hole and the longest reason above it.
func (m Menu) Check(words *text.Catalogue) []string {
	problems := m.checkTree()
	problems = append(problems, words.Check()...)
	problems = append(problems, m.checkNames(words)...)
	for _, lang := range words.Languages() {
		problems = append(problems, m.checkRoom(words, lang)...)
	}
	return problems
}

func (m Menu) checkTree() []string {
	var problems []string
	say := func(name, format string, args ...any) {
		problems = append(problems, "screen "+name+": "+fmt.Sprintf(format, args...))
	}
	for _, root := range []string{m.Start, m.Resume} {
		if !m.has(root) {
			say(root, "the menu begins there, but there is none")
		}
	}
	if !m.has(m.Asked) {
		say(m.Asked, "a pushed session begins there, but there is none")
	}
	names := slices.Sorted(maps.Keys(m.Screens))
	for _, name := range names {
		sc := m.Screens[name]
		for _, to := range sc.edges() {
			if to != Resumed && !m.has(to) {
				say(name, "leads to %q, which does not exist", to)
			}
		}
		m.checkShape(sc, func(format string, args ...any) { say(name, format, args...) })
	}
	reached := m.names()
	ends := m.leadToEnd()
	for _, name := range names {
		if !slices.Contains(reached, name) {
			say(name, "cannot be reached")
		}
		if !ends[name] {
			say(name, "no end can be reached from there")
		}
	}
	for key, outcome := range m.Refusals {
		if outcome != AskAgain && outcome != EndsWith {
			problems = append(problems, "refusal "+key+": neither asks again nor ends")
		}
	}
	slices.Sort(problems)
	return problems
}

func (m Menu) checkShape(sc Screen, say func(format string, args ...any)) {
	is := 0
	for _, yes := range []bool{len(sc.Pick) > 0, sc.Ask != Nothing, sc.End} {
		if yes {
			is++
		}
	}
	switch {
	case is > 1:
		say("picks, asks and ends are three different screens")
	case is == 0 && sc.Then == "":
		say("does nothing and leads nowhere")
	case sc.Ask != Nothing && sc.Then == "":
		say("asks, and then leads nowhere")
	case (sc.End || len(sc.Pick) > 0) && sc.Then != "":
		say("Then belongs to a question or a junction")
	}
	if sc.Pay != nil && sc.Ask != PIN {
		say("moves money without asking for the PIN")
	}
	if sc.Pay != nil && !m.Screens[sc.Then].End {
		say("moves money and goes on: a session has one payment, because its ref is the session's")
	}
	if sc.Pay != nil && sc.Do != nil {
		say("has both Do and Pay")
	}
	if sc.Ask == Nothing && sc.Do != nil {
		say("has Do, but no question")
	}
	if sc.Root && len(sc.Pick) == 0 {
		say("a root is a list")
	}
	if sc.Long && !sc.End {
		say("only an end may be long")
	}
	if sc.Above != "" && (len(sc.Pick) == 0 || len(sc.Pick) >= 9) {
		say("what is above a list of at most 8 has the key 9")
	}
	if len(sc.Pick) >= 98 {
		say("98 is the key that leads to the next page")
	}
	if sc.junction() {
		name := sc.Then
		for hops := 0; m.has(name) && m.Screens[name].junction(); hops++ {
			if hops == maxHops {
				say("junctions go round in a circle")
				break
			}
			name = m.Screens[name].Then
		}
	}
}

// leadToEnd finds the screens from which an end can be reached.
func (m Menu) leadToEnd() map[string]bool {
	ends := map[string]bool{Resumed: true} // leads to screens that are checked themselves
	for changed := true; changed; {
		changed = false
		for name, sc := range m.Screens {
			if !ends[name] && (sc.End || slices.ContainsFunc(sc.edges(), func(to string) bool { return ends[to] })) {
				ends[name], changed = true, true
			}
		}
	}
	return ends
}

// Texts of the machine itself: last words, and labels.
var (
	machineTexts  = []string{"sorry", "pending", "over", "slow_down"}
	machineLabels = []string{"more", "back", "own_name"}
)

// entryLabels is the prefix of the labels that name kinds of entries.
const entryLabels = "entry."

// checkNames compares the names that the menu uses with those that have words.
func (m Menu) checkNames(words *text.Catalogue) []string {
	bodies, labels := map[string]bool{}, map[string]bool{}
	for _, name := range machineTexts {
		bodies[name] = true
	}
	for _, name := range machineLabels {
		labels[name] = true
	}
	for key := range m.Refusals {
		bodies["refusal."+key] = true
	}
	for name, sc := range m.Screens {
		if !sc.junction() {
			bodies[name] = true
		}
		for _, target := range sc.Pick {
			labels[target] = true
		}
		if sc.Above != "" {
			labels[sc.Above] = true
		}
	}
	var problems []string
	for _, lang := range words.Languages() {
		for _, name := range slices.Sorted(maps.Keys(bodies)) {
			if t, _ := words.Text(lang, name); t.Body == "" {
				problems = append(problems, fmt.Sprintf("%s [%s]: no words", lang, name))
			}
		}
		for _, name := range slices.Sorted(maps.Keys(labels)) {
			t, _ := words.Text(lang, name)
			if t.Label == "" {
				problems = append(problems, fmt.Sprintf("%s [%s]: no label, but a menu line leads there", lang, name))
			}
			if above, holes := m.above(name), text.HolesOf(t.Label); above != (len(holes) > 0) && t.Label != "" {
				problems = append(problems, fmt.Sprintf("%s [%s]: the label has holes %v; those of lines above a list have some, the others none", lang, name, holes))
			}
		}
	}
	for _, name := range words.Names() {
		if !bodies[name] && !labels[name] && !strings.HasPrefix(name, entryLabels) {
			problems = append(problems, fmt.Sprintf("[%s]: words for nothing", name))
		}
	}
	return problems
}

// above tells whether a screen is listed above a list.
func (m Menu) above(name string) bool {
	for _, sc := range m.Screens {
		if sc.Above == name {
			return true
		}
	}
	return false
}

// checkRoom measures every screen of one language at its widest.
func (m Menu) checkRoom(words *text.Catalogue, lang string) []string {
	var problems []string
	say := func(name, format string, args ...any) {
		problems = append(problems, fmt.Sprintf("%s [%s]: ", lang, name)+fmt.Sprintf(format, args...))
	}
	fill := func(name string) string {
		t, _ := words.Text(lang, name)
		wide := widestHoles(name)
		for _, hole := range text.HolesOf(t.Body) {
			if _, ok := wide[hole]; !ok {
				say(name, "nobody has said how wide {%s} can be", hole)
				return ""
			}
		}
		body, _ := text.FillString(t.Body, wide) // cannot fail: all holes are there
		return body
	}
	measure := func(name, s string) {
		if n, _ := text.Septets(s); n > MaxSeptets {
			say(name, "%d septets at its widest, %d fit:\n%s", n, MaxSeptets, s)
		}
	}
	longest := ""
	for _, key := range slices.Sorted(maps.Keys(m.Refusals)) {
		line := fill("refusal." + key)
		measure("refusal."+key, line)
		if m.Refusals[key] == AskAgain && septets(line) > septets(longest) {
			longest = line
		}
	}
	for _, name := range machineTexts {
		measure(name, fill(name))
	}
	label := func(name string) string { t, _ := words.Text(lang, name); return t.Label }
	for _, name := range m.names() {
		sc := m.Screens[name]
		if sc.junction() {
			continue
		}
		v := view{body: fill(name), more: keyMore + " " + label("more")}
		if !sc.End {
			v.problem, v.back = longest, keyBack+" "+label("back")
		}
		if sc.Above != "" {
			line, err := text.FillString(label(sc.Above), widestHoles(sc.Above))
			if err != nil {
				say(sc.Above, "%v", err)
			}
			v.options = append(v.options, keyAbove+" "+line)
		}
		for i, target := range sc.Pick {
			v.options = append(v.options, strconv.Itoa(i+1)+" "+label(target))
		}
		if sc.Ask == Language {
			for i, l := range words.Languages() {
				t, _ := words.Text(l, "own_name")
				v.options = append(v.options, strconv.Itoa(i+1)+" "+t.Label)
			}
		}
		pages := []string{v.text()}
		if sc.Long {
			pages = v.pages()
		}
		for _, page := range pages {
			measure(name, page)
		}
	}
	return problems
}

func septets(s string) int { n, _ := text.Septets(s); return n }

// widestHoles is the widest value that each hole of a text can have. Whoever
// adds a hole says so here, and why.
func widestHoles(name string) text.Holes {
	if name == "refusal.wrong_pin" || name == "refusal.wrong_id" {
		return text.Holes{"left": "2"} // tries; elsewhere it is money
	}
	const (
		payment = "Ksh250,000.00"    // the top tier's limit per entry
		wallet  = "Ksh500,000.00"    // the top tier's maximum balance and daily limit
		till    = "Ksh99,999,999.99" // a busy agent's float, with room
		line    = "31/12 +" + payment + " "
	)
	person := strings.Repeat("M", maxShownName) // Step.Person cuts longer ones
	if name == "approvals" {
		return text.Holes{"lines": strings.TrimSuffix(strings.Repeat("1 "+payment+" "+strings.Repeat("M", listedName)+"\n", shownApprovals), "\n"), "waiting": "99"}
	}
	if name == "reverse" {
		return text.Holes{"lines": strings.TrimSuffix(strings.Repeat("1 "+payment+" "+strings.Repeat("M", listedName)+"\n", shownSent), "\n")}
	}
	lines := strings.TrimSuffix(strings.Repeat(line+person+"\n", max(miniLines, lastLines)), "\n")
	return text.Holes{
		"brand": "Tuma", "service": "*334#", "care": "0800 721 000",
		"amount": payment, "fee": "Ksh9,999.00", "total": "Ksh259,999.00", "min": payment, "max": payment, "entry": payment,
		"balance": till, // a customer's, or after a deposit the till's float
		"left":    wallet, "today": wallet, "room": wallet, "float": till, "commission": till,
		"name": person, "my_till": "100001",
		"number": "+254712000001",        // a foreign number is shown in full: 15 digits at most, 12 in practice
		"till":   "1000001", "tier": "3", // tills have 6 digits
		"expected": till, "counted": till, "over": till, // cash in the drawer, what is there beyond it, or less
		"bank": strings.Repeat("W", 40), // CheckBankRef
		"id":   strings.Repeat("9", 12), // national ID and passport numbers have 8 or 9
		"code": "WWWWWWWWWW",            // receipts have 10 characters
		"time": "12:59 PM", "day": "31/12", "tries": "3",
		"lines": lines,
		"what":  "My account > My number and limits", // the longest path of labels
		"hours": "48", "minutes": "1440",             // of brakes, as far as anybody would set them
		"waiting": "99", // nobody answers so many
	}
}
