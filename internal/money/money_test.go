package money

import (
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func currency(t testing.TB, code string) Currency {
	t.Helper()
	c, err := CurrencyOf(code)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCurrencyOf(t *testing.T) {
	t.Parallel()
	if got, want := currency(t, "KES"), (Currency{"KES", "Ksh", 2}); got != want {
		t.Errorf("KES: %+v, want %+v", got, want)
	}
	for _, code := range []string{"", "kes", "XXX", "KES ", strings.Repeat("K", 1000)} {
		if c, err := CurrencyOf(code); err == nil {
			t.Errorf("CurrencyOf(%q) = %+v, want an error", code, c)
		}
	}
	seen := map[string]bool{}
	for _, c := range currencies {
		if seen[c.Code] {
			t.Errorf("%s is there twice", c.Code)
		}
		seen[c.Code] = true
		if len(c.Code) != 3 || c.Symbol == "" || c.Exponent < 0 || c.Exponent > 3 {
			t.Errorf("odd currency %+v", c)
		}
		for _, r := range c.Symbol {
			if r <= ' ' || r > '~' || r >= '0' && r <= '9' {
				t.Errorf("%s: symbol %q", c.Code, c.Symbol)
			}
		}
	}
}

func TestFormat(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		code         string
		amount       Amount
		people, file string
	}{
		{"KES", 0, "Ksh0.00", "0.00"},
		{"KES", 5, "Ksh0.05", "0.05"},
		{"KES", -5, "-Ksh0.05", "-0.05"},
		{"KES", 50, "Ksh0.50", "0.50"},
		{"KES", 99999, "Ksh999.99", "999.99"},
		{"KES", 100000, "Ksh1,000.00", "1000.00"},
		{"KES", 123400, "Ksh1,234.00", "1234.00"},
		{"KES", -500, "-Ksh5.00", "-5.00"},
		{"KES", 123456789012, "Ksh1,234,567,890.12", "1234567890.12"},
		{"KES", math.MaxInt64, "Ksh92,233,720,368,547,758.07", "92233720368547758.07"},
		{"KES", math.MinInt64, "-Ksh92,233,720,368,547,758.08", "-92233720368547758.08"},
		{"UGX", 1234, "USh1,234", "1234"},
		{"UGX", 0, "USh0", "0"},
		{"TND", 1234, "DT1.234", "1.234"},
		{"USD", 123, "$1.23", "1.23"},
	} {
		c := currency(t, test.code)
		if got := c.Format(test.amount); got != test.people {
			t.Errorf("%s Format(%d) = %q, want %q", test.code, test.amount, got, test.people)
		}
		if got := c.Plain(test.amount); got != test.file {
			t.Errorf("%s Plain(%d) = %q, want %q", test.code, test.amount, got, test.file)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		code, in string
		want     Amount
		err      error
	}{
		{"KES", "500", 50000, nil},
		{"KES", " 500 ", 50000, nil},
		{"KES", "1,000", 100000, nil},
		{"KES", "1 000", 100000, nil},
		{"KES", "1,234,567.89", 123456789, nil},
		{"KES", "500.5", 50050, nil},
		{"KES", "500.05", 50005, nil},
		{"KES", "0.01", 1, nil},
		{"KES", "0500", 50000, nil},
		{"KES", "Ksh 500", 50000, nil},
		{"KES", "ksh500/=", 50000, nil},
		{"KES", "KSH.500", 50000, nil},
		{"KES", "Ksh. 1,500/-", 150000, nil},
		{"KES", "KES500", 50000, nil},
		{"KES", "500 kes", 50000, nil},
		{"KES", "500Ksh", 50000, nil},
		{"UGX", "500", 500, nil},
		{"XOF", "5 000 CFA", 5000, nil},
		{"XAF", "5 000 FCFA", 5000, nil},
		{"ZMW", "k20", 2000, nil},
		{"USD", "$20", 2000, nil},
		{"TND", "1.234", 1234, nil},
		{"KES", "10000000000000", Max, nil},
		{"KES", "00000000000000000000000000000001", 100, nil},

		{"KES", "0", 0, ErrZero},
		{"KES", "0.00", 0, ErrZero},
		{"KES", "Ksh 0/=", 0, ErrZero},
		{"KES", "000000000", 0, ErrZero},

		{"KES", "10000000000000.01", 0, ErrTooLarge},
		{"KES", "10000000000001", 0, ErrTooLarge},
		{"KES", "9223372036854775807", 0, ErrTooLarge},
		{"KES", "92233720368547758.08", 0, ErrTooLarge},
		{"KES", "18446744073709551617", 0, ErrTooLarge},
		{"KES", strings.Repeat("9", 64), 0, ErrTooLarge},
		{"KES", strings.Repeat("9", 100000), 0, ErrTooLarge},

		{"KES", "1.000", 0, ErrPrecision},
		{"KES", "0.001", 0, ErrPrecision},
		{"UGX", "500.0", 0, ErrPrecision},

		{"KES", "", 0, ErrSyntax},
		{"KES", " ", 0, ErrSyntax},
		{"KES", "Ksh", 0, ErrSyntax},
		{"KES", "/=", 0, ErrSyntax},
		{"KES", "abc", 0, ErrSyntax},
		{"KES", "-5", 0, ErrSyntax},
		{"KES", "+5", 0, ErrSyntax},
		{"KES", "Ksh-5", 0, ErrSyntax},
		{"KES", "5e3", 0, ErrSyntax},
		{"SZL", "5e3", 0, ErrSyntax},
		{"KES", "0x10", 0, ErrSyntax},
		{"KES", "1_000", 0, ErrSyntax},
		{"KES", "1/2", 0, ErrSyntax},
		{"KES", "NaN", 0, ErrSyntax},
		{"KES", "Inf", 0, ErrSyntax},
		{"KES", "500.", 0, ErrSyntax},
		{"KES", ".5", 0, ErrSyntax},
		{"KES", "1.2.3", 0, ErrSyntax},
		{"KES", "1.2,000", 0, ErrSyntax},
		{"KES", "1,50", 0, ErrSyntax},
		{"KES", "1,00,000", 0, ErrSyntax},
		{"KES", "1000,000", 0, ErrSyntax},
		{"KES", ",500", 0, ErrSyntax},
		{"KES", "500,", 0, ErrSyntax},
		{"KES", "1,000 000", 0, ErrSyntax},
		{"KES", "1  000", 0, ErrSyntax},
		{"KES", "１００", 0, ErrSyntax}, // full width
		{"KES", "٥٠٠", 0, ErrSyntax}, // Arabic-Indic
		{"KES", "1\u00a0000", 0, ErrSyntax},
		{"KES", "500\n", 0, ErrSyntax},
		{"KES", "\t500", 0, ErrSyntax},
		{"KES", "5\x0000", 0, ErrSyntax},
		{"KES", "\xff500", 0, ErrSyntax},
		{"KES", "500*1", 0, ErrSyntax},
		{"KES", "500#", 0, ErrSyntax},
		{"KES", "Ksh500Ksh", 0, ErrSyntax},
		{"KES", "500/=/=", 0, ErrSyntax},
		{"KES", "500 USD", 0, ErrSyntax},
		{"KES", strings.Repeat(" ", 100000) + "5", 0, ErrSyntax},
	} {
		got, err := currency(t, test.code).Parse(test.in)
		if got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s Parse(%.40q) = %d, %v; want %d, %v", test.code, test.in, got, err, test.want, test.err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "money: ") {
			t.Errorf("error without its package: %v", err)
		}
	}
}

// What the service writes, people may key in again.
func TestParseReadsWhatFormatWrites(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(currencies[:]).Draw(t, "currency")
		a := Amount(rapid.Int64Range(1, int64(Max)).Draw(t, "amount"))
		for _, s := range []string{c.Format(a), c.Plain(a)} {
			if got, err := c.Parse(s); got != a || err != nil {
				t.Fatalf("%s: Parse(%q) = %d, %v; want %d", c.Code, s, got, err, a)
			}
		}
	})
}

