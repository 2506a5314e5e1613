package accounts

import (
	"strings"
	"testing"
	"time"

	"tuma/internal/text"
)

// widest is the longest that every hole of a notice can hold, and why.
var widest = map[string]string{
	"code":    "UKMXXXXXXX",      // receipts have 10 characters
	"first":   "UKMXXXXXXX",      // the receipt that a refund speaks of
	"amount":  "Ksh250,000.00",   // the highest band of the tariff; airtime and cents are no longer
	"balance": "Ksh500,000.00",   // the top tier's maximum
	"fee":     "Ksh309.00",       // the highest fee of the tariff
	"name":    "NYAMWEYA OMONDI", // 15 characters: what ShortName leaves of a person's name
	"number":  "+255712000001",   // a neighbour's number stays E.164: 13 characters, our own have 10
	"till":    "100001",          // six digits
	"date":    "22/11/26",        // two digits each, no leading zeros
	"time":    "10:15 PM",        // two digits of hours
	"brand":   "Kwacha",          // 6 characters, as New insists
	"service": "*334#",           // 5, the usual length of a service code
	"care":    "0800 721 000",    // a toll-free number with its spaces
}

// Some notices have other values than the rest.
var widestIn = map[string]map[string]string{
	"withdraw_payer":         {"name": "MAMA MBOGA STO"},                                                              // a till's name is cut to 14
	"deposit_payee":          {"name": "MAMA MBOGA STO"},                                                              // likewise
	"withdraw_till":          {"balance": "Ksh99,999,999.99"},                                                         // a float has no maximum
	"deposit_till":           {"balance": "Ksh99,999,999.99"},                                                         // likewise
	"float_till":             {"till": "COAST DISTRIBU", "balance": "Ksh99,999,999.99", "amount": "Ksh99,999,999.99"}, // and is bought in one piece
	"return_till":            {"till": "COAST DISTRIBU", "balance": "Ksh99,999,999.99", "amount": "Ksh99,999,999.99"}, // as it was bought
	"payout_till":            {"till": "COAST DISTRIBU", "balance": "Ksh99,999,999.99", "amount": "Ksh999,999.99"},    // commission is a part of a percent
	"transfer_in_till":       {"till": "COAST DISTRIBU", "balance": "Ksh99,999,999.99", "amount": "Ksh99,999,999.99", "name": "MAMA MBOGA STO"},
	"transfer_out_till":      {"balance": "Ksh99,999,999.99", "amount": "Ksh99,999,999.99", "name": "100002 MAMA MBOGA STO"},
	"float_low":              {"amount": "Ksh99,999,999.99"},
	"float_declined":         {"till": "COAST DISTRIBU", "amount": "Ksh99,999,999.99"},
	"reversal_approved_till": {"balance": "Ksh99,999,999.99"},
	"airtime_self":           {"amount": "Ksh10,000.00", "fee": "Ksh99.00"}, // airtime's only band ends there and is free: room for two digits
	"airtime_other":          {"amount": "Ksh10,000.00", "fee": "Ksh99.00"}, // likewise
	"airtime_refund":         {"amount": "Ksh10,099.00"},                    // both together
}

func notices(t testing.TB) *text.Catalogue {
	t.Helper()
	words, err := text.ParseCatalogue(noticeFiles, "notices")
	if err != nil {
		t.Fatal(err)
	}
	return words
}

func TestEveryNoticeFitsOneSegment(t *testing.T) {
	t.Parallel()
	words := notices(t)
	for _, lang := range words.Languages() {
		for _, name := range words.Names() {
			h := text.Holes{}
			for _, values := range []map[string]string{widest, widestIn[name]} {
				for k, v := range values {
					h[k] = v
				}
			}
			body, err := fill(words, lang, name, h)
			if err != nil {
				t.Errorf("%s [%s]: %v", lang, name, err)
				continue
			}
			if n, ok := text.Septets(body); n > 160 || !ok {
				t.Errorf("%s [%s] has %d septets, GSM 7-bit %v:\n%s", lang, name, n, ok, body)
			}
			if h["name"] != "" && len(h["name"]) < 10 {
				t.Errorf("%s [%s] leaves no more of the name than %q", lang, name, h["name"])
			}
		}
	}
}

