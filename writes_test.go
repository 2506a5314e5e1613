package tuma_test

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"regexp"
	"slices"
	"testing"
)

const (
	dbRoom = module + "/internal/db"

	outsideTx = "a statement outside an explicit transaction may run twice when its reply is lost; write through the *db.Tx of Pool.InTx"
	bareSQL   = "only internal/db talks to the driver: it has the deadlines, the role, the read-only connections and the transactions"
)

// atTheDriver are the rooms below or beside internal/db.
var atTheDriver = []string{"internal/db", "internal/db/dbtest", "internal/devenv"}

// writing recognises SQL that changes something or locks rows. Words of English
// that begin alike ("update the limits") are not SQL, so a little more than the
// first word is looked at.
var writing = regexp.MustCompile(`(?is)` +
	`\binsert\s+into\s+\S|\bupdate\s+(only\s+)?\S+(\s+(as\s+)?\w+)?\s+set\b|\bdelete\s+from\s+\S|\bmerge\s+into\s+\S` +
	`|^\s*(truncate|create|alter|drop|grant|revoke|copy|lock|call|do|reindex|vacuum|cluster|refresh|comment\s+on)\s+(table|only|database|role|index|schema|sequence|type|function|view|materialized|procedure|\$|\w+\s*\(|\w+\s+(from|in)\b)` +
	`|\bselect\b.*\bfor\s+(no\s+key\s+update|update|key\s+share|share)\b|^\s*for\s+(no\s+key\s+)?update\b` +
	`|\b(nextval|setval|pg_notify|lo_unlink|pg_(try_)?advisory\w*)\s*\(|^\s*notify\s+\w|\bselect\b.*\binto\s+\w+\s+from\b`)

// writeRules checks that one package writes inside transactions only. It
// follows SQL from the constant through variables and parameters of the package
// to the call that runs it, which must be a method of *db.Tx. SQL that it
// cannot follow (kept in a field, returned, formatted) is a breach as well.
func writeRules(s source) (found []breach) {
	c := &courier{source: s, params: s.parameters(), carried: map[types.Object]bool{}}
	for _, f := range s.files {
		inspect(f, func(n ast.Node, around []ast.Node) bool {
			if d, ok := n.(*ast.GenDecl); ok && d.Tok == token.CONST {
				return false
			}
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if name := s.driverMethod(sel); name != "" {
					found = append(found, s.breach(sel, "call of %s (%s)", name, bareSQL))
				}
			}
			e, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			if v := s.info.Types[e].Value; v != nil {
				if v.Kind() == constant.String && writing.MatchString(constant.StringVal(v)) {
					found = append(found, c.deliver(e, around)...)
				}
				return false
			}
			return true
		})
	}
	// What was found to carry SQL is followed in turn, until nothing new is.
	for len(c.queue) > 0 {
		o := c.queue[0]
		c.queue = c.queue[1:]
		for _, f := range s.files {
			inspect(f, func(n ast.Node, around []ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok && s.info.Uses[id] == o {
					found = append(found, c.deliver(id, around)...)
				}
				return true
			})
		}
	}
	return found
}

// courier follows SQL through one package.
type courier struct {
	source
	params  map[*types.Func][]*types.Var
	carried map[types.Object]bool
	queue   []types.Object
}

func (c *courier) carry(o types.Object) {
	if !c.carried[o] {
		c.carried[o] = true
		c.queue = append(c.queue, o)
	}
}

