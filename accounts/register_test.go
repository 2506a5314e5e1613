package accounts

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tuma/accounts/ledger"
)

func TestCheckName(t *testing.T) {
	t.Parallel()
	s := &Service{}
	for name, want := range map[string]string{
		"Asha Juma":              "ASHA JUMA",
		"  asha   juma ":         "ASHA JUMA",
		"N'Golo D’Arcy-Ng‘ang’a": "N'GOLO D'ARCY-NG'ANG'A",
		"Éloïse Ñandé":           "ÉLOISE ÑANDÉ",
		"àèìòù":                  "AEIOU", // in lower case GSM 7-bit has them, in upper case not
		"François Œuvré":         "FRANÇOIS OEUVRÉ",
		"e\u0301lo":              "ÉLO", // a mark of its own
		"J. R. Otieno":           "J. R. OTIENO",
		"Ọlá Ìbùkún":             "OLA IBUKUN",
		strings.Repeat("a", 30):  strings.Repeat("A", 30),
		strings.Repeat("a", 31):  "",
		strings.Repeat("œ", 16):  "", // 32 when spelled out
		strings.Repeat("a", 999): "",
		"":                       "",
		"al":                     "",
		"a.l":                    "",
		"---":                    "",
		"' ' '":                  "",
		"R2D2 Unit":              "",
		"Асель":                  "",
		"محمد":                   "",
		"王小明":                    "",
		"ａｓｈａ":                   "ASHA", // full width
		"Asha\nJuma":             "",
		"Asha\x00Juma":           "",
		"Asha {code}":            "",
		"Asha@home":              "",
		"\xff\xfe\xfd\xfc":       "",
		"Asha 😀":                 "",
	} {
		got, err := s.CheckName(name)
		if got != want || (err == nil) != (want != "") || err != nil && !Refused(err, "bad_name") {
			t.Errorf("%q: %q, %v, want %q", name, got, err, want)
		}
		if again, err := s.CheckName(got); want != "" && (again != got || err != nil) {
			t.Errorf("%q becomes %q, %v", got, again, err)
		}
	}
}

func TestCheckID(t *testing.T) {
	t.Parallel()
	s := &Service{}
	for id, want := range map[string]string{
		"23456701": "23456701", " ab12345 ": "AB12345", "12345": "12345", "123456789012": "123456789012",
		"": "", "1234": "", "1234567890123": "", "ABCDEF": "", "1234-5678": "", "１２３４５６": "", "12345\n6": "", "12345ß": "",
	} {
		got, err := s.CheckID(id)
		if got != want || (err == nil) != (want != "") || err != nil && !Refused(err, "bad_id") {
			t.Errorf("%q: %q, %v, want %q", id, got, err, want)
		}
	}
}

