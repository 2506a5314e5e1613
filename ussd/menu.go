package ussd

import (
	"context"

	"tuma/agents"
)

// Tree is the whole menu. A screen's words stand under the same name in
// screens/*.txt; docs/menu.md draws it.
func Tree() Menu {
	sent := Else{"again": "send_again"}
	withdrawn := Else{"again": "withdraw_again"}
	bought := Else{"again": "airtime_again"}
	deposited := Else{"again": "deposit_again"}
	moved := Else{"again": "float_move_again"}
	return Menu{Start: "start", Resume: "resume", Asked: "approval", Refusals: refusals(), Screens: map[string]Screen{
		// Who is dialling
		"start":     {Before: who, Else: Else{"is_operator": "till"}, Then: "wallet"},
		"wallet":    {Before: asCustomer, Else: Else{"is_stranger": "stranger", "is_frozen": "frozen", "is_unset": "set_pin", "is_locked": "unlock"}, Then: "customer"},
		"till":      {Before: asOperator, Else: Else{"is_frozen": "frozen", "is_unset": "set_pin", "is_locked": "till_locked"}, Then: "operator"},
		"frozen":    {End: true},
		"resume":    {Pick: Pick{"resume_go", "start"}}, // instead of start, when the last session broke off
		"resume_go": {Then: Resumed},

		// A stranger
		"stranger":        {Root: true, Pick: Pick{"register", "first_language"}},
		"register":        {Ask: Name, Then: "register_id"},
		"register_id":     {Ask: IDNumber, Then: "register_pin"},
		"register_pin":    {Ask: NewPIN, Then: "register_repeat"},
		"register_repeat": {Ask: RepeatPIN, Do: register, Else: Else{"pin_mismatch": "register_pin"}, Then: "registered"},
		"registered":      {End: true},
		"first_language":  {Ask: Language, Do: setLanguage, Then: "stranger"},

		// A customer
		"customer": {Before: countApprovals, Root: true, Above: "approvals", Pick: Pick{"send", "withdraw", "airtime", "account"}},

		"send":        {Ask: Phone, Do: lookUpPayee, Then: "send_amount"},
		"send_amount": {Ask: Amount, Then: "send_pin"},
		"send_pin":    {Before: quoteSend, Else: sent, Ask: PIN, Pay: send, Then: "send_done"},
		"send_again":  {Pick: Pick{"send_sure", "start"}},
		"send_sure":   {Before: sure, Then: "send_pin"},
		"send_done":   {End: true},

		"withdraw":        {Ask: Till, Do: lookUpTill, Then: "withdraw_amount"},
		"withdraw_amount": {Ask: Amount, Then: "withdraw_pin"},
		"withdraw_pin":    {Before: quoteWithdraw, Else: withdrawn, Ask: PIN, Pay: withdraw, Then: "withdraw_done"},
		"withdraw_again":  {Pick: Pick{"withdraw_sure", "start"}},
		"withdraw_sure":   {Before: sure, Then: "withdraw_pin"},
		"withdraw_done":   {End: true},

		"airtime":        {Pick: Pick{"airtime_own", "airtime_other"}},
		"airtime_own":    {Before: ownNumber, Then: "airtime_amount"},
		"airtime_other":  {Ask: Phone, Then: "airtime_amount"},
		"airtime_amount": {Ask: Amount, Then: "airtime_pin"},
		"airtime_pin":    {Before: quoteAirtime, Else: bought, Ask: PIN, Pay: airtime, Then: "airtime_done"},
		"airtime_again":  {Pick: Pick{"airtime_sure", "start"}},
		"airtime_sure":   {Before: sure, Then: "airtime_pin"},
		"airtime_done":   {End: true},

		// What others have asked for; a pushed session begins at the second
		"approvals":    {Before: listApprovals, Ask: Listed, Then: "waiting"},
		"waiting":      {Before: whatWaits, Else: Else{"is_dispute": "dispute", "is_sent": "sent_dispute"}, Then: "approval"},
		"approval":     {Before: showApproval, Else: Else{"is_send": "own_send", "is_withdraw": "own_withdraw", "is_airtime": "own_airtime", "is_hold": "own_hold"}, Pick: Pick{"approve", "decline"}},
		"approve":      {Before: showApproval, Ask: PIN, Pay: approve, Then: "approved"},
		"approved":     {End: true},
		"decline":      {Before: decline, Then: "declined"},
		"declined":     {End: true},
		"dispute":      {Before: showDispute, Pick: Pick{"object", "agree"}}, // a deposit to a wrong number, as its till says
		"object":       {Before: object, Then: "objected"},
		"objected":     {End: true},
		"agree":        {Before: showDispute, Ask: PIN, Do: agree, Then: "agreed"},
		"agreed":       {End: true},
		"sent_dispute": {Before: showDispute, Pick: Pick{"object", "give_back"}}, // money that another says was sent by mistake
		"give_back":    {Before: showDispute, Ask: PIN, Pay: giveBack, Then: "given_back"},
		"given_back":   {End: true},

		// What the customer has asked for by SMS
		"own_send":     {Pick: Pick{"confirm", "decline"}},
		"own_withdraw": {Pick: Pick{"confirm", "decline"}},
		"own_airtime":  {Pick: Pick{"confirm", "decline"}},
		"own_hold":     {Pick: Pick{"ask_back", "decline"}},
		"confirm":      {Before: loadApproval, Ask: PIN, Pay: approve, Then: "confirmed"},
		"confirmed":    {End: true},
		"ask_back":     {Before: loadApproval, Ask: PIN, Pay: reverse, Then: "reversed"},

		"account":     {Pick: Pick{"balance", "mini", "change_pin", "language", "limits", "check", "reverse"}},
		"balance":     {Ask: PIN, Do: balance, Then: "balance_is"},
		"balance_is":  {End: true},
		"mini":        {Ask: PIN, Do: miniStatement, Else: Else{"no_entries": "no_entries"}, Then: "mini_is"},
		"mini_is":     {End: true, Long: true},
		"no_entries":  {End: true},
		"limits":      {Before: limits, End: true},
		"language":    {Ask: Language, Do: setLanguage, Then: "language_is"},
		"language_is": {End: true},

		"check":       {Ask: Receipt, Do: checkReceipt, Else: Else{"is_in": "check_in"}, Then: "check_out"},
		"check_in":    {End: true},
		"check_out":   {End: true},
		"reverse":     {Before: listSent, Ask: Listed, Then: "reverse_pin"},
		"reverse_pin": {Before: showSent, Ask: PIN, Pay: reverse, Then: "reversed"},
		"reversed":    {End: true},

		// Choosing a PIN: a new one, the first one, or getting a locked one back
		"change_pin":   {Ask: PIN, Then: "new_pin"},
		"new_pin":      {Ask: NewPIN, Then: "repeat_pin"},
		"repeat_pin":   {Ask: RepeatPIN, Do: changePIN, Else: Else{"pin_mismatch": "new_pin"}, Then: "pin_changed"},
		"pin_changed":  {End: true},
		"set_pin":      {Ask: IDNumber, Then: "first_pin"},
		"first_pin":    {Ask: NewPIN, Then: "first_repeat"},
		"first_repeat": {Ask: RepeatPIN, Do: activate, Else: Else{"pin_mismatch": "first_pin", "wrong_id": "set_pin"}, Then: "pin_set"},
		"pin_set":      {End: true},
		"unlock":       {Ask: IDNumber, Do: unlock, Then: "unlocked"},
		"unlocked":     {End: true},

		// An operator at a till
		"operator":    {Root: true, Pick: Pick{"deposit", "enrol", "float", "last", "change_pin", "language", "wallet", "cash_out", "counter"}},
		"till_locked": {Pick: Pick{"unlock", "wallet"}},

		"deposit":        {Ask: Phone, Do: lookUpCustomer, Then: "deposit_amount"},
		"deposit_amount": {Ask: Amount, Then: "deposit_pin"},
		"deposit_pin":    {Before: quoteDeposit, Else: deposited, Ask: PIN, Pay: deposit, Then: "deposit_done"},
		"deposit_again":  {Pick: Pick{"deposit_sure", "start"}},
		"deposit_sure":   {Before: sure, Then: "deposit_pin"},
		"deposit_done":   {End: true},

		"enrol":      {Ask: Phone, Then: "enrol_name"},
		"enrol_name": {Ask: Name, Then: "enrol_id"},
		"enrol_id":   {Ask: IDNumber, Then: "enrol_pin"},
		"enrol_pin":  {Before: showEnrol, Ask: PIN, Do: enrol, Then: "enrolled"},
		"enrolled":   {End: true},

		"cash_out":        {Ask: Phone, Do: lookUpAsked, Else: Else{"is_asked": "cash_out_open"}, Then: "cash_out_amount"},
		"cash_out_open":   {Pick: Pick{"cash_out_cancel", "start"}},
		"cash_out_cancel": {Before: cancelCashOut, Then: "cash_out_amount"},
		"cash_out_amount": {Ask: Amount, Then: "cash_out_pin"},
		"cash_out_pin":    {Before: quoteCashOut, Ask: PIN, Do: askCashOut, Then: "cash_out_asked"},
		"cash_out_asked":  {End: true},

		"float":       {Ask: PIN, Do: floatBalance, Else: Else{"no_day": "float_is"}, Then: "position_is"},
		"float_is":    {End: true},
		"position_is": {End: true},
		"last":        {Ask: PIN, Do: lastEntries, Else: Else{"no_entries": "no_entries"}, Then: "last_is"},
		"last_is":     {End: true, Long: true},

		// The till itself: its day, its float, its commission, its people
		"counter": {Pick: Pick{"day_open", "day_close", "float_buy", "float_move", "float_return", "earned", "undo", "staff"}},

		"day_open":      {Before: may(agents.ActDayOpen), Ask: Cash, Then: "day_open_pin"},
		"day_open_pin":  {Before: showAmount, Ask: PIN, Do: openDay, Then: "day_opened"},
		"day_opened":    {End: true},
		"day_close":     {Before: may(agents.ActDayClose), Ask: Cash, Then: "day_close_pin"},
		"day_close_pin": {Before: showAmount, Ask: PIN, Do: closeDay, Else: Else{"is_over": "day_over", "is_short": "day_short"}, Then: "day_even"},
		"day_over":      {End: true},
		"day_short":     {End: true},
		"day_even":      {End: true},

		"float_buy":         {Before: may(agents.ActFloatRequest), Ask: Amount, Then: "float_buy_ref"},
		"float_buy_ref":     {Ask: BankRef, Then: "float_buy_pin"},
		"float_buy_pin":     {Before: showAmount, Ask: PIN, Do: buyFloat, Then: "float_asked"},
		"float_asked":       {End: true},
		"float_move":        {Before: may(agents.ActFloatTransfer), Ask: Till, Do: lookUpSister, Then: "float_move_amount"},
		"float_move_amount": {Ask: Amount, Then: "float_move_pin"},
		"float_move_pin":    {Before: quoteMove, Else: moved, Ask: PIN, Pay: moveFloat, Then: "float_moved"},
		"float_move_again":  {Pick: Pick{"float_move_sure", "start"}},
		"float_move_sure":   {Before: sure, Then: "float_move_pin"},
		"float_moved":       {End: true},
		"float_return":      {Before: may(agents.ActFloatReturn), Ask: Amount, Then: "float_return_pin"},
		"float_return_pin":  {Before: showAmount, Ask: PIN, Do: returnFloat, Then: "float_asked"},

		"earned":       {Pick: Pick{"earnings", "payout"}},
		"earnings":     {Before: may(agents.ActCommissionView), Ask: PIN, Do: earnings, Else: Else{"no_entries": "no_entries"}, Then: "earnings_are"},
		"earnings_are": {End: true, Long: true},
		"payout":       {Before: may(agents.ActCommissionPayout), Ask: Amount, Then: "payout_pin"},
		"payout_pin":   {Before: showAmount, Ask: PIN, Pay: payOut, Then: "paid_out"},
		"paid_out":     {End: true},

		"undo":        {Before: may(agents.ActReversalAsk), Ask: Receipt, Do: lookUpDeposit, Then: "undo_why"},
		"undo_why":    {Pick: Pick{"undo_number", "undo_amount"}},
		"undo_number": {Before: because("wrong number"), Then: "undo_pin"},
		"undo_amount": {Before: because("wrong amount"), Then: "undo_pin"},
		"undo_pin":    {Ask: PIN, Pay: undo, Then: "undo_asked"},
		"undo_asked":  {End: true},

		"staff":    {Before: may(agents.ActOperatorsManage), Ask: Phone, Do: lookUpOperator, Else: Else{"is_frozen": "unfreeze"}, Then: "freeze"},
		"freeze":   {Ask: PIN, Do: freezeOperator(true), Then: "stopped"},
		"unfreeze": {Ask: PIN, Do: freezeOperator(false), Then: "let_go"},
		"stopped":  {End: true},
		"let_go":   {End: true},
	}}
}

