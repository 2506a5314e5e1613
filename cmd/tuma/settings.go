package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"time"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/money"
	"tuma/internal/phone"
)

// database says where the book is.
type database struct {
	DatabaseURL string `env:"TUMA_DATABASE_URL" required:"" placeholder:"URL" help:"PostgreSQL, postgres://user:password@host/database?sslmode=..."`
}

// country is everything about the country but the tariff; Kenya unless said otherwise.
type country struct {
	Region      string   `env:"TUMA_REGION" default:"KE" help:"Country, as a two-letter code: decides how phone numbers are written."`
	Currency    string   `env:"TUMA_CURRENCY" default:"KES" help:"Currency of all accounts."`
	ServiceCode string   `env:"TUMA_SERVICE_CODE" default:"*334#" help:"What customers dial."`
	Languages   []string `env:"TUMA_LANGUAGES" default:"en,sw,fr" help:"Languages of the menus; the first is a stranger's."`
	TimeZone    string   `env:"TUMA_TIME_ZONE" default:"Africa/Nairobi" help:"Of daily limits, receipts and dates."`
	Brand       string   `env:"TUMA_BRAND" default:"Tuma" help:"What the service is called in texts, at most 6 characters."`
	Care        string   `env:"TUMA_CARE" default:"100" help:"Number of customer care."`
	Brakes      string   `env:"TUMA_BRAKES" placeholder:"FILE" type:"existingfile" help:"CSV with changes to the rules against fraud and abuse; tuma brakes lists them."`
	Tariff      string   `env:"TUMA_TARIFF" placeholder:"DIR" help:"Folder with fees.csv, commissions.csv, taxes.csv and tiers.csv; the built-in ones are Kenya's."`
}

func (c country) build() (accounts.Country, accounts.Tariff, error) {
	fail := func(err error) (accounts.Country, accounts.Tariff, error) {
		return accounts.Country{}, accounts.Tariff{}, err
	}
	p, err := phone.CountryOf(c.Region)
	if err != nil {
		return fail(err)
	}
	currency, err := money.CurrencyOf(c.Currency)
	if err != nil {
		return fail(err)
	}
	zone, err := time.LoadLocation(c.TimeZone)
	if err != nil {
		return fail(fmt.Errorf("time zone: %w", err))
	}
	if len(c.Languages) == 0 {
		return fail(errors.New("no language is configured"))
	}
	if len(c.Brand) == 0 || len(c.Brand) > 6 {
		return fail(errors.New("a brand has 1 to 6 characters: longer ones do not fit the notices"))
	}
	if !strings.HasPrefix(c.ServiceCode, "*") || !strings.HasSuffix(c.ServiceCode, "#") || strings.Trim(c.ServiceCode, "*#0123456789") != "" {
		return fail(fmt.Errorf("a service code looks like *334#, not %q", c.ServiceCode))
	}
	files := fs.FS(accounts.DefaultTariff())
	if c.Tariff != "" {
		files = os.DirFS(c.Tariff)
	}
	tariff, err := accounts.ParseTariff(files, currency)
	return accounts.Country{
		Phone: p, Currency: currency, ServiceCode: c.ServiceCode, Languages: c.Languages, Zone: zone, Brand: c.Brand, Care: c.Care,
	}, tariff, err
}

// askSettings bound what a till may learn by asking.
type askSettings struct {
	AsksPerCustomer int `env:"TUMA_ASKS_PER_CUSTOMER" default:"5" help:"Withdrawals that a till may ask of one customer in a day without an approval."`
	AsksPerTill     int `env:"TUMA_ASKS_PER_TILL" default:"60" help:"Withdrawals that a till may ask of all customers in a day without an approval."`
}

func (a askSettings) check() error {
	if a.AsksPerCustomer < 1 || a.AsksPerTill < a.AsksPerCustomer {
		return errors.New("TUMA_ASKS_PER_CUSTOMER is at least 1, and TUMA_ASKS_PER_TILL no less than that")
	}
	return nil
}

func (a askSettings) limits() agents.AskLimits {
	return agents.AskLimits{PerCustomer: a.AsksPerCustomer, PerTill: a.AsksPerTill}
}

// rules are the brakes in force.
func (c country) rules() (accounts.Brakes, error) {
	currency, err := money.CurrencyOf(c.Currency)
	if err != nil {
		return nil, err
	}
	if c.Brakes == "" {
		return accounts.ParseBrakes(nil, currency)
	}
	f, err := os.Open(c.Brakes)
	if err != nil {
		return nil, fmt.Errorf("TUMA_BRAKES: %w", err)
	}
	defer f.Close()
	b, err := accounts.ParseBrakes(f, currency)
	if err != nil {
		return nil, fmt.Errorf("TUMA_BRAKES: %s: %w", c.Brakes, err)
	}
	return b, nil
}

// secrets are what must not be guessed. They are given as hexadecimal digits,
// 32 bytes or more each.
type secrets struct {
	PINKeys    []string `env:"TUMA_PIN_KEYS" placeholder:"NAME:HEX,..." help:"Keys of PINs; the first seals new ones, the others verify old ones."`
	ReceiptKey string   `env:"TUMA_RECEIPT_KEY" placeholder:"HEX" help:"Key of the receipts' permutation; never changes."`
	SessionKey string   `env:"TUMA_SESSION_KEY" placeholder:"HEX" help:"Key of what sessions keep."`
}

