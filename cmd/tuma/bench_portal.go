package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"tuma/internal/phone"
	"tuma/ussd"
)

type benchPortal struct {
	Pace   int           `default:"5120" help:"Bytes a second of the link, each way."`
	RTT    time.Duration `default:"600ms" help:"A round trip of the link."`
	Rounds int           `default:"3" help:"How often each is measured; the median is told."`
	HTTP1  bool          `name:"http1" help:"HTTP/1.1 over up to six connections, in place of HTTP/2."`
	JSON   bool          `help:"End with one JSON object."`
}

// portalFigures are seconds from a press to the page with all that it needs, and
// bytes over the link both ways.
type portalFigures struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	Bytes   int64   `json:"bytes"`
}

// Run measures what an operator waits for in the portal over a slow link: in a
// browser that has never been there, and the next time.
func (c *benchPortal) Run(ctx context.Context) (err error) {
	b, err := startServers(ctx, "inprocess", false, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	cfg, err := b.config()
	if err != nil {
		return err
	}
	cfg.limits = ussd.LimitOptions{DialsPerMinute: 10, LookUpsPerDay: 20}
	s, err := cfg.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := seed(ctx, s); err != nil {
		return err
	}
	key, roots, err := benchCertificate()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web := server(s.handler, cfg.log)
	web.TLSConfig = &tls.Config{Certificates: []tls.Certificate{key}, MinVersion: tls.VersionTLS13}
	go web.ServeTLS(l, "", "")
	defer web.Close()
	measured := map[string][]portalFigures{}
	var order []string
	for range c.Rounds {
		for _, f := range c.round(ctx, s, l.Addr().String(), roots, &err) {
			if measured[f.Name] == nil {
				order = append(order, f.Name)
			}
			measured[f.Name] = append(measured[f.Name], f)
		}
		if err != nil {
			return err
		}
	}
	if err := checkBook(ctx, s.pool); err != nil {
		return err
	}
	var told []portalFigures
	for _, name := range order {
		of := measured[name]
		slices.SortFunc(of, func(a, b portalFigures) int { return int(1000 * (a.Seconds - b.Seconds)) })
		told = append(told, of[len(of)/2])
		fmt.Printf("%-34s %5.1f s %6d bytes\n", name, told[len(told)-1].Seconds, told[len(told)-1].Bytes)
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(told)
	}
	return nil
}

// benchCertificate is a certificate such as a TLS proxy would have, on a curve.
func benchCertificate() (tls.Certificate, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tuma bench"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots, nil
}

// slowBrowser loads pages as a browser does: with cookies, redirects, what a page
// names loaded beside each other and kept for as long as it may be kept.
type slowBrowser struct {
	ctx    context.Context
	link   *slowLink
	base   string
	client *http.Client
	kept   map[string]bool // static files
	page   string
	round  []portalFigures
}

var (
	benchAsset = regexp.MustCompile(`(?:href|src)="(/agents/static/[^"]+)"`)
	benchField = regexp.MustCompile(`name="(form|ref)" value="([0-9a-f]+)"`)
	benchCode  = regexp.MustCompile(`\d{6}`)
)

// round measures one operator's first and second time.
func (c *benchPortal) round(ctx context.Context, s *service, target string, roots *x509.CertPool, failed *error) []portalFigures {
	link := &slowLink{target: target, pace: c.Pace, rtt: c.RTT}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		*failed = err
		return nil
	}
	defer l.Close()
	go link.serve(l)
	jar, err := cookiejar.New(nil)
	if err != nil {
		*failed = err
		return nil
	}
	tickets := tls.NewLRUClientSessionCache(8)
	connect := func() *http.Client { // with what TLS remembers of the last time
		t := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ClientSessionCache: tickets}, ForceAttemptHTTP2: !c.HTTP1, MaxConnsPerHost: 6}
		return &http.Client{Transport: t, Jar: jar, Timeout: 2 * time.Minute}
	}
	b := &slowBrowser{ctx: ctx, link: link, base: "https://" + l.Addr().String(), client: connect(), kept: map[string]bool{}}
	*failed = b.firstTime(s)
	if *failed == nil {
		b.client.CloseIdleConnections()
		b.client = connect()
		*failed = b.nextTime()
	}
	b.client.CloseIdleConnections()
	return b.round
}

