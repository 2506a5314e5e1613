package main

import (
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"tuma/accounts"
	"tuma/internal/db/dbtest"
	"tuma/internal/devenv"
)

// settings are the variables of a service that starts. The servers of tests do
// not wait for the disk, and serve refuses those.
func settings(t testing.TB, databaseURL, redisURL string) map[string]string {
	return map[string]string{
		"TUMA_DATABASE_URL": databaseURL + "&synchronous_commit=on", "TUMA_REDIS_URL": redisURL, "TUMA_LISTEN": "127.0.0.1:0", "TUMA_DRAIN": "0s", "TUMA_USSD_ALLOW": "127.0.0.0/8",
		"TUMA_PIN_KEYS": "t:" + testKey1, "TUMA_RECEIPT_KEY": testKey2, "TUMA_SESSION_KEY": testKey3,
	}
}

func environment(vars map[string]string) (env []string) {
	for name, value := range vars {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func startRedis(t testing.TB) *devenv.Redis {
	t.Helper()
	r, err := devenv.StartRedis(t.Context(), devenv.RedisOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Stop() })
	return r
}

// TestServeRefuses: what is wrong with the configuration keeps the service from
// starting, and is named.
func TestServeRefuses(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	database := dbtest.URL(t)
	const weak = "abababababababababababababababababababababababababababababababab"
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() }) // after the parallel subtests, unlike defer
	for _, c := range []struct {
		name string
		set  map[string]string // "" takes a variable away
		sql  string            // done to a database of its own before
		want []string
	}{
		{"no secrets", map[string]string{"TUMA_PIN_KEYS": "", "TUMA_RECEIPT_KEY": "", "TUMA_SESSION_KEY": ""}, "", []string{"TUMA_PIN_KEYS is missing", "TUMA_RECEIPT_KEY: missing", "TUMA_SESSION_KEY: missing"}},
		{"weak secrets", map[string]string{"TUMA_PIN_KEYS": "k:" + weak, "TUMA_RECEIPT_KEY": weak, "TUMA_SESSION_KEY": testKey1[:30]}, "", []string{"TUMA_PIN_KEYS: k: weak", "TUMA_RECEIPT_KEY: weak", "TUMA_SESSION_KEY: weak"}},
		{"secrets that are none", map[string]string{"TUMA_PIN_KEYS": testKey1, "TUMA_RECEIPT_KEY": "a password", "TUMA_SESSION_KEY": "0x00"}, "", []string{"TUMA_PIN_KEYS: key 1 is not written as NAME:HEX", "TUMA_RECEIPT_KEY: not hexadecimal", "TUMA_SESSION_KEY: not hexadecimal"}},
		{"an old PIN key that is weak", map[string]string{"TUMA_PIN_KEYS": "new:" + testKey1 + ",old:00"}, "", []string{"TUMA_PIN_KEYS: old: weak"}},
		{"no database", map[string]string{"TUMA_DATABASE_URL": ""}, "", []string{"database-url"}},
		{"no Redis", map[string]string{"TUMA_REDIS_URL": ""}, "", []string{"redis-url"}},
		{"a database that does not answer", map[string]string{"TUMA_DATABASE_URL": "postgres://x@127.0.0.1:1/x?sslmode=disable"}, "", []string{"cannot reach the server"}},
		{"commits that do not wait for the disk", map[string]string{"TUMA_DATABASE_URL": database + "&synchronous_commit=off"}, "", []string{"synchronous_commit is off"}},
		{"a Redis that does not answer", map[string]string{"TUMA_REDIS_URL": "redis://127.0.0.1:1/0"}, "", []string{"redis:", "refused"}},
		{"a Redis address that is none", map[string]string{"TUMA_REDIS_URL": "http://127.0.0.1"}, "", []string{"redis address"}},
		{"no guard of the USSD callback", map[string]string{"TUMA_USSD_ALLOW": ""}, "", []string{"TUMA_USSD_ALLOW or TUMA_USSD_SECRET"}},
		{"no step at a time", map[string]string{"TUMA_STEPS": "0"}, "", []string{"TUMA_STEPS"}},
		{"a short secret in the path", map[string]string{"TUMA_USSD_SECRET": "short"}, "", []string{"TUMA_USSD_SECRET is weak"}},
		{"a range that is none", map[string]string{"TUMA_USSD_ALLOW": "10.0.0.0/99"}, "", []string{"10.0.0.0/99"}},
		{"half a Twilio account", map[string]string{"TUMA_SMS": "twilio", "TUMA_TWILIO_SID": devTwilioSID, "TUMA_TWILIO_FROM": "Tuma"}, "", []string{"TUMA_TWILIO_TOKEN"}},
		{"gateways, routes, senders and rates that are none", map[string]string{"TUMA_SMS": "log,pigeon", "TUMA_SMS_ROUTES": "+254", "TUMA_SMS_SENDERS": "+254=", "TUMA_SMS_RATES": "log=fast", "TUMA_SMS_DOUBTS": "0"}, "",
			[]string{"pigeon", "TUMA_SMS_ROUTES", "TUMA_SMS_SENDERS", "TUMA_SMS_RATES", "TUMA_SMS_DOUBTS"}},
		{"half an account at a message centre", map[string]string{"TUMA_SMS": "smpp", "TUMA_SMPP_ADDRESS": "127.0.0.1:2775"}, "", []string{"TUMA_SMPP_SYSTEM_ID"}},
		{"an unknown profile", map[string]string{"TUMA_USSD_SMPP_ADDRESS": "127.0.0.1:2775", "TUMA_USSD_SMPP_PROFILE": "morse"}, "", []string{`"morse"`, "msisdn", "TUMA_USSD_SMPP_SYSTEM_ID"}},
		{"two that push", map[string]string{"TUMA_USSD_SMPP_ADDRESS": "127.0.0.1:2775", "TUMA_USSD_SMPP_SYSTEM_ID": "tuma", "TUMA_USSD_PUSH_URL": "http://127.0.0.1:1/", "TUMA_USSD_PUSH_TOKEN": "x"}, "", []string{"both push"}},
		{"an odd window", map[string]string{"TUMA_SMS": "smpp", "TUMA_SMPP_ADDRESS": "127.0.0.1:2775", "TUMA_SMPP_SYSTEM_ID": "tuma", "TUMA_SMPP_FROM": "Tuma", "TUMA_SMPP_WINDOW": "0"}, "", []string{"TUMA_SMPP_WINDOW"}},
		{"half of two gateways, open callbacks and no public address", map[string]string{"TUMA_SMS": "africastalking,kannel", "TUMA_AFRICASTALKING_KEY": "k", "TUMA_KANNEL_URL": "http://k:13013", "TUMA_PUBLIC_URL": "tuma.example/"}, "",
			[]string{"TUMA_AFRICASTALKING_USERNAME", "TUMA_KANNEL_PASSWORD", "TUMA_SMS_SECRET or TUMA_SMS_ALLOW", "TUMA_PUBLIC_URL"}},
		{"a weak secret and a range that is none for SMS", map[string]string{"TUMA_SMS_SECRET": "short", "TUMA_SMS_ALLOW": "10.0.0.0/99"}, "", []string{"TUMA_SMS_SECRET is weak", "TUMA_SMS_ALLOW"}},
		{"a route to a gateway that is not there", map[string]string{"TUMA_SMS_ROUTES": "+254=twilio"}, "", []string{`+254 names "twilio"`}},
		{"pushes without their token", map[string]string{"TUMA_USSD_PUSH_URL": "http://127.0.0.1:1/"}, "", []string{"TUMA_USSD_PUSH_TOKEN"}},
		{"airtime without its token", map[string]string{"TUMA_AIRTIME_URL": "http://127.0.0.1:1/"}, "", []string{"TUMA_AIRTIME_TOKEN"}},
		{"a tariff that does not parse", map[string]string{"TUMA_TARIFF": brokenTariff(t, "fees.csv", "2023-07-01,send,101,500,7", "2023-07-01,send,101,5OO,7")}, "", []string{"fees.csv line 5"}},
		{"a tariff without a file", map[string]string{"TUMA_TARIFF": t.TempDir()}, "", []string{"fees.csv"}},
		{"no such region", map[string]string{"TUMA_REGION": "XX"}, "", []string{"region"}},
		{"no such currency", map[string]string{"TUMA_CURRENCY": "ABC"}, "", []string{"ABC"}},
		{"no such time zone", map[string]string{"TUMA_TIME_ZONE": "Africa/Nowhere"}, "", []string{"time zone"}},
		{"no such language", map[string]string{"TUMA_LANGUAGES": "en,xx"}, "", []string{`"xx"`}},
		{"no such dialect", map[string]string{"TUMA_USSD": "hubtel,morse"}, "", []string{`"morse"`, "hubtel"}},
		{"a brand that does not fit", map[string]string{"TUMA_BRAND": "Telemoney"}, "", []string{"brand"}},
		{"not a service code", map[string]string{"TUMA_SERVICE_CODE": "334"}, "", []string{"service code"}},
		{"an address that is taken", map[string]string{"TUMA_LISTEN": taken.Addr().String()}, "", []string{"address already in use"}},
		{"an old schema", nil, `delete from goose_db_version where version_id = (select max(version_id) from goose_db_version)`, []string{"older than this program", "tuma migrate"}},
		{"a newer schema", nil, `insert into goose_db_version (version_id, is_applied) values (99999, true)`, []string{"newer than this program"}},
		{"a migration of somebody else's", nil, `update migration_sum set sha256 = repeat('0', 64) where name like '00002%'`, []string{"differs from this program's", "00002_accounts.sql"}},
		{"another published tariff", nil, `update tariff set amount = amount + 100 where low = (select max(low) from tariff where kind = 'send')`, []string{"new effective date"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := database
			if c.sql != "" {
				url = dbtest.URL(t)
				if strings.Contains(c.sql, "tariff") { // it is published by the first start
					if r := execute(t, "", environment(settings(t, url, redis.URL())), "float", "list"); r.status != 0 {
						t.Fatal(r.errors)
					}
				}
				if _, err := super(t, url).Exec(c.sql); err != nil {
					t.Fatal(err)
				}
			}
			vars := settings(t, url, redis.URL())
			maps.Copy(vars, c.set)
			r := execute(t, "", environment(vars), "serve")
			if r.status == 0 || strings.Contains(r.out, "ready") {
				t.Errorf("it started")
			}
			for _, want := range c.want {
				if !strings.Contains(r.errors, want) {
					t.Errorf("not named: %q in\n%s", want, r.errors)
				}
			}
			for _, secret := range []string{weak, testKey1, testKey2, testKey3, "a password", "panic"} {
				if strings.Contains(r.errors+r.out, secret) {
					t.Errorf("it says %q:\n%s", secret, r.errors)
				}
			}
		})
	}
}

