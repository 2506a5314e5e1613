package sms

import (
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"tuma/accounts"
	"tuma/internal/money"
	"tuma/internal/phone"
	"tuma/internal/text"
)

func kenya(t testing.TB) accounts.Country {
	t.Helper()
	ke, err1 := phone.CountryOf("KE")
	kes, err2 := money.CurrencyOf("KES")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return accounts.Country{
		Phone: ke, Currency: kes, ServiceCode: "*334#", Languages: []string{"en", "sw", "fr"}, Zone: nairobi, Brand: "Tuma", Care: "0800 721 000",
	}
}

func vocabularyOf(t testing.TB) (vocabulary, *text.Catalogue) {
	t.Helper()
	words, err := text.ParseCatalogue(commandFiles, "commands")
	if err != nil {
		t.Fatal(err)
	}
	v, err := newVocabulary(words)
	if err != nil {
		t.Fatal(err)
	}
	return v, words
}

func TestWhatMessagesMean(t *testing.T) {
	t.Parallel()
	v, _ := vocabularyOf(t)
	ke := kenya(t)
	send := func(lang string, shillings money.Amount, to phone.Number) command {
		return command{name: cmdSend, lang: lang, amount: 100 * shillings, number: to}
	}
	const baraka = phone.Number("+254712000002")
	pin := command{name: cmdPIN}
	pinIn := func(lang string) command { return command{name: cmdPIN, lang: lang} }
	unclear := func(meant, lang string) command { return command{name: cmdUnclear, meant: meant, lang: lang} }
	for _, c := range []struct {
		message string
		want    command
	}{
		{"BAL", command{name: cmdBalance, lang: "en"}},
		{" bal. ", command{name: cmdBalance, lang: "en"}},
		{"Balance please", command{name: cmdBalance, lang: "en"}},
		{"please check balance", command{name: cmdBalance, lang: "en"}},
		{"salio", command{name: cmdBalance, lang: "sw"}},
		{"Naomba salio langu", command{name: cmdBalance, lang: "sw"}},
		{"solde", command{name: cmdBalance, lang: "fr"}},
		{"ＢＡＬ", command{name: cmdBalance, lang: "en"}},
		{"mini statement", command{name: cmdMini, lang: "en"}},
		{"Taarifa fupi", command{name: cmdMini, lang: "sw"}},
		{"relevé", command{name: cmdMini, lang: "fr"}},
		{"relevé", command{name: cmdMini, lang: "fr"}},

		{"SEND 500 0712000002", send("en", 500, baraka)},
		{"send Ksh500 to 0712000002", send("en", 500, baraka)},
		{"Send KES 1,500 0712000002", send("en", 1500, baraka)},
		{"send 1,500.00 +254712000002", send("en", 1500, baraka)},
		{"send 500/= 254712000002", send("en", 500, baraka)},
		{"SEND500 0712000002", send("en", 500, baraka)},
		{"SEND 500,0712000002", send("en", 500, baraka)},
		{"SEND:500:0712000002", send("en", 500, baraka)},
		{"send 1 500 0712 000 002", send("en", 1500, baraka)},
		{"send 0712-000-002 500", send("en", 500, baraka)},
		{"send ksh. 500 to 712000002", send("en", 500, baraka)},
		{"send money 500 0712000002 for school fees", send("en", 500, baraka)},
		{"send ５００ ０７１２０００００２", send("en", 500, baraka)},
		{"send ٥٠٠ ٠٧١٢٠٠٠٠٠٢", send("en", 500, baraka)},
		{"send\n500\n0712000002", send("en", 500, baraka)},
		{"send 500\u00a00712000002\u200e", send("en", 500, baraka)},
		{"SEND 4826 0712000002", send("en", 4826, baraka)}, // an amount stands where one belongs
		{"TUMA 500 kwa 0712000002", send("sw", 500, baraka)},
		{"tuma pesa 500 0712000002", send("sw", 500, baraka)},
		{"envoyer 500 à 0712000002", send("fr", 500, baraka)},
		{"Envoyez 500 0712000002 svp", send("fr", 500, baraka)},
		{"send 500 +255712000001", send("en", 500, "+255712000001")},
		{"WITHDRAW 1000 100001", command{name: cmdWithdraw, lang: "en", amount: 100000, till: "100001"}},
		{"withdraw 100001 1000", command{name: cmdWithdraw, lang: "en", amount: 100000, till: "100001"}},
		{"toa ksh 1,000 wakala 100001", command{name: cmdWithdraw, lang: "sw", amount: 100000, till: "100001"}},
		{"retrait 1 000 100001", command{name: cmdWithdraw, lang: "fr", amount: 100000, till: "100001"}},
		{"AIRTIME 50", command{name: cmdAirtime, lang: "en", amount: 5000}},
		{"buy airtime 50 0712000002", command{name: cmdAirtime, lang: "en", amount: 5000, number: baraka}},
		{"nunua muda 50", command{name: cmdAirtime, lang: "sw", amount: 5000}},
		{"send airtime 50 0712000002", command{name: cmdAirtime, lang: "en", amount: 5000, number: baraka}},
		{"recharge 50 0712000002", command{name: cmdAirtime, lang: "fr", amount: 5000, number: baraka}},
		{"CHECK UKM4Q7X2PA", command{name: cmdCheck, lang: "en", receipt: "UKM4Q7X2PA"}},
		{"ukm4q7x2pa", command{name: cmdCheck, receipt: "UKM4Q7X2PA"}},
		{"hakiki ukm4q7x2pa tafadhali", command{name: cmdCheck, lang: "sw", receipt: "UKM4Q7X2PA"}},
		{"vérifier UKM4Q7X2PA.", command{name: cmdCheck, lang: "fr", receipt: "UKM4Q7X2PA"}},
		{"UKM4Q7X2PA Confirmed. Ksh500.00 sent to BARAKA OTIENO 0712000002 on 22/11/26 at 9:15 AM. New Tuma balance is Ksh493.00. Transaction cost, Ksh7.00.",
			command{name: cmdForward, receipt: "UKM4Q7X2PA"}},
		{"Fwd: ukm4q7x2pa Imethibitishwa. Umetuma", command{name: cmdForward, receipt: "UKM4Q7X2PA"}},
		{"UKM4Q7X2PA confirmé. 500", command{name: cmdForward, receipt: "UKM4Q7X2PA"}},
		{"REVERSE UKM4Q7X2PA", command{name: cmdReverse, lang: "en", receipt: "UKM4Q7X2PA"}}, {"rudisha ukm4q7x2pa", command{name: cmdReverse, lang: "sw", receipt: "UKM4Q7X2PA"}},
		{"LANG SW", command{name: cmdLanguage, lang: "en", speak: "sw"}},
		{"lugha kiingereza", command{name: cmdLanguage, lang: "sw", speak: "en"}},
		{"français", command{name: cmdLanguage, lang: "fr", speak: "fr"}},
		{"MENU", command{name: cmdMenu, lang: "en"}},
		{"msaada", command{name: cmdMenu, lang: "sw"}},
		{"aide", command{name: cmdMenu, lang: "fr"}},

		// The carriers' own
		{"STOP", command{name: cmdReserved}}, {"stop.", command{name: cmdReserved}}, {"Stop all of it", command{name: cmdReserved}},
		{"HELP", command{name: cmdReserved}}, {"yes", command{name: cmdReserved}}, {"Unsubscribe me", command{name: cmdReserved}},
		{"help me", unclear("", "")},

		// A PIN where none belongs
		{"4826", pin}, {"PIN 4826", pin}, {"pin4826", pin}, {"４８２６", pin}, {"4 8 2 6", pin}, {"my pin is 4826 ok", pin}, {"٤٨٢٦", pin},
		{"BAL 4826", pinIn("en")}, {"bal4826", pinIn("en")}, {"BAL 48 26", pinIn("en")}, {"salio*4826#", pinIn("sw")}, {"bal 48-26", pinIn("en")},
		{"SEND 500 0712000002 4826", pinIn("en")}, {"SEND 4826 500 0712000002", pinIn("en")}, {"SEND 500 4826", pinIn("en")}, {"send 500 4826 0712000002", pinIn("en")},
		{"send 500 to 0712000002 pin4826", pinIn("en")}, {"TUMA 500 0712 000 002 4826", pinIn("sw")},
		{"WITHDRAW 1000 100001 4826", pinIn("en")}, {"WITHDRAW 4826 1000 100001", pinIn("en")}, {"withdraw 1000 4826", pinIn("en")},
		{"AIRTIME 50 4826", pinIn("en")}, {"CHECK 4826", pinIn("en")}, {"CHECK UKM4Q7X2PA 4826", pinIn("en")}, {"LANG SW 4826", pinIn("en")},
		{"UKM4Q7X2PA Confirmed. Ksh500.00 sent 4826", pin},

		// Not clear
		{"", command{name: cmdUnclear}}, {"🦁", command{name: cmdUnclear}}, {"what is this", unclear("", "")},
		{"SEND", unclear("send", "en")}, {"SEND 500", unclear("send", "en")}, {"SEND 4826", unclear("send", "en")}, {"send 0712000002", unclear("send", "en")},
		{"send 10k 0712000002", unclear("send", "en")}, {"send 5oo 0712000002", unclear("send", "en")}, {"send -500 0712000002", send("en", 500, baraka)},
		{"send 0500 0712000002", unclear("send", "en")}, {"send 1.000,00 0712000002", unclear("send", "en")},
		{"send 500 600 700 0712000002", send("en", 500600700, baraka)}, {"send 500 60 0712000002", unclear("send", "en")}, {"send 500 0712000002 0712000003", unclear("send", "en")},
		{"withdraw 1000 10001", unclear("withdraw", "en")}, {"airtime 0712000002", unclear("airtime", "en")}, {"airtime 712000002", unclear("airtime", "en")}, {"bal 500", unclear("balance", "en")},
		{"lang de", unclear("language", "en")}, {"check it", unclear("check", "en")},
		{"BALL", unclear("balance", "en")}, {"slaio", unclear("balance", "sw")}, {"sned 500 0712000002", unclear("send", "en")}, {"TUAM 500 0712000002", unclear("send", "sw")},
		{"witdraw 500 100001", unclear("withdraw", "en")}, {"envoier 500", unclear("send", "fr")},
	} {
		got := v.parse(ke, "en", c.message)
		if d := cmp.Diff(c.want, got, cmp.AllowUnexported(command{})); d != "" {
			t.Errorf("%q: %s", c.message, d)
		}
	}
}

