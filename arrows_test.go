package tuma_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// arrows is the policy of imports among our own packages: a room, and the
// rooms it may import. A name in capitals stands for what its line lists; *
// is everything. A room without a line may not exist: adding one is a decision,
// and it is made here.
//
// Test files may import what their room may, whatever that leads to (they build
// the floors below to stand on), the room itself, and, where the room may know
// the database, what TESTS lists.
const arrows = `
	# leaves know no business, and not each other
	internal/money      ->
	internal/phone      ->
	internal/text       ->
	internal/callers    ->
	internal/smpp       ->
	internal/db         ->
	internal/devenv     ->
	internal/db/dbtest  -> internal/db internal/devenv
	LEAVES              -> internal/money internal/phone internal/text internal/db

	# the book and what we owe people
	accounts/ledger     -> LEAVES
	sms/outbox          -> LEAVES

	# the business
	accounts            -> accounts/ledger sms/outbox LEAVES
	agents              -> accounts accounts/ledger sms/outbox LEAVES

	# ways in and out know the business, never the ledger
	ussd                -> accounts agents internal/smpp internal/callers LEAVES
	ussd/dialogues      -> 
	sms                 -> accounts agents sms/outbox internal/smpp internal/callers LEAVES
	agents/portal       -> accounts agents sms/outbox LEAVES

	# the outside world knows nothing of ours
	simulator           ->
	simulator/people   -> simulator

	# it wires
	cmd/tuma            -> *

	TESTS               -> internal/db/dbtest internal/devenv ussd/dialogues
`

// modules is the policy of imports from elsewhere: a module, and the rooms that
// may import it. Each has one room, or few, so that it can be replaced there.
const modules = `
	github.com/jmoiron/sqlx                 -> internal/db
	github.com/lib/pq                       -> internal/db internal/db/dbtest internal/devenv
	github.com/pressly/goose/v3             -> internal/db
	github.com/alicebob/miniredis/v2        -> internal/devenv
	github.com/nyaruka/phonenumbers         -> internal/phone
	golang.org/x/text                       -> internal/text
	golang.org/x/crypto                     -> accounts agents
	github.com/twilio/twilio-go             -> sms
	github.com/redis/go-redis/v9            -> ussd sms agents/portal cmd/tuma
	github.com/go-redis/redis_rate/v10      -> ussd sms agents/portal
	rsc.io/qr                               -> agents/portal
	github.com/pquerna/otp                  -> agents
	github.com/alecthomas/kong              -> cmd/tuma
	golang.org/x/term                       -> cmd/tuma
	github.com/HdrHistogram/hdrhistogram-go -> cmd/tuma simulator/people
	github.com/prometheus/client_golang     -> cmd/tuma
	charm.land/bubbletea/v2                 -> cmd/tuma

	# test files of any room may import these as well
	TESTS -> github.com/google/go-cmp pgregory.net/rapid go.uber.org/goleak github.com/rogpeppe/go-internal
	TESTS -> github.com/chromedp/chromedp github.com/chromedp/cdproto
	TESTS -> github.com/lib/pq github.com/redis/go-redis/v9 github.com/alicebob/miniredis/v2 github.com/twilio/twilio-go
`

// policy is a listing, read: what stands left of an arrow, and what right of it.
type policy map[string][]string

func readPolicy(text string) (policy, error) {
	p := policy{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		from, to, ok := strings.Cut(line, "->")
		if !ok || len(strings.Fields(from)) != 1 {
			return nil, fmt.Errorf("not a line of a policy: %q", line)
		}
		from = strings.TrimSpace(from)
		if p[from] == nil {
			p[from] = []string{}
		}
		for _, name := range strings.Fields(to) {
			if group, ok := p[name]; ok && name == strings.ToUpper(name) {
				p[from] = append(p[from], group...)
			} else if !ok && name != "*" && name == strings.ToUpper(name) {
				return nil, fmt.Errorf("%s is used before it is listed", name)
			} else {
				p[from] = append(p[from], name)
			}
		}
	}
	return p, nil
}

