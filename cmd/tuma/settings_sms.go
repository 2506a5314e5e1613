package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tuma/sms"
)

// smsSettings say which gateways send, to whom, from whom and how fast.
type smsSettings struct {
	SMS         []string `name:"sms" env:"TUMA_SMS" default:"log" placeholder:"NAME,..." help:"SMS gateways in order of preference: twilio, smpp; or log (writes that a notice is due, sends nothing)."`
	SMSRoutes   []string `name:"sms-routes" env:"TUMA_SMS_ROUTES" placeholder:"+254=NAME/NAME,..." help:"Gateways of numbers that begin with a prefix, where they do not take all in the order of TUMA_SMS."`
	SMSSenders  []string `name:"sms-senders" env:"TUMA_SMS_SENDERS" placeholder:"[NAME:]+254=SENDER,..." help:"Sender ids of a country, where they differ from the gateway's own."`
	SMSRates    []string `name:"sms-rates" env:"TUMA_SMS_RATES" placeholder:"NAME=N,..." help:"Messages a second that a gateway is given by this process."`
	SMSDoubts   int      `name:"sms-doubts" env:"TUMA_SMS_DOUBTS" default:"3" help:"Tries whose outcome is unknown before a notice is given up: each may be one SMS more."`
	SMSFailover bool     `name:"sms-failover-doubts" env:"TUMA_SMS_FAILOVER_DOUBTS" help:"Let another gateway try after an unknown outcome, too."`
}

// smsNames are the gateways that there are.
var smsNames = []string{"log", "smpp", "twilio"}

// smsGateway makes the gateway of a name.
func (c config) smsGateway(s *service, name string) (sms.Gateway, error) {
	g := c.gateways
	switch name {
	case "log":
		return sms.NewLog(c.log), nil
	case "smpp":
		return c.smppGateway(s)
	case "twilio":
		o := sms.TwilioOptions{AccountSID: g.TwilioSID, Password: g.TwilioToken, From: g.TwilioFrom, BaseURL: g.TwilioURL}
		if strings.HasPrefix(g.TwilioFrom, "MG") {
			o.From, o.MessagingService = "", g.TwilioFrom
		}
		return sms.NewTwilio(o)
	}
	return nil, fmt.Errorf("there is no SMS gateway %q", name)
}

// relayOptions make a relay's gateways, routes, senders and rates of the settings.
func (c config) relayOptions(s *service) (o sms.RelayOptions, err error) {
	var errs []error
	for _, name := range c.gateways.SMS {
		g, err := c.smsGateway(s, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		o.Gateways = append(o.Gateways, g)
	}
	o.Routes, o.Senders, o.Rates, err = c.gateways.smsTables()
	o.MaxDoubts, o.FailoverDoubts = c.gateways.SMSDoubts, c.gateways.SMSFailover
	return o, errors.Join(append(errs, err)...)
}

// smsTables reads routes, senders and rates.
func (s smsSettings) smsTables() (routes []sms.Route, senders []sms.Sender, rates map[string]int, err error) {
	var errs []error
	for _, x := range s.SMSRoutes {
		prefix, names, ok := strings.Cut(x, "=")
		if !ok {
			errs = append(errs, fmt.Errorf("TUMA_SMS_ROUTES: %q is not written as +254=NAME or +254=NAME/NAME", x))
		}
		routes = append(routes, sms.Route{Prefix: prefix, Gateways: strings.Split(names, "/")})
	}
	for _, x := range s.SMSSenders {
		prefix, from, ok := strings.Cut(x, "=")
		if !ok || from == "" {
			errs = append(errs, fmt.Errorf("TUMA_SMS_SENDERS: %q is not written as +254=SENDER or NAME:+254=SENDER", x))
		}
		gateway, rest, named := strings.Cut(prefix, ":")
		if !named {
			gateway, rest = "", prefix
		}
		senders = append(senders, sms.Sender{Gateway: gateway, Prefix: rest, From: from})
	}
	rates = map[string]int{}
	for _, x := range s.SMSRates {
		name, number, _ := strings.Cut(x, "=")
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 {
			errs = append(errs, fmt.Errorf("TUMA_SMS_RATES: %q is not written as NAME=N, messages a second", x))
		}
		rates[name] = n
	}
	return routes, senders, rates, errors.Join(errs...)
}

// checkSMS refuses half an account, a name that is no gateway, and callbacks that
// anybody could use.
func (g gateways) checkSMS() error {
	var errs []error
	wants := func(name, setting string, values ...string) {
		if slices.Contains(g.SMS, name) && slices.Contains(values, "") {
			errs = append(errs, fmt.Errorf("%s needs %s", name, setting))
		}
	}
	wants("twilio", "TUMA_TWILIO_SID, TUMA_TWILIO_TOKEN and TUMA_TWILIO_FROM", g.TwilioSID, g.TwilioToken, g.TwilioFrom)
	if len(g.SMS) == 0 {
		errs = append(errs, errors.New("TUMA_SMS names no gateway; log sends nothing"))
	}
	if g.SMSDoubts < 1 {
		errs = append(errs, errors.New("TUMA_SMS_DOUBTS is 1 or more"))
	}
	for _, name := range g.SMS {
		if !slices.Contains(smsNames, name) {
			errs = append(errs, fmt.Errorf("TUMA_SMS: %q is none of %s", name, strings.Join(smsNames, ", ")))
		}
	}
	if _, _, _, err := g.smsTables(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