// refusals says for each reason why somebody may be told no, what happens on
// whichever screen it comes up: the question is asked again under a line that
// says why, or the session ends with it. Behind a PIN nothing is asked again,
// since another PIN would not cure it. A screen's own Else comes first.
func refusals() map[string]Outcome {
	return map[string]Outcome{
		// What was keyed in
		"bad_choice": AskAgain, "bad_phone": AskAgain, "bad_amount": AskAgain, "bad_name": AskAgain, "bad_id": AskAgain, "bad_till": AskAgain, "bad_reference": AskAgain, "bad_receipt": AskAgain,
		"bad_pin": AskAgain, "weak_pin": AskAgain, "pin_mismatch": AskAgain, "wrong_pin": AskAgain, "wrong_id": AskAgain,
		"pin_locked": EndsWith, "pin_unset": EndsWith, "pin_set": EndsWith, "unlock_used": EndsWith, "bad_lang": EndsWith,
		// Who it is for
		"self": AskAgain, "payee_unregistered": AskAgain, "payee_frozen": AskAgain, "payee_full": AskAgain,
		"till_unknown": AskAgain, "till_closed": AskAgain, "lookups_spent": EndsWith,
		"already_registered": EndsWith, "id_taken": EndsWith,
		// How much
		"below_min": AskAgain, "over_entry": AskAgain, "over_day": AskAgain, "insufficient": AskAgain, "float_low": AskAgain,
		"customer_cannot": AskAgain, "ask_open": EndsWith, "asks_spent": EndsWith,
		// What the till itself wants
		"day_is_open": EndsWith, "day_not_open": EndsWith, "reference_used": EndsWith, "other_network": AskAgain, "no_operator": AskAgain,
		"no_deposit": AskAgain, "too_late": EndsWith, "nothing_left": EndsWith,
		// What was asked for
		"no_receipt": EndsWith, "checks_spent": EndsWith, "not_sent": EndsWith, "no_sent": EndsWith, "reverse_late": EndsWith, "reverse_empty": EndsWith, "reverses_spent": EndsWith, "reverse_stopped": EndsWith, "reverse_done": EndsWith, "approval_gone": EndsWith, "price_changed": EndsWith,
		// Brakes
		"held": EndsWith, "pin_held": EndsWith, "pins_paused": EndsWith, "too_often": EndsWith, "new_payee": EndsWith, "fresh_money": EndsWith,
		// Not now
		"frozen": EndsWith, "not_allowed": EndsWith, "out_of_hours": EndsWith, "payer_frozen": EndsWith, "payer_blocked": EndsWith, "too_soon": EndsWith, "busy": EndsWith,
	}
}

