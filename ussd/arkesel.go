package ussd

import (
	"net/http"
)

// Arkesel, Ghana.
//
// A request is JSON: sessionID, userID (ours with them), newSession, msisdn,
// userData (the latest input; first what was dialled) and network. The answer
// repeats the first three names and has message and continueSession.
func arkesel() dialect {
	return dialect{
		name: "arkesel", gateway: "arkesel",
		accepts: []string{"application/json"},
		fields:  []string{"sessionID", "userID", "newSession", "msisdn", "userData"},
		tails:   []tail{{"", http.MethodPost, decodeArkesel}},
	}
}

func decodeArkesel(m message) (call, error) {
	c, err := m.latest("sessionID", "msisdn", "userData")
	if err != nil {
		return call{}, err
	}
	if c.First, err = m.flag("newSession"); err != nil {
		return call{}, err
	}
	c.reply = func(r Reply) answer {
		return jsonAnswer(map[string]any{
			"sessionID": c.Session, "userID": m.fields["userID"], "msisdn": m.fields["msisdn"], "message": r.Text, "continueSession": !r.End,
		})
	}
	return c, nil
}
