package simulator

import "strings"

// The GSM 03.38 default alphabet and its extension table. A character of the extension costs two septets.
const (
	gsmBasic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmExtension = "\f^{}\\[~]|€"
)

// septets counts s in the GSM alphabet; ok is false when a character is outside it and s travels as UCS-2.
func septets(s string) (n int, ok bool) {
	for _, r := range s {
		switch {
		case strings.ContainsRune(gsmBasic, r):
			n++
		case strings.ContainsRune(gsmExtension, r):
			n += 2
		default:
			return 0, false
		}
	}
	return n, true
}

// segments counts the parts in which an SMS travels: 160 septets alone or 153 each, 70 UCS-2 units alone or 67 each.
// A two-unit character is not split over a boundary, which may cost a further part.
func segments(s string) int {
	if n, ok := septets(s); ok {
		return parts(s, n, 160, 153, func(r rune) int {
			if strings.ContainsRune(gsmExtension, r) {
				return 2
			}
			return 1
		})
	}
	width := func(r rune) int {
		if r > 0xFFFF {
			return 2
		}
		return 1
	}
	n := 0
	for _, r := range s {
		n += width(r)
	}
	return parts(s, n, 70, 67, width)
}

func parts(s string, units, alone, each int, width func(rune) int) int {
	if units <= alone {
		return 1
	}
	count, room := 1, each
	for _, r := range s {
		if w := width(r); w > room {
			count, room = count+1, each-w
		} else {
			room -= w
		}
	}
	return count
}
