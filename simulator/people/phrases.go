package people

import (
	"regexp"
	"strconv"
	"strings"
)

// phrases are what people recognise screens by, in the languages they speak: the beginning of a line. They are the
// population's own reading of the service's texts; a test of the service compares the two.
var phrases = map[string][]string{
	"pin":     {"Enter PIN", "Weka PIN", "Entrez le PIN"},
	"resume":  {"Continue: ", "Endelea: ", "Continuer: "},
	"pending": {"Your request is being processed", "Ombi lako linashughulikiwa", "Votre demande est en cours"},
	"sorry":   {"Sorry, something went wrong", "Samahani, kuna hitilafu", "Désolé, une erreur"},
	"over":    {"This session is over", "Kipindi hiki kimekwisha", "Cette session est finie"},
	"slow":    {"Too many dials", "Umepiga mara nyingi mno", "Trop d'appels"},
	"unlock":  {"Your PIN is locked", "PIN yako imefungwa", "Votre PIN est bloqué"},
	"welcome": {"Welcome to ", "Karibu ", "Bienvenue chez "},
	"asked":   {"Asked. ", "Ombi limetumwa. ", "Demandé. "},

	"busy":               {"Tuma is very busy", "Tuma ina shughuli nyingi", "Tuma est très sollicité"},
	"wrong_pin":          {"Wrong PIN. Tries left", "PIN si sahihi. Nafasi", "PIN incorrect. Essais"},
	"pin_locked":         {"Wrong PIN. Your PIN is now locked", "PIN si sahihi na sasa imefungwa", "PIN incorrect et maintenant bloqué"},
	"insufficient":       {"Not enough money", "Pesa hazitoshi", "Solde insuffisant"},
	"float_low":          {"The agent does not have enough float", "Wakala hana float ya kutosha", "L'agent n'a pas assez de float"},
	"payee_full":         {"The wallet cannot take this much", "Akaunti haiwezi kupokea kiasi hiki", "Trop pour ce compte"},
	"payee_unregistered": {"is not on Tuma", "haijasajiliwa Tuma", "n'est pas chez Tuma"},
	"till_unknown":       {"There is no such till", "Hakuna till yenye namba hiyo", "Cette caisse n'existe pas"},
	"self":               {"That is your own number", "Hiyo ni namba yako mwenyewe", "C'est votre propre numéro"},
	"below_min":          {"The least is ", "Kiasi cha chini ni ", "Le minimum est de "},
	"over_entry":         {"The most at once is ", "Kiwango cha juu kwa mara moja ni ", "Le maximum par fois est de "},
	"over_day":           {"Over the day's limit", "Umezidi kiwango cha siku", "Limite du jour dépassée"},
	"too_soon":           {"Too soon after the last payment", "Ni mapema mno baada ya malipo", "Trop peu de temps depuis le dernier paiement"},
	"bad_phone":          {"Not a phone number", "Si namba ya simu", "Numéro non valable"},
	"bad_amount":         {"Not an amount", "Si kiasi sahihi", "Montant non valable"},
	"bad_choice":         {"Not on the list", "Haimo kwenye orodha", "Pas dans la liste"},
	"held":               {"Not paid. Your SIM or PIN is new", "Haijalipwa. SIM au PIN yako ni mpya", "Non payé. Votre SIM ou PIN est nouveau"},
	"pin_held":           {"Your SIM is new", "SIM yako ni mpya", "Votre SIM est nouvelle"},
	"pins_paused":        {"PINs cannot be checked", "PIN haziwezi kuthibitishwa", "Pendant une minute, aucun PIN"},
	"too_often":          {"Not paid: too many payments", "Haijalipwa: malipo mengi mno", "Non payé: trop de paiements"},
	"new_payee":          {"Not paid: nearly all your money", "Haijalipwa: karibu pesa zako zote", "Non payé: presque tout votre argent"},
	"fresh_money":        {"Not paid. This money came a moment ago", "Haijalipwa. Pesa hizi zimeingia sasa hivi", "Non payé. Cet argent vient d'arriver"},
	"lookups_spent":      {"You have looked up too many names", "Umeangalia majina mengi mno", "Vous avez demandé trop de noms"},
	"customer_cannot":    {"The customer cannot withdraw this now", "Mteja hawezi kutoa kiasi hiki sasa", "Le client ne peut pas retirer cela"},
}

// Phrases gives the population's reading of the texts, for the test that compares it with the service's own.
func Phrases() map[string][]string { return phrases }

// says tells whether a line of the screen is the phrase of that name.
func says(screen, name string) bool {
	for line := range strings.Lines(screen) {
		for _, p := range phrases[name] {
			if strings.HasPrefix(line, p) || strings.Contains(p, " Tuma") && strings.Contains(line, p) {
				return true
			}
		}
	}
	return false
}

// complaints are the phrases that are reasons, in the order in which they are looked for.
var complaints = []string{
	"busy", "wrong_pin", "pin_locked", "insufficient", "float_low", "payee_full", "payee_unregistered", "till_unknown", "self", "below_min",
	"over_entry", "over_day", "too_soon", "bad_phone", "bad_amount", "bad_choice", "customer_cannot",
	"held", "pin_held", "pins_paused", "too_often", "new_payee", "fresh_money", "slow", "lookups_spent",
}

// complaint is the reason that a screen gives, "" for none.
func complaint(screen string) string {
	for _, name := range complaints {
		if says(screen, name) {
			return name
		}
	}
	return ""
}

var (
	receiptFirst = regexp.MustCompile(`^[A-Z0-9]{10} `)
	receiptAsked = regexp.MustCompile(`\(([A-Z0-9]{10})\)`)
	moneyShown   = regexp.MustCompile(`Ksh([0-9,]+\.[0-9]{2})`)
	numberShown  = regexp.MustCompile(`\b0[17][0-9]{8}\b|\+[0-9]{10,15}\b`)
	tillShown    = regexp.MustCompile(`\b[0-9]{6}\b`)
	optionShown  = regexp.MustCompile(`(?m)^[0-9] \S`)
)

// amounts are the sums of money on a screen, in minor units.
func amounts(screen string) (all []int64) {
	for _, m := range moneyShown.FindAllStringSubmatch(screen, -1) {
		n, err := strconv.ParseInt(strings.NewReplacer(",", "", ".", "").Replace(m[1]), 10, 64)
		if err == nil {
			all = append(all, n)
		}
	}
	return all
}

// national is a number as people key it in; international as the history has it.
func national(number string) string { return "0" + strings.TrimPrefix(number, "+254") }

func international(shown string) string {
	if rest, ok := strings.CutPrefix(shown, "0"); ok {
		return "+254" + rest
	}
	return shown
}
