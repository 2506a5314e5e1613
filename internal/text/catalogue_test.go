package text

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func files(pairs ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		fsys["screens/"+pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return fsys
}

const english = `# The English screens.

# Second comment.
[main] Home
Tuma
# not a comment here

two above
  [indented]


[send.done] Send money
{receipt} Confirmed. {amount} sent to {payee.name}.
[empty]
`

func TestParseCatalogue(t *testing.T) {
	t.Parallel()
	fsys := files("en.txt", english, "sw.txt", "\uFEFF[main] Mwanzo\r\nTuma\r\n", "README.md", "[", "pt-BR.txt", "[main]\nTuma")
	c, err := ParseCatalogue(fsys, "screens")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"en", "pt-BR", "sw"}, c.Languages()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"empty", "main", "send.done"}, c.Names()); diff != "" {
		t.Error(diff)
	}
	for _, test := range []struct {
		lang, name string
		want       Text
	}{
		{"en", "main", Text{"Home", "Tuma\n# not a comment here\n\ntwo above\n  [indented]"}},
		{"en", "send.done", Text{"Send money", "{receipt} Confirmed. {amount} sent to {payee.name}."}},
		{"en", "empty", Text{}},
		{"sw", "main", Text{"Mwanzo", "Tuma"}},
		{"pt-BR", "main", Text{"", "Tuma"}},
	} {
		got, ok := c.Text(test.lang, test.name)
		if !ok || got != test.want {
			t.Errorf("%s [%s] = %+v, %v; want %+v", test.lang, test.name, got, ok, test.want)
		}
	}
	for _, absent := range [][2]string{{"sw", "empty"}, {"fr", "main"}, {"pt", "main"}, {"en", "nothing"}, {"", ""}} {
		if got, ok := c.Text(absent[0], absent[1]); ok {
			t.Errorf("Text(%q) = %+v, want none", absent, got)
		}
	}
}

func TestParseCatalogueRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, file, body, want string }{
		{"text first", "en.txt", "# ok\nhello\n[main]\n", "screens/en.txt:2: text before"},
		{"twice", "en.txt", "[a]\n1\n[a]\n2\n", "screens/en.txt:3: [a] is there twice"},
		{"header", "en.txt", "[a b]\n", "screens/en.txt:1: a line at the margin"},
		{"header unclosed", "en.txt", "[a]\n[b\n", "screens/en.txt:2: a line at the margin"},
		{"header without a space", "en.txt", "[a]b\n", "screens/en.txt:1: a line at the margin"},
		{"upper-case name", "en.txt", "[A]\n", "screens/en.txt:1: a line at the margin"},
		{"unclosed hole", "en.txt", "[a]\nx {amount\n", "screens/en.txt:2: a brace"},
		{"odd hole", "en.txt", "[a]\n{Amount}\n", "screens/en.txt:2: a brace"},
		{"empty hole", "en.txt", "[a] {}\n", "screens/en.txt:1: a brace"},
		{"nested hole", "en.txt", "[a]\n{{x}}\n", "screens/en.txt:2: a brace"},
		{"not UTF-8", "en.txt", "[a]\n\xff\n", "screens/en.txt:1: not UTF-8"},
		{"language", "English.txt", "[a]\n", "screens/English.txt: not named after a language"},
		{"no language", "en.md", "[a]\n", "no <language>.txt in screens"},
		{"huge", "en.txt", "[a]\n" + strings.Repeat("x", maxFile), "larger than"},
	} {
		c, err := ParseCatalogue(files(test.file, test.body), "screens")
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "text: ") || c != nil {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
	if _, err := ParseCatalogue(files(), "screens"); err == nil {
		t.Error("no directory: no error")
	}
}

func TestFill(t *testing.T) {
	t.Parallel()
	c, err := ParseCatalogue(files("en.txt", english), "screens")
	if err != nil {
		t.Fatal(err)
	}
	h := Holes{"receipt": "UKM4Q7X2PA", "amount": "Ksh5.00", "payee.name": "{amount}", "unused": "x"}
	got, err := c.Fill("en", "send.done", h)
	if want := "UKM4Q7X2PA Confirmed. Ksh5.00 sent to {amount}."; got != want || err != nil {
		t.Errorf("Fill = %q, %v; want %q", got, err, want)
	}
	delete(h, "amount")
	for _, test := range []struct{ lang, name, want string }{
		{"en", "send.done", "text: no value for {amount} in [send.done] of en"},
		{"en", "nothing", `text: no [nothing] in language "en"`},
		{"sw", "main", `text: no [main] in language "sw"`},
	} {
		if got, err := c.Fill(test.lang, test.name, h); err == nil || err.Error() != test.want || got != "" {
			t.Errorf("Fill(%s, %s) = %q, %v; want %q", test.lang, test.name, got, err, test.want)
		}
	}
}

