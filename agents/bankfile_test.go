package agents

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tuma/accounts"
	"tuma/internal/money"
)

func kes(t testing.TB) money.Currency {
	c, err := money.CurrencyOf("KES")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBankAmounts(t *testing.T) {
	t.Parallel()
	const no = money.Amount(-1 << 60)
	for in, want := range map[string]money.Amount{
		"1234": 123400, "1,234.50": 123450, "1.234,50": 123450, "1 234,50": 123450, "1\u00a0234,50": 123450, "1'234.50": 123450, "1,234": 123400, "1.234": 123400,
		"1,234,567.89": 123456789, "1.234.567,89": 123456789, "1,234,567": 123456700, "0.5": 50, "0,5": 50, ".5": no, "12.30": 1230, "12.3000": 1230, "12.301": 1230100, "0012.30": 1230,
		"-12.30": -1230, "12.30-": -1230, "(12.30)": -1230, "+12.30": 1230, "−12.30": -1230, "12.30 DR": -1230, "12.30CR": 1230, "KES 12.30": 1230, "Ksh12.30": 1230, "Ksh. 12.30": 1230, "12.30 KES": 1230, "-KES 12.30": -1230, "KES -12.30": -1230,
		"": no, "-": no, "--5": no, "(5)-": no, "5 DR-": no, "1,23": 123, "1,23,456": no, "1.2.3": no, "1,2345.00": no, "12a": no, "1e5": no, "0x10": no, "1.234,567,890": no, "1,234.567": no, "1234567890123456": no, "٣": no, "5%": no, "1 2": no, "1  234": no,
	} {
		got, ok := bankAmount(in, kes(t))
		if !ok {
			got = no
		}
		if got != want {
			t.Errorf("%q is %d, want %d", in, got, want)
		}
	}
	ugx, err := money.CurrencyOf("UGX")
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]money.Amount{"1,234": 1234, "1,234.00": 1234, "1.5": no} {
		got, ok := bankAmount(in, ugx)
		if !ok {
			got = no
		}
		if got != want {
			t.Errorf("in shillings without cents %q is %d, want %d", in, got, want)
		}
	}
}

func TestBankDays(t *testing.T) {
	t.Parallel()
	want := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	for _, in := range []string{"2026-11-02", "2026-11-2", "2026/11/02", "20261102", "02/11/2026", "2/11/2026", "02-11-2026", "02.11.2026", "02/11/26", "2-Nov-2026", "02-NOV-26", "2 Nov 2026", "02 november 2026", "Nov 2, 2026", "02NOV2026", "2026-11-02T14:05:00Z", "2026-11-02 14:05:00", "02/11/2026 14:05", "02/11/2026  2:05:01", "2 Nov 2026 14:05"} {
		if got, ok := bankDay(in); !ok || !got.Equal(want) {
			t.Errorf("%q is %v %v", in, got, ok)
		}
	}
	for _, in := range []string{"", "11/22/2026", "2026-13-01", "2026-02-30", "yesterday", "1/1/1950", "45978", strings.Repeat("1", 100), "02/11", "-"} {
		if got, ok := bankDay(in); ok {
			t.Errorf("%q is %v", in, got)
		}
	}
}

var bankNow = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func parsed(t testing.TB, text string) BankFile {
	t.Helper()
	f, err := ParseBank([]byte(text), kes(t), bankNow)
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return f
}