// inOrder does one after the other, until one fails.
func inOrder(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// firstTime signs in by a code and deposits.
func (b *slowBrowser) firstTime(s *service) error {
	operator := demoTills[0].operatorNumber
	return inOrder(
		b.step("first time: the first page", func() error { return b.get("/agents/") }),
		b.step("first time: number", func() error { return b.post("/agents/in", "number", operator) }),
		b.step("first time: code and PIN", func() error {
			code, err := sentCode(b.ctx, s, operator)
			if err != nil {
				return err
			}
			return b.post("/agents/in/code", "code", code, "pin", demoPIN)
		}),
		func() error { return b.deposit("first time") },
		func() error { return b.post("/agents/out") },
	)
}

// nextTime signs in by the PIN alone, over a new connection, and deposits twice.
func (b *slowBrowser) nextTime() error {
	return inOrder(
		b.step("next time: the first page", func() error { return b.get("/agents/") }),
		b.step("next time: number and PIN", func() error {
			return b.post("/agents/in", "number", demoTills[0].operatorNumber, "pin", demoPIN)
		}),
		func() error { return b.deposit("next time") },
		func() error { return b.deposit("next customer") },
	)
}

// deposit takes the form where the page that is open has it, else goes to its page.
func (b *slowBrowser) deposit(when string) error {
	if !strings.Contains(b.page, `action="/agents/deposit/check"`) {
		if err := b.step(when+": the deposit's page", func() error { return b.get("/agents/deposit") })(); err != nil {
			return err
		}
	}
	ref, customer := field(b.page, "ref"), demoCustomers[0].number
	return inOrder(
		b.step(when+": whom and how much", func() error {
			return b.post("/agents/deposit/check", "ref", ref, "number", customer, "amount", "100")
		}),
		b.step(when+": PIN, to the receipt", func() error {
			return b.post("/agents/deposit", "ref", ref, "number", customer, "amount", "100", "pin", demoPIN)
		}),
		func() error { return b.wants(`class="qr"`) },
	)
}

const sqlSentCode = `select body from every_notice where key like 'portal_code:%' and to_msisdn = $1 order by id desc limit 1`

// sentCode is what came to the operator's phone.
func sentCode(ctx context.Context, s *service, operator string) (string, error) {
	n, err := phone.Parse(operator)
	if err != nil {
		return "", err
	}
	var body string
	if err := s.pool.Get(ctx, &body, sqlSentCode, string(n)); err != nil {
		return "", fmt.Errorf("the code's SMS: %w", err)
	}
	return benchCode.FindString(body), nil
}

// step is something that is measured.
func (b *slowBrowser) step(name string, do func() error) func() error {
	return func() error {
		before, start := b.link.up.sent()+b.link.down.sent(), time.Now()
		if err := do(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		b.round = append(b.round, portalFigures{name, time.Since(start).Seconds(), b.link.up.sent() + b.link.down.sent() - before})
		return nil
	}
}

func (b *slowBrowser) get(path string) error {
	r, err := http.NewRequestWithContext(b.ctx, http.MethodGet, b.base+path, nil)
	if err != nil {
		return err
	}
	return b.load(r)
}

func (b *slowBrowser) post(path string, pairs ...string) error {
	form := url.Values{"form": {field(b.page, "form")}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	r, err := http.NewRequestWithContext(b.ctx, http.MethodPost, b.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.load(r)
}

func field(page, name string) string {
	for _, m := range benchField.FindAllStringSubmatch(page, -1) {
		if m[1] == name {
			return m[2]
		}
	}
	return ""
}

// load asks for a page, follows where it leads, and loads what it needs.
func (b *slowBrowser) load(r *http.Request) error {
	page, err := b.fetch(r)
	if err != nil {
		return err
	}
	b.page = page
	var all sync.WaitGroup
	var errs [8]error
	for i, m := range benchAsset.FindAllStringSubmatch(page, len(errs)) {
		if b.kept[m[1]] {
			continue
		}
		b.kept[m[1]] = true
		all.Go(func() {
			r, err := http.NewRequestWithContext(b.ctx, http.MethodGet, b.base+m[1], nil)
			if err == nil {
				_, err = b.fetch(r)
			}
			errs[i] = err
		})
	}
	all.Wait()
	return errors.Join(errs[:]...)
}

// What a browser says of itself, in about as many bytes.
const benchAgent = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36"

func (b *slowBrowser) fetch(r *http.Request) (string, error) {
	r.Header.Set("User-Agent", benchAgent)
	r.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8")
	r.Header.Set("Accept-Language", "en")
	res, err := b.client.Do(r) // asks for gzip, and takes it off
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: status %d", r.URL.Path, res.StatusCode)
	}
	return string(body), nil
}

func (b *slowBrowser) wants(part string) error {
	if !strings.Contains(b.page, part) {
		return fmt.Errorf("no %s on the page", part)
	}
	return nil
}
