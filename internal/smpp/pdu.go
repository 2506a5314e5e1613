// Package smpp speaks SMPP 3.4 as a client: the protocol's units (pdu.go), one
// connection (link.go) and a client that keeps one bound (client.go).
//
// It knows no business, no text and no alphabet: what a message says is bytes.
package smpp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Command is a unit's kind. A response has its request's, with the highest bit.
type Command uint32

// The commands that are understood.
const (
	GenericNack     Command = 0x80000000
	BindTransceiver Command = 0x00000009
	SubmitSM        Command = 0x00000004
	DeliverSM       Command = 0x00000005
	Unbind          Command = 0x00000006
	EnquireLink     Command = 0x00000015

	response Command = 0x80000000
)

// Response is the kind that answers c.
func (c Command) Response() Command { return c | response }

// Status is a response's verdict; 0 is well.
type Status uint32

// Verdicts that somebody here looks at or gives.
const (
	OK                Status = 0x00
	InvalidLength     Status = 0x02
	InvalidCommand    Status = 0x03
	InvalidBindStatus Status = 0x04
	SystemError       Status = 0x08
	BindFailed        Status = 0x0D
	InvalidPassword   Status = 0x0E
	InvalidSystemID   Status = 0x0F
	QueueFull         Status = 0x14
	SubmitFailed      Status = 0x45
	Throttled         Status = 0x58
	TemporaryError    Status = 0x64 // of the receiving application: try again
	PermanentError    Status = 0x65
)

func (s Status) String() string { return fmt.Sprintf("0x%02x", uint32(s)) }

// Bounds. A unit with the longest message there is has some thousand bytes.
const (
	headerLength = 16
	// MaxLength of a unit that is read or written.
	MaxLength = 16 << 10
	maxTLVs   = 64
	// MaxShort is the longest message that goes into the message's own field; a
	// longer one goes into a TLV.
	MaxShort = 254
)

// TLV is an optional field.
type TLV struct {
	Tag   uint16
	Value []byte
}

// Tags.
const (
	TagReceiptedID    uint16 = 0x001E
	TagSARReference   uint16 = 0x020C
	TagSARTotal       uint16 = 0x020E
	TagSARSequence    uint16 = 0x020F
	TagNetworkError   uint16 = 0x0423
	TagPayload        uint16 = 0x0424
	TagMessageState   uint16 = 0x0427
	TagUSSDServiceOp  uint16 = 0x0501
	TagITSSessionInfo uint16 = 0x1383
)

// Address is who sends or gets a message.
type Address struct {
	TON, NPI byte
	Addr     string
}

// Types of number, and numbering plans.
const (
	TONUnknown, TONInternational, TONNational, TONNetwork byte = 0, 1, 2, 3
	TONAlphanumeric                                       byte = 5
	NPIUnknown, NPIISDN                                   byte = 0, 1
)

// Message is the body of submit_sm and deliver_sm. A message in the TLV
// message_payload is decoded into Body, too.
type Message struct {
	ServiceType  string
	Source, Dest Address
	ESMClass     byte
	ProtocolID   byte
	Priority     byte
	Schedule     string
	Validity     string
	Registered   byte
	Replace      byte
	Coding       byte
	DefaultID    byte
	Body         []byte
	TLVs         []TLV
}

// TLV finds an optional field.
func (m Message) TLV(tag uint16) ([]byte, bool) {
	for _, t := range m.TLVs {
		if t.Tag == tag {
			return t.Value, true
		}
	}
	return nil, false
}

// Bind is the body of bind_transceiver.
type Bind struct {
	SystemID, Password, SystemType string
	Version                        byte
	Range                          Address
}

// PDU is one unit of the protocol. Which of the bodies it has follows from its
// command.
type PDU struct {
	Command  Command
	Status   Status
	Sequence uint32

	Bind    *Bind    // bind_transceiver
	Message *Message // submit_sm, deliver_sm
	ID      string   // their responses' message id, or a bind response's system id
	TLVs    []TLV    // of a response
}

// Lengths of strings, with their final zero.
const (
	lenSystemID, lenPassword, lenSystemType = 16, 9, 13
	lenService, lenAddress, lenRange        = 6, 21, 41
	lenTime                                 = 17
	lenID                                   = 256 // 65 in the book; some centres have longer ones
)

// Errors of decoding. They quote nothing.
var (
	ErrLength    = errors.New("smpp: a length that cannot be")
	errMalformed = errors.New("smpp: a malformed unit")
)

// Encode writes a unit.
func (p PDU) Encode() ([]byte, error) {
	w := writer{b: make([]byte, headerLength, 128)}
	switch p.Command {
	case BindTransceiver:
		b := p.Bind
		if b == nil {
			return nil, errMalformed
		}
		w.text(b.SystemID, lenSystemID)
		w.text(b.Password, lenPassword)
		w.text(b.SystemType, lenSystemType)
		w.b = append(w.b, b.Version, b.Range.TON, b.Range.NPI)
		w.text(b.Range.Addr, lenRange)
	case SubmitSM, DeliverSM:
		if p.Message == nil {
			return nil, errMalformed
		}
		w.message(*p.Message)
	case BindTransceiver.Response():
		w.text(p.ID, lenSystemID)
		w.tlvs(p.TLVs)
	case SubmitSM.Response(), DeliverSM.Response():
		w.text(p.ID, lenID)
		w.tlvs(p.TLVs)
	}
	if w.err != nil {
		return nil, w.err
	}
	if len(w.b) > MaxLength {
		return nil, ErrLength
	}
	for i, v := range []uint32{uint32(len(w.b)), uint32(p.Command), uint32(p.Status), p.Sequence} {
		binary.BigEndian.PutUint32(w.b[4*i:], v)
	}
	return w.b, nil
}

