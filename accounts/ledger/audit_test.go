package ledger

import (
	"database/sql"
	"strings"
	"testing"

	_ "github.com/lib/pq"

	"tuma/internal/db"
	"tuma/internal/db/dbtest"
)

// Whoever changes the tables behind the application's back is named.
func TestAuditNamesWhatWasChanged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ sql, want string }{
		"amount":           {"update entry set amounts = array[101] where id = $id", "entry $id ("},
		"accounts":         {"update entry set credits = array[5000] where id = $id", "entry $id ("},
		"balance after":    {"update entry set afters[1] = afters[1] + 1 where id = $id", "entry $id ("},
		"time":             {"update entry set at = at + interval '1 second' where id = $id", "entry $id ("},
		"ref":              {"update entry_ref set ref = 'other' where entry = $id", "entry $id ("},
		"ref removed":      {"delete from entry_ref where entry = $id", "entry $id ("},
		"memo":             {"update entry set memo = '{}' where id = $id", "entry $id ("},
		"account unlisted": {"update entry set accounts = '{}', afters = '{}', befores = '{}' where id = $id", "touches account $wallet and does not list it"},
		"account listed":   {"update entry set accounts = accounts || 5000::bigint, afters = afters || 7::bigint, befores = befores || 0::bigint where id = $id", "lists account 5000, which it does not touch"},
		"list cut":         {"update entry set befores = '{0}' where id = $id", "account $wallet: entry $id starts from 100, the entry before it left 0"},
		"list forked":      {"update entry set befores = (select befores from entry where id = $id) where id = $id + 1", "account $wallet: 2 entries follow entry"},
		"last entry":       {"update account set last_entry = $id where id = $wallet", "account $wallet has 400, its postings say 400"},
		"unknown account":  {"update account set id = 5000 where id = $wallet", "account 5000 has 400, its postings say 0"},
		"reversal added":   {"insert into reversal values (7, $id)", "entry $id ("},
		"posting added":    {"update entry set whys = whys || ',fee', debits = debits || 16::bigint, credits = credits || 17::bigint, amounts = amounts || 5::bigint where id = $id", "entry $id ("},
		"entry removed":    {"delete from entry where id = $id", "there is no entry $id"},
		"ref of nothing":   {"insert into entry_ref values ('later', 77)", "there is no entry 77"},
		"all of the entry": {"delete from entry where id = $id; delete from entry_ref where entry = $id", "has 0 entries, 1 were sealed"},
		"block removed":    {"delete from block where n = (select block from entry where id = $id)", "follows block"},
		"block and entry":  {"delete from block where n = (select block from entry where id = $id); delete from entry where id = $id; delete from entry_ref where entry = $id", "follows block"},
		"reordered":        {"update entry set block = case block when 2 then 3 else 2 end where block in (2, 3)", "changed or reordered"},
		"balance":          {"update account set balance = balance + 5 where id = $wallet", "account $wallet has 405, its postings say 400"},
		"under the floor":  {"alter table account drop constraint balance_is_not_under_its_floor; update account set balance = -5 where id >= 1000", "its floor is 0"},
		"invented money":   {"insert into account (id, kind, currency, balance) values (5000, 'wallet', 'KES', 7)", "the sum is 7"},
		"digest replaced":  {"update entry set memo = '{}', digest = sha256('x') where id = $id", "entry $id ("},
		"entry inserted":   {"insert into entry select id + 1000, at, 99, 1, kind, memo, whys, debits, credits, amounts, digest, accounts, afters, befores from entry where id = $id", "not there"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := dbtest.URL(t)
			pool, err := db.Open(t.Context(), db.Options{URL: url})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { pool.Close() })
			b, err := New(pool, Config{Zone: nairobi, ReceiptKey: []byte("a key of sixteen bytes"), Posters: 1})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(b.Close)
			trust, wallet := house(t, b, Trust), account(t, b, Wallet, Rules{Floor: Zero()})
			var second EntryID
			for i, ref := range []string{"a", "b", "c", "d"} {
				e := transfer(ref, trust, wallet, 100)
				e.Memo = map[string]string{"who": "me"}
				if r := must(t)(b.Post(t.Context(), e)); i == 1 {
					second = r.ID
				}
			}
			if p := clean(t, b); p.Entries != 4 || p.Postings != 4 || p.Blocks != 4 || p.Accounts != 17 {
				t.Errorf("proof %+v", p)
			}
			dba, err := sql.Open("postgres", url)
			if err != nil {
				t.Fatal(err)
			}
			defer dba.Close()
			fill := strings.NewReplacer("$id", itoa(int64(second)), "$wallet", itoa(int64(wallet)))
			for _, q := range strings.Split(c.sql, ";") {
				if _, err := dba.Exec(fill.Replace(q)); err != nil {
					t.Fatal(err)
				}
			}
			p, err := Audit(t.Context(), b.pool, AuditOptions{})
			if err != nil {
				t.Fatal(err)
			}
			want := fill.Replace(c.want)
			for _, x := range p.Breaks {
				if strings.Contains(x.What, want) {
					return
				}
			}
			t.Errorf("no break says %q: %+v", want, p.Breaks)
		})
	}
}
