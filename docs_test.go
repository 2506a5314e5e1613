package tuma_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// What the documents claim and a program can check. Each check compares two
// readings, one of the documents and one of the tree, so that neither side is a
// copy kept here; each that reads too little says so instead of passing.

// page is one document.
type page struct {
	path, text string
}

// tree is what the checks read, once.
type tree struct {
	pages []page
	files []string          // every file, slash-separated
	tests map[string]bool   // names of tests and fuzz targets
	goes  map[string]string // Go files that are not tests, with their text
}

// generated documents are checked by the package that generates them.
const generated = "docs/menu.md"

var docs = sync.OnceValues(func() (*tree, error) {
	t := &tree{tests: map[string]bool{}, goes: map[string]string{}}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != "." && strings.HasPrefix(d.Name(), ".") || path == "bin" {
				return fs.SkipDir
			}
			return nil
		}
		path = filepath.ToSlash(path)
		t.files = append(t.files, path)
		if ext := filepath.Ext(path); ext != ".go" && ext != ".md" || path == generated {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		switch {
		case strings.HasSuffix(path, ".md"):
			t.pages = append(t.pages, page{path, string(b)})
		case strings.HasSuffix(path, "_test.go"):
			for _, m := range testFunction.FindAllStringSubmatch(string(b), -1) {
				t.tests[m[1]] = true
			}
		default:
			t.goes[path] = string(b)
		}
		return nil
	})
	return t, err
})

