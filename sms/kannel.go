package sms

import (
	"context"
	"encoding/binary"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"tuma/internal/text"
	"tuma/sms/outbox"
)

// KannelOptions say where an smsbox listens and as whom we send.
type KannelOptions struct {
	URL                string // of the smsbox, http://host:13013
	Username, Password string // of its sendsms-user
	From               string // short code or sender id; "": as Kannel is set up
	// StatusURL is where delivery reports should go; "": none are asked for.
	StatusURL string
	Timeout   time.Duration // of one call; 0: 10 s
}

// Kannel sends through a Kannel's smsbox (/cgi-bin/sendsms). Kannel gives no id:
// a message is known by our Ref, which comes back in its reports.
type Kannel struct {
	o         KannelOptions
	transport *http.Transport
}

const kannelName = "kannel"

// NewKannel checks the options; it does not call anybody.
func NewKannel(o KannelOptions) (*Kannel, error) {
	if o.Username == "" || o.Password == "" {
		return nil, errors.New("sms: kannel: the user name or the password is missing")
	}
	if o.Timeout == 0 {
		o.Timeout = gatewayTimeout
	}
	if httpURL(o.URL) != nil || o.StatusURL != "" && httpURL(o.StatusURL) != nil || o.Timeout < 0 {
		return nil, errors.New("sms: kannel: an address is not an http(s) URL, or the time-out is negative")
	}
	o.URL = strings.TrimSuffix(o.URL, "/")
	return &Kannel{o: o, transport: newTransport()}, nil
}

// Name is "kannel".
func (*Kannel) Name() string { return kannelName }

// kannelReports asks for every kind of report: delivered, failed, buffered,
// accepted and rejected by the SMSC.
const kannelReports = "31"

// query is one message as sendsms takes it. Kannel splits long ones into parts
// itself, where its max-messages and concatenation let it.
func (k *Kannel) query(m Message) url.Values {
	q := url.Values{
		"username": {k.o.Username}, "password": {k.o.Password}, "to": {string(m.To)}, "text": {m.Body}, "charset": {"UTF-8"}, "coding": {"0"},
	}
	if _, ok := text.Septets(m.Body); !ok {
		q.Set("coding", "2")
	}
	if from := orElse(m.From, k.o.From); from != "" {
		q.Set("from", from)
	}
	if m.Valid > 0 {
		q.Set("validity", strconv.FormatInt(int64(max(1, m.Valid/time.Minute)), 10))
	}
	if k.o.StatusURL != "" {
		// %d is Kannel's: the kind of report. Its text (%A) is not asked for: it may quote the message.
		q.Set("dlr-mask", kannelReports)
		q.Set("dlr-url", k.o.StatusURL+"?id="+url.QueryEscape(m.Ref)+"&status=%d")
	}
	return q
}

// Send hands over one message. A 202 means that Kannel has it, or has queued it
// until an SMSC is there.
func (k *Kannel) Send(ctx context.Context, m Message) (Sent, error) {
	ctx, cancel := context.WithTimeout(ctx, k.o.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.o.URL+"/cgi-bin/sendsms?"+k.query(m).Encode(), nil)
	if err != nil {
		return Sent{}, &SendError{Gateway: k.Name(), Err: errors.New("the request cannot be made")}
	}
	x := &exchange{ctx: ctx, transport: k.transport}
	_, err = x.do(req)
	if e := x.failure(k.Name(), err); e != nil {
		return Sent{}, e
	}
	return Sent{ID: m.Ref}, nil
}

// kannelInbound decodes a message, as a sms-service's get-url hands it over:
//
//	get-url = ".../inbound?id=%I&from=%p&to=%P&coding=%c&text=%b"
//
// %b are the message's own bytes: UTF-8 of what came in GSM 7-bit, UTF-16 of what came in
// UCS-2.
func kannelInbound(q url.Values) (callback, error) {
	body := q.Get("text")
	if q.Get("coding") == "2" {
		units := make([]uint16, 0, len(body)/2)
		for b := []byte(body); len(b) >= 2; b = b[2:] {
			units = append(units, binary.BigEndian.Uint16(b))
		}
		body = string(utf16.Decode(units))
	}
	in, err := inbound(kannelName, q.Get("id"), q.Get("from"), q.Get("to"), strings.ToValidUTF8(body, "?"))
	return callback{in: in}, err
}

var kannelStates = map[string]outbox.State{
	"1": outbox.Delivered, "2": outbox.Failed, "4": outbox.OnItsWay, "8": outbox.OnItsWay, "16": outbox.Failed,
}

// kannelReport decodes a delivery report, which is the address that Send gave.
func kannelReport(q url.Values) (callback, error) {
	state, known := kannelStates[q.Get("status")]
	if !known {
		return callback{}, nil
	}
	r := outbox.Report{Gateway: kannelName, ID: q.Get("id"), Ref: q.Get("id"), State: state}
	if state == outbox.Failed {
		r.Code = q.Get("status")
	}
	return callback{report: &r}, nil
}
