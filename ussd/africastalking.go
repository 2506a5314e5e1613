package ussd

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"tuma/internal/phone"
)

// Africa's Talking, whose convention half of the field follows.
//
// A request is a form: sessionId, phoneNumber (+254...), serviceCode (*334#),
// networkCode, and text, which is everything keyed in so far, joined with '*':
// so a PIN comes again with every later request. The answer is text/plain,
// "CON ..." to go on or "END ...". When a session has ended the gateway says
// so at another address, in a form that has the same fields and more, among
// them `input`, again with the PIN; nothing here reads it.
//
// The gateway waits 15 s for an answer.

// AfricasTalkingOptions say who may speak to us. The requests are not signed.
type AfricasTalkingOptions struct {
	// Allow lists the addresses that may call. Empty: any, and then Secret must be set.
	Allow []netip.Prefix
	// TrustedProxies are addresses of our own whose X-Forwarded-For is believed
	// (its last entry that is not one of them). Nobody else's is read.
	TrustedProxies []netip.Prefix
	// Secret, when set, must follow in the path: /ussd/africastalking/SECRET.
	Secret string
}

// minSecret is the least length of a secret in the path, in bytes: enough for
// 128 bits in hexadecimal digits would be 32; with letters 22.
const minSecret = 22

// Bounds on what a request may carry.
const (
	maxBody      = 16 << 10
	maxSessionID = 128
)

var (
	serviceCodeShape = regexp.MustCompile(`^\*[0-9]{2,6}(\*[0-9]{1,10}){0,4}#$`)
	networkCodeShape = regexp.MustCompile(`^[0-9A-Za-z]{0,10}$`)
)

// AfricasTalking is the gateway's handler: POST /ussd/africastalking and
// /ussd/africastalking/events, or with a secret /ussd/africastalking/SECRET
// and /ussd/africastalking/SECRET/events.
func AfricasTalking(m *Machine, o AfricasTalkingOptions) (http.Handler, error) {
	switch {
	case len(o.Allow) == 0 && o.Secret == "":
		return nil, errors.New("ussd: africastalking needs a list of allowed addresses or a secret")
	case o.Secret != "" && (len(o.Secret) < minSecret || url.PathEscape(o.Secret) != o.Secret):
		return nil, fmt.Errorf("ussd: africastalking's secret must have at least %d letters and digits", minSecret)
	}
	a := &africasTalking{machine: m, options: o}
	mux := http.NewServeMux()
	path := "/ussd/africastalking"
	if o.Secret != "" {
		path += "/{secret}"
	}
	mux.Handle(path, a.guard(a.step))
	mux.Handle(path+"/events", a.guard(a.event))
	return mux, nil
}

type africasTalking struct {
	machine *Machine
	options AfricasTalkingOptions
}

// guard lets only the gateway's well-formed forms through.
func (a *africasTalking) guard(next func(w http.ResponseWriter, r *http.Request, form url.Values)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		defer func() {
			if p := recover(); p != nil { // its value may quote an input
				a.machine.log.ErrorContext(r.Context(), "ussd: panic in africastalking")
				io.WriteString(w, "END "+a.machine.sorry("").Text)
			}
		}()
		if !a.admitted(r) {
			a.machine.log.WarnContext(r.Context(), "ussd: africastalking request refused", "peer", r.RemoteAddr)
			refuse(w, http.StatusForbidden, "this address may not call here, or the path has the wrong secret")
			return
		}
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			refuse(w, http.StatusMethodNotAllowed, "use POST")
			return
		}
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
			refuse(w, http.StatusUnsupportedMediaType, "the body must be application/x-www-form-urlencoded")
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", maxBody))
			return
		}
		if err != nil {
			refuse(w, http.StatusBadRequest, "the body could not be read")
			return
		}
		form, err := parseForm(string(body))
		if err != nil {
			refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		next(w, r, form)
	}
}