type keys struct {
	pin              accounts.Keys
	receipt, session []byte
}

func (s secrets) build() (keys, error) {
	k := keys{pin: accounts.Keys{ByID: map[string][]byte{}}}
	var errs []error
	key := func(name, value string) []byte {
		b, err := strongKey(value)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		return b
	}
	if len(s.PINKeys) == 0 {
		errs = append(errs, errors.New("TUMA_PIN_KEYS is missing"))
	}
	for i, p := range s.PINKeys {
		name, value, ok := strings.Cut(p, ":")
		if !ok || name == "" {
			errs = append(errs, fmt.Errorf("TUMA_PIN_KEYS: key %d is not written as NAME:HEX", i+1))
			continue
		}
		if i == 0 {
			k.pin.Active = name
		}
		k.pin.ByID[name] = key("TUMA_PIN_KEYS: "+name, value)
	}
	k.receipt = key("TUMA_RECEIPT_KEY", s.ReceiptKey)
	k.session = key("TUMA_SESSION_KEY", s.SessionKey)
	return k, errors.Join(errs...)
}

// strongKey refuses what was not made by a random generator: too short, or with
// few different bytes (32 random ones have 20 or more but once in 10^8 times).
func strongKey(text string) ([]byte, error) {
	if text == "" {
		return nil, errors.New("missing; make one with: openssl rand -hex 32")
	}
	b, err := hex.DecodeString(text)
	if err != nil {
		return nil, errors.New("not hexadecimal digits; make one with: openssl rand -hex 32")
	}
	different := map[byte]bool{}
	for _, x := range b {
		different[x] = true
	}
	if len(b) < 32 || len(different) < 20 {
		return nil, errors.New("weak: it needs 32 random bytes; make one with: openssl rand -hex 32")
	}
	return b, nil
}

func newKey() (string, error) {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		return "", err
	}
	return hex.EncodeToString(b), nil
}

// gateways are the ways in and out.
type gateways struct {
	USSD       []string `name:"ussd" env:"TUMA_USSD" default:"africastalking" placeholder:"NAME,..." help:"Dialects that USSD gateways may speak, each at /ussd/NAME: africastalking, airtel, arkesel, beem, hubtel, infobip, mtech, nalo, safaricom."`
	USSDAllow  []string `env:"TUMA_USSD_ALLOW" placeholder:"CIDR,..." help:"Addresses that may call the USSD callback."`
	USSDSecret string   `env:"TUMA_USSD_SECRET" placeholder:"TEXT" help:"Secret in the USSD callback's path, instead of addresses: /ussd/NAME/TEXT."`
	OldUSSD    string   `name:"ussd-old-secret" env:"TUMA_USSD_OLD_SECRET" placeholder:"TEXT" help:"The secret before, which is still good while gateways change over."`
	OldSMS     string   `name:"sms-old-secret" env:"TUMA_SMS_OLD_SECRET" placeholder:"TEXT" help:"The same for the SMS callbacks."`
	OldTwilio  string   `name:"twilio-old-token" env:"TUMA_TWILIO_OLD_TOKEN" help:"Twilio's auth token before: its callbacks may still be signed with it."`
	Proxies    []string `env:"TUMA_PROXIES" placeholder:"CIDR,..." help:"Proxies whose X-Forwarded-For is believed."`
	PushURL    string   `name:"ussd-push-url" env:"TUMA_USSD_PUSH_URL" placeholder:"URL" help:"Where screens are pushed to phones; without it, approvals wait in the menu."`
	PushToken  string   `name:"ussd-push-token" env:"TUMA_USSD_PUSH_TOKEN" help:"Bearer token of the push address."`
	ussdSMPPSettings
	smsSettings
	TwilioSID   string `env:"TUMA_TWILIO_SID" help:"Twilio account SID."`
	TwilioToken string `env:"TUMA_TWILIO_TOKEN" help:"Twilio auth token."`
	TwilioFrom  string `env:"TUMA_TWILIO_FROM" help:"Number or sender id that notices come from, or a messaging service (MG...)."`
	TwilioURL   string `env:"TUMA_TWILIO_URL" placeholder:"URL" help:"In place of https://api.twilio.com."`
	smppSettings
	AirtimeURL string `env:"TUMA_AIRTIME_URL" placeholder:"URL" help:"The network's top-up service; without it, airtime is sold and its orders wait."`
	AirtimeKey string `env:"TUMA_AIRTIME_TOKEN" help:"Bearer token of the top-up service."`
}

// dialects are those of the USSD gateways, Africa's Talking's when none is named.
func (g gateways) dialects() []string {
	if len(g.USSD) == 0 {
		return []string{"africastalking"}
	}
	return g.USSD
}

func prefixes(texts []string) ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, t := range texts {
		p, err := netip.ParsePrefix(t)
		if err != nil {
			a, addrErr := netip.ParseAddr(t)
			if addrErr != nil {
				return nil, fmt.Errorf("%q is neither an address nor a range like 10.0.0.0/8", t)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		list = append(list, p)
	}
	return list, nil
}
