package tuma_test

import (
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// notDomain are the rooms that stand at the edge of the program: they hand
// the clock, randomness and settings to all the others, or are the people outside,
// who have a clock and dice of their own.
var notDomain = []string{"cmd/tuma", "internal/db", "internal/db/dbtest", "internal/devenv", "simulator/people"}

// forbidden are functions that a domain package may not name, and why.
var forbidden = map[string]string{
	"time.Now":          clock,
	"time.Since":        clock,
	"time.Until":        clock,
	"os.Getenv":         environment,
	"os.LookupEnv":      environment,
	"os.Environ":        environment,
	"os.ExpandEnv":      environment,
	"time.Sleep":        waiting,
	"time.After":        waiting,
	"time.AfterFunc":    waiting,
	"time.Tick":         waiting,
	"time.NewTimer":     waiting,
	"time.NewTicker":    waiting,
	"time.LoadLocation": "the machine's time zones are outside the program; the country's zone is passed in",
}

const (
	clock       = "the clock is passed in as func() time.Time or read from the transaction, so that tests can set it"
	environment = "settings are passed in by cmd/tuma, so that one place knows them all"
	waiting     = "only the places listed in domain_test.go may wait: a decision that depends on time takes it from the clock"
	randomness  = "randomness is passed in as an io.Reader, so that tests can repeat it"
	floats      = "money and counts are whole numbers; a float is not exact"
	initialiser = "nothing happens at import: the composition root calls what must run"
	global      = "state belongs to a value that somebody made and passes on; tests run side by side"
)

// waits are the files, or whole rooms, that may use timers, and what for.
// None of them decides anything by the time that passed.
var waits = map[string]string{
	"simulator":                 "a network takes its time",
	"internal/smpp":             "a connection is kept alive, and silence on it is noticed",
	"sms/relay.go":              "looks for due notices, and backs off between tries",
	"sms/noter.go":              "notes an outcome again when the database does not answer",
	"accounts/topup.go":         "looks for due top-ups",
	"accounts/wake.go":          "gathers the wake-ups of a moment",
	"accounts/ledger/commit.go": "a breath before asking again what became of a commit",
	"accounts/ledger/month.go":  "makes partitions while there is time",
	"agents/portal/live.go":     "looks again for what a page waits for",
	"ussd/smpp.go":              "shows a screen again that the network throttles",
	"ussd/session.go":           "asks again for a session that another request holds",
	"ussd/dialogues/stages.go":  "looks whether an SMS has come",
}

var forbiddenImports = map[string]string{
	"math/rand":    randomness,
	"math/rand/v2": randomness,
	"crypto/rand":  randomness,
}

// domainRules checks one domain package.
func domainRules(s source) (found []breach) {
	for _, f := range s.files {
		for _, spec := range f.Imports {
			if why, bad := forbiddenImports[strings.Trim(spec.Path.Value, `"`)]; bad {
				found = append(found, s.breach(spec, "import of %s (%s)", spec.Path.Value, why))
			}
		}
		file := s.room + "/" + path.Base(s.fset.Position(f.Pos()).Filename)
		mayWait := waits[s.room] != "" || waits[file] != ""
		floatLine := 0
		inspect(f, func(n ast.Node, _ []ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Name.Name == "init" && n.Recv == nil {
					found = append(found, s.breach(n, "func init (%s)", initialiser))
				}
			case *ast.Ident:
				name := qualified(s.info.Uses[n])
				if why, bad := forbidden[name]; bad && !(why == waiting && mayWait) {
					found = append(found, s.breach(n, "%s (%s)", name, why))
				}
			}
			if e, ok := n.(ast.Expr); ok {
				if line := s.fset.Position(n.Pos()).Line; line != floatLine && s.isFloat(e) {
					floatLine = line
					found = append(found, s.breach(n, "floating point (%s)", floats))
				}
			}
			return true
		})
	}
	return found
}

func (s source) isFloat(e ast.Expr) bool {
	var t types.Type
	if id, ok := e.(*ast.Ident); ok && s.info.Defs[id] != nil {
		t = s.info.Defs[id].Type()
	} else {
		t = s.info.Types[e].Type
	}
	if t == nil {
		return false
	}
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&(types.IsFloat|types.IsComplex) != 0
}

// constantInFact are types whose values never change once made.
var constantInFact = []string{
	"regexp.Regexp", "embed.FS", "text/template.Template", "html/template.Template", "strings.Replacer", "time.Location",
	"github.com/redis/go-redis/v9.Script",
}

