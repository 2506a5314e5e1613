package text

import (
	"testing"
	"unicode"
)

func TestPlain(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"bal":              "BAL",
		"Été à Nairobi":    "ETE A NAIROBI",
		"ＳＥＮＤ　５００":         "SEND 500",
		"٥٠٠":              "500",
		"१२३":              "123",
		"a\u00a0b\u202fc":  "A B C",
		"s\u200be\u00adnd": "SEND",
		"a\r\nb\tc":        "A  B C",
		"a\xffb":           "A?B",
		"ﬁn":               "FIN",
		"a\x00b":           "AB",
		"":                 "",
	} {
		if got := Plain(in); got != want {
			t.Errorf("Plain(%q) = %q, want %q", in, got, want)
		}
	}
}

// Every decimal digit there is stands for what it is: ten in a row from zero.
func TestPlainKnowsEveryDigit(t *testing.T) {
	t.Parallel()
	n := 0
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !unicode.Is(unicode.Nd, r) {
			continue
		}
		if got := Plain(string(r)); len(got) != 1 || got[0] != '0'+byte(n%10) {
			t.Errorf("Plain(%q) = %q, want %d", r, got, n%10)
		}
		n++
	}
	if n < 500 {
		t.Errorf("only %d digits", n)
	}
}
