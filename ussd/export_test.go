package ussd

// Decode reads a body the way the Africa's Talking handler does.
func Decode(body string) (Request, error) {
	form, err := parseForm(body)
	if err != nil {
		return Request{}, err
	}
	return decodeAT(form)
}