func TestPortion(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a        Amount
		num, den int64
		want     Amount
	}{
		{1000, 20, 100, 200},
		{10, 15, 100, 2}, // 1.5
		{-10, 15, 100, -2},
		{10, -15, 100, -2},
		{10, 15, -100, -2},
		{10, -15, -100, 2},
		{10, 14, 100, 1}, // 1.4
		{1, 1, 3, 0},
		{2, 1, 3, 1},
		{0, 7, 9, 0},
		{math.MaxInt64, 1, 1, math.MaxInt64},
		{math.MinInt64, 1, 1, math.MinInt64},
		{math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64},
		{math.MinInt64, math.MinInt64, math.MinInt64, math.MinInt64},
		{math.MaxInt64, 1, 2, 1 << 62},
	} {
		if got := Portion(test.a, test.num, test.den); got != test.want {
			t.Errorf("Portion(%d, %d, %d) = %d, want %d", test.a, test.num, test.den, got, test.want)
		}
	}
}

func TestPortionPanics(t *testing.T) {
	t.Parallel()
	for _, test := range [][3]int64{{1, 1, 0}, {math.MaxInt64, 2, 1}, {math.MinInt64, -1, 1}, {math.MaxInt64, math.MaxInt64, 1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Portion(%v) did not panic", test)
				}
			}()
			Portion(Amount(test[0]), test[1], test[2])
		}()
	}
}

