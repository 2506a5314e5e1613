package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"tuma/internal/callers"
	"tuma/sms"
)

// smsSettings say which gateways send, to whom, from whom and how fast.
type smsSettings struct {
	SMS         []string `name:"sms" env:"TUMA_SMS" default:"log" placeholder:"NAME,..." help:"SMS gateways in order of preference: twilio, africastalking, kannel, smpp; or log (writes that a notice is due, sends nothing)."`
	SMSRoutes   []string `name:"sms-routes" env:"TUMA_SMS_ROUTES" placeholder:"+254=NAME/NAME,..." help:"Gateways of numbers that begin with a prefix, where they do not take all in the order of TUMA_SMS."`
	SMSSenders  []string `name:"sms-senders" env:"TUMA_SMS_SENDERS" placeholder:"[NAME:]+254=SENDER,..." help:"Sender ids of a country, where they differ from the gateway's own."`
	SMSRates    []string `name:"sms-rates" env:"TUMA_SMS_RATES" placeholder:"NAME=N,..." help:"Messages a second that a gateway is given by this process."`
	SMSDoubts   int      `name:"sms-doubts" env:"TUMA_SMS_DOUBTS" default:"3" help:"Tries whose outcome is unknown before a notice is given up: each may be one SMS more."`
	SMSFailover bool     `name:"sms-failover-doubts" env:"TUMA_SMS_FAILOVER_DOUBTS" help:"Let another gateway try after an unknown outcome, too."`
	SMSSecret   string   `name:"sms-secret" env:"TUMA_SMS_SECRET" placeholder:"TEXT" help:"Secret in the path of SMS callbacks that are not signed: /sms/kannel/TEXT/inbound."`
	SMSAllow    []string `name:"sms-allow" env:"TUMA_SMS_ALLOW" placeholder:"CIDR,..." help:"Addresses that may call those callbacks, instead of the secret or beside it."`
	PublicURL   string   `name:"public-url" env:"TUMA_PUBLIC_URL" placeholder:"URL" help:"How the world reaches this service, https://HOST: where gateways send delivery reports, and what Twilio signs."`

	ATUser     string `name:"africastalking-username" env:"TUMA_AFRICASTALKING_USERNAME" help:"Africa's Talking: the application's user name."`
	ATKey      string `name:"africastalking-key" env:"TUMA_AFRICASTALKING_KEY" help:"Africa's Talking: the API key."`
	ATFrom     string `name:"africastalking-from" env:"TUMA_AFRICASTALKING_FROM" help:"Africa's Talking: short code or sender id; without it, the shared one."`
	ATURL      string `name:"africastalking-url" env:"TUMA_AFRICASTALKING_URL" placeholder:"URL" help:"In place of https://api.africastalking.com."`
	KannelURL  string `name:"kannel-url" env:"TUMA_KANNEL_URL" placeholder:"URL" help:"Kannel: address of the smsbox, http://HOST:13013."`
	KannelUser string `name:"kannel-username" env:"TUMA_KANNEL_USERNAME" help:"Kannel: user name of the sendsms-user."`
	KannelPass string `name:"kannel-password" env:"TUMA_KANNEL_PASSWORD" help:"Kannel: password of the sendsms-user."`
	KannelFrom string `name:"kannel-from" env:"TUMA_KANNEL_FROM" help:"Kannel: short code or sender id."`
}

// smsNames are the gateways that there are.
var smsNames = []string{"log", "twilio", "africastalking", "kannel", "smpp"}

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
		if g.PublicURL != "" {
			o.StatusCallback = g.PublicURL + "/sms/twilio/status"
		}
		return sms.NewTwilio(o)
	case "africastalking":
		return sms.NewAfricasTalking(sms.AfricasTalkingOptions{Username: g.ATUser, Key: g.ATKey, From: g.ATFrom, BaseURL: g.ATURL})
	case "kannel":
		o := sms.KannelOptions{URL: g.KannelURL, Username: g.KannelUser, Password: g.KannelPass, From: g.KannelFrom}
		if g.PublicURL != "" {
			o.StatusURL = g.PublicURL + sms.CallbackPath("kannel", g.SMSSecret, "status")
		}
		return sms.NewKannel(o)
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
	o.Busy = s.machine.Busy
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
	wants("africastalking", "TUMA_AFRICASTALKING_USERNAME and TUMA_AFRICASTALKING_KEY", g.ATUser, g.ATKey)
	wants("kannel", "TUMA_KANNEL_URL, TUMA_KANNEL_USERNAME and TUMA_KANNEL_PASSWORD", g.KannelURL, g.KannelUser, g.KannelPass)
	if (slices.Contains(g.SMS, "africastalking") || slices.Contains(g.SMS, "kannel")) && g.SMSSecret == "" && len(g.SMSAllow) == 0 {
		errs = append(errs, errors.New("africastalking and kannel need TUMA_SMS_SECRET or TUMA_SMS_ALLOW: anybody could send us messages and reports"))
	}
	if len(g.SMS) == 0 {
		errs = append(errs, errors.New("TUMA_SMS names no gateway; log sends nothing"))
	}
	if u, err := url.Parse(g.PublicURL); g.PublicURL != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || strings.HasSuffix(g.PublicURL, "/")) {
		errs = append(errs, errors.New("TUMA_PUBLIC_URL is written as https://HOST, without a slash at its end"))
	}
	if _, err := prefixes(g.SMSAllow); err != nil {
		errs = append(errs, fmt.Errorf("TUMA_SMS_ALLOW: %w", err))
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

// smsCallbacks serves what gateways send us.
func (c config) smsCallbacks(s *service) (http.Handler, error) {
	g := c.gateways
	allow, err := prefixes(g.SMSAllow)
	if err != nil {
		return nil, err
	}
	proxies, err := prefixes(g.Proxies)
	if err != nil {
		return nil, err
	}
	o := sms.WebhookOptions{
		Pool: s.pool, Receive: s.inbox.Receive, Log: c.log, PublicURL: g.PublicURL, Callers: callers.Callers{Allow: allow, TrustedProxies: proxies, Secret: g.SMSSecret, OldSecret: g.OldSMS},
		AfricasTalking: slices.Contains(g.SMS, "africastalking"), Kannel: slices.Contains(g.SMS, "kannel"),
	}
	if slices.Contains(g.SMS, "twilio") && g.PublicURL != "" { // without it, nobody could say what Twilio signed
		o.TwilioSID, o.TwilioToken, o.OldTwilioToken = g.TwilioSID, g.TwilioToken, g.OldTwilio
	}
	return sms.Webhooks(o)
}