func TestCommandWordsAreWhole(t *testing.T) {
	t.Parallel()
	v, words := vocabularyOf(t)
	if err := checkCommands(words, v, kenya(t)); err != nil {
		t.Error(err)
	}
	for _, w := range reservedAlone {
		if got := v.parse(kenya(t), "en", strings.ToLower(w)); got.name != cmdReserved {
			t.Errorf("%s is %s", w, got.name)
		}
	}
}

// widestAnswer is the widest value of every hole of an answer.
var widestAnswer = text.Holes{
	"brand": "Kwacha", "service": "*334#", "balance": "Ksh500,000.00", "amount": "Ksh250,000.00", "fee": "Ksh309.00",
	"number": "+255712000001", // a neighbour's; our own have 10 characters
	"name":   strings.Repeat("M", answerName), "till": "100001", "code": "UKMXXXXXXX", "date": "22/11/26", "time": "10:15 PM", "waiting": "99",
	"lines":   strings.TrimSuffix(strings.Repeat("22/11 -Ksh250,000.00 "+strings.Repeat("M", lineName)+"\n", miniLines), "\n"),
	"example": "RUDISHA UKM4Q7X2PA",
	"reason":  strings.Repeat("x", 110), // a menu's longest refusal; TestRefusalsFitAnAnswer holds them to it
}

