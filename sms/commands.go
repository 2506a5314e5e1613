package sms

import (
	"embed"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"tuma/accounts"
	"tuma/internal/money"
	"tuma/internal/phone"
	"tuma/internal/text"
)

// What a message asks for. The words that mean it stand in commands/*.txt, as do
// the answers; this file reads a message and decides nothing.

//go:embed commands/*.txt
var commandFiles embed.FS

// What a message can be understood as.
const (
	cmdBalance  = "balance"
	cmdMini     = "mini"
	cmdSend     = "send"
	cmdWithdraw = "withdraw"
	cmdAirtime  = "airtime"
	cmdCheck    = "check"
	cmdReverse  = "reverse"
	cmdForward  = "forward" // a confirmation of ours that was sent on
	cmdLanguage = "language"
	cmdMenu     = "menu"

	cmdReserved = "reserved" // a carrier's own word: theirs to answer
	cmdPIN      = "pin"      // there is a PIN in it, or what looks like one
	cmdUnclear  = "unclear"
)

var commandNames = []string{cmdBalance, cmdMini, cmdSend, cmdWithdraw, cmdAirtime, cmdCheck, cmdReverse, cmdLanguage, cmdMenu}

// command is a message that has been read. It does not hold the message.
type command struct {
	name    string
	meant   string // of what is unclear: the command that it is nearest to, "" when none is
	lang    string // of the word that was used; "": none was known
	amount  money.Amount
	number  phone.Number // of airtime: "" is the sender's own
	till    string
	receipt string
	speak   string // of language: the one to change to
}

