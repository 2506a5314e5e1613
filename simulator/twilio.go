package simulator

import (
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// maxTwilioBody is Twilio's limit on a message, in UTF-16 units.
const maxTwilioBody = 1600

// twilioFault is Twilio's error shape.
type twilioFault struct {
	Code     int    `json:"code"`
	Message  string `json:"message"`
	MoreInfo string `json:"more_info"`
	Status   int    `json:"status"`
}

func failTwilio(w http.ResponseWriter, status, code int, message string) {
	reply(w, status, twilioFault{code, message, "https://www.twilio.com/docs/errors/" + strconv.Itoa(code), status})
}

// twilioMessage is the Message resource, with the fields and the nulls of the real one.
type twilioMessage struct {
	AccountSID          string            `json:"account_sid"`
	APIVersion          string            `json:"api_version"`
	Body                string            `json:"body"`
	DateCreated         string            `json:"date_created"`
	DateSent            *string           `json:"date_sent"`
	DateUpdated         string            `json:"date_updated"`
	Direction           string            `json:"direction"`
	ErrorCode           *int              `json:"error_code"`
	ErrorMessage        *string           `json:"error_message"`
	From                *string           `json:"from"`
	MessagingServiceSID *string           `json:"messaging_service_sid"`
	NumMedia            string            `json:"num_media"`
	NumSegments         string            `json:"num_segments"`
	Price               *string           `json:"price"`
	PriceUnit           *string           `json:"price_unit"`
	SID                 string            `json:"sid"`
	Status              string            `json:"status"`
	SubresourceURIs     map[string]string `json:"subresource_uris"`
	To                  string            `json:"to"`
	URI                 string            `json:"uri"`
}

// createMessage is Twilio's `POST /2010-04-01/Accounts/{sid}/Messages.json`. What it accepts is in the phone's inbox
// when it answers; delivery reports are not sent, so a StatusCallback is only checked.
func (n *Network) createMessage(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	if !same(user, n.config.TwilioSID) || !same(password, n.config.TwilioToken) {
		w.Header().Set("WWW-Authenticate", `Basic realm="Twilio API"`)
		failTwilio(w, http.StatusUnauthorized, 20003, "Authenticate")
		return
	}
	account := r.PathValue("sid")
	if account != n.config.TwilioSID {
		failTwilio(w, http.StatusNotFound, 20404, "The requested resource "+r.URL.Path+" was not found")
		return
	}
	if err := r.ParseForm(); err != nil {
		status, tooLarge := http.StatusBadRequest, (*http.MaxBytesError)(nil)
		if errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		failTwilio(w, status, 20001, "Unable to parse the request body")
		return
	}
	to, from, service, body := r.PostForm.Get("To"), r.PostForm.Get("From"), r.PostForm.Get("MessagingServiceSid"), r.PostForm.Get("Body")
	if code, message := refuseMessage(to, from, service, body, r.PostForm.Get("StatusCallback")); code != 0 {
		failTwilio(w, http.StatusBadRequest, code, message)
		return
	}
	var id [16]byte
	if _, err := io.ReadFull(n.line.Rand, id[:]); err != nil {
		failTwilio(w, http.StatusServiceUnavailable, 20503, "Service unavailable")
		return
	}
	sid, sender := "SM"+hex.EncodeToString(id[:]), from
	if sender == "" {
		sender = service
	}
	if err := n.Deliver(SMS{ID: sid, From: sender, To: to, Body: body}); err != nil {
		failTwilio(w, http.StatusBadRequest, 21211, "The 'To' number "+to+" is not a valid phone number.")
		return
	}
	now, uri := n.config.Now().UTC().Format(time.RFC1123Z), "/2010-04-01/Accounts/"+account+"/Messages/"+sid
	m := twilioMessage{
		AccountSID: account, APIVersion: "2010-04-01", Body: body, DateCreated: now, DateUpdated: now,
		Direction: "outbound-api", NumMedia: "0", NumSegments: strconv.Itoa(segments(body)), SID: sid, Status: "queued",
		SubresourceURIs: map[string]string{"media": uri + "/Media.json"}, To: to, URI: uri + ".json",
	}
	if from != "" {
		m.From = &from
	}
	if service != "" { // a service chooses the sender later, so neither it nor the parts are known yet
		m.MessagingServiceSID = &service
		m.Status, m.NumSegments = "accepted", "0"
	}
	reply(w, http.StatusCreated, m)
}

// refuseMessage is Twilio's own checks in its order: a code and a message, or 0. The numbers +1500555000x fail in
// the ways that Twilio's test credentials promise.
func refuseMessage(to, from, service, body, callback string) (int, string) {
	switch {
	case to == "":
		return 21604, "A 'To' phone number is required."
	case to == "+15005550002":
		return 21612, "The message cannot be routed to the 'To' number " + to + "."
	case to == "+15005550003":
		return 21408, "Permission to send an SMS has not been enabled for the region indicated by the 'To' number: " + to + "."
	case to == "+15005550004":
		return 21610, "Attempt to send to unsubscribed recipient."
	case to == "+15005550009":
		return 21614, "'To' number " + to + " is not a valid mobile number."
	case !strings.HasPrefix(to, "+") || to == "+15005550001":
		return 21211, "The 'To' number " + printed(to) + " is not a valid phone number."
	}
	if _, err := msisdn(to); err != nil {
		return 21211, "The 'To' number " + printed(to) + " is not a valid phone number."
	}
	switch {
	case from == "" && service == "":
		return 21603, "A 'From' phone number is required."
	case len(from) > 20 || len(service) > 40 || !printable(from) || !printable(service) || from == "+15005550001":
		return 21212, "The 'From' number " + printed(from) + " is not a valid phone number, shortcode, or alphanumeric sender ID."
	case from == "+15005550007":
		return 21606, "The 'From' phone number provided (" + from + ") is not a valid message-capable phone number for this account."
	case from == "+15005550008":
		return 21611, "The 'From' number " + from + " has exceeded the maximum number of queued messages."
	case strings.TrimSpace(body) == "":
		return 21602, "Message body is required."
	case len(utf16.Encode([]rune(body))) > maxTwilioBody:
		return 21617, "The concatenated message body exceeds the 1600 character limit."
	}
	if callback != "" {
		if u, err := url.Parse(callback); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return 21609, "The 'StatusCallback' URL is not a valid URL."
		}
	}
	return 0, ""
}

// printed makes a refused value fit to be repeated in a message.
func printed(s string) string {
	if len(s) > 40 {
		s = s[:40]
	}
	if !printable(s) {
		return "(unprintable)"
	}
	return s
}

// same compares secrets without telling by its time where they differ.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
