package ussd

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"tuma/internal/phone"
	"tuma/internal/smpp"
	"tuma/internal/text"
)

// USSD over SMPP 3.4, straight from a network.
//
// What a phone dials comes as deliver_sm of the service type USSD, with
// ussd_service_op 1 (PSSR indication); we answer with a submit_sm, either 2
// (USSR request: the session goes on, and the next answer comes as 18, USSR
// confirm) or 17 (PSSR response: it ends). A session that we begin starts with a
// USSR request of ours. Everything else differs from network to network and is
// in a Profile.

// The operations, values of the TLV ussd_service_op.
const (
	opPSSDIndication byte = 0
	opPSSRIndication byte = 1
	opUSSRRequest    byte = 2
	opUSSNRequest    byte = 3
	opPSSRResponse   byte = 17
	opUSSRConfirm    byte = 18
	opUSSNConfirm    byte = 19
)

// SessionInfo is what a network does with the TLV its_session_info.
type SessionInfo string

// What it may be.
const (
	NoInfo     SessionInfo = "none"   // not there: a session is known by the phone's number
	NumberInfo SessionInfo = "number" // the book's: a session's number, the unit's in seven bits, and a bit that ends the session
	OpaqueInfo SessionInfo = "opaque" // the session's name, to be said back as it is
)

// Profile is how one network does it.
type Profile struct {
	Name        string
	ServiceType string
	Info        SessionInfo
	Sequenced   bool   // NumberInfo: units have different numbers, so one that comes again is recognised by it
	End         byte   // operation of a last screen
	Coding      byte   // data_coding of the GSM alphabet
	WideCoding  byte   // and of UCS-2
	Abort       []byte // operations that say that a session has broken off
}

// Profiles are those that there are.
func Profiles() []Profile {
	return []Profile{
		// As the book says.
		{Name: "standard", ServiceType: "USSD", Info: NumberInfo, Sequenced: true, End: opPSSRResponse, WideCoding: 8},
		// Networks that know a session by its phone alone, and end it with a notification.
		{Name: "msisdn", ServiceType: "USSD", Info: NoInfo, End: opUSSNRequest, WideCoding: 8},
		// Gateways that use the field as a name of their own, and write texts in
		// the coding scheme of cell broadcast, as USSD itself does.
		{Name: "opaque", ServiceType: "USSD", Info: OpaqueInfo, End: opPSSRResponse, Coding: 0x0F, WideCoding: 0x48, Abort: []byte{32, 33}},
	}
}

// ProfileOf finds a profile by its name.
func ProfileOf(name string) (Profile, error) {
	var names []string
	for _, p := range Profiles() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Profile{}, fmt.Errorf("ussd: no SMPP profile is called %q; there are %s", name, strings.Join(names, ", "))
}

// SMPPOptions say which centre to bind to. All but TLS, Password, SystemType and
// Timeout are required.
type SMPPOptions struct {
	Address    string
	TLS        *tls.Config
	SystemID   string
	Password   string
	SystemType string
	Profile    Profile
	Country    phone.Country
	Code       string // what is dialled, "*334#"
	Timeout    time.Duration
	Rand       io.Reader // spreads the waits between two connections
	Log        *slog.Logger
}

// SMPP is a network's way in, and a Pusher.
type SMPP struct {
	o       SMPPOptions
	client  *smpp.Client
	machine atomic.Pointer[Machine] // nil before Run
}

// Sessions under way at a time on one connection, and screens without an answer.
const (
	smppWorkers = 256
	smppWindow  = 64
)

// NewSMPP checks the options; Run connects.
func NewSMPP(o SMPPOptions) (*SMPP, error) {
	if o.Profile.Name == "" || o.Code == "" {
		return nil, errors.New("ussd: smpp needs a profile and a service code")
	}
	s := &SMPP{o: o}
	var err error
	s.client, err = smpp.New(smpp.Options{
		Address: o.Address, TLS: o.TLS, SystemID: o.SystemID, Password: o.Password, SystemType: o.SystemType,
		Window: smppWindow, Workers: smppWorkers, Timeout: o.Timeout, Rand: o.Rand, Log: o.Log, Deliver: s.deliver,
	})
	return s, err
}

// Name implements Pusher; it is in refs.
func (*SMPP) Name() string { return "smpp" }

// Run answers the network's phones until ctx ends.
func (s *SMPP) Run(ctx context.Context, m *Machine) error {
	s.machine.Store(m)
	return s.client.Run(ctx)
}

