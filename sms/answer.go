package sms

import (
	"context"
	"strconv"
	"strings"
	"time"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/money"
	"tuma/internal/text"
)

// What becomes of each command. Whoever sent it may not be who the gateway says;
// but answers go to that number alone, so a forged sender learns nothing, and
// what moves money waits for the PIN.

// Refusals are the keys that a command can be refused with; the menu has words
// for them.
var Refusals = []string{
	"self", "payee_unregistered", "payee_frozen", "below_min", "over_entry", "over_day", "insufficient", "payer_frozen", "payer_blocked",
	"till_unknown", "till_closed", "lookups_spent", "no_receipt", "checks_spent", "bad_lang", "not_sent", "reverse_late", "reverse_empty", "reverses_spent", "reverse_done",
}

// How much of a mini statement and of names answers have room for.
const (
	miniLines  = 3
	lineName   = 10
	answerName = 22
)

func (b *Inbox) do(ctx context.Context, in Inbound, c accounts.Customer, cmd command) (answer, error) {
	if c.Frozen && cmd.name != cmdPIN {
		return answer{}, accounts.Refuse("payer_frozen")
	}
	switch cmd.name {
	case cmdBalance:
		return b.balance(ctx, c, "balance")
	case cmdMini:
		return b.mini(ctx, c)
	case cmdSend, cmdWithdraw, cmdAirtime:
		return b.ask(ctx, in, c, cmd)
	case cmdCheck:
		return b.checkReceipt(ctx, c, cmd.receipt)
	case cmdReverse:
		return b.reverse(ctx, in, c, cmd.receipt)
	case cmdForward:
		return b.forward(ctx, in, c, cmd.receipt)
	case cmdLanguage:
		return answer{name: "language", lang: cmd.speak}, b.accounts.SetLang(ctx, c, cmd.speak)
	case cmdMenu:
		return answer{name: "menu"}, nil
	case cmdPIN:
		return answer{name: "pin"}, nil
	}
	if cmd.meant == "" {
		return answer{name: "unclear"}, nil
	}
	example, _ := b.words.Text(b.languageOf(c), "example."+cmd.meant)
	return answer{name: "nearest", holes: text.Holes{"example": example.Body}}, nil
}

func (b *Inbox) balance(ctx context.Context, c accounts.Customer, name string) (answer, error) {
	left, err := b.accounts.Balance(ctx, c)
	h := b.stamp(b.pool.Now())
	h["balance"] = b.accounts.Money(left)
	return answer{name: name, holes: h}, err
}

func (b *Inbox) mini(ctx context.Context, c accounts.Customer) (answer, error) {
	lines, err := b.accounts.Mini(ctx, c, miniLines)
	if err != nil {
		return answer{}, err
	}
	if len(lines) == 0 {
		return b.balance(ctx, c, "no_entries")
	}
	a, err := b.balance(ctx, c, "mini")
	var all []string
	for _, l := range lines {
		sign := "-"
		if l.In {
			sign = "+"
		}
		day := l.At.In(b.accounts.Country().Zone).Format("2/1/06")
		all = append(all, strings.TrimRight(day+" "+sign+b.accounts.Money(l.Amount)+" "+accounts.ShortName(text.GSM7(l.Other), lineName), " "))
	}
	a.holes["lines"] = strings.Join(all, "\n")
	return a, err
}

// stamp is an instant as customers read it.
func (b *Inbox) stamp(at time.Time) text.Holes {
	at = at.In(b.accounts.Country().Zone)
	return text.Holes{"date": at.Format("2/1/06"), "time": at.Format("3:04 PM")}
}