var (
	testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	testName     = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w*`)
	variable     = regexp.MustCompile(`\bTUMA_[A-Z_]+[A-Z]\b`)
	link         = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	quoted       = regexp.MustCompile("`([^`\n]+)`")
	pathShape    = regexp.MustCompile(`^[\w.*-]+(?:/[\w.*-]+)*(?:\.[a-z]+|/)?$`)
	command      = regexp.MustCompile("(?m)(?:^ *|`)(?:bin/)?tuma ([a-z]+)")
	target       = regexp.MustCompile("(?m)(?:^ *|`)make ([a-z]+)")
	// as an audit writes it: the first argument of broken, a Break's Check, and a
	// line of a list of queries
	auditCheck = regexp.MustCompile(`(?:\.broken\(|Check: +|(?m:^\t+\{))"([a-z][^"]* [^"]*)"`)
	demoPerson = regexp.MustCompile(`(?m)^\t\{(".*)\},$`)
	demoPIN    = regexp.MustCompile(`demoPIN = "(\d+)"`)
	notSlug    = regexp.MustCompile(`[^\w\- ]`)
)

func read(t *testing.T) *tree {
	t.Helper()
	x, err := docs()
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func (x *tree) page(t *testing.T, path string) page {
	t.Helper()
	for _, p := range x.pages {
		if p.path == path {
			return p
		}
	}
	t.Fatalf("there is no %s", path)
	return page{}
}

// found names the matches of a pattern, and where: "docs/operations.md:12".
func (p page) found(pattern *regexp.Regexp) map[string]string {
	at := map[string]string{}
	for _, m := range pattern.FindAllStringSubmatchIndex(p.text, -1) {
		group := m[len(m)-2:]
		name := p.text[group[0]:group[1]]
		if at[name] == "" {
			at[name] = fmt.Sprintf("%s:%d", p.path, 1+strings.Count(p.text[:group[0]], "\n"))
		}
	}
	return at
}

// rows are the first cells of the tables' rows.
func (p page) rows() (cells []string) {
	for line := range strings.Lines(p.text) {
		if cell, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " |"); ok && strings.HasPrefix(line, "| ") {
			cells = append(cells, cell)
		}
	}
	return cells
}

func least[T any](t *testing.T, n int, what string, got map[string]T) {
	t.Helper()
	if len(got) < n {
		t.Fatalf("only %d %s were found: %v", len(got), what, slices.Sorted(maps.Keys(got)))
	}
}

func TestDocsNameEverySetting(t *testing.T) {
	t.Parallel()
	x := read(t)
	inCode := map[string]string{}
	for path, text := range x.goes {
		if strings.HasPrefix(path, "cmd/") {
			for _, name := range variable.FindAllString(text, -1) {
				inCode[name] = path
			}
		}
	}
	least(t, 20, "settings", inCode)
	rows := strings.Join(x.page(t, "docs/operations.md").rows(), "\n")
	for name, path := range inCode {
		if !strings.Contains(rows, "`"+name+"`") {
			t.Errorf("%s: %s has no row in docs/operations.md", path, name)
		}
	}
	for _, p := range x.pages {
		for name, at := range p.found(variable) {
			if inCode[name] == "" {
				t.Errorf("%s: there is no setting %s", at, name)
			}
		}
	}
}

func TestDocsNameTestsThatExist(t *testing.T) {
	t.Parallel()
	x := read(t)
	least(t, 200, "tests", x.tests)
	named := map[string]string{}
	for _, p := range x.pages {
		maps.Copy(named, p.found(testName))
	}
	least(t, 30, "tests in documents", named)
	for name, at := range named {
		if !x.tests[name] {
			t.Errorf("%s: there is no test %s", at, name)
		}
	}
}

// Links lead to a file, and where they name a heading, to that heading.
func TestDocsLinksResolve(t *testing.T) {
	t.Parallel()
	x := read(t)
	checked := map[string]string{}
	for _, p := range x.pages {
		for to, at := range p.found(link) {
			if strings.Contains(to, "://") {
				continue
			}
			checked[to] = at
			path, heading, _ := strings.Cut(to, "#")
			path = filepath.ToSlash(filepath.Join(filepath.Dir(p.path), path))
			if strings.HasPrefix(to, "#") {
				path = p.path
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: the link %s leads nowhere", at, to)
				continue
			}
			if heading != "" && !slices.Contains(x.page(t, path).headings(), heading) {
				t.Errorf("%s: %s has no heading #%s", at, path, heading)
			}
		}
	}
	least(t, 10, "links", checked)
}

// headings are a page's, as they stand in links.
func (p page) headings() (slugs []string) {
	for line := range strings.Lines(p.text) {
		if title := strings.TrimLeft(line, "#"); title != line {
			slug := notSlug.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			slugs = append(slugs, strings.ReplaceAll(slug, " ", "-"))
		}
	}
	return slugs
}

// Names of files and folders in backticks are of files and folders that there
// are: by their whole path when its first part is a folder of ours, and
// wherever they are when there is only a name, `decide.go`.
func TestDocsNameFilesThatExist(t *testing.T) {
	t.Parallel()
	x := read(t)
	bases, top := map[string]bool{}, map[string]bool{}
	for _, f := range x.files {
		bases[filepath.Base(f)] = true
		if first, _, nested := strings.Cut(f, "/"); nested {
			top[first] = true
		}
	}
	checked := map[string]string{}
	for _, p := range x.pages {
		for name, at := range p.found(quoted) {
			if !pathShape.MatchString(name) {
				continue
			}
			first, _, nested := strings.Cut(name, "/")
			ext := filepath.Ext(name)
			switch {
			case nested && top[first]:
				checked[name] = at
				relative, err := filepath.Glob(filepath.Join(filepath.Dir(p.path), name))
				absolute, err2 := filepath.Glob(name)
				if err != nil || err2 != nil || len(relative)+len(absolute) == 0 {
					t.Errorf("%s: there is no %s", at, name)
				}
			case !nested && (ext == ".go" || ext == ".sql" || ext == ".csv" || ext == ".sh"):
				checked[name] = at
				if !bases[name] {
					t.Errorf("%s: there is no file %s", at, name)
				}
			}
		}
	}
	least(t, 40, "names of files", checked)
}

// Every proof that an audit may name has its row in the table of breaks, and the
// table has no others.
func TestDocsExplainEveryBreak(t *testing.T) {
	t.Parallel()
	x := read(t)
	inCode := map[string]string{}
	for path, text := range x.goes {
		if !strings.Contains(text, "Break{") && !strings.Contains(text, ".broken(") {
			continue
		}
		for _, m := range auditCheck.FindAllStringSubmatch(text, -1) {
			inCode[m[1]] = path
		}
	}
	least(t, 17, "proofs", inCode)
	_, table, ok := strings.Cut(x.page(t, "docs/operations.md").text, "| break |")
	if !ok {
		t.Fatal("docs/operations.md has no table of breaks")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	explained := map[string]bool{}
	for _, cell := range (page{text: table}).rows() {
		for name := range strings.SplitSeq(cell, ", ") {
			if explained[name] = true; inCode[name] == "" {
				t.Errorf("docs/operations.md explains the break %q, which no audit names", name)
			}
		}
	}
	for name, path := range inCode {
		if !explained[name] {
			t.Errorf("%s: docs/operations.md does not explain the break %q", path, name)
		}
	}
}

// The people in the README are those that `make run` makes.
func TestREADMEKnowsTheDemoPeople(t *testing.T) {
	t.Parallel()
	x := read(t)
	const path = "cmd/tuma/demo.go"
	var want []string
	for _, m := range demoPerson.FindAllStringSubmatch(x.goes[path], -1) {
		f := strings.Split(strings.ReplaceAll(m[1], `"`, ""), ", ")
		switch len(f) {
		case 5: // name, number, ID number, language, balance
			want = append(want, fmt.Sprintf("| %s | %s, customer | Ksh%s |", f[1], f[0], shillings(f[4])))
		case 8: // agent, till's name, its number, operator, number, language, ID number, float
			want = append(want, fmt.Sprintf("| %s | %s, operator of till %s, %s | float Ksh%s |", f[4], f[3], f[2], f[1], shillings(f[7])))
		default:
			t.Errorf("%s has changed its shape: %s", path, m[0])
		}
	}
	pin := demoPIN.FindStringSubmatch(x.goes[path])
	if len(want) < 5 || pin == nil {
		t.Fatalf("%s is not understood: %q, PIN %q", path, want, pin)
	}
	readme := x.page(t, "README.md").text
	var got []string
	for line := range strings.Lines(readme) {
		if strings.HasPrefix(line, "| +") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the README's people:\n%s\n%s has:\n%s", strings.Join(got, "\n"), path, strings.Join(want, "\n"))
	}
	if !strings.Contains(readme, "PIN is **"+pin[1]+"**") {
		t.Errorf("the README does not give the demo's PIN %s", pin[1])
	}
}

// shillings writes an amount of demo.go, 1000_00, as people do: 1,000.00.
func shillings(minor string) string {
	n, err := strconv.Atoi(strings.ReplaceAll(minor, "_", ""))
	if err != nil {
		return minor
	}
	whole := strconv.Itoa(n / 100)
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	return fmt.Sprintf("%s.%02d", whole, n%100)
}

// The payment in the README is taken from a dialogue that is played in the tests.
func TestREADMEPaymentIsADialogue(t *testing.T) {
	t.Parallel()
	const path = "ussd/dialogues/send.txt"
	dialogue, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(read(t).page(t, "README.md").text, "## A payment")
	_, rest, _ = strings.Cut(rest, "```\n")
	block, _, closed := strings.Cut(rest, "```")
	if !closed || strings.Count(block, "\n") < 10 {
		t.Fatalf("the README shows no payment: %q", block)
	}
	if !strings.Contains(string(dialogue), block) {
		t.Errorf("the README's payment does not stand in %s:\n%s", path, block)
	}
}

// Every module that the program asks for itself is argued for, and nothing else.
func TestDocsArgueForEveryModule(t *testing.T) {
	t.Parallel()
	x := read(t)
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for line := range strings.Lines(string(mod)) {
		f := strings.Fields(line)
		switch {
		case len(f) == 2 && strings.HasPrefix(f[1], "v"):
			used[shortModule(f[0])] = true
		case len(f) == 2 && f[0] == "tool":
			path, _, _ := strings.Cut(f[1], "/cmd/")
			used[shortModule(path)] = true
		}
	}
	least(t, 15, "modules", used)
	const why = "docs/decisions/011-dependencies.md"
	argued := map[string]bool{}
	for _, cell := range x.page(t, why).rows()[1:] {
		for name := range strings.SplitSeq(cell, ", ") {
			if argued[name] = true; !used[name] && strings.Trim(name, "-") != "" {
				t.Errorf("%s argues for %s, which go.mod does not ask for", why, name)
			}
		}
	}
	for name := range used {
		if !argued[name] {
			t.Errorf("go.mod asks for %s, for which %s does not argue", name, why)
		}
	}
}

// shortModule is a module as people call it: without GitHub and its version.
func shortModule(path string) string {
	path = strings.TrimPrefix(path, "github.com/")
	return regexp.MustCompile(`/v\d+$`).ReplaceAllString(path, "")
}

// What the documents tell people to type is there.
func TestDocsNameCommandsThatExist(t *testing.T) {
	t.Parallel()
	x := read(t)
	_, list, _ := strings.Cut(x.goes["cmd/tuma/main.go"], "type commands struct")
	list, _, _ = strings.Cut(list, "\n}")
	commands := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\t([A-Z]\w+) +\w+ +.cmd:`).FindAllStringSubmatch(list, -1) {
		commands[strings.ToLower(m[1])] = true
	}
	least(t, 12, "commands", commands)
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z]+):`).FindAllStringSubmatch(string(makefile), -1) {
		targets[m[1]] = true
	}
	least(t, 8, "targets", targets)
	typed := map[string]bool{}
	for _, p := range x.pages {
		for name, at := range p.found(command) {
			if typed[name] = true; !commands[name] {
				t.Errorf("%s: there is no command tuma %s", at, name)
			}
		}
		for name, at := range p.found(target) {
			if typed[name] = true; !targets[name] {
				t.Errorf("%s: there is no target make %s", at, name)
			}
		}
	}
	least(t, 8, "commands and targets in documents", typed)
	for name := range commands {
		if !typed[name] {
			t.Errorf("no document tells what tuma %s is for", name)
		}
	}
}
