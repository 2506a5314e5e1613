package text

import (
	"bytes"
	"strings"
	"testing"
)

func TestSeptetsAndBack(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"@£$": "\x00\x01\x02", "Æß": "\x1c\x1e", "ΞÉ": "\x1a\x1f", "[€]": "\x1b\x3c\x1b\x65\x1b\x3e", "Ksh1": "Ksh1", "à¿": "\x7f\x60",
	} {
		b, ok := ToSeptets(s)
		if !ok || string(b) != want || FromSeptets(b) != s {
			t.Errorf("%q: %x %v, back %q", s, b, ok, FromSeptets(b))
		}
	}
	all := basicAlphabet + extensionAlphabet
	b, ok := ToSeptets(all)
	if n, _ := Septets(all); !ok || len(b) != n || FromSeptets(b) != all {
		t.Errorf("the whole alphabet: %d bytes, back %q", len(b), FromSeptets(b))
	}
	for _, s := range []string{"ç", "a\xff", "\u00a0"} {
		if b, ok := ToSeptets(s); ok {
			t.Errorf("%q became %x", s, b)
		}
	}
	if got := FromSeptets([]byte("a\x1b")) + FromSeptets([]byte("\x1b\x01b\xff")); got != "a  b " {
		t.Errorf("%q", got)
	}
	if got := FromUCS2(ToUCS2("é😀")); got != "é😀" || FromUCS2([]byte{0, 'a', 9}) != "a" {
		t.Errorf("%q", got)
	}
}

// Parts are as many as are paid for, each fits, and together they are the text.
func FuzzParts(f *testing.F) {
	for _, s := range []string{"", "short", strings.Repeat("a", 161), strings.Repeat("€", 80), strings.Repeat("é😀", 40), strings.Repeat("ç", 71), "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parts, wide := Parts(s)
		if len(parts) != Segments(s) {
			t.Errorf("%d parts, %d segments", len(parts), Segments(s))
		}
		room := 153
		switch {
		case wide && len(parts) > 1:
			room = 134
		case wide:
			room = 140
		case len(parts) == 1:
			room = 160
		}
		var back strings.Builder
		for _, p := range parts {
			if len(p) > room {
				t.Errorf("a part of %d bytes", len(p))
			}
			if wide {
				back.WriteString(FromUCS2(p))
			} else {
				back.WriteString(FromSeptets(p))
			}
		}
		if back.String() != strings.ToValidUTF8(s, "\uFFFD") && !bytes.ContainsRune([]byte(s), 0xFFFD) && strings.ToValidUTF8(s, "") == s {
			t.Errorf("%q came back as %q", s, back.String())
		}
	})
}
