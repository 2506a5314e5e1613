package phone

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func country(t testing.TB, region string) Country {
	t.Helper()
	c, err := CountryOf(region)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCountryOf(t *testing.T) {
	t.Parallel()
	for _, region := range []string{"KE", "TZ", "UG", "RW", "CI", "GH", "NG", "ZM", "MW", "ET", "US"} {
		country(t, region)
	}
	for _, region := range []string{"", "ke", "XX", "KEN", "001", "ZZ", strings.Repeat("K", 999)} {
		if c, err := CountryOf(region); err == nil {
			t.Errorf("CountryOf(%q) = %v, want an error", region, c)
		}
	}
}

func TestCountryParse(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		region, in string
		want       Number // "" for ErrInvalid
	}{
		{"KE", "0712000001", "+254712000001"},
		{"KE", "254712000001", "+254712000001"},
		{"KE", "+254712000001", "+254712000001"},
		{"KE", "+254 712-000-001", "+254712000001"},
		{"KE", "(0712) 000.001", "+254712000001"},
		{"KE", "712000001", "+254712000001"},
		{"KE", " 0712000001 ", "+254712000001"},
		{"KE", "0110000001", "+254110000001"},
		{"KE", "+255754000001", "+255754000001"}, // Tanzania
		{"KE", "+15005550006", "+15005550006"},
		{"KE", "+33142685300", "+33142685300"}, // abroad we cannot tell
		{"TZ", "0754000001", "+255754000001"},
		{"CI", "0708091011", "+2250708091011"}, // no trunk prefix: the 0 belongs to the number

		{"KE", "", ""},
		{"KE", " ", ""},
		{"KE", "+", ""},
		{"KE", "1", ""},
		{"KE", "4826", ""}, // a PIN
		{"KE", "071200000", ""},
		{"KE", "07120000011", ""},
		{"KE", "+25471200000", ""},
		{"KE", "+2547120000011", ""},
		{"KE", "0912000001", ""}, // range not assigned
		{"KE", "0202222222", ""}, // Nairobi, fixed
		{"KE", "0000000000", ""},
		{"KE", "+999712000001", ""},
		{"KE", "++254712000001", ""},
		{"KE", "254+712000001", ""},
		{"KE", "0712OOOOO1", ""},
		{"KE", "0800FLOWERS", ""},
		{"KE", "0712000001x5", ""},
		{"KE", "tel:0712000001", ""},
		{"KE", "０７１２０００００１", ""}, // full width
		{"KE", "٠٧١٢٠٠٠٠٠١", ""}, // Arabic-Indic
		{"KE", "0712000001\n", ""},
		{"KE", "0712\t000001", ""},
		{"KE", "0712\x00000001", ""},
		{"KE", "0712\u00a0000001", ""},
		{"KE", "0712000001*1", ""},
		{"KE", "0712000001#", ""},
		{"KE", "-0712000001;ext=1", ""},
		{"KE", "\xff0712000001", ""},
		{"KE", strings.Repeat(" ", 30) + "0712000001", ""},
		{"KE", strings.Repeat("0712000001", 10000), ""},
	} {
		got, err := country(t, test.region).Parse(test.in)
		if got != test.want || (err == nil) != (test.want != "") || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s Parse(%.40q) = %q, %v; want %q", test.region, test.in, got, err, test.want)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"+254712000001", "+254199999999" /* length right, range not assigned */, "+255754000001", "+2250708091011",
		"+15005550001", "+4915112345678", "+23670123456",
	} {
		if got, err := Parse(s); string(got) != s || err != nil {
			t.Errorf("Parse(%q) = %q, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "+", "254712000001", "0712000001", "+0712000001", "+254 712000001", "+254712000001 ", " +254712000001",
		"+2540712000001", "+2547120", "+2547120000012345", "+25471200000123456", "+999712000001", "+254７12000001",
		"+25471200000a", "+254712000001\n", "++25471200001", "+254712000001;ext=5", "\x00+254712000001", strings.Repeat("+254", 9999),
	} {
		if got, err := Parse(s); !errors.Is(err, ErrInvalid) || got != "" {
			t.Errorf("Parse(%.40q) = %q, %v; want ErrInvalid", s, got, err)
		}
	}
}

func TestNational(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		region string
		number Number
		want   string
	}{
		{"KE", "+254712000001", "0712000001"},
		{"KE", "+254199999999", "0199999999"},
		{"KE", "+255754000001", "+255754000001"},
		{"CI", "+2250708091011", "0708091011"},
		{"US", "+12015550123", "2015550123"},
		{"CA", "+12015550123", "+12015550123"},
		{"KE", "", ""},
		{"KE", "nonsense", "nonsense"},
	} {
		if got := country(t, test.region).National(test.number); got != test.want {
			t.Errorf("%s National(%q) = %q, want %q", test.region, test.number, got, test.want)
		}
	}
}

func TestMasked(t *testing.T) {
	t.Parallel()
	for number, want := range map[Number]string{
		"+254712000001":    "+2547****0001",
		"+2250708091011":   "+2250****1011",
		"+15005550006":     "+150****0006",
		"+247628891":       "+2****8891",
		"+2476288":         "****",
		"+123456789012345": "+1234****2345",
		"":                 "",
	} {
		if got := number.Masked(); got != want {
			t.Errorf("%q.Masked() = %q, want %q", string(number), got, want)
		}
	}
}

func TestNumberIsAPlainString(t *testing.T) {
	t.Parallel()
	n := Number("+254712000001")
	raw, err := json.Marshal(map[string]Number{"to": n})
	if err != nil || string(raw) != `{"to":"+254712000001"}` {
		t.Errorf("marshalled %s, %v", raw, err)
	}
	var back map[string]Number
	if err := json.Unmarshal(raw, &back); err != nil || back["to"] != n {
		t.Errorf("unmarshalled %v, %v", back, err)
	}
	if v, err := driver.DefaultParameterConverter.ConvertValue(n); v != string(n) || err != nil {
		t.Errorf("as a query argument: %#v, %v", v, err)
	}
	var scanned sql.Null[Number]
	if err := scanned.Scan([]byte(n)); err != nil || scanned.V != n {
		t.Errorf("scanned %v, %v", scanned, err)
	}
}

// However a Kenyan mobile number is written, it is the same number, and what
// National writes is read back.
func TestSpellings(t *testing.T) {
	t.Parallel()
	c := country(t, "KE")
	rapid.Check(t, func(t *rapid.T) {
		national := fmt.Sprintf("7%08d", rapid.IntRange(0, 99_999_999).Draw(t, "subscriber"))
		want := Number("+254" + national)
		spelling := rapid.SampledFrom([]string{"", "0", "254", "+254", "+254 ", "(0)"}).Draw(t, "prefix")
		for i := range len(national) {
			spelling += national[i : i+1]
			if i < len(national)-1 {
				spelling += rapid.SampledFrom([]string{"", "", "", " ", "-"}).Draw(t, "gap")
			}
		}
		if got, err := c.Parse(spelling); got != want || err != nil {
			t.Fatalf("Parse(%q) = %q, %v; want %q", spelling, got, err, want)
		}
		if got, err := c.Parse(c.National(want)); got != want || err != nil {
			t.Fatalf("Parse(National(%q)) = %q, %v", want, got, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"0712000001", "+254 712-000-001", "+15005550006", "٠٧", "+2540712000001", "(0)712000001", "+39 06 1234"} {
		f.Add(s)
	}
	c := country(f, "KE")
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := Parse(s); err == nil && string(n) != s {
			t.Fatalf("Parse(%q) = %q", s, n)
		}
		n, err := c.Parse(s)
		if err != nil {
			if n != "" || !errors.Is(err, ErrInvalid) {
				t.Fatalf("Country.Parse(%q) = %q, %v", s, n, err)
			}
			return
		}
		if again, err := Parse(string(n)); again != n || err != nil {
			t.Fatalf("Country.Parse(%q) = %q, which is not E.164: %v", s, n, err)
		}
		if again, err := c.Parse(c.National(n)); again != n || err != nil {
			t.Fatalf("%q: National %q is read as %q, %v", n, c.National(n), again, err)
		}
		if strings.Contains(n.Masked(), string(n[len(n)-6:])) {
			t.Fatalf("%q masked as %q", n, n.Masked())
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		if _, err := Parse("+254712000001"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCountryParse(b *testing.B) {
	c := country(b, "KE")
	for b.Loop() {
		if _, err := c.Parse("0712000001"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNational(b *testing.B) {
	c := country(b, "KE")
	for b.Loop() {
		c.National("+254712000001")
	}
}

// What was seen is read as at the first time, and what is none is never remembered.
func TestSeenReadsAsParse(t *testing.T) {
	t.Parallel()
	var seen Seen
	for range 3 {
		for _, text := range []string{"+254712000001", "+2540712000001", "254712000001", "+254712000002", "", "+1", "+254 712000001"} {
			want, wantErr := Parse(text)
			for _, s := range []*Seen{&seen, nil} {
				if n, err := s.Parse(text); n != want || (err == nil) != (wantErr == nil) {
					t.Errorf("%q: %q, %v; want %q, %v", text, n, err, want, wantErr)
				}
			}
		}
	}
	for i := range mostSeen + 10 {
		seen.mu.Lock()
		seen.numbers[string(rune(i))] = ""
		seen.mu.Unlock()
	}
	if n, err := seen.Parse("+254712000003"); n != "+254712000003" || err != nil || len(seen.numbers) != 1 {
		t.Errorf("%q, %v, %d remembered", n, err, len(seen.numbers))
	}
}
