package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tuma/internal/db/dbtest"
)

// What is in deploy/ is read by other programs, which say here whether they can.
func TestDeploy(t *testing.T) {
	t.Parallel()
	t.Run("env", func(t *testing.T) {
		text := deployed(t, "tuma.env")
		set := regexp.MustCompile(`(?m)^([A-Z_]+)='([^'\n]*)'$`).FindAllStringSubmatch(text, -1)
		if lines := regexp.MustCompile(`(?m)^[^#\n].*$`).FindAllString(text, -1); len(set) < 15 || len(lines) != len(set) {
			t.Fatalf("%d settings in %d lines", len(set), len(lines))
		}
		known := settingsOf(reflect.TypeFor[serveCommand]())
		for _, m := range set {
			if !slices.Contains(known, m[1]) {
				t.Errorf("serve has no setting %s", m[1])
			}
		}
		// With its gaps filled it is whole: serve's only complaint is about servers.
		env := []string{}
		key, err := newKey()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range set {
			v := m[2]
			switch m[1] {
			case "TUMA_PIN_KEYS":
				v = "2026:" + key
			case "TUMA_RECEIPT_KEY", "TUMA_SESSION_KEY":
				v = key
			case "TUMA_DATABASE_URL":
				v = "postgres://nobody@127.0.0.1:1/tuma?sslmode=disable"
			case "TUMA_LISTEN", "TUMA_ADMIN":
				v = "127.0.0.1:0"
			}
			env = append(env, m[1]+"="+v)
		}
		if r := execute(t, "", env, "serve"); r.status != 1 || !strings.Contains(r.errors, "cannot reach the server") {
			t.Errorf("status %d, %s", r.status, r.errors)
		}
	})
	t.Run("postgresql.conf", func(t *testing.T) {
		set := regexp.MustCompile(`(?m)^(\w+) = ('[^'\n]*'|\S+)`).FindAllStringSubmatch(deployed(t, "postgresql.conf"), -1)
		if len(set) < 25 {
			t.Fatalf("only %d settings", len(set))
		}
		tx, err := super(t, dbtest.URL(t)).Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		for _, m := range set {
			var context string
			if err := tx.QueryRow("select context from pg_settings where name = $1", m[1]).Scan(&context); err != nil {
				t.Fatalf("%s: %v", m[1], err)
			}
			// Of those that a session may set the server itself says whether the value will do.
			if context == "user" || context == "superuser" {
				if _, err := tx.Exec("select set_config($1, $2, true)", m[1], strings.Trim(m[2], "'")); err != nil {
					t.Fatalf("%s: %v", m[0], err)
				}
			}
		}
		for name, want := range benchPostgres { // what is measured is what is run
			if !slices.ContainsFunc(set, func(m []string) bool { return m[1] == name && m[2] == want }) {
				t.Errorf("%s is not %s, with which the figures were measured", name, want)
			}
		}
	})
	t.Run("systemd", func(t *testing.T) {
		if _, err := exec.LookPath("systemd-analyze"); err != nil {
			t.Skip("no systemd here")
		}
		// It wants the programs to be there.
		dir := t.TempDir()
		units, err := filepath.Glob("../../deploy/systemd/*")
		if err != nil || len(units) < 5 {
			t.Fatal(units, err)
		}
		var paths []string
		for _, u := range units {
			text := regexp.MustCompile(`(?m)^ExecStart=/\S+`).ReplaceAllString(deployed(t, "systemd/"+filepath.Base(u)), "ExecStart=/bin/true")
			path := filepath.Join(dir, strings.Replace(filepath.Base(u), "@.", "@9334.", 1))
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			paths = append(paths, path)
		}
		out, err := exec.Command("systemd-analyze", append([]string{"verify", "--man=no", "--recursive-errors=no"}, paths...)...).CombinedOutput()
		if said := strings.TrimSpace(string(out)); err != nil || said != "" {
			t.Errorf("%v: %s", err, said)
		}
	})
	t.Run("audit", func(t *testing.T) {
		// A tuma that writes down how it was called and makes the seal.
		dir := t.TempDir()
		fake := filepath.Join(dir, "tuma")
		calls := filepath.Join(dir, "calls")
		if err := os.WriteFile(fake, []byte("#!/bin/sh\necho \"$@\" >> "+calls+"\nwhile [ $# -gt 0 ]; do [ \"$1\" = --seal ] && echo > \"$2\"; shift; done\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		seals := filepath.Join(dir, "seals")
		if err := os.MkdirAll(seals, 0o755); err != nil {
			t.Fatal(err)
		}
		run := func(day string) []string {
			os.Remove(calls)
			cmd := exec.Command("../../deploy/audit")
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TUMA=" + fake, "STATE_DIRECTORY=" + seals, "WHOLE=" + day}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			b, _ := os.ReadFile(calls)
			return strings.Split(strings.TrimSpace(strings.ReplaceAll(string(b), seals+"/", "")), "\n")
		}
		if got := run("1"); len(got) != 1 || !strings.HasPrefix(got[0], "audit --seal 2") {
			t.Errorf("the first time: %v", got)
		}
		made, _ := filepath.Glob(seals + "/*.json")
		if len(made) != 1 {
			t.Fatal(made)
		}
		for _, name := range []string{"2020-01-01T000000Z.json", "2020-01-02T000000Z.json"} {
			if err := os.WriteFile(filepath.Join(seals, name), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		os.Remove(made[0])
		if got := run("1"); len(got) != 1 || !strings.HasPrefix(got[0], "audit --since 2020-01-02T000000Z.json --seal 2") {
			t.Errorf("on a weekday: %v", got)
		}
		if got := run("7"); len(got) != 3 || got[0] != "audit" || got[1] != "audit --since 2020-01-01T000000Z.json" || !strings.Contains(got[2], "--seal 2") {
			t.Errorf("on a Sunday: %v", got)
		}
	})
}

func deployed(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("../../deploy/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// settingsOf are the variables of a command, embedded ones included.
func settingsOf(c reflect.Type) (names []string) {
	for f := range c.Fields() {
		if f.Anonymous || f.Type.Kind() == reflect.Struct {
			names = append(names, settingsOf(f.Type)...)
		} else if v := f.Tag.Get("env"); v != "" {
			names = append(names, v)
		}
	}
	return names
}
