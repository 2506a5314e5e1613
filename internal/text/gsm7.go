// Package text is about written words: what fits an SMS or a USSD screen (the
// GSM 7-bit alphabet), and catalogues of texts with holes in several languages.
//
// It knows no screen, no notice and no language in particular, and it does not
// format money, dates or phone numbers: their text comes ready in the holes.
package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The default alphabet of GSM 03.38 (3GPP TS 23.038, 6.2.1) without the escape
// character at 0x1B, and the extension table (6.2.1.1), whose characters take
// two septets. The form feed of the extension table is left out: no phone
// breaks pages.
const (
	basicAlphabet = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	extensionAlphabet = "^{}\\[~]|€"
)

// Room in one SMS and in one part of a longer one, whose header takes 6 octets.
const (
	singleSeptets, partSeptets = 160, 153
	singleUnits, partUnits     = 70, 67
)

// weight is the number of septets of a character; 0: not in the alphabet.
func weight(r rune) int {
	switch {
	case r < utf8.RuneSelf && plain(byte(r)):
		return 1
	case strings.ContainsRune(basicAlphabet, r):
		return 1
	case strings.ContainsRune(extensionAlphabet, r):
		return 2
	}
	return 0
}

// plain tells characters of ASCII that take one septet: nearly all of every text.
func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= ' ' && c <= '?'
}

// Septets counts the septets that s takes in the GSM 7-bit default alphabet. A
// character of the extension table counts two. When s has a character outside
// both tables (or is not UTF-8) ok is false and n counts only the others.
func Septets(s string) (n int, ok bool) {
	ok = true
	for i := 0; i < len(s); {
		if plain(s[i]) {
			n++
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:]) // bytes that are not UTF-8 come as U+FFFD, which is outside
		w := weight(r)
		if w == 0 {
			ok = false
		}
		n += w
		i += size
	}
	return n, ok
}

// Segments is the number of SMS parts that s is sent and paid as: 160 septets,
// or 153 in each of several; if one character is outside GSM 7-bit, 70 UCS-2
// units, or 67 in each of several. Neither an escaped character nor a surrogate
// pair is cut in two. The empty text takes one.
func Segments(s string) int {
	cost, single, part := weight, singleSeptets, partSeptets
	if _, ok := Septets(s); !ok {
		cost, single, part = units, singleUnits, partUnits
	}
	total, parts, filled := 0, 1, 0
	for _, r := range s {
		w := cost(r)
		total += w
		if filled += w; filled > part {
			parts, filled = parts+1, w
		}
	}
	if total <= single {
		return 1
	}
	return parts
}

// units is the number of UTF-16 units of a character.
func units(r rune) int {
	if r > 0xFFFF {
		return 2
	}
	return 1
}

// GSM7 writes s with characters of GSM 7-bit only, as near to s as it gets: a
// person's name or another text that we did not write, on its way into an SMS
// or a screen. Letters lose the marks that the alphabet lacks (ç, ê, ẹ),
// typographic quotes and dashes become plain ones, special spaces and tabs
// become spaces, what has no width is dropped, anything else becomes "?".
func GSM7(s string) string {
	if _, ok := Septets(s); ok {
		return s
	}
	var b strings.Builder
	for _, r := range norm.NFC.String(s) {
		if weight(r) > 0 {
			b.WriteRune(r)
			continue
		}
		b.WriteString(nearest(r))
	}
	return b.String()
}

// nearest is the GSM 7-bit spelling of one character outside of it.
func nearest(r rune) string {
	if s, ok := spellings(r); ok {
		return s
	}
	switch {
	case r == '\t' || unicode.Is(unicode.Zs, r):
		return " "
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return "" // marks without a letter of their own, joiners, direction marks
	}
	// The letters under the marks, if there are any: ê is e and a circumflex.
	var b strings.Builder
	for _, part := range norm.NFKD.String(string(r)) {
		if weight(part) > 0 {
			b.WriteRune(part)
		} else if !unicode.Is(unicode.Mn, part) {
			return "?" // nothing rather than half of it: ½ is not 1
		}
	}
	if b.Len() > 0 {
		return b.String()
	}
	return "?"
}

// spellings are the characters whose nearest spelling no table of Unicode has:
// punctuation, and letters of African and European names.
func spellings(r rune) (string, bool) {
	switch r {
	case '‘', '’', '‚', '‛', 'ʼ', 'ʻ', 'ʹ', '′', '´', '`':
		return "'", true
	case '“', '”', '„', '‟', '″', '«', '»':
		return `"`, true
	case '‐', '‑', '‒', '–', '—', '―', '−':
		return "-", true
	case '…':
		return "...", true
	case '•', '·':
		return ".", true
	case 'œ':
		return "oe", true
	case 'Œ':
		return "OE", true
	case 'ɓ':
		return "b", true
	case 'Ɓ':
		return "B", true
	case 'ɗ', 'đ', 'ɖ', 'ð':
		return "d", true
	case 'Ɗ', 'Đ', 'Ɖ', 'Ð':
		return "D", true
	case 'ɛ', 'ǝ', 'ə':
		return "e", true
	case 'Ɛ', 'Ǝ', 'Ə':
		return "E", true
	case 'ƒ':
		return "f", true
	case 'Ƒ':
		return "F", true
	case 'ɣ':
		return "g", true
	case 'Ɣ':
		return "G", true
	case 'ħ':
		return "h", true
	case 'Ħ':
		return "H", true
	case 'ı', 'ɩ':
		return "i", true
	case 'Ɩ':
		return "I", true
	case 'ƙ':
		return "k", true
	case 'Ƙ':
		return "K", true
	case 'ł':
		return "l", true
	case 'Ł':
		return "L", true
	case 'ŋ', 'ɲ':
		return "n", true
	case 'Ŋ', 'Ɲ':
		return "N", true
	case 'ɔ':
		return "o", true
	case 'Ɔ':
		return "O", true
	case 'þ':
		return "th", true
	case 'Þ':
		return "Th", true
	case 'ʋ':
		return "v", true
	case 'Ʋ':
		return "V", true
	case 'ƴ':
		return "y", true
	case 'Ƴ':
		return "Y", true
	case 'ẞ':
		return "SS", true
	}
	return "", false
}
