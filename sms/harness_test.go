package sms

import (
	"bytes"
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tuma/internal/db"
	"tuma/internal/db/dbtest"
	"tuma/internal/phone"
	"tuma/sms/outbox"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// journal is a log that may be read while it is written.
type journal struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.all.Write(b)
}

func (j *journal) lines() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Collect(strings.Lines(j.all.String()))
}

// running is a relay at work.
type running struct {
	*Relay
	log  *journal
	stop func() // and wait
}

func start(t *testing.T, pool *db.Pool, g Gateway, change ...func(o *RelayOptions)) *running {
	t.Helper()
	log := &journal{}
	o := RelayOptions{
		Pool: pool, Gateways: []Gateway{g}, Name: "relay", Rand: rand.Reader, Log: slog.New(slog.NewTextHandler(log, nil)),
		Poll: 10 * time.Millisecond, FirstWait: 10 * time.Millisecond, LongestWait: 50 * time.Millisecond,
	}
	for _, c := range change {
		c(&o)
	}
	r, err := NewRelay(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("relay: %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("the relay does not stop")
		}
	})
	t.Cleanup(stop)
	return &running{Relay: r, log: log, stop: stop}
}

func owe(t *testing.T, pool *db.Pool, notices ...outbox.Notice) {
	t.Helper()
	for i := range notices {
		if notices[i].Priority == 0 {
			notices[i].Priority = outbox.Receipt
		}
	}
	if err := pool.InTx(t.Context(), func(tx *db.Tx) error { return outbox.WriteOnce(t.Context(), tx, notices) }); err != nil {
		t.Fatal(err)
	}
}

// oweLots owes notices as the book does, a commit for each lot.
func oweLots(t *testing.T, pool *db.Pool, lots ...[]outbox.Notice) {
	t.Helper()
	for _, notices := range lots {
		err := pool.InTx(t.Context(), func(tx *db.Tx) error {
			lot, err := outbox.Pack(notices)
			if err != nil {
				return err
			}
			return lot.Write(t.Context(), tx)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// became waits until the phone's notice has that status.
func became(t *testing.T, pool *db.Pool, to phone.Number, key, status string) outbox.Record {
	t.Helper()
	var found outbox.Record
	eventually(t, key+" becomes "+status, func() bool {
		records, err := outbox.For(t.Context(), pool, to, 100)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(records, func(r outbox.Record) bool { return r.Key == key })
		if i < 0 {
			t.Fatalf("no notice %s", key)
		}
		found = records[i]
		return found.Status == status
	})
	return found
}

func failing(statuses ...int) func(http.ResponseWriter, *http.Request, int) bool {
	return func(w http.ResponseWriter, _ *http.Request, nth int) bool {
		if nth > len(statuses) {
			return false
		}
		code := 20000 + statuses[nth-1]
		if statuses[nth-1] == 400 {
			code = 21610
		}
		refuse(w, statuses[nth-1], code)
		return true
	}
}

// standing is a clock that moves only when told to.
type standing struct{ micros atomic.Int64 }

func stand() *standing {
	c := &standing{}
	c.micros.Store(time.Date(2026, 11, 22, 9, 15, 0, 0, time.UTC).UnixMicro())
	return c
}
func (c *standing) now() time.Time          { return time.UnixMicro(c.micros.Load()).UTC() }
func (c *standing) advance(d time.Duration) { c.micros.Add(d.Microseconds()) }
