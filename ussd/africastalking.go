package ussd

import (
	"errors"
	"net/http"
	"regexp"
)

// Africa's Talking, whose convention half of the field follows.
//
// A request is a form: sessionId, phoneNumber (+254...), serviceCode (*334#),
// networkCode, and text, which is everything keyed in so far, joined with '*':
// so a PIN comes again with every later request. The answer is text/plain,
// "CON ..." to go on or "END ...". When a session has ended the gateway says
// so at another address, in a form that has the same fields and more, among
// them `input`, again with the PIN; nothing here reads it.
//
// The gateway waits 15 s for an answer.
func africasTalking() dialect {
	return dialect{
		name: "africastalking", gateway: "at",
		accepts: []string{"application/x-www-form-urlencoded"},
		fields:  []string{"sessionId", "phoneNumber", "serviceCode", "networkCode", "text"},
		tails:   []tail{{"", http.MethodPost, decodeAT}, {"/events", http.MethodPost, decodeATEvent}},
	}
}

var (
	serviceCodeShape = regexp.MustCompile(`^\*[0-9]{2,6}(\*[0-9]{1,10}){0,4}#$`)
	networkCodeShape = regexp.MustCompile(`^[0-9A-Za-z]{0,10}$`)
)

func decodeAT(m message) (call, error) {
	c, err := decodeATEvent(m)
	if err == nil && !m.has("text") {
		err = errors.New("text is missing; it is empty on the first request")
	}
	c.over, c.reply = false, conEnd
	return c, err
}

// decodeATEvent notes that a session has ended.
func decodeATEvent(m message) (call, error) {
	c := call{Request: Request{ServiceCode: m.fields["serviceCode"], Text: m.fields["text"]}, over: true, told: answer{body: "OK"}}
	var err error
	if c.Session, err = sessionIn("sessionId", m.fields["sessionId"]); err != nil {
		return call{}, err
	}
	if !serviceCodeShape.MatchString(c.ServiceCode) {
		return call{}, errors.New("serviceCode must look like *334#")
	}
	if !networkCodeShape.MatchString(m.fields["networkCode"]) {
		return call{}, errors.New("networkCode must be at most 10 digits")
	}
	if c.From, err = m.seen.Parse(m.fields["phoneNumber"]); err != nil {
		return call{}, errors.New("phoneNumber must be in international form, +254712000001")
	}
	return c, nil
}

// conEnd is the answer that Africa's Talking made common.
func conEnd(r Reply) answer {
	if r.End {
		return answer{body: "END " + r.Text}
	}
	return answer{body: "CON " + r.Text}
}
