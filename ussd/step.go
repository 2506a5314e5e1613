package ussd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/money"
	"tuma/internal/phone"
	"tuma/internal/text"
)

// Role is who the caller acts as. One phone number can be an operator's and a
// customer's; the two have a PIN each.
type Role string

// The roles.
const (
	Stranger   Role = "stranger"
	AsCustomer Role = "customer"
	AsOperator Role = "operator"
)

// Answers are what the customer has keyed in so far, checked and in the
// service's own types. A PIN is in here only as a sealed one.
type Answers struct {
	Phone    phone.Number       `json:"phone,omitempty"`
	Amount   money.Amount       `json:"amount,omitempty"`
	Till     string             `json:"till,omitempty"`
	Name     string             `json:"name,omitempty"`
	IDNumber string             `json:"id,omitempty"`
	Lang     string             `json:"lang,omitempty"`
	PIN      accounts.SealedPIN `json:"sealed,omitempty"` // between choosing and repeating it

	BankRef string `json:"bank,omitempty"`
	Receipt string `json:"receipt,omitempty"`
	Reason  string `json:"reason,omitempty"`

	Listed []Choice `json:"listed,omitempty"` // what is on the list, in its order
	Codes  []string `json:"codes,omitempty"`  // of receipts on it
	Chosen Choice   `json:"chosen,omitzero"`  // from it, or pushed
	Asked  string   `json:"asked,omitempty"`  // the ref of an approval, for the log
	Own    string   `json:"own,omitempty"`    // its kind, when the customer has asked for it

	Sure   string       `json:"sure,omitempty"`   // the payment that the customer wants although it was just made
	Looked phone.Number `json:"looked,omitempty"` // the number whose look-up has been counted
}

// Choice is something of a list, by its id.
type Choice struct {
	What string `json:"what"` // approval, dispute
	ID   int64  `json:"id"`
}

// Step is what an action gets: the verbs, who is calling, what was answered,
// and the holes of the words to fill.
type Step struct {
	Accounts *accounts.Service
	Agents   *agents.Service

	From     phone.Number
	Customer accounts.Customer // when the caller acts as one
	Operator agents.Operator   // likewise
	Receipt  string            // of the money that this step moved, for the log
	Ref      string            // likewise, when it is not the session's

	*state
	m  *Machine
	id string // gateway and session, for refs
}

// state is the part of a session that the menu works on.
type state struct {
	As      Role       `json:"as"`
	Lang    string     `json:"lang"`
	Screen  string     `json:"screen"`
	Trail   []crumb    `json:"trail,omitempty"` // the screens behind, nearest last
	Page    int        `json:"page,omitempty"`  // of a long text
	Answers Answers    `json:"answers"`
	Holes   text.Holes `json:"holes,omitempty"`
	Inputs  int        `json:"inputs"`           // answers consumed so far, at most MaxSteps
	Resume  *state     `json:"resume,omitempty"` // while the offer to go on with it is on the screen
}

// crumb is a screen to go back to, and as whom.
type crumb struct {
	Screen string `json:"screen"`
	As     Role   `json:"as"`
}

// Put fills holes: name, value, name, value.
func (s *Step) Put(pairs ...string) {
	if s.Holes == nil {
		s.Holes = text.Holes{}
	}
	for i := 0; i < len(pairs); i += 2 {
		s.Holes[pairs[i]] = pairs[i+1]
	}
}

// Money writes an amount the way screens show it.
func (s *Step) Money(a money.Amount) string { return s.Accounts.Country().Currency.Format(a) }

// Number writes a phone number the way screens show it.
func (s *Step) Number(n phone.Number) string { return s.Accounts.Country().Phone.National(n) }

// maxShownName keeps the screens that name somebody within a phone's screen;
// receipts by SMS and the register have the whole name. It leaves room for
// most names of three words.
const maxShownName = 22

