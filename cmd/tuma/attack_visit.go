package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"tuma/internal/db"
)

// visit is a browser at the portal.
type visit struct {
	cookie, form string
	uses         int
}

func (v *visit) header() http.Header {
	h := http.Header{}
	if v.cookie != "" {
		h.Set("Cookie", v.cookie)
	}
	return h
}

const sqlAttackVisit = `
insert into portal_session (token, operator, msisdn, staff, pin_at, factor_at, created_at, last_seen)
select $1, o.id, o.msisdn, null, p.changed_at, null, $3::timestamptz, $3 from operator o join pin p on p.id = o.pin where o.msisdn = $2
union all
select $1, null, '', f.staff, null, f.confirmed_at, $3, $3 from staff_factor f where f.staff = $2`

var formKeyShown = regexp.MustCompile(`name="form" value="([0-9a-f]+)"`)

// visit is a browser in which somebody is signed in, or nobody. Signing in has
// attacks of its own: here the session is put into the table.
func (w *attacker) visit(ctx context.Context, who string) (*visit, error) {
	if v := w.signed[who]; v != nil && v.uses < 400 {
		v.uses++
		return v, nil
	}
	v := &visit{}
	if who != "" {
		secret := fmt.Sprintf("%016x%016x", w.Uint64(), w.Uint64())
		sum := sha256.Sum256([]byte(secret))
		err := w.pool.InTx(ctx, func(tx *db.Tx) error {
			n, err := tx.Exec(ctx, sqlAttackVisit, hex.EncodeToString(sum[:]), who, tx.Now)
			if err == nil && n != 1 {
				err = fmt.Errorf("%s cannot be signed in", who)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		v.cookie = "__Host-tuma=" + secret
	}
	path := map[string]string{"": "/agents/in", demoMaker: "/agents/staff/float", demoChecker: "/agents/staff/float", demoCare: "/agents/staff/customer"}[who]
	if path == "" {
		path = "/agents/today"
	}
	status, page, header := shot{by: w.ours, method: "GET", base: w.byAddress, path: path, header: v.header()}.fire(ctx)
	m := formKeyShown.FindStringSubmatch(page)
	if m == nil && w.signed[who] != nil { // frozen since, by some junk
		return w.signed[who], nil
	}
	if m == nil {
		return nil, fmt.Errorf("%s has no form for %q: %d %.300q", path, who, status, page)
	}
	v.form = m[1]
	if who == "" {
		for _, c := range header.Values("Set-Cookie") {
			pair, _, _ := strings.Cut(c, ";")
			v.cookie = pair
		}
	}
	w.signed[who] = v
	return v, nil
}