func TestEveryAnswerFitsOneSegment(t *testing.T) {
	t.Parallel()
	_, words := vocabularyOf(t)
	for _, lang := range words.Languages() {
		for _, name := range words.Names() {
			if !strings.HasPrefix(name, "answer.") {
				continue
			}
			body, err := words.Fill(lang, name, widestAnswer)
			if err != nil {
				t.Errorf("%s [%s]: %v", lang, name, err)
				continue
			}
			if n, ok := text.Septets(body); n > 160 || !ok {
				t.Errorf("%s [%s] has %d septets, GSM 7-bit %v:\n%s", lang, name, n, ok, body)
			}
		}
	}
}

// What holds for every message: reading it neither fails nor guesses, its case
// and the spaces around it do not matter, and a PIN behind a command is seen.
func FuzzCommand(f *testing.F) {
	for _, s := range []string{
		"BAL", "send 500 0712000002", "SEND 500 0712000002 4826", "TOA 1,000 100001", "airtime 50 +254712000002", "check UKM4Q7X2PA", "lang sw", "4826",
		"UKM4Q7X2PA Confirmed. Ksh500.00 sent", "STOP", "ＳＥＮＤ ５００", "send 1 500 0712 000 002", "\xff\x00", "relevé", "١٢٣٤", "10k", "-,./()+",
	} {
		f.Add(s)
	}
	v, _ := vocabularyOf(f)
	ke := kenya(f)
	f.Fuzz(func(t *testing.T, s string) {
		got := v.parse(ke, "en", s)
		if again := v.parse(ke, "en", "  "+strings.ToLower(s)+" \n"); isASCII(s) && again != got {
			t.Errorf("%q is %+v, and in small letters %+v", s, got, again)
		}
		switch got.name {
		case cmdSend:
			if got.amount <= 0 || got.number == "" {
				t.Errorf("%q: %+v", s, got)
			}
		case cmdWithdraw:
			if got.amount <= 0 || len(got.till) != tillDigits {
				t.Errorf("%q: %+v", s, got)
			}
		case cmdAirtime:
			if got.amount <= 0 {
				t.Errorf("%q: %+v", s, got)
			}
		case cmdCheck, cmdReverse, cmdForward:
			if !receiptShape.MatchString(got.receipt) {
				t.Errorf("%q: %+v", s, got)
			}
		case cmdLanguage:
			if got.speak == "" {
				t.Errorf("%q: %+v", s, got)
			}
		case cmdBalance, cmdMini, cmdMenu, cmdReserved, cmdPIN, cmdUnclear:
		default:
			t.Errorf("%q: %+v", s, got)
		}
		if moves := got.name == cmdSend || got.name == cmdWithdraw || got.name == cmdAirtime; moves || got.name == cmdBalance {
			if with := v.parse(ke, "en", s+" 4826"); with.name != cmdPIN {
				t.Errorf("%q with a PIN behind it is %+v", s, with)
			}
		}
	})
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > unicode.MaxASCII || unicode.IsControl(r) }) < 0
}