// Carriers and providers act on these by themselves, when a message is nothing
// else: an answer of ours would be a second one, or one to somebody who has just
// said that he wants none.
var (
	reservedAlone = []string{"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "YES", "START", "UNSTOP", "HELP", "INFO"}
	reservedFirst = []string{"STOP", "STOPALL", "UNSUBSCRIBE"} // whatever follows
)

// vocabulary is what the words of commands/*.txt mean.
type vocabulary struct {
	all       map[string]meaning // every word that asks for something
	languages map[string]string  // names of languages
	fillers   map[string]bool    // words without a meaning here
	confirmed map[string]bool    // what follows the code of a receipt in our notices
}

type meaning struct{ name, lang string }

func newVocabulary(words *text.Catalogue) (vocabulary, error) {
	v := vocabulary{all: map[string]meaning{}, languages: map[string]string{}, fillers: map[string]bool{}, confirmed: map[string]bool{}}
	for _, lang := range words.Languages() {
		list := func(name string) []string {
			t, _ := words.Text(lang, "word."+name)
			return strings.Fields(text.Plain(t.Body))
		}
		for _, name := range commandNames {
			if len(list(name)) == 0 {
				return v, fmt.Errorf("sms: commands: %s has no word for %s", lang, name)
			}
			for _, w := range list(name) {
				if other, ok := v.all[w]; ok && other.name != name {
					return v, fmt.Errorf("sms: commands: %s is %s in %s and %s in %s", w, other.name, other.lang, name, lang)
				}
				v.all[w] = meaning{name, lang}
			}
		}
		for _, w := range list("this_language") {
			v.languages[w] = lang
		}
		for _, w := range list("other_tokens") {
			v.fillers[w] = true
		}
		for _, w := range list("confirmed") {
			v.confirmed[w] = true
		}
	}
	for w := range v.all {
		if v.fillers[w] || slices.Contains(reservedAlone, w) || v.languages[w] != "" {
			return v, fmt.Errorf("sms: commands: %s means two things", w)
		}
	}
	return v, nil
}

// piece is a piece of a message: a word, a receipt's code, or digits with the
// signs that people put between them.
type piece struct {
	text    string
	number  bool
	receipt bool
	odd     bool // a number with letters grown onto it: 10K
}

// The shape of a receipt's code: year, month and day, and seven without the
// letters and digits that people confuse.
var receiptShape = regexp.MustCompile(`^[A-Z][A-L][1-9A-V][A-HJ-NP-Z2-9]{7}$`)

const numberSigns = "+,.-/()"

// pieces takes a plain text apart.
func (v vocabulary) pieces(c money.Currency, plain string) []piece {
	marks := []string{text.Plain(c.Symbol), text.Plain(c.Code), "SH", "SHS", "SHILLINGI", "SHILLINGS"}
	var list []piece
	for _, field := range strings.FieldsFunc(plain, func(r rune) bool {
		return !unicode.IsLetter(r) && !isDigit(r) && !strings.ContainsRune(numberSigns, r)
	}) {
		field = strings.Trim(field, ",.-/()")
		if receiptShape.MatchString(field) && !v.knows(field) {
			list = append(list, piece{text: field, receipt: true})
			continue
		}
		glued := false // the last piece was a number, without a space behind it
		for field != "" {
			n := strings.IndexFunc(field, func(r rune) bool { return !unicode.IsLetter(r) })
			if n < 0 {
				n = len(field)
			}
			if n > 0 { // letters
				switch word := field[:n]; {
				case slices.Contains(marks, word):
				case glued:
					list[len(list)-1].odd = true
				default:
					list = append(list, piece{text: word})
				}
				field, glued = field[n:], false
				continue
			}
			if n = strings.IndexFunc(field, unicode.IsLetter); n < 0 {
				n = len(field)
			}
			before := len(list)
			list = append(list, numbers(c, field[:n])...)
			field, glued = field[n:], len(list) > before
		}
	}
	return list
}

// knows tells whether a word has a meaning, or is known to have none.
func (v vocabulary) knows(word string) bool {
	_, asks := v.all[word]
	return asks || v.languages[word] != "" || v.fillers[word]
}

// numbers is a piece without letters: one number, or some with only a comma
// between them.
func numbers(c money.Currency, s string) (list []piece) {
	s = strings.Trim(s, ",.-/(")
	parts := []string{s}
	if _, err := c.Parse(s); err != nil && strings.Contains(s, ",") {
		parts = strings.Split(s, ",")
	}
	for _, p := range parts {
		if p = strings.Trim(p, ",.-/("); strings.ContainsFunc(p, isDigit) {
			list = append(list, piece{text: p, number: true})
		}
	}
	return list
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' }

// parse reads a message of somebody who prefers a language. Whatever is not
// beyond doubt is unclear: nothing that could have been meant otherwise is done.
func (v vocabulary) parse(country accounts.Country, prefers, message string) command {
	plain := text.Plain(message)
	if isReserved(plain) {
		return command{name: cmdReserved}
	}
	all := v.pieces(country.Currency, plain)
	if code := v.forwarded(all); code != "" {
		if standsAlone(all) {
			return command{name: cmdPIN}
		}
		return command{name: cmdForward, receipt: code}
	}
	for len(all) > 1 && v.fillers[all[0].text] {
		all = all[1:]
	}
	if len(all) == 0 {
		return command{name: cmdUnclear}
	}
	m, known := v.all[all[0].text]
	switch {
	case !known && len(all) == 1 && all[0].receipt:
		return command{name: cmdCheck, receipt: all[0].text}
	case !known && len(all) == 1 && v.languages[all[0].text] != "":
		speak := v.languages[all[0].text]
		return command{name: cmdLanguage, lang: speak, speak: speak}
	case !known && (standsAlone(all) || fourDigits(all)):
		return command{name: cmdPIN}
	case !known:
		near := v.nearest(prefers, all)
		return command{name: cmdUnclear, meant: near.name, lang: near.lang}
	}
	for all = all[1:]; len(all) > 0; all = all[1:] {
		next, also := v.all[all[0].text]
		if !also {
			break
		}
		m = next // CHECK BALANCE, SEND AIRTIME: the last one is what it is about
	}
	got := command{name: m.name, lang: m.lang}
	if !v.read(&got, country, all) {
		return command{name: cmdUnclear, meant: m.name, lang: m.lang}
	}
	return got
}

func isReserved(plain string) bool {
	words := strings.FieldsFunc(plain, func(r rune) bool { return !unicode.IsLetter(r) && !isDigit(r) })
	return len(words) == 1 && slices.Contains(reservedAlone, words[0]) || len(words) > 1 && slices.Contains(reservedFirst, words[0])
}

// forwarded finds the code of a confirmation of ours that was sent on, with
// whatever a phone puts before it.
func (v vocabulary) forwarded(all []piece) string {
	for i := 0; i+1 < min(len(all), 6); i++ {
		if all[i].receipt && v.confirmed[all[i+1].text] {
			return all[i].text
		}
	}
	return ""
}

// read takes what a command needs out of what follows its word. It fails where
// that is not all there, or not clear; a PIN where none belongs makes it one.
func (v vocabulary) read(got *command, country accounts.Country, all []piece) bool {
	var nums []string
	for _, t := range all {
		switch {
		case t.odd:
			return v.pin(got, fourDigits(all))
		case t.number:
			nums = append(nums, t.text)
		case t.receipt && got.receipt == "":
			got.receipt = t.text
		case got.speak == "":
			got.speak = v.languages[t.text]
		}
	}
	need := reading{country}
	switch got.name {
	case cmdSend:
		if got.amount, got.number = need.amountAndNumber(nums); got.number != "" {
			return true
		}
		return v.pin(got, need.pinBeside(nums))
	case cmdAirtime:
		if got.amount = need.amount(nums); got.amount != 0 {
			return true
		}
		if got.amount, got.number = need.amountAndNumber(nums); got.number != "" {
			return true
		}
		return v.pin(got, need.pinBeside(nums))
	case cmdWithdraw:
		if got.amount, got.till = need.amountAndTill(nums); got.till != "" {
			return true
		}
		return v.pin(got, need.pinBeside(nums))
	}
	switch {
	case standsAlone(all) || fourDigits(all):
		return v.pin(got, true)
	case got.name == cmdCheck || got.name == cmdReverse:
		return got.receipt != ""
	case got.name == cmdLanguage:
		return got.speak != ""
	}
	return len(nums) == 0
}

func (v vocabulary) pin(got *command, is bool) bool {
	if is {
		*got = command{name: cmdPIN, lang: got.lang}
	}
	return is
}

// standsAlone tells whether four digits stand somewhere by themselves.
func standsAlone(all []piece) bool {
	return slices.ContainsFunc(all, func(t piece) bool { return t.number && isPIN(t.text) })
}

// fourDigits tells whether all digits together are four, whatever is between them.
func fourDigits(all []piece) bool {
	n := 0
	for _, t := range all {
		for _, r := range t.text {
			if isDigit(r) && t.number {
				n++
			}
		}
	}
	return n == 4
}

func isPIN(s string) bool { return len(s) == 4 && strings.Trim(s, "0123456789") == "" }

// phoneDigits is how many digits a phone number has at least, without the nought.
const phoneDigits = 9

// reading makes amounts and numbers of what people write.
type reading struct{ country accounts.Country }

// amount is 0 when it is none. An amount does not begin with a nought and does not
// have nine digits in a row: that is a phone number, or a slip.
func (r reading) amount(nums []string) money.Amount {
	s := strings.Join(nums, " ")
	if len(s) > 1 && s[0] == '0' && isDigit(rune(s[1])) || len(s) >= phoneDigits && strings.Trim(s, "0123456789") == "" {
		return 0
	}
	a, err := r.country.Currency.Parse(s)
	if err != nil {
		return 0
	}
	return a
}

func (r reading) number(nums []string) phone.Number {
	n, err := r.country.Phone.Parse(strings.Join(nums, " "))
	if err != nil || len(n) <= phoneDigits { // short numbers are no customer's
		return ""
	}
	return n
}

// amountAndNumber tries every place where the one could end and the other begin,
// in both orders, and wants exactly one of them to make sense.
func (r reading) amountAndNumber(nums []string) (money.Amount, phone.Number) {
	type both struct {
		a money.Amount
		n phone.Number
	}
	found := map[both]bool{}
	for i := 1; i < len(nums); i++ {
		for _, x := range []both{{r.amount(nums[:i]), r.number(nums[i:])}, {r.amount(nums[i:]), r.number(nums[:i])}} {
			if x.a != 0 && x.n != "" {
				found[x] = true
			}
		}
	}
	if len(found) == 1 {
		for x := range found {
			return x.a, x.n
		}
	}
	return 0, ""
}

// tillDigits is how long a till's number is.
const tillDigits = 6

func (r reading) amountAndTill(nums []string) (money.Amount, string) {
	isTill := func(s string) bool { return len(s) == tillDigits && strings.Trim(s, "0123456789") == "" }
	last := len(nums) - 1
	if last < 1 {
		return 0, ""
	}
	if a := r.amount(nums[:last]); a != 0 && isTill(nums[last]) {
		return a, nums[last]
	}
	if a := r.amount(nums[1:]); a != 0 && isTill(nums[0]) {
		return a, nums[0]
	}
	return 0, ""
}

// pinBeside tells whether four digits stand where neither amount nor number is:
// behind the first number, or in front of what makes sense without them.
func (r reading) pinBeside(nums []string) bool {
	if len(nums) > 1 && slices.ContainsFunc(nums[1:], isPIN) {
		return true
	}
	if len(nums) < 2 || !isPIN(nums[0]) {
		return false
	}
	_, n := r.amountAndNumber(nums[1:])
	_, till := r.amountAndTill(nums[1:])
	return n != "" || till != ""
}

// nearest finds the word that a message most likely begins with.
func (v vocabulary) nearest(prefers string, all []piece) meaning {
	const words = 2
	best, least := meaning{}, 99
	for _, t := range all[:min(len(all), words)] {
		if t.number || t.receipt || len(t.text) < 3 {
			continue
		}
		most := 1
		if len(t.text) > 5 {
			most = 2
		}
		for _, w := range v.sorted() {
			d := distance(t.text, w)
			if d <= most && (d < least || d == least && v.all[w].lang == prefers && best.lang != prefers) {
				best, least = v.all[w], d
			}
		}
		if least < 99 {
			break
		}
	}
	return best
}

func (v vocabulary) sorted() []string {
	list := make([]string, 0, len(v.all))
	for w := range v.all {
		list = append(list, w)
	}
	slices.Sort(list)
	return list
}

// distance counts the slips that make one word of another: a letter too many,
// too few or wrong, or two that have changed places.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > maxWord || len(y) > maxWord {
		return maxWord
	}
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}

// maxWord is the longest word that is compared.
const maxWord = 24

// checkCommands lists what is wrong with the catalogue, beside what its own Check
// finds: each command needs an example that is itself understood.
func checkCommands(words *text.Catalogue, v vocabulary, country accounts.Country) error {
	for _, lang := range words.Languages() {
		for _, name := range commandNames {
			example, _ := words.Text(lang, "example."+name)
			if got := v.parse(country, lang, example.Body); got.name != name {
				return fmt.Errorf("sms: commands: the example of %s in %s is %s", name, lang, got.name)
			}
		}
	}
	if len(words.Check()) > 0 {
		return errors.New("sms: commands: " + strings.Join(words.Check(), "; "))
	}
	return nil
}
