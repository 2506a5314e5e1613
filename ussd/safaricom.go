package ussd

import (
	"errors"
	"net/http"
	"strings"
)

// Safaricom's own gateway, and those that copied it.
//
// A request is a GET with ORIG (254712000001), DEST (334, without its signs),
// SESSION_ID and USSD_PARAMS, which is everything keyed in so far, joined with
// '*', as with Africa's Talking. So PINs stand in the query: a proxy before us
// must not log it. The answer is text, "CON ..." or "END ...".
func safaricom() dialect {
	return dialect{
		name: "safaricom", gateway: "safaricom",
		fields: []string{"ORIG", "DEST", "SESSION_ID", "USSD_PARAMS"},
		tails:  []tail{{"", http.MethodGet, decodeSafaricom}},
	}
}

func decodeSafaricom(m message) (call, error) {
	c := call{Request: Request{ServiceCode: "*" + strings.Trim(m.fields["DEST"], "*#") + "#", Text: m.fields["USSD_PARAMS"]}, reply: conEnd}
	var err error
	if c.Session, err = sessionIn("SESSION_ID", m.fields["SESSION_ID"]); err != nil {
		return call{}, err
	}
	if !serviceCodeShape.MatchString(c.ServiceCode) {
		return call{}, errors.New("DEST must look like 334")
	}
	if !m.has("USSD_PARAMS") {
		return call{}, errors.New("USSD_PARAMS is missing; it is empty on the first request")
	}
	if c.From, err = m.numberIn("ORIG"); err != nil {
		return call{}, err
	}
	return c, nil
}