func TestHolesOf(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		"":                              nil,
		"no holes { } {} {A} {1} {a b}": nil,
		"{b} {a.c} {b} {a_1}":           {"a.c", "a_1", "b"},
		"{{x}}":                         {"x"},
	} {
		if diff := cmp.Diff(want, HolesOf(in)); diff != "" {
			t.Errorf("HolesOf(%q): %s", in, diff)
		}
	}
}

func TestFillString(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.MapOf(rapid.StringMatching(`[a-z][a-z0-9_.]{0,4}`), rapid.String()).Draw(t, "holes")
		body, want := "", ""
		for _, name := range slices.Sorted(maps.Keys(values)) {
			between := rapid.StringMatching(`[A-Z é}\n]{0,5}`).Draw(t, "between")
			body += between + "{" + name + "}"
			want += between + values[name]
		}
		if got, err := FillString(body, values); got != want || err != nil {
			t.Fatalf("FillString(%q, %q) = %q, %v; want %q", body, values, got, err, want)
		}
		for name := range values {
			delete(values, name)
			if got, err := FillString(body, values); err == nil || got != "" {
				t.Fatalf("FillString(%q) without {%s} = %q", body, name, got)
			}
			break
		}
	})
}

func TestCheck(t *testing.T) {
	t.Parallel()
	c, err := ParseCatalogue(files(
		"en.txt", "[a] Send\n{x} to {y}\n[b]\nonly\n[c] {n} here\nok\n[d]\nsame {x}\n",
		"sw.txt", "[a]\n{x} kwa {z}\n[c] {m} hapa\nok \n[d]\n{x} sawa\n",
		"fr.txt", "[a] Envoyer\n{y} re\u00e7oit {x}\n[b]\nl\u2019un\n[c] {n} ici\n[d]\n{x} \u00eatre \u00eatre\n",
	), "screens")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`fr [a]: characters outside GSM 7-bit: 'ç'`,
		`fr [b]: characters outside GSM 7-bit: '’'`,
		`fr [d]: characters outside GSM 7-bit: 'ê'`,
		`sw [a]: body has holes [x z], but [x y] in en`,
		`sw [a]: label "", but "Send" in en`,
		`sw [b]: missing`,
		`sw [c]: label has holes [m], but [n] in en`,
		`sw [c]: space at the end of "ok "`,
	}
	if diff := cmp.Diff(want, c.Check()); diff != "" {
		t.Error(diff)
	}
	clean, err := ParseCatalogue(files("en.txt", "[a] A\n{x}\n", "sw.txt", "[a] B\n{x}\n"), "screens")
	if err != nil {
		t.Fatal(err)
	}
	if problems := clean.Check(); len(problems) != 0 {
		t.Errorf("clean catalogue: %q", problems)
	}
}

// What is written in the format is read back the same.
func TestCatalogueRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.MapOf(rapid.StringMatching(`[a-z0-9][a-z0-9_.-]{0,6}`), rapid.Custom(func(t *rapid.T) Text {
			return Text{
				Label: rapid.StringMatching(`([A-Za-z{][a-z ]{0,8})?`).Filter(func(s string) bool { return !strings.Contains(s, "{") }).Draw(t, "label"),
				// Ends in something visible, and no line starts a block.
				Body: rapid.StringMatching(`([^\[{}\r\x{FFFD}][^{}\r\n\[]{0,12}\n{0,2}){0,4}`).Draw(t, "body") + "end",
			}
		})).Draw(t, "texts")
		var b strings.Builder
		for name, text := range want {
			b.WriteString("[" + name + "]")
			if text.Label != "" {
				b.WriteString(" " + text.Label)
			}
			b.WriteString("\n" + text.Body + "\n\n")
		}
		got, err := parseFile(b.String())
		if err != nil {
			t.Fatalf("%v in\n%s", err, b.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzParseCatalogue(f *testing.F) {
	f.Add(english)
	f.Add("[a]\r\n{x}\r\n")
	f.Add("[a]\n{")
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := ParseCatalogue(files("en.txt", raw), "screens")
		if err != nil {
			return
		}
		c.Check()
		for _, name := range c.Names() {
			text, ok := c.Text("en", name)
			if !ok {
				t.Fatalf("[%s] is listed but not there", name)
			}
			h := Holes{}
			for _, hole := range HolesOf(text.Body) {
				h[hole] = "v"
			}
			filled, err := c.Fill("en", name, h)
			if err != nil || strings.ContainsAny(filled, "{}") {
				t.Fatalf("[%s] filled %q, %v", name, filled, err)
			}
		}
	})
}
