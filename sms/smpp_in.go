package sms

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tuma/internal/phone"
	"tuma/internal/smpp"
	"tuma/internal/text"
	"tuma/sms/outbox"
)

// What a message centre delivers: what people send, and receipts.

// deliver answers the centre only when what it delivered is kept, so that the
// centre delivers again what is not. Nothing of a text is logged.
func (g *SMPP) deliver(ctx context.Context, m smpp.Message) (status smpp.Status, then func()) {
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second) // centres wait 10 s
	defer cancel()
	defer func() {
		if p := recover(); p != nil { // its value may quote a text
			g.o.Log.ErrorContext(ctx, "sms: smpp: panic over a delivery")
			status = smpp.TemporaryError
		}
	}()
	var err error
	if r, ok := g.receipt(m); ok {
		if err = g.o.Report(ctx, r); errors.Is(err, outbox.ErrBadReport) {
			g.note(ctx, "a receipt cannot be read")
			err = nil
		}
	} else {
		err = g.take(ctx, m)
	}
	if err != nil {
		g.o.Log.ErrorContext(ctx, "sms: smpp: a delivery was not kept; the centre is asked to come again", slog.Any("error", err))
		return smpp.TemporaryError, nil
	}
	return smpp.OK, nil
}

func (g *SMPP) note(ctx context.Context, what string) {
	g.o.Log.WarnContext(ctx, "sms: smpp: a delivery was put aside", "why", what)
}

// take takes a message, or a part of one. What will never be one is taken, too:
// the centre would only deliver it again.
func (g *SMPP) take(ctx context.Context, m smpp.Message) error {
	from, ok := g.sender(m.Source)
	if _, ussd := m.TLV(smpp.TagUSSDServiceOp); ussd || !ok {
		g.note(ctx, "it comes from no phone number")
		return nil
	}
	p, ok := partOf(m)
	if !ok {
		g.note(ctx, "its header or coding is not understood")
		return nil
	}
	body, whole := g.inbound.add(m, p)
	if !whole {
		return nil
	}
	err := g.o.Receive(ctx, Inbound{Gateway: g.Name(), ID: g.identify.id(m, p), From: from, To: printable(m.Dest.Addr), Text: body})
	if errors.Is(err, ErrBadInbound) {
		g.note(ctx, "it is no message")
		err = nil
	}
	if err == nil {
		g.inbound.done(m, p)
	}
	return err
}

// sender reads who sent a message: centres write numbers in international form,
// without the plus sign, or as people of the country do.
func (g *SMPP) sender(a smpp.Address) (phone.Number, bool) {
	n, err := phone.Parse("+" + strings.TrimPrefix(a.Addr, "+"))
	if err != nil || a.TON == smpp.TONNational {
		if national, nationalErr := g.o.Country.Parse(a.Addr); nationalErr == nil {
			n, err = national, nil
		}
	}
	return n, err == nil
}

func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s)
}

// part is a message, or one of several.
type part struct {
	number   int // of the message they belong to
	nth, all int
	text     string
}

// maxInboundParts bounds a message; people send commands.
const maxInboundParts = 6

// partOf decodes a message's header and text.
func partOf(m smpp.Message) (p part, ok bool) {
	p, body := part{nth: 1, all: 1}, m.Body
	if m.ESMClass&esmHeader != 0 {
		if len(body) == 0 || int(body[0]) >= len(body) {
			return p, false
		}
		header := body[1 : 1+int(body[0])]
		body = body[1+int(body[0]):]
		for len(header) >= 2 {
			kind, n := header[0], int(header[1])
			if n > len(header)-2 {
				return p, false
			}
			switch v := header[2 : 2+n]; {
			case kind == 0 && n == 3:
				p.number, p.all, p.nth = int(v[0]), int(v[1]), int(v[2])
			case kind == 8 && n == 4:
				p.number, p.all, p.nth = int(binary.BigEndian.Uint16(v)), int(v[2]), int(v[3])
			}
			header = header[2+n:]
		}
	} else if number, sar := m.TLV(smpp.TagSARReference); sar {
		all, _ := m.TLV(smpp.TagSARTotal)
		nth, _ := m.TLV(smpp.TagSARSequence)
		if len(number) != 2 || len(all) != 1 || len(nth) != 1 {
			return p, false
		}
		p.number, p.all, p.nth = int(binary.BigEndian.Uint16(number)), int(all[0]), int(nth[0])
	}
	if p.all < 1 || p.nth < 1 || p.nth > p.all || p.all > maxInboundParts {
		return p, false
	}
	p.text, ok = decoded(m.Coding, body)
	return p, ok
}

