package dialogues

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"    CON Tuma\n", "x.txt:1: nobody has done anything"},
		{"# hello\n    CON\n", "x.txt:2: nobody has done anything"},
		{"  asha dials *334#\n", "x.txt:1: what the service says is indented by 4"},
		{"asha sings\n", `x.txt:1: nobody can "sings"`},
		{"zoe dials *334#\n", `x.txt:1: "zoe" is not in the cast`},
		{"asha dials 334\n", "x.txt:1: \"334\" cannot be"},
		{"asha has plenty\n", "x.txt:1: \"plenty\" cannot be"},
		{"asha waits long\n", "x.txt:1: \"long\" cannot be"},
		{"asha waits -3m\n", "x.txt:1: \"-3m\" cannot be"},
		{"asha drops it\n", "x.txt:1: \"drops\" takes nothing"},
		{"asha dials\n", "x.txt:1: \"dials\" takes something"},
		{"\ncast x\n", "x.txt:2: want: cast"},
		{"cast zoe till +254712000001\n", "x.txt:1: a dialogue can add"},
		{"cast zoe customer +254712000001\n", "x.txt:1: a customer has"},
		{"cast 0 customers\n", "x.txt:1: 1 to 100 customers"},
		{"cast office asha\n", `x.txt:1: "asha" is no operator`},
		{"cast zoe till +254722000003 ZOE ANNE id 24000003 at 100009 assistant\n", "x.txt:1: nobody has the till"},
		{"customers have 5.00\n", "x.txt:1:"},
		{"cast 5 customers\njuma serves customers 1 to 6 who bring 5.00, every 1m\n", "x.txt:2:"},
		{"cast 5 customers\njuma serves customers 1 to 5 who steal 5.00, every 1m\n", "x.txt:2:"},
		{"the maker sings\n", `x.txt:1: nobody can "maker"`},
		{"cast zoe stranger 0712000001\n", "x.txt:1: want: cast"},
	} {
		_, err := Parse("x.txt", c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
		}
	}
}

// echo is a service that repeats what it is told, for playing without one.
type echo struct {
	Stage // nil: what a test does not use panics
	sms   []string
	hops  []Hop
	real  func([]Person) []Person
	text  func(Hop) string
}

func (e *echo) Begin(_ context.Context, cast []Person) ([]Person, error) {
	if e.real != nil {
		return e.real(cast), nil
	}
	return cast, nil
}
func (e *echo) Hop(_ context.Context, h Hop) (string, error) {
	e.hops = append(e.hops, h)
	if e.text != nil {
		return e.text(h), nil
	}
	return "CON you said\n" + h.Text, nil
}
func (e *echo) SMS(context.Context, Person, int) ([]string, error) { return e.sms, nil }
func (e *echo) Drop(context.Context, Hop) error                    { return nil }
func (e *echo) Wait(context.Context, time.Duration) error          { return nil }
func (e *echo) Books(context.Context, []Person) ([]Balance, error) {
	return []Balance{{"wallet asha", "1.00"}, {"fees", "12.00"}}, nil
}
func (e *echo) Give(context.Context, Person, string) error {
	e.sms = append(e.sms, "you have money")
	return nil
}

