package dialogues

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Script is a dialogue that has been read.
type Script struct {
	Name  string
	Cast  []Person // the default cast and those whom the file adds
	items []item
}

// item is a line flush left with the indented lines under it.
type item struct {
	number int
	raw    string // the line as it stands
	step   *step  // nil: a comment, an empty line or a line of the cast
	want   []string
}

// step is a sentence: who does what.
type step struct {
	who, verb, rest string
}

const indent = "    "

// verbs that take something, and those that take nothing.
var verbs = map[string]bool{"has": true, "dials": true, "types": true, "texts": true, "waits": true, "receives": false, "retries": false, "drops": false, "is": true, "serves": true}

// deeds are those of the service's own staff.
var deeds = []string{"the maker takes up float", "the checker approves float", "the checker approves the reversal", "the checker declines the reversal"}

var (
	handleShape = regexp.MustCompile(`^[a-z][a-z0-9]*$`)
	numberShape = regexp.MustCompile(`^\+254[0-9]{9}$`)
	moneyShape  = regexp.MustCompile(`^[0-9]+\.[0-9]{2}$`)
	servesShape = regexp.MustCompile(`^customers ([0-9]+) to ([0-9]+) who (bring|take) ([0-9]+\.[0-9]{2}), every ([0-9a-z]+)$`)
	dialShape   = regexp.MustCompile(`^\*[0-9*]+#$`)
)

// Parse reads a dialogue. Its errors name the file and the line.
func Parse(name, text string) (*Script, error) {
	s := &Script{Name: name, Cast: DefaultCast()}
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		fail := func(format string, args ...any) error {
			return fmt.Errorf("dialogues: %s:%d: "+format, append([]any{name, i + 1}, args...)...)
		}
		trimmed := strings.TrimRight(line, " \t\r")
		if said, ok := strings.CutPrefix(trimmed, indent); ok {
			if len(s.items) == 0 || s.items[len(s.items)-1].step == nil {
				return nil, fail("nobody has done anything that this could be the answer to")
			}
			last := &s.items[len(s.items)-1]
			last.want = append(last.want, said)
			continue
		}
		it := item{number: i + 1, raw: trimmed}
		switch {
		case trimmed == "" || strings.HasPrefix(trimmed, "#"):
		case trimmed != strings.TrimLeft(trimmed, " \t"):
			return nil, fail("what the service says is indented by %d spaces", len(indent))
		case strings.HasPrefix(trimmed, "cast "):
			if err := s.cast(trimmed); err != nil {
				return nil, fail("%w", err)
			}
		default:
			st, err := s.parseStep(trimmed)
			if err != nil {
				return nil, fail("%w", err)
			}
			it.step = &st
		}
		s.items = append(s.items, it)
	}
	return s, nil
}

// maxCrowd is how many customers may come at once.
const maxCrowd = 100

// cast adds people, or says something about those who are there.
func (s *Script) cast(line string) error {
	f := strings.Fields(line)[1:]
	switch {
	case len(f) == 2 && f[1] == "customers":
		n, err := strconv.Atoi(f[0])
		if err != nil || n < 1 || n > maxCrowd {
			return fmt.Errorf("1 to %d customers, not %q", maxCrowd, f[0])
		}
		s.Cast = append(s.Cast, crowd(n)...)
		return nil
	case len(f) > 1 && f[0] == "office":
		for _, handle := range f[1:] {
			i := slices.IndexFunc(s.Cast, func(p Person) bool { return p.Handle == handle && p.Role == Operator })
			if i < 0 {
				return fmt.Errorf("%q is no operator", handle)
			}
			s.Cast[i].Office = "KIOSK GROUP"
		}
		return nil
	}
	p, err := parsePerson(line)
	if err != nil {
		return err
	}
	if p.Role == Operator && !slices.ContainsFunc(s.Cast, func(o Person) bool { return o.Till == p.Till }) {
		return fmt.Errorf("nobody has the till %q", p.Till)
	}
	s.Cast = slices.DeleteFunc(s.Cast, func(other Person) bool { return other.Handle == p.Handle })
	s.Cast = append(s.Cast, p)
	return nil
}

func parsePerson(line string) (Person, error) {
	f := strings.Fields(line)[1:]
	if len(f) < 3 || !handleShape.MatchString(f[0]) || !numberShape.MatchString(f[2]) {
		return Person{}, fmt.Errorf("want: cast NAME customer|stranger +254XXXXXXXXX [FULL NAME id NUMBER [frozen]], not %q", line)
	}
	p := Person{Handle: f[0], Role: Role(f[1]), Number: f[2]}
	rest := f[3:]
	if n := len(rest); p.Role == Operator && n >= 5 && rest[n-3] == "at" {
		p.Till, p.Rank, rest = rest[n-2], rest[n-1], rest[:n-3]
	}
	if p.Role != Customer && p.Role != Stranger && p.Till == "" {
		return Person{}, fmt.Errorf("a dialogue can add customers, strangers, and operators at a till that is there, not %q", line)
	}
	if n := len(rest); n > 0 && rest[n-1] == "frozen" {
		p.Frozen, rest = true, rest[:n-1]
	}
	if n := len(rest); n >= 2 && rest[n-2] == "id" {
		p.IDNumber, rest = rest[n-1], rest[:n-2]
	}
	p.FullName = strings.Join(rest, " ")
	if p.Role == Customer && (p.FullName == "" || p.IDNumber == "") {
		return Person{}, fmt.Errorf("a customer has a full name and an ID number: %q", line)
	}
	return p, nil
}

