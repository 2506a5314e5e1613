// Package tuma_test holds the rules of the house: what may import what
// (arrows_test.go), what domain packages may not do (domain_test.go) and how
// the database is written to (writes_test.go). They read the program as the
// compiler does, with types, and each breach is reported as
//
//	file:line: what is wrong (why there is a rule)
//
// Every rule is also shown sources that break it (planted_test.go).
package tuma_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "tuma"

// listed is a package as `go list` knows it.
type listed struct {
	ImportPath                                  string
	Dir                                         string
	Standard                                    bool
	Export                                      string // compiled form: its types
	Module                                      *struct{ Path string }
	GoFiles, Imports, TestImports, XTestImports []string
	Error                                       *struct{ Err string }
}

// room is the package's path inside the module, "accounts/ledger".
func (p listed) room() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

func (p listed) ours() bool { return p.Module != nil && p.Module.Path == module }

// source is one of our packages, parsed and type-checked without its tests.
type source struct {
	room  string
	fset  *token.FileSet
	files []*ast.File
	info  *types.Info
}

// breach is one broken rule at one place.
type breach struct {
	at  token.Position
	say string
}

func (b breach) String() string {
	return fmt.Sprintf("%s:%d: %s", b.at.Filename, b.at.Line, b.say)
}

// house is the whole program; loading it takes seconds, so it happens once.
type house struct {
	all  map[string]listed // by import path, dependencies included
	ours []source
}

var load = sync.OnceValues(func() (*house, error) {
	// go test remembers a result until a file that the test opened changes.
	// The files are read by go list, out of its sight; so look at them here.
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin" || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if err == nil && strings.HasSuffix(path, ".go") {
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "list", "-e", "-export", "-deps",
		"-json=ImportPath,Dir,Standard,Export,Module,GoFiles,Imports,TestImports,XTestImports,Error", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	h := &house{all: map[string]listed{}}
	var order []string
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		h.all[p.ImportPath] = p
		if p.ours() && len(p.GoFiles) > 0 {
			order = append(order, p.ImportPath)
		}
	}
	slices.Sort(order)
	for _, path := range order {
		p := h.all[path]
		s := source{room: p.room(), fset: token.NewFileSet()}
		for _, name := range p.GoFiles {
			if err := s.parse(filepath.Join(p.Dir, name), nil); err != nil {
				return nil, err
			}
		}
		if err := s.check(h, path); err != nil {
			return nil, err
		}
		h.ours = append(h.ours, s)
	}
	return h, nil
})

// parse adds a file; text may be nil to read it.
func (s *source) parse(path string, text any) error {
	name := path
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil {
			name = rel
		}
	}
	if text == nil {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text = b
	}
	f, err := parser.ParseFile(s.fset, name, text, parser.SkipObjectResolution)
	s.files = append(s.files, f)
	return err
}

// check finds the types, taking those of imported packages from what the
// compiler left.
func (s *source) check(h *house, path string) error {
	s.info = &types.Info{
		Types:      map[ast.Expr]types.TypeAndValue{},
		Defs:       map[*ast.Ident]types.Object{},
		Uses:       map[*ast.Ident]types.Object{},
		Selections: map[*ast.SelectorExpr]*types.Selection{},
	}
	conf := types.Config{Importer: importer.ForCompiler(s.fset, "gc", func(path string) (io.ReadCloser, error) {
		p := h.all[path]
		if p.Export == "" {
			return nil, fmt.Errorf("%s does not compile", path)
		}
		return os.Open(p.Export)
	})}
	if _, err := conf.Check(path, s.fset, s.files, s.info); err != nil {
		return fmt.Errorf("type-checking %s: %w", path, err)
	}
	return nil
}

func (s source) breach(n ast.Node, format string, args ...any) breach {
	return breach{s.fset.Position(n.Pos()), fmt.Sprintf(format, args...)}
}

func loaded(t *testing.T) *house {
	t.Helper()
	h, err := load()
	if err != nil {
		t.Fatal(err)
	}
	if len(h.ours) < 5 {
		t.Fatalf("only %d packages found", len(h.ours))
	}
	return h
}

func report(t *testing.T, breaches []breach) {
	t.Helper()
	for _, b := range breaches {
		t.Error(b)
	}
}

// qualified names a package-level function, variable or type: "time.Now". It
// is "" for anything else.
func qualified(o types.Object) string {
	if o == nil || o.Pkg() == nil || o.Parent() != o.Pkg().Scope() {
		return ""
	}
	return o.Pkg().Path() + "." + o.Name()
}

// typeName names a named type or a pointer to one: "tuma/internal/db.Tx".
func typeName(t types.Type) string {
	if p, ok := types.Unalias(t).(*types.Pointer); ok {
		t = p.Elem()
	}
	if n, ok := types.Unalias(t).(*types.Named); ok && n.Obj().Pkg() != nil {
		return n.Obj().Pkg().Path() + "." + n.Obj().Name()
	}
	return ""
}

// inspect walks a file and gives each node with the nodes around it, the
// nearest last.
func inspect(f *ast.File, visit func(n ast.Node, around []ast.Node) (deeper bool)) {
	var around []ast.Node
	ast.Inspect(f, func(n ast.Node) bool {
		if n == nil {
			around = around[:len(around)-1]
			return true
		}
		if !visit(n, around) {
			return false
		}
		around = append(around, n)
		return true
	})
}