// unit is a deliver_sm, read.
type unit struct {
	from    phone.Number
	back    smpp.Message // where the answer goes
	text    string
	first   bool
	over    bool   // the session has ended on the phone
	quiet   bool   // it wants no answer
	info    []byte // its_session_info as it came
	session string // what info says of the session; "" when it is known by the number
	token   string
}

// read decodes a delivery. It quotes nothing.
func (s *SMPP) read(m smpp.Message) (unit, error) {
	p := s.o.Profile
	u := unit{back: smpp.Message{ServiceType: p.ServiceType, Source: m.Dest, Dest: m.Source}}
	op, has := m.TLV(smpp.TagUSSDServiceOp)
	if m.ServiceType != p.ServiceType && !has || has && len(op) != 1 {
		return u, errors.New("it is no USSD")
	}
	var err error
	if u.from, err = phone.Parse("+" + strings.TrimPrefix(m.Source.Addr, "+")); err != nil {
		if u.from, err = s.o.Country.Parse(m.Source.Addr); err != nil {
			return u, errors.New("it comes from no phone number")
		}
	}
	switch m.Coding {
	case p.WideCoding, 8, 0x48:
		u.text = text.FromUCS2(m.Body)
	default:
		u.text = text.FromSeptets(m.Body)
	}
	info, _ := m.TLV(smpp.TagITSSessionInfo)
	if err := u.place(p, info); err != nil {
		return u, err
	}
	switch {
	case !has:
		u.first = strings.HasPrefix(u.text, "*") // no answer of our menus does
	case op[0] == opPSSRIndication, op[0] == opPSSDIndication:
		u.first = true
	case op[0] == opUSSRConfirm:
	case op[0] == opUSSNConfirm:
		u.quiet = true
	case slices.Contains(p.Abort, op[0]):
		u.over = true
	default:
		return u, errors.New("its operation is not one that a phone begins")
	}
	return u, nil
}

// place reads its_session_info.
func (u *unit) place(p Profile, info []byte) error {
	u.info = info
	switch {
	case p.Info == NoInfo:
		u.info = nil
	case p.Info == NumberInfo && len(info) == 2:
		u.session = hex.EncodeToString(info[:1])
		u.over = info[1]&1 == 1
		if p.Sequenced {
			u.token = strconv.Itoa(int(info[1] >> 1))
		}
	case p.Info == OpaqueInfo && len(info) > 0 && len(info) <= 8:
		u.session = hex.EncodeToString(info)
	default:
		return errors.New("its its_session_info does not fit the profile")
	}
	return nil
}

// answer is the submit_sm that shows a screen.
func (p Profile) answer(back smpp.Message, info []byte, r Reply) smpp.Message {
	m, op := back, opUSSRRequest
	if r.End {
		op = p.End
	}
	m.Coding = p.Coding
	var plain bool
	if m.Body, plain = text.ToSeptets(r.Text); !plain {
		m.Body, m.Coding = text.ToUCS2(r.Text), p.WideCoding
	}
	m.TLVs = []smpp.TLV{{Tag: smpp.TagUSSDServiceOp, Value: []byte{op}}}
	if p.Info == NumberInfo {
		last := (info[1]>>1 + 1) << 1
		if r.End {
			last |= 1
		}
		info = []byte{info[0], last}
	}
	if p.Info != NoInfo {
		m.TLVs = append(m.TLVs, smpp.TLV{Tag: smpp.TagITSSessionInfo, Value: info})
	}
	return m
}

// deliver answers the network at once and the phone after that, since a network
// may want it in this order.
func (s *SMPP) deliver(ctx context.Context, m smpp.Message) (smpp.Status, func()) {
	machine := s.machine.Load()
	u, err := s.read(m)
	if err != nil {
		s.o.Log.WarnContext(ctx, "ussd: smpp: a delivery was refused", slog.Any("err", err))
		return smpp.PermanentError, nil
	}
	if u.quiet {
		return smpp.OK, nil
	}
	return smpp.OK, func() {
		session, err := machine.smppSession(ctx, u)
		if err != nil {
			s.o.Log.ErrorContext(ctx, "ussd: smpp: whose session it is", slog.Any("err", err))
			s.show(ctx, s.o.Profile.answer(u.back, u.info, machine.sorry("")))
			return
		}
		if u.over {
			machine.Drop(ctx, s.Name(), session, u.from)
			return
		}
		reply := machine.Answer(ctx, Request{
			Gateway: s.Name(), Session: session, From: u.from, ServiceCode: s.o.Code, Text: u.text, Latest: true, First: u.first, Token: u.token,
		})
		s.show(ctx, s.o.Profile.answer(u.back, u.info, reply))
	}
}

// Tries of showing a screen that the network throttles.
const (
	showTries = 3
	showPause = 300 * time.Millisecond
)

