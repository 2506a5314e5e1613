package portal

import (
	"strconv"
	"strings"
	"time"

	"tuma/internal/phone"
)

// age is how long ago something was.
func (p *portal) age(lang string, at time.Time) (string, error) {
	return p.span(lang, max(p.Pool.Now().Sub(at), 0))
}

// span is a time in the largest unit of which there are two at least.
func (p *portal) span(lang string, d time.Duration) (string, error) {
	word, n := "age.minutes", int64(d/time.Minute)
	switch {
	case d >= 48*time.Hour:
		word, n = "age.days", int64(d/(24*time.Hour))
	case d >= 2*time.Hour:
		word, n = "age.hours", int64(d/time.Hour)
	}
	return p.fill(lang, word, "n", strconv.FormatInt(n, 10))
}

// person writes somebody whom the log names, operator:+254722000001, as people do.
func (p *portal) person(actor string) string {
	kind, number, ok := strings.Cut(actor, ":+")
	if !ok {
		return actor
	}
	if n, err := phone.Parse("+" + number); err == nil {
		return kind + " " + p.Accounts.Country().Phone.National(n)
	}
	return actor
}
