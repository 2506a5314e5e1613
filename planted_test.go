package tuma_test

import (
	"fmt"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// plant makes a source of the room out of one file's text.
func plant(t *testing.T, room, text string) source {
	t.Helper()
	s := source{room: room, fset: token.NewFileSet()}
	if err := s.parse("planted.go", text); err != nil {
		t.Fatal(err)
	}
	if err := s.check(loaded(t), module+"/"+room); err != nil {
		t.Fatal(err)
	}
	return s
}

// expect compares breaches with the comments of the planted text: each line
// that ends in `// WANT words` has exactly one breach, which has these words in
// it, and the other lines have none.
func expect(t *testing.T, text string, found []breach) {
	t.Helper()
	got := map[int][]string{}
	for _, b := range found {
		got[b.at.Line] = append(got[b.at.Line], b.String())
	}
	for i, line := range strings.Split(text, "\n") {
		_, want, wanted := strings.Cut(line, "// WANT ")
		here := got[i+1]
		switch {
		case !wanted && len(here) > 0:
			t.Errorf("line %d is allowed, but: %s\n\t%s", i+1, strings.Join(here, "; "), line)
		case wanted && (len(here) != 1 || !strings.Contains(here[0], want)):
			t.Errorf("line %d should be reported once, with %q; got %q\n\t%s", i+1, want, here, line)
		}
	}
}

const plantedDomain = `package planted

import (
	"crypto/rand" // WANT io.Reader
	"embed"
	"errors"
	mr "math/rand/v2" // WANT io.Reader
	"os"
	"regexp"
	"strconv"
	"sync"
	t2 "time"
)

var ErrX = errors.New("planted: x")
var shape = regexp.MustCompile("x")
var files embed.FS
var table = map[string]int{"a": 1}
var list = []string{"a"}
var limits = struct{ n int }{3}
var plain = 7
var (
	_        = files
	counter  int                  // WANT counter is changed at planted.go
	cache    = map[string]int{}   // WANT cache is changed at planted.go
	pointed  = 3                  // WANT pointed is changed at planted.go
	rows     = []struct{ n int }{{1}} // WANT rows is changed at planted.go
	deleted  = map[int]bool{1: true} // WANT deleted is changed
	mu       sync.Mutex           // WANT a sync.Mutex
	guarded  struct{ mu sync.Mutex } // WANT a struct with a sync.Mutex
	stop     = make(chan int)     // WANT a channel
	shared   = &limits            // WANT a pointer
	anything any                  // WANT an interface
	pool     = sync.Pool{}        // WANT a sync.Pool
)

func init() {} // WANT func init

type thing struct{}

func (thing) init() {}

func bad() int64 {
	counter++
	cache["a"] = 1
	rows[0].n = 2
	delete(deleted, 1)
	p := &pointed
	_ = shape.String()
	_ = os.Getenv("HOME") // WANT os.Getenv
	_, _ = os.LookupEnv("HOME") // WANT os.LookupEnv
	now := t2.Now // WANT time.Now
	_ = t2.Since(now()) // WANT time.Since
	var f float64 // WANT floating point
	g := 1.5 // WANT floating point
	h, _ := strconv.ParseFloat("1", 64) // WANT floating point
	_ = t2.Second.Seconds() // WANT floating point
	t2.Sleep(1) // WANT time.Sleep
	<-t2.After(1) // WANT time.After
	_ = mr.Int()
	_, _ = rand.Read(nil)
	_, _, _ = f, g, h // WANT floating point
	return int64(*p)
}

func good(now func() t2.Time) (t2.Duration, int) {
	counter := 1
	counter++
	cache := map[int]int{}
	cache[1] = len(table) + len(list) + plain + limits.n
	type float64 = int
	return t2.Time{}.Sub(now()), counter
}
`

func TestDomainRulesSeeBreaches(t *testing.T) {
	t.Parallel()
	s := plant(t, "accounts/planted", plantedDomain)
	found := append(domainRules(s), globals([]source{s}, []source{s})...)
	// &limits in the declaration of shared is the address of a table.
	found = slices.DeleteFunc(found, func(b breach) bool { return strings.Contains(b.say, "variable limits is changed") })
	expect(t, plantedDomain, found)
}

func TestOnlyListedPlacesWait(t *testing.T) {
	t.Parallel()
	const text = "package planted\n\nimport \"time\"\n\nvar tick = func() { time.NewTicker(1) }\n"
	if found := domainRules(plant(t, "sms", text)); len(found) != 1 || !strings.Contains(found[0].say, "time.NewTicker") {
		t.Errorf("in a file that is not listed: %v", found)
	}
	if found := domainRules(plant(t, "simulator", text)); len(found) != 0 {
		t.Errorf("in a room that is listed: %v", found)
	}
}

const plantedWrites = `package planted

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"tuma/internal/db"
)

const (
	sqlRead   = "select n from t where id = $1"
	sqlInsert = "\n\tinsert into t (n) values ($1)"
	sqlUpdate = "-- raise it\nupdate t as x set n = n + 1 where id = $1"
	sqlReturn = "with gone as (delete from t returning n) select n from gone"
	sqlLock   = "select n from t where id = $1\nfor no key update"
	sqlNext   = "select nextval('ids')"
	sqlWake   = "select pg_notify('x', '')"
	sqlTail   = " for update"
	english   = "update the limits, delete the rest, insert coins, select a language for updates"
)

type reader interface {
	Select(ctx context.Context, dest any, query string, args ...any) error
}

type kept struct{ query string }

func good(ctx context.Context, p *db.Pool) error {
	var n int
	_ = p.Get(ctx, &n, sqlRead, 1)
	fmt.Println(english)
	err := p.InTx(ctx, func(tx *db.Tx) error {
		query := sqlInsert
		if n > 0 {
			query = (sqlUpdate)
		}
		if query == sqlUpdate {
			n++
		}
		if _, err := tx.Exec(ctx, query, 1); err != nil {
			return err
		}
		_ = both(ctx, tx, sqlRead)
		_ = helper(ctx, tx, sqlReturn)
		return errors.Join(tx.Get(ctx, &n, sqlRead+sqlTail), tx.Select(ctx, &n, sqlLock), tx.Get(ctx, &n, "select nextval('ids')"))
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

func helper(ctx context.Context, tx *db.Tx, query string) error {
	deeper := func() error {
		_, err := tx.Exec(ctx, query)
		return err
	}
	return deeper()
}

func both(ctx context.Context, r reader, query string) error {
	return r.Select(ctx, nil, query)
}

func leaky(ctx context.Context, r reader, query string) error {
	return r.Select(ctx, nil, query) // WANT is passed to (tuma/accounts/planted.reader).Select
}

func (k kept) method(ctx context.Context, p *db.Pool, one, two string) {
	_ = p.Get(ctx, nil, one) // WANT Pool).Get
	_ = p.Get(ctx, nil, two)
}

func bad(ctx context.Context, p *db.Pool, s *db.Snapshot, tx *db.Tx, d *sql.DB) string {
	var n int
	_ = p.Get(ctx, &n, sqlInsert, 1) // WANT Pool).Get
	_ = p.Get(ctx, &n, sqlNext) // WANT Pool).Get
	_ = p.Select(ctx, &n, sqlWake) // WANT Pool).Select
	_ = p.Select(ctx, &n, sqlReturn) // WANT Pool).Select
	_ = p.Select(ctx, &n, sqlLock) // WANT Pool).Select
	_ = p.Select(ctx, &n, sqlRead+sqlTail) // WANT Pool).Select
	_ = s.Get(ctx, &n, "truncate table t") // WANT Snapshot).Get
	_ = leaky(ctx, tx, sqlInsert)
	kept{}.method(ctx, p, sqlUpdate, sqlRead)
	query := sqlUpdate
	again := query
	_ = p.Get(ctx, &n, again) // WANT Pool).Get
	formatted := fmt.Sprintf("update %s set n = 1", "t") // WANT fmt.Sprintf
	_ = kept{query: sqlInsert} // WANT kept or returned
	all := []string{sqlInsert} // WANT kept or returned
	k := kept{}
	k.query = sqlInsert // WANT field or an element
	run := func(q string) {}
	run(sqlInsert) // WANT not a declared function
	_, _ = d.ExecContext(ctx, sqlRead) // WANT database/sql.DB
	_, _ = sql.Open("postgres", "") // WANT database/sql.Open
	_, _ = formatted, all
	return sqlInsert // WANT kept or returned
}
`

func TestWriteRulesSeeBreaches(t *testing.T) {
	t.Parallel()
	expect(t, plantedWrites, writeRules(plant(t, "accounts/planted", plantedWrites)))
}

func TestWritingSQLIsRecognised(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{
		"INSERT INTO a VALUES (1)", "update a set b = 1", "update only a b set c = 1", "delete from a", "merge into a using b",
		"select 1 from a for share", "select 1 from a for key share of a skip locked", "truncate table a", "copy a (b) from stdin", "lock table a",
		"with x as (select 1) insert into a select * from x", "create table a (b int)", "drop database x", "notify x", "call f(1)",
		"select pg_try_advisory_lock(1)", "select setval('a', 1)", "select a into b from c",
	} {
		if !writing.MatchString(sql) {
			t.Errorf("not seen to write: %s", sql)
		}
	}
	for _, text := range []string{
		"select 1", "select updated_at, deleted from a", "select 'x' as lock", "update", "delete this?", "Create an account", "call us", "do it",
		"select * from information_schema.tables", "lock", "copy that", "select max(updated) from inserts", "Insert the till number",
	} {
		if writing.MatchString(text) {
			t.Errorf("taken for SQL that writes: %s", text)
		}
	}
}

func TestArrowsSeeBreaches(t *testing.T) {
	t.Parallel()
	own, err := readPolicy(`
		db -> # a leaf
		LEAVES -> db money
		money ->
		book -> LEAVES
		shop -> book LEAVES
		world ->
		wire -> *
		TESTS -> helper
	`)
	if err != nil {
		t.Fatal(err)
	}
	own["internal/db"] = nil
	own["book"] = append(own["book"], "internal/db")
	for _, c := range []struct {
		room                  string
		imports, tests, xtest string
		want                  string // words of the complaint; "" for none
	}{
		{room: "shop", imports: "fmt tuma/book tuma/db"},
		{room: "shop", imports: "tuma/world", want: "shop imports world"},
		{room: "shop", imports: "tuma/wire", want: "shop imports wire"},
		{room: "book", imports: "tuma/shop", want: "book imports shop"},
		{room: "money", imports: "tuma/db", want: "money imports db"},
		{room: "wire", imports: "tuma/world tuma/shop"},
		{room: "attic", want: "no arrows are listed"},
		{room: "shop", xtest: "tuma/shop tuma/helper tuma/internal/db"},
		{room: "shop", tests: "tuma/wire", want: "tests of shop import wire"},
		{room: "world", xtest: "tuma/world"},
		{room: "world", xtest: "tuma/helper", want: "tests of world import helper"},
	} {
		pkg := listed{ImportPath: module + "/" + c.room, Imports: strings.Fields(c.imports), TestImports: strings.Fields(c.tests), XTestImports: strings.Fields(c.xtest)}
		expectOne(t, fmt.Sprintf("%+v", c), own.ownArrows(pkg), c.want)
	}
	outside, err := readPolicy(`
		example.org/a    -> book
		example.org/a/v2 -> shop
		TESTS            -> example.org/check
	`)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ room, imports, tests, want string }{
		{room: "book", imports: "fmt example.org/a example.org/a/sub tuma/money"},
		{room: "book", imports: "example.org/a/v2/sub", want: "which only shop may"},
		{room: "book", imports: "example.org/ab", want: "does not list"},
		{room: "book", tests: "example.org/check/sub example.org/a"},
		{room: "shop", tests: "example.org/a", want: "its tests import example.org/a, which only book may"},
		{room: "book", imports: "example.org/check", want: "does not list"},
	} {
		pkg := listed{ImportPath: module + "/" + c.room, Imports: strings.Fields(c.imports), TestImports: strings.Fields(c.tests)}
		expectOne(t, fmt.Sprintf("%+v", c), outside.otherModules(pkg), c.want)
	}
	for _, text := range []string{"a b -> c", "just words", "a -> LATER\nLATER -> b"} {
		if _, err := readPolicy(text); err == nil {
			t.Errorf("a wrong listing was read: %q", text)
		}
	}
}

func expectOne(t *testing.T, c string, got []string, want string) {
	t.Helper()
	if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0], want)) {
		t.Errorf("%s: got %q", c, got)
	}
}
