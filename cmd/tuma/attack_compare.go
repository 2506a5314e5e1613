package main

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Of the times of somebody who is known and of somebody who is not, the medians
// may differ by so much: less than a mobile network's own noise by far.
const tellTale = 5 * time.Millisecond

// compare asks the portal about who is known to it and who is not, in turns: the
// answers must have the same words, and take the same time.
func (a *attack) compare(ctx context.Context) error {
	w := a.attackers[0]
	if a.Timing == 0 {
		return nil
	}
	for _, q := range []struct {
		what, path, field, known, unknown string
		n                                 int
	}{
		{"operator signs in", "/agents/in", "number", "0" + w.operator[4:], "0739999999", a.Timing},
		{"staff sign in", "/agents/staff/in", "name", demoMaker, "nobodyy", a.Timing / 4},
	} {
		took := map[string][]time.Duration{}
		said := map[string]string{}
		for i := range q.n {
			if i%4 == 0 { // nobody may try so often
				if err := a.redis.FlushAll(ctx).Err(); err != nil {
					return err
				}
				delete(w.signed, "")
			}
			v, err := w.visit(ctx, "")
			if err != nil {
				return err
			}
			for _, who := range []string{q.known, q.unknown} {
				form := url.Values{"form": {v.form}, q.field: {who}, "password": {"not the password"}}
				s := shot{kind: "who is known", by: a.ours, method: "POST", base: a.byAddress, path: q.path, header: v.header(), body: form.Encode()}
				s.header.Set("Content-Type", formType)
				began := time.Now()
				r := s.send(ctx)
				took[who] = append(took[who], time.Since(began))
				a.judge(r)
				said[who] = fmt.Sprint(r.status) + sameForAll(strings.ReplaceAll(r.said, who, "WHO"))
			}
		}
		if said[q.known] != said[q.unknown] {
			a.result.found("who is known is told", "%s: %.2000q, else %.2000q", q.what, said[q.known], said[q.unknown])
		}
		known, unknown := medianTime(took[q.known]), medianTime(took[q.unknown])
		a.result.Medians[q.what+", known"], a.result.Medians[q.what+", unknown"] = known.Seconds()*1000, unknown.Seconds()*1000
		if q.n >= 100 && (known-unknown).Abs() > tellTale {
			a.result.found("who is known can be timed", "%s: %v and %v", q.what, known, unknown)
		}
	}
	return nil
}

var differsEachTime = regexp.MustCompile(`[0-9a-f]{32,}`)

// sameForAll leaves out what is drawn anew for each page.
func sameForAll(page string) string { return differsEachTime.ReplaceAllString(page, "TOKEN") }

func medianTime(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(d))[len(d)/2]
}
