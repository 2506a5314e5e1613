package ussd

import (
	"encoding/xml"
	"net/http"
	"strings"
)

// MTech's XML over HTTP.
//
// A request is a document with session_id, page_id, data and, at least first,
// mobile_number and gate. page_id 0 opens a session; later it is the link's that
// was followed, and ours is always the same. With a status the session has
// ended. The answer is a page, with a link when it goes on; a line's end is
// <br/>, and there must be none between the tags.
func mtech() dialect {
	return dialect{
		name: "mtech", gateway: "mtech",
		accepts: []string{"text/xml", "application/xml"},
		fields:  []string{"session_id", "page_id", "mobile_number", "gate", "data", "status"},
		tails:   []tail{{"", http.MethodPost, decodeMTech}},
	}
}

func decodeMTech(m message) (call, error) {
	c := call{Request: Request{ServiceCode: m.code, Text: m.fields["data"], Latest: true}}
	var err error
	if c.Session, err = sessionIn("session_id", m.fields["session_id"]); err != nil {
		return call{}, err
	}
	if m.fields["mobile_number"] != "" {
		if c.From, err = m.numberIn("mobile_number"); err != nil {
			return call{}, err
		}
	}
	c.First, c.over = m.fields["page_id"] == "0", m.has("status")
	c.reply = func(r Reply) answer {
		page := "<div>" + strings.Join(escaped(strings.Split(r.Text, "\n")), "<br/>") + "</div>"
		if !r.End {
			page += `<navigation><link pageId="indexX" accesskey="*"/></navigation>`
		}
		return mtechPage(c.Session, page)
	}
	c.told = mtechPage(c.Session, "")
	return c, nil
}

func mtechPage(session, rest string) answer {
	return answer{kind: "text/xml; charset=utf-8", body: `<?xml version="1.0" encoding="UTF-8"?><page version="2.0"><session_id>` +
		escaped([]string{session})[0] + "</session_id>" + rest + "</page>"}
}

// escaped writes texts as the content of XML elements.
func escaped(lines []string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		var b strings.Builder
		xml.EscapeText(&b, []byte(line)) // a strings.Builder takes everything
		out[i] = b.String()
	}
	return out
}
