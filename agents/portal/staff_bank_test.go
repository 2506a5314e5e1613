package portal

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"tuma/agents"
)

// statement is the form that hands a bank's statement in.
func (b *browser) statement(text, closing string) {
	b.t.Helper()
	var body bytes.Buffer
	m := multipart.NewWriter(&body)
	b.must(m.WriteField("form", b.form))
	b.must(m.WriteField("closing", closing))
	part, err := m.CreateFormFile("statement", "../../November <b>.csv")
	b.must(err)
	_, err = part.Write([]byte(text))
	b.must(err)
	b.must(m.Close())
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.server.URL+"/agents/staff/bank", &body)
	b.must(err)
	r.Header.Set("Content-Type", m.FormDataContentType())
	b.send(r)
}

const (
	bankHead = "Date;Reference;Details;Money in;Money out;Balance\n"
	bankTwo  = "22/11/2026;BANK-100001;cash;50.000,00;;50.000,00\n22/11/2026;;by hand BANK-100002;300,00;;50.300,00\n"
)

func TestBankPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mary, charles := w.browser().signInStaff("mary"), w.browser().signInStaff("charles")
	mary.get("/agents/staff/bank")
	mary.wants(200, "Not known", "Ksh50,300.00", "Only in the book:", "BANK-100002")
	mary.statement("nothing like it", "")
	mary.wants(422, "No line names the columns")
	mary.statement(bankHead, "")
	mary.wants(422, "no line with an amount")
	mary.statement(bankHead+strings.Repeat("x", agents.MaxBankFile), "")
	mary.wants(422, "too large")
	mary.statement(bankHead+bankTwo, "much")
	mary.wants(422, "Not an amount")
	mary.statement(bankHead+bankTwo, "")
	mary.wants(200, "2 lines were read, 2 of them new", "Bank and e-money are equal.", "agree on every line")
	mary.statement(bankHead+bankTwo, "")
	mary.wants(200, "2 lines were read, 0 of them new", "Bank and e-money are equal.")

	// A cent shows, and a bad line is named without losing the others.
	mary.statement(bankHead+bankTwo+"22/11/2026;=1+1;fee <script>;;0,01;50.299,99\n22/31/2026;X;;5;;x\n", "")
	mary.wants(200, "3 lines were read, 1 of them new", "Line 5: not a date, or in the future: 22/31/2026", "-Ksh0.01", "Only in the bank:", "fee &lt;script&gt;")
	mary.get("/agents/staff/bank.csv")
	mary.wants(200, "Only in the bank:,'=1+1,2026-11-22,-0.01,0.00,fee <script>,,,,\n")
	name := regexp.MustCompile(`/agents/staff/bank/([0-9a-f]{16})`).FindStringSubmatch(mary.get("/agents/staff/bank").body)[1]
	charles.get("/agents/staff/bank/" + name)
	charles.wants(200, "Only in the bank:")
	if strings.Contains(charles.last.body, "Close it") {
		t.Error("what nobody has explained is to be closed")
	}
	mary.get("/agents/staff/bank/" + name)
	mary.post("/agents/staff/bank/explain", "name", name, "reason", "")
	mary.wants(422, "Give a reason")
	mary.post("/agents/staff/bank/explain", "name", name, "reason", "the bank's fee")
	mary.follow()
	mary.wants(200, "the bank&#39;s fee")
	if strings.Contains(mary.last.body, "Close it") {
		t.Error("a maker is to close")
	}
	mary.post("/agents/staff/bank/close", "name", name, "reason", "so it is")
	mary.wants(403)
	charles.get("/agents/staff/bank/" + name)
	charles.wants(200, "Close it")
	charles.post("/agents/staff/bank/close", "name", name, "reason", "seen the bank's letter")
	charles.follow()
	charles.wants(200, "Closed by", "charles")
	charles.post("/agents/staff/bank/close", "name", name, "reason", "once more")
	charles.wants(422, "Somebody else was faster")
	charles.get("/agents/staff/bank")
	charles.wants(200, "agree on every line", "-Ksh0.01", "(mary, charles)")
	for _, path := range []string{"/agents/staff/bank/0000000000000000", "/agents/staff/bank/x"} {
		charles.get(path)
		charles.wants(404)
	}
	mary.post("/agents/staff/bank/explain", "name", "nosuch", "reason", "the bank's fee")
	mary.wants(404)
	if n := w.count(`select count(*) from log where action in ('bank_import', 'reconcile_note', 'reconcile_close')`); n != 4 {
		t.Errorf("%d lines in the log", n)
	}
	zawadi := w.browser().signInStaff("zawadi")
	zawadi.get("/agents/staff/bank")
	zawadi.wants(403)
}
