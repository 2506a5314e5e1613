package ussd

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"tuma/accounts"
	"tuma/internal/text"
)

func TestMenuIsWhole(t *testing.T) {
	t.Parallel()
	words, err := Words()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range Tree().Check(words) {
		t.Error(problem)
	}
}

// Every way to break the menu is found, and named.
func TestCheckFinds(t *testing.T) {
	t.Parallel()
	pay := func(context.Context, *Step, string) error { return nil }
	do := func(context.Context, *Step) error { return nil }
	for _, c := range []struct {
		name  string
		spoil func(m Menu)
		want  string
	}{
		{"dangling Then", func(m Menu) { m.Screens["send"] = Screen{Ask: Phone, Then: "nowhere"} }, `screen send: leads to "nowhere"`},
		{"dangling Else", func(m Menu) { m.Screens["start"] = Screen{Else: Else{"x": "nowhere"}, Then: "wallet"} }, `screen start: leads to "nowhere"`},
		{"dangling Pick", func(m Menu) { m.Screens["airtime"] = Screen{Pick: Pick{"airtime_own", "airtime_other", "nowhere"}} }, `screen airtime: leads to "nowhere"`},
		{"unreachable", func(m Menu) { m.Screens["island"] = Screen{End: true} }, "screen island: cannot be reached"},
		{"no end", func(m Menu) { m.Screens["send"] = Screen{Ask: Phone, Then: "send"} }, "screen send: no end can be reached"},
		{"money without PIN", func(m Menu) { m.Screens["send_pin"] = Screen{Ask: Amount, Pay: pay, Then: "send_done"} }, "screen send_pin: moves money without asking for the PIN"},
		{"money behind a new PIN", func(m Menu) { m.Screens["send_pin"] = Screen{Ask: NewPIN, Pay: pay, Then: "send_done"} }, "screen send_pin: moves money without asking for the PIN"},
		{"Do and Pay", func(m Menu) { m.Screens["send_pin"] = Screen{Ask: PIN, Pay: pay, Do: do, Then: "send_done"} }, "screen send_pin: has both"},
		{"asks and ends", func(m Menu) { m.Screens["send"] = Screen{Ask: Phone, End: true, Then: "send_amount"} }, "screen send: picks, asks and ends"},
		{"asks for nothing more", func(m Menu) { m.Screens["send"] = Screen{Ask: Phone} }, "screen send: asks, and then leads nowhere"},
		{"junction to nowhere", func(m Menu) { m.Screens["send_sure"] = Screen{} }, "screen send_sure: does nothing"},
		{"round in a circle", func(m Menu) { m.Screens["wallet"] = Screen{Then: "start"} }, "junctions go round"},
		{"no pushed screen", func(m Menu) { delete(m.Screens, "approval") }, "screen approval: a pushed session begins there"},
		{"above nothing", func(m Menu) { m.Screens["send"] = Screen{Ask: Phone, Above: "approvals", Then: "send_amount"} }, "screen send: what is above a list"},
		{"above without a hole", func(m Menu) {
			m.Screens["airtime"] = Screen{Above: "limits", Pick: Pick{"airtime_own", "airtime_other"}}
		}, "[limits]: the label has holes []"},
		{"a hole in a usual line", func(m Menu) {
			m.Screens["customer"] = Screen{Pick: Pick{"approvals", "send", "withdraw", "airtime", "account"}}
		}, "[approvals]: the label has holes [waiting]"},
		{"no start", func(m Menu) { delete(m.Screens, "start") }, "screen start: the menu begins there"},
		{"screen without words", func(m Menu) {
			m.Screens["new"] = Screen{End: true}
			m.Screens["send"] = Screen{Ask: Phone, Then: "new"}
		}, "sw [new]: no words"},
		{"refusal without words", func(m Menu) { m.Refusals["new"] = AskAgain }, "fr [refusal.new]: no words"},
		{"refusal without outcome", func(m Menu) { m.Refusals["busy"] = 0 }, "refusal busy: neither"},
		{"words for nothing", func(m Menu) { delete(m.Refusals, "busy") }, "[refusal.busy]: words for nothing"},
		{"no label", func(m Menu) { m.Screens["airtime"] = Screen{Pick: Pick{"airtime_own", "airtime_other", "send_amount"}} }, "en [send_amount]: no label"},
		{"long list of things", func(m Menu) {
			m.Screens["airtime"] = Screen{Pick: Pick{"airtime_own", "airtime_other", "limits", "limits", "limits", "limits", "limits"}}
		}, "en [airtime]: 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			words, err := Words()
			if err != nil {
				t.Fatal(err)
			}
			m := Tree()
			c.spoil(m)
			wantProblem(t, m.Check(words), c.want)
		})
	}
}

// The same for words.
func TestCheckFindsWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, lang, from, to, want string }{
		{"a hole that only one language has", "sw", "Salio lako ni {balance}.", "Salio lako.", "sw [balance_is]: body has holes [], but [balance]"},
		{"a hole that nobody knows", "en", "Your balance is {balance}.", "Your balance is {balanse}.", "nobody has said how wide {balanse} can be"},
		{"a character that phones do not have", "fr", "Francais", "Français", "fr [own_name]: characters outside GSM 7-bit"},
		{"a missing text", "sw", "[over]", "[ovre]", "sw [over]: missing"},
		{"a text that is too long", "fr", "Bienvenue chez {brand}\n[register]", "Bienvenue chez {brand}. " + strings.Repeat("Longue phrase. ", 8) + "Fin\n[register]", "fr [stranger]: 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := fstest.MapFS{}
			names, err := fs.Glob(screenFiles, "screens/*.txt")
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				raw, err := screenFiles.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasSuffix(name, c.lang+".txt") {
					if !strings.Contains(string(raw), c.from) {
						t.Fatalf("%s has no %q", name, c.from)
					}
					raw = []byte(strings.Replace(string(raw), c.from, c.to, 1))
				}
				files[name] = &fstest.MapFile{Data: raw}
			}
			words, err := text.ParseCatalogue(files, "screens")
			if err != nil {
				t.Fatal(err)
			}
			wantProblem(t, Tree().Check(words), c.want)
		})
	}
}

