package simulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxAnswer bounds what is read of an application's answer, in bytes.
const maxAnswer = 64 << 10

// keptAnswer bounds what is kept of it for display, in bytes.
const keptAnswer = 4 << 10

// Field is one name and value of a request form.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Form is a request form in the order in which it is sent.
type Form []Field

// Encode writes f as application/x-www-form-urlencoded, in its own order.
func (f Form) Encode() string {
	var b strings.Builder
	for i, field := range f {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(field.Name))
		b.WriteByte('=')
		b.WriteString(url.QueryEscape(field.Value))
	}
	return b.String()
}

// Get is the value of the first field with that name, or "".
func (f Form) Get(name string) string {
	for _, field := range f {
		if field.Name == name {
			return field.Value
		}
	}
	return ""
}

// Exchange is one request of the gateway and what came back, as it went over the wire.
type Exchange struct {
	Seq     int64     `json:"seq"`  // counts up per phone
	Kind    string    `json:"kind"` // "ussd", "retry" (the same request again), "event" (end of session) or "push" (from the application)
	Session string    `json:"session"`
	At      time.Time `json:"at"` // when the gateway took it up, before any delay
	URL     string    `json:"url"`
	Form    Form      `json:"form"`
	Pending bool      `json:"pending,omitempty"` // no answer yet
	Status  int       `json:"status,omitempty"`  // HTTP status, 0 without an answer
	Headers []Field   `json:"headers,omitempty"` // of the answer: the few that matter
	Body    string    `json:"body,omitempty"`    // of the answer, at most 4 KiB of it
	Septets int       `json:"septets,omitempty"` // length of the screen, 0 when a character is outside GSM-7
	MS      int64     `json:"ms"`                // from At to the answer's arrival, delays included
	Error   string    `json:"error,omitempty"`   // why the phone did not get the answer
}

// answer is what came back over HTTP, read to its end.
type answer struct {
	status  int
	headers []Field
	body    string
}

// post sends form to address and reads the whole answer.
func post(ctx context.Context, client *http.Client, address string, form Form) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, fmt.Errorf("cannot make the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("User-Agent", "phone-simulator")
	resp, err := client.Do(req)
	if err != nil {
		if ue := (*url.Error)(nil); errors.As(err, &ue) {
			err = ue.Err // the address is shown beside it anyway
		}
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode}
	for _, name := range []string{"Content-Type", "Content-Length", "Retry-After"} {
		if v := resp.Header.Get(name); v != "" {
			a.headers = append(a.headers, Field{name, v})
		}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	a.body = strings.ToValidUTF8(string(body), "\uFFFD")
	if err != nil {
		return a, fmt.Errorf("the answer broke off: %w", err)
	}
	if len(body) > maxAnswer {
		return a, fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	return a, nil
}

// screenOf reads an answer the way the gateway does: 200, and a body that begins with CON (the session goes on) or
// END (it is over). Anything else ends the session.
func screenOf(a answer) (text string, more bool, err error) {
	if a.status != http.StatusOK {
		return "", false, fmt.Errorf("the application answered %d", a.status)
	}
	for _, word := range []string{"CON", "END"} {
		if rest, ok := strings.CutPrefix(a.body, word); ok && (rest == "" || rest[0] == ' ' || rest[0] == '\n') {
			text = strings.ReplaceAll(rest, "\r\n", "\n")
			return strings.TrimRight(strings.TrimPrefix(text, " "), "\n"), word == "CON", nil
		}
	}
	return "", false, errors.New("the answer begins with neither CON nor END")
}

// fill copies what came back into the record of the exchange.
func (e *Exchange) fill(a answer) {
	e.Status, e.Headers, e.Body = a.status, a.headers, a.body
	if len(e.Body) > keptAnswer {
		e.Body = strings.ToValidUTF8(e.Body[:keptAnswer], "") + "..."
	}
	if text, _, err := screenOf(a); err == nil && e.Kind != "event" {
		e.Septets, _ = septets(text)
	}
}