func TestNoticesAgreeInAllLanguages(t *testing.T) {
	t.Parallel()
	words := notices(t)
	for _, problem := range words.Check() {
		t.Error(problem)
	}
	if got := strings.Join(words.Languages(), " "); got != "en fr sw" {
		t.Errorf("languages: %s", got)
	}
	for _, name := range words.Names() {
		en, _ := words.Text("en", name)
		for _, lang := range words.Languages() {
			if here, _ := words.Text(lang, name); lang != "en" && here.Body == en.Body {
				t.Errorf("%s [%s] is not translated", lang, name)
			}
		}
	}
}

// Other people's programs read our English receipts: they look for these words.
func TestEnglishReceiptsCanBeParsed(t *testing.T) {
	t.Parallel()
	words := notices(t)
	for _, name := range words.Names() {
		body, err := words.Fill("en", name, widest)
		if err != nil {
			t.Fatal(err)
		}
		en, _ := words.Text("en", name)
		holes := text.HolesOf(en.Body)
		has := func(hole string) bool {
			for _, h := range holes {
				if h == hole {
					return true
				}
			}
			return false
		}
		want := map[string]bool{"UKMXXXXXXX Confirmed. ": has("code"), "Transaction cost, Ksh": has("fee"),
			"New Kwacha balance is Ksh": has("balance") && !strings.HasSuffix(name, "_till")}
		for words, wanted := range want {
			if strings.Contains(body, words) != wanted {
				t.Errorf("[%s] has %q: %v, want %v:\n%s", name, words, !wanted, wanted, body)
			}
		}
	}
}

func TestShortName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		n    int
		want string
	}{
		{"ASHA JUMA", 15, "ASHA JUMA"},
		{"CHRISTOPHER WANJIRU", 15, "CHRISTOPHER W"},
		{"CHRISTOPHER ODHIAMBO OTIENO", 15, "CHRISTOPHER O"},
		{"ABDULRAHMAN ALI HASSAN", 15, "ABDULRAHMAN ALI"},
		{"ABDULRAHMANELHASSANI", 15, "ABDULRAHMANELHA"},
		{"ABDULRAHMANELHASSANI JUMA", 15, "ABDULRAHMANELHA"},
		{"ABCDEFGHIJKLMN OPQ", 15, "ABCDEFGHIJKLMN"},
		{"ABCDEFGHIJKLM OPQ", 15, "ABCDEFGHIJKLM O"},
		{"ÉLOÏSE ÑANDÉ ÖÄÜ", 12, "ÉLOÏSE ÑANDÉ"},
		{"  ASHA   JUMA ", 15, "ASHA JUMA"},
		{"", 15, ""},
	} {
		if got := ShortName(c.name, c.n); got != c.want || len([]rune(got)) > c.n {
			t.Errorf("ShortName(%q, %d) = %q, want %q", c.name, c.n, got, c.want)
		}
	}
}

// The widest values are what the code makes of the widest input.
func TestWidestValuesAreWide(t *testing.T) {
	t.Parallel()
	s := &Service{country: kenya(t)}
	stamp := s.stamp(time.Date(2026, 11, 22, 22, 15, 0, 0, s.country.Zone))
	tariff := kenyanTariff(t)
	var amount, fee, balance int64
	for _, b := range tariff.Bands {
		if b.Sort == "fee" {
			amount, fee = max(amount, b.High), max(fee, b.Amount)
		}
	}
	for _, x := range tariff.Tiers {
		balance = max(balance, x.MaxBalance)
	}
	for hole, got := range map[string]string{
		"date": stamp["date"], "time": stamp["time"], "amount": s.Money(amountOf(amount)), "fee": s.Money(amountOf(fee)), "balance": s.Money(amountOf(balance)),
		"service": s.country.ServiceCode, "brand": strings.Repeat("B", maxBrand), "name": strings.Repeat("N", noticeName),
	} {
		if len(got) > len(widest[hole]) {
			t.Errorf("{%s} can be %q, wider than %q", hole, got, widest[hole])
		}
	}
}