func wantProblem(t *testing.T, problems []string, want string) {
	t.Helper()
	for _, p := range problems {
		if strings.Contains(p, want) {
			return
		}
	}
	t.Errorf("not found: %s\nbut: %s", want, strings.Join(problems, "\n"))
}

// Whatever key accounts, agents and this package refuse with is an edge or has
// an outcome: nobody reads "sorry" for a refusal.
func TestEveryRefusalHasAnOutcome(t *testing.T) {
	t.Parallel()
	m := Tree()
	edges := map[string]bool{}
	for _, sc := range m.Screens {
		for key := range sc.Else {
			edges[key] = true
		}
	}
	found := 0
	for _, dir := range []string{"../accounts", "../agents", "."} {
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			set := token.NewFileSet()
			tree, err := parser.ParseFile(set, file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(tree, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) == 0 {
					return true
				}
				name := ""
				switch f := call.Fun.(type) {
				case *ast.Ident:
					name = f.Name
				case *ast.SelectorExpr:
					name = f.Sel.Name
				}
				literal, isText := call.Args[0].(*ast.BasicLit)
				if name != "Refuse" || !isText {
					return true
				}
				key, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(key, "bank_") {
					return true // of a file that staff give to the portal: no phone gets there
				}
				found++
				if m.Refusals[key] == 0 && !edges[key] {
					t.Errorf("%s: refusal %q has no outcome in the menu", set.Position(call.Pos()), key)
				}
				return true
			})
		}
	}
	for _, r := range tillRefusals {
		if m.Refusals[r.key] == 0 && !edges[r.key] {
			t.Errorf("%v: refusal %q has no outcome in the menu", r.err, r.key)
		}
	}
	if found < 40 {
		t.Errorf("only %d refusals found: is this test still looking in the right places?", found)
	}
}

// Lines are never lost between pages, and every page fits.
func TestPages(t *testing.T) {
	t.Parallel()
	for n := 1; n < 40; n++ {
		v := view{body: "Title", back: "0 Back", more: "98 More"}
		var want []string
		for i := range n {
			line := fmt.Sprintf("line %d %s", i, strings.Repeat("x", i*7%40))
			v.body += "\n" + line
			want = append(want, line)
		}
		all := ""
		pages := v.pages()
		for i, p := range pages {
			if !fits(p) {
				t.Fatalf("page %d of %d lines is too long: %q", i, n, p)
			}
			if last := i == len(pages)-1; strings.Contains(p, "98 More") == last {
				t.Fatalf("page %d of %d: %q", i+1, len(pages), p)
			}
			all += p + "\n"
		}
		for _, line := range want {
			if strings.Count(all, line+"\n") != 1 {
				t.Fatalf("%q is not there once in %q", line, all)
			}
		}
	}
}

func TestUndecided(t *testing.T) {
	t.Parallel()
	late, cancel := context.WithCancel(context.Background())
	cancel()
	refusal := fmt.Errorf("send: %w", accounts.Refuse("insufficient"))
	for _, c := range []struct {
		name string
		ctx  context.Context
		err  error
		want bool
	}{
		{"the book does not know", context.Background(), fmt.Errorf("send: %w", accounts.ErrPending), true},
		{"time ran out inside", context.Background(), fmt.Errorf("send: %w", context.DeadlineExceeded), true},
		{"time ran out outside", late, errors.New("connection reset"), true},
		{"a refusal is a decision", context.Background(), refusal, false},
		{"also a late one", late, refusal, false},
		{"a definite failure", context.Background(), errors.New("no such tariff"), false},
	} {
		if got := undecided(c.ctx, c.err); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// The ref's parts cannot run into each other and fit the book's bound.
func TestRefs(t *testing.T) {
	t.Parallel()
	s := Step{id: Request{Gateway: "at", Session: strings.Repeat("s", maxSessionID)}.id(), state: &state{Inputs: MaxSteps}}
	for _, ref := range []string{s.payment(), s.Once("register")} {
		if len(ref) > 200 {
			t.Errorf("%d bytes", len(ref))
		}
	}
	if got := (&Step{id: "at:x", state: &state{Inputs: 4}}).payment(); got != "ussd:at:x:pay" {
		t.Error(got)
	}
}

// The requests of a gateway that delivers the latest input alone, numbered.
func TestNumberedRequests(t *testing.T) {
	t.Parallel()
	s := &sessions{key: []byte("0123456789abcdef")}
	ses := &session{Steps: []storedStep{{Sequence: 1}, {Sequence: 2}}}
	for _, c := range []struct {
		seq, again int
		next       bool
	}{{1, 0, false}, {2, 1, false}, {3, -1, true}, {5, -1, false}} {
		again, input, next := s.place("id", ses, Request{Latest: true, Text: "7", Sequence: c.seq}, time.Time{})
		if again != c.again || next != c.next || next && input != "7" {
			t.Errorf("%d: %d %q %v", c.seq, again, input, next)
		}
	}
}
