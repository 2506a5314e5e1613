package ussd

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"tuma/internal/callers"
	"tuma/internal/phone"
)

// What all dialects over HTTP have in common: who may call, how much is read,
// and that a field which comes twice is refused. A dialect itself is a struct in
// a file of its own.

// Bounds on what a request may carry.
const (
	maxBody      = 16 << 10
	maxSessionID = 128
	maxFields    = 2000 // a form with more names than that is not one
)

// dialect is how one gateway speaks.
type dialect struct {
	name    string   // in its address and in the configuration
	gateway string   // in refs, so it never changes
	accepts []string // media types of the body; none: the fields are in the query
	fields  []string // those that are read; one of them must not come twice
	tails   []tail   // addresses, below that of the dialect
}

// tail is one address of a dialect.
type tail struct {
	path   string // "", "/events", "/session/{session}/start"
	method string
	decode func(message) (call, error)
}

// message is what came, its fields by name. Nested ones are written
// "payload.response".
type message struct {
	fields  map[string]string
	session string // in the path
	code    string // our service code, for gateways that do not say it
	seen    *phone.Seen
}

// has tells a field that is empty from one that is missing.
func (m message) has(field string) bool { _, ok := m.fields[field]; return ok }

// call is what a dialect makes of it.
type call struct {
	Request
	over  bool // the gateway says that the session has ended
	asks  bool // nothing but whether the session is open
	reply func(Reply) answer
	told  answer            // what is said to the end of a session
	state func(bool) answer // answers asks
}

// answer is what the gateway reads.
type answer struct {
	kind   string // Content-Type; "": plain text
	header map[string]string
	body   string
}

const plainText = "text/plain; charset=utf-8"

// dialects are all there are.
func dialects() []dialect {
	return []dialect{africasTalking(), airtel(), arkesel(), beem(), hubtel(), infobip(), mtech(), nalo(), safaricom()}
}

// Dialects are the names of those that Handler knows.
func Dialects() (names []string) {
	for _, d := range dialects() {
		names = append(names, d.name)
	}
	return names
}

// Handler is a gateway's way in, at /ussd/NAME or, with a secret, at
// /ussd/NAME/SECRET.
func Handler(m *Machine, name string, c callers.Callers) (http.Handler, error) {
	i := slices.IndexFunc(dialects(), func(d dialect) bool { return d.name == name })
	if i < 0 {
		return nil, fmt.Errorf("ussd: no dialect is called %q; there are %s", name, strings.Join(Dialects(), ", "))
	}
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("ussd: %s: %w", name, err)
	}
	e := &edge{machine: m, dialect: dialects()[i], callers: c}
	mux := http.NewServeMux()
	path := "/ussd/" + name
	if c.Secret != "" {
		path += "/{secret}"
	}
	for _, t := range e.dialect.tails {
		mux.Handle(path+t.path, e.guard(t))
	}
	return mux, nil
}

type edge struct {
	seen    phone.Seen
	machine *Machine
	dialect dialect
	callers callers.Callers
}

// guard lets only the gateway's well-formed requests through.
func (e *edge) guard(t tail) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", plainText)
		w.Header().Set("Cache-Control", "no-store")
		defer func() {
			if p := recover(); p != nil { // its value may quote an input
				e.machine.log.ErrorContext(r.Context(), "ussd: panic in a dialect", "dialect", e.dialect.name)
				refuse(w, http.StatusInternalServerError, e.machine.sorry("").Text)
			}
		}()
		if !e.callers.Admit(r) {
			e.machine.log.WarnContext(r.Context(), "ussd: request refused", "dialect", e.dialect.name, "peer", r.RemoteAddr)
			refuse(w, http.StatusForbidden, "this address may not call here, or the path has the wrong secret")
			return
		}
		if r.Method != t.method {
			w.Header().Set("Allow", t.method)
			refuse(w, http.StatusMethodNotAllowed, "use "+t.method)
			return
		}
		fields, status, err := e.read(w, r, t)
		if err != nil {
			refuse(w, status, err.Error())
			return
		}
		c, err := t.decode(message{fields: fields, session: r.PathValue("session"), code: e.machine.accounts.Country().ServiceCode, seen: &e.seen})
		if err == nil {
			err = e.complete(r.Context(), &c)
		}
		if err != nil {
			refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		e.answer(w, r, c)
	}
}