func (s *Script) parseStep(line string) (step, error) {
	if line == "books" || slices.Contains(deeds, line) {
		return step{verb: line}, nil
	}
	if amount, ok := strings.CutPrefix(line, "customers have "); ok && moneyShape.MatchString(amount) && s.crowd() > 0 {
		return step{verb: "customers have", rest: amount}, nil
	}
	who, rest, _ := strings.Cut(line, " ")
	verb, rest, _ := strings.Cut(rest, " ")
	takes, ok := verbs[verb]
	if !ok {
		return step{}, fmt.Errorf("nobody can %q here", verb)
	}
	if _, ok := s.person(who); !ok {
		return step{}, fmt.Errorf("%q is not in the cast", who)
	}
	if takes == (rest == "") && verb != "types" {
		return step{}, fmt.Errorf("%q takes %s", verb, map[bool]string{true: "something", false: "nothing"}[takes])
	}
	bad := false
	switch verb {
	case "has":
		bad = !moneyShape.MatchString(rest)
	case "is":
		bad = rest != "pushed"
	case "dials":
		bad = !dialShape.MatchString(rest)
	case "serves":
		_, err := s.serving(rest)
		bad = err != nil
	case "waits":
		d, err := time.ParseDuration(rest)
		bad = err != nil || d <= 0
	}
	if bad {
		return step{}, fmt.Errorf("%q cannot be what somebody %s", rest, verb)
	}
	return step{who: who, verb: verb, rest: rest}, nil
}

// serving is customers who come to a till one after the other.
type serving struct {
	first, last int
	bring       bool
	amount      string
	every       time.Duration
}

func (s *Script) serving(rest string) (serving, error) {
	m := servesShape.FindStringSubmatch(rest)
	if m == nil {
		return serving{}, errors.New("want: serves customers 1 to 9 who bring 500.00, every 10m")
	}
	v := serving{bring: m[3] == "bring", amount: strings.TrimSuffix(m[4], ".00")}
	var err1, err2, err3 error
	v.first, err1 = strconv.Atoi(m[1])
	v.last, err2 = strconv.Atoi(m[2])
	v.every, err3 = time.ParseDuration(m[5])
	if v.first < 1 || v.last < v.first || v.last > s.crowd() || v.every < time.Second {
		err1 = errors.New("no such customers, or no time between them")
	}
	return v, errors.Join(err1, err2, err3)
}

// crowd is how many customers the cast has beside those with names of their own.
func (s *Script) crowd() (n int) {
	for _, p := range s.Cast {
		if p.Crowd {
			n++
		}
	}
	return n
}

func (s *Script) person(handle string) (Person, bool) {
	for _, p := range s.Cast {
		if p.Handle == handle {
			return p, true
		}
	}
	return Person{}, false
}

// Pushes tells whether somebody's phone is pushed a screen: then the network of
// the dialogue can do that, and otherwise it cannot.
func (s *Script) Pushes() bool {
	return slices.ContainsFunc(s.items, func(it item) bool { return it.step != nil && it.step.verb == "is" })
}

// NeedsInside says why a dialogue can only be played in process, "" when it can
// also be played on a running server from outside.
func (s *Script) NeedsInside() string {
	for _, p := range s.Cast {
		switch {
		case p.Frozen:
			return "nobody outside can freeze the account of " + p.Handle
		case p.Rank != "" || p.Office != "":
			return "nobody outside can put " + p.Handle + " there"
		case p.Crowd:
			return "nobody outside registers so many customers for a dialogue"
		}
	}
	for _, it := range s.items {
		if it.step == nil {
			continue
		}
		p, _ := s.person(it.step.who)
		switch {
		case slices.Contains(deeds, it.step.verb):
			return fmt.Sprintf("line %d: nobody outside is the service's staff", it.number)
		case it.step.verb == "serves":
			return fmt.Sprintf("line %d: nobody outside can move the server's clock", it.number)
		case it.step.verb == "waits":
			return fmt.Sprintf("line %d: nobody outside can move the server's clock", it.number)
		case it.step.verb == "is":
			return fmt.Sprintf("line %d: a phone outside is not one that the network can push to", it.number)
		case it.step.verb == "books":
			return fmt.Sprintf("line %d: nobody outside sees the house's books", it.number)
		case it.step.verb == "has" && p.Role == Operator:
			return fmt.Sprintf("line %d: nobody outside can set a till's float", it.number)
		}
	}
	return ""
}
