package sms

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"tuma/internal/callers"
	"tuma/internal/db"
	"tuma/sms/outbox"
)

// WebhookOptions say which gateways may call us, and how they are known.
type WebhookOptions struct {
	Pool    *db.Pool
	Receive func(ctx context.Context, in Inbound) error // an Inbox's
	Log     *slog.Logger

	PublicURL string // how the world reaches this service, without a slash at its end
	// Twilio signs what it sends, over PublicURL: with an account and its token its
	// callbacks are served.
	TwilioSID, TwilioToken string
	OldTwilioToken         string // of before, still good while Twilio changes over; or ""
	// Other gateways sign nothing.
	AfricasTalking, Kannel bool
	Callers                callers.Callers
}

// maxCallback is what a callback may carry, in bytes.
const maxCallback = 64 << 10

// webhooks serves what gateways send: messages of people and delivery reports.
type webhooks struct{ o WebhookOptions }

// callback is one decoded request; nil in both: nothing to do.
type callback struct {
	in     *Inbound
	report *outbox.Report
	answer string // the body of a success
	kind   string // its content type; "": text/plain
}

// Webhooks is the handler of /sms/: for each gateway .../inbound and .../status.
func Webhooks(o WebhookOptions) (http.Handler, error) {
	if o.Pool == nil || o.Receive == nil || o.Log == nil {
		return nil, errors.New("sms: webhooks need a pool, somebody to receive, and a log")
	}
	h := &webhooks{o}
	mux := http.NewServeMux()
	if o.TwilioToken != "" {
		if o.PublicURL == "" {
			return nil, errors.New("sms: twilio's callbacks need the public URL that it signs")
		}
		mux.Handle("POST /sms/twilio/inbound", h.serve(h.twilioForm, twilioInbound))
		mux.Handle("POST /sms/twilio/status", h.serve(h.twilioForm, twilioReport))
	}
	if o.AfricasTalking || o.Kannel {
		if err := o.Callers.Check(); err != nil {
			return nil, fmt.Errorf("sms: callbacks that are not signed: %w", err)
		}
	}
	secret := ""
	if o.Callers.Secret != "" {
		secret = "/{secret}"
	}
	if o.AfricasTalking {
		mux.Handle("POST /sms/africastalking"+secret+"/inbound", h.serve(h.plainForm, africasTalkingInbound))
		mux.Handle("POST /sms/africastalking"+secret+"/status", h.serve(h.plainForm, africasTalkingReport))
	}
	if o.Kannel {
		mux.Handle("GET /sms/kannel"+secret+"/inbound", h.serve(h.plainQuery, kannelInbound))
		mux.Handle("GET /sms/kannel"+secret+"/status", h.serve(h.plainQuery, kannelReport))
	}
	return mux, nil
}

// CallbackPath is where a gateway that does not sign finds its callbacks.
func CallbackPath(gateway, secret, what string) string {
	if secret != "" {
		gateway += "/" + secret
	}
	return "/sms/" + gateway + "/" + what
}

// errRefused says that the caller is not who it should be.
var errRefused = errors.New("this address may not call here, or the secret or signature is wrong")

// serve reads fields, decodes them, and does what they say.
func (h *webhooks) serve(fields func(*http.Request) (url.Values, error), decode func(url.Values) (callback, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, maxCallback)
		form, err := fields(r)
		if errors.Is(err, errRefused) {
			// The path may hold a secret, and the form a PIN: neither is logged.
			h.o.Log.WarnContext(r.Context(), "sms: callback refused", "peer", r.RemoteAddr)
			fail(w, http.StatusForbidden, err)
			return
		}
		var c callback
		if err == nil {
			c, err = decode(form)
		}
		if err != nil {
			fail(w, http.StatusBadRequest, err)
			return
		}
		switch err := h.act(r.Context(), c); {
		case errors.Is(err, ErrBadInbound), errors.Is(err, outbox.ErrBadReport):
			fail(w, http.StatusBadRequest, err)
		case err != nil:
			h.o.Log.ErrorContext(r.Context(), "sms: a callback could not be taken", "error", err)
			fail(w, http.StatusServiceUnavailable, errors.New("try again"))
		default:
			if c.kind != "" {
				w.Header().Set("Content-Type", c.kind)
			}
			io.WriteString(w, c.answer)
		}
	}
}

func fail(w http.ResponseWriter, status int, why error) {
	w.WriteHeader(status)
	fmt.Fprintln(w, why)
}

func (h *webhooks) act(ctx context.Context, c callback) error {
	if c.report != nil {
		return outbox.Deliver(ctx, h.o.Pool, *c.report)
	}
	if c.in == nil {
		return nil
	}
	if err := h.optIn(ctx, *c.in); err != nil {
		return err
	}
	return h.o.Receive(ctx, *c.in)
}

// Words by which a carrier takes somebody off its list and puts him back on.
var (
	stopWords  = map[string]bool{"STOP": true, "STOPALL": true, "UNSUBSCRIBE": true, "CANCEL": true, "END": true, "QUIT": true}
	startWords = map[string]bool{"START": true, "UNSTOP": true, "YES": true}
)

// optIn notes what the carrier does by itself on its words. Only Twilio's numbers
// obey STOP; elsewhere it is the gateway's refusal that says so.
func (h *webhooks) optIn(ctx context.Context, in Inbound) error {
	word := strings.ToUpper(strings.TrimSpace(in.Text))
	switch {
	case startWords[word]:
		return outbox.OptIn(ctx, h.o.Pool, in.Gateway, in.From)
	case stopWords[word] && in.Gateway == twilioName:
		return outbox.OptOut(ctx, h.o.Pool, in.Gateway, in.From)
	}
	return nil
}

// plainForm is the form of a gateway that does not sign.
func (h *webhooks) plainForm(r *http.Request) (url.Values, error) {
	if !h.o.Callers.Admit(r) {
		return nil, errRefused
	}
	return postForm(r)
}

// plainQuery is the same in the address.
func (h *webhooks) plainQuery(r *http.Request) (url.Values, error) {
	if !h.o.Callers.Admit(r) {
		return nil, errRefused
	}
	return once(r.URL.RawQuery)
}

// postForm reads a form in the body.
func postForm(r *http.Request) (url.Values, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, errors.New("the body must be application/x-www-form-urlencoded")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("the body could not be read, or is larger than %d bytes", maxCallback)
	}
	return once(string(body))
}

// once decodes fields of which none comes twice, since two readers of one
// request could take different ones. Its errors do not quote values.
func once(encoded string) (url.Values, error) {
	form, err := url.ParseQuery(encoded)
	if err != nil {
		return nil, errors.New("the fields are not well-formed")
	}
	for _, values := range form {
		if len(values) > 1 {
			return nil, errors.New("a field is there twice")
		}
	}
	return form, nil
}
