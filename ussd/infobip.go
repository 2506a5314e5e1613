package ussd

import (
	"errors"
	"net/http"
	"strings"
)

// Infobip's USSD gateway.
//
// It calls POST session/ID/start, session/ID/response and session/ID/end below
// our address, and GET session/ID/status. The JSON has msisdn, text (the latest
// input; at the start what was dialled), shortCode, and at the end exitCode and
// reason. The answer has ussdMenu and shouldClose; the gateway shows what
// follows a start as a menu whatever shouldClose says.
func infobip() dialect {
	return dialect{
		name: "infobip", gateway: "infobip",
		accepts: []string{"application/json"},
		fields:  []string{"msisdn", "text"},
		tails: []tail{
			{"/session/{session}/start", http.MethodPost, decodeInfobipStart},
			{"/session/{session}/response", http.MethodPost, decodeInfobip},
			{"/session/{session}/end", http.MethodPost, decodeInfobipEnd},
			{"/session/{session}/status", http.MethodGet, decodeInfobipStatus},
		},
	}
}

func decodeInfobipStart(m message) (call, error) {
	// Without its code first, a text is of no use.
	if !strings.HasPrefix(strings.TrimLeft(m.fields["text"], "*"), strings.Trim(m.code, "*#")) {
		m.fields["text"] = m.code
	}
	c, err := decodeInfobip(m)
	c.First = true
	return c, err
}

func decodeInfobip(m message) (call, error) {
	m.fields["session"] = m.session
	c, err := m.latest("session", "msisdn", "text")
	if err == nil && !m.has("text") {
		err = errors.New("text is missing")
	}
	c.reply = func(r Reply) answer {
		return jsonAnswer(map[string]any{"ussdMenu": r.Text, "shouldClose": r.End, "responseExitCode": 200, "responseMessage": ""})
	}
	return c, err
}

func decodeInfobipEnd(m message) (call, error) {
	c := call{over: true, told: jsonAnswer(map[string]any{"responseExitCode": 200, "responseMessage": ""})}
	var err error
	if c.Session, err = sessionIn("session", m.session); err == nil && m.has("msisdn") {
		c.From, err = m.numberIn("msisdn")
	}
	return c, err
}

func decodeInfobipStatus(m message) (call, error) {
	c := call{asks: true, state: func(open bool) answer {
		return jsonAnswer(map[string]any{"sessionActive": open, "responseExitCode": 200, "responseMessage": ""})
	}}
	var err error
	c.Session, err = sessionIn("session", m.session)
	return c, err
}
