package ussd

import (
	"net/http"
)

// Nalo, Ghana.
//
// A request is JSON: USERID (ours with them), SESSIONID, MSISDN, USERDATA (the
// latest input; first what was dialled), MSGTYPE (true: the first) and NETWORK.
// The answer has USERID, MSISDN, MSG and MSGTYPE, which is true when the session
// goes on.
func nalo() dialect {
	return dialect{
		name: "nalo", gateway: "nalo",
		accepts: []string{"application/json"},
		fields:  []string{"USERID", "SESSIONID", "MSISDN", "USERDATA", "MSGTYPE"},
		tails:   []tail{{"", http.MethodPost, decodeNalo}},
	}
}

func decodeNalo(m message) (call, error) {
	c, err := m.latest("SESSIONID", "MSISDN", "USERDATA")
	if err != nil {
		return call{}, err
	}
	if c.First, err = m.flag("MSGTYPE"); err != nil {
		return call{}, err
	}
	c.reply = func(r Reply) answer {
		return jsonAnswer(map[string]any{"USERID": m.fields["USERID"], "MSISDN": m.fields["MSISDN"], "MSG": r.Text, "MSGTYPE": !r.End})
	}
	return c, nil
}
