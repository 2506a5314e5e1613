package main

import (
	"strings"
	"testing"
	"time"
)

// TestRedial: a payment was made, its answer was lost, Redis has forgotten the
// session, and the same request comes again, some time later. However the
// session came to the PIN, the money moves once.
func TestRedial(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	const asha, first = "+254712000001", "1*0712000002*100"
	for name, text := range map[string]string{
		"straight":                    first,
		"after a wrong PIN":           first + "*9035",
		"after a wrong amount":        "1*0712000002*abc*100",
		"back and forth":              "1*0712000003*0*0712000002*100",
		"home and the same once more": first + "*00*" + first,
		"asked whether it is meant":   first + "*1",
	} {
		t.Run(name, func(t *testing.T) {
			b.wait(3 * time.Minute) // out of the last one's "again?"
			session := strings.ReplaceAll(name, " ", "-")
			if strings.HasPrefix(name, "asked") {
				b.key(session+"-before", asha, first+"*"+demoPIN)
			}
			paid := b.key(session, asha, text+"*"+demoPIN)
			if paid.Screen != "send_done" {
				t.Fatalf("not paid: %+v", paid)
			}
			entries := len(journal(t, b.super))
			b.flush()
			b.wait(3 * time.Minute)
			seen, err := look(b.ask(session, asha, text+"*"+demoPIN))
			b.must(err)
			again := text + "*" + demoPIN
			for range 4 {
				switch seen.Screen {
				case "send_pin":
					again += "*" + demoPIN
				case "send_amount":
					again += "*100"
				case "send":
					again += "*0712000002"
				default:
					t.Logf("ends with %s", seen.Text)
					if n := len(journal(t, b.super)); n != entries {
						t.Errorf("%d entries, there were %d: paid twice", n, entries)
					}
					return
				}
				seen, err = look(b.ask(session, asha, again))
				b.must(err)
			}
			t.Errorf("came to no end: %+v", seen)
		})
	}
}

// key sends a session's answers one after the other and gives the last screen.
func (b *bank) key(session, number, text string) sight {
	b.t.Helper()
	seen, err := look(b.ask(session, number, ""))
	b.must(err)
	sofar := ""
	for i, in := range strings.Split(text, "*") {
		if i > 0 {
			sofar += "*"
		}
		sofar += in
		seen, err = look(b.ask(session, number, sofar))
		b.must(err)
	}
	return seen
}
