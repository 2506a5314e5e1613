package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"os"
	"slices"
	"strings"

	"tuma/internal/db"
	"tuma/simulator/people"
)

type reconcileCommand struct {
	database
	History []string `required:"" type:"existingfile" placeholder:"FILE" help:"What people have asked for and were told, as tuma simulate writes it."`
	JSON    bool     `help:"End with one JSON object."`
}

// Run compares people's own accounts with the service's books.
func (c *reconcileCommand) Run(ctx context.Context) error {
	pool, err := db.Open(ctx, db.Options{URL: c.DatabaseURL, App: "tuma reconcile"})
	if err != nil {
		return err
	}
	defer pool.Close()
	r, err := reconcile(ctx, pool, c.History...)
	if err != nil {
		return err
	}
	if c.JSON {
		if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
			return err
		}
	} else {
		r.print()
	}
	if r.problems() > 0 {
		return errors.New("the books and people's own accounts differ")
	}
	return nil
}

// reconciled is how people's own accounts, the journal, the outbox and the SMS
// that phones have got agree. Every number under Found must be 0.
type reconciled struct {
	Attempts     int            `json:"attempts"`
	OK           int            `json:"ok"`
	Refused      int            `json:"refused"`
	Unknown      int            `json:"unknown"`       // to the end
	UnknownStood int            `json:"unknown_stood"` // of these, entries that stand
	Ambiguous    int            `json:"ambiguous"`     // attempts whose first answer was lost, known later or not
	Entries      int            `json:"entries"`       // that somebody has confirmed
	Notices      int            `json:"notices"`
	Received     int            `json:"received"`
	Doubted      int            `json:"doubted"`  // tries of notices whose outcome nobody knew
	GivenUp      int            `json:"given_up"` // notices, after as many of these as are allowed
	Found        map[string]int `json:"found"`    // by kind
	First        []string       `json:"first,omitempty"`
}

// findKinds are what can be found, each with the same meaning everywhere.
var findKinds = []string{"lost", "doubled", "phantom", "orphan", "wrong", "missing notice", "extra notice", "unsent notice"}

const findsShown = 20

func (r *reconciled) found(kind, format string, args ...any) {
	if r.Found[kind]++; len(r.First) < findsShown {
		r.First = append(r.First, kind+": "+fmt.Sprintf(format, args...))
	}
}

func (r *reconciled) problems() (n int) {
	for _, k := range r.Found {
		n += k
	}
	return n
}

func (r *reconciled) print() {
	fmt.Printf("%d attempts: %d ok, %d refused, %d unknown (%d of which stand); %d had no answer at first\n", r.Attempts, r.OK, r.Refused, r.Unknown, r.UnknownStood, r.Ambiguous)
	fmt.Printf("%d entries, %d notices, %d SMS received, %d tries of notices in doubt\n", r.Entries, r.Notices, r.Received, r.Doubted)
	for _, k := range findKinds {
		fmt.Printf("  %-15s %d\n", k, r.Found[k])
	}
	for _, f := range r.First {
		fmt.Println("FOUND", f)
	}
}

// journalled is a payment as the book has it.
type journalled struct {
	Ref, Kind   string
	From, To    string
	Amount, Fee int64
	Code        string // as its SMS say it, not computed as the service does
}

func (j journalled) session() string {
	rest, ok := strings.CutPrefix(j.Ref, "ussd:at:")
	if session, pays := strings.CutSuffix(rest, ":pay"); ok && pays {
		return session
	}
	return ""
}

// fits tells whether an attempt asked for just this.
func (j journalled) fits(a *people.Attempt) bool {
	kind := a.Kind
	if kind == "approve" {
		kind = "withdraw"
	}
	return j.Kind == kind && j.From == a.From && j.To == a.To && j.Amount == a.Amount && j.Fee == a.Fee
}

const sqlNoticesOutside = `select key, to_msisdn, body, status, doubts from every_notice`

// reconcile joins the four accounts. Everything must be at rest: no notice left
// to send.
func reconcile(ctx context.Context, pool *db.Pool, histories ...string) (*reconciled, error) {
	r := &reconciled{Found: map[string]int{}}
	attempts, received, err := readHistories(r, histories)
	if err != nil {
		return nil, err
	}
	err = pool.InSnapshot(ctx, func(s *db.Snapshot) error {
		codes, err := r.notices(ctx, s, received)
		if err != nil {
			return err
		}
		return r.entries(ctx, s, attempts, codes)
	})
	if err != nil {
		return nil, fmt.Errorf("reconcile: %w", err)
	}
	return r, nil
}