func TestRegister(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	pin, err := w.PINs().Seal("4826")
	w.must(err)
	r := Registration{Ref: "r1", Phone: number(t, "+254712000001"), Name: "asha juma", IDNumber: "ab12345", Lang: "sw", Tier: TierBasic, PIN: pin}
	c, err := w.Register(ctx, r)
	w.must(err)
	want := Customer{
		ID: c.ID, Phone: r.Phone, Name: "ASHA JUMA", IDNumber: "AB12345", Lang: "sw", PIN: c.PIN, Wallet: c.Wallet,
		Tier: Tier{Number: 1, Name: "Basic", PerEntry: 35_000 * shilling, PerDay: 70_000 * shilling, MaxBalance: 100_000 * shilling},
	}
	if diff := cmp.Diff(want, c, cmpopts.IgnoreUnexported(Customer{})); diff != "" {
		t.Error(diff)
	}
	byPhone, err := w.ByPhone(ctx, r.Phone)
	if diff := cmp.Diff(want, byPhone, cmpopts.IgnoreUnexported(Customer{})); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if got := w.texts(r.Phone); len(got) != 1 || got[0] != "Karibu Tuma, ASHA JUMA. Piga *334# kutumia akaunti yako. Usimwambie mtu PIN yako." {
		t.Errorf("%q", got)
	}
	w.must(w.PINs().Verify(ctx, c.PIN, "4826"))

	// The same again, also after the number has changed.
	again, err := w.Register(ctx, r)
	if diff := cmp.Diff(want, again, cmpopts.IgnoreUnexported(Customer{})); err != nil || diff != "" {
		t.Error(err, diff)
	}
	free := number(t, "+254712000002")
	change := func(f func(*Registration)) Registration {
		x := r
		x.Ref, x.Phone, x.IDNumber = "r2", free, "98765432"
		f(&x)
		return x
	}
	for _, c := range []struct {
		r    Registration
		want string
	}{
		{change(func(r *Registration) { r.Name, r.IDNumber, r.Lang, r.Phone = "x", "x", "x", c.Phone }), "bad_name"},
		{change(func(r *Registration) { r.IDNumber, r.Lang, r.Phone = "x", "x", c.Phone }), "bad_id"},
		{change(func(r *Registration) { r.Lang, r.Phone = "de", c.Phone }), "bad_lang"},
		{change(func(r *Registration) { r.Phone, r.IDNumber = c.Phone, "AB12345" }), "already_registered"},
		{change(func(r *Registration) { r.IDNumber = "Ab12345" }), "id_taken"},
	} {
		_, err := w.Register(ctx, c.r)
		w.refused(err, c.want)
	}
	for what, r := range map[string]Registration{
		"no ref":       change(func(r *Registration) { r.Ref = "" }),
		"no number":    change(func(r *Registration) { r.Phone = "" }),
		"no tier":      change(func(r *Registration) { r.Tier = 0 }),
		"unknown tier": change(func(r *Registration) { r.Tier = 3 }),
		"unknown key":  change(func(r *Registration) { r.PIN = "k9.AAAA.AAAA" }),
	} {
		if _, err := w.Register(ctx, r); err == nil {
			t.Error(what)
		} else if _, ok := errors.AsType[Refusal](err); ok {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := w.Register(ctx, change(func(r *Registration) { r.Ref = "r1" })); !errors.Is(err, ErrRegistrationReused) {
		t.Errorf("a ref used by two: %v", err)
	}
	if _, err := w.ByPhone(ctx, free); !errors.Is(err, ErrNoCustomer) {
		t.Errorf("nobody: %v", err)
	}
	w.refused(w.SetLang(ctx, c, "de"), "bad_lang")
	w.must(w.SetLang(ctx, c, "fr"))
	if c = w.again(c); c.Lang != "fr" {
		t.Error(c.Lang)
	}
	// Without a PIN: it is chosen with the ID number.
	c, err = w.Register(ctx, change(func(r *Registration) { r.PIN = "" }))
	if err != nil || c.PINState != PINUnset || !strings.Contains(w.last(c.Phone), "weka namba ya kitambulisho") {
		t.Errorf("%+v, %v, %s", c, err, w.last(c.Phone))
	}
	w.proven()
}

// Whoever registers at the same moment, one gets the number and one the document.
func TestRegisteringAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.process(w.pool)
	for _, c := range []struct {
		name          string
		ref, phone    string
		id            string
		refusal       string
		wantCustomers int
	}{
		{"the same number", "n%d", "+254712000001", "2345%04d", "already_registered", 1},
		{"the same document", "d%d", "+2547120001%02d", "99999999", "id_taken", 1},
		{"the same registration", "same", "+254712000002", "88888888", "", 1},
	} {
		var all sync.WaitGroup
		var mu sync.Mutex
		won := map[int64]bool{}
		for i := range 24 {
			s := w.Service
			if i%2 == 1 {
				s = other
			}
			all.Go(func() {
				fill := func(s string) string {
					if strings.Contains(s, "%") {
						return fmt.Sprintf(s, i)
					}
					return s
				}
				got, err := s.Register(t.Context(), Registration{
					Ref: fill(c.ref), Phone: number(t, fill(c.phone)), Name: "Asha Juma", IDNumber: fill(c.id), Lang: "en", Tier: TierFull,
				})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won[got.ID] = true
				} else if c.refusal == "" || !Refused(err, c.refusal) {
					t.Errorf("%s: %v", c.name, err)
				}
			})
		}
		all.Wait()
		if len(won) != c.wantCustomers {
			t.Errorf("%s: %d customers", c.name, len(won))
		}
	}
	var wallets, customers, pins int
	w.must(w.pool.Get(t.Context(), &wallets, `select count(*) from account where kind = 'wallet'`))
	w.must(w.pool.Get(t.Context(), &customers, `select count(*) from customer`))
	w.must(w.pool.Get(t.Context(), &pins, `select count(*) from pin`))
	if wallets != 3 || customers != 3 || pins != 3 {
		t.Errorf("%d wallets, %d customers, %d PINs", wallets, customers, pins)
	}
}

