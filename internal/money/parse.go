package money

import (
	"errors"
	"fmt"
	"strings"
)

// What Parse can say. Its errors wrap one of these and never carry the input:
// people key PINs into the wrong question.
var (
	ErrSyntax    = errors.New("not an amount")
	ErrZero      = errors.New("amount is zero")
	ErrTooLarge  = errors.New("amount is too large")
	ErrPrecision = errors.New("amount has more decimals than the currency")
)

// maxInput is the longest input Parse looks at, in bytes.
const maxInput = 64

// Parse reads what people key in: "500", "1,000", "1 000", "500.5", "Ksh 500",
// "500 KES", "ksh500/=". The symbol or the code may stand before or after the
// number in any case, and "/=" or "/-" behind it means "and no cents".
//
// It refuses to guess. Thousands are groups of exactly three, all parted by
// commas or all by single spaces, so "1,50" and "1,00,000" are ErrSyntax; the
// decimal sign is the point, and "1.000" shillings are ErrPrecision, because
// half the world would mean a thousand. Anything but ASCII digits, a sign, an
// exponent and every control character are ErrSyntax.
//
// The result is between 1 and Max; ErrZero and ErrTooLarge say why not.
func (c Currency) Parse(s string) (Amount, error) {
	if len(s) > maxInput {
		if strings.Trim(s[:maxInput], "0123456789") == "" {
			return 0, fmt.Errorf("money: %w", ErrTooLarge)
		}
		return 0, fmt.Errorf("money: %w: too long", ErrSyntax)
	}
	whole, fraction, err := pieces(c.bare(s))
	if err != nil {
		return 0, fmt.Errorf("money: %w", err)
	}
	if len(fraction) > c.Exponent {
		return 0, fmt.Errorf("money: %w", ErrPrecision)
	}
	var a Amount
	for _, digit := range whole + fraction + strings.Repeat("0", c.Exponent-len(fraction)) {
		// a <= Max here, so ten times it cannot overflow.
		if a = a*10 + Amount(digit-'0'); a > Max {
			return 0, fmt.Errorf("money: %w", ErrTooLarge)
		}
	}
	if a == 0 {
		return 0, fmt.Errorf("money: %w", ErrZero)
	}
	return a, nil
}

// bare takes off the spaces around, one "/=" or "/-", and one symbol or code.
func (c Currency) bare(s string) string {
	s = strings.Trim(s, " ")
	for _, end := range []string{"/=", "/-"} {
		if rest, ok := strings.CutSuffix(s, end); ok {
			s = strings.TrimRight(rest, " ")
			break
		}
	}
	for _, mark := range []string{c.Code, c.Symbol} {
		n := len(mark)
		if n == 0 || len(s) <= n {
			continue
		}
		if strings.EqualFold(s[:n], mark) {
			return strings.TrimLeft(strings.TrimPrefix(s[n:], "."), " ") // "Ksh. 500"
		}
		if strings.EqualFold(s[len(s)-n:], mark) {
			return strings.TrimRight(s[:len(s)-n], " ")
		}
	}
	return s
}

// pieces parts "1,234.5" into "1234" and "5".
func pieces(s string) (whole, fraction string, err error) {
	whole, fraction, pointed := strings.Cut(s, ".")
	if pointed && (fraction == "" || !digitsOnly(fraction)) {
		return "", "", ErrSyntax
	}
	separator := ""
	if i := strings.IndexAny(whole, ", "); i >= 0 {
		separator = whole[i : i+1]
	}
	if separator != "" {
		groups := strings.Split(whole, separator)
		for i, g := range groups {
			if len(g) > 3 || i > 0 && len(g) < 3 {
				return "", "", ErrSyntax
			}
		}
		whole = strings.Join(groups, "")
		if len(groups[0]) == 0 {
			return "", "", ErrSyntax
		}
	}
	if whole == "" || !digitsOnly(whole) {
		return "", "", ErrSyntax
	}
	return whole, fraction, nil
}

func digitsOnly(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
