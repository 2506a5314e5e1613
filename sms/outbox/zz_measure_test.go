package outbox_test

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tuma/internal/db"
	"tuma/internal/devenv"
	"tuma/internal/phone"
	"tuma/sms/outbox"
)

func TestMeasure(t *testing.T) {
	dir, _ := os.MkdirTemp("/tmp", "m-")
	os.Chmod(dir, 0o755)
	defer os.RemoveAll(dir)
	pg, err := devenv.StartPostgres(t.Context(), devenv.PostgresOptions{Dir: dir + "/pg"})
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Stop()
	if _, err := db.Migrate(t.Context(), pg.URL("postgres")); err != nil {
		t.Fatal(err)
	}
	pool, err := db.Open(t.Context(), db.Options{URL: pg.URL("postgres")})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var k atomic.Int64
	for _, size := range []int{2, 100} {
		for _, writers := range []int{1, 2, 8} {
			for _, notify := range []bool{true, false, true, false} {
				var n atomic.Int64
				stop := time.Now().Add(2 * time.Second)
				var wg sync.WaitGroup
				for range writers {
					wg.Go(func() {
						for time.Now().Before(stop) {
							list := make([]outbox.Notice, size)
							for i := range list {
								id := k.Add(1)
								list[i] = outbox.Notice{Key: fmt.Sprint(id), To: phone.Number(fmt.Sprintf("+2547%08d", id%50000)), Body: "UKM4Q7X2PA Confirmed. You have received Ksh500.00 from ASHA JUMA 0712000001 on 22/11/26 at 9:15 AM.", Priority: 1}
							}
							outbox.Quiet.Store(!notify)
							if err := pool.InTx(t.Context(), func(tx *db.Tx) error { return outbox.Write(t.Context(), tx, list) }); err != nil {
								t.Error(err)
								return
							}
							n.Add(1)
						}
					})
				}
				wg.Wait()
				t.Logf("size %d writers %d notify %v: %d commits/s", size, writers, notify, n.Load()/2)
			}
		}
	}
	t.Logf("%d in the table", k.Load())
	for range 3 {
		began := time.Now()
		due, _, err := outbox.Lease(t.Context(), pool, 8, time.Minute, "r")
		t.Logf("lease %d of backlog: %v %v", len(due), time.Since(began), err)
	}
	// the gateway is down: every head waits, all the others wait behind
	pool.InTx(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(t.Context(), "update notice set next_try_at = now() + interval '1 hour' where id in (select min(id) from notice group by to_msisdn)")
		return err
	})
	for range 3 {
		began := time.Now()
		due, _, err := outbox.Lease(t.Context(), pool, 8, time.Minute, "r")
		t.Logf("lease %d when all are blocked: %v %v", len(due), time.Since(began), err)
	}
}
