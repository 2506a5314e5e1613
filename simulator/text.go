package simulator

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// Messages from a phone to the application: the provider posts each of them as Twilio does, with its signature.

// defaultShortCode is where phones send messages when nothing else is said.
const defaultShortCode = "22334"

// textTimeout is the provider's patience with the application.
const textTimeout = 15 * time.Second

// Text sends a message from the phone with that number to the application's short code. Errors: ErrInput, and
// ErrNetwork when the application did not take it.
func (n *Network) Text(ctx context.Context, number, body string) error {
	number, err := msisdn(number)
	if err != nil {
		return fmt.Errorf("simulator: text: %w", err)
	}
	if strings.TrimSpace(body) == "" || len(utf16.Encode([]rune(body))) > maxTwilioBody || strings.ContainsFunc(body, unprintable) {
		return fmt.Errorf("simulator: text: %w: a message has 1 to %d characters", ErrInput, maxTwilioBody)
	}
	if n.config.SMSURL == "" {
		return fmt.Errorf("simulator: text: %w: nobody takes messages to %s", ErrNetwork, n.config.ShortCode)
	}
	var id [16]byte
	if _, err := io.ReadFull(n.line.Rand, id[:]); err != nil {
		return fmt.Errorf("simulator: text: %w: no message id: %w", ErrNetwork, err)
	}
	sid := "SM" + hex.EncodeToString(id[:])
	form := url.Values{
		"ToCountry": {"KE"}, "ToState": {""}, "SmsMessageSid": {sid}, "NumMedia": {"0"}, "ToCity": {""}, "FromZip": {""}, "SmsSid": {sid}, "FromState": {""},
		"SmsStatus": {"received"}, "FromCity": {""}, "Body": {body}, "FromCountry": {"KE"}, "To": {n.config.ShortCode}, "ToZip": {""},
		"NumSegments": {strconv.Itoa(segments(body))}, "MessageSid": {sid}, "AccountSid": {n.config.TwilioSID}, "From": {number}, "ApiVersion": {"2010-04-01"},
	}
	ctx, cancel := context.WithTimeout(ctx, textTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.config.SMSURL, strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("simulator: text: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("User-Agent", "TwilioProxy/1.1")
	req.Header.Set("X-Twilio-Signature", twilioSignature(n.config.TwilioToken, n.config.SMSURL, form))
	resp, err := n.line.Client.Do(req)
	if err != nil {
		return fmt.Errorf("simulator: text: %w: %w", ErrNetwork, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("simulator: text: %w: the application answered %d", ErrNetwork, resp.StatusCode)
	}
	return nil
}

func unprintable(r rune) bool { return r != '\n' && !printable(string(r)) }

// twilioSignature is X-Twilio-Signature: HMAC-SHA1 over the address and all fields in the order of their names.
func twilioSignature(token, address string, form url.Values) string {
	names := make([]string, 0, len(form))
	for name := range form {
		names = append(names, name)
	}
	slices.Sort(names)
	mac := hmac.New(sha1.New, []byte(token))
	io.WriteString(mac, address)
	for _, name := range names {
		io.WriteString(mac, name+form.Get(name))
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// postText is `POST /simulator/phones/{msisdn}/sms` with {"body": "..."}: 204 the application has taken it, 400
// malformed, 502 it has not.
func (n *Network) postText(w http.ResponseWriter, r *http.Request) {
	if !ownOrigin(r) {
		fail(w, http.StatusForbidden, "another site's page may not press these keys")
		return
	}
	var in struct {
		Body string `json:"body"`
	}
	err := decode(r, &in)
	if err == nil {
		err = n.Text(r.Context(), r.PathValue("msisdn"), in.Body)
	}
	tooLarge := (*http.MaxBytesError)(nil)
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.As(err, &tooLarge):
		fail(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a request has at most %d bytes", maxBody))
	case errors.Is(err, ErrInput):
		fail(w, http.StatusBadRequest, err.Error())
	default:
		fail(w, http.StatusBadGateway, err.Error())
	}
}
