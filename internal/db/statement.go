package db

import (
	"strconv"
	"strings"
)

// Statement is a query and its arguments, $1 the first. The zero Statement is
// none.
type Statement struct {
	Query string
	Args  []any
}

// Carrying joins a data-modifying statement and others into one, so that they
// take one round trip. They all see the database as it was before, run whether
// or not anything is read from them, and in no order. Head is a "with" clause
// with one query at least, tail the statement after it, and args are those of
// both.
func Carrying(head, tail string, args []any, others ...Statement) Statement {
	var q strings.Builder
	q.WriteString(head)
	for i, o := range others {
		if o.Query == "" {
			continue
		}
		q.WriteString(", carried_" + strconv.Itoa(i) + " as (")
		renumber(&q, o.Query, len(args))
		q.WriteString(")")
		args = append(args, o.Args...)
	}
	q.WriteString(tail)
	return Statement{q.String(), args}
}

// renumber writes a query whose parameters begin after n others. Parameters are
// told by their dollar sign: queries with one in a text are not for carrying.
func renumber(q *strings.Builder, query string, n int) {
	for {
		before, after, found := strings.Cut(query, "$")
		q.WriteString(before)
		if !found {
			return
		}
		end := 0
		for end < len(after) && after[end] >= '0' && after[end] <= '9' {
			end++
		}
		number, err := strconv.Atoi(after[:end])
		if err != nil {
			panic("db: a query with a dollar sign that is no parameter: " + query)
		}
		q.WriteString("$" + strconv.Itoa(number+n))
		query = after[end:]
	}
}
