package ledger

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"tuma/internal/db"
	"tuma/internal/db/dbtest"
)

// An audit since a seal reads what has come since, and sees what a full audit
// cannot: history that was rewritten consistently.
func TestAuditSinceASeal(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ sql, want string }{
		"nothing":          {"", ""},
		"a new entry":      {"update entry set memo = 'x' where id = (select max(id) from entry)", "were changed"},
		"a new balance":    {"update account set balance = balance + 1 where id = $wallet", "its postings say"},
		"a list cut":       {"update entry set befores = '{0}' where id = (select max(id) from entry)", "starts from"},
		"a list forked":    {"update entry set befores = (select befores from entry where id = (select max(id) - 1 from entry)) where id = (select max(id) from entry)", "entries follow"},
		"a last entry":     {"update account set last_entry = last_entry - 1 where id = $wallet", "its postings say"},
		"a house balance":  {"update account set balance = balance + 1 where id = (select max(debit) from posting where debit < 1000)", "its postings say"},
		"a new block gone": {"delete from block where (chain, n) = (select chain, n - 1 from block order by first desc limit 1)", "follows block"},
		"rewritten head":   {"update block set digest = sha256('x') where n = 3", "is not the one that was sealed"},
		"cut off":          {"delete from block where n >= 3", "is not the one that was sealed"},
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
			trust, wallet, quiet := house(t, b, Trust), account(t, b, Wallet, Rules{Floor: Zero()}), account(t, b, Wallet, Rules{})
			post := func(from, to int) {
				for i := from; i < to; i++ {
					must(t)(b.Post(t.Context(), transfer(fmt.Sprint(i), trust, wallet, 100)))
				}
			}
			must(t)(b.Post(t.Context(), transfer("quiet", trust, quiet, 100)))
			post(0, 2)
			heads, err := Seal(t.Context(), pool)
			if err != nil {
				t.Fatal(err)
			}
			if len(heads.Chains) != 1 || heads.Chains[0].N != 3 {
				t.Fatalf("heads %+v", heads)
			}
			post(2, 6)
			dba, err := sql.Open("postgres", url)
			if err != nil {
				t.Fatal(err)
			}
			defer dba.Close()
			if c.sql != "" {
				if _, err := dba.Exec(strings.ReplaceAll(c.sql, "$wallet", itoa(int64(wallet)))); err != nil {
					t.Fatal(err)
				}
			}
			p, err := Audit(t.Context(), pool, AuditOptions{Since: &heads})
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" && (len(p.Breaks) != 0 || p.Entries != 4 || p.Blocks != 4) {
				t.Errorf("%+v", p)
			}
			if c.want != "" && !strings.Contains(fmt.Sprint(p.Breaks), c.want) {
				t.Errorf("no break says %q: %+v", c.want, p.Breaks)
			}
		})
	}
}
