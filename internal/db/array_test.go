package db_test

import (
	"slices"
	"testing"

	"tuma/internal/db"
	"tuma/internal/db/dbtest"
)

// What goes to the server comes back, by its own reading of arrays.
func TestArrays(t *testing.T) {
	t.Parallel()
	p := dbtest.New(t, nil)
	ctx := t.Context()
	numbers := []int64{0, -1, 9223372036854775807, -9223372036854775808}
	words := []string{"", "NULL", `a "b" \ {c,d}`, "Ksh 5, kwa heri", "é€😀"}
	var n db.Int64s
	var w db.Strings
	if err := p.Get(ctx, &n, `select $1::bigint[]`, db.Array(numbers)); err != nil || !slices.Equal(n, numbers) {
		t.Errorf("%v, %v", n, err)
	}
	if err := p.Get(ctx, &w, `select $1::text[]`, db.Array(words)); err != nil || !slices.Equal(w, words) {
		t.Errorf("%q, %v", w, err)
	}
	var said string
	if err := p.Get(ctx, &said, `select $1::boolean[] || array[null]::boolean[]`, db.Array([]bool{true, false})); err != nil || said != "{t,f,NULL}" {
		t.Errorf("%s, %v", said, err)
	}
	if err := p.Get(ctx, &said, `select $1::bytea[]`, db.Array([][]byte{{0, 255}, {}})); err != nil || said != `{"\\x00ff","\\x"}` {
		t.Errorf("%s, %v", said, err)
	}
	var none int
	if err := p.Get(ctx, &none, `select cardinality($1::bigint[]) + cardinality($2::text[])`, db.Array([]int64{}), db.Array([]string(nil))); err != nil || none != 0 {
		t.Errorf("%d, %v", none, err)
	}
	if err := p.Get(ctx, &n, `select null::bigint[]`); err != nil || len(n) != 0 {
		t.Errorf("%v, %v", n, err)
	}
	for _, bad := range []any{"", "{", "1,2", "{1,,2}", "{1,}", "{NULL}", "{{1},{2}}", []byte("{x}"), 7} {
		if err := n.Scan(bad); err == nil {
			t.Errorf("%v was taken for an array", bad)
		}
	}
}
