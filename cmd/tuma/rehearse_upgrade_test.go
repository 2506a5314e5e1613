package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The next version: it adds something that the programs before need not know, and
// takes something away, once they have ended.
var nextVersion = map[string]string{
	"90001_more.sql": `-- +goose Up
-- +tuma expand from 00027
alter table customer add column nickname text;
create table pet (id bigint primary key, owner bigint not null references customer);
grant select, insert on pet to tuma_app;
`,
	"90002_less.sql": `-- +goose Up
-- +tuma contract from 90001
drop table pet;
alter table customer drop column nickname;
`,
}

// buildNext builds it: this tree with some migrations more, which are nowhere
// but in the overlay.
func buildNext(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	for name, text := range nextVersion {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		where, err := filepath.Abs("../../internal/db/migrations/" + name)
		if err != nil {
			t.Fatal(err)
		}
		replace[where] = file
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file, program := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "tuma")
	if err := os.WriteFile(file, overlay, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-overlay", file, "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// The program is replaced by its next version while people pay: nobody is
// refused, nothing is lost, and nothing is taken away from the old one. That is
// noticed where it is not so.
func TestRehearseUpgrade(t *testing.T) {
	t.Parallel()
	next := buildNext(t)
	t.Run("as told", func(t *testing.T) {
		t.Parallel()
		r := rehearse(t, "upgrade", "--old", os.Args[0], "--new", next, "--seconds", "0.5", "--customers", "40")
		for _, want := range []string{
			"90001_more.sql", "90002_less.sql contracts", "refused while the old program runs", "the first process is old again", "applied 90002_less.sql", "old serve: refused",
			"none refused, none failed", "none lost, none doubled", "found nothing",
		} {
			if !strings.Contains(r.out, want) {
				t.Errorf("it does not say %q", want)
			}
		}
		if r.status != 0 || t.Failed() {
			t.Errorf("status %d\n%s%s", r.status, r.out, r.errors)
		}
	})
	t.Run("as a fault among people", func(t *testing.T) {
		t.Parallel()
		s, status, said := simulate(t, t.TempDir(), "--customers", "30", "--agents", "2", "--rate", "15", "--duration", "5s", "--speed", "200", "--faults", "upgrade", "--every", "500ms", "--new", next)
		if status != 0 || s.Faults[upgradeFault] == 0 || s.Reconciled.problems() != 0 || s.Reconciled.OK == 0 {
			t.Errorf("status %d %+v\n%s", status, s, said)
		}
	})
	t.Run("a process alone", func(t *testing.T) {
		t.Parallel()
		r := rehearse(t, "upgrade", "--old", os.Args[0], "--new", next, "--seconds", "0.5", "--customers", "20", "--plant", "alone")
		if r.status != 1 || !strings.Contains(r.out, "requests were refused or failed") {
			t.Errorf("status %d\n%s%s", r.status, r.out, r.errors)
		}
	})
}
