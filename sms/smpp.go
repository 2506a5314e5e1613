package sms

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"strings"
	"time"

	"tuma/internal/phone"
	"tuma/internal/smpp"
	"tuma/internal/text"
	"tuma/sms/outbox"
)

// SMPPOptions say which message centre sends, as whom, and who hears what it
// delivers. Address, SystemID, From, Country, Receive, Report, Key, Now, Rand
// and Log are required.
type SMPPOptions struct {
	Address    string // host:port
	TLS        *tls.Config
	SystemID   string
	Password   string
	SystemType string
	From       string // short code, number or name (at most 11 letters and digits)
	Country    phone.Country
	Window     int           // messages without an answer at a time; 16
	Timeout    time.Duration // of one answer; 10 s

	// SAR sends long messages with the three SAR fields in place of a header in
	// the text, for centres that want it so.
	SAR bool
	// IDs says how the ids in receipts are written when they differ from those
	// that were given: "" not at all, or one of the other two.
	IDs IDQuirk

	Receive func(ctx context.Context, in Inbound) error
	Report  func(ctx context.Context, r outbox.Report) error
	Key     []byte // hashes what a delivery is recognised by
	Now     func() time.Time
	Rand    io.Reader // spreads the waits between two connections
	Log     *slog.Logger
}

// IDQuirk is how a centre's receipts write the ids that it gave.
type IDQuirk string

// The quirks.
const (
	SameIDs       IDQuirk = ""
	GivenInHex    IDQuirk = "hex-decimal" // given in hexadecimal digits, in receipts decimal
	ReceiptsInHex IDQuirk = "decimal-hex" // the other way round
)

// SMPP sends through a message centre over SMPP 3.4, on one connection that Run
// keeps. A message that was written and not answered leaves a doubt.
type SMPP struct {
	o        SMPPOptions
	client   *smpp.Client
	from     smpp.Address
	inbound  *assembler
	identify *identifier
}

// NewSMPP checks the options; Run connects.
func NewSMPP(o SMPPOptions) (*SMPP, error) {
	if o.Receive == nil || o.Report == nil || o.Now == nil || len(o.Key) < 16 {
		return nil, errors.New("sms: smpp: receive, report, now and a key are required")
	}
	if o.IDs != SameIDs && o.IDs != GivenInHex && o.IDs != ReceiptsInHex {
		return nil, fmt.Errorf("sms: smpp: no quirk of ids is called %q", o.IDs)
	}
	g := &SMPP{o: o, inbound: newAssembler(o.Now), identify: newIdentifier(o.Key, o.Now)}
	var err error
	if g.from, err = smppSource(o.From); err != nil {
		return nil, err
	}
	g.client, err = smpp.New(smpp.Options{
		Address: o.Address, TLS: o.TLS, SystemID: o.SystemID, Password: o.Password, SystemType: o.SystemType,
		Window: o.Window, Timeout: o.Timeout, Rand: o.Rand, Log: o.Log, Deliver: g.deliver,
	})
	return g, err
}

// Name is "smpp".
func (*SMPP) Name() string { return "smpp" }

// Run keeps the connection until ctx ends, then says goodbye.
func (g *SMPP) Run(ctx context.Context) error { return g.client.Run(ctx) }

// maxShortCode is the longest number without a plus sign that is taken for a
// short code.
const maxShortCode = 8

// smppSource is who a message comes from, as SMPP writes it.
func smppSource(from string) (smpp.Address, error) {
	digits := strings.TrimPrefix(from, "+")
	switch {
	case digits == "" || len(from) > 16:
	case strings.Trim(digits, "0123456789") == "" && digits == from && len(from) <= maxShortCode:
		return smpp.Address{TON: smpp.TONNetwork, NPI: smpp.NPIUnknown, Addr: from}, nil
	case strings.Trim(digits, "0123456789") == "":
		return smpp.Address{TON: smpp.TONInternational, NPI: smpp.NPIISDN, Addr: digits}, nil
	case len(from) <= 11 && strings.IndexFunc(from, func(c rune) bool { return c < ' ' || c > '~' }) < 0:
		return smpp.Address{TON: smpp.TONAlphanumeric, NPI: smpp.NPIUnknown, Addr: from}, nil
	}
	return smpp.Address{}, errors.New("sms: smpp: a sender is a short code, a number, or a name of at most 11 characters")
}

