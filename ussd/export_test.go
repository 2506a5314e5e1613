package ussd

import "net/url"

// What tests outside the package look at.

var (
	ParseForm = parseForm
	DecodeAT  = decodeAT
)

// Decode reads a body the way the handler does.
func Decode(body string) (Request, url.Values, error) {
	form, err := parseForm(body)
	if err != nil {
		return Request{}, nil, err
	}
	r, err := decodeAT(form)
	return r, form, err
}
