package sms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tuma/sms/outbox"
)

// AfricasTalkingOptions say which application sends, and as whom.
type AfricasTalkingOptions struct {
	Username, Key string
	From          string        // short code or sender id; "": the shared one
	BaseURL       string        // in place of https://api.africastalking.com
	Timeout       time.Duration // of one call, connecting included; 0: 10 s
}

// AfricasTalking sends through Africa's Talking's bulk SMS API
// (/version1/messaging). It has no idempotency key.
type AfricasTalking struct {
	o         AfricasTalkingOptions
	address   string
	transport *http.Transport
}

const africasTalkingName = "africastalking"

// NewAfricasTalking checks the options; it does not call anybody.
func NewAfricasTalking(o AfricasTalkingOptions) (*AfricasTalking, error) {
	if o.Username == "" || o.Key == "" || strings.ContainsAny(o.Key+o.Username, "\r\n") {
		return nil, errors.New("sms: africastalking: the user name or the API key is missing or has odd characters")
	}
	if o.BaseURL == "" {
		o.BaseURL = "https://api.africastalking.com"
	}
	if o.Timeout == 0 {
		o.Timeout = gatewayTimeout
	}
	if err := httpURL(o.BaseURL); err != nil || o.Timeout < 0 {
		return nil, errors.New("sms: africastalking: the address is not an http(s) URL, or the time-out is negative")
	}
	return &AfricasTalking{o: o, address: strings.TrimSuffix(o.BaseURL, "/") + "/version1/messaging", transport: newTransport()}, nil
}

// Name is "africastalking".
func (*AfricasTalking) Name() string { return africasTalkingName }

// Send hands over one message.
func (a *AfricasTalking) Send(ctx context.Context, m Message) (Sent, error) {
	ctx, cancel := context.WithTimeout(ctx, a.o.Timeout)
	defer cancel()
	form := url.Values{"username": {a.o.Username}, "to": {string(m.To)}, "message": {m.Body}, "bulkSMSMode": {"1"}}
	if from := orElse(m.From, a.o.From); from != "" {
		form.Set("from", from)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.address, strings.NewReader(form.Encode()))
	if err != nil {
		return Sent{}, &SendError{Gateway: a.Name(), Err: errors.New("the request cannot be made")}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("apiKey", a.o.Key)
	x := &exchange{ctx: ctx, transport: a.transport}
	body, err := x.do(req)
	if e := x.failure(a.Name(), err); e != nil {
		return Sent{}, e
	}
	return a.read(x, body)
}

// africasTalkingAnswer is what it says of each recipient.
type africasTalkingAnswer struct {
	Data struct {
		Recipients []struct {
			StatusCode int    `json:"statusCode"`
			MessageID  string `json:"messageId"`
		}
	} `json:"SMSMessageData"`
}

// read finds what became of the one recipient in an answer that is a success.
//
//   - 100, 101, 102: taken.
//   - 406: on the list of those who want nothing.
//   - 403, 404: no such number, or not one that has SMS. 409, 502: the network
//     refuses this recipient or this message.
//   - Anything else (our sender id, our balance, no route, a fault of theirs) may
//     pass, or not be so at another gateway.
func (a *AfricasTalking) read(x *exchange, body []byte) (Sent, error) {
	var answer africasTalkingAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		return Sent{}, &SendError{Gateway: a.Name(), Code: x.status, Retry: true, Unknown: true, Err: errors.New("success that cannot be read")}
	}
	if len(answer.Data.Recipients) == 0 { // such as InvalidSenderId, for the message as a whole
		return Sent{}, &SendError{Gateway: a.Name(), Code: x.status, Retry: true, Err: errors.New("no recipient was accepted")}
	}
	r := answer.Data.Recipients[0]
	switch code := r.StatusCode; code {
	case 100, 101, 102:
		if r.MessageID == "None" {
			r.MessageID = ""
		}
		return Sent{ID: r.MessageID}, nil
	case 406:
		return Sent{}, &SendError{Gateway: a.Name(), Code: code, OptedOut: true}
	case 403, 404, 409, 502:
		return Sent{}, &SendError{Gateway: a.Name(), Code: code}
	default:
		return Sent{}, &SendError{Gateway: a.Name(), Code: code, Retry: true}
	}
}

// africasTalkingInbound decodes a message: a form with from, to, text, id, date,
// linkId.
func africasTalkingInbound(form url.Values) (callback, error) {
	in, err := inbound(africasTalkingName, form.Get("id"), form.Get("from"), form.Get("to"), form.Get("text"))
	return callback{in: in}, err
}

var africasTalkingStates = map[string]outbox.State{
	"Submitted": outbox.OnItsWay, "Buffered": outbox.OnItsWay, "Sent": outbox.OnItsWay,
	"Success": outbox.Delivered,
	"Failed":  outbox.Failed, "Rejected": outbox.Failed, "Expired": outbox.Failed, "AbsentSubscriber": outbox.Failed,
}

// africasTalkingReport decodes a delivery report: a form with id, status,
// phoneNumber, networkCode, failureReason, retryCount.
func africasTalkingReport(form url.Values) (callback, error) {
	state, known := africasTalkingStates[form.Get("status")]
	if !known {
		return callback{}, nil
	}
	return callback{report: &outbox.Report{Gateway: africasTalkingName, ID: form.Get("id"), State: state, Code: codeOnly(form.Get("failureReason"))}}, nil
}

// What the gateways that are spoken to without a library share.

const gatewayTimeout = 10 * time.Second

func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = twilioConns
	return t
}

func httpURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("not an http(s) URL")
	}
	return nil
}

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}

// do sends a request and reads its answer.
func (x *exchange) do(req *http.Request) ([]byte, error) {
	resp, err := x.client().Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// failure is what follows from a status, or from none; nil: it is a success.
//
//   - No answer: unknown if the request had been written, else a connection that
//     never was.
//   - 429, 5xx, and what says that our credentials or address are wrong: later.
//   - Other 4xx: the message itself is refused, for good.
func (x *exchange) failure(gateway string, err error) error {
	e := &SendError{Gateway: gateway, Code: x.status, Wait: x.wait}
	switch {
	case x.status == 0:
		e.Retry, e.Unknown, e.Err = true, x.written.Load(), bare(err)
	case x.status >= 200 && x.status < 300:
		return nil
	default:
		e.Err = fmt.Errorf("HTTP status %d", x.status)
		switch x.status {
		case 400, 402, 405, 406, 410, 413, 422:
		default:
			e.Retry = true
		}
	}
	return e
}
