// Package phone makes phone numbers out of what people key in and what
// gateways deliver: one spelling inside the service (E.164), two outside.
//
// It knows nothing of customers, networks or prices, and it does not know
// whether a number is in use.
package phone

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// Number is a phone number in E.164, "+254712000001". Only Parse and
// Country.Parse make one; the zero value means none. In JSON and in SQL it is
// a plain string.
type Number string

// ErrInvalid is what every refusal of this package wraps. It never carries the
// input: people key PINs into the wrong question.
var ErrInvalid = errors.New("not a phone number")

// Lengths in bytes. E.164 allows 15 digits; the shortest numbers in use have 7
// with the country code.
const (
	maxInput = 32
	minE164  = 1 + 7
	maxE164  = 1 + 15
)

// Parse reads what gateways deliver: strictly E.164 with its plus sign, of any
// country, and of a length that this country uses. It does not ask whether the
// range is assigned, because a network opens ranges before anybody's tables
// know them, and its customers must get in.
func Parse(e164 string) (Number, error) {
	if len(e164) < minE164 || len(e164) > maxE164 || e164[0] != '+' || e164[1] == '0' || !digitsOnly(e164[1:]) {
		return "", fmt.Errorf("phone: %w: want E.164", ErrInvalid)
	}
	p, err := phonenumbers.Parse(e164, "")
	if err != nil {
		return "", fmt.Errorf("phone: %w: no such country", ErrInvalid)
	}
	if phonenumbers.IsPossibleNumberWithReason(p) != phonenumbers.IS_POSSIBLE {
		return "", fmt.Errorf("phone: %w: wrong length for its country", ErrInvalid)
	}
	if phonenumbers.Format(p, phonenumbers.E164) != e164 {
		// "+2540712000001": a trunk prefix behind the country code.
		return "", fmt.Errorf("phone: %w: want E.164", ErrInvalid)
	}
	return Number(e164), nil
}

// Masked is the number for logs: the country and the last four digits,
// "+2547****0001". The zero Number gives "".
func (n Number) Masked() string {
	const stars = "****"
	s := string(n)
	switch {
	case s == "":
		return ""
	case len(s) <= 8:
		return stars
	}
	return s[:min(5, len(s)-8)] + stars + s[len(s)-4:]
}

// Country reads and writes numbers the way people of one country do.
type Country struct {
	Region string // ISO 3166 code, "KE"
}

// CountryOf returns the country with an upper-case ISO 3166 code.
func CountryOf(region string) (Country, error) {
	if len(region) != 2 || phonenumbers.GetCountryCodeForRegion(region) == 0 {
		return Country{}, fmt.Errorf("phone: unknown region %.8q", region)
	}
	return Country{Region: region}, nil
}

// Parse reads what people key in: "0712000001", "254712000001",
// "+254 712-000-001", "712000001" are all +254712000001 in Kenya. Spaces,
// hyphens, dots and brackets may stand between the digits. The rest is
// ErrInvalid: letters, full-width and Arabic digits, control characters, more
// than 32 bytes, a number that its country has not assigned (which catches most
// slips of the thumb) and a fixed line of the own country (no wallet can be
// behind it).
func (c Country) Parse(s string) (Number, error) {
	if len(s) > maxInput {
		return "", fmt.Errorf("phone: %w: too long", ErrInvalid)
	}
	s = strings.Trim(s, " ")
	for i := range len(s) {
		switch {
		case s[i] >= '0' && s[i] <= '9':
		case s[i] == '+' && i == 0:
		case strings.IndexByte(" -.()", s[i]) >= 0:
		default:
			return "", fmt.Errorf("phone: %w: odd character", ErrInvalid)
		}
	}
	p, err := phonenumbers.Parse(s, c.Region)
	if err != nil {
		return "", fmt.Errorf("phone: %w", ErrInvalid)
	}
	if !phonenumbers.IsValidNumber(p) {
		return "", fmt.Errorf("phone: %w: not assigned", ErrInvalid)
	}
	if c.owns(p) && phonenumbers.GetNumberType(p) == phonenumbers.FIXED_LINE {
		return "", fmt.Errorf("phone: %w: a fixed line", ErrInvalid)
	}
	return Parse(phonenumbers.Format(p, phonenumbers.E164))
}

// National writes a number the way people of the country say it, digits only:
// "0712000001". A foreign number stays E.164, and so does one that was not made
// by Parse.
func (c Country) National(n Number) string {
	p, err := phonenumbers.Parse(string(n), "")
	if err != nil || !c.owns(p) {
		return string(n)
	}
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, phonenumbers.Format(p, phonenumbers.NATIONAL))
}

// owns tells whether p is a number of this country. Countries share a code (1,
// 7, 44), so among those the assigned range decides.
func (c Country) owns(p *phonenumbers.PhoneNumber) bool {
	code := int(p.GetCountryCode())
	if code != phonenumbers.GetCountryCodeForRegion(c.Region) {
		return false
	}
	if len(phonenumbers.GetRegionCodesForCountryCode(code)) == 1 {
		return true
	}
	return phonenumbers.GetRegionCodeForNumber(p) == c.Region
}

func digitsOnly(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
