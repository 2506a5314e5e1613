package text

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Plain gives what people write as capitals without accents, for comparing words:
// "Été" and "ete" are "ETE". Digits of every script and form are 0 to 9, spaces
// of every kind are spaces, what cannot be seen is gone, and line ends are spaces.
// What is not UTF-8 becomes a question mark.
func Plain(s string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(strings.ToValidUTF8(s, "?")) {
		switch {
		case unicode.Is(unicode.Nd, r):
			b.WriteByte(digit(r))
		case unicode.IsSpace(r):
			b.WriteByte(' ')
		case unicode.Is(unicode.Mn, r), unicode.Is(unicode.Cf, r), unicode.IsControl(r):
		default:
			b.WriteRune(unicode.ToUpper(r))
		}
	}
	return b.String()
}

// digit is a decimal digit of any script in ASCII: each has its ten in a row.
func digit(r rune) byte {
	for _, x := range unicode.Nd.R16 {
		if r >= rune(x.Lo) && r <= rune(x.Hi) {
			return '0' + byte((r-rune(x.Lo))%10)
		}
	}
	for _, x := range unicode.Nd.R32 {
		if r >= rune(x.Lo) && r <= rune(x.Hi) {
			return '0' + byte((r-rune(x.Lo))%10)
		}
	}
	return '?'
}