// ask turns a command that would move money into an approval. The same command
// while its approval waits, in another message, asks for nothing more: an answer
// that is late makes people send it again.
func (b *Inbox) ask(ctx context.Context, in Inbound, c accounts.Customer, cmd command) (answer, error) {
	if cmd.name == cmdAirtime && cmd.number == "" {
		cmd.number = c.Phone
	}
	first, full, err := b.asked(ctx, in, c, func(a accounts.Approval) bool {
		return a.Kind == cmd.name && a.Amount == cmd.amount && a.Params["to"] == string(cmd.number) && a.Params["till"] == cmd.till
	})
	switch {
	case err != nil || full.name != "":
		return full, err
	case first.ID != 0:
		return b.waits(cmd, first.Amount, first.Fee), nil
	}
	var a accounts.Approval
	switch cmd.name {
	case cmdSend:
		a, err = b.accounts.AskSend(ctx, in.key(), c, cmd.number, cmd.amount)
	case cmdWithdraw:
		a, err = b.agents.AskOwnWithdraw(ctx, in.key(), c, cmd.till, cmd.amount)
	case cmdAirtime:
		a, err = b.accounts.AskAirtime(ctx, in.key(), c, cmd.number, cmd.amount)
	}
	return b.waits(cmd, a.Amount, a.Fee), err
}

// asked finds among what the customer has asked for in other messages, and not
// answered, the same; full is the answer when it is not there and no more may wait.
func (b *Inbox) asked(ctx context.Context, in Inbound, c accounts.Customer, same func(accounts.Approval) bool) (first accounts.Approval, full answer, err error) {
	open, err := b.accounts.Approvals(ctx, c)
	own := 0
	for _, a := range open {
		switch {
		case !a.Own():
		case same(a) && a.Ref != in.key():
			return a, answer{}, nil
		default:
			own++
		}
	}
	if own >= openAsked {
		full = answer{name: "many_asked", holes: text.Holes{"waiting": strconv.Itoa(own)}}
	}
	return first, full, err
}

// waits says what waits for the PIN. The payee's name is not part of it: it would
// be told to whoever can send messages.
func (b *Inbox) waits(cmd command, amount, fee money.Amount) answer {
	return answer{name: "asked_" + cmd.name, holes: text.Holes{
		"amount": b.accounts.Money(amount), "fee": b.accounts.Money(fee), "till": cmd.till, "number": b.accounts.Country().Phone.National(cmd.number),
	}}
}

func (b *Inbox) checkReceipt(ctx context.Context, c accounts.Customer, code string) (answer, error) {
	l, err := b.accounts.CheckReceipt(ctx, c, code)
	if err != nil {
		return answer{}, err
	}
	name := "check_out"
	if l.In {
		name = "check_in"
	}
	h := b.stamp(l.At)
	h["code"], h["amount"], h["name"] = l.Code, b.accounts.Money(l.Amount), accounts.ShortName(text.GSM7(l.Other), answerName)
	return answer{name: name, holes: h}, nil
}

// reverse has the customer asked whether money that he has sent is to be held and
// asked back. The receipt proves nothing: the payee has it, too, and whoever reads
// his messages.
func (b *Inbox) reverse(ctx context.Context, in Inbound, c accounts.Customer, code string) (answer, error) {
	a, full, err := b.asked(ctx, in, c, func(a accounts.Approval) bool { return a.Kind == "hold" && a.Params["receipt"] == code })
	if err != nil || full.name != "" {
		return full, err
	}
	if a.ID == 0 {
		var held *agents.Reversal
		a, held, err = b.agents.AskOwnBack(ctx, in.key(), c, code)
		if err != nil {
			return answer{}, err
		}
		if held != nil {
			return answer{name: "held", holes: text.Holes{"code": held.Receipt, "amount": b.accounts.Money(held.Held)}}, nil
		}
	}
	return answer{name: "asked_reverse", holes: text.Holes{
		"code": code, "amount": b.accounts.Money(a.Amount), "name": accounts.ShortName(text.GSM7(a.AskerName), answerName)}}, nil
}

// forward deals with a confirmation that was sent on to us: whoever has paid by
// mistake wants it back, everybody else wants to know whether it is true.
func (b *Inbox) forward(ctx context.Context, in Inbound, c accounts.Customer, code string) (answer, error) {
	a, err := b.reverse(ctx, in, c, code)
	if accounts.Refused(err, "not_sent") || accounts.Refused(err, "reverse_late") || a.name == "many_asked" {
		return b.checkReceipt(ctx, c, code)
	}
	return a, err
}
