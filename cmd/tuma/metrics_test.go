package main

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	metricName = regexp.MustCompile(`\btuma_[a-z_]+`)
	alertName  = regexp.MustCompile(`(?m)^\s+- alert: (\w+)$`)
	series     = regexp.MustCompile(`(?m)^(\w+)(\{[^}]*\})? `)
)

// TestMetrics pays once, reads the metrics, and looks whether the dashboard and
// the alerts ask for what is there.
func TestMetrics(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	address, err := b.service.serveAdmin("127.0.0.1:0")
	b.must(err)
	b.ask("m1", "+254712000001", "")
	b.ask("m1", "+254712000001", "1")
	b.ask("m1", "+254712000001", "1*0712000002")
	b.ask("m1", "+254712000001", "1*0712000002*100")
	if got := b.ask("m1", "+254712000001", "1*0712000002*100*"+demoPIN); !strings.HasPrefix(got, "END") {
		t.Fatalf("the payment: %s", got)
	}
	b.ask("m2", "+254712000001", "1*0712000001") // to herself
	get(t, b.url+"/agents/in")

	status, page := get(t, "http://"+address+"/metrics")
	if status != 200 {
		t.Fatalf("status %d: %s", status, page)
	}
	for _, want := range []string{
		`tuma_requests_total{channel="ussd_at",outcome="paid"} 1`,
		`tuma_requests_total{channel="ussd_at",outcome="continued"} 5`,
		`tuma_requests_total{channel="portal",outcome="2xx"} 1`,
		`tuma_refusals_total{channel="ussd_at",reason="self"} 1`,
		`tuma_entries_total{kind="send"} 1`,
		`tuma_tills{class="ready"} `, `tuma_up{what="redis"} 1`, `tuma_up{what="book"} 1`, `tuma_outbox_oldest_seconds `, `tuma_clock_off_seconds `, `tuma_ussd_steps{state="room"} 48`, `tuma_emoney_minor `,
	} {
		if !strings.Contains(page, "\n"+want) {
			t.Errorf("missing: %s", want)
		}
	}
	for _, secret := range []string{"254712", "ASHA", demoPIN} {
		if regexp.MustCompile(`\b` + secret).MatchString(page) {
			t.Errorf("the metrics name %q", secret)
		}
	}
	there := map[string]bool{}
	for _, m := range series.FindAllStringSubmatch(page, -1) {
		there[m[1]] = true
	}
	alerts, err := os.ReadFile("../../deploy/alerts.yml")
	b.must(err)
	dashboard, err := os.ReadFile("../../deploy/grafana.json")
	b.must(err)
	if !json.Valid(dashboard) {
		t.Error("the dashboard is not JSON")
	}
	asked := map[string]bool{}
	for name, text := range map[string]string{"alerts": string(alerts), "dashboard": string(dashboard)} {
		names := metricName.FindAllString(text, -1)
		if len(names) < 5 {
			t.Errorf("the %s ask for %d metrics only", name, len(names))
		}
		for _, n := range names {
			if asked[n] = true; !there[n] && !slices.Contains(onlyWhenItHappens, n) {
				t.Errorf("the %s ask for %s, which there is not", name, n)
			}
		}
	}
	for _, n := range onlyWhenItHappens {
		if !asked[n] || there[n] {
			t.Errorf("%s need not be excused", n)
		}
	}

	// Every alert says what to do.
	manual, err := os.ReadFile("../../docs/operations.md")
	b.must(err)
	found := alertName.FindAllStringSubmatch(string(alerts), -1)
	if len(found) < 5 {
		t.Errorf("only %d alerts were found", len(found))
	}
	for _, a := range found {
		if !strings.Contains(string(manual), "**"+a[1]+"**") {
			t.Errorf("docs/operations.md does not say what to do when %s fires", a[1])
		}
	}
}

// onlyWhenItHappens are series that begin with the first event of their kind.
var onlyWhenItHappens = []string{"tuma_entries_refused_total"}
