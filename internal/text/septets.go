package text

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const escape = 0x1B

// extensionCodes are those of extensionAlphabet, in its order.
const extensionCodes = "\x14\x28\x29\x2f\x3c\x3d\x3e\x40\x65"

// ToSeptets writes s in the GSM 7-bit default alphabet, a septet in each byte.
// ok is false when s has a character outside of it.
func ToSeptets(s string) (b []byte, ok bool) {
	b = make([]byte, 0, len(s))
	for _, r := range s {
		if code := septetOf(r, basicAlphabet); code >= 0 {
			if code >= escape {
				code++ // the table leaves the escape out
			}
			b = append(b, byte(code))
			continue
		}
		i := septetOf(r, extensionAlphabet)
		if i < 0 {
			return nil, false
		}
		b = append(b, escape, extensionCodes[i])
	}
	return b, true
}

// septetOf is a character's place in a table, counted in characters; -1: none.
func septetOf(r rune, table string) int {
	i := strings.IndexRune(table, r)
	if i < 0 || r == utf8.RuneError {
		return -1
	}
	return utf8.RuneCountInString(table[:i])
}

// FromSeptets reads the GSM 7-bit default alphabet, a septet in each byte. What
// is in no table is read as a space, as phones do.
func FromSeptets(b []byte) string {
	basic, extension := []rune(basicAlphabet), []rune(extensionAlphabet)
	var s strings.Builder
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch {
		case c == escape && i+1 < len(b):
			i++
			if at := strings.IndexByte(extensionCodes, b[i]); at >= 0 {
				s.WriteRune(extension[at])
			} else {
				s.WriteByte(' ')
			}
		case c == escape || c > 0x7F:
			s.WriteByte(' ')
		case c > escape:
			s.WriteRune(basic[c-1])
		default:
			s.WriteRune(basic[c])
		}
	}
	return s.String()
}

// ToUCS2 writes s in UTF-16, which phones read as UCS-2, the higher byte first.
func ToUCS2(s string) []byte {
	units := utf16.Encode([]rune(s))
	b := make([]byte, 0, 2*len(units))
	for _, u := range units {
		b = append(b, byte(u>>8), byte(u))
	}
	return b
}

// FromUCS2 reads what ToUCS2 writes. An odd last byte is left out.
func FromUCS2(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
	}
	return string(utf16.Decode(units))
}

// Parts cuts s into as many parts as Segments counts, none of them in the middle
// of an escaped character or a surrogate pair, and encodes them; wide says that
// they are UCS-2.
func Parts(s string) (parts [][]byte, wide bool) {
	cost, single, part := weight, singleSeptets, partSeptets
	total, ok := Septets(s)
	if !ok {
		cost, single, part, wide = units, singleUnits, partUnits, true
		total = 0
		for _, r := range s {
			total += units(r)
		}
	}
	encode := func(piece string) []byte {
		if wide {
			return ToUCS2(piece)
		}
		b, _ := ToSeptets(piece) // cannot fail: Septets has looked
		return b
	}
	if total <= single {
		return [][]byte{encode(s)}, wide
	}
	from, filled := 0, 0
	for i, r := range s {
		w := cost(r)
		if filled += w; filled > part {
			parts = append(parts, encode(s[from:i]))
			from, filled = i, w
		}
	}
	return append(parts, encode(s[from:])), wide
}
