package dialogues

import (
	"fmt"
	"regexp"
	"slices"
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
var verbs = map[string]bool{"has": true, "dials": true, "types": true, "texts": true, "waits": true, "receives": false, "retries": false, "drops": false, "is": true}

var (
	handleShape = regexp.MustCompile(`^[a-z][a-z0-9]*$`)
	numberShape = regexp.MustCompile(`^\+254[0-9]{9}$`)
	moneyShape  = regexp.MustCompile(`^[0-9]+\.[0-9]{2}$`)
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
			p, err := parsePerson(trimmed)
			if err != nil {
				return nil, fail("%w", err)
			}
			s.Cast = slices.DeleteFunc(s.Cast, func(other Person) bool { return other.Handle == p.Handle })
			s.Cast = append(s.Cast, p)
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

func parsePerson(line string) (Person, error) {
	f := strings.Fields(line)[1:]
	if len(f) < 3 || !handleShape.MatchString(f[0]) || !numberShape.MatchString(f[2]) {
		return Person{}, fmt.Errorf("want: cast NAME customer|stranger +254XXXXXXXXX [FULL NAME id NUMBER [frozen]], not %q", line)
	}
	p := Person{Handle: f[0], Role: Role(f[1]), Number: f[2]}
	if p.Role != Customer && p.Role != Stranger {
		return Person{}, fmt.Errorf("a dialogue can add customers and strangers, not %q", f[1])
	}
	rest := f[3:]
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
	if line == "books" {
		return step{verb: "books"}, nil
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
	case "waits":
		d, err := time.ParseDuration(rest)
		bad = err != nil || d <= 0
	}
	if bad {
		return step{}, fmt.Errorf("%q cannot be what somebody %s", rest, verb)
	}
	return step{who: who, verb: verb, rest: rest}, nil
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
		if p.Frozen {
			return "nobody outside can freeze the account of " + p.Handle
		}
	}
	for _, it := range s.items {
		if it.step == nil {
			continue
		}
		p, _ := s.person(it.step.who)
		switch {
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
