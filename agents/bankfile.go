package agents

import (
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"tuma/accounts"
	"tuma/internal/money"
)

// A bank's statement of the trust account, as banks write them: CSV with one of
// four separators, columns in any order and under many names, a few lines before
// the header and after the last line. Nothing is guessed where money would differ.

// BankLine is one movement of the trust account as the bank tells it.
type BankLine struct {
	Key       string        // the same line has the same, in whichever file it comes
	Line      int           // of the file
	Day       time.Time     // midnight, UTC
	Reference string        // upper case
	Text      string        // what else the bank says
	Amount    money.Amount  // into the account; negative: out of it
	Balance   *money.Amount // after it; nil: the file has none
}

// BankFault is a line that could not be read. The others stand.
type BankFault struct {
	Line int
	Why  string // date, amount, balance, both, columns
	What string // what stands there, shortened
}

// BankFile is a statement that has been read.
type BankFile struct {
	Lines   []BankLine
	Faults  []BankFault
	Skipped int           // lines without an amount: headings, brought forward
	Until   time.Time     // day of the newest line
	Closing *money.Amount // balance after it; nil: the file does not say
}

// Bounds of a statement.
const (
	MaxBankFile  = 2 << 20
	maxBankLines = 20_000
	maxFaults    = 100
	headerWithin = 40 // lines
	maxBankText  = 140
	amountDigits = 15
)

// columns are the names under which banks have what we need, letters only.
const columns = `
	date      date transactiondate txndate trandate trxdate bookingdate postingdate postdate posteddate entrydate dateoperation datedoperation datedopration tarehe
	valueday  valuedate datevaleur datedevaleur
	reference reference ref refno refnumber referenceno referencenumber transactionreference transactionref txnreference txnref bankreference bankref rfrence kumbukumbu
	id        id transactionid txnid bankid entryid uniqueid transactionno transactionnumber
	amount    amount transactionamount txnamount montant kiasi
	credit    credit credits creditamount moneyin paidin in deposit deposits depositamount crdit cr
	debit     debit debits debitamount moneyout paidout out withdrawal withdrawals withdrawalamount withdrawn dbit dr
	balance   balance runningbalance bookbalance closingbalance accountbalance ledgerbalance solde salio
	text      description narrative narration details transactiondetails particulars remarks libelle libell maelezo
	sign      drcr crdr debitcredit creditdebit type transactiontype txntype sens indicator`

// columnOf is what a heading stands for, "" for nothing of ours.
func columnOf(heading string, c money.Currency) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r
		}
		return -1
	}, strings.ToLower(heading))
	for _, name := range []string{name, strings.TrimSuffix(name, strings.ToLower(c.Code)), strings.TrimSuffix(name, strings.ToLower(c.Symbol))} {
		for line := range strings.Lines(columns) {
			if f := strings.Fields(line); len(f) > 1 && name != "" && slices.Contains(f[1:], name) {
				return f[0]
			}
		}
	}
	return ""
}

// header says which column is where; the first of a kind counts.
type header map[string]int

func headerOf(fields []string, c money.Currency) (header, bool) {
	h := header{}
	for i, f := range fields {
		if what := columnOf(f, c); what != "" {
			if _, there := h[what]; !there {
				h[what] = i
			}
		}
	}
	if at, ok := h["valueday"]; ok && !h.has("date") {
		h["date"] = at
	}
	return h, h.has("date") && (h.has("amount") || h.has("credit") || h.has("debit"))
}

func (h header) has(what string) bool { _, ok := h[what]; return ok }

func (h header) in(row []string, what string) string {
	if i, ok := h[what]; ok && i < len(row) {
		return strings.TrimSpace(row[i])
	}
	return ""
}