// decoded reads a text by its data_coding.
func decoded(coding byte, body []byte) (string, bool) {
	switch {
	case coding == 0, coding&0xF0 == 0xF0 && coding&0x04 == 0:
		return text.FromSeptets(body), true
	case coding == 1, coding == 3: // ASCII and Latin 1
		runes := make([]rune, len(body))
		for i, c := range body {
			runes[i] = rune(c)
		}
		return string(runes), true
	case coding == codingUCS2:
		return text.FromUCS2(body), true
	}
	return "", false
}

// assembler keeps parts, in memory alone, until their message is whole: people's
// texts, with whatever is in them, are written nowhere. Parts that a process
// dies with are lost, and so is what never becomes whole.
type assembler struct {
	now func() time.Time

	mu      sync.Mutex
	pending map[string]*parts
}

type parts struct {
	since time.Time
	texts []string
	have  uint // a bit for each part
}

const (
	maxPending  = 256
	pendingLife = 10 * time.Minute
)

func newAssembler(now func() time.Time) *assembler {
	return &assembler{now: now, pending: map[string]*parts{}}
}

func (p part) key(m smpp.Message) string {
	return strings.Join([]string{m.Source.Addr, m.Dest.Addr, strconv.Itoa(p.number), strconv.Itoa(p.all)}, "\x00")
}

// add adds a part, and gives the message when it is whole.
func (a *assembler) add(m smpp.Message, p part) (body string, whole bool) {
	if p.all == 1 {
		return p.text, true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now, key := a.now(), p.key(m)
	oldest := ""
	for k, x := range a.pending {
		if now.Sub(x.since) > pendingLife {
			delete(a.pending, k)
		} else if oldest == "" || x.since.Before(a.pending[oldest].since) {
			oldest = k
		}
	}
	x := a.pending[key]
	if x == nil {
		if len(a.pending) >= maxPending {
			delete(a.pending, oldest)
		}
		x = &parts{since: now, texts: make([]string, p.all)}
		a.pending[key] = x
	}
	x.have |= 1 << (p.nth - 1)
	x.texts[p.nth-1] = p.text
	return strings.Join(x.texts, ""), x.have == 1<<p.all-1
}

// done forgets a message that has been taken.
func (a *assembler) done(m smpp.Message, p part) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.pending, p.key(m))
}

// identifier makes an id of a delivery, which has none of its own: a keyed hash
// of all that comes again when the centre did not hear that it was taken. So the
// same words from the same phone count once within a minute.
type identifier struct {
	key []byte
	now func() time.Time

	mu   sync.Mutex
	seen []sighting // oldest first
}

type sighting struct {
	hash [sha256.Size]byte
	id   string
	at   time.Time
}

const (
	sameWithin   = time.Minute
	maxSightings = 4096
)

func newIdentifier(key []byte, now func() time.Time) *identifier {
	return &identifier{key: slices.Clone(key), now: now}
}

