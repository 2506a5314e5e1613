// Package money counts money: amounts in minor units, the currencies they are
// in, how people key them in and read them, and the one rounding rule.
//
// It knows nothing of tariffs, limits, accounts or languages. There is no
// float in it and there must be none in its callers.
package money

import (
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Amount is a number of minor units (cents) of a currency that is written
// elsewhere, on the account. It may be negative in books; nothing that a
// person keys in is.
type Amount int64

// Max is the largest amount Parse accepts: 10^15 minor units. It is far above
// any national limit and leaves room to add thousands of such amounts without
// overflow.
const Max Amount = 1_000_000_000_000_000

// Portion returns a*num/den rounded to the nearest minor unit, halves away
// from zero. It is the one rounding rule of the service: a fee of 1.5 % is
// Portion(a, 15, 1000), the tax on it Portion(fee, 20, 100). The product is
// exact at any size.
//
// It panics when den is zero or the result does not fit an Amount: both are
// mistakes in a program, since tariffs are checked when they are loaded.
func Portion(a Amount, num, den int64) Amount {
	if den == 0 {
		panic("money: portion with a zero denominator")
	}
	negative := (a < 0) != (num < 0) != (den < 0)
	d := magnitude(den)
	hi, lo := bits.Mul64(magnitude(int64(a)), magnitude(num))
	if hi >= d {
		panic("money: portion overflows")
	}
	q, r := bits.Div64(hi, lo, d)
	if r >= d-r {
		q++ // cannot wrap: q is at most 2^64-1 only for d = 1, and then r is 0
	}
	switch {
	case negative && q <= 1<<63:
		return Amount(-q) // two's complement, also right for exactly 2^63
	case !negative && q <= math.MaxInt64:
		return Amount(q)
	}
	panic("money: portion overflows")
}

// magnitude is |v|, also for the smallest int64.
func magnitude(v int64) uint64 {
	if v < 0 {
		return -uint64(v)
	}
	return uint64(v)
}

// Format writes an amount for people: "Ksh1,234.00", "-Ksh5.00", "USh1,234".
// The result is ASCII, so that it costs one septet a character in an SMS.
func (c Currency) Format(a Amount) string {
	whole, fraction := c.split(a)
	var b strings.Builder
	if a < 0 {
		b.WriteByte('-')
	}
	b.WriteString(c.Symbol)
	for i := range len(whole) {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteByte(whole[i])
	}
	b.WriteString(fraction)
	return b.String()
}

// Plain writes an amount for files: "1234.00", "-5.00".
func (c Currency) Plain(a Amount) string {
	whole, fraction := c.split(a)
	if a < 0 {
		return "-" + whole + fraction
	}
	return whole + fraction
}

// split gives the digits before the point, and the point with the digits
// after it ("" for a currency without minor units), of |a|.
func (c Currency) split(a Amount) (whole, fraction string) {
	digits := strconv.FormatUint(magnitude(int64(a)), 10)
	if c.Exponent == 0 {
		return digits, ""
	}
	if missing := c.Exponent + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	point := len(digits) - c.Exponent
	return digits[:point], "." + digits[point:]
}
