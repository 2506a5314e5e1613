package text

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Holes are the values for the {holes} of a text. A value is put in as it is:
// braces in it stay braces.
type Holes map[string]string

// holePattern is a hole in a body: {amount}, {payee.name}.
var holePattern = regexp.MustCompile(`\{([a-z][a-z0-9_.]*)\}`)

// HolesOf lists the names of the holes in a body, sorted, each once.
func HolesOf(body string) []string {
	var names []string
	for _, m := range holePattern.FindAllStringSubmatch(body, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// FillString replaces the holes of a body. Braces that are not a hole stay as
// they are. A hole without a value is an error that names it; a value without
// a hole is none (languages may leave something out before Check complains).
func FillString(body string, h Holes) (string, error) {
	return pieces(body).fill(h)
}

// piece is a stretch of a body up to and with one hole; the last has none.
type piece struct{ before, hole string }

type template []piece

// pieces takes a body apart, once for the many times it is filled.
func pieces(body string) template {
	var t template
	end := 0
	for _, m := range holePattern.FindAllStringSubmatchIndex(body, -1) {
		t = append(t, piece{body[end:m[0]], body[m[2]:m[3]]})
		end = m[1]
	}
	return append(t, piece{body[end:], ""})
}

func (t template) fill(h Holes) (string, error) {
	var b strings.Builder
	b.Grow(200)
	for _, p := range t {
		b.WriteString(p.before)
		if p.hole == "" {
			break
		}
		value, ok := h[p.hole]
		if !ok {
			return "", fmt.Errorf("text: no value for {%s}", p.hole)
		}
		b.WriteString(value)
	}
	return b.String(), nil
}
