package sms

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/twilio/twilio-go/client"
	openapi "github.com/twilio/twilio-go/rest/api/v2010"
)

// TwilioOptions say which account sends, and as whom.
type TwilioOptions struct {
	AccountSID string // "AC..."
	Username   string // the SID of an API key, "SK..."; "": AccountSID
	Password   string // the key's secret, or the account's auth token

	// One of them: a number, short code or name to send from, or a messaging
	// service (its SID, "MG...") that picks one.
	From             string
	MessagingService string

	StatusCallback string        // where delivery reports should go; "": none are asked for
	BaseURL        string        // in place of https://api.twilio.com: a regional host, a proxy, a simulator
	Timeout        time.Duration // of one call, connecting included; 0: 10 s
}

// Twilio sends through Twilio's REST API (Messages.json of 2010-04-01). The
// API has no idempotency key, so a call that was cut off leaves a doubt.
type Twilio struct {
	o         TwilioOptions
	base      *url.URL // nil: Twilio's own
	transport *http.Transport
}

const (
	twilioTimeout = 10 * time.Second
	twilioConns   = 64 // kept open between calls; the standard two would mean a TLS handshake for most
)

// Twilio's client refuses other credentials at each call; better at start.
var twilioSecret = regexp.MustCompile(`^[a-zA-Z0-9]+$`)

// NewTwilio checks the options; it does not call Twilio.
func NewTwilio(o TwilioOptions) (*Twilio, error) {
	if o.Username == "" {
		o.Username = o.AccountSID
	}
	if o.Timeout == 0 {
		o.Timeout = twilioTimeout
	}
	switch {
	case !twilioSecret.MatchString(o.AccountSID) || !twilioSecret.MatchString(o.Username):
		return nil, errors.New("sms: twilio: the account SID or API key is missing or has odd characters")
	case !twilioSecret.MatchString(o.Password):
		return nil, errors.New("sms: twilio: the auth token or API key secret is missing or has odd characters")
	case (o.From == "") == (o.MessagingService == ""):
		return nil, errors.New("sms: twilio: want a from number or a messaging service, and only one of them")
	case o.Timeout < 0:
		return nil, fmt.Errorf("sms: twilio: timeout %v", o.Timeout)
	}
	t := &Twilio{o: o, transport: http.DefaultTransport.(*http.Transport).Clone()}
	t.transport.MaxIdleConnsPerHost = twilioConns
	for _, u := range []struct {
		what, raw string
		to        **url.URL
	}{{"base URL", o.BaseURL, &t.base}, {"status callback URL", o.StatusCallback, nil}} {
		if u.raw == "" {
			continue
		}
		parsed, err := url.Parse(u.raw)
		if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
			return nil, fmt.Errorf("sms: twilio: the %s is not an http(s) URL", u.what)
		}
		if u.to != nil {
			*u.to = parsed
		}
	}
	return t, nil
}

// Name is "twilio".
func (*Twilio) Name() string { return "twilio" }

// Twilio accepts a validity between one second and ten hours.
const twilioMaxValidity = 36000

// Send creates one message. See classify for what its errors say.
func (t *Twilio) Send(ctx context.Context, m Message) (Sent, error) {
	ctx, cancel := context.WithTimeout(ctx, t.o.Timeout)
	defer cancel()
	x := &exchange{ctx: ctx, base: t.base, transport: t.transport}

	// Twilio's client takes no context and hides the response, hence a client
	// for each call around one exchange; it is a handful of small structs. The
	// request handler is made here because its constructor reads the
	// environment.
	c := &client.Client{Credentials: client.NewCredentials(t.o.Username, t.o.Password), HTTPClient: x.client()}
	c.SetAccountSid(t.o.AccountSID)
	api := openapi.NewApiService(&client.RequestHandler{Client: c})

	p := &openapi.CreateMessageParams{}
	p.SetTo(string(m.To))
	p.SetBody(m.Body)
	switch {
	case m.From != "":
		p.SetFrom(m.From)
	case t.o.From != "":
		p.SetFrom(t.o.From)
	default:
		p.SetMessagingServiceSid(t.o.MessagingService)
	}
	if t.o.StatusCallback != "" {
		// The try comes back with each report, so that one whose answer was lost
		// is known again.
		p.SetStatusCallback(t.o.StatusCallback + "?ref=" + url.QueryEscape(m.Ref))
	}
	if m.Valid > 0 {
		p.SetValidityPeriod(int(min(twilioMaxValidity, max(1, m.Valid/time.Second))))
	}
	created, err := api.CreateMessage(p)
	if err == nil && created.Sid != nil && strings.TrimSpace(*created.Sid) != "" {
		return Sent{ID: *created.Sid}, nil
	}
	return Sent{}, t.classify(x, err)
}

// Codes that come with a status of 400 although nothing is wrong with the
// message: the queue is full, or the sender we configured is not ours.
var twilioNotTheMessage = map[int]bool{
	21603: true, // no from number
	21606: true, // from number cannot send
	21611: true, // queue of the from number is full
	21659: true, // from number is not a Twilio number
}

// twilioOptedOut refuses a recipient who has told the number STOP.
const twilioOptedOut = 21610

// classify says what a failed call means.
//
//   - No answer: unknown if the request had been written, else a connection
//     that never was.
//   - An answer that is a success but cannot be read: unknown.
//   - 429 and 5xx: later. 401, 403, 404: our credentials or address are wrong,
//     so is every message, and none is given up for that.
//   - Other 4xx: the message itself is refused, for good (21610: the recipient
//     has opted out; 21211: no such number).
func (t *Twilio) classify(x *exchange, err error) *SendError {
	e := &SendError{Gateway: t.Name(), Wait: x.wait}
	if x.status == 0 {
		e.Retry, e.Unknown, e.Err = true, x.written.Load(), bare(err)
		return e
	}
	e.Code = x.status
	if x.status >= 200 && x.status < 300 {
		e.Retry, e.Unknown, e.Err = true, true, errors.New("success without a message SID")
		return e
	}
	// Twilio's own text may repeat the number, so the code has to do.
	e.Err = fmt.Errorf("HTTP status %d", x.status)
	if rest, ok := errors.AsType[*client.TwilioRestError](err); ok && rest.Code != 0 {
		e.Code = rest.Code
	}
	switch {
	case e.Code == twilioOptedOut:
		e.OptedOut = true
	case x.status == 429, x.status < 400, x.status >= 500,
		x.status == 401, x.status == 403, x.status == 404,
		twilioNotTheMessage[e.Code]:
		e.Retry = true
	}
	return e
}

// bare is the error of a call without the URL in front, which names the
// account.
func bare(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
