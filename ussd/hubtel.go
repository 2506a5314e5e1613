package ussd

import (
	"errors"
	"net/http"
	"strconv"
)

// Hubtel, Ghana; Emergent's and Cross-switch's gateways speak alike.
//
// A request is JSON: SessionId, Mobile, ServiceCode, Operator, Type, Message
// (the latest input; first what was dialled) and, not everywhere, Sequence,
// which counts from 1. Type is Initiation or Response, or, when the session has
// ended, Timeout or Release. The answer has Message and Type: Response to go on,
// Release to end.
func hubtel() dialect {
	return dialect{
		name: "hubtel", gateway: "hubtel",
		accepts: []string{"application/json"},
		fields:  []string{"SessionId", "Mobile", "Type", "Message", "Sequence"},
		tails:   []tail{{"", http.MethodPost, decodeHubtel}},
	}
}

// maxSequence bounds the numbers of a session's requests.
const maxSequence = 10_000

func decodeHubtel(m message) (call, error) {
	c, err := m.latest("SessionId", "Mobile", "Message")
	if err != nil {
		return call{}, err
	}
	switch m.fields["Type"] {
	case "Initiation":
		c.First = true
	case "Response":
	case "Timeout", "Release":
		c.over, c.Text = true, ""
	default:
		return call{}, errors.New("the field Type must be Initiation, Response, Timeout or Release")
	}
	if s := m.fields["Sequence"]; s != "" {
		if c.Sequence, err = strconv.Atoi(s); err != nil || c.Sequence < 0 || c.Sequence > maxSequence {
			return call{}, errors.New("the field Sequence must be a number")
		}
	}
	c.reply = func(r Reply) answer {
		kind := "Response"
		if r.End {
			kind = "Release"
		}
		return jsonAnswer(map[string]any{"Message": r.Text, "Type": kind})
	}
	c.told = jsonAnswer(map[string]any{"Message": "", "Type": "Release"})
	return c, nil
}
