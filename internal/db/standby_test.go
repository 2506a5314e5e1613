package db_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tuma/internal/db"
	"tuma/internal/devenv"
)

// A commit that waits for a standby is not confirmed because its caller has gone.
func TestACommitThatWaitsForAStandbyIsNotConfirmed(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/tmp", "tuma-standby-") // which the server's user can reach
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	pg, err := devenv.StartPostgres(t.Context(), devenv.PostgresOptions{
		Dir: filepath.Join(dir, "pg"), NoFsync: true, Settings: map[string]string{"synchronous_standby_names": "nobody"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pg.Stop() })
	open := func(more string) *db.Pool {
		p, err := db.Open(t.Context(), db.Options{URL: pg.URL("postgres") + more, Role: "tuma", Silence: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		return p
	}
	local := open("&synchronous_commit=local")
	if err := local.InTx(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(t.Context(), "create table item (id int)")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := local.CheckDurable(t.Context()); err == nil || !strings.Contains(err.Error(), "standby") {
		t.Errorf("commits that do not wait for the standby: %v", err)
	}
	p := open("")
	if err := p.CheckDurable(t.Context()); err != nil { // it writes nothing, so it does not wait
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := p.InTx(ctx, insertItem(t.Context(), 1)); !errors.Is(err, db.ErrUnknown) {
		t.Errorf("without its standby: %v, want ErrUnknown", err)
	}
}