// brokenTariff is a copy of the built-in tariff with one change.
func brokenTariff(t testing.TB, file, from, to string) string {
	t.Helper()
	dir := t.TempDir()
	files := accounts.DefaultTariff()
	names, err := fs.Glob(files, "*.csv")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err == nil {
			if name == file {
				if !strings.Contains(string(text), from) {
					t.Fatalf("%s has no line %s", file, from)
				}
				text = []byte(strings.Replace(string(text), from, to, 1))
			}
			err = os.WriteFile(filepath.Join(dir, name), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func get(t testing.TB, address string) (int, string) {
	t.Helper()
	resp, err := impatient.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// TestServe starts the service as in production and ends it.
func TestServe(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	const secret = "kZ8vQ1nT5yB7cX2mW9rL4pDs"
	vars := settings(t, dbtest.URL(t), redis.URL())
	vars["TUMA_USSD_ALLOW"], vars["TUMA_USSD_SECRET"], vars["TUMA_ADMIN"] = "", secret, "127.0.0.1:0"
	vars["TUMA_USSD"] = "africastalking,safaricom"
	p := start(t, environment(vars), "serve").ready()
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/simulator/": 404, "/2010-04-01/Accounts/x/Messages.json": 404, "/": 404} {
		if status, body := get(t, p.url+path); status != want {
			t.Errorf("%s: %d %s, want %d", path, status, body, want)
		}
	}
	admin := regexp.MustCompile(`(?m)^admin (http://\S+)$`).FindStringSubmatch(p.said.String())
	if admin == nil {
		t.Fatalf("no admin address:\n%s", p.said)
	}
	for path, want := range map[string]int{"/metrics": 200, "/healthz": 200, "/readyz": 200, "/debug/pprof/": 200, "/debug/pprof/cmdline": 403, "/ussd/africastalking": 404} {
		if status, body := get(t, admin[1]+path); status != want {
			t.Errorf("admin %s: %d %s, want %d", path, status, body, want)
		}
		if status, _ := get(t, p.url+path); status == 200 && strings.Contains("/metrics /debug/pprof/", path) {
			t.Errorf("%s is open to everybody", path)
		}
	}
	path := "/ussd/africastalking"
	for _, c := range []struct {
		path string
		want int
	}{{path, 404}, {path + "/wrong", 403}, {path + "/" + secret, 200}, {path + "/" + secret + "/events", 200}} {
		if status, body, err := postForm(p.url+c.path, ussdForm("s1", "+254712000001", "")); err != nil || status != c.want {
			t.Errorf("%s: %d %s %v, want %d", c.path, status, body, err, c.want)
		}
	}
	// Another dialect, whose addresses have PINs in them, and one that was not named.
	const query = "?ORIG=254712000001&DEST=334&SESSION_ID=s9&USSD_PARAMS=1*0712000002*500*4826"
	for tail, want := range map[string]int{"safaricom/" + secret + query: 200, "safaricom/wrong" + query: 403, "safaricom/" + secret + "?x=%zz&USSD_PARAMS=4826": 400, "hubtel/" + secret: 404} {
		if status, body := get(t, p.url+"/ussd/"+tail); status != want {
			t.Errorf("%s: %d %s, want %d", tail, status, body, want)
		}
	}
	// Without Redis it says that it cannot serve, and customers get a sentence.
	if err := redis.Stop(); err != nil {
		t.Fatal(err)
	}
	if status, body := get(t, p.url+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, `"redis":"not reached"`) {
		t.Errorf("without Redis: %d %s", status, body)
	}
	before := time.Now()
	status, body, err := postForm(p.url+path+"/"+secret, ussdForm("s2", "+254712000001", ""))
	if s, lookErr := look(body); err != nil || status != 200 || lookErr != nil || s.Screen != "sorry" {
		t.Errorf("without Redis: %d %s %v", status, body, err)
	}
	if took := time.Since(before); took > 5*time.Second {
		t.Errorf("without Redis a customer waits %v", took)
	}
	if status := p.end(syscall.SIGTERM); status != 0 {
		t.Errorf("status %d after SIGTERM:\n%s", status, p.said)
	}
	if strings.Contains(p.said.String(), secret) {
		t.Errorf("the secret is in the log:\n%s", p.said)
	}
	if strings.Contains(p.said.String(), "*4826") || strings.Contains(p.said.String(), "USSD_PARAMS") {
		t.Errorf("what was keyed in is in the log:\n%s", p.said)
	}
}
