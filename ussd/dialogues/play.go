package dialogues

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Hop is one request of the USSD gateway.
type Hop struct {
	Session     int    // counts up in a dialogue; the stage makes a name of it
	Pushed      string // in place of Session: the name that the service gave a session that it began
	From        Person
	ServiceCode string
	Text        string // all that was keyed in, joined with '*'
}

// Balance is a line of the books.
type Balance struct {
	Account string // "wallet asha", "float juma", "fees", "trust"
	Amount  string // "1000.00"
}

// Stage is where a dialogue is played: in process (Local) or over HTTP (Remote).
type Stage interface {
	// Begin puts the cast on the stage and returns it as it is there: from
	// outside, people have other numbers and documents than in the file.
	Begin(ctx context.Context, cast []Person) ([]Person, error)
	// Give makes somebody's balance, so far not above it, this amount.
	Give(ctx context.Context, p Person, amount string) error
	// Hop sends a request and returns the gateway's whole answer, "CON ..." or "END ...".
	Hop(ctx context.Context, h Hop) (string, error)
	// Drop tells that the session of a request has ended on the phone.
	Drop(ctx context.Context, h Hop) error
	// Pushed returns what the service has put on somebody's phone since it was
	// last asked: the name of the session that began with it, and the screen.
	Pushed(ctx context.Context, p Person) (session, screen string, err error)
	// Text sends an SMS to the service.
	Text(ctx context.Context, p Person, body string) error
	// SMS returns all SMS that a person has got, oldest first. When they may
	// still be under way it waits a while for there to be at least this many.
	SMS(ctx context.Context, p Person, atLeast int) ([]string, error)
	// Wait lets time pass.
	Wait(ctx context.Context, d time.Duration) error
	// Staff has the service's own staff do one of the deeds.
	Staff(ctx context.Context, deed string) error
	// Books returns the balances to show.
	Books(ctx context.Context, cast []Person) ([]Balance, error)
}

// ErrOnlyInside says that a dialogue, or a part of it, cannot be played from outside.
var ErrOnlyInside = errors.New("dialogues: can only be played in process")

// Options say how to play.
type Options struct {
	ServiceCode string // "*334#": where a dial string ends and the answers begin
	// Loose plays where numbers, receipts, dates and times are not those of the
	// file: numbers are translated, each receipt stands for one receipt and
	// every date and time for any.
	Loose bool
}

// Played is what came of it.
type Played struct {
	Text string // the file with what was really said
	Diff string // "" when that is what the file has; otherwise where it differs
}

// Play plays a dialogue to its end. One in which nobody does anything is an
// error: it would always be right.
func Play(ctx context.Context, s *Script, stage Stage, o Options) (Played, error) {
	if why := s.NeedsInside(); o.Loose && why != "" {
		return Played{}, fmt.Errorf("%w: %s: %s", ErrOnlyInside, s.Name, why)
	}
	if !slices.ContainsFunc(s.items, func(it item) bool { return it.step != nil }) {
		return Played{}, fmt.Errorf("dialogues: %s: nobody does anything in it", s.Name)
	}
	real, err := stage.Begin(ctx, s.Cast)
	if err != nil {
		return Played{}, fmt.Errorf("dialogues: %s: %w", s.Name, err)
	}
	p := &player{script: s, stage: stage, options: o, phones: map[string]*handset{}, real: real, loose: newLooseness(s.Cast, real)}
	for _, who := range real {
		p.phones[who.Handle] = &handset{owner: who}
	}
	if err := p.readAll(ctx); err != nil {
		return Played{}, fmt.Errorf("dialogues: %s: %w", s.Name, err)
	}
	var text, diff strings.Builder
	for _, it := range s.items {
		text.WriteString(it.raw + "\n")
		if it.step == nil {
			continue
		}
		got, err := p.do(ctx, *it.step, it.want)
		if err != nil {
			return Played{}, fmt.Errorf("dialogues: %s:%d: %s: %w", s.Name, it.number, it.raw, err)
		}
		want := it.want
		if o.Loose {
			got, want = p.loose.normal(p.loose.inScript(got), p.loose.gotCodes), p.loose.normal(want, p.loose.wantCodes)
		}
		for _, line := range got {
			text.WriteString(strings.TrimRight(indent+line, " ") + "\n")
		}
		if d := lineDiff(want, got); d != "" {
			fmt.Fprintf(&diff, "%s:%d: %s\n%s", s.Name, it.number, it.raw, d)
		}
	}
	return Played{Text: text.String(), Diff: diff.String()}, nil
}