// ParseBank reads a statement. A line that cannot be read is named in Faults and
// keeps no other from being read. Refusals of the whole: bank_not_csv,
// bank_no_header, bank_too_long.
func ParseBank(raw []byte, c money.Currency, now time.Time) (BankFile, error) {
	text, err := bankText(raw)
	if err != nil {
		return BankFile{}, err
	}
	lines := strings.Split(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n"), "\n")
	if len(lines) > maxBankLines {
		return BankFile{}, accounts.Refuse("bank_too_long", "max", fmt.Sprint(maxBankLines))
	}
	h, separator, first, width := findHeader(lines, c)
	if width == 0 {
		return BankFile{}, accounts.Refuse("bank_no_header")
	}
	f := BankFile{}
	seen := map[string]int{}
	for i := first + 1; i < len(lines); i++ {
		if strings.Trim(lines[i], " \t,;|\"") == "" {
			continue
		}
		at := i + 1
		row, more := rowAt(lines[i:], separator, width)
		i += more
		l, fault := h.line(row, c, now)
		switch {
		case fault.Why != "":
			if fault.Line = at; len(f.Faults) < maxFaults {
				f.Faults = append(f.Faults, fault)
			}
		case l.Amount == 0:
			f.Skipped++
		default:
			l.Line = at
			// Two lines that say the same are two, in this file and in another.
			seen[l.Key]++
			sum := sha256.Sum256(fmt.Append(nil, l.Key, "|", seen[l.Key]))
			l.Key = hex.EncodeToString(sum[:16])
			f.Lines = append(f.Lines, l)
		}
	}
	f.end()
	return f, nil
}

// bankText gives a file's text, from whichever of the usual encodings.
func bankText(raw []byte) (string, error) {
	switch {
	case len(raw) > 1 && (raw[0] == 0xFF && raw[1] == 0xFE || raw[0] == 0xFE && raw[1] == 0xFF):
		units := make([]uint16, 0, len(raw)/2)
		for i := 2; i+1 < len(raw); i += 2 {
			low, high := raw[i], raw[i+1]
			if raw[0] == 0xFE {
				low, high = high, low
			}
			units = append(units, uint16(low)|uint16(high)<<8)
		}
		return strings.ReplaceAll(string(utf16.Decode(units)), "\x00", ""), nil
	case slices.Contains(raw[:min(len(raw), 1000)], 0), strings.HasPrefix(string(raw[:min(len(raw), 5)]), "PK\x03\x04"), strings.HasPrefix(string(raw[:min(len(raw), 5)]), "%PDF-"):
		return "", accounts.Refuse("bank_not_csv")
	case utf8.Valid(raw):
		return strings.ReplaceAll(strings.TrimPrefix(string(raw), "\uFEFF"), "\x00", ""), nil
	}
	runes := make([]rune, len(raw)) // Latin-1, as older systems write
	for i, b := range raw {
		runes[i] = rune(b)
	}
	return strings.ReplaceAll(string(runes), "\x00", ""), nil
}

// findHeader looks for the line that names the columns, by each separator; width
// is how many columns it has, 0: there is none.
func findHeader(lines []string, c money.Currency) (h header, separator rune, at, width int) {
	for i, line := range lines[:min(len(lines), headerWithin)] {
		for _, s := range ",;\t|" {
			row, err := split(line, s)
			if err != nil || len(row) <= width {
				continue
			}
			if found, ok := headerOf(row, c); ok {
				h, separator, at, width = found, s, i, len(row)
			}
		}
		if width > 0 {
			return h, separator, at, width
		}
	}
	return nil, 0, 0, 0
}

func split(line string, separator rune) ([]string, error) {
	r := csv.NewReader(strings.NewReader(line))
	r.Comma, r.FieldsPerRecord = separator, -1
	row, err := r.Read()
	if err != nil {
		return nil, err
	}
	if _, err := r.Read(); err == nil {
		return nil, errors.New("more than one record")
	}
	return row, nil
}

// rowAt reads the record at the first line; more is how many lines it takes
// beside that one. A quote that is not closed reaches no further than its line
// when that makes no whole record: it must not swallow what follows.
func rowAt(lines []string, separator rune, width int) (row []string, more int) {
	row, err := split(lines[0], separator)
	if err == nil {
		return row, 0
	}
	for more = 1; more < min(len(lines), 6); more++ {
		if whole, err := split(strings.Join(lines[:more+1], "\n"), separator); err == nil && len(whole) == width {
			return whole, more
		}
	}
	return strings.Split(strings.ReplaceAll(lines[0], `"`, ""), string(separator)), 0
}

func fault(why, what string) (BankLine, BankFault) {
	return BankLine{}, BankFault{Why: why, What: shorten(what, 40)}
}

func shorten(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

// line reads one row; an amount of zero means that it moves nothing.
func (h header) line(row []string, c money.Currency, now time.Time) (BankLine, BankFault) {
	a, problem, what := h.amount(row, c)
	if problem != "" {
		return fault(problem, what)
	}
	if a == 0 {
		return BankLine{}, BankFault{}
	}
	day, ok := bankDay(h.in(row, "date"))
	if !ok || day.After(now.Add(24*time.Hour)) {
		return fault("date", h.in(row, "date"))
	}
	l := BankLine{Day: day, Amount: a, Text: shorten(h.in(row, "text"), maxBankText), Reference: strings.ToUpper(shorten(h.in(row, "reference"), maxBankText))}
	balance := ""
	if given := h.in(row, "balance"); given != "" {
		b, ok := bankAmount(given, c)
		if !ok {
			return fault("balance", given)
		}
		l.Balance, balance = &b, fmt.Sprint(int64(b))
	} else {
		balance = l.Text
	}
	l.Key = fmt.Sprintf("%s|%s|%d|%s", day.Format(time.DateOnly), l.Reference, int64(a), balance)
	if id := h.in(row, "id"); id != "" {
		l.Key = fmt.Sprintf("id|%s|%d", id, int64(a))
	}
	return l, BankFault{}
}

// amount is what came into the account: from one column with a sign, or from one
// for each way.
func (h header) amount(row []string, c money.Currency) (a money.Amount, problem, what string) {
	read := func(column string) (money.Amount, bool) {
		given := h.in(row, column)
		if given == "" || strings.Trim(given, "-–—. ") == "" {
			return 0, true
		}
		a, ok := bankAmount(given, c)
		if !ok {
			problem, what = "amount", given
		}
		return a, ok
	}
	if h.has("amount") && !h.has("credit") && !h.has("debit") {
		a, ok := read("amount")
		if !ok {
			return 0, problem, what
		}
		switch sign := strings.ToUpper(h.in(row, "sign")); {
		case (sign == "D" || sign == "DR" || sign == "DEBIT" || sign == "DÉBIT") && a > 0:
			a = -a
		case (sign == "C" || sign == "CR" || sign == "CREDIT" || sign == "CRÉDIT") && a < 0:
			return 0, "both", h.in(row, "amount")
		}
		return a, "", ""
	}
	in, ok1 := read("credit")
	out, ok2 := read("debit")
	switch {
	case !ok1 || !ok2:
		return 0, problem, what
	case in != 0 && out != 0:
		return 0, "both", h.in(row, "credit") + " / " + h.in(row, "debit")
	case out > 0:
		return -out, "", ""
	case out < 0:
		return out, "", ""
	}
	return in, "", ""
}

// dayForms are how banks write days: the year or the day first.
func dayForms() []string {
	return []string{
		"2006-1-2", "2006/1/2", "2006.1.2", "20060102", "2/1/2006", "2-1-2006", "2.1.2006", "2/1/06", "2-1-06", "2.1.06",
		"2-Jan-2006", "2 Jan 2006", "2-Jan-06", "2 Jan 06", "2 January 2006", "2/Jan/2006", "Jan 2, 2006", "January 2, 2006", "02Jan2006",
	}
}

// bankDay reads a day, whatever hour follows.
func bankDay(s string) (time.Time, bool) {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 40 {
		return time.Time{}, false
	}
	tries := []string{s}
	if i := strings.IndexByte(s, 'T'); i >= 8 {
		tries = append(tries, s[:i])
	}
	if i := strings.IndexByte(s, ':'); i > 0 { // 22/11/2026 14:05
		if j := strings.LastIndexByte(s[:i], ' '); j > 0 {
			tries = append(tries, s[:j])
		}
	}
	for _, s := range tries {
		for _, form := range dayForms() {
			if day, err := time.Parse(form, s); err == nil && day.Year() >= 2000 && day.Year() < 2100 {
				return day, true
			}
		}
	}
	return time.Time{}, false
}

// bankAmount reads an amount: 1,234.50; 1.234,50; 1 234,50; (1,234.50); 1234.50-;
// KES 1,234.50; 1,234.50 DR. A lone sign before exactly three digits parts
// thousands, as no currency with two decimals has three.
func bankAmount(s string, c money.Currency) (money.Amount, bool) {
	s = strings.ToUpper(strings.TrimSpace(strings.Map(func(r rune) rune {
		switch r {
		case '\u00A0', '\u202F', '\u2009', '\'', '’':
			return ' '
		case '−', '–':
			return '-'
		}
		return r
	}, s)))
	if len(s) > 40 {
		return 0, false
	}
	negative, signs := false, 0
	sign := func(minus bool) { negative, signs = minus, signs+1 }
	if strings.HasPrefix(s, "(") && strings.HasSuffix(s, ")") {
		sign(true)
		s = strings.TrimSpace(s[1 : len(s)-1])
	}
	for _, mark := range []struct {
		text  string
		minus bool
	}{{"CR", false}, {"DR", true}} {
		if rest, ok := strings.CutSuffix(s, mark.text); ok {
			sign(mark.minus)
			s = strings.TrimSpace(rest)
		}
	}
	unsigned := func() {
		if rest := strings.TrimLeft(s, "+-"); len(rest) == len(s)-1 {
			sign(s[0] == '-')
			s = strings.TrimSpace(rest)
		}
	}
	unsigned()
	for _, mark := range []string{c.Code, strings.ToUpper(c.Symbol) + ".", strings.ToUpper(c.Symbol)} {
		if rest, ok := strings.CutPrefix(s, mark); ok {
			s = strings.TrimSpace(rest)
			break
		}
		if rest, ok := strings.CutSuffix(s, mark); ok {
			s = strings.TrimSpace(rest)
			break
		}
	}
	if signs == 0 {
		unsigned()
	}
	if rest, ok := strings.CutSuffix(s, "-"); ok {
		sign(true)
		s = strings.TrimSpace(rest)
	}
	a, ok := bankDigits(s, c.Exponent)
	if !ok || signs > 1 {
		return 0, false
	}
	if negative {
		a = -a
	}
	return a, true
}

// bankDigits reads a number without a sign into minor units.
func bankDigits(s string, exponent int) (money.Amount, bool) {
	whole, fraction := s, ""
	point, comma := strings.LastIndexByte(s, '.'), strings.LastIndexByte(s, ',')
	if last := max(point, comma); last >= 0 {
		tail, mark := len(s)-last-1, s[last:last+1]
		one := strings.Count(s, mark) == 1
		decimal := one && (min(point, comma) >= 0 || tail != 3 || mark == "." && exponent == 3)
		if decimal {
			whole, fraction = s[:last], s[last+1:]
		}
		if min(point, comma) >= 0 && !decimal {
			return 0, false // 1.234,567,890
		}
	}
	groups := strings.FieldsFunc(whole, func(r rune) bool { return r == ',' || r == '.' || r == ' ' })
	if strings.ContainsAny(whole, ",. ") {
		for i, g := range groups {
			if len(g) > 3 || i > 0 && len(g) != 3 {
				return 0, false
			}
		}
		if len(groups)-1 != strings.Count(whole, ",")+strings.Count(whole, ".")+strings.Count(whole, " ") {
			return 0, false
		}
	}
	for len(fraction) > exponent && strings.HasSuffix(fraction, "0") {
		fraction = fraction[:len(fraction)-1]
	}
	digits := strings.Join(groups, "")
	if digits == "" || len(fraction) > exponent {
		return 0, false
	}
	digits += fraction + strings.Repeat("0", exponent-len(fraction))
	if len(strings.TrimLeft(digits, "0")) > amountDigits {
		return 0, false
	}
	var a money.Amount
	for _, d := range []byte(digits) {
		if d < '0' || d > '9' {
			return 0, false
		}
		a = a*10 + money.Amount(d-'0')
	}
	return a, true
}

// end finds the balance after the newest line, where the order of the lines says
// which that is.
func (f *BankFile) end() {
	if len(f.Lines) == 0 {
		return
	}
	byDay := func(a, b BankLine) int { return a.Day.Compare(b.Day) }
	f.Until = slices.MaxFunc(f.Lines, byDay).Day
	first, last := f.Lines[0], f.Lines[len(f.Lines)-1]
	switch {
	case f.fits(f.Lines):
		f.Closing = last.Balance
	case f.fits(reversed(f.Lines)):
		f.Closing = first.Balance
	case slices.IsSortedFunc(f.Lines, byDay) && first.Day.Before(last.Day):
		f.Closing = last.Balance
	case slices.IsSortedFunc(reversed(f.Lines), byDay) && last.Day.Before(first.Day):
		f.Closing = first.Balance
	}
}

// fits tells whether each balance is the one before it and the amount: then this
// is the order in which it happened.
func (f *BankFile) fits(lines []BankLine) bool {
	for i, l := range lines {
		if l.Balance == nil || i > 0 && *l.Balance != *lines[i-1].Balance+l.Amount {
			return false
		}
	}
	return true
}

func reversed(lines []BankLine) []BankLine {
	lines = slices.Clone(lines)
	slices.Reverse(lines)
	return lines
}
