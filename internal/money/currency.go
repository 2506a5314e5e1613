package money

import "fmt"

// Currency is one ISO 4217 currency as the service writes it.
type Currency struct {
	Code     string // "KES"
	Symbol   string // "Ksh": ASCII, in front of the number without a space
	Exponent int    // digits after the point: 2 for KES, 0 for UGX
}

// CurrencyOf returns the currency with an upper-case ISO 4217 code. The
// exponents are ISO's; the symbols are the local ones where they exist in
// ASCII (a naira or cedi sign would turn a whole SMS into UCS-2).
func CurrencyOf(code string) (Currency, error) {
	for _, c := range currencies {
		if c.Code == code {
			return c, nil
		}
	}
	return Currency{}, fmt.Errorf("money: unknown currency %.8q", code)
}

// currencies is a constant table; nothing writes to it.
var currencies = [...]Currency{
	{"KES", "Ksh", 2},
	{"TZS", "TSh", 2},
	{"UGX", "USh", 0},
	{"RWF", "FRw", 0},
	{"BIF", "FBu", 0},
	{"CDF", "FC", 2},
	{"SSP", "SSP", 2},
	{"ETB", "Br", 2},
	{"SOS", "SOS", 2},
	{"DJF", "Fdj", 0},
	{"XOF", "CFA", 0},
	{"XAF", "FCFA", 0},
	{"GNF", "FG", 0},
	{"GHS", "GHS", 2},
	{"NGN", "N", 2},
	{"SLE", "Le", 2},
	{"LRD", "L$", 2},
	{"GMD", "D", 2},
	{"ZMW", "K", 2},
	{"MWK", "MK", 2},
	{"MZN", "MT", 2},
	{"AOA", "Kz", 2},
	{"ZAR", "R", 2},
	{"BWP", "P", 2},
	{"NAD", "N$", 2},
	{"LSL", "M", 2},
	{"SZL", "E", 2},
	{"MGA", "Ar", 2},
	{"KMF", "CF", 0},
	{"MUR", "Rs", 2},
	{"EGP", "EGP", 2},
	{"MAD", "DH", 2},
	{"TND", "DT", 3},
	{"USD", "$", 2},
	{"EUR", "EUR", 2},
}