// The same rule written the slow way.
func TestPortionAgainstBig(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Int64().Draw(t, "a")
		den := rapid.Int64().Filter(func(v int64) bool { return v != 0 }).Draw(t, "den")
		num := rapid.Int64().Draw(t, "num")
		product := new(big.Int).Mul(big.NewInt(a), big.NewInt(num))
		twice := new(big.Int).Lsh(new(big.Int).Abs(product), 1)
		d := new(big.Int).Abs(big.NewInt(den))
		want := twice.Add(twice, d).Div(twice, new(big.Int).Lsh(d, 1)) // floor(|p|/d + 1/2)
		if product.Sign()*big.NewInt(den).Sign() < 0 {
			want.Neg(want)
		}
		defer func() {
			if failed := recover(); failed != nil && want.IsInt64() {
				t.Fatalf("Portion(%d, %d, %d) panicked (%v), want %v", a, num, den, failed, want)
			}
		}()
		got := Portion(Amount(a), num, den)
		if !want.IsInt64() || int64(got) != want.Int64() {
			t.Fatalf("Portion(%d, %d, %d) = %d, want %v", a, num, den, got, want)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"500", "1,000", "1 000.50", "Ksh 500", "ksh500/=", "１００", "0x1p4", "-1", "1e9", "9223372036854775808"} {
		f.Add(s)
	}
	c := currency(f, "KES")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := c.Parse(s)
		if err != nil {
			if a != 0 {
				t.Fatalf("Parse(%q) = %d with error %v", s, a, err)
			}
			if !errors.Is(err, ErrSyntax) && !errors.Is(err, ErrZero) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrPrecision) {
				t.Fatalf("Parse(%q): unnamed error %v", s, err)
			}
			return
		}
		if a < 1 || a > Max {
			t.Fatalf("Parse(%q) = %d", s, a)
		}
		// The digits that went in are the digits that came out.
		keep := func(s string) string {
			return strings.Map(func(r rune) rune {
				if r >= '0' && r <= '9' {
					return r
				}
				return -1
			}, s)
		}
		in, out := strings.TrimLeft(keep(s), "0"), strings.TrimLeft(keep(c.Plain(a)), "0")
		if !strings.HasPrefix(out, in) || strings.Trim(out[len(in):], "0") != "" {
			t.Fatalf("Parse(%q) = %s", s, c.Plain(a))
		}
	})
}