// texts counts SMS by who got them and what they said, without keeping them.
type texts struct {
	seed maphash.Seed
	n    map[uint64]int
}

func (t texts) key(to, body string) uint64 {
	var h maphash.Hash
	h.SetSeed(t.seed)
	h.WriteString(to)
	h.WriteByte(0)
	h.WriteString(body)
	return h.Sum64()
}

// readHistories gives the attempts by session, each as it was last known.
func readHistories(r *reconciled, files []string) (map[string][]*people.Attempt, texts, error) {
	received := texts{maphash.MakeSeed(), map[uint64]int{}}
	bySession := map[string][]*people.Attempt{}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			return nil, received, err
		}
		byNumber := map[int64]*people.Attempt{}
		err = people.ReadHistory(f, func(l people.Line) error {
			switch {
			case l.What == "sms" && l.SMS.From != "Airtime": // the network's own message is none of the service's
				r.Received++
				received.n[received.key(l.SMS.To, l.SMS.Body)]++
			case l.What == "try":
				byNumber[l.Attempt.N] = l.Attempt
				bySession[l.Attempt.Session] = append(bySession[l.Attempt.Session], l.Attempt)
			case l.What == "end":
				a := byNumber[l.Attempt.N]
				if a == nil {
					return fmt.Errorf("attempt %d has ended but never begun", l.Attempt.N)
				}
				if l.Attempt.Outcome == people.Unknown {
					r.Ambiguous++
				}
				*a = *l.Attempt
			}
			return nil
		})
		f.Close()
		if err != nil {
			return nil, received, fmt.Errorf("%s: %w", file, err)
		}
	}
	for _, session := range bySession {
		for _, a := range session {
			r.Attempts++
			switch a.Outcome {
			case people.OK:
				r.OK++
			case people.Refused:
				r.Refused++
			default:
				r.Unknown++
			}
		}
	}
	return bySession, received, nil
}

// notices compares the outbox with what phones have got, and gives the receipts'
// codes by entry and party, as they were told.
func (r *reconciled) notices(ctx context.Context, s *db.Snapshot, received texts) (map[string]string, error) {
	type owed struct{ n, doubts int }
	want := map[uint64]*owed{}
	example := map[uint64]string{}
	codes := map[string]string{}
	err := s.Each(ctx, func(scan func(...any) error) error {
		var key, to, body, status string
		var doubts int
		if err := scan(&key, &to, &body, &status, &doubts); err != nil {
			return err
		}
		r.Notices++
		r.Doubted += doubts
		if entry, party, ok := strings.Cut(key, ":"); ok && (party == "payer" || party == "payee" || party == "till") && len(body) > 10 {
			if codes[entry] == "" {
				codes[entry] = body[:10]
			}
		}
		k := received.key(to, body)
		if want[k] == nil {
			want[k], example[k] = &owed{}, key+" to "+to
		}
		want[k].doubts += doubts
		switch {
		case status == "sent":
			want[k].n++
		case status == "failed" && doubts > 0: // each of its tries may have got there
			r.GivenUp++
		case status != "expired":
			r.found("unsent notice", "%s to %s is %s", key, to, status)
		}
		return nil
	}, sqlNoticesOutside)
	if err != nil {
		return nil, err
	}
	for k, o := range want {
		got := received.n[k]
		switch {
		case got < o.n:
			r.found("missing notice", "%s: the phone has got %d of %d", example[k], got, o.n)
		case got > o.n+o.doubts:
			r.found("extra notice", "%s: the phone has got %d, %d were owed and %d tries in doubt", example[k], got, o.n, o.doubts)
		}
		delete(received.n, k)
	}
	for _, n := range received.n {
		r.Found["extra notice"] += n
		if len(r.First) < findsShown {
			r.First = append(r.First, fmt.Sprintf("extra notice: %d SMS of one text that the outbox does not know", n))
		}
	}
	return codes, nil
}

// ours are the refs of what the operator of the service has set up or ordered.
var ours = []string{"demo:", "float:", "float_return:", "payout:", "sim:"}

