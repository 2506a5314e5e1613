package main

import (
	"math/rand/v2"
	"regexp"
	"strings"
)

// hostile is what people, and worse, key in. None of it is an answer to any
// question of the menu. It is what tests key in, and what an attack begins with.
var hostile = []string{
	"", " ", "-1", "-0.01", "+-5", "0.00", "0,0", "000", "1e3", "1E309", "0x10", "0b11", "1_000", "NaN", "Infinity", "0.1+0.2", "1.001", "1..5", ".", ",", "1,,0",
	"9223372036854775807", "9223372036854775808", "18446744073709551616", "-9223372036854775808", "10000000000000.01", strings.Repeat("9", 150), strings.Repeat("9", 400),
	"\u0661\u0660\u0660", "\uff11\uff10\uff10", "1\u2068\u2069", "100\u200b", "100\x00", "\x00", "1\r\n2", "\r\nSet-Cookie: a=b", "\x1b[2J", "\x7f", "\u202e001",
	"\xff\xfe", "\xc3\x28", "\xed\xa0\x80", "1*2*3", "*", "#", "**", "1#", "' or '1'='1", "1; drop table account; --", "1' union select mac from pin --", "$1", "%s%n%x",
	"{{.}}", "{brand}", "${jndi:ldap://x}", "<script>alert(1)</script>", "=cmd|' /C calc'!A0", "../../etc/passwd", "$(id)", "`id`", "\U0001F4B8", "a\u0301",
}

// dice is what an attacker throws: every choice of a run follows from its seed.
type dice struct{ *rand.Rand }

func oneOf[T any](d dice, list []T) T { return list[d.IntN(len(list))] }

// mayBePIN finds what could be a PIN in what was keyed in, or at its end.
var mayBePIN = regexp.MustCompile(`(^|[*\s])(\d{4})($|[*#\s])`)

// junk is something that is no answer: from the list, changed, made up, or a
// great deal of it. It is never four digits, which would be a try of a PIN.
func (d dice) junk() string {
	v := oneOf(d, hostile)
	switch d.IntN(8) {
	case 0, 1:
		v = d.mutate(v)
	case 2:
		v = d.runes(1 + d.IntN(60))
	case 3:
		b := make([]byte, 1+d.IntN(64))
		for i := range b {
			b[i] = byte(d.IntN(256))
		}
		v = string(b)
	case 4:
		v += oneOf(d, hostile)
	}
	switch d.IntN(20_000) {
	case 0:
		v = strings.Repeat("9", 10<<20)
	case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10:
		v = strings.Repeat(v+"9", 20_000)[:20_000]
	}
	for mayBePIN.MatchString(v) {
		v = mayBePIN.ReplaceAllString(v, "${1}${2}x${3}")
	}
	return v
}

// mutate changes some bytes.
func (d dice) mutate(v string) string {
	b := []byte(v)
	for range 1 + d.IntN(4) {
		at := d.IntN(len(b) + 1)
		switch {
		case d.IntN(2) == 0 || len(b) == at:
			b = append(b[:at:at], append([]byte{byte(d.IntN(256))}, b[at:]...)...)
		case d.IntN(2) == 0:
			b = append(b[:at:at], b[at+1:]...)
		default:
			b[at] ^= 1 << d.IntN(8)
		}
	}
	return string(b)
}

// planes are where characters are taken from: ASCII, digits of other scripts,
// signs that join and turn, halves of pairs, pictures.
var planes = [][2]rune{{0x20, 0x7e}, {0x30, 0x39}, {0x660, 0x669}, {0xff10, 0xff19}, {0x200b, 0x200f}, {0x202a, 0x202e}, {0x300, 0x36f}, {0xe000, 0xe010}, {0x1f300, 0x1f6ff}, {0, 0x1f}}

func (d dice) runes(n int) string {
	var b strings.Builder
	for range n {
		p := oneOf(d, planes)
		b.WriteRune(p[0] + d.Int32N(p[1]-p[0]+1))
	}
	return b.String()
}
