package db

import (
	"errors"
	"strconv"
	"strings"
)

// carryPlace is where a statement has room for others: after a query of its
// "with" clause.
const carryPlace = "/* carried */"

var errNotCarried = errors.New("db: a carried statement was not sent")

// carried is a statement that waits for one to go with.
type carried struct {
	query string
	args  []any
}

// Carry has a data-modifying statement go to the server with the next one that
// says /* carried */ behind a query of its "with" clause, and take no round trip.
// The two see the database as it was before both and run in no order. Its
// parameters are told by their dollar signs, so it may have none in a text.
func (t *Tx) Carry(query string, args ...any) {
	t.carried = append(t.carried, carried{query, args})
}

// laden is a query with what it carries.
func (t *Tx) laden(query string, args []any) (string, []any) {
	head, tail, found := strings.Cut(query, carryPlace)
	if !found || len(t.carried) == 0 {
		return query, args
	}
	var q strings.Builder
	q.WriteString(head)
	args = append([]any(nil), args...)
	for i, c := range t.carried {
		q.WriteString(", carried_" + strconv.Itoa(i) + " as (")
		renumber(&q, c.query, len(args))
		q.WriteString(")")
		args = append(args, c.args...)
	}
	q.WriteString(tail)
	t.carried = nil
	return q.String(), args
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