// globals finds package-level variables of the domain that change, or could
// change unseen. Error values, the types above and tables (arrays, slices, maps,
// structs and plain values that no code of the module assigns to) are allowed.
func globals(domain, all []source) (found []breach) {
	changed := changes(all)
	for _, s := range domain {
		for _, f := range s.files {
			for _, d := range f.Decls {
				g, ok := d.(*ast.GenDecl)
				if !ok || g.Tok != token.VAR {
					continue
				}
				for _, spec := range g.Specs {
					for _, name := range spec.(*ast.ValueSpec).Names {
						v := s.info.Defs[name]
						if v == nil || name.Name == "_" {
							continue
						}
						switch what := mutable(v.Type()); {
						case what != "":
							found = append(found, s.breach(name, "package-level variable %s is %s (%s)", name.Name, what, global))
						case changed[qualified(v)] != "":
							found = append(found, s.breach(name, "package-level variable %s is changed at %s (%s)", name.Name, changed[qualified(v)], global))
						}
					}
				}
			}
		}
	}
	return found
}

// mutable says what makes a type unfit for a package-level variable; "" when
// nothing does.
func mutable(t types.Type) string {
	if slices.Contains(constantInFact, typeName(t)) || types.Identical(t, types.Universe.Lookup("error").Type()) {
		return ""
	}
	if name := typeName(t); strings.HasPrefix(name, "sync.") || strings.HasPrefix(name, "sync/atomic.") {
		return "a " + name
	}
	switch u := t.Underlying().(type) {
	case *types.Chan:
		return "a channel"
	case *types.Pointer:
		return "a pointer"
	case *types.Interface:
		return "an interface"
	case *types.Struct:
		for f := range u.Fields() {
			if what := mutable(f.Type()); what != "" && !strings.HasPrefix(what, "an interface") {
				return "a struct with " + what
			}
		}
	case *types.Array:
		return mutable(u.Elem())
	}
	return ""
}

// changes finds the package-level variables of the module that its code
// assigns to, also by index or field, takes the address of, or deletes from,
// and says where.
func changes(all []source) map[string]string {
	where := map[string]string{}
	for _, s := range all {
		touch := func(e ast.Expr) {
			for {
				switch x := e.(type) {
				case *ast.ParenExpr:
					e = x.X
					continue
				case *ast.IndexExpr:
					e = x.X
					continue
				case *ast.StarExpr:
					e = x.X
					continue
				case *ast.SelectorExpr:
					if _, field := s.info.Selections[x]; field {
						e = x.X
						continue
					}
					e = x.Sel
					continue
				case *ast.Ident:
					if v, ok := s.info.Uses[x].(*types.Var); ok && qualified(v) != "" {
						p := s.fset.Position(x.Pos())
						where[qualified(v)] = breach{at: p}.String()
					}
				}
				return
			}
		}
		for _, f := range s.files {
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.AssignStmt:
					for _, e := range n.Lhs {
						touch(e)
					}
				case *ast.IncDecStmt:
					touch(n.X)
				case *ast.RangeStmt:
					if n.Tok == token.ASSIGN {
						touch(n.Key)
						touch(n.Value)
					}
				case *ast.UnaryExpr:
					if n.Op == token.AND {
						touch(n.X)
					}
				case *ast.CallExpr:
					if id, ok := n.Fun.(*ast.Ident); ok && len(n.Args) > 0 {
						if b, ok := s.info.Uses[id].(*types.Builtin); ok && (b.Name() == "delete" || b.Name() == "clear" || b.Name() == "copy") {
							touch(n.Args[0])
						}
					}
				case *ast.SelectorExpr:
					// A method with a pointer receiver, called on the variable itself.
					if sel := s.info.Selections[n]; sel != nil && sel.Kind() == types.MethodVal {
						recv := sel.Obj().(*types.Func).Signature().Recv().Type()
						_, wants := recv.(*types.Pointer)
						_, has := sel.Recv().Underlying().(*types.Pointer)
						if wants && !has {
							touch(n.X)
						}
					}
				}
				return true
			})
		}
	}
	return where
}

func TestDomainRules(t *testing.T) {
	t.Parallel()
	h := loaded(t)
	var domain []source
	for _, s := range h.ours {
		if !slices.Contains(notDomain, s.room) {
			domain = append(domain, s)
			report(t, domainRules(s))
		}
	}
	report(t, globals(domain, h.ours))
	for place := range waits {
		if _, err := os.Stat(place); err != nil {
			t.Errorf("domain_test.go lets a place wait that is not there: %v", err)
		}
	}
}
