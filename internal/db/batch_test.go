package db_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tuma/internal/db"
)

const (
	sqlMove = "update item i set n = n + d.by from unnest($1::bigint[], $2::bigint[]) as d (id, by) where i.id = d.id"
	sqlLock = "select i.id from unnest($1::bigint[]) as d (id) join item i on i.id = d.id for update of i"
)

func move(ctx context.Context, tx *db.Tx, ids ...int64) error {
	_, err := tx.Exec(ctx, sqlMove, db.Array(ids), db.Array(slices.Repeat([]int64{1}, len(ids))))
	return err
}

func TestABatchPreparesEachStatementOnce(t *testing.T) {
	t.Parallel()
	p := newBench(t).open(t, func(o *db.Options) { o.Batches = 1 })
	ctx := soon(t)
	var server int
	for range 3 {
		err := p.InBatch(ctx, func(tx *db.Tx) error {
			var pid int
			if err := tx.Get(ctx, &pid, "select pg_backend_pid()"); err != nil {
				return err
			}
			if server == 0 {
				server = pid
			}
			for range 4 {
				if err := move(ctx, tx, 3, 1, 2); err != nil {
					return err
				}
			}
			var prepared []struct {
				Times int `db:"times"`
				Used  int `db:"used"`
			}
			if err := tx.Select(ctx, &prepared, "select count(*) as times, sum(generic_plans + custom_plans)::int as used from pg_prepared_statements where statement = $1", sqlMove); err != nil {
				return err
			}
			// The pool may hand out another of its connections, rarely.
			if pid == server && (len(prepared) != 1 || prepared[0].Times != 1 || prepared[0].Used < 4) {
				t.Errorf("prepared: %+v", prepared)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// In other transactions nothing stays prepared.
	err := p.InTx(ctx, func(tx *db.Tx) error {
		if err := move(ctx, tx, 1); err != nil {
			return err
		}
		var n int
		if err := tx.Get(ctx, &n, "select count(*) from pg_prepared_statements where name <> ''"); err != nil || n != 0 {
			t.Errorf("%d prepared, %v", n, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// All batches at once meet a statement that none has prepared.
func TestBatchesDoNotWaitForEachOtherToPrepare(t *testing.T) {
	t.Parallel()
	const batches = 3
	p := newBench(t).open(t, func(o *db.Options) { o.Batches = batches })
	ctx := soon(t)
	all := newMeeting(batches)
	ended := make(chan error, 4*batches)
	for i := range 4 * batches {
		go func() {
			ended <- p.InBatch(ctx, func(tx *db.Tx) error {
				if err := all.wait(ctx); err != nil {
					return err
				}
				return move(ctx, tx, int64(1+i))
			})
		}()
	}
	for range 4 * batches {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// InTxPrepared is as InTx but for how its statements travel.
func TestATransactionPreparesEachStatementOnce(t *testing.T) {
	t.Parallel()
	const conns = 3
	b := newBench(t)
	p := b.open(t, func(o *db.Options) { o.MaxConns = conns })
	ctx := soon(t)
	all := newMeeting(conns) // none has prepared the statement yet, and all connections but one are taken
	ended := make(chan error, 4*conns)
	for i := range 4 * conns {
		go func() {
			ended <- p.InTxPrepared(ctx, func(tx *db.Tx) error {
				if err := all.wait(ctx); err != nil {
					return err
				}
				if err := move(ctx, tx, int64(1+i)); err != nil {
					return err
				}
				var times int
				if err := tx.Get(ctx, &times, "select count(*) from pg_prepared_statements where statement = $1", sqlMove); err != nil || times != 1 {
					t.Errorf("prepared %d times, %v", times, err)
				}
				return insertLast(ctx, 2000+i)(tx)
			})
		}()
	}
	for range 4 * conns {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if n := b.int(t, "select count(*) from item where id >= 2000"); n != 4*conns {
		t.Errorf("%d rows", n)
	}
}

// A context that has ended takes nothing to the server, least of all a COMMIT.
func TestALastStatementOfACallerWhoIsGone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.open(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := p.InTxPrepared(ctx, func(tx *db.Tx) error {
		if err := insertItem(ctx, 2000)(tx); err != nil {
			return err
		}
		cancel()
		return insertLast(context.WithoutCancel(ctx), 2001)(tx)
	})
	if !errors.Is(err, context.Canceled) || errors.Is(err, db.ErrUnknown) {
		t.Errorf("%v", err)
	}
	if n := b.int(t, "select count(*) from item where id >= 2000"); n != 0 {
		t.Errorf("%d rows", n)
	}
}

func TestABatchWaitsForItsPlaceNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	p := newBench(t).open(t, func(o *db.Options) { o.Batches = 1 })
	err := p.InBatch(t.Context(), func(*db.Tx) error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		return p.InBatch(ctx, func(*db.Tx) error { return nil })
	})
	if err == nil {
		t.Error("two batches at once")
	}
}

// The rows are found along the list: one way to plan it, whatever the sizes.
func TestABatchIsPlannedAlongItsList(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.open(t)
	b.exec(t, "analyze item") // 50 rows: left alone, the planner would hash or scan them
	long := make([]int64, 5000)
	for i := range long {
		long[i] = int64(i + 1)
	}
	for _, ids := range [][]int64{{1}, long} {
		for name, in := range map[string]func(context.Context, func(*db.Tx) error) error{"batch": p.InBatch, "tx": p.InTx} {
			var plan []string
			err := in(t.Context(), func(tx *db.Tx) error {
				return tx.Select(t.Context(), &plan, "explain (costs off) "+sqlMove, db.Array(ids), db.Array(ids))
			})
			if err != nil {
				t.Fatal(err)
			}
			all := strings.Join(plan, "\n")
			outer, inner := strings.Index(all, "Function Scan on d"), strings.Index(all, "Index Scan using item_pkey on item i")
			along := strings.Contains(all, "Nested Loop") && outer >= 0 && inner > outer && !strings.Contains(all, "Sort")
			if name == "batch" && !along {
				t.Errorf("%d rows:\n%s", len(ids), all)
			}
			if name == "tx" && len(ids) > 1 && along {
				t.Errorf("the planner would do so anyway, this test shows nothing:\n%s", all)
			}
		}
	}
}

// A batch that meets a locked row holds those before it in its list and none
// behind it.
func TestABatchLocksInTheOrderOfItsList(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.open(t)
	ctx := soon(t)
	for name, run := range map[string]func(tx *db.Tx) error{
		"update": func(tx *db.Tx) error { return move(ctx, tx, 9, 40, 5, 1, 30) },
		"select": func(tx *db.Tx) error {
			var ids []int64
			err := tx.Select(ctx, &ids, sqlLock, db.Array([]int64{9, 40, 5, 1, 30}))
			if err == nil && !slices.Equal(ids, []int64{9, 40, 5, 1, 30}) {
				t.Errorf("locked %v", ids)
			}
			return err
		},
	} {
		ended := make(chan error, 1)
		err := p.InTx(ctx, func(tx *db.Tx) error {
			if _, err := tx.Exec(ctx, "select from item where id = 5 for update"); err != nil {
				return err
			}
			server := make(chan int, 1)
			go func() {
				ended <- p.InBatch(ctx, func(tx *db.Tx) error {
					var pid int
					if err := tx.Get(ctx, &pid, "select pg_backend_pid()"); err != nil {
						return err
					}
					server <- pid
					return run(tx)
				})
			}()
			pid := <-server
			eventually(t, "the batch waits", func() bool { return b.int(t, "select count(*) from pg_locks where pid = $1 and not granted", pid) > 0 })
			var free []int64
			if err := tx.Select(ctx, &free, "select id from item where id in (9, 40, 5, 1, 30) order by id for update skip locked"); err != nil {
				return err
			}
			if !slices.Equal(free, []int64{1, 5, 30}) {
				t.Errorf("%s: free are %v, want 1, 5 and 30", name, free)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Batches with sorted lists of the same rows never wait for each other in a
// circle; with opposite lists they do.
func TestSortedBatchesNeverDeadlock(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.open(t)
	ctx := soon(t)
	const workers, each = 4, 60
	ended := make(chan error, workers)
	for w := range workers {
		r := rand.New(rand.NewPCG(uint64(w), 1))
		go func() {
			for range each {
				var ids []int64
				for _, i := range r.Perm(50)[:20] {
					ids = append(ids, int64(i+1))
				}
				slices.Sort(ids)
				if err := p.InBatch(ctx, func(tx *db.Tx) error { return move(ctx, tx, ids...) }); err != nil {
					ended <- err
					return
				}
			}
			ended <- nil
		}()
	}
	for range workers {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if got := b.int(t, "select sum(n) from item"); got != workers*each*20 {
		t.Errorf("%d moves, want %d", got, workers*each*20)
	}

	up, down := make([]int64, 50), make([]int64, 50)
	for i := range up {
		up[i], down[49-i] = int64(i+1), int64(i+1)
	}
	deadlock := make(chan error, 2)
	for _, ids := range [][]int64{up, down} {
		go func() {
			for range 2000 {
				if err := p.InBatch(ctx, func(tx *db.Tx) error { return move(ctx, tx, ids...) }); err != nil {
					deadlock <- err
					return
				}
			}
			deadlock <- nil
		}()
	}
	first, second := <-deadlock, <-deadlock
	if state(first) != "40P01" && state(second) != "40P01" {
		t.Errorf("opposite lists: %v, %v; this test shows nothing", first, second)
	}
}
