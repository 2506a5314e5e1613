package main

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"tuma/ussd"
)

// routes are the service's own addresses; dev adds the simulator's.
func (c config) routes(s *service) (http.Handler, error) {
	allow, err := prefixes(c.gateways.USSDAllow)
	if err != nil {
		return nil, err
	}
	proxies, err := prefixes(c.gateways.Proxies)
	if err != nil {
		return nil, err
	}
	at, err := ussd.AfricasTalking(s.machine, ussd.AfricasTalkingOptions{Allow: allow, TrustedProxies: proxies, Secret: c.gateways.USSDSecret})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/ussd/africastalking", at)
	mux.Handle("/ussd/africastalking/", at)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("alive\n")) })
	mux.HandleFunc("GET /readyz", s.ready)
	return mux, nil
}

// ready tells a load balancer whether this process can serve: 200, or 503 with
// what is missing.
func (s *service) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	state := map[string]string{"database": "ok", "redis": "ok"}
	var one int
	if err := s.pool.Get(ctx, &one, "select 1"); err != nil {
		state["database"] = "not reached"
	}
	if err := s.redis.Ping(ctx).Err(); err != nil {
		state["redis"] = "not reached"
	}
	w.Header().Set("Content-Type", "application/json")
	if state["database"] != "ok" || state["redis"] != "ok" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	json.NewEncoder(w).Encode(state)
}
