package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"slices"
	"time"

	"tuma/sms"
	"tuma/sms/outbox"
	"tuma/ussd"
)

// smppSettings are the account at a message centre for SMS.
type smppSettings struct {
	SMPPAddress    string `name:"smpp-address" env:"TUMA_SMPP_ADDRESS" placeholder:"HOST:PORT" help:"Message centre of the gateway smpp."`
	SMPPTLS        bool   `name:"smpp-tls" env:"TUMA_SMPP_TLS" help:"Speak TLS with the message centre."`
	SMPPSystemID   string `name:"smpp-system-id" env:"TUMA_SMPP_SYSTEM_ID" help:"Our name there."`
	SMPPPassword   string `name:"smpp-password" env:"TUMA_SMPP_PASSWORD" help:"Its password, at most 8 characters."`
	SMPPSystemType string `name:"smpp-system-type" env:"TUMA_SMPP_SYSTEM_TYPE" help:"System type, where the centre wants one."`
	SMPPFrom       string `name:"smpp-from" env:"TUMA_SMPP_FROM" help:"Short code, number or name that notices come from."`
	SMPPWindow     int    `name:"smpp-window" env:"TUMA_SMPP_WINDOW" default:"16" help:"Messages without an answer at a time."`
	SMPPSAR        bool   `name:"smpp-sar" env:"TUMA_SMPP_SAR" help:"Send long messages with SAR fields in place of a header in the text."`
	SMPPIDs        string `name:"smpp-ids" env:"TUMA_SMPP_IDS" enum:"same,hex-decimal,decimal-hex" default:"same" help:"How ids are given and then written in receipts: same, hex-decimal or decimal-hex."`
}

// ussdSMPPSettings are the account at a message centre for USSD.
type ussdSMPPSettings struct {
	USSDSMPPAddress    string `name:"ussd-smpp-address" env:"TUMA_USSD_SMPP_ADDRESS" placeholder:"HOST:PORT" help:"Message centre through which the network's USSD comes, and is pushed."`
	USSDSMPPTLS        bool   `name:"ussd-smpp-tls" env:"TUMA_USSD_SMPP_TLS" help:"Speak TLS with it."`
	USSDSMPPSystemID   string `name:"ussd-smpp-system-id" env:"TUMA_USSD_SMPP_SYSTEM_ID" help:"Our name there."`
	USSDSMPPPassword   string `name:"ussd-smpp-password" env:"TUMA_USSD_SMPP_PASSWORD" help:"Its password, at most 8 characters."`
	USSDSMPPSystemType string `name:"ussd-smpp-system-type" env:"TUMA_USSD_SMPP_SYSTEM_TYPE" help:"System type, where the centre wants one."`
	USSDSMPPProfile    string `name:"ussd-smpp-profile" env:"TUMA_USSD_SMPP_PROFILE" default:"standard" help:"How the network does it: standard, msisdn or opaque."`
}

// maxSMPPWindow is more than any centre allows.
const maxSMPPWindow = 1000

func (g gateways) checkUSSDSMPP() error {
	if g.USSDSMPPAddress == "" {
		return nil
	}
	_, err := ussd.ProfileOf(g.USSDSMPPProfile)
	if g.USSDSMPPSystemID == "" {
		err = errors.Join(err, errors.New("TUMA_USSD_SMPP_ADDRESS needs TUMA_USSD_SMPP_SYSTEM_ID and TUMA_USSD_SMPP_PASSWORD"))
	}
	if g.PushURL != "" {
		err = errors.Join(err, errors.New("TUMA_USSD_PUSH_URL and TUMA_USSD_SMPP_ADDRESS both push; set one of them"))
	}
	return err
}

// pusher is the network that can begin sessions; nil: there is none. Over SMPP it
// is a way in as well, which runs with the service.
func (c config) pusher(s *service) (ussd.Pusher, error) {
	g := c.gateways
	switch {
	case g.PushURL != "":
		return ussd.HTTPPush{URL: g.PushURL, Token: g.PushToken, Client: &http.Client{Timeout: 3 * time.Second}}, nil
	case g.USSDSMPPAddress == "":
		return nil, nil
	}
	profile, err := ussd.ProfileOf(g.USSDSMPPProfile)
	if err != nil {
		return nil, err
	}
	way, err := ussd.NewSMPP(ussd.SMPPOptions{
		Address: g.USSDSMPPAddress, TLS: tlsTo(g.USSDSMPPAddress, g.USSDSMPPTLS), SystemID: g.USSDSMPPSystemID, Password: g.USSDSMPPPassword,
		SystemType: g.USSDSMPPSystemType, Profile: profile, Country: c.country.Phone, Code: c.country.ServiceCode, Rand: rand.Reader, Log: c.log,
	})
	if err != nil {
		return nil, err
	}
	s.clients = append(s.clients, func(ctx context.Context) error { return way.Run(ctx, s.machine) })
	return way, nil
}

// pushes tells whether there is a network that can begin sessions.
func (g gateways) pushes() bool { return g.PushURL != "" || g.USSDSMPPAddress != "" }

func (g gateways) checkSMPP() error {
	if !slices.Contains(g.SMS, "smpp") {
		return nil
	}
	var errs []error
	if g.SMPPAddress == "" || g.SMPPSystemID == "" || g.SMPPFrom == "" {
		errs = append(errs, errors.New("smpp needs TUMA_SMPP_ADDRESS, TUMA_SMPP_SYSTEM_ID, TUMA_SMPP_PASSWORD and TUMA_SMPP_FROM"))
	}
	if g.SMPPWindow < 1 || g.SMPPWindow > maxSMPPWindow {
		errs = append(errs, errors.New("TUMA_SMPP_WINDOW is between 1 and 1000"))
	}
	return errors.Join(errs...)
}

// smppGateway makes the gateway and has it run with the service.
func (c config) smppGateway(s *service) (sms.Gateway, error) {
	g := c.gateways
	quirk := sms.IDQuirk(g.SMPPIDs)
	if g.SMPPIDs == "same" {
		quirk = sms.SameIDs
	}
	gateway, err := sms.NewSMPP(sms.SMPPOptions{
		Address: g.SMPPAddress, TLS: tlsTo(g.SMPPAddress, g.SMPPTLS), SystemID: g.SMPPSystemID, Password: g.SMPPPassword, SystemType: g.SMPPSystemType,
		From: g.SMPPFrom, Country: c.country.Phone, Window: g.SMPPWindow, SAR: g.SMPPSAR, IDs: quirk,
		Receive: func(ctx context.Context, in sms.Inbound) error { return s.inbox.Receive(ctx, in) },
		Report:  func(ctx context.Context, r outbox.Report) error { return outbox.Deliver(ctx, s.pool, r) },
		Key:     c.keys.session, Now: s.pool.Now, Rand: rand.Reader, Log: c.log,
	})
	if err != nil {
		return nil, err
	}
	s.clients = append(s.clients, gateway.Run)
	return gateway, nil
}

// tlsTo is how to speak TLS with a host; nil: in clear.
func tlsTo(address string, wanted bool) *tls.Config {
	if !wanted {
		return nil
	}
	host, _, _ := net.SplitHostPort(address) // its own constructor refuses a bad one
	return &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
}
