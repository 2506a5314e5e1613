package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// benchWire is a connection over which a gateway of a bench posts forms one after the
// other. An http.Client would do the same for three times the processor time,
// which the service measured beside it could not have.
type benchWire struct {
	conn net.Conn
	in   *bufio.Reader
	head string // of every request
	out  []byte
}

const wirePatience = 20 * time.Second

func newBenchWire(address string) (*benchWire, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	conn, err := net.DialTimeout("tcp", u.Host, wirePatience)
	if err != nil {
		return nil, err
	}
	return &benchWire{
		conn: conn, in: bufio.NewReader(conn),
		head: fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: ", u.RequestURI(), u.Host, formType),
	}, nil
}

// post sends a form and gives the answer's body; another status than 200 is an error.
func (w *benchWire) post(form string) (string, error) {
	if err := w.conn.SetDeadline(time.Now().Add(wirePatience)); err != nil {
		return "", err
	}
	w.out = fmt.Appendf(w.out[:0], "%s%d\r\n\r\n%s", w.head, len(form), form)
	if _, err := w.conn.Write(w.out); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(w.in, nil)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the service answered %d: %s", resp.StatusCode, b)
	}
	return string(b), err
}