// show sends a screen. When it is not taken, the phone's own patience ends the
// session, and the next dial offers to go on.
func (s *SMPP) show(ctx context.Context, m smpp.Message) error {
	var err error
	for range showTries {
		if _, err = s.client.Submit(ctx, m); err == nil {
			return nil
		}
		verdict, _ := errors.AsType[*smpp.Error](err)
		if verdict == nil || verdict.Status != smpp.Throttled && verdict.Status != smpp.QueueFull {
			break
		}
		pause := time.NewTimer(showPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		pause.Stop()
	}
	s.o.Log.WarnContext(ctx, "ussd: smpp: a screen was not shown", slog.Any("err", err))
	return err
}

// Push implements Pusher: a USSR request. The answers have the phone's number
// and what its_session_info we gave; that they belong to this session is noted
// in Redis before. A phone that is in a session of ours is not asked: networks
// refuse it, but where only the number says which session it is, an answer to
// one screen could be taken for an answer to the other.
func (s *SMPP) Push(ctx context.Context, p Push) error {
	m := s.machine.Load()
	if m == nil {
		return &smpp.Error{Err: smpp.ErrNotBound}
	}
	busy, err := m.busy(ctx, p.To)
	if err == nil && busy {
		err = errors.New("ussd: push: the phone is in a session")
	}
	if err != nil {
		return err
	}
	number, err := strconv.ParseInt(strings.TrimPrefix(p.Session, "push-"), 10, 64)
	if err != nil {
		return fmt.Errorf("ussd: push: %q is no session that we begin", p.Session)
	}
	info := binary.BigEndian.AppendUint16(nil, uint16(number))
	u := unit{from: p.To}
	if s.o.Profile.Info == NumberInfo {
		info = []byte{byte(number), 0xFE} // before the first unit, which has the number 0
	}
	if err := u.place(s.o.Profile, info); err != nil {
		return err
	}
	if err := m.notePush(ctx, u, p.Session); err != nil {
		return err
	}
	back := smpp.Message{
		ServiceType: s.o.Profile.ServiceType, Source: smpp.Address{Addr: strings.Trim(s.o.Code, "*#")},
		Dest: smpp.Address{TON: smpp.TONInternational, NPI: smpp.NPIISDN, Addr: strings.TrimPrefix(string(p.To), "+")},
	}
	if err := s.show(ctx, s.o.Profile.answer(back, info, Reply{Text: p.Text})); err != nil {
		return fmt.Errorf("ussd: push: %w", err)
	}
	return nil
}

// pushedKey finds the session that was pushed to a phone.
func pushedKey(n phone.Number) string { return "ussd:pushed:" + string(n) }

func (m *Machine) notePush(ctx context.Context, u unit, session string) error {
	if err := m.sessions.redis.Set(ctx, pushedKey(u.from), u.session+" "+session, sessionLifetime).Err(); err != nil {
		return fmt.Errorf("ussd: noting a push: %w", err)
	}
	return nil
}

// smppSession is the name of a unit's session. It has no number in clear,
// because it stands in logs and refs. What a phone dials is a session of its
// own, whatever had been pushed before.
func (m *Machine) smppSession(ctx context.Context, u unit) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	own := hex.EncodeToString(m.sessions.hash("smpp", string(u.from))[:8])
	if u.session != "" {
		own += "-" + u.session
	}
	if u.first {
		return own, m.sessions.redis.Del(ctx, pushedKey(u.from)).Err()
	}
	pushed, err := m.sessions.redis.Get(ctx, pushedKey(u.from)).Result()
	if errors.Is(err, redis.Nil) {
		return own, nil
	}
	if info, name, ok := strings.Cut(pushed, " "); ok && info == u.session {
		return name, err
	}
	return own, err
}

// phonePatience is how long a phone's session may wait for an answer.
const phonePatience = 3 * time.Minute

// busy tells whether a phone is in a session, as far as we know.
func (m *Machine) busy(ctx context.Context, n phone.Number) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*redisTimeout)
	defer cancel()
	var l line
	var ses session
	found, err := m.sessions.get(ctx, "ussd:line:"+string(n), &l)
	if found && err == nil {
		found, err = m.sessions.get(ctx, "ussd:session:"+l.Session, &ses)
	}
	if err != nil || !found || ses.Closed || len(ses.Steps) == 0 {
		return false, err
	}
	dropped, err := m.sessions.redis.Exists(ctx, "ussd:dropped:"+l.Session).Result()
	last := ses.Steps[len(ses.Steps)-1].At
	return dropped == 0 && m.now().UnixMilli()-last < phonePatience.Milliseconds(), err
}