func refuse(w http.ResponseWriter, status int, why string) {
	w.WriteHeader(status)
	io.WriteString(w, why+"\n")
}

// read gives the fields of a request. Its errors do not quote values.
func (e *edge) read(w http.ResponseWriter, r *http.Request, t tail) (map[string]string, int, error) {
	d := e.dialect
	if t.method == http.MethodGet || len(d.accepts) == 0 {
		f, err := d.form(r.URL.RawQuery, "the query is not well-formed")
		return f, http.StatusBadRequest, err
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || !slices.Contains(d.accepts, kind) {
		return nil, http.StatusUnsupportedMediaType, errors.New("the body must be " + strings.Join(d.accepts, " or "))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the body is larger than %d bytes", maxBody)
	}
	if err != nil {
		return nil, http.StatusBadRequest, errors.New("the body could not be read")
	}
	f, err := d.parse(body)
	return f, http.StatusBadRequest, err
}

// parse reads a body of the kind that the dialect accepts.
func (d dialect) parse(body []byte) (map[string]string, error) {
	switch {
	case slices.Contains(d.accepts, "application/json"):
		return d.json(body)
	case slices.Contains(d.accepts, "text/xml"):
		return d.xml(body)
	}
	return d.form(string(body), "the body is not a well-formed form")
}

// put notes a field that the dialect reads, once: two readers of one request
// could take different ones.
func (d dialect) put(fields map[string]string, name, value string) error {
	if !slices.Contains(d.fields, name) {
		return nil
	}
	if _, twice := fields[name]; twice {
		return fmt.Errorf("%s is there twice", name)
	}
	fields[name] = value
	return nil
}

func (d dialect) form(text, broken string) (map[string]string, error) {
	form, err := url.ParseQuery(text)
	if err != nil || len(form) > maxFields {
		return nil, errors.New(broken)
	}
	fields := map[string]string{}
	for _, name := range d.fields { // in a fixed order, so that the same request gets the same sentence
		for _, v := range form[name] {
			if err := d.put(fields, name, v); err != nil {
				return nil, err
			}
		}
	}
	return fields, nil
}

// json reads an object and the objects in it.
func (d dialect) json(body []byte) (map[string]string, error) {
	fields := map[string]string{}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := d.object(dec, fields, "", true); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotJSON
	}
	return fields, nil
}

var errNotJSON = errors.New("the body is not a JSON object of strings, numbers and true or false")

// object reads the members of an object, whose brace is the next token.
func (d dialect) object(dec *json.Decoder, fields map[string]string, prefix string, outer bool) error {
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return errNotJSON
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return errNotJSON
		}
		key, _ := name.(string)
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return errNotJSON
		}
		value, err := scalar(raw)
		if err != nil && outer && raw[0] == '{' {
			inner := json.NewDecoder(bytes.NewReader(raw))
			inner.UseNumber()
			if err := d.object(inner, fields, prefix+key+".", false); err != nil {
				return err
			}
			continue
		}
		if !slices.Contains(d.fields, prefix+key) || err == nil && string(raw) == "null" {
			continue
		}
		if err != nil {
			return errNotJSON
		}
		if err := d.put(fields, prefix+key, value); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return errNotJSON
	}
	return nil
}

// scalar is a JSON value's text: "7", 7 and true are "7", "7" and "true".
func scalar(raw json.RawMessage) (string, error) {
	switch raw[0] {
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case '{', '[':
		return "", errNotJSON
	}
	return string(raw), nil
}

var errNotXML = errors.New("the body is not a well-formed XML document of single fields")