func play(t *testing.T, text string, stage Stage, o Options) Played {
	t.Helper()
	s, err := Parse("x.txt", text)
	if err != nil {
		t.Fatal(err)
	}
	o.ServiceCode = "*334#"
	p, err := Play(t.Context(), s, stage, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Customers who come one after the other are each played the whole way, and what
// is not a receipt is shown.
func TestServes(t *testing.T) {
	t.Parallel()
	stage := &echo{text: func(h Hop) string {
		switch {
		case h.Text == "2*100001*300":
			return "CON Enter PIN"
		case h.From.Handle == "customer2":
			return "END Not enough money.\nSorry."
		}
		return "END UKM4Q7X2PA Confirmed. " + h.Text
	}}
	got := play(t, "cast 3 customers\njuma serves customers 1 to 3 who take 300.00, every 5m\n", stage, Options{})
	const want = `cast 3 customers
juma serves customers 1 to 3 who take 300.00, every 5m
    customer2: END Not enough money. / Sorry.
    2 of 3 confirmed, the last:
    END UKM4Q7X2PA Confirmed. 2*100001*300*4826
`
	if d := cmp.Diff(want, got.Text); d != "" {
		t.Error(d)
	}
	if len(stage.hops) != 6 || stage.hops[5].From.Handle != "customer3" {
		t.Errorf("%+v", stage.hops)
	}
}

func TestPlayRewrites(t *testing.T) {
	t.Parallel()
	const before = `# A comment

asha has 5.00
asha dials *334*1*2#
    CON you said
    1
asha types 3
asha retries
# In between
asha drops
asha receives
books
    fees 1
`
	const after = `# A comment

asha has 5.00
asha dials *334*1*2#
    CON you said
    1*2
asha types 3
    CON you said
    1*2*3
asha retries
    CON you said
    1*2*3
# In between
asha drops
asha receives
books
    wallet asha   1.00
    fees         12.00
`
	played := play(t, before, &echo{}, Options{})
	if d := cmp.Diff(after, played.Text); d != "" {
		t.Error(d)
	}
	for _, want := range []string{"x.txt:4: asha dials *334*1*2#\n      CON you said\n    - 1\n    + 1*2\n", "x.txt:7: asha types 3\n    + CON you said"} {
		if !strings.Contains(played.Diff, want) {
			t.Errorf("no %q in\n%s", want, played.Diff)
		}
	}
	if again := play(t, after, &echo{}, Options{}); again.Diff != "" || again.Text != after {
		t.Errorf("not stable:\n%s", again.Diff)
	}
}

// From outside, people have other numbers, receipts other codes, clocks another time.
func TestLoose(t *testing.T) {
	t.Parallel()
	const text = `asha dials *334*0712000002#
    CON UKM4Q7X2PA Confirmed. Sent to 0712000002 on 22/11/26 at 9:15 AM
    again UKM4Q7X2PA, then UKM4Q7X2PB
`
	stage := &echo{
		real: func(cast []Person) []Person {
			out := append([]Person{}, cast...)
			out[0].Number, out[1].Number = "+254719999991", "+254719999992"
			return out
		},
		text: func(Hop) string {
			return "CON ULA1Q7X2P1 Confirmed. Sent to 0719999992 on 1/12/26 at 12:01 PM\nagain ULA1Q7X2P1, then ULA1Q7X2P2"
		},
	}
	if p := play(t, text, stage, Options{Loose: true}); p.Diff != "" {
		t.Error(p.Diff)
	}
	if stage.hops[0].Text != "0719999992" || stage.hops[0].From.Number != "+254719999991" {
		t.Errorf("%+v", stage.hops[0])
	}
	// One receipt for two is a difference all the same.
	stage.text = func(Hop) string {
		return "CON ULA1Q7X2P1 Confirmed. Sent to 0719999992 on 1/12/26 at 12:01 PM\nagain ULA1Q7X2P2, then ULA1Q7X2P2"
	}
	if p := play(t, text, stage, Options{Loose: true}); p.Diff == "" {
		t.Error("two receipts were taken for one")
	}
}

func TestNotFromOutside(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"asha waits 3m\n", "books\n", "juma has 5.00\n", "cast 3 customers\nasha dials *334#\n", "the maker takes up float\n", "cast office juma\nasha dials *334#\n", "cast eve customer +254712000009 EVE MOSES id 30000009 frozen\n"} {
		s, err := Parse("x.txt", text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Play(t.Context(), s, &echo{}, Options{Loose: true}); !errors.Is(err, ErrOnlyInside) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// The dialogues that come with the service can be read, and say what they are.
func TestFilesAreReadable(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no dialogues", err)
	}
	outside := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Parse(file, string(raw))
		if err != nil {
			t.Error(err)
			continue
		}
		if !strings.HasPrefix(string(raw), "# ") {
			t.Errorf("%s does not begin with what it is about", file)
		}
		if s.NeedsInside() == "" {
			outside++
		}
	}
	if outside < 5 {
		t.Errorf("only %d dialogues can be played on a running server", outside)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("asha has 1.00\nasha dials *334#\n    CON\n")
	f.Add("cast zoe stranger +254733000001\n\nbooks\n    x")
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := Parse("x.txt", text); err == nil {
			s.NeedsInside()
		}
	})
}