// player is a dialogue being played.
type player struct {
	script  *Script
	stage   Stage
	options Options
	real    []Person
	phones  map[string]*handset
	session int
	loose   *looseness
}

// handset is somebody's phone: the session on it, and how many SMS were read.
type handset struct {
	owner Person
	last  *Hop
	reply string
	read  int
}

func (p *player) do(ctx context.Context, s step, want []string) ([]string, error) {
	if s.verb == "books" {
		balances, err := p.stage.Books(ctx, p.real)
		return columns(balances), err
	}
	if slices.Contains(deeds, s.verb) {
		return nil, p.stage.Staff(ctx, s.verb)
	}
	if s.verb == "customers have" {
		for i := range p.script.crowd() {
			if err := p.stage.Give(ctx, p.customer(i+1).owner, s.rest); err != nil {
				return nil, err
			}
		}
		return nil, p.readAll(ctx)
	}
	phone, rest := p.phones[s.who], s.rest
	if p.options.Loose {
		rest = p.loose.onStage(rest)
	}
	switch s.verb {
	case "has":
		if err := p.stage.Give(ctx, phone.owner, rest); err != nil {
			return nil, err
		}
		return nil, p.readAll(ctx) // what the money brought with it is not part of the story
	case "dials":
		p.session++
		phone.last = &Hop{Session: p.session, From: phone.owner, ServiceCode: p.options.ServiceCode, Text: p.answers(rest)}
		return p.hop(ctx, phone)
	case "types":
		switch {
		case phone.last == nil || strings.HasPrefix(phone.reply, "END"):
			return nil, errors.New("there is no session open on this phone")
		case phone.last.Text == "":
			phone.last.Text = rest
		default:
			phone.last.Text += "*" + rest
		}
		return p.hop(ctx, phone)
	case "is":
		session, screen, err := p.stage.Pushed(ctx, phone.owner)
		if err != nil || session == "" {
			return nil, err
		}
		phone.last = &Hop{Pushed: session, From: phone.owner, ServiceCode: p.options.ServiceCode}
		phone.reply = "CON " + screen
		return strings.Split(phone.reply, "\n"), nil
	case "serves":
		return p.serve(ctx, phone, rest)
	case "retries":
		if phone.last == nil {
			return nil, errors.New("nothing was sent yet")
		}
		return p.hop(ctx, phone)
	case "drops":
		if phone.last == nil {
			return nil, errors.New("nothing was dialled yet")
		}
		return nil, p.stage.Drop(ctx, *phone.last)
	case "texts":
		return nil, p.stage.Text(ctx, phone.owner, rest)
	case "waits":
		d, err := time.ParseDuration(rest)
		if err != nil {
			return nil, err
		}
		return nil, p.stage.Wait(ctx, d)
	case "receives":
		all, err := p.stage.SMS(ctx, phone.owner, phone.read+len(want))
		if err != nil || len(all) < phone.read {
			return nil, err
		}
		fresh := all[phone.read:]
		phone.read = len(all)
		return fresh, nil
	}
	return nil, fmt.Errorf("nobody can %q here", s.verb)
}

func (p *player) customer(i int) *handset { return p.phones[fmt.Sprintf("customer%d", i)] }