// below is all that a room can reach by arrows.
func (p policy) below(room string) map[string]bool {
	reach := map[string]bool{}
	var walk func(string)
	walk = func(r string) {
		for _, next := range p[r] {
			if !reach[next] {
				reach[next] = true
				walk(next)
			}
		}
	}
	walk(room)
	return reach
}

// ownArrows checks a package's imports of our own packages.
func (p policy) ownArrows(pkg listed) (wrong []string) {
	room := pkg.room()
	may, known := p[room]
	if !known {
		return []string{fmt.Sprintf("%s: no arrows are listed for it in arrows_test.go; which floor is it on? (every room is a decision, see docs/ARCHITECTURE.md)", room)}
	}
	if slices.Contains(may, "*") {
		return nil
	}
	for _, path := range pkg.Imports {
		if to, ours := strings.CutPrefix(path, module+"/"); ours && !slices.Contains(may, to) {
			wrong = append(wrong, fmt.Sprintf("%s imports %s, which it may not know (allowed: %s)", room, to, strings.Join(may, " ")))
		}
	}
	reach := p.below(room)
	reach[room] = true
	if reach["internal/db"] {
		for _, extra := range p["TESTS"] {
			reach[extra] = true
		}
	}
	for _, path := range slices.Concat(pkg.TestImports, pkg.XTestImports) {
		if to, ours := strings.CutPrefix(path, module+"/"); ours && !reach[to] {
			wrong = append(wrong, fmt.Sprintf("the tests of %s import %s, which they may not know (allowed: %s)", room, to, strings.Join(slices.Sorted(maps.Keys(reach)), " ")))
		}
	}
	return wrong
}

// otherModules checks a package's imports of modules that are not ours.
func (p policy) otherModules(pkg listed) (wrong []string) {
	room := pkg.room()
	check := func(paths []string, who string, extra []string) {
		for _, path := range paths {
			first, _, _ := strings.Cut(path, "/")
			if !strings.Contains(first, ".") || path == "C" {
				continue // the standard library, or ours
			}
			if inModules(path, extra) {
				continue
			}
			mod := ""
			for m := range p {
				if inModules(path, []string{m}) && len(m) > len(mod) {
					mod = m
				}
			}
			if mod == "" {
				wrong = append(wrong, fmt.Sprintf("%s import %s, a module that arrows_test.go does not list (a new dependency is a decision)", who, path))
			} else if !slices.Contains(p[mod], room) {
				wrong = append(wrong, fmt.Sprintf("%s import %s, which only %s may (so that it can be replaced in one place)", who, path, strings.Join(p[mod], " ")))
			}
		}
	}
	check(pkg.Imports, room+": its files", nil)
	check(slices.Concat(pkg.TestImports, pkg.XTestImports), room+": its tests", p["TESTS"])
	return wrong
}

func inModules(path string, modules []string) bool {
	return slices.ContainsFunc(modules, func(m string) bool { return path == m || strings.HasPrefix(path, m+"/") })
}

func TestArrowsOfImport(t *testing.T) {
	t.Parallel()
	own, err := readPolicy(arrows)
	if err != nil {
		t.Fatal(err)
	}
	outside, err := readPolicy(modules)
	if err != nil {
		t.Fatal(err)
	}
	for _, mod := range slices.Sorted(maps.Keys(outside)) {
		for _, room := range outside[mod] {
			if _, known := own[room]; !known && mod != "TESTS" {
				t.Errorf("the line of %s names %s, which is no room", mod, room)
			}
		}
	}
	for _, pkg := range loaded(t).all {
		if !pkg.ours() || pkg.ImportPath == module { // the root holds nothing but these tests
			continue
		}
		for _, say := range slices.Concat(own.ownArrows(pkg), outside.otherModules(pkg)) {
			t.Error(say)
		}
	}
}