// deliver looks at where an expression that holds writing SQL goes.
func (c *courier) deliver(e ast.Expr, around []ast.Node) []breach {
	lost := func(how string) []breach {
		return []breach{c.breach(e, "SQL that writes %s (%s)", how, outsideTx)}
	}
	for i := len(around) - 1; i >= 0; i-- {
		switch n := around[i].(type) {
		case *ast.ParenExpr:
			e = n
		case *ast.BinaryExpr:
			if n.Op != token.ADD {
				return nil // compared
			}
			e = n
		case *ast.CallExpr:
			at := slices.Index(n.Args, e)
			if at < 0 {
				return lost("is called")
			}
			return c.call(n, at, lost)
		case *ast.AssignStmt:
			at := slices.Index(n.Rhs, e)
			if at < 0 {
				return nil // assigned to: what is assigned is looked at by itself
			}
			if len(n.Lhs) != len(n.Rhs) {
				return lost("goes where it cannot be followed")
			}
			return c.into(n.Lhs[at], lost)
		case *ast.ValueSpec:
			if at := slices.Index(n.Values, e); at >= 0 && len(n.Names) == len(n.Values) {
				return c.into(n.Names[at], lost)
			}
			return lost("goes where it cannot be followed")
		case *ast.CaseClause, *ast.SwitchStmt:
			return nil // compared
		case *ast.ExprStmt:
			return nil
		default:
			return lost("is kept or returned, where it cannot be followed")
		}
	}
	return nil
}

// into follows SQL into a variable.
func (c *courier) into(to ast.Expr, lost func(string) []breach) []breach {
	id, ok := to.(*ast.Ident)
	if !ok {
		return lost("is kept in a field or an element, where it cannot be followed")
	}
	if id.Name == "_" {
		return nil
	}
	o := c.info.Defs[id]
	if o == nil {
		o = c.info.Uses[id]
	}
	if qualified(o) != "" && o.Exported() {
		return lost("is exported")
	}
	c.carry(o)
	return nil
}

// call follows SQL into a call as its argument number at.
func (c *courier) call(n *ast.CallExpr, at int, lost func(string) []breach) []breach {
	var fn *types.Func
	switch f := ast.Unparen(n.Fun).(type) {
	case *ast.Ident:
		fn, _ = c.info.Uses[f].(*types.Func)
	case *ast.SelectorExpr:
		fn, _ = c.info.Uses[f.Sel].(*types.Func)
	}
	if fn == nil {
		return lost("is passed to something that is not a declared function")
	}
	if recv := fn.Signature().Recv(); recv != nil && typeName(recv.Type()) == dbRoom+".Tx" {
		return nil
	}
	if params, here := c.params[fn.Origin()]; here && at < len(params) && !(fn.Signature().Variadic() && at >= len(params)-1) {
		c.carry(params[at])
		return nil
	}
	return lost("is passed to " + fn.FullName())
}

// parameters lists the parameters of the package's functions as their bodies
// know them.
func (s source) parameters() map[*types.Func][]*types.Var {
	all := map[*types.Func][]*types.Var{}
	for _, f := range s.files {
		for _, d := range f.Decls {
			d, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			fn, ok := s.info.Defs[d.Name].(*types.Func)
			if !ok {
				continue
			}
			all[fn] = slices.Collect(fn.Signature().Params().Variables())
		}
	}
	return all
}

// driverMethod names what a selector takes from database/sql or sqlx that runs
// statements or opens connections; "" for anything else, such as sql.ErrNoRows.
func (s source) driverMethod(sel *ast.SelectorExpr) string {
	fn, ok := s.info.Uses[sel.Sel].(*types.Func)
	if !ok || fn.Pkg() == nil {
		return ""
	}
	switch fn.Pkg().Path() {
	case "database/sql", "github.com/jmoiron/sqlx", "github.com/lib/pq", "database/sql/driver":
	default:
		return ""
	}
	recv := fn.Signature().Recv()
	if recv == nil {
		return fn.FullName()
	}
	switch name := typeName(recv.Type()); name {
	case "database/sql.DB", "database/sql.Conn", "database/sql.Tx", "database/sql.Stmt", "database/sql/driver.Connector", "database/sql/driver.Conn":
		return fn.FullName()
	default:
		if fn.Pkg().Path() == "github.com/jmoiron/sqlx" {
			return fn.FullName()
		}
		return ""
	}
}

func TestNoWriteOutsideATransaction(t *testing.T) {
	t.Parallel()
	for _, s := range loaded(t).ours {
		if !slices.Contains(atTheDriver, s.room) {
			report(t, writeRules(s))
		}
	}
}