// serve has customers come to a till, each the whole way: who brings cash is
// keyed in by the operator, who takes cash dials. What is shown are the answers
// that are no receipts, and the last one.
func (p *player) serve(ctx context.Context, till *handset, rest string) (said []string, err error) {
	v, err := p.script.serving(rest)
	if err != nil {
		return nil, err
	}
	confirmed := 0
	var last []string
	for i := v.first; i <= v.last; i++ {
		who := p.customer(i)
		by, text := till, "1*"+who.owner.National()+"*"+v.amount
		if !v.bring {
			by, text = who, "2*"+till.owner.Till+"*"+v.amount
		}
		p.session++
		by.last = &Hop{Session: p.session, From: by.owner, ServiceCode: p.options.ServiceCode, Text: text}
		if last, err = p.hop(ctx, by); err != nil {
			return nil, err
		}
		if strings.HasPrefix(by.reply, "CON") {
			by.last.Text += "*" + PIN
			if last, err = p.hop(ctx, by); err != nil {
				return nil, err
			}
		}
		if receiptShape.MatchString(by.reply) {
			confirmed++
		} else {
			said = append(said, who.owner.Handle+": "+strings.Join(last, " / "))
		}
		if err := p.stage.Wait(ctx, v.every); err != nil {
			return nil, err
		}
	}
	all, err := p.stage.SMS(ctx, till.owner, 0)
	if err != nil {
		return nil, err
	}
	till.read = len(all) // each receipt came as an SMS as well
	said = append(said, fmt.Sprintf("%d of %d confirmed, the last:", confirmed, v.last-v.first+1))
	return append(said, last...), nil
}

// receiptShape begins the last words of a payment.
var receiptShape = regexp.MustCompile(`^END [A-Z][A-L][1-9A-V][A-Z0-9]{7} `)

// answers are what a dial string keys in beyond the service code.
func (p *player) answers(dialled string) string {
	code := strings.TrimSuffix(p.options.ServiceCode, "#")
	return strings.TrimPrefix(strings.TrimPrefix(strings.TrimSuffix(dialled, "#"), code), "*")
}

func (p *player) hop(ctx context.Context, phone *handset) ([]string, error) {
	reply, err := p.stage.Hop(ctx, *phone.last)
	if err != nil {
		return nil, err
	}
	phone.reply = reply
	return strings.Split(reply, "\n"), nil
}

// readAll takes the SMS that there are as read.
func (p *player) readAll(ctx context.Context) error {
	for _, phone := range p.phones {
		all, err := p.stage.SMS(ctx, phone.owner, 0)
		if err != nil {
			return err
		}
		phone.read = len(all)
	}
	return nil
}

func columns(balances []Balance) []string {
	name, amount := 0, 0
	for _, b := range balances {
		name, amount = max(name, len(b.Account)), max(amount, len(b.Amount))
	}
	var lines []string
	for _, b := range balances {
		lines = append(lines, fmt.Sprintf("%-*s  %*s", name, b.Account, amount, b.Amount))
	}
	return lines
}

// lineDiff shows how two texts differ, "" when they do not: lines that are
// missing with -, those that are there instead with +.
func lineDiff(want, got []string) string {
	// longest[i][j] is the length of the longest common subsequence of want[i:] and got[j:].
	longest := make([][]int, len(want)+1)
	for i := range longest {
		longest[i] = make([]int, len(got)+1)
	}
	for i := len(want) - 1; i >= 0; i-- {
		for j := len(got) - 1; j >= 0; j-- {
			if want[i] == got[j] {
				longest[i][j] = longest[i+1][j+1] + 1
			} else {
				longest[i][j] = max(longest[i+1][j], longest[i][j+1])
			}
		}
	}
	var b strings.Builder
	same := true
	i, j := 0, 0
	for i < len(want) || j < len(got) {
		switch {
		case i < len(want) && j < len(got) && want[i] == got[j]:
			b.WriteString("      " + want[i] + "\n")
			i, j = i+1, j+1
		case j == len(got) || i < len(want) && longest[i+1][j] >= longest[i][j+1]:
			b.WriteString("    - " + want[i] + "\n")
			i, same = i+1, false
		default:
			b.WriteString("    + " + got[j] + "\n")
			j, same = j+1, false
		}
	}
	if same {
		return ""
	}
	return b.String()
}
