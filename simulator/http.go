package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"
)

// maxBody bounds a request body, in bytes.
const maxBody = 64 << 10

// maxDelay is the longest network delay in one direction.
const maxDelay = time.Minute

func (n *Network) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2010-04-01/Accounts/{sid}/Messages.json", n.createMessage)
	mux.HandleFunc("POST /simulator/airtime/topup", n.topUp)
	mux.HandleFunc("POST /simulator/push", n.push)

	mux.HandleFunc("GET /simulator/{$}", n.servePage)
	mux.HandleFunc("GET /simulator/static/{file}", serveStatic)
	mux.HandleFunc("GET /simulator/town", n.serveTown)
	mux.HandleFunc("GET /simulator/town/events", n.serveNews)
	mux.HandleFunc("POST /simulator/town/faults", n.postFault)

	mux.HandleFunc("GET /simulator/phones", n.getPhones)
	mux.HandleFunc("GET /simulator/phones/{msisdn}", n.onPhone(func(p *Phone, _ *http.Request) (State, error) { return p.State(), nil }))
	mux.HandleFunc("GET /simulator/phones/{msisdn}/sms", n.getInbox)
	mux.HandleFunc("POST /simulator/phones/{msisdn}/sms", n.postText)
	mux.HandleFunc("DELETE /simulator/phones/{msisdn}/sms", n.deleteInbox)
	mux.HandleFunc("GET /simulator/phones/{msisdn}/events", n.serveEvents)
	mux.HandleFunc("GET /simulator/events", n.serveEvents)

	mux.HandleFunc("POST /simulator/phones/{msisdn}/dial", n.onPhone(func(p *Phone, r *http.Request) (State, error) {
		var in struct {
			Code *string `json:"code"`
		}
		if err := decode(r, &in); err != nil {
			return State{}, err
		}
		if in.Code == nil {
			return State{}, fmt.Errorf("%w: code is missing", ErrInput)
		}
		return p.Dial(r.Context(), *in.Code)
	}))
	mux.HandleFunc("POST /simulator/phones/{msisdn}/type", n.onPhone(func(p *Phone, r *http.Request) (State, error) {
		var in struct {
			Input *string `json:"input"`
		}
		if err := decode(r, &in); err != nil {
			return State{}, err
		}
		if in.Input == nil {
			return State{}, fmt.Errorf("%w: input is missing", ErrInput)
		}
		return p.Type(r.Context(), *in.Input)
	}))
	mux.HandleFunc("POST /simulator/phones/{msisdn}/drop", n.onPhone(func(p *Phone, r *http.Request) (State, error) { return p.Drop(r.Context()) }))
	mux.HandleFunc("POST /simulator/phones/{msisdn}/retry", n.onPhone(func(p *Phone, r *http.Request) (State, error) { return p.Retry(r.Context()) }))
	mux.HandleFunc("POST /simulator/phones/{msisdn}/delay", n.onPhone(func(p *Phone, r *http.Request) (State, error) {
		var in struct {
			Before int64 `json:"before_ms"`
			After  int64 `json:"after_ms"`
		}
		if err := decode(r, &in); err != nil {
			return State{}, err
		}
		limit := maxDelay.Milliseconds()
		if in.Before < 0 || in.After < 0 || in.Before > limit || in.After > limit {
			return State{}, fmt.Errorf("%w: a delay is 0 to %d ms", ErrInput, limit)
		}
		p.SetDelay(Delay{Before: time.Duration(in.Before) * time.Millisecond, After: time.Duration(in.After) * time.Millisecond})
		return p.State(), nil
	}))
	return mux
}

// ServeHTTP answers everything under /simulator/ and /2010-04-01/.
func (n *Network) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	handler, pattern := n.mux.Handler(r)
	if pattern != "" {
		n.mux.ServeHTTP(w, r) // not handler itself: the mux also sets the path's values
		return
	}
	// The mux answers 404 and 405 in plain text; everything here speaks JSON.
	quiet := &statusOnly{header: http.Header{}}
	handler.ServeHTTP(quiet, r)
	if allow := quiet.header.Get("Allow"); allow != "" {
		w.Header().Set("Allow", allow)
	}
	fail(w, quiet.status, http.StatusText(quiet.status))
}

// statusOnly is a ResponseWriter that keeps the status and forgets the text.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }
func (s *statusOnly) Write(p []byte) (int, error) { return len(p), nil }

// onPhone answers with the phone's state after action. What the network did to the session is part of the state
// (its error field); only a mistake of the caller is a 4xx.
func (n *Network) onPhone(action func(*Phone, *http.Request) (State, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && !ownOrigin(r) {
			fail(w, http.StatusForbidden, "another site's page may not press these keys")
			return
		}
		phone, err := n.Phone(r.PathValue("msisdn"))
		if err != nil {
			fail(w, http.StatusBadRequest, err.Error())
			return
		}
		st, err := action(phone, r)
		tooLarge := (*http.MaxBytesError)(nil)
		switch {
		case errors.As(err, &tooLarge):
			fail(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a request has at most %d bytes", maxBody))
		case errors.Is(err, ErrInput):
			fail(w, http.StatusBadRequest, err.Error())
		case isInput(err):
			fail(w, http.StatusConflict, err.Error())
		default:
			reply(w, http.StatusOK, st)
		}
	}
}

// ownOrigin refuses what a browser sends for a page of another site.
func ownOrigin(r *http.Request) bool {
	return http.NewCrossOriginProtection().Check(r) == nil
}

// getPhones lists the phones that are asked for (?phone=...&phone=...), or all.
func (n *Network) getPhones(w http.ResponseWriter, r *http.Request) {
	asked := r.URL.Query()["phone"]
	if len(asked) > maxWatched {
		fail(w, http.StatusBadRequest, fmt.Sprintf("name at most %d phones", maxWatched))
		return
	}
	list := []listing{}
	for _, s := range asked {
		number, err := msisdn(s)
		if err != nil {
			fail(w, http.StatusBadRequest, err.Error())
			return
		}
		list = append(list, listing{Person: n.town.who(number)})
	}
	if len(asked) == 0 {
		list = n.phones()
	}
	reply(w, http.StatusOK, list)
}

func (n *Network) getInbox(w http.ResponseWriter, r *http.Request) {
	inbox, err := n.Inbox(r.PathValue("msisdn"))
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	reply(w, http.StatusOK, inbox)
}

func (n *Network) deleteInbox(w http.ResponseWriter, r *http.Request) {
	number, err := msisdn(r.PathValue("msisdn"))
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	if !ownOrigin(r) {
		fail(w, http.StatusForbidden, "another site's page may not do this")
		return
	}
	n.clear(number)
	w.WriteHeader(http.StatusNoContent)
}

// decode reads a JSON object from a request.
func decode(r *http.Request, into any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return fmt.Errorf("%w: send application/json", ErrInput)
	}
	d := json.NewDecoder(r.Body)
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w: not the JSON expected: %w", ErrInput, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: more than one JSON value", ErrInput)
	}
	return nil
}

func reply(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // nothing that is answered here can fail to marshal
		status, body = http.StatusInternalServerError, []byte(`{"error":"cannot write the answer"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// problem is the answer to a request that cannot be served.
type problem struct {
	Error string `json:"error"`
}

func fail(w http.ResponseWriter, status int, why string) { reply(w, status, problem{why}) }
