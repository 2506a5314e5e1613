// Package callers says who may call back. Gateways of USSD and SMS that sign
// nothing are known by their address, by a secret in the path, or by both.
package callers

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// MinSecret is the least length of a secret in the path, in bytes: enough for
// 128 bits in hexadecimal digits would be 32; with letters 22.
const MinSecret = 22

// Callers say who may speak to us.
type Callers struct {
	// Allow lists the addresses that may call. Empty: any, and then Secret must be set.
	Allow []netip.Prefix
	// TrustedProxies are addresses of our own whose X-Forwarded-For is believed
	// (its last entry that is not one of them). Nobody else's is read.
	TrustedProxies []netip.Prefix
	// Secret, when set, must follow in the path, as its value {secret}.
	Secret string
	// OldSecret, when set, is still good, too, while gateways change over.
	OldSecret string
}

// Check gives an error where anybody could call, or a secret could be guessed or
// needs escapes in a path.
func (c Callers) Check() error {
	switch {
	case len(c.Allow) == 0 && c.Secret == "":
		return errors.New("a list of allowed addresses or a secret is needed")
	case !sound(c.Secret) || !sound(c.OldSecret) || c.Secret == "" && c.OldSecret != "":
		return fmt.Errorf("the secret must have at least %d letters and digits", MinSecret)
	}
	return nil
}

func sound(secret string) bool {
	return secret == "" || len(secret) >= MinSecret && url.PathEscape(secret) == secret
}

// Admit tells whether a request comes from who may call.
func (c Callers) Admit(r *http.Request) bool {
	if c.Secret != "" {
		// Hashes have one length, so that the time tells nothing about the secret's.
		given, right := sha256.Sum256([]byte(r.PathValue("secret"))), 0
		for _, secret := range []string{c.Secret, c.OldSecret} {
			want := sha256.Sum256([]byte(secret))
			right |= subtle.ConstantTimeCompare(given[:], want[:])
		}
		if right != 1 || r.PathValue("secret") == "" { // there may be no old one
			return false
		}
	}
	if len(c.Allow) == 0 {
		return true
	}
	from, ok := c.from(r)
	return ok && within(c.Allow, from)
}

// from is who called: the TCP peer, or, when that is a proxy of ours, the address
// that the nearest foreign one is said to have.
func (c Callers) from(r *http.Request) (netip.Addr, bool) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(host)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; err == nil && i >= 0 && within(c.TrustedProxies, addr); i-- {
		addr, err = netip.ParseAddr(strings.TrimSpace(hops[i]))
	}
	return addr, err == nil
}

func within(list []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, p := range list {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
