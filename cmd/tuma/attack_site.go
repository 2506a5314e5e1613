package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"tuma/internal/db"
	"tuma/internal/money"
)

// attack is one run of the command.
type attack struct {
	*attackCommand
	dir       string
	site      *site
	pool      *db.Pool // looks at the database, past the proxies
	redis     *redis.Client
	provider  *http.Server
	pins      []string // canaries: everybody's PIN is one of them
	attackers []*attacker
	victims   []guessed
	result    attackResult

	// The gateway's own address, one that may not call, and a proxy's.
	ours, foreign, proxy *http.Client
	byAddress            string // the process that knows gateways by address
	bySecret             string // the process that knows them by a secret
}

// What the attacked service is told. None of it is guessed by an attacker.
const (
	attackPublic    = "https://tuma.example"
	attackToken     = "5f0c8a4be1d94f7ab6c3d2e1f0a9b8c7"
	attackUSSD      = "Vq3Zt8Lw5Rx1Ny6Kb9Hc2Md4"
	attackSMS       = "Jp7Fs2Gd9Ta4We6Yu1Io3Lk8"
	attackBalance   = money.Amount(300_00)
	attackOperators = 4 // of the victims, one in so many is an operator
)

// open starts the service in two processes, which know their gateways in
// different ways, and makes its people.
func (a *attack) open(ctx context.Context) (err error) {
	if a.dir, err = os.MkdirTemp("/var/tmp", "tuma-attack-"); err != nil {
		return err
	}
	if err := os.Chmod(a.dir, 0o755); err != nil { // PostgreSQL may run as another user
		return err
	}
	a.ours, a.foreign, a.proxy = clientFrom("127.0.0.1"), clientFrom("127.0.0.2"), clientFrom("127.0.0.9")
	if a.site, err = openSite(ctx, a.dir, nil, func() time.Duration { return 0 }); err != nil {
		return err
	}
	base, err := a.startProvider()
	if err != nil {
		return err
	}
	// The guesses are for what three tries of one PIN hold; that so many wrong ones
	// of all stop everybody would keep them from it.
	brakes := filepath.Join(a.dir, "brakes.csv")
	if err := os.WriteFile(brakes, []byte("rule,outcome,most,amount,within,explanation\npin_flood,off,,,,\n"), 0o644); err != nil {
		return err
	}
	set, err := a.site.settings(map[string]string{
		"TUMA_BRAKES": brakes,
		"TUMA_USSD":   strings.Join(attackDialects(), ","), "TUMA_USSD_ALLOW": "127.0.0.1/32", "TUMA_PROXIES": "127.0.0.9/32", "TUMA_ID_PHOTOS": filepath.Join(a.dir, "photos"),
		"TUMA_SMS": "twilio,africastalking,kannel", "TUMA_SMS_ALLOW": "127.0.0.1/32", "TUMA_PUBLIC_URL": attackPublic,
		"TUMA_TWILIO_SID": devTwilioSID, "TUMA_TWILIO_TOKEN": attackToken, "TUMA_TWILIO_FROM": "Tuma", "TUMA_TWILIO_URL": base,
		"TUMA_AFRICASTALKING_USERNAME": "tuma", "TUMA_AFRICASTALKING_KEY": attackToken, "TUMA_AFRICASTALKING_URL": base,
		"TUMA_KANNEL_URL": base, "TUMA_KANNEL_USERNAME": "tuma", "TUMA_KANNEL_PASSWORD": attackToken,
	})
	if err != nil {
		return err
	}
	set["TUMA_DATABASE_URL"], set["TUMA_REDIS_URL"] = a.site.server.url(), a.site.redis.direct() // nothing is to be cut here
	if a.Plant {
		set["TUMA_USSD_ALLOW"], set["TUMA_SMS_ALLOW"] = "127.0.0.0/8", "127.0.0.0/8"
	}
	if err := a.people(ctx, set); err != nil {
		return fmt.Errorf("making people: %w", err)
	}
	hidden := maps.Clone(set)
	delete(hidden, "TUMA_USSD_ALLOW")
	delete(hidden, "TUMA_SMS_ALLOW")
	hidden["TUMA_USSD_SECRET"], hidden["TUMA_SMS_SECRET"] = attackUSSD, attackSMS
	if err := a.site.open(ctx, 1, set); err != nil {
		return err
	}
	if err := a.site.open(ctx, 1, hidden); err != nil {
		return err
	}
	if a.pool, err = db.Open(ctx, db.Options{URL: a.site.server.url(), App: "tuma attack", MaxConns: 2}); err != nil {
		return err
	}
	options, err := redis.ParseURL(a.site.redis.direct())
	if err != nil {
		return err
	}
	a.redis = redis.NewClient(options)
	return a.addresses(ctx)
}

// addresses are where the processes answer now.
func (a *attack) addresses(ctx context.Context) (err error) {
	if a.byAddress, err = a.site.instances[0].address(ctx); err != nil {
		return err
	}
	a.bySecret, err = a.site.instances[1].address(ctx)
	return err
}

