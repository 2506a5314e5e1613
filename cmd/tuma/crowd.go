package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"tuma/simulator"
	"tuma/simulator/people"
)

// crowd is people who use an installation by its public wires, whatever program
// runs there, and what they know of it.
type crowd struct {
	network  *simulator.Network
	country  *people.Country
	history  *people.History
	file     *os.File
	wire     *gatewayWire
	settings map[string]string // of the service: where its SMS and airtime orders go
	listener net.Listener
	server   *http.Server

	mu      sync.Mutex
	paid    int
	unclear map[string]int // answers that did not say whether it was paid, by what they said
	last    time.Time      // a payment was confirmed
	longest time.Duration
}

// openCrowd starts the network with its phones, the SMS provider and the airtime
// operator. ussd is where the service answers; the history is kept in a file.
func openCrowd(ussd, history string) (w *crowd, err error) {
	w = &crowd{unclear: map[string]int{}, wire: &gatewayWire{next: &http.Transport{MaxIdleConnsPerHost: 1024, MaxIdleConns: 4096, IdleConnTimeout: 30 * time.Second}}}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if w.file, err = os.Create(history); err != nil {
		return nil, err
	}
	w.history = people.NewHistory(w.file, time.Now)
	if w.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	token := make([]byte, 16)
	if _, err := rand.Read(token); err != nil {
		return nil, err
	}
	world, secret := "http://"+w.listener.Addr().String(), hex.EncodeToString(token)
	w.settings = map[string]string{
		"TUMA_SMS": "twilio", "TUMA_TWILIO_SID": devTwilioSID, "TUMA_TWILIO_TOKEN": secret, "TUMA_TWILIO_FROM": "Tuma", "TUMA_TWILIO_URL": world,
		"TUMA_AIRTIME_URL": world + "/simulator/airtime/topup", "TUMA_AIRTIME_TOKEN": secret,
	}
	w.network, err = simulator.NewNetwork(simulator.Config{
		USSDURL: ussd, EventsURL: ussd + "/events", ServiceCode: kenyaSettings.ServiceCode,
		TwilioSID: devTwilioSID, TwilioToken: secret, AirtimeToken: secret, CurrencySymbol: "Ksh",
		Now: time.Now, Rand: rand.Reader, Kept: 2, HTTPClient: &http.Client{Transport: w.wire}, Received: w.history.Received,
	})
	if err != nil {
		return nil, err
	}
	w.server = &http.Server{Handler: w.network, ReadHeaderTimeout: 10 * time.Second}
	go w.server.Serve(w.listener)
	return w, nil
}

// gather makes the people, and registers them.
func (w *crowd) gather(ctx context.Context, o people.Options) (err error) {
	o.Network, o.History, o.Watch = w.network, w.history, w.watch
	if w.country, err = people.New(o); err != nil {
		return err
	}
	return w.country.Open(ctx, func(int, int) {})
}

func (w *crowd) watch(e people.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Outcome == people.Unknown {
		w.unclear[e.Reason]++
	}
	if e.Outcome != people.OK {
		return
	}
	now := time.Now()
	if !w.last.IsZero() {
		w.longest = max(w.longest, now.Sub(w.last))
	}
	w.paid, w.last = w.paid+1, now
}

// since says how many payments were confirmed so far, how many answers did not
// say, and the longest gap between two payments since it was last asked.
func (w *crowd) since() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	unclear := 0
	for _, n := range w.unclear {
		unclear += n
	}
	s := fmt.Sprintf("%d payments so far, %d unclear %v, the longest gap between two was %d ms", w.paid, unclear, w.unclear, w.longest.Milliseconds())
	w.longest = 0
	return s
}

func (w *crowd) close() error {
	var errs []error
	if w.network != nil {
		w.network.Close()
	}
	if w.server != nil {
		errs = append(errs, w.server.Close())
	} else if w.listener != nil {
		errs = append(errs, w.listener.Close())
	}
	if w.file != nil {
		errs = append(errs, w.file.Close())
	}
	return errors.Join(errs...)
}

// gatewayWire counts how requests to the service go.
type gatewayWire struct {
	next     http.RoundTripper
	requests atomic.Int64
	refused  atomic.Int64 // nobody listened
	failed   atomic.Int64 // they broke off, or got a status that is none of success
	late     atomic.Int64 // the gateway gave up waiting
	first    atomic.Pointer[string]
}

func (w *gatewayWire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.requests.Add(1)
	resp, err := w.next.RoundTrip(r)
	said := ""
	switch {
	case err != nil && r.Context().Err() != nil:
		w.late.Add(1)
	case errors.Is(err, syscall.ECONNREFUSED):
		w.refused.Add(1)
		said = err.Error()
	case err != nil:
		w.failed.Add(1)
		said = err.Error()
	case resp.StatusCode >= 300:
		w.failed.Add(1)
		said = resp.Status
	}
	if said != "" {
		w.first.CompareAndSwap(nil, &said)
	}
	return resp, err
}
