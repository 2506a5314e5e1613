package sms

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/twilio/twilio-go/client"

	"tuma/internal/phone"
	"tuma/sms/outbox"
)

// What Twilio sends us: forms, signed over the address as the world sees it and
// over all fields, whose set may grow. The signature holds no time, so a message
// counts once by its SID.

const twilioName = "twilio"

// twilioSID is the shape of a message's SID. Names and values are signed without
// anything between them, so that a signature is good, too, when a field's end is
// moved: MessageSid=SM1NumMedia0 in place of MessageSid=SM1&NumMedia=0. Such a
// message would not be known to have come before.
var twilioSID = regexp.MustCompile(`^(SM|MM)[0-9a-fA-F]{32}$`)

// twilioForm is a form that Twilio has signed for this account.
func (h *webhooks) twilioForm(r *http.Request) (url.Values, error) {
	form, err := postForm(r)
	if err != nil {
		return nil, err
	}
	fields := map[string]string{}
	for name := range form {
		fields[name] = form.Get(name)
	}
	signatures := r.Header.Values("X-Twilio-Signature")
	if len(signatures) != 1 || form.Get("AccountSid") != h.o.TwilioSID {
		return nil, errRefused
	}
	signed := false
	for _, token := range []string{h.o.TwilioToken, h.o.OldTwilioToken} {
		validator := client.NewRequestValidator(token)
		signed = token != "" && validator.Validate(h.o.PublicURL+r.RequestURI, fields, signatures[0]) || signed
	}
	if !signed {
		return nil, errRefused
	}
	if !twilioSID.MatchString(form.Get("MessageSid")) {
		return nil, errors.New("MessageSid is not Twilio's")
	}
	if ref := r.URL.Query().Get("ref"); ref != "" { // ours, of the status callback; signed with the address
		form.Set("ref", ref)
	}
	return form, nil
}

// twilioInbound decodes a message. The answer is an empty one: what we say goes
// through the outbox.
func twilioInbound(form url.Values) (callback, error) {
	in, err := inbound(twilioName, form.Get("MessageSid"), form.Get("From"), form.Get("To"), form.Get("Body"))
	return callback{in: in, answer: `<?xml version="1.0" encoding="UTF-8"?><Response/>`, kind: "text/xml; charset=utf-8"}, err
}

var twilioStates = map[string]outbox.State{
	"queued": outbox.OnItsWay, "accepted": outbox.OnItsWay, "scheduled": outbox.OnItsWay, "sending": outbox.OnItsWay, "sent": outbox.OnItsWay,
	"delivered": outbox.Delivered, "read": outbox.Delivered,
	"undelivered": outbox.Failed, "failed": outbox.Failed, "canceled": outbox.Failed,
}

// twilioReport decodes a status callback. A status that is new to us says nothing.
func twilioReport(form url.Values) (callback, error) {
	state, known := twilioStates[form.Get("MessageStatus")]
	if !known {
		return callback{}, nil
	}
	return callback{report: &outbox.Report{
		Gateway: twilioName, ID: form.Get("MessageSid"), Ref: form.Get("ref"), State: state, Code: codeOnly(form.Get("ErrorCode")),
	}}, nil
}

// inbound makes a message of a gateway's fields. A sender that is no phone
// number (a name, a short code) is nobody whom we could answer: there is nothing to do.
func inbound(gateway, id, from, to, text string) (*Inbound, error) {
	if !strings.HasPrefix(from, "+") {
		from = "+" + from
	}
	number, err := phone.Parse(from)
	if err != nil {
		return nil, nil
	}
	return &Inbound{Gateway: gateway, ID: id, From: number, To: to, Text: text}, nil
}

// codeOnly leaves a gateway's reason out when it is more than a word: it might
// hold a number or a text.
func codeOnly(s string) string {
	if len(s) > 40 || strings.IndexFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9')
	}) >= 0 {
		return ""
	}
	return s
}