type writer struct {
	b   []byte
	err error
}

func (w *writer) text(s string, room int) {
	if len(s) >= room || bytes.IndexByte([]byte(s), 0) >= 0 {
		w.err = fmt.Errorf("smpp: a string does not fit its field of %d bytes", room)
		return
	}
	w.b = append(append(w.b, s...), 0)
}

func (w *writer) message(m Message) {
	w.text(m.ServiceType, lenService)
	for _, a := range []Address{m.Source, m.Dest} {
		w.b = append(w.b, a.TON, a.NPI)
		w.text(a.Addr, lenAddress)
	}
	w.b = append(w.b, m.ESMClass, m.ProtocolID, m.Priority)
	w.text(m.Schedule, lenTime)
	w.text(m.Validity, lenTime)
	w.b = append(w.b, m.Registered, m.Replace, m.Coding, m.DefaultID)
	tlvs := m.TLVs
	if len(m.Body) > MaxShort {
		w.b = append(w.b, 0)
		tlvs = append(tlvs[:len(tlvs):len(tlvs)], TLV{TagPayload, m.Body})
	} else {
		w.b = append(append(w.b, byte(len(m.Body))), m.Body...)
	}
	w.tlvs(tlvs)
}

func (w *writer) tlvs(list []TLV) {
	if len(list) > maxTLVs {
		w.err = ErrLength
		return
	}
	for _, t := range list {
		if len(t.Value) > MaxLength {
			w.err = ErrLength
			return
		}
		w.b = binary.BigEndian.AppendUint16(w.b, t.Tag)
		w.b = binary.BigEndian.AppendUint16(w.b, uint16(len(t.Value)))
		w.b = append(w.b, t.Value...)
	}
}

// Decode reads one whole unit. What it returns is no larger than what it got.
// Of a unit whose body is malformed it returns the header with the error, so
// that it can be refused by its number.
func Decode(b []byte) (PDU, error) {
	if len(b) < headerLength || len(b) > MaxLength || binary.BigEndian.Uint32(b) != uint32(len(b)) {
		return PDU{}, ErrLength
	}
	p := PDU{Command: Command(binary.BigEndian.Uint32(b[4:])), Status: Status(binary.BigEndian.Uint32(b[8:])), Sequence: binary.BigEndian.Uint32(b[12:])}
	head := p
	r := reader{b: b[headerLength:]}
	switch p.Command {
	case BindTransceiver:
		p.Bind = &Bind{SystemID: r.text(lenSystemID), Password: r.text(lenPassword), SystemType: r.text(lenSystemType), Version: r.byte()}
		p.Bind.Range = Address{TON: r.byte(), NPI: r.byte(), Addr: r.text(lenRange)}
	case SubmitSM, DeliverSM:
		m := r.message()
		p.Message = &m
	case BindTransceiver.Response(), SubmitSM.Response(), DeliverSM.Response():
		if len(r.b) == 0 {
			break // with an error there need not be a body
		}
		room := lenID
		if p.Command == BindTransceiver.Response() {
			room = lenSystemID
		}
		p.ID = r.text(room)
		p.TLVs = r.tlvs()
	case Unbind, Unbind.Response(), EnquireLink, EnquireLink.Response(), GenericNack:
		r.b = nil // some send a body; it has no meaning
	default:
		return head, nil
	}
	if r.bad || len(r.b) > 0 {
		return head, errMalformed
	}
	return p, nil
}

type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) text(room int) string {
	end := bytes.IndexByte(r.b[:min(len(r.b), room)], 0)
	if end < 0 {
		r.bad = true
		r.b = nil
		return ""
	}
	s := string(r.b[:end])
	r.b = r.b[end+1:]
	return s
}

func (r *reader) bytes(n int) []byte {
	if n > len(r.b) {
		r.bad = true
		r.b = nil
		return nil
	}
	c := bytes.Clone(r.b[:n])
	r.b = r.b[n:]
	return c
}

func (r *reader) message() Message {
	m := Message{ServiceType: r.text(lenService)}
	for _, a := range []*Address{&m.Source, &m.Dest} {
		*a = Address{TON: r.byte(), NPI: r.byte(), Addr: r.text(lenAddress)}
	}
	m.ESMClass, m.ProtocolID, m.Priority = r.byte(), r.byte(), r.byte()
	m.Schedule, m.Validity = r.text(lenTime), r.text(lenTime)
	m.Registered, m.Replace, m.Coding, m.DefaultID = r.byte(), r.byte(), r.byte(), r.byte()
	m.Body = r.bytes(int(r.byte()))
	for _, t := range r.tlvs() {
		if t.Tag == TagPayload && len(m.Body) == 0 {
			m.Body = t.Value
			continue
		}
		m.TLVs = append(m.TLVs, t)
	}
	return m
}

func (r *reader) tlvs() (list []TLV) {
	for len(r.b) > 0 && !r.bad {
		if len(r.b) < 4 || len(list) == maxTLVs {
			r.bad = true
			return nil
		}
		tag, n := binary.BigEndian.Uint16(r.b), binary.BigEndian.Uint16(r.b[2:])
		r.b = r.b[4:]
		list = append(list, TLV{tag, r.bytes(int(n))})
	}
	return list
}

// Read reads one unit from a connection. An error that is not errMalformed
// means that the connection is of no use any more.
func Read(r io.Reader) (PDU, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return PDU{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < headerLength || n > MaxLength {
		return PDU{}, ErrLength
	}
	b := make([]byte, n)
	copy(b, head[:])
	if _, err := io.ReadFull(r, b[4:]); err != nil {
		return PDU{}, err
	}
	return Decode(b)
}