// id is made of the minute, too, but within a process a minute begins with the
// first sighting.
func (x *identifier) id(m smpp.Message, p part) string {
	h := hmac.New(sha256.New, x.key)
	for _, field := range [][]byte{[]byte(m.Source.Addr), []byte(m.Dest.Addr), {m.ESMClass, m.Coding}, {byte(p.number >> 8), byte(p.number), byte(p.all)}, m.Body} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(field))))
		h.Write(field)
	}
	hash := [sha256.Size]byte(h.Sum(nil))
	x.mu.Lock()
	defer x.mu.Unlock()
	now := x.now()
	for len(x.seen) > 0 && (now.Sub(x.seen[0].at) > sameWithin || len(x.seen) >= maxSightings) {
		x.seen = x.seen[1:]
	}
	for _, s := range x.seen {
		if s.hash == hash {
			return s.id
		}
	}
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(now.Unix()/int64(sameWithin/time.Second))))
	id := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)[:20])
	x.seen = append(x.seen, sighting{hash, id, now})
	return id
}

// Receipts: "id:IIIII sub:001 dlvrd:001 submit date:2611251200 done
// date:2611251201 stat:DELIVRD err:000 text:...", or the same in optional fields.
var (
	receiptID    = regexp.MustCompile(`(?i)\bid:\s*([^\s]{1,64})`)
	receiptState = regexp.MustCompile(`(?i)\bstat:\s*([A-Z]{1,10})`)
	receiptError = regexp.MustCompile(`(?i)\berr:\s*([0-9A-Za-z]{1,10})`)
)

// receipt reads one; ok is false when the delivery is none.
func (g *SMPP) receipt(m smpp.Message) (r outbox.Report, ok bool) {
	kind := m.ESMClass & esmKinds
	id, hasID := m.TLV(smpp.TagReceiptedID)
	state, hasState := m.TLV(smpp.TagMessageState)
	if kind != esmReceipt && kind != esmProgress && !(hasID && hasState) {
		return r, false
	}
	r.Gateway = g.Name()
	words, _ := decoded(m.Coding, m.Body)
	if found := receiptID.FindStringSubmatch(words); found != nil {
		r.ID = g.o.IDs.receipted(found[1])
	}
	if hasID { // in these fields, ids are written as they were given
		r.ID = g.o.IDs.given(strings.TrimRight(string(id), "\x00"))
	}
	word := ""
	if found := receiptState.FindStringSubmatch(words); found != nil {
		word = strings.ToUpper(found[1])
	}
	if hasState && len(state) == 1 && int(state[0]) < len(smppStates) {
		word = smppStates[state[0]]
	}
	r.State = stateOf(word)
	if r.State == outbox.Failed {
		r.Code = word
		if found := receiptError.FindStringSubmatch(words); found != nil {
			r.Code += " " + found[1]
		}
	}
	return r, true
}

// smppStates are the words of message_state.
var smppStates = []string{"", "ENROUTE", "DELIVRD", "EXPIRED", "DELETED", "UNDELIV", "ACCEPTD", "UNKNOWN", "REJECTD", "SKIPPED"}

// stateOf is how far a message has got; 0: the word says nothing.
func stateOf(word string) outbox.State {
	switch word {
	case "DELIVRD":
		return outbox.Delivered
	case "EXPIRED", "DELETED", "UNDELIV", "REJECTD", "SKIPPED":
		return outbox.Failed
	case "ENROUTE", "ACCEPTD", "UNKNOWN", "BUFFERED":
		return outbox.OnItsWay
	}
	return 0
}

// given writes an id that came with a submission's answer the way that both
// sides can be compared in, and receipted one that stands in a receipt's text.
func (q IDQuirk) given(id string) string {
	if q == GivenInHex {
		return decimal(id, 16)
	}
	return decimalIf(q == ReceiptsInHex, id, 10)
}

func (q IDQuirk) receipted(id string) string {
	if q == ReceiptsInHex {
		return decimal(id, 16)
	}
	return decimalIf(q == GivenInHex, id, 10)
}

func decimalIf(wanted bool, id string, base int) string {
	if wanted {
		return decimal(id, base)
	}
	return id
}

// decimal rewrites an id; one that is no number stays as it is.
func decimal(id string, base int) string {
	n, ok := new(big.Int).SetString(id, base)
	if !ok || n.Sign() < 0 {
		return id
	}
	return n.String()
}