// Menu is a tree of screens as data.
type Menu struct {
	Start    string // where a dial begins
	Resume   string // where it begins instead when the last session broke off in the middle
	Asked    string // where a session begins that was pushed to the phone, to ask for an approval
	Screens  map[string]Screen
	Refusals map[string]Outcome
}

// Screen is one thing that a phone can show (Pick, Ask or End; exactly one), or
// none of them: a junction, which is passed through.
type Screen struct {
	Before Action // on arriving: fetch what the words need; a refusal turns the customer away
	Above  string // of a list: a screen listed above the others, with key 9, while Before has filled every hole of its label
	Pick   Pick   // lists the labels of these screens to choose from
	Ask    Kind   // asks for one thing and checks that it is one
	End    bool   // the last words of a session
	Root   bool   // the top of somebody's menu, which the answers of a dial string are meant for
	Long   bool   // the text may be longer than a phone's screen and is then shown in pages

	Do   Action  // when the answer has been checked (behind a PIN question: the PIN was right)
	Pay  Payment // instead of Do: moves money. Only behind a PIN question
	Then string  // the screen to go to
	Else Else    // or, if Before, Do or Pay refuse with one of these keys, this one
}

// Pick lists screens to choose from, in the order of their numbers.
type Pick []string

// Else says where a refusal leads.
type Else map[string]string