func refuse(w http.ResponseWriter, status int, why string) {
	w.WriteHeader(status)
	io.WriteString(w, why+"\n")
}

// admitted checks the secret and the address.
func (a *africasTalking) admitted(r *http.Request) bool {
	if a.options.Secret != "" {
		// Hashes have one length, so that the time tells nothing about the secret's.
		given, want := sha256.Sum256([]byte(r.PathValue("secret"))), sha256.Sum256([]byte(a.options.Secret))
		if subtle.ConstantTimeCompare(given[:], want[:]) != 1 {
			return false
		}
	}
	if len(a.options.Allow) == 0 {
		return true
	}
	from, ok := a.caller(r)
	return ok && within(a.options.Allow, from)
}

// caller is who called: the TCP peer, or, when that is a proxy of ours, the
// address that the nearest foreign one is said to have.
func (a *africasTalking) caller(r *http.Request) (netip.Addr, bool) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, false
	}
	addr = addr.Unmap().WithZone("")
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && within(a.options.TrustedProxies, addr); i-- {
		if addr, err = netip.ParseAddr(strings.TrimSpace(hops[i])); err != nil {
			return netip.Addr{}, false
		}
		addr = addr.Unmap().WithZone("")
	}
	return addr, true
}

func within(list []netip.Prefix, addr netip.Addr) bool {
	for _, p := range list {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// parseForm decodes a form in which no field comes twice, since two readers of
// one request could take different ones. Its errors do not quote values.
func parseForm(body string) (url.Values, error) {
	form, err := url.ParseQuery(body)
	if err != nil {
		return nil, errors.New("the body is not a well-formed form")
	}
	for _, name := range []string{"sessionId", "phoneNumber", "serviceCode", "networkCode", "text"} {
		if len(form[name]) > 1 {
			return nil, fmt.Errorf("%s is there twice", name)
		}
	}
	return form, nil
}

// decodeAT makes a request of a form. Its errors are sentences for whoever
// programs the gateway, and do not quote values.
func decodeAT(form url.Values) (Request, error) {
	r := Request{Gateway: "at", Session: form.Get("sessionId"), ServiceCode: form.Get("serviceCode"), Text: form.Get("text")}
	if r.Session == "" || len(r.Session) > maxSessionID || strings.IndexFunc(r.Session, notPrintableASCII) >= 0 {
		return Request{}, fmt.Errorf("sessionId must be 1 to %d printable ASCII characters", maxSessionID)
	}
	if !serviceCodeShape.MatchString(r.ServiceCode) {
		return Request{}, errors.New("serviceCode must look like *334#")
	}
	if !networkCodeShape.MatchString(form.Get("networkCode")) {
		return Request{}, errors.New("networkCode must be at most 10 digits")
	}
	n, err := phone.Parse(form.Get("phoneNumber"))
	if err != nil {
		return Request{}, errors.New("phoneNumber must be in international form, +254712000001")
	}
	r.From = n
	return r, nil
}

func notPrintableASCII(c rune) bool { return c <= ' ' || c > '~' }

func (a *africasTalking) step(w http.ResponseWriter, r *http.Request, form url.Values) {
	req, err := decodeAT(form)
	if err == nil && !form.Has("text") {
		err = errors.New("text is missing; it is empty on the first request")
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	reply := a.machine.Answer(r.Context(), req)
	kind := "CON "
	if reply.End {
		kind = "END "
	}
	if _, err := io.WriteString(w, kind+reply.Text); err != nil {
		a.machine.log.LogAttrs(r.Context(), slog.LevelWarn, "ussd: the gateway did not take the answer", slog.String("session", req.Session), slog.Any("err", err))
	}
}

// event notes that a session has ended.
func (a *africasTalking) event(w http.ResponseWriter, r *http.Request, form url.Values) {
	req, err := decodeAT(form)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	a.machine.Drop(r.Context(), req.Gateway, req.Session, req.From)
	io.WriteString(w, "OK")
}
