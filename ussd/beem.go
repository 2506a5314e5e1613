package ussd

import (
	"errors"
	"net/http"
)

// Beem, Tanzania.
//
// A request is JSON: command (initiate, continue, terminate), msisdn,
// session_id, operator and a payload of request_id and response, the latest
// input. The answer repeats the names and has the text in payload.request.
// request_id is said back and not relied on: not all of their networks count it.
func beem() dialect {
	return dialect{
		name: "beem", gateway: "beem",
		accepts: []string{"application/json"},
		fields:  []string{"command", "msisdn", "session_id", "operator", "payload.request_id", "payload.response"},
		tails:   []tail{{"", http.MethodPost, decodeBeem}},
	}
}

func decodeBeem(m message) (call, error) {
	c, err := m.latest("session_id", "msisdn", "payload.response")
	if err != nil {
		return call{}, err
	}
	switch m.fields["command"] {
	case "initiate":
		c.First = true
	case "continue":
	case "terminate":
		c.over, c.Text = true, ""
	default:
		return call{}, errors.New("command must be initiate, continue or terminate")
	}
	say := func(command, text string) answer {
		return jsonAnswer(map[string]any{
			"msisdn": m.fields["msisdn"], "operator": m.fields["operator"], "session_id": c.Session, "command": command,
			"payload": map[string]any{"request_id": m.fields["payload.request_id"], "request": text},
		})
	}
	c.reply = func(r Reply) answer {
		if r.End {
			return say("terminate", r.Text)
		}
		return say("continue", r.Text)
	}
	c.told = say("terminate", "")
	return c, nil
}