// What the statements of different banks say of the same three movements.
func TestBankFilesOfManyForms(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"plain":        "Date,Reference,Amount,Balance\n2026-11-20,EQ-1,50000.00,50000.00\n2026-11-21,EQ-2,2000.00,52000.00\n2026-11-22,FT/9,-700.00,51300.00\n",
		"two sides":    "Account: 0123\r\nPeriod;1/11 to 22/11\r\n\r\nTransaction Date;Value Date;Ref No.;Narrative;Money Out;Money In;Running Balance\r\n20/11/2026;20/11/2026;EQ-1;CASH;;50.000,00;50.000,00\r\n21/11/2026;21/11/2026;EQ-2;CASH;0,00;2.000,00;52.000,00\r\n22/11/2026;22/11/2026;FT/9;OUT;700,00;;51.300,00\r\n;;;Closing balance;;;51.300,00\r\n",
		"newest first": "Posting Date\tParticulars\tDebit\tCredit\tBalance\n22-Nov-2026\tFT/9\t700.00\t\t51,300.00\n21-Nov-2026\teq-2\t\t2,000.00\t52,000.00\n20-Nov-2026\tEQ-1\t\t50,000.00\t50,000.00\n",
		"signs":        "\uFEFFTxn Date|Bank Ref|Amount (KES)|DR/CR|Balance\n\"20 Nov 2026 08:00\"|EQ-1|\"50,000\"|CR|\"50,000\"\n21 Nov 2026|EQ-2|2000|C|52000\n22 Nov 2026|FT/9|700|DR|51300\n",
		"french":       "Date d'op\xe9ration;R\xe9f\xe9rence;Libell\xe9;D\xe9bit;Cr\xe9dit;Solde\n20/11/2026;EQ-1;d\xe9p\xf4t;;50 000,00;50 000,00\n21/11/2026;EQ-2;d\xe9p\xf4t;;2 000,00;52 000,00\n22/11/2026;FT/9;retrait;-700,00;;51 300,00\n",
		"brackets":     "tarehe,kumbukumbu,kiasi,salio\n20/11/26,EQ-1,\"KES 50,000.00\",50000\n21/11/26,EQ-2,\"KES 2,000.00\",52000\n22/11/26,FT/9,(700.00),51300\n",
		"long text":    "Date,Details,Reference,Amount,Balance\n20/11/2026,\"CASH\nat the counter\",EQ-1,50000,50000\n21/11/2026,x,EQ-2,2000,52000\n22/11/2026,y,FT/9,-700,51300\n",
	} {
		f := parsed(t, text)
		if len(f.Faults) > 0 || len(f.Lines) != 3 {
			t.Errorf("%s: %d lines, %v", name, len(f.Lines), f.Faults)
			continue
		}
		if f.Closing == nil || *f.Closing != 5130000 || f.Until.Day() != 22 {
			t.Errorf("%s ends with %v on %v", name, f.Closing, f.Until)
		}
		of := map[int]BankLine{}
		for _, l := range f.Lines {
			of[l.Day.Day()] = l
		}
		for day, want := range map[int]money.Amount{20: 5000000, 21: 200000, 22: -70000} {
			if of[day].Amount != want {
				t.Errorf("%s: %+v on the %dth", name, of[day], day)
			}
		}
		if ref := of[21].Reference + strings.ToUpper(of[21].Text); !strings.Contains(ref, "EQ-2") {
			t.Errorf("%s: reference %q", name, ref)
		}
	}
}

