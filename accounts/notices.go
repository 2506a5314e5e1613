package accounts

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/internal/phone"
	"tuma/internal/text"
	"tuma/sms/outbox"
)

// noticeName is how much of a name a notice has room for.
const noticeName = 15

// Owed is a notice that an entry owes somebody. The entry's code, date, time
// and the balance of Account after it fill their holes when it is posted.
type Owed struct {
	Party   string // payer, payee, till: with the entry's number the notice's key
	To      phone.Number
	Lang    string
	Text    string // name in notices/*.txt
	Holes   text.Holes
	Account ledger.AccountID // whose balance is told
}

// Rider is what an entry of this service and of agents carries for the hooks.
type Rider struct {
	Owed     []Owed
	TopUp    *TopUp
	Approval int64 // that this entry settles, 0: none
}

// oweNotices writes the notices of a commit's entries into the outbox.
func (s *Service) oweNotices(posted []ledger.Accepted) (ledger.Also, error) {
	notices := make([]outbox.Notice, 0, 2*len(posted))
	h := text.Holes{} // one for all: there are hundreds of notices
	var stamp text.Holes
	var stamped time.Time
	for i := range posted {
		p := &posted[i]
		r := &p.Receipt
		if stamp == nil || !r.At.Equal(stamped) {
			stamp, stamped = s.stamp(r.At), r.At
		}
		rider, _ := p.Entry.Rider.(Rider)
		for _, o := range rider.Owed {
			clear(h)
			maps.Copy(s.common(h), stamp)
			maps.Copy(h, o.Holes)
			h["code"] = r.Code
			if balance, ok := r.After(o.Account); ok {
				h["balance"] = s.Money(balance)
			}
			body, err := fill(s.words, o.Lang, o.Text, h)
			if err != nil {
				return ledger.Also{}, fmt.Errorf("accounts: notice %s: %w", o.Text, err)
			}
			notices = append(notices, outbox.Notice{Key: strconv.FormatInt(int64(r.ID), 10) + ":" + o.Party, To: o.To, Lang: o.Lang, Body: body, Priority: outbox.Receipt})
		}
	}
	lot, err := outbox.Pack(notices)
	if err != nil || len(notices) == 0 {
		return ledger.Also{}, err
	}
	return ledger.Also{Carry: lot.Carry}, nil
}

// common adds what every notice may speak of.
func (s *Service) common(h text.Holes) text.Holes {
	h["brand"], h["service"], h["care"] = s.country.Brand, s.country.ServiceCode, s.country.Care
	return h
}

// stamp is an instant as customers read it: 22/11/26 and 9:15 AM.
func (s *Service) stamp(at time.Time) text.Holes {
	at = at.In(s.country.Zone)
	return text.Holes{"date": at.Format("2/1/06"), "time": at.Format("3:04 PM")}
}

// segment is what one SMS holds in septets, and leastName what is left of a name
// at least.
const (
	segment   = 160
	leastName = 8
)

// fill writes a notice. One that would take a second segment, because all its
// values are wide at once, has its name cut as far as that helps.
func fill(words *text.Catalogue, lang, name string, h text.Holes) (string, error) {
	body, err := words.Fill(lang, name, h)
	if err != nil {
		return "", err
	}
	n, _ := text.Septets(body)
	whole, named := h["name"]
	if room := len([]rune(whole)) - (n - segment); n > segment && named && room >= leastName {
		h["name"] = ShortName(whole, room)
		return words.Fill(lang, name, h)
	}
	return body, nil
}

// ShortName gives a name in at most n characters: whole words first, then
// initials for those that do not fit.
func ShortName(name string, n int) string {
	words := strings.Fields(name)
	short := ""
	for i, w := range words {
		if short != "" {
			w = " " + w
		}
		switch {
		case len([]rune(short+w)) <= n:
			short += w
		case i > 0 && len([]rune(short))+2 <= n:
			short += " " + string([]rune(words[i])[:1])
			return short
		case i == 0:
			return string([]rune(w)[:n])
		default:
			return short
		}
	}
	return short
}

// notify owes one notice outside an entry.
func (s *Service) notify(ctx context.Context, tx *db.Tx, key string, to phone.Number, lang, name string, h text.Holes, priority int) error {
	body, err := fill(s.words, lang, name, s.common(h))
	if err != nil {
		return fmt.Errorf("accounts: notice %s: %w", name, err)
	}
	s.wake.nudge()
	return outbox.WriteOnce(ctx, tx, []outbox.Notice{{Key: key, To: to, Lang: lang, Body: body, Priority: priority}})
}

// TellPINLocked tells the owner of a PIN that it is locked: whoever tried it may
// not be the owner. One notice a day is enough, however often it is locked.
func (s *Service) TellPINLocked(ctx context.Context, id PINID, to phone.Number, lang string) error {
	s.NoteBrake(ctx, BrakeEvent{Rule: "pin_locked", Subject: "phone:" + string(to), Detail: "three wrong tries"})
	return s.pool.InTx(ctx, func(tx *db.Tx) error {
		key := fmt.Sprintf("pin_locked:%d:%s", id, s.book.Day(tx.Now).Format(time.DateOnly))
		return s.notify(ctx, tx, key, to, lang, "pin_locked", text.Holes{}, outbox.Receipt)
	})
}

// ChangePIN replaces a customer's PIN and tells them by SMS.
func (s *Service) ChangePIN(ctx context.Context, c Customer, sealed SealedPIN) error {
	return s.ChangePINOf(ctx, c.PIN, c.Phone, c.Lang, sealed)
}

// ChangePINOf does the same for anybody else with a PIN: operators.
func (s *Service) ChangePINOf(ctx context.Context, id PINID, to phone.Number, lang string, sealed SealedPIN) error {
	return s.pool.InTx(ctx, func(tx *db.Tx) error {
		if err := s.pins.setIn(ctx, tx, id, sealed); err != nil {
			return err
		}
		key := fmt.Sprintf("pin:%d:%d", id, tx.Now.UnixMicro())
		return s.notify(ctx, tx, key, to, lang, "pin_changed", s.stamp(tx.Now), outbox.Receipt)
	})
}
