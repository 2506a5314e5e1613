package sms

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"path"
	"strconv"
	"sync/atomic"
	"time"
)

// maxAnswer is as much of a gateway's answer as is read, in bytes.
const maxAnswer = 64 << 10

// maxWait bounds what a gateway may ask for in Retry-After.
const maxWait = time.Hour

// exchange is one HTTP request to a gateway whose client library offers
// neither a context nor the response: it carries the context in, and keeps
// what is needed to tell a refusal from a doubt.
type exchange struct {
	ctx       context.Context   // of this one call
	base      *url.URL          // nil: as the library addresses it
	transport http.RoundTripper // shared by all exchanges

	written atomic.Bool   // the request may have reached the gateway
	status  int           // 0: no answer
	wait    time.Duration // Retry-After, in seconds form
}

// client is an HTTP client for this exchange alone, on the shared transport.
func (x *exchange) client() *http.Client {
	return &http.Client{
		Transport:     x,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// RoundTrip sends the request to the base address and reads the answer to its
// end, so that the connection can be used again whatever the library does.
func (x *exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := httptrace.WithClientTrace(x.ctx, &httptrace.ClientTrace{
		WroteHeaders: func() { x.written.Store(true) },
	})
	req = req.Clone(ctx)
	if x.base != nil {
		req.URL.Scheme, req.URL.Host = x.base.Scheme, x.base.Host
		req.URL.Path = path.Join("/", x.base.Path, req.URL.Path)
		req.Host = ""
	}
	resp, err := x.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	resp.Body.Close()
	if err != nil && resp.StatusCode < 300 {
		return nil, err // taken, probably, but under which id?
	}
	x.status = resp.StatusCode
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		x.wait = min(time.Duration(seconds)*time.Second, maxWait)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}