func TestBankFaultsNameTheirLine(t *testing.T) {
	t.Parallel()
	f := parsed(t, "Bank of Nairobi\nDate,Ref,In,Out,Balance\n20/11/2026,A-1,100,,100\n22/31/2026,A-2,100,,200\n20/11/2026,A-3,12a,,300\n20/11/2026,A-4,5,6,300\n\n20/11/2026,A-5,100,,x\n20/11/2026,\"A-6,100,,600\n20/11/2026,A-7,100,,700\n30/11/2026,A-8,100,,800\nOpening balance,,,,0\n20/11/2026,\"A\"9,100,,900\n")
	var faults []string
	for _, x := range f.Faults {
		faults = append(faults, fmt.Sprint(x.Line, " ", x.Why, " ", x.What))
	}
	want := "4 date 22/31/2026; 5 amount 12a; 6 both 5 / 6; 8 balance x; 11 date 30/11/2026"
	if got := strings.Join(faults, "; "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var refs []string
	for _, l := range f.Lines {
		refs = append(refs, fmt.Sprint(l.Line, " ", l.Reference))
	}
	if got := strings.Join(refs, "; "); got != "3 A-1; 9 A-6; 10 A-7; 13 A9" {
		t.Errorf("lines %s", got)
	}
	if f.Skipped != 1 {
		t.Errorf("%d skipped", f.Skipped)
	}
	for text, key := range map[string]string{
		"": "bank_no_header", "a,b,c\n1,2,3\n": "bank_no_header", "PK\x03\x04\x00\x00": "bank_not_csv", "%PDF-1.7\n": "bank_not_csv", "Date,Amount\n" + strings.Repeat("x\n", maxBankLines+1): "bank_too_long",
	} {
		if _, err := ParseBank([]byte(text), kes(t), bankNow); !accounts.Refused(err, key) {
			t.Errorf("%.20q: %v, want %s", text, err, key)
		}
	}
}

// Lines that say the same are as many as there are, and the same ones again in
// another file.
func TestBankLinesAreKnownAgain(t *testing.T) {
	t.Parallel()
	const head = "Date,Reference,Amount\n"
	fee := "20/11/2026,FEE,-50\n"
	keys := func(text string) (all []string) {
		for _, l := range parsed(t, head+text).Lines {
			all = append(all, l.Key)
		}
		return all
	}
	two, three := keys(fee+fee), keys(fee+"20/11/2026,A-1,100\n"+fee+fee)
	if two[0] == two[1] || three[0] != two[0] || three[2] != two[1] || three[3] == three[2] {
		t.Errorf("%v %v", two, three)
	}
	by := func(text string) string { return parsed(t, text).Lines[0].Key }
	if by("Date,Txn ID,Amount,Text\n20/11/2026,77,100,a\n") != by("Txn ID;Amount;Date\n77;100,00;2026-11-20\n") {
		t.Error("the bank's own number is not enough")
	}
	if by(head+"20/11/2026,a-1,100\n") != by("Amount;Reference;Date\n100,00;A-1;2026-11-20\n") {
		t.Error("the same line in another form is another")
	}
	if by(head+"20/11/2026,A-1,100\n") == by(head+"20/11/2026,A-1,100.01\n") {
		t.Error("another amount is the same line")
	}
}

func FuzzBankFile(f *testing.F) {
	f.Add("Date,Reference,Amount,Balance\n2026-11-20,EQ-1,50000.00,50000.00\n")
	f.Add("x\nDate;In;Out;Balance\n20/11/2026;1.000,00;;\"5\n20/11/2026;;7-;(5)\n")
	f.Add("\xff\xfeD\x00a\x00t\x00e\x00,\x00a\x00m\x00o\x00u\x00n\x00t\x00\n\x001\x00/\x001\x00/\x002\x000\x002\x006\x00,\x005\x00")
	c := kes(f)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 {
			t.Skip()
		}
		a, err := ParseBank([]byte(text), c, bankNow)
		b, err2 := ParseBank([]byte(text), c, bankNow)
		if fmt.Sprint(err) != fmt.Sprint(err2) || len(a.Lines) != len(b.Lines) {
			t.Fatal("not the same twice")
		}
		seen := map[string]bool{}
		for i, l := range a.Lines {
			if l.Key != b.Lines[i].Key || seen[l.Key] || l.Amount == 0 || l.Line < 1 || l.Day.Year() < 2000 || l.Day.After(bankNow.Add(24*time.Hour)) {
				t.Fatalf("%+v", l)
			}
			seen[l.Key] = true
		}
		// What was read, written in the plainest form, is read as the same.
		var plain strings.Builder
		plain.WriteString("date,amount\n")
		for _, l := range a.Lines {
			fmt.Fprintf(&plain, "%s,%d.%02d\n", l.Day.Format(time.DateOnly), l.Amount/100, max(l.Amount, -l.Amount)%100)
		}
		if again, err := ParseBank([]byte(plain.String()), c, bankNow); err != nil || len(again.Faults) > 0 {
			t.Fatalf("%v %v\n%s", err, again.Faults, plain.String())
		}
	})
}

