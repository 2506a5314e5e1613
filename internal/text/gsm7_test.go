package text

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestAlphabetSizes(t *testing.T) {
	t.Parallel()
	// 128 code points less the escape; ten extensions less the form feed.
	if got := utf8.RuneCountInString(basicAlphabet); got != 127 {
		t.Errorf("basic alphabet has %d characters, want 127", got)
	}
	if got := utf8.RuneCountInString(extensionAlphabet); got != 9 {
		t.Errorf("extension has %d characters, want 9", got)
	}
	seen := map[rune]bool{}
	for _, r := range basicAlphabet + extensionAlphabet {
		if seen[r] {
			t.Errorf("%q is there twice", r)
		}
		seen[r] = true
	}
	// The short cut for ASCII in weight agrees with the tables.
	for r := rune(0); r < 0x3000; r++ {
		want := 0
		if strings.ContainsRune(basicAlphabet, r) {
			want = 1
		} else if strings.ContainsRune(extensionAlphabet, r) {
			want = 2
		}
		if got := weight(r); got != want {
			t.Errorf("weight(%q) = %d, want %d", r, got, want)
		}
	}
}

func TestSeptets(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		in string
		n  int
		ok bool
	}{
		{"", 0, true},
		{"Ksh1,234.00 @ 9:15 AM", 21, true},
		{"{}[]~\\^|€", 18, true},
		{"é è à ù ì ò Ç ñ ü ö ä ß £ ¥ § ¿ ¡ ¤", 35, true},
		{"ΔΦΓΛΩΠΨΣΘΞ", 10, true},
		{"a\nb\r", 4, true},
		{"ç", 0, false},
		{"`", 0, false},
		{"ê", 0, false},
		{"\u00a0", 0, false},
		{"’", 0, false},
		{"\t", 0, false},
		{"\f", 0, false},
		{"\x1b", 0, false},
		{"\x00", 0, false},
		{"a😀b", 2, false},
		{"a\xffb", 2, false},
		{"\uFFFD", 0, false},
		{"١", 0, false},
	} {
		if n, ok := Septets(test.in); n != test.n || ok != test.ok {
			t.Errorf("Septets(%q) = %d, %v; want %d, %v", test.in, n, ok, test.n, test.ok)
		}
	}
}

func TestSegments(t *testing.T) {
	t.Parallel()
	a := func(n int) string { return strings.Repeat("a", n) }
	for _, test := range []struct {
		name, in string
		want     int
	}{
		{"empty", "", 1},
		{"160", a(160), 1},
		{"161", a(161), 2},
		{"306", a(306), 2},
		{"307", a(307), 3},
		{"extension at the end of 160", a(158) + "€", 1},
		{"extension over 160", a(159) + "€", 2},
		// The euro would be cut at 153, moves to the next part, and pushes the rest: 152 + 153 + 1.
		{"escape is not cut", a(152) + "€" + a(152), 3},
		{"the same without an escape", a(152) + "bb" + a(152), 2},
		{"70 UCS-2", "ç" + a(69), 1},
		{"71 UCS-2", "ç" + a(70), 2},
		{"134 UCS-2", "ç" + a(133), 2},
		{"135 UCS-2", "ç" + a(134), 3},
		{"35 emoji", strings.Repeat("😀", 35), 1},
		{"36 emoji", strings.Repeat("😀", 36), 2},
		// 33 pairs fill 66 of 67: the pair is not cut.
		{"67 emoji", strings.Repeat("😀", 67), 3},
	} {
		if got := Segments(test.in); got != test.want {
			t.Errorf("%s: Segments = %d, want %d", test.name, got, test.want)
		}
	}
}

func TestGSM7(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"ASHA JUMA":               "ASHA JUMA",
		"Thérèse Ñuñez":           "Thérèse Ñuñez",
		"François":                "Francois",
		"FRANÇOIS":                "FRANÇOIS",
		"Noël Bertrand-Château":   "Noel Bertrand-Chateau",
		"The\u0301re\u0300se":     "Thérèse", // composed first
		"N’Golo “Kanté”":          `N'Golo "Kanté"`,
		"Ng’ang’a":                "Ng'ang'a",
		"Adékúnlé Ọlá":            "Adékunlé Ola",
		"Ɗanjuma Ƙwari":           "Danjuma Kwari",
		"Ɔkyere Ɛdu Ŋkrumah":      "Okyere Edu Nkrumah",
		"1\u00a0000\u202fF":       "1 000 F",
		"Cœur":                    "Coeur",
		"Łukasz":                  "Lukasz",
		"a–b—c…":                  "a-b-c...",
		"tab\tnew\nline":          "tab new\nline",
		"zero\u200bwidth\ufeff":   "zerowidth",
		"\u202eright to left":     "right to left",
		"Amina 😀":                 "Amina ?",
		"محمد":                    "????",
		"ＡＢ１":                     "AB1",
		"bad\xffbyte":             "bad?byte",
		"nul\x00":                 "nul?",
		"½ ﬁ":                     "? fi",
		"ñ́":                      "ñ",
		"":                        "",
		"\u0301":                  "",
		"curly {name} [x] € stay": "curly {name} [x] € stay",
	} {
		if got := GSM7(in); got != want {
			t.Errorf("GSM7(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestGSM7IsAlwaysSendable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		got := GSM7(s)
		if _, ok := Septets(got); !ok {
			t.Fatalf("GSM7(%q) = %q, which is not GSM 7-bit", s, got)
		}
		if GSM7(got) != got {
			t.Fatalf("GSM7(%q) = %q changes again", s, got)
		}
	})
}

func FuzzSeptets(f *testing.F) {
	for _, s := range []string{"", "abc", "€", "ç", "😀", "\xff", strings.Repeat("a", 161), strings.Repeat("[", 81)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, ok := Septets(s)
		parts := Segments(s)
		if runes := utf8.RuneCountInString(s); ok && (n < runes || n > 2*runes) {
			t.Fatalf("Septets(%q) = %d for %d characters", s, n, runes)
		}
		if ok != (GSM7(s) == s) {
			t.Fatalf("Septets(%q) ok = %v, but GSM7 gives %q", s, ok, GSM7(s))
		}
		switch {
		case ok && n <= 160 && parts != 1, ok && n > 160 && parts < 2:
			t.Fatalf("%d septets in %d parts", n, parts)
		case ok && n > 160 && (parts < (n+152)/153 || parts > (n+151)/152):
			t.Fatalf("%d septets in %d parts", n, parts)
		}
		if half := len(s) / 2; utf8.ValidString(s) && utf8.RuneStart((s + " ")[half]) {
			left, leftOK := Septets(s[:half])
			right, rightOK := Septets(s[half:])
			if left+right != n || (leftOK && rightOK) != ok {
				t.Fatalf("Septets(%q) = %d, but %d + %d by halves", s, n, left, right)
			}
		}
	})
}
