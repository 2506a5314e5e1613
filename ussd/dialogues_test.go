package ussd_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tuma/internal/money"
	"tuma/internal/phone"
	"tuma/ussd"
	"tuma/ussd/dialogues"
)

var update = flag.Bool("update", false, "rewrite dialogues and docs/menu.md with what is true now")

func TestDialogues(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("dialogues/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogues: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			script, err := dialogues.Parse(file, string(raw))
			if err != nil {
				t.Fatal(err)
			}
			w := newWorldWith(t, script.Pushes())
			played, err := dialogues.Play(t.Context(), script, w.stage(), dialogues.Options{ServiceCode: "*334#"})
			if err != nil {
				t.Fatalf("%v\nlog:\n%s", err, w.log)
			}
			w.wantNoPIN()
			if *update {
				if err := os.WriteFile(file, []byte(played.Text), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if played.Diff != "" {
				t.Errorf("- the file, + the service:\n%s", played.Diff)
			}
			if t.Failed() {
				t.Logf("log:\n%s", w.log)
			}
		})
	}
}

// stage is this world as a dialogue's stage.
func (w *world) stage() *dialogues.Local {
	l := w.network
	if l == nil {
		l = &dialogues.Local{}
	}
	*l = dialogues.Local{
		Handler: w.handler, Peer: "192.0.2.1:1234", Sleep: w.clock.wait,
		People: func(_ context.Context, cast []dialogues.Person) error { w.people(cast); return nil },
		Money: func(_ context.Context, p dialogues.Person, amount string) error {
			a := w.amount(amount)
			if p.Role == dialogues.Operator {
				w.floatTo(p, a)
			} else if d := a - w.balance(p.Number); d != 0 {
				w.give(p.Number, d)
			}
			return nil
		},
		Inbox: func(ctx context.Context, p dialogues.Person) (bodies []string, err error) {
			err = w.pool.Select(ctx, &bodies, `select body from every_notice where to_msisdn = $1 order by id`, p.Number)
			return bodies, err
		},
		Ledger: w.books, Office: w.office,
	}
	return l
}

// office is the service's own staff, who do what comes first on their list.
func (w *world) office(ctx context.Context, deed string) error {
	switch deed {
	case "the maker takes up float":
		asked, err := w.agents.AskedFloat(ctx)
		if err != nil || len(asked) == 0 {
			return errors.Join(err, errors.New("nobody has asked for float"))
		}
		ref := ""
		if asked[0].Kind == "return" {
			ref = "BANK-OUT-1"
		}
		return w.agents.TakeFloat(ctx, "mary", asked[0].ID, ref)
	case "the checker approves float":
		open, err := w.agents.OpenFloat(ctx)
		if err != nil || len(open) == 0 {
			return errors.Join(err, errors.New("no float waits for a checker"))
		}
		_, err = w.agents.ApproveFloat(ctx, "charles", open[0].ID)
		return err
	}
	open, err := w.agents.OpenReversals(ctx)
	if err != nil || len(open) == 0 {
		return errors.Join(err, errors.New("no reversal waits for a checker"))
	}
	_, err = w.agents.DecideReversal(ctx, "charles", open[0].ID, deed == "the checker approves the reversal", "as it was heard")
	return err
}

func (w *world) amount(s string) money.Amount {
	w.t.Helper()
	if s == "0.00" {
		return 0
	}
	a, err := kenya(w.t).Currency.Parse(s)
	w.must(err)
	return a
}

func (w *world) floatTo(p dialogues.Person, want money.Amount) {
	w.t.Helper()
	o, err := w.agents.ByPhone(w.t.Context(), phone.Number(p.Number))
	w.must(err)
	has, err := w.agents.Float(w.t.Context(), o)
	w.must(err)
	if want > has.Float {
		w.float(p.Till, want-has.Float)
	}
}

