package agents

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/internal/money"
)

func TestFloatIsIssuedByTwoPeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	juma := w.till("100001", "Mama Mboga", "+254722000001", 0)
	id, err := w.RequestFloat(ctx, "mary", "100001", 50_000*shilling, " eq/2026-11.22 ")
	w.must(err)
	w.books("", juma) // nothing moves before it is approved
	open, err := w.OpenFloat(ctx)
	w.must(err)
	if diff := cmp.Diff([]FloatRequest{{ID: id, Till: "100001", Kind: "issue", State: "made", Amount: 50_000_00, BankRef: "EQ/2026-11.22", Maker: "mary", At: w.accounts.Now()}}, open); diff != "" {
		t.Error(diff)
	}
	// The maker alone gets nowhere, not even with both roles.
	_, err = w.ApproveFloat(ctx, "mary", id)
	if !errors.Is(err, ErrNotStaff) {
		t.Error(err)
	}
	w.sql(`update staff set role = 'checker' where name = 'mary'`)
	_, err = w.ApproveFloat(ctx, "mary", id)
	if !errors.Is(err, ErrSamePerson) {
		t.Error(err)
	}
	w.sql(`update staff set role = 'maker' where name = 'mary'`)
	w.books("", juma)

	d, err := w.ApproveFloat(ctx, "charles", id)
	w.must(err)
	want := accounts.Done{Code: d.Code, At: w.accounts.Now(), Amount: 50_000_00, Balance: 50_000_00, Name: "MAMA MBOGA"}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Error(diff)
	}
	w.books("100001 50000.00 trust -50000.00", juma)
	if got := w.last(juma.Phone); got != "UKM* Confirmed. Ksh50,000.00 of float was added to till 100001 on 22/11/26 at 9:15 AM. New float is Ksh50,000.00." {
		t.Error(got)
	}
	want.Again = true
	again, err := w.ApproveFloat(ctx, "charles", id)
	if diff := cmp.Diff(want, again); err != nil || diff != "" {
		t.Error(err, diff)
	}
	w.staff("chloe", "checker")
	if _, err := w.ApproveFloat(ctx, "chloe", id); err == nil || !strings.Contains(err.Error(), "another checker") {
		t.Error(err)
	}
	if open, err := w.OpenFloat(ctx); err != nil || len(open) != 0 {
		t.Errorf("%+v, %v", open, err)
	}
	w.books("100001 50000.00 trust -50000.00", juma)
	w.proven()
}

func TestFloatRequestsAreChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.till("100001", "Mama Mboga", "+254722000001", 0)
	_, err := w.RequestFloat(ctx, "mary", "100001", shilling, "BANK-1")
	w.must(err)
	w.staff("gone", "maker")
	w.sql(`update staff set active = false where name = 'gone'`)
	for _, c := range []struct {
		maker, till string
		a           money.Amount
		bankRef     string
		is          error
		says        string
	}{
		{"mary", "100001", shilling, "bank-1", ErrExists, "BANK-1"},
		{"mary", "100001", shilling, "abc", nil, "a bank reference has"},
		{"mary", "100001", shilling, strings.Repeat("1", 41), nil, "a bank reference has"},
		{"mary", "100001", shilling, "BANK 1", nil, "a bank reference has"},
		{"mary", "100001", shilling, "BANK'1", nil, "a bank reference has"},
		{"mary", "100001", 0, "BANK-2", nil, "above zero"},
		{"mary", "100001", -shilling, "BANK-2", nil, "above zero"},
		{"mary", "100001", ledger.MaxAmount + 1, "BANK-2", nil, "above zero and at most"},
		{"charles", "100001", shilling, "BANK-2", ErrNotStaff, "charles"},
		{"nobody", "100001", shilling, "BANK-2", ErrNotStaff, "nobody"},
		{"gone", "100001", shilling, "BANK-2", ErrNotStaff, "gone"},
		{"mary", "100002", shilling, "BANK-2", accounts.Refuse("till_unknown"), ""},
		{"mary", "1", shilling, "BANK-2", accounts.Refuse("bad_till"), ""},
	} {
		_, err := w.RequestFloat(ctx, c.maker, c.till, c.a, c.bankRef)
		r, refused := errors.AsType[accounts.Refusal](err)
		want, refusal := c.is.(accounts.Refusal)
		switch {
		case err == nil, refusal && (!refused || r.Key != want.Key), !refusal && c.is != nil && !errors.Is(err, c.is), !strings.Contains(err.Error(), c.says):
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := w.ApproveFloat(ctx, "charles", 4711); err == nil || !strings.Contains(err.Error(), "no such float request: 4711") {
		t.Error(err)
	}
	if _, err := w.ApproveFloat(ctx, "mary", 1); !errors.Is(err, ErrNotStaff) {
		t.Error(err)
	}
}

// Two checkers, each trying several times at once in two processes: the money
// comes once, and one of them has issued it.
func TestCheckersRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.process(w.pool)
	juma := w.till("100001", "Mama Mboga", "+254722000001", 0)
	w.staff("chloe", "checker")
	id, err := w.RequestFloat(t.Context(), "mary", "100001", 50_000*shilling, "BANK-1")
	w.must(err)
	var all sync.WaitGroup
	var mu sync.Mutex
	codes, by := map[string]bool{}, map[string]bool{}
	for i := range 12 {
		s, checker := w.Service, "charles"
		if i%2 == 1 {
			s, checker = other, "chloe"
		}
		all.Go(func() {
			d, err := s.ApproveFloat(t.Context(), checker, id)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				codes[d.Code], by[checker] = true, true
			} else if !strings.Contains(err.Error(), "another checker") {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(codes) != 1 || len(by) != 1 {
		t.Errorf("receipts %v by %v", codes, by)
	}
	// The same bank reference from many at once is one request.
	var asked sync.WaitGroup
	made := 0
	for range 8 {
		asked.Go(func() {
			_, err := w.RequestFloat(t.Context(), "mary", "100001", shilling, "BANK-2")
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
			} else if !errors.Is(err, ErrExists) {
				t.Error(err)
			}
		})
	}
	asked.Wait()
	if made != 1 {
		t.Errorf("%d requests", made)
	}
	w.books("100001 50000.00 trust -50000.00", juma)
	w.proven()
}

// One checker approves, another declines: one of them has the last word, and the
// money says the same.
func TestApproveAgainstDecline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	other := w.process(w.pool)
	juma := w.till("100001", "Mama Mboga", "+254722000001", 0)
	w.staff("chloe", "checker")
	var want money.Amount
	for i := range 20 {
		id, err := w.RequestFloat(ctx, "mary", "100001", 100*shilling, fmt.Sprint("RACE-", i))
		w.must(err)
		var all sync.WaitGroup
		var approved, declined error
		all.Go(func() { _, approved = w.ApproveFloat(ctx, "charles", id) })
		all.Go(func() { declined = other.DeclineFloat(ctx, "chloe", id, "no such credit") })
		all.Wait()
		if (approved == nil) == (declined == nil) {
			t.Errorf("approved %v, declined %v", approved, declined)
		}
		if approved == nil {
			want += 100 * shilling
		}
		if got := w.has(juma.Till.float); got != want {
			t.Fatalf("float is %d, want %d", got, want)
		}
	}
	w.proven()
}

func TestAuditFindsUnbackedMoney(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	juma := w.till("100001", "Mama Mboga", "+254722000001", 1000*shilling)
	neema := w.till("100002", "Neema Kiosk", "+254722000002", 0)
	w.proven()
	trust := w.accounts.House().Trust
	post := func(ref string, debit, credit ledger.AccountID, a money.Amount) {
		t.Helper()
		_, err := w.accounts.Book().Post(ctx, ledger.Entry{Ref: ref, Kind: "float", Postings: []ledger.Posting{{Why: ledger.Principal, Debit: debit, Credit: credit, Amount: a}}})
		w.must(err)
	}
	request := func(bankRef string) string {
		id, err := w.RequestFloat(ctx, "mary", "100001", 500*shilling, bankRef)
		w.must(err)
		return fmt.Sprintf("float:%d", id)
	}
	approved := func(ref string) string {
		w.sql(`update float_request set checker = 'charles' where 'float:' || id = $1`, ref)
		return ref
	}
	unapproved, more, elsewhere, back := request("BANK-A"), approved(request("BANK-B")), approved(request("BANK-C")), approved(request("BANK-D"))
	post("no request", trust, juma.Till.float, 500*shilling)
	post(unapproved, trust, juma.Till.float, 500*shilling)
	post(more, trust, juma.Till.float, 501*shilling)
	post(elsewhere, trust, neema.Till.float, 500*shilling)
	post(back, juma.Till.float, trust, 500*shilling)
	post(approved(request("BANK-E")), trust, juma.Till.float, 500*shilling) // this one is right
	breaks, err := Audit(ctx, w.pool)
	w.must(err)
	var got []string
	for _, b := range breaks {
		got = append(got, strings.Fields(b.What)[1])
	}
	if diff := cmp.Diff([]string{"no", unapproved, more, elsewhere, back}, got); diff != "" {
		t.Errorf("%s\n%+v", diff, breaks)
	}
	// And a missing notice is named on the floor below.
	post2 := ledger.Entry{Ref: "silent", Kind: "deposit", Postings: []ledger.Posting{{Why: ledger.Principal, Debit: juma.Till.float, Credit: neema.Till.float, Amount: 100}}}
	_, err = w.accounts.Book().Post(ctx, post2)
	w.must(err)
	missing, err := accounts.Audit(ctx, w.pool)
	if err != nil || len(missing) != 2 || !strings.Contains(missing[0].What, "(deposit) has none for its payee") || !strings.Contains(missing[1].What, "(deposit) has none for its till") {
		t.Errorf("%+v, %v", missing, err)
	}
}