// Resumed stands, as an edge, for the screen at which the last session broke off.
const Resumed = "(resumed)"

// Kind is what a screen asks for.
type Kind int

// The kinds of answers. What each accepts is decided by the package that knows
// (phone, money, accounts, agents).
const (
	Nothing   Kind = iota
	Phone          // any phone number of the country, or an international one
	Amount         // money, at least one minor unit
	Till           // a till's number
	Name           // a person's full name
	IDNumber       // of the national ID
	Language       // the number of one of the country's languages
	PIN            // the caller's PIN; the machine verifies it
	NewPIN         // a PIN to be; the machine checks that it is not weak and keeps it sealed
	RepeatPIN      // the same again; refusal pin_mismatch
	Cash           // as Amount, and 000 for none
	BankRef        // the bank's reference of a payment
	Receipt        // of an entry, its 10 characters
	Listed         // the number of a line that Before has listed. A dial string stops here: nobody knows beforehand what is on the list
)

var kindNames = [...]string{"nothing", "phone number", "amount", "till number", "name", "ID number", "language", "PIN", "new PIN", "new PIN again", "cash", "bank reference", "receipt", "number of a line"}

func (k Kind) String() string { return kindNames[k] }

// Secret tells whether the answer must leave no trace.
func (k Kind) Secret() bool { return k == PIN || k == NewPIN || k == RepeatPIN }

// Action does one thing for a screen. It returns nil, an accounts.Refusal, or
// any other error, which is ours and not the customer's.
type Action func(ctx context.Context, s *Step) error

// Payment is an action that moves money, once for each ref.
type Payment func(ctx context.Context, s *Step, ref string) error

// Outcome is what becomes of a refusal that a screen does not handle itself.
type Outcome int

// The outcomes.
const (
	AskAgain Outcome = iota + 1 // the question stands, under a line with the reason
	EndsWith                    // the session ends with the reason
)