// books are the balances of the cast and of the house. The depot's float, which
// only stands in for the world outside, is counted as trust.
func (w *world) books(ctx context.Context, cast []dialogues.Person) ([]dialogues.Balance, error) {
	var list []dialogues.Balance
	add := func(name string, a money.Amount) {
		list = append(list, dialogues.Balance{Account: name, Amount: kenya(w.t).Currency.Plain(a)})
	}
	crowd := money.Amount(0)
	for _, p := range cast {
		switch p.Role {
		case dialogues.Operator:
			if p.Rank != "" {
				continue // another has the till
			}
			o, err := w.agents.ByPhone(ctx, phone.Number(p.Number))
			if err != nil {
				return nil, err
			}
			has, err := w.agents.Float(ctx, o)
			if err != nil {
				return nil, err
			}
			if has.Float != 0 || has.Commission != 0 {
				add("float "+p.Handle, has.Float)
				add("commission "+p.Handle, has.Commission)
			}
		case dialogues.Customer:
			if b := w.balance(p.Number); p.Crowd {
				crowd += b
			} else if b != 0 {
				add("wallet "+p.Handle, b)
			}
		}
	}
	if crowd != 0 {
		add("wallets of customers", crowd)
	}
	depot, err := w.agents.Float(ctx, w.depot)
	if err != nil {
		return nil, err
	}
	house := w.accounts.House()
	names := []string{"airtime", "commission paid", "fees", "held", "tax", "trust"}
	of := map[string]money.Amount{"commission paid": depot.Commission, "trust": depot.Float}
	for i, id := range each(house.Airtime, house.CommissionExpense, house.Fees, house.Held, house.Tax, house.Trust) {
		account, err := w.accounts.Book().Account(ctx, id)
		if err != nil {
			return nil, err
		}
		if b := account.Balance + of[names[i]]; b != 0 {
			add(names[i], b)
		}
	}
	return list, nil
}

// each is a list of a type that this package must not name.
func each[T any](list ...T) []T { return list }

func TestMenuDocument(t *testing.T) {
	words, err := ussd.Words()
	if err != nil {
		t.Fatal(err)
	}
	const file = "../docs/menu.md"
	want := ussd.Tree().Document(words)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the menu is: run go test ./ussd -run TestMenuDocument -update", file)
	}
}

// The same dialogues over HTTP, as from outside: other numbers, other receipts,
// another time, any number of times.
func TestDialoguesOverHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(dialogues.DefaultCast())
	w.float("100001", 200_000_00)
	w.clock.wait(3*time.Hour + 17*time.Minute)
	mux := http.NewServeMux()
	mux.HandleFunc("/ussd/", func(rw http.ResponseWriter, r *http.Request) {
		w.clock.wait(7 * time.Second) // dialogues are quicker than people: ten dials a minute
		r.RemoteAddr = "192.0.2.1:1"
		w.handler.ServeHTTP(rw, r)
	})
	mux.HandleFunc("GET /simulator/phones/{number}/sms", func(rw http.ResponseWriter, r *http.Request) {
		type sms struct {
			Body string `db:"body" json:"body"`
		}
		inbox := []sms{}
		if err := w.pool.Select(r.Context(), &inbox, `select body from every_notice where to_msisdn = $1 order by id`, r.PathValue("number")); err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		json.NewEncoder(rw).Encode(inbox)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	files, err := filepath.Glob("dialogues/*.txt")
	w.must(err)
	played, inside := 0, 0
	for _, file := range append(files, "dialogues/send.txt") {
		raw, err := os.ReadFile(file)
		w.must(err)
		script, err := dialogues.Parse(file, string(raw))
		w.must(err)
		stage := &dialogues.Remote{BaseURL: server.URL, Client: server.Client(), ServiceCode: "*334#", Rand: rand.Reader, Patience: 5 * time.Second}
		p, err := dialogues.Play(t.Context(), script, stage, dialogues.Options{ServiceCode: "*334#", Loose: true})
		switch {
		case errors.Is(err, dialogues.ErrOnlyInside):
			inside++
		case err != nil:
			t.Errorf("%v\n%s", err, w.log)
		case p.Diff != "":
			t.Errorf("- the file, + the server:\n%s", p.Diff)
		default:
			played++
		}
	}
	if played < 8 || inside < 5 {
		t.Errorf("%d played, %d only in process", played, inside)
	}
}