func (r *reconciled) entries(ctx context.Context, s *db.Snapshot, attempts map[string][]*people.Attempt, codes map[string]string) error {
	made := map[string][]journalled{} // by session
	var asked []journalled            // by approvals
	refunds := map[string]int{}       // by the code of what is given back
	bought := map[string]bool{}
	err := s.Each(ctx, func(scan func(...any) error) error {
		var j journalled
		var id string
		if err := scan(&id, &j.Ref, &j.Kind, &j.From, &j.To, &j.Amount, &j.Fee); err != nil {
			return err
		}
		j.Code = codes[id]
		switch code, refund := strings.CutPrefix(j.Ref, "airtime-refund:"); {
		case refund:
			refunds[code]++
		case j.session() != "":
			made[j.session()] = append(made[j.session()], j)
			bought[j.Code] = bought[j.Code] || j.Kind == "airtime"
		case j.Kind == "withdraw":
			asked = append(asked, j)
		case !slices.ContainsFunc(ours, func(p string) bool { return strings.HasPrefix(j.Ref, p) }):
			r.found("orphan", "nobody asked for %s (%s of %d)", j.Ref, j.Kind, j.Amount)
		}
		return nil
	}, sqlEntriesByID)
	if err != nil {
		return err
	}
	for code, n := range refunds {
		if !bought[code] || n > 1 {
			r.found("phantom", "%d refunds of %s", n, code)
		}
	}
	approvals := map[string]*people.Attempt{}
	var doubtful []*people.Attempt
	for _, session := range slices.Sorted(maps.Keys(attempts)) {
		var here []*people.Attempt
		for _, a := range attempts[session] {
			switch {
			case a.Kind != "approve":
				here = append(here, a)
			case a.Outcome == people.OK && approvals[a.Code] != nil && *approvals[a.Code] != *a:
				r.found("wrong", "%s was told for two approvals", a.Code)
			case a.Outcome == people.OK:
				approvals[a.Code] = a
			case a.Outcome == people.Unknown:
				doubtful = append(doubtful, a)
			}
		}
		if len(here) > 0 {
			r.settle(session, here, made[session])
		}
		delete(made, session)
	}
	for _, session := range slices.Sorted(maps.Keys(made)) {
		r.found("phantom", "nobody confirmed %s", made[session][0].Ref)
	}
	r.settleApprovals(asked, approvals, doubtful)
	return nil
}

const sqlEntriesByID = `
select e.id::text, r.ref, e.kind, coalesce(e.memo::json->>'from', ''), coalesce(e.memo::json->>'to', ''),
       coalesce(sum(p.amount) filter (where p.why = 'principal'), 0)::bigint, coalesce(sum(p.amount) filter (where p.why = 'fee'), 0)::bigint
from entry_ref r join entry e on e.id = r.entry join posting p on p.entry = e.id
group by e.id, r.ref, e.kind, e.memo order by e.id`

// settle compares a session's attempts with what was made in it: one payment at
// most.
func (r *reconciled) settle(session string, attempts []*people.Attempt, made []journalled) {
	r.Entries += len(made)
	if len(made) > 1 {
		r.found("doubled", "session %s has %d entries", session, len(made))
	}
	explained := false
	for _, a := range attempts {
		switch {
		case a.Outcome == people.OK && len(made) == 0:
			r.found("lost", "%s of session %s, %s of %d from %s to %s, is not in the book", a.Code, session, a.Kind, a.Amount, a.From, a.To)
		case a.Outcome == people.OK && (!made[0].fits(a) || made[0].Code != a.Code):
			r.found("wrong", "session %s was told %s, %s of %d and %d from %s to %s; the book has %+v", session, a.Code, a.Kind, a.Amount, a.Fee, a.From, a.To, made[0])
			explained = true
		case a.Outcome == people.OK:
			explained = true
		case a.Outcome == people.Unknown && len(made) > 0 && made[0].fits(a):
			if !explained {
				r.UnknownStood++
			}
			explained = true
		}
	}
	if len(made) > 0 && !explained {
		r.found("phantom", "session %s was refused, and %s stands: %+v", session, made[0].Code, made[0])
	}
}

// settleApprovals compares what customers have approved with what was made of it.
func (r *reconciled) settleApprovals(made []journalled, told map[string]*people.Attempt, doubtful []*people.Attempt) {
	r.Entries += len(made)
	for _, j := range made {
		a := told[j.Code]
		switch {
		case a != nil && !j.fits(a):
			r.found("wrong", "approval told as %+v; the book has %+v", *a, j)
		case a == nil:
			i := slices.IndexFunc(doubtful, j.fits)
			if i < 0 {
				r.found("phantom", "nobody approved %s: %+v", j.Ref, j)
				continue
			}
			r.UnknownStood++
			doubtful = slices.Delete(doubtful, i, i+1)
		}
		delete(told, j.Code)
	}
	for code, a := range told {
		r.found("lost", "approval %s of %d from %s to %s is not in the book", code, a.Amount, a.From, a.To)
	}
}