// Kinds and codings.
const (
	esmHeader   = 0x40 // the text begins with a header
	esmKinds    = 0x3C
	esmReceipt  = 0x04
	esmProgress = 0x20 // a report on the way
	codingUCS2  = 8
)

// Send hands over the parts of a message, one after the other. A receipt is
// asked for the last one, whose id is the message's. The parts' common number
// follows from the notice's key, so that the parts of another try, after some
// were taken, complete the first one's on the phone.
func (g *SMPP) Send(ctx context.Context, m Message) (Sent, error) {
	from := g.from
	if m.From != "" {
		var err error
		if from, err = smppSource(m.From); err != nil {
			return Sent{}, &SendError{Gateway: g.Name(), Retry: true, Err: err}
		}
	}
	parts, wide := text.Parts(m.Body)
	if len(parts) > 255 {
		return Sent{}, &SendError{Gateway: g.Name(), Err: errors.New("the message is too long")}
	}
	sum := fnv.New32a()
	io.WriteString(sum, m.Key)
	number := byte(sum.Sum32())
	var id string
	for i, part := range parts {
		p := smpp.Message{
			Source: from, Dest: smpp.Address{TON: smpp.TONInternational, NPI: smpp.NPIISDN, Addr: strings.TrimPrefix(string(m.To), "+")},
			Validity: smppValidity(m.Valid), Body: part,
		}
		if wide {
			p.Coding = codingUCS2
		}
		if i == len(parts)-1 {
			p.Registered = 1
		}
		switch {
		case len(parts) == 1:
		case g.o.SAR:
			p.TLVs = []smpp.TLV{{Tag: smpp.TagSARReference, Value: []byte{0, number}}, {Tag: smpp.TagSARTotal, Value: []byte{byte(len(parts))}},
				{Tag: smpp.TagSARSequence, Value: []byte{byte(i + 1)}}}
		default:
			p.ESMClass = esmHeader
			p.Body = append([]byte{5, 0, 3, number, byte(len(parts)), byte(i + 1)}, part...)
		}
		var err error
		if id, err = g.client.Submit(ctx, p); err != nil {
			return Sent{}, g.classify(err)
		}
	}
	return Sent{ID: g.o.IDs.given(id)}, nil
}

// maxSMPPValidity is a relative time that every centre takes.
const maxSMPPValidity = 72 * time.Hour

// smppValidity writes a period from now, "" for the centre's own.
func smppValidity(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	s := int(min(max(d, time.Second), maxSMPPValidity) / time.Second)
	return fmt.Sprintf("0000%02d%02d%02d%02d000R", s/86400, s/3600%24, s/60%60, s%60)
}

// Waits that a verdict asks for.
const (
	throttledWait = time.Second
	queueFullWait = 20 * time.Second
)

// classify says what a failed submission means: without a verdict, unknown if
// it was written. Of the verdicts only those about the recipient are final;
// throttling, a full queue and all that our account or the centre may be to
// blame for are tried again.
func (g *SMPP) classify(err error) *SendError {
	e := &SendError{Gateway: g.Name(), Retry: true, Err: err}
	verdict, ok := errors.AsType[*smpp.Error](err)
	if !ok {
		e.Unknown = true
		return e
	}
	e.Code, e.Unknown = int(verdict.Status), verdict.Unknown
	switch verdict.Status {
	case smpp.OK:
	case smpp.Throttled:
		e.Wait = throttledWait
	case smpp.QueueFull:
		e.Wait = queueFullWait
	case 0x01, 0x0B: // the message's length, the recipient's address
		e.Retry = false
	}
	return e
}
