package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"tuma/agents/portal"
	"tuma/internal/callers"
	"tuma/internal/db"
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
	pages, err := portal.New(portal.Options{
		Pool: s.pool, Accounts: s.accounts, Agents: s.agents, Redis: s.redis, Rand: rand.Reader, Log: c.log, Photos: c.photos, Proxies: proxies, Plain: c.plain,
	})
	if err != nil {
		return nil, err
	}
	texts, err := c.smsCallbacks(s)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/sms/", texts)
	pages = s.metrics.portal(pages)
	mux.Handle("/agents/", pages)
	mux.Handle("POST /agents/register", patient(pages))
	for _, name := range c.gateways.dialects() {
		h, err := ussd.Handler(s.machine, name, callers.Callers{Allow: allow, TrustedProxies: proxies, Secret: c.gateways.USSDSecret, OldSecret: c.gateways.OldUSSD})
		if err != nil {
			return nil, err
		}
		mux.Handle("/ussd/"+name, h)
		mux.Handle("/ussd/"+name+"/", h)
	}
	s.health(mux)
	return mux, nil
}

// patient waits for a photo as long as a slow link takes for it: 2 MB at 5 KB/s.
func patient(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		until := time.Now().Add(8 * time.Minute)
		c := http.NewResponseController(w)
		if c.SetReadDeadline(until) == nil && c.SetWriteDeadline(until.Add(time.Minute)) == nil {
			next.ServeHTTP(w, r)
			return
		}
		http.Error(w, "Sorry.", http.StatusInternalServerError)
	})
}

// ready tells a load balancer whether this process can serve and will for a
// while: 200, or 503 with what is missing.
func (s *service) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	state := map[string]string{"database": "ok", "redis": "ok"}
	switch err := s.pool.SchemaFits(ctx); {
	case errors.Is(err, db.ErrNewSchema), errors.Is(err, db.ErrOldSchema):
		state["database"] = err.Error()
	case err != nil:
		state["database"] = "not reached"
	}
	if err := s.redis.Ping(ctx).Err(); err != nil {
		state["redis"] = "not reached"
	}
	if s.draining.Load() {
		state["process"] = "draining"
	}
	w.Header().Set("Content-Type", "application/json")
	if state["database"] != "ok" || state["redis"] != "ok" || s.draining.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	json.NewEncoder(w).Encode(state)
}