// Person writes a person's or a till's name the way screens show it.
func (s *Step) Person(name string) string {
	return accounts.ShortName(text.GSM7(name), maxShownName)
}

// Clock writes a time of day, and Day a date, in the country's time zone.
func (s *Step) Clock(t time.Time) string {
	return t.In(s.Accounts.Country().Zone).Format("3:04 PM")
}

// Day writes a date as 22/11.
func (s *Step) Day(t time.Time) string {
	return t.In(s.Accounts.Country().Zone).Format("2/1")
}

// Once is a ref for something that happens at most once in a session.
func (s *Step) Once(what string) string { return "ussd:" + s.id + ":" + what }

// payment is the ref of the payment that a session makes. It has one at most
// (Menu.Check sees to it that a payment ends the session), so nothing that Redis
// may forget, such as the way to the PIN, is part of the ref.
func (s *Step) payment() string { return s.Once("pay") }

// owner is who must know the PIN that a screen asks for.
type owner struct {
	pin      accounts.PINID
	phone    phone.Number
	idNumber string
}

func (s *Step) owner() owner {
	if s.As == AsOperator {
		return owner{s.Operator.PIN, s.Operator.Phone, s.Operator.IDNumber}
	}
	return owner{s.Customer.PIN, s.Customer.Phone, s.Customer.IDNumber}
}

// personal is what a new PIN must not resemble.
func (s *Step) personal() []string {
	id := s.owner().idNumber
	if s.As == Stranger || id == "" {
		id = s.Answers.IDNumber
	}
	return []string{string(s.From), s.Number(s.From), id}
}

// errGone says that the caller is no longer who the session took him for.
var errGone = errors.New("ussd: the caller's account is gone")

// load fetches who is calling afresh, so that a session never acts on what was
// true some screens ago.
func (s *Step) load(ctx context.Context) error {
	var err error
	switch s.As {
	case AsCustomer:
		if s.Customer, err = s.Accounts.ByPhoneBeside(ctx, s.From, s.Answers.Phone); errors.Is(err, accounts.ErrNoCustomer) {
			return errGone
		}
	case AsOperator:
		if s.Operator, err = s.Agents.ByPhone(ctx, s.From); errors.Is(err, agents.ErrNoOperator) {
			return errGone
		}
	}
	if err != nil {
		return fmt.Errorf("ussd: who is calling: %w", err)
	}
	return nil
}

// speak takes over somebody's language if the service has it.
func (s *Step) speak(lang string) {
	if s.m.speaks(lang) {
		s.Lang = lang
	}
}

// lookUp counts the look-up of a number's owner against the caller's day, once
// in a session for the same number. The refusal is lookups_spent.
func (s *Step) lookUp(ctx context.Context) error {
	if s.Answers.Looked == s.Answers.Phone {
		return nil
	}
	unpaid, err := s.m.limits.LookUp(ctx, s.From)
	if err != nil {
		if accounts.Refused(err, "lookups_spent") {
			s.Accounts.NoteBrake(ctx, accounts.BrakeEvent{Rule: "lookups", Subject: "phone:" + string(s.From), Detail: "by USSD"})
		}
		return err
	}
	if b, on := s.Accounts.Brakes().On("lookups_unpaid"); on && unpaid >= b.Most {
		s.Accounts.NoteBrake(ctx, accounts.BrakeEvent{Rule: b.Rule, Subject: "phone:" + string(s.From), Detail: fmt.Sprintf("%d by USSD", unpaid)})
	}
	s.Answers.Looked = s.Answers.Phone
	return nil
}

// paid records a payment: for the log, for the words, and because people who
// pay may look up names again.
func (s *Step) paid(ctx context.Context, d accounts.Done) {
	s.Receipt = d.Code
	s.Put("code", d.Code, "amount", s.Money(d.Amount), "fee", s.Money(d.Fee), "balance", s.Money(d.Balance))
	s.m.limits.Paid(ctx, s.From)
}