// xml reads the elements below the root, which have nothing but text in them.
func (d dialect) xml(body []byte) (map[string]string, error) {
	fields := map[string]string{}
	dec := xml.NewDecoder(bytes.NewReader(body))
	var name string
	var value strings.Builder
	depth, roots := 0, 0
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) && depth == 0 && roots == 1 {
			return fields, nil
		}
		if err != nil {
			return nil, errNotXML
		}
		switch t := token.(type) {
		case xml.StartElement:
			if depth++; depth == 1 {
				roots++
			}
			if depth > 2 || roots > 1 {
				return nil, errNotXML
			}
			name = t.Name.Local
			value.Reset()
		case xml.CharData:
			value.Write(t)
		case xml.EndElement:
			if depth == 2 {
				if err := d.put(fields, name, value.String()); err != nil {
					return nil, err
				}
			}
			depth--
		case xml.Directive: // a document type could declare entities
			return nil, errNotXML
		}
	}
}

// complete fills in who is calling, where the gateway says it only once.
func (e *edge) complete(ctx context.Context, c *call) error {
	c.Gateway = e.dialect.gateway
	if c.From != "" || c.asks {
		return nil
	}
	from, _, err := e.machine.opener(ctx, c.Gateway, c.Session)
	if err != nil {
		e.machine.log.ErrorContext(ctx, "ussd: the session could not be read", "dialect", e.dialect.name, "err", err)
	}
	if c.From = from; from == "" {
		return errors.New("the number is missing, and the session is not known")
	}
	return nil
}

// answer has the machine answer, and writes what it says.
func (e *edge) answer(w http.ResponseWriter, r *http.Request, c call) {
	var a answer
	switch {
	case c.asks:
		_, open, err := e.machine.opener(r.Context(), c.Gateway, c.Session)
		a = c.state(open && err == nil)
	case c.over:
		e.machine.Drop(r.Context(), c.Gateway, c.Session, c.From)
		a = c.told
	default:
		a = c.reply(e.machine.Answer(r.Context(), c.Request))
	}
	if a.kind != "" {
		w.Header().Set("Content-Type", a.kind)
	}
	for name, value := range a.header {
		w.Header()[name] = []string{value} // gateways compare names letter by letter
	}
	if _, err := io.WriteString(w, a.body); err != nil {
		e.machine.log.LogAttrs(r.Context(), slog.LevelWarn, "ussd: the gateway did not take the answer", slog.String("session", c.Session), slog.Any("err", err))
	}
}

// The parts of requests that many dialects share. Their errors are sentences for
// whoever programs the gateway, and do not quote values.

// sessionIn checks the gateway's name for a session.
func sessionIn(field, value string) (string, error) {
	if value == "" || len(value) > maxSessionID || strings.IndexFunc(value, notPrintableASCII) >= 0 {
		return "", fmt.Errorf("%s must be 1 to %d printable ASCII characters", field, maxSessionID)
	}
	return value, nil
}

func notPrintableASCII(c rune) bool { return c <= ' ' || c > '~' }

// numberIn reads a number in international form; most gateways leave its plus
// sign out.
func (m message) numberIn(field string) (phone.Number, error) {
	n, err := m.seen.Parse("+" + strings.TrimPrefix(m.fields[field], "+"))
	if err != nil {
		return "", fmt.Errorf("%s must be in international form, 254712000001", field)
	}
	return n, nil
}

// latest begins the call of a gateway that delivers the latest input alone: its
// session, its number and its text are in these fields.
func (m message) latest(session, number, text string) (call, error) {
	c := call{Request: Request{ServiceCode: m.code, Text: m.fields[text], Latest: true}}
	var err error
	if c.Session, err = sessionIn(session, m.fields[session]); err != nil {
		return call{}, err
	}
	if c.From, err = m.numberIn(number); err != nil {
		return call{}, err
	}
	return c, nil
}

// flag reads a field that is true or false.
func (m message) flag(field string) (bool, error) {
	switch strings.ToLower(m.fields[field]) {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, fmt.Errorf("%s must be true or false", field)
}

// jsonAnswer writes an answer's object, its members in the order of their names.
func jsonAnswer(members map[string]any) answer {
	b, err := json.Marshal(members)
	if err != nil {
		panic(err) // cannot be: strings, booleans and maps of them
	}
	return answer{kind: "application/json", body: string(b)}
}
