package agents

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tuma/accounts"
)

func TestCreateAgentAndTill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	if _, err := w.CreateAgent(ctx, " mama  mboga stores "); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "MAMA MBOGA STORES") {
		t.Error(err)
	}
	for _, bad := range []string{"", "ab", "--- &", strings.Repeat("a", 31), "Mamá", "ＭＡＭＡ", "a{code}", "x;y;z"} {
		if _, err := w.CreateAgent(ctx, bad); err == nil || errors.Is(err, ErrExists) {
			t.Errorf("agent %q: %v", bad, err)
		}
		if _, err := w.CreateTill(ctx, "Mama Mboga Stores", bad, ""); err == nil {
			t.Errorf("till %q", bad)
		}
	}
	if _, err := w.CreateAgent(ctx, "B&B 24 o'clock"); err != nil {
		t.Error(err)
	}
	number, err := w.CreateTill(ctx, " mama  mboga stores", "Corner", "")
	if err != nil || number != "100101" {
		t.Errorf("%q, %v", number, err)
	}
	if _, err := w.CreateTill(ctx, "Nobody", "Corner", ""); err == nil || !strings.Contains(err.Error(), "no agent called NOBODY") {
		t.Error(err)
	}
	for _, bad := range []string{"1", "1000011", "10000x", "１００００１"} {
		if _, err := w.CreateTill(ctx, "Mama Mboga Stores", "Corner", bad); err == nil {
			t.Errorf("number %q", bad)
		}
	}
	// A number given by hand is taken, and the numbers in order pass it over.
	for range 2 {
		number, err = w.CreateTill(ctx, "Mama Mboga Stores", "Corner", "100102")
		if number == "" && !errors.Is(err, ErrExists) {
			t.Error(err)
		}
	}
	if number, err = w.CreateTill(ctx, "Mama Mboga Stores", "Corner", ""); err != nil || number != "100103" {
		t.Errorf("%q, %v", number, err)
	}
	till, err := w.Till(ctx, "100103")
	if diff := cmp.Diff(Till{Number: "100103", Name: "CORNER", Agent: "MAMA MBOGA STORES"}, till, cmpopts.IgnoreUnexported(Till{})); err != nil || diff != "" {
		t.Error(err, diff)
	}
	// A failed attempt leaves no accounts behind.
	var accounts, tills int
	w.must(w.pool.Get(ctx, &accounts, `select count(*) from account where kind in ('float', 'commission')`))
	w.must(w.pool.Get(ctx, &tills, `select count(*) from till`))
	if accounts != 2*tills || tills != 3 {
		t.Errorf("%d accounts of %d tills", accounts, tills)
	}
	w.sql(`select max(nextval('till_number')) from generate_series(1, 999999 - 100103)`)
	if number, err = w.CreateTill(ctx, "Mama Mboga Stores", "Corner", ""); err == nil || !strings.Contains(err.Error(), "used up") {
		t.Errorf("%q, %v", number, err)
	}
}

func TestCreatingTillsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.process(w.pool)
	var all sync.WaitGroup
	var mu sync.Mutex
	made := map[string]int{}
	for i := range 12 {
		all.Go(func() {
			wanted := ""
			if i%3 == 0 {
				wanted = "100101" // the first in order, by hand
			}
			s := []*Service{w.Service, other}[i%2]
			number, err := s.CreateTill(t.Context(), "Mama Mboga Stores", fmt.Sprint("Shop ", i), wanted)
			if err != nil && !(wanted != "" && errors.Is(err, ErrExists)) {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			made[number]++
		})
	}
	all.Wait()
	delete(made, "")
	if len(made) < 8 {
		t.Errorf("made %v", made)
	}
	for number, n := range made {
		if n != 1 {
			t.Errorf("%s was given %d times", number, n)
		}
	}
}