func TestMatch(t *testing.T) {
	t.Parallel()
	day := func(n int) time.Time { return time.Date(2026, 11, n, 0, 0, 0, 0, time.UTC) }
	line := func(key, ref, text string, a money.Amount, n int) BankLine {
		return BankLine{Key: key, Reference: ref, Text: text, Amount: a, Day: day(n)}
	}
	moves := []BookMove{
		{1, "EQ-1", 5000, day(10), true}, {2, "EQ-2", 200, day(11), true}, {3, "FT/9", -70, day(12), true}, {4, "EQ-4", 900, day(13), true},
		{5, "EQ-5", 10, day(14), false}, {6, "EQ-6", 300, day(15), true}, {7, "EQ-7", 1, day(16), true},
	}
	pairs, differences := Match([]BankLine{
		line("a", "EQ-1", "", 5000, 9),
		line("b", "TRF", "by cash, ref: eq-2.", 200, 10), // named in its text
		line("c", "FT/9", "", -70, 12),
		line("d", "EQ-5", "", 10, 14),  // not issued yet
		line("e", "WHO?", "", 77, 13),  // of nobody
		line("f", "EQ-6", "", 299, 15), // a cent short
		line("g", "EQ-7", "", 100, 16), // in two, and one taken back
		line("h", "EQ-7", "", -99, 17),
		line("i", "EQ-10", "", 5000, 8), // not EQ-1
	}, moves)
	if got := fmt.Sprint(pairs); got != "[{a 1} {b 2} {c 3} {g 7} {h 7}]" {
		t.Errorf("pairs %s", got)
	}
	var all []string
	sum := money.Amount(0)
	for _, d := range differences {
		all = append(all, fmt.Sprintf("%s %s %d/%d %d", d.Kind, d.Ref, d.Bank, d.Book, d.Request))
		sum += d.Delta()
	}
	want := "bank EQ-10 5000/0 0; bank WHO? 77/0 0; book EQ-4 0/900 4; bank EQ-5 10/0 5; amount EQ-6 299/300 6"
	if got := strings.Join(all, "; "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if sum != 5000+77-900+10-1 {
		t.Errorf("the sum is %d", sum)
	}
}

// A statement goes from a file to closed differences, and a cent shows.
func TestReconcile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.till("100001", "Mama Mboga", "+254722000001", 100*shilling)
	var ref string
	w.must(w.pool.Get(ctx, &ref, `select bank_ref from float_request`))
	head := "Date,Reference,Amount,Balance\n"
	first := head + "21/11/2026," + ref + ",100.00,100.00\n"
	imported := func(text string, added, faults int) {
		t.Helper()
		f, err := w.ImportBank(ctx, "mary", "November.csv", []byte(text), nil)
		if err != nil || f.Added != added || len(f.Faults) != faults {
			t.Fatalf("%+v %v, want %d added, %d faults", f, err, added, faults)
		}
	}
	stands := func(difference, unlisted money.Amount, open, closed int) Reconciliation {
		t.Helper()
		r, err := w.Reconcile(ctx, "charles")
		if err != nil || r.Difference() != difference || r.Unlisted() != unlisted || len(r.Open) != open || len(r.Closed) != closed {
			t.Errorf("difference %d, unlisted %d, %d open, %d closed, %v; want %d %d %d %d: %+v", r.Difference(), r.Unlisted(), len(r.Open), len(r.Closed), err, difference, unlisted, open, closed, r)
		}
		return r
	}
	if r := stands(0, 0, 1, 0); r.Bank != nil || r.Open[0].Kind != OnlyBook {
		t.Errorf("%+v", r)
	}
	imported(first, 1, 0)
	stands(0, 0, 0, 0)
	imported(first, 0, 0) // the file again
	imported(first+"21/11/2026,FEE,-0.01,99.99\nbroken,X,5,5\n", 1, 1)
	r := stands(-1, 0, 1, 0)
	name := r.Open[0].Name

	// A maker explains, a checker closes, and it counts only for these amounts.
	if err := w.CloseDifference(ctx, "charles", name, "so it is"); err == nil {
		t.Error("closed without an explanation")
	}
	for _, err := range []error{w.ExplainDifference(ctx, "charles", name, "the bank's fee"), w.CloseDifference(ctx, "mary", name, "so it is"), w.ExplainDifference(ctx, "mary", "nosuch", "the fee"), w.ExplainDifference(ctx, "mary", name, "")} {
		if err == nil {
			t.Error("somebody else did it, or for nothing")
		}
	}
	w.must(w.ExplainDifference(ctx, "mary", name, "the bank's fee, to be given back"))
	if r := stands(-1, 0, 1, 0); r.Open[0].Note.Maker != "mary" {
		t.Errorf("%+v", r.Open[0])
	}
	w.must(w.CloseDifference(ctx, "charles", name, "the bank says so"))
	if r := stands(-1, 0, 0, 1); r.Closed[0].Note.Checker != "charles" {
		t.Errorf("%+v", r.Closed[0])
	}
	if err := w.ExplainDifference(ctx, "mary", name, "something else"); err == nil {
		t.Error("what is closed was explained anew")
	}
	// A maker who has become a checker does not close her own.
	imported(head+"22/11/2026,FEE-2,-5.00,94.99\n", 1, 0)
	name = stands(-501, 0, 1, 1).Open[0].Name
	w.must(w.ExplainDifference(ctx, "mary", name, "another fee"))
	w.sql(`update staff set role = 'checker' where name = 'mary'`)
	if err := w.CloseDifference(ctx, "mary", name, "so it is"); err == nil {
		t.Error("closed by who explained it")
	}
	w.sql(`update staff set role = 'maker' where name = 'mary'`)

	// Float whose money the bank shows first; a line that is missing shows too.
	id, err := w.RequestFloat(ctx, "mary", "100001", 70*shilling, "EQ-70")
	w.must(err)
	imported(head+"22/11/2026,EQ-70,70.00,164.99\n", 1, 0)
	if r := stands(6499, 0, 2, 1); r.Open[0].Request+r.Open[1].Request != id {
		t.Errorf("%+v", r.Open)
	}
	_, err = w.ApproveFloat(ctx, "charles", id)
	w.must(err)
	stands(-501, 0, 1, 1)
	imported(head+"22/11/2026,LATE,3.00,200.00\n", 1, 0)
	stands(3000, 3201, 2, 1) // 30.00 more, of which the list has -2.01
	w.proven()
	for _, who := range []string{"nosuch", ""} {
		if _, err := w.ImportBank(ctx, who, "x", []byte(first), nil); err == nil {
			t.Errorf("%q handed a statement in", who)
		}
	}
}
