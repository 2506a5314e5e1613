package ussd

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"tuma/accounts"
	"tuma/agents"
)

// receiptLength is how many characters a receipt has.
const receiptLength = 10

// maxInput is the longest answer that is looked at, in bytes. A USSD string
// has 182 characters at most.
const maxInput = 182

// understand checks an answer and keeps it. Secrets go no further than here.
func (w *walk) understand(ctx context.Context, ask Kind, in string) error {
	s, a, country := w.step, &w.step.Answers, w.m.accounts.Country()
	if !readable(in) {
		return accounts.Refuse(mistakes[ask])
	}
	var err error
	switch ask {
	case Phone:
		if a.Phone, err = country.Phone.Parse(in); err != nil {
			return accounts.Refuse("bad_phone")
		}
	case Amount:
		if a.Amount, err = country.Currency.Parse(in); err != nil {
			return accounts.Refuse("bad_amount")
		}
	case Till:
		if strings.Trim(in, "0123456789") != "" || in == "" {
			return accounts.Refuse("bad_till")
		}
		a.Till = in
	case Name:
		a.Name, err = w.m.accounts.CheckName(in)
	case IDNumber:
		a.IDNumber, err = w.m.accounts.CheckID(in)
	case Language:
		for i, lang := range country.Languages {
			if in == strconv.Itoa(i+1) {
				a.Lang = lang
				return nil
			}
		}
		return accounts.Refuse("bad_choice")
	case Cash:
		if len(in) > 1 && strings.Trim(in, "0") == "" { // one 0 leads back, two lead home
			a.Amount = 0
		} else if a.Amount, err = country.Currency.Parse(in); err != nil {
			return accounts.Refuse("bad_amount")
		}
	case BankRef:
		if a.BankRef, err = agents.CheckBankRef(in); err != nil {
			return accounts.Refuse("bad_reference")
		}
	case Receipt:
		if a.Receipt = strings.ToUpper(in); len(in) != receiptLength || strings.Trim(a.Receipt, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
			return accounts.Refuse("bad_receipt")
		}
	case Listed:
		n, err := strconv.Atoi(in)
		if err != nil || n < 1 || n > len(a.Listed) {
			return accounts.Refuse("bad_choice")
		}
		a.Chosen = a.Listed[n-1]
	case PIN:
		// What cannot be a PIN is a slip and costs no try. A weak one may still
		// be somebody's: it was chosen before the rule.
		err = w.m.accounts.PINs().Check(in)
		if r, ok := errors.AsType[accounts.Refusal](err); ok && r.Key == "weak_pin" {
			err = nil
		}
		if err == nil {
			err = w.m.accounts.PINs().Verify(ctx, s.owner().pin, in)
			w.tellIfLocked(ctx, err)
		}
	case NewPIN:
		a.PIN = ""
		if err = w.m.accounts.PINs().Check(in, s.personal()...); err == nil {
			a.PIN, err = w.m.accounts.PINs().Seal(in)
		}
	case RepeatPIN:
		if a.PIN == "" || !w.m.accounts.PINs().Matches(a.PIN, in) {
			a.PIN = ""
			return accounts.Refuse("pin_mismatch")
		}
	default:
		err = fmt.Errorf("ussd: screen %q asks nothing", s.Screen)
	}
	return err
}

// tellIfLocked has the owner of a PIN told by SMS that it is locked now: whoever
// is keying it in may be somebody else. That it cannot be told stops nobody.
func (w *walk) tellIfLocked(ctx context.Context, verdict error) {
	if !accounts.Refused(verdict, "pin_locked") {
		return
	}
	o := w.step.owner()
	if err := w.m.accounts.TellPINLocked(ctx, o.pin, o.phone, w.step.Lang); err != nil {
		w.m.log.WarnContext(ctx, "ussd: the notice of a locked PIN was not written", "error", err)
	}
}

// mistakes are the refusals of an answer that is not even legible.
var mistakes = map[Kind]string{
	Phone: "bad_phone", Amount: "bad_amount", Till: "bad_till", Name: "bad_name", IDNumber: "bad_id", Language: "bad_choice",
	PIN: "bad_pin", NewPIN: "bad_pin", RepeatPIN: "bad_pin", Listed: "bad_choice",
	Cash: "bad_amount", BankRef: "bad_reference", Receipt: "bad_receipt",
}

func readable(in string) bool {
	return len(in) <= maxInput && utf8.ValidString(in) && strings.IndexFunc(in, unicode.IsControl) < 0
}