// A new number: the person, the wallet, the PIN and the history stay.
func TestMoveNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	asha, baraka := w.customer("+254712000001", "Asha Juma", 500*shilling), w.customer("+254712000002", "Baraka Otieno", 0)
	_, err := w.Send(ctx, "1", asha, baraka.Phone, 50*shilling)
	w.must(err)
	old, next := asha.Phone, number(t, "+254712000009")
	w.refused(w.MoveNumber(ctx, asha, baraka.Phone), "already_registered")
	w.refused(w.MoveNumber(ctx, asha, asha.Phone), "already_registered")
	if err := w.MoveNumber(ctx, asha, ""); err == nil {
		t.Error("moved to no number")
	}
	if err := w.MoveNumber(ctx, Customer{ID: 4711}, next); err == nil {
		t.Error("nobody moved")
	}
	w.clock.pass(time.Hour)
	w.must(w.MoveNumber(ctx, asha, next))
	if _, err := w.ByPhone(ctx, old); !errors.Is(err, ErrNoCustomer) {
		t.Errorf("the old number: %v", err)
	}
	moved, err := w.ByPhone(ctx, next)
	w.must(err)
	asha.Phone, asha.MovedAt = next, w.Now()
	if diff := cmp.Diff(asha, moved, cmpopts.IgnoreUnexported(Customer{})); diff != "" {
		t.Error(diff)
	}
	w.must(w.PINs().Verify(ctx, moved.PIN, "4826"))
	if lines, err := w.Mini(ctx, moved, 5); err != nil || len(lines) != 2 || w.has(moved.Wallet) != 450*shilling {
		t.Errorf("%+v, %v", lines, err)
	}
	if got := w.last(next); got != "From 22/11/26 your Tuma account is on this number. Dial *334#. If you did not ask for it, call 0800 721 000 at once." {
		t.Error(got)
	}
	var before string
	w.must(w.pool.Get(ctx, &before, `select msisdn || ' ' || customer || ' ' || (until - since) from sim_before`))
	if want := fmt.Sprintf("%s %d 01:00:00", old, asha.ID); before != want {
		t.Errorf("kept %q, want %q", before, want)
	}
	// Somebody else may get the old number, and the first one come back to it never meets him.
	w.customer(string(old), "Chausiku Mwangi", 0)
	w.refused(w.MoveNumber(ctx, moved, old), "already_registered")

	// Many moves of one person at once: all happen, one after the other.
	w.clock.pass(time.Hour)
	var moves sync.WaitGroup
	for i := range 8 {
		moves.Go(func() {
			if err := w.MoveNumber(ctx, moved, number(t, fmt.Sprintf("+25471200020%d", i))); err != nil {
				t.Error(err)
			}
		})
	}
	moves.Wait()
	var left int
	w.must(w.pool.Get(ctx, &left, `select count(*) from sim_before where customer = $1`, moved.ID))
	if left != 9 {
		t.Errorf("%d numbers were left behind", left)
	}

	// Two people at once: each ends with one number, no number has two people.
	w.clock.pass(time.Hour)
	var all sync.WaitGroup
	for i, c := range []Customer{asha, baraka, asha, baraka} {
		all.Go(func() {
			if err := w.MoveNumber(ctx, c, number(t, fmt.Sprintf("+25471200010%d", i/2))); err != nil && !Refused(err, "already_registered") {
				t.Errorf("%v", err)
			}
		})
	}
	all.Wait()
	a, b := w.again(asha), w.again(baraka)
	if a.Phone == b.Phone {
		t.Errorf("both are at %s", a.Phone)
	}
}

func TestFreezeAndRaise(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	asha := w.customerOf(TierBasic, "+254712000001", "Asha Juma", 80_000*shilling)
	baraka := w.customer("+254712000002", "Baraka Otieno", 100*shilling)
	w.must(w.Freeze(ctx, asha, true))
	frozen := w.again(asha)
	if !frozen.Frozen {
		t.Error("not frozen")
	}
	_, err := w.Send(ctx, "out", frozen, baraka.Phone, shilling)
	w.refused(err, "payer_frozen")
	_, err = w.Send(ctx, "in", baraka, asha.Phone, shilling)
	w.refused(err, "payee_frozen")
	_, err = w.Airtime(ctx, "air", frozen, asha.Phone, 5*shilling)
	w.refused(err, "payer_frozen")
	// Raising by somebody who read the customer before the freeze does not thaw.
	w.must(w.Raise(ctx, asha, TierFull))
	if frozen = w.again(asha); !frozen.Frozen || frozen.Tier.Number != TierFull {
		t.Errorf("%+v", frozen)
	}
	_, err = w.Send(ctx, "out", frozen, baraka.Phone, shilling)
	w.refused(err, "payer_frozen")
	// And thawing by somebody who read the customer before the raise does not lower.
	w.must(w.Freeze(ctx, asha, false))
	asha = w.again(asha)
	_, err = w.Send(ctx, "out", asha, baraka.Phone, 70_000*shilling+1)
	w.must(err)
	left, err := w.Left(ctx, asha)
	if err != nil || left.Today != 430_000*shilling-1 || left.ToMax != 490_108*shilling+1 {
		t.Errorf("%+v, %v", left, err)
	}
	for _, err := range []error{w.Raise(ctx, asha, 7), w.Raise(ctx, Customer{ID: 4711}, TierFull), w.Freeze(ctx, Customer{ID: 4711}, true)} {
		if err == nil {
			t.Error("no error")
		}
	}
	w.proven()

	// At once, many times: customer and wallet agree in the end.
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if i%2 == 0 {
				w.must(w.Freeze(ctx, asha, i%4 == 0))
			} else {
				w.must(w.Raise(ctx, asha, 1+i/2%2))
			}
		})
	}
	all.Wait()
	asha = w.again(asha)
	account, err := w.book.Account(ctx, asha.Wallet)
	w.must(err)
	if (account.Status == ledger.Frozen) != asha.Frozen || *account.Ceiling != asha.Tier.MaxBalance || *account.DayLimit != asha.Tier.PerDay {
		t.Errorf("customer %+v, wallet %+v", asha, account)
	}
	w.proven()
}
