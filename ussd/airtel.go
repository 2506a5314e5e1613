package ussd

import (
	"errors"
	"net/http"
	"strings"
)

// Comviva's Flares, which Airtel runs in many countries (HTTP pull, 1.5).
//
// A request is a GET with SessionID, MSISDN, MSC (which switch it was) and
// input: the latest input, and first the code without its outer signs. So PINs
// stand in the query: a proxy before us must not log it. The answer is text; the
// header Freeflow says whether the session goes on (FC) or ends (FB). When a
// session has broken off, the same address is called with SessionID, msisdn,
// clean and error. The gateway may send userid and password; the secret in the
// path is ours and does more.
func airtel() dialect {
	return dialect{
		name: "airtel", gateway: "airtel",
		fields: []string{"SessionID", "MSISDN", "msisdn", "MSC", "input", "clean", "error"},
		tails:  []tail{{"", http.MethodGet, decodeAirtel}},
	}
}

func decodeAirtel(m message) (call, error) {
	if m.has("clean") {
		c, err := m.latest("SessionID", "msisdn", "error")
		c.Text, c.over = "", true
		return c, err
	}
	if !m.has("input") {
		return call{}, errors.New("input is missing; first it is the code that was dialled")
	}
	c, err := m.latest("SessionID", "MSISDN", "input")
	code := strings.Trim(m.code, "*#")
	dialled := strings.Trim(c.Text, "*#")
	c.First = dialled == code || strings.HasPrefix(dialled, code+"*")
	c.Guessed = c.First // 334 may be an answer as well
	c.reply = func(r Reply) answer {
		flow := "FC"
		if r.End {
			flow = "FB"
		}
		return answer{body: r.Text, header: map[string]string{"Freeflow": flow, "charge": "N", "amount": "0"}}
	}
	return c, err
}