// startProvider takes every SMS.
func (a *attack) startProvider() (base string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	a.provider = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.Sum256([]byte(r.PostFormValue("To") + r.PostFormValue("Body")))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"sid":"SM%s","status":"queued"}`, hex.EncodeToString(sum[:16]))
	})}
	go a.provider.Serve(l)
	return "http://" + l.Addr().String(), nil
}

// clientFrom calls from one address of this machine.
func clientFrom(address string) *http.Client {
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Timeout: 10 * time.Second}
	return &http.Client{
		Timeout:       30 * time.Second,
		Transport:     &http.Transport{DialContext: d.DialContext, MaxIdleConnsPerHost: 256, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// people makes attackers' customers and operators, whose PINs are canaries, and
// victims.
func (a *attack) people(ctx context.Context, set map[string]string) error {
	books, err := a.site.books(ctx, set)
	if err != nil {
		return err
	}
	defer books.close()
	if err := seed(ctx, books); err != nil {
		return err
	}
	d := a.dice(1)
	for len(a.pins) < 3 {
		pin := fmt.Sprintf("%04d", d.IntN(10_000))
		if books.accounts.PINs().Check(pin, "254713000000") == nil && pin != demoPIN && !slices.Contains(a.pins, pin) {
			a.pins = append(a.pins, pin)
		}
	}
	person := func(kind string, i int, pin string) (string, error) {
		sealed, err := books.accounts.PINs().Seal(pin)
		if err != nil {
			return "", err
		}
		number, name := fmt.Sprintf("+2547%s%05d", kind, i), "Person "+letters(i)
		if kind == operatorNumbers {
			t := demoTill{agent: "Shop " + letters(i), name: "Shop " + letters(i), number: fmt.Sprint(300_000 + i), operator: name, operatorNumber: number, lang: "en", operatorID: fmt.Sprint(60_000_000 + i), float: attackBalance}
			return number, seedTill(ctx, books, t, t.float, sealed)
		}
		return number, seedCustomer(ctx, books, demoCustomer{name, number, fmt.Sprint(70_000_000 + i), "en", attackBalance}, sealed)
	}
	for i := range a.Attackers {
		w := &attacker{attack: a, dice: a.dice(uint64(100 + i)), n: i, stranger: fmt.Sprintf("+254733%06d", i), signed: map[string]*visit{}}
		if w.customer, err = person(customerNumbers, i, a.pins[i%3]); err != nil {
			return err
		}
		if w.operator, err = person(operatorNumbers, i, a.pins[i%3]); err != nil {
			return err
		}
		a.attackers = append(a.attackers, w)
	}
	for i := range (a.Guesses + guessesEach - 1) / guessesEach {
		v := guessed{pin: a.pins[i%3]}
		kind := customerNumbers
		if v.operator = i%attackOperators == 0; v.operator {
			kind = operatorNumbers
		}
		if v.number, err = person(kind, 100+i, v.pin); err != nil {
			return err
		}
		a.victims = append(a.victims, v)
	}
	return nil
}

// The numbers after +2547 of attackers' and victims' people.
const (
	customerNumbers = "130"
	operatorNumbers = "230"
)

// close ends everything that open has started.
func (a *attack) close() error {
	var errs []error
	if a.pool != nil {
		errs = append(errs, a.pool.Close())
	}
	if a.redis != nil {
		errs = append(errs, a.redis.Close())
	}
	if a.site != nil {
		errs = append(errs, a.site.close())
	}
	if a.provider != nil {
		errs = append(errs, a.provider.Close())
	}
	if a.Report != "" {
		errs = append(errs, os.MkdirAll(a.Report, 0o755))
		logs, _ := filepath.Glob(filepath.Join(a.dir, "serve-*.log"))
		for _, l := range logs {
			errs = append(errs, copyFile(l, a.Report))
		}
	}
	return errors.Join(append(errs, os.RemoveAll(a.dir))...)
}

// shot is one request.
type shot struct {
	kind         string // in the report
	by           *http.Client
	method, base string
	path         string // as it is sent, with its query
	header       http.Header
	body         string
}

const formType = "application/x-www-form-urlencoded"

func typed(kind string) http.Header { return http.Header{"Content-Type": {kind}} }

// fire sends a shot; 0 is a connection that broke, which is what a service may do
// to a request that it does not read to its end.
func (s shot) fire(ctx context.Context) (status int, body string, header http.Header) {
	r, err := http.NewRequestWithContext(ctx, s.method, s.base, strings.NewReader(s.body))
	if err != nil {
		return 0, "", nil
	}
	path, query, asks := strings.Cut(s.path, "?")
	r.URL.Path, r.URL.RawPath = "", ""
	r.URL.Opaque, r.URL.RawQuery, r.URL.ForceQuery = path, query, asks
	if s.header != nil {
		r.Header = s.header
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	resp, err := s.by.Do(r)
	if err != nil {
		return 0, "", nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, "", nil
	}
	return resp.StatusCode, string(b), resp.Header
}

// ussd is a request of Africa's Talking, to one of the processes.
func (a *attack) ussd(hidden bool, session, number, text string) shot {
	s := shot{kind: "ussd", by: a.ours, method: "POST", base: a.byAddress, path: "/ussd/africastalking", header: typed(formType)}
	if hidden {
		s.base, s.path = a.bySecret, s.path+"/"+attackUSSD
	}
	s.body = url.Values{"sessionId": {session}, "phoneNumber": {number}, "serviceCode": {kenyaSettings.ServiceCode}, "text": {text}}.Encode()
	return s
}
