package ledger

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tuma/internal/db/dbtest"
	"tuma/internal/money"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// The text table in testdata drives the real book. Lines:
//
//	account NAME [balance N] [floor N] [ceiling N] [day N] [blocked] [frozen] [currency CODE]
//	post REF FROM TO AMOUNT [+ FROM TO AMOUNT [why]]...  = ok | RULE [room N]
//	reverse REF OF = ok | RULE
//	balance NAME N
//	day                          (the clock moves to the next day)
func TestRefusalsInOrderOfPrecedence(t *testing.T) {
	t.Parallel()
	c := newClock()
	b := open(t, dbtest.New(t, c.now))
	f, err := os.Open("testdata/refusals.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	names, entries, met := map[string]AccountID{}, map[string]EntryID{}, map[Rule]bool{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		w := strings.Fields(line)
		if len(w) == 0 {
			continue
		}
		at := fmt.Sprintf("refusals.txt:%d: %s", n, strings.TrimSpace(line))
		switch w[0] {
		case "account":
			names[w[1]] = tableAccount(t, b, w[2:])
		case "post", "reverse":
			e, want := tableEntry(w, names, entries)
			r, err := b.Post(t.Context(), e)
			refusal, _ := errors.AsType[Refusal](err)
			got := "ok"
			if err != nil {
				met[refusal.Rule] = true
				got = string(refusal.Rule)
				if strings.Contains(want, "room") {
					got += fmt.Sprintf(" room %d", refusal.Room)
				}
			}
			if got != want {
				t.Errorf("%s: got %s (%v)", at, got, err)
			}
			if err == nil && !r.Again {
				entries[w[1]] = r.ID
			}
		case "balance":
			if got := fmt.Sprint(balance(t, b, names[w[1]])); got != w[2] {
				t.Errorf("%s: got %s", at, got)
			}
		case "day":
			c.pass(24 * time.Hour)
		default:
			t.Fatalf("%s: what is that?", at)
		}
	}
	for _, r := range []Rule{RefReused, NoSuchEntry, ReversedBefore, NoSuchAccount, OtherCurrency, DebitFrozen, DebitBlocked, CreditFrozen, UnderFloor, OverDayLimit, OverCeiling} {
		if !met[r] {
			t.Errorf("the table never meets %s", r)
		}
	}
	clean(t, b)
}

func tableAccount(t *testing.T, b *Book, w []string) AccountID {
	t.Helper()
	var r Rules
	var start money.Amount
	kind := Wallet
	for i := 0; i < len(w); i++ {
		value := func() money.Amount {
			i++
			n, err := strconv.ParseInt(w[i], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return money.Amount(n)
		}
		switch w[i] {
		case "balance":
			start = value()
		case "floor":
			r.Floor = Bound(value())
		case "ceiling":
			r.Ceiling = Bound(value())
		case "day":
			r.DayLimit = Bound(value())
		case "blocked":
			r.Status = DebitsBlocked
		case "frozen":
			r.Status = Frozen
		case "dollars":
			return dollars(t, b)
		default:
			t.Fatalf("account with %s?", w[i])
		}
	}
	free := r
	free.Status = Open
	id := account(t, b, kind, free)
	if start != 0 {
		must(t)(b.Post(t.Context(), transfer("start:"+itoa(int64(id)), house(t, b, Trust), id, start)))
	}
	setRules(t, b, id, r)
	return id
}

func tableEntry(w []string, names map[string]AccountID, entries map[string]EntryID) (Entry, string) {
	e := Entry{Ref: w[1], Kind: "test"}
	if w[0] == "reverse" {
		e.Reverses = entries[w[2]]
		if e.Reverses == 0 {
			e.Reverses = 1 << 40
		}
		return e, strings.Join(w[4:], " ")
	}
	i := 2
	for ; i < len(w) && w[i] != "="; i++ {
		if w[i] == "+" {
			continue
		}
		amount, _ := strconv.ParseInt(w[i+2], 10, 64)
		p := Posting{Why: Principal, Debit: id(names, w[i]), Credit: id(names, w[i+1]), Amount: money.Amount(amount)}
		i += 2
		if i+1 < len(w) && w[i+1] != "=" && w[i+1] != "+" {
			p.Why = Why(w[i+1])
			i++
		}
		e.Postings = append(e.Postings, p)
	}
	return e, strings.Join(w[i+1:], " ")
}

func id(names map[string]AccountID, name string) AccountID {
	if id, ok := names[name]; ok {
		return id
	}
	return 1 << 40
}

// A memo reads the same whichever way it was written, and as encoding/json has it.
func TestMemoText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.StringMatching(`[ -~]{0,12}`), rapid.String())
		m := rapid.MapOf(text, text).Draw(t, "memo")
		want, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if got := memoText(m); got != string(want) && len(m) > 0 {
			t.Fatalf("%s, want %s", got, want)
		}
	})
}
