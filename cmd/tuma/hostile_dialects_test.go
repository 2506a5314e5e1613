package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tuma/ussd"
)

// usual is what a well-formed request of any dialect has in a field.
func usual(field string) string {
	switch f := strings.ToLower(field); {
	case strings.Contains(f, "session") && f != "newsession":
		return "h1"
	case f == "phonenumber":
		return "+254712000001"
	case f == "networkcode", f == "sequence", strings.HasPrefix(f, "duration"):
		return "1"
	case strings.Contains(f, "msisdn"), strings.Contains(f, "number"), f == "mobile", f == "orig":
		return "254712000001"
	case f == "dest", f == "gate", f == "msc":
		return "334"
	case f == "newsession", f == "msgtype":
		return "true"
	case f == "type":
		return "Initiation"
	case f == "command":
		return "initiate"
	}
	return "*334#"
}

// written is a request of a wire with these fields, in their order.
func (k wire) written(pairs [][2]string) (method, query, body, kind string) {
	switch k.kind {
	case "query":
		return "GET", "?" + encoded(pairs), "", ""
	case "form":
		return "POST", "", encoded(pairs), formType
	case "xml":
		var b strings.Builder
		for _, p := range pairs {
			fmt.Fprintf(&b, "<%s>%s</%[1]s>", p[0], strings.NewReplacer("<", "&lt;", "&", "&amp;").Replace(p[1]))
		}
		return "POST", "", "<request>" + b.String() + "</request>", "text/xml"
	}
	var outer, inner []string
	for _, p := range pairs {
		v, err := json.Marshal(p[1])
		if err != nil {
			panic(err)
		}
		if _, name, nested := strings.Cut(p[0], "."); nested {
			inner = append(inner, fmt.Sprintf("%q:%s", name, v))
			continue
		}
		outer = append(outer, fmt.Sprintf("%q:%s", p[0], v))
	}
	if inner != nil {
		outer = append(outer, `"payload":{`+strings.Join(inner, ",")+"}")
	}
	return "POST", "", "{" + strings.Join(outer, ",") + "}", "application/json"
}

// TestHostileDialects is TestHostileForms for every gateway's own form.
func TestHostileDialects(t *testing.T) {
	t.Parallel()
	b := startBankWith(t, func(g *gateways) { g.USSD = ussd.Dialects() })
	defer b.unchanged()()
	long := append(slices.Clone(hostile), strings.Repeat("x", 15_000), "+2547120000011111111", "+000000000000", "*334", "-1", "1e309")
	for _, name := range ussd.Dialects() {
		if len(wires[name]) == 0 {
			t.Errorf("%s has no wire", name)
		}
		for _, k := range wires[name] {
			path := "/ussd/" + name + strings.Replace(k.path, "{}", "h1", 1)
			var good [][2]string
			for _, f := range k.fields {
				good = append(good, [2]string{f, usual(f)})
			}
			ask := func(what string, pairs [][2]string, change func(method, body, kind string) (string, string, string), want ...int) {
				t.Helper()
				method, query, body, kind := k.written(pairs)
				if change != nil {
					method, body, kind = change(method, body, kind)
				}
				status, said := b.request(method, path+query, kind, body, nil)
				b.wantAnswer(fmt.Sprintf("%s %s, %s", path, strings.Join(k.fields, " "), what), status, said, slices.Contains(want, status))
			}
			ask("well-formed", good, nil, 200)
			for i := range good {
				for n, v := range long {
					if k.kind == "query" && len(v) > 10_000 {
						continue // the server itself refuses such a line
					}
					bad := slices.Clone(good)
					bad[i][1] = v
					ask(fmt.Sprintf("%s=%.40q", good[i][0], v), bad, nil, 200, 400, 413)
					if n == 0 {
						twice := []int{400}
						if k.path == "/events" { // it reads few of them
							twice = []int{200, 400}
						}
						ask(good[i][0]+" twice", append(slices.Clone(good), [2]string{good[i][0], "2"}), nil, twice...)
						ask("without "+good[i][0], slices.Delete(slices.Clone(good), i, i+1), nil, 200, 400)
					}
				}
			}
			if k.kind == "query" {
				ask("with POST", good, func(_, body, kind string) (string, string, string) { return "POST", body, kind }, 405)
				continue
			}
			as := func(kind string) func(string, string, string) (string, string, string) {
				return func(method, body, _ string) (string, string, string) { return method, body, kind }
			}
			ask("nothing", nil, func(method, _, kind string) (string, string, string) { return method, "", kind }, 400)
			ask("of another type", good, as("text/plain"), 415)
			ask("of no type", good, as(""), 415)
			ask("cut off", good, func(method, body, kind string) (string, string, string) { return method, body[:len(body)/2], kind }, 200, 400)
			ask("a megabyte", good, func(method, body, kind string) (string, string, string) {
				return method, body + strings.Repeat(" ", 1<<20), kind
			}, 413)
			ask("with GET", good, func(_, body, kind string) (string, string, string) { return "GET", body, kind }, 405)
			ask("with PUT", good, func(_, body, kind string) (string, string, string) { return "PUT", body, kind }, 405)
			switch k.kind {
			case "json":
				for _, v := range []string{"null", "[]", `"x"`, "1", strings.Repeat("[", 10_000), strings.Repeat(`{"a":`, 3_000), `{} {}`, `{"a":1e309}`, "\ufeff{}", `{"` + good[0][0] + `":{}}`, `{"` + good[0][0] + `":"\ud800"}`} {
					ask(fmt.Sprintf("%.30s", v), good, func(method, _, kind string) (string, string, string) { return method, v, kind }, 200, 400)
				}
			case "xml":
				for _, v := range []string{"<", "<a>", strings.Repeat("<a>", 4_000), `<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><request><session_id>&x;</session_id></request>`, `<?xml version="1.0" encoding="utf-7"?><a/>`} {
					ask(fmt.Sprintf("%.30s", v), good, func(method, _, kind string) (string, string, string) { return method, v, kind }, 200, 400)
				}
			}
		}
	}
	if strings.Contains(b.log.String(), "level=ERROR") {
		t.Errorf("the log has errors:\n%.3000s", b.log)
	}
}
