package sms

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tuma/internal/phone"
	"tuma/sms/outbox"
)

// Route says which gateways numbers that begin with Prefix ("+254") may take, in
// order of preference. The longest prefix of a number counts.
type Route struct {
	Prefix   string
	Gateways []string
}

// Sender is who messages to numbers that begin with Prefix come from.
type Sender struct {
	Gateway string // "": any
	Prefix  string
	From    string
}

// routes are a relay's gateways and which numbers take which.
type routes struct {
	gates   []*gate // in order of preference
	byRoute []route // the longest prefix first, "" last
	senders []Sender
}

type route struct {
	prefix string
	gates  []*gate
}

// newRoutes checks that every name is a gateway's, and gives numbers without a
// route of their own all gateways.
func newRoutes(gates []*gate, list []Route, senders []Sender) (routes, error) {
	r := routes{gates: gates, senders: slices.Clone(senders)}
	named := map[string]*gate{}
	for _, g := range gates {
		if named[g.Name()] != nil || g.Name() == "" || strings.ContainsAny(g.Name(), ", ") {
			return r, fmt.Errorf("sms: gateway %q is there twice or has no good name", g.Name())
		}
		named[g.Name()] = g
	}
	for _, x := range append(slices.Clone(list), Route{Prefix: ""}) {
		if x.Prefix == "" && len(x.Gateways) == 0 {
			r.byRoute = append(r.byRoute, route{"", gates})
			continue
		}
		if err := goodPrefix(x.Prefix); err != nil || len(x.Gateways) == 0 {
			return r, cmp.Or(err, errors.New("sms: a route names no gateway"))
		}
		way := route{prefix: x.Prefix}
		for _, name := range x.Gateways {
			if named[name] == nil || slices.Contains(way.gates, named[name]) {
				return r, fmt.Errorf("sms: the route %s names %q, which is no gateway or is there twice", x.Prefix, name)
			}
			way.gates = append(way.gates, named[name])
		}
		if slices.ContainsFunc(r.byRoute, func(other route) bool { return other.prefix == x.Prefix }) {
			return r, fmt.Errorf("sms: there are two routes %s", x.Prefix)
		}
		r.byRoute = append(r.byRoute, way)
	}
	slices.SortFunc(r.byRoute, func(a, b route) int { return len(b.prefix) - len(a.prefix) })
	for _, s := range senders {
		if err := goodPrefix(s.Prefix); err != nil {
			return r, err
		}
		if s.Gateway != "" && named[s.Gateway] == nil || s.From == "" {
			return r, fmt.Errorf("sms: the sender of %s is empty, or for %q, which is no gateway", s.Prefix, s.Gateway)
		}
	}
	slices.SortStableFunc(r.senders, func(a, b Sender) int {
		return cmp.Or(len(b.Prefix)-len(a.Prefix), cmp.Compare(b.Gateway, a.Gateway)) // "" last
	})
	return r, nil
}

func goodPrefix(s string) error {
	if len(s) < 2 || len(s) > 16 || s[0] != '+' || strings.Trim(s[1:], "0123456789") != "" {
		return fmt.Errorf("sms: %q does not begin a number: +254", s)
	}
	return nil
}

// of is the way of a number: its gateways in order of preference.
func (r *routes) of(to phone.Number) []*gate {
	for _, x := range r.byRoute {
		if strings.HasPrefix(string(to), x.prefix) {
			return x.gates
		}
	}
	return nil
}

// from is who a message comes from; "": as the gateway is set up.
func (r *routes) from(gateway string, to phone.Number) string {
	for _, s := range r.senders {
		if (s.Gateway == "" || s.Gateway == gateway) && strings.HasPrefix(string(to), s.Prefix) {
			return s.From
		}
	}
	return ""
}

// order is what to lease now: n messages for a gateway, of some recipients.
type order struct {
	gate *gate
	n    int
	only *outbox.Only // nil: everybody
}

// orders says what to lease. Each route takes its first gateway that is sound,
// or has room for a probe: then the next sound one goes on with the rest.
func (r *routes) orders(now time.Time) (list []order) {
	for _, g := range r.gates {
		n := g.room(now)
		if n == 0 {
			continue
		}
		only := &outbox.Only{}
		all := true
		for _, x := range r.byRoute {
			mine := false
			for _, other := range x.gates {
				if mine = other == g; mine || other.sound(now) {
					break
				}
			}
			only.Prefixes, only.Open = append(only.Prefixes, x.prefix), append(only.Open, mine)
			all = all && mine
		}
		if all {
			only = nil
		} else if !slices.Contains(only.Open, true) {
			continue
		}
		list = append(list, order{g, n, only})
	}
	return list
}