func TestCreateOperator(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	_, err := w.CreateTill(ctx, "Mama Mboga Stores", "Corner", "100001")
	w.must(err)
	pin, err := w.accounts.PINs().Seal("4826")
	w.must(err)
	n := NewOperator{Till: "100001", Phone: number(t, "+254722000001"), Name: "Juma Mwangi", IDNumber: "ab12345", Lang: "sw", Role: "owner", PIN: pin}
	w.must(w.CreateOperator(ctx, n))
	o, err := w.ByPhone(ctx, n.Phone)
	w.must(err)
	want := Operator{
		ID: o.ID, Phone: n.Phone, Name: "JUMA MWANGI", IDNumber: "AB12345", Lang: "sw", Role: "owner", PIN: o.PIN, PINState: accounts.PINReady,
		Till: Till{Number: "100001", Name: "CORNER", Agent: "MAMA MBOGA STORES"},
	}
	if diff := cmp.Diff(want, o, cmpopts.IgnoreUnexported(Till{})); diff != "" || o.Till.float == 0 || o.Till.commission == 0 {
		t.Error(diff)
	}
	w.must(w.accounts.PINs().Verify(ctx, o.PIN, "4826"))
	for range 3 {
		w.accounts.PINs().Verify(ctx, o.PIN, "1111")
	}
	if o, err = w.ByPhone(ctx, n.Phone); err != nil || o.PINState != accounts.PINLocked {
		t.Errorf("%+v, %v", o, err)
	}
	w.refused(w.SetLang(ctx, o, "de"), "bad_lang")
	w.must(w.SetLang(ctx, o, "fr"))
	if o, err = w.ByPhone(ctx, n.Phone); err != nil || o.Lang != "fr" {
		t.Errorf("%+v, %v", o, err)
	}
	if err := w.CreateOperator(ctx, n); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	change := func(f func(*NewOperator)) error {
		x := n
		x.Phone = number(t, "+254722000002")
		f(&x)
		return w.CreateOperator(ctx, x)
	}
	w.refused(change(func(n *NewOperator) { n.Name, n.IDNumber, n.Lang, n.Till = "x", "x", "x", "x" }), "bad_name")
	w.refused(change(func(n *NewOperator) { n.IDNumber, n.Lang, n.Till = "x", "x", "x" }), "bad_id")
	w.refused(change(func(n *NewOperator) { n.Lang, n.Till = "x", "x" }), "bad_lang")
	w.refused(change(func(n *NewOperator) { n.Till = "x" }), "bad_till")
	w.refused(change(func(n *NewOperator) { n.Till = "999999" }), "till_unknown")
	if err := change(func(n *NewOperator) { n.Role = "king" }); err == nil || !strings.Contains(err.Error(), "a role is owner, assistant or auditor") {
		t.Error(err)
	}
	if err := change(func(n *NewOperator) { n.Phone = "" }); err == nil {
		t.Error("an operator without a number")
	}
	if err := change(func(n *NewOperator) { n.PIN = "nonsense" }); err == nil {
		t.Error("an operator with a PIN that is none")
	}
	w.must(change(func(n *NewOperator) { n.PIN = "" }))
	if o := w.operator("+254722000002"); o.PINState != accounts.PINUnset {
		t.Errorf("%+v", o)
	}
	if _, err := w.ByPhone(ctx, number(t, "+254722000009")); !errors.Is(err, ErrNoOperator) {
		t.Error(err)
	}
	var pins int
	w.must(w.pool.Get(ctx, &pins, `select count(*) from pin`))
	if pins != 2 {
		t.Errorf("%d PINs", pins)
	}
}

func TestStaff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.must(w.CreateStaff(ctx, "zawadi", "long enough", "care"))
	w.must(w.CheckStaff(ctx, "zawadi", "long enough"))
	for name, password := range map[string]string{"zawadi": "long enougH", "Zawadi": "long enough", "nobody": "long enough", "": ""} {
		if err := w.CheckStaff(ctx, name, password); !errors.Is(err, ErrNotStaff) {
			t.Errorf("%q %q: %v", name, password, err)
		}
	}
	if err := w.CheckStaff(ctx, "zawadi", strings.Repeat("x", 1<<20)); !errors.Is(err, ErrNotStaff) {
		t.Error(err)
	}
	if err := w.CheckStaff(ctx, "mary", "none"); err == nil || errors.Is(err, ErrNotStaff) {
		t.Errorf("a row that we did not write: %v", err)
	}
	var stored string
	w.must(w.pool.Get(ctx, &stored, `select password from staff where name = 'zawadi'`))
	if !strings.HasPrefix(stored, "$argon2id$v=19$m=65536,t=3,p=4$") || strings.Contains(stored, "long") {
		t.Error(stored)
	}
	if err := w.CreateStaff(ctx, "zawadi", "another password", "care"); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	for _, c := range []struct{ name, password, role, says string }{
		{"x", "long enough", "care", "a staff name has"},
		{"Zawadi", "long enough", "care", "a staff name has"},
		{strings.Repeat("z", 41), "long enough", "care", "a staff name has"},
		{"zuri", "too short", "care", "a password has"},
		{"zuri", strings.Repeat("x", 201), "care", "a password has"},
		{"zuri", "long enough", "king", "a role is maker, checker or care"},
	} {
		if err := w.CreateStaff(ctx, c.name, c.password, c.role); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	w.sql(`update staff set active = false where name = 'zawadi'`)
	if err := w.CheckStaff(ctx, "zawadi", "long enough"); !errors.Is(err, ErrNotStaff) {
		t.Errorf("who has left: %v", err)
	}
}
