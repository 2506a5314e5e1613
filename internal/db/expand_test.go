package db_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What a migration that expands may not hold: the program before would be refused
// something, or payments would wait for as long as it takes. The page for who
// writes one is in docs/operations.md. It cannot see what a function now means.
var (
	unfit = map[string]*regexp.Regexp{
		"takes something away":                regexp.MustCompile(`(?i)\bdrop\s+(table|column|function|view|sequence|constraint|type|default|role|index\s+[^c])|\brevoke\b|\btruncate\b`),
		"gives something another name":        regexp.MustCompile(`(?i)\brename\b`),
		"changes a type, which rewrites":      regexp.MustCompile(`(?i)\balter\s+(column\s+)?\w+\s+(set\s+data\s+)?type\b`),
		"refuses what was allowed":            regexp.MustCompile(`(?i)\bset\s+not\s+null\b|\badd\s+column\s+[^;,]*\bnot\s+null\b[^;,]*`),
		"changes rows, which may be many":     regexp.MustCompile(`(?i)\bupdate\s+\w+\s+set\b|\bdelete\s+from\b`),
		"checks all rows under its lock":      regexp.MustCompile(`(?i)\badd\s+constraint\b[^;]*`),
		"holds writers up while it is made":   regexp.MustCompile(`(?i)\bcreate\s+(unique\s+)?index\s+\w+\s+on\s+(\w+)`),
		"locks a table for its own purposes":  regexp.MustCompile(`(?i)\block\s+table\b`),
		"fires for what the old one writes":   regexp.MustCompile(`(?i)\bcreate\s+(or\s+replace\s+)?(constraint\s+)?trigger\b`),
		"changes a function that is there":    regexp.MustCompile(`(?i)\bcreate\s+or\s+replace\s+function\b`),
		"cannot be told to let others pass":   regexp.MustCompile(`(?i)\bset\s+(local\s+)?lock_timeout\b`),
		"makes a partition of a table in use": regexp.MustCompile(`(?i)\battach\s+partition\b`),
	}
	comments = regexp.MustCompile(`--[^\n]*`)
	defaults = regexp.MustCompile(`(?i)\bdefault\b`)
)

// misfits names what an expanding migration must not do and does.
func misfits(text string) (found []string) {
	alone := strings.Contains(text, "-- +goose NO TRANSACTION")
	text = comments.ReplaceAllString(text, "")
	for why, pattern := range unfit {
		for _, m := range pattern.FindAllStringSubmatch(text, -1) {
			switch {
			case alone && strings.HasPrefix(why, "cannot"):
				continue // it waits without a lock that others want
			case strings.HasPrefix(why, "refuses") && defaults.MatchString(m[0]):
				continue // a column that old programs leave out has its default
			case strings.HasPrefix(why, "checks") && strings.Contains(strings.ToLower(m[0]), "not valid"):
				continue
			case strings.HasPrefix(why, "holds") && regexp.MustCompile(`(?i)\bcreate\s+table\s+`+m[2]+`\b`).MatchString(text):
				continue // nobody uses it yet
			}
			found = append(found, why)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func TestExpandingMigrationsOnlyAdd(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(b), "-- +tuma expand ") {
			continue
		}
		for _, why := range misfits(string(b)) {
			t.Errorf("%s %s", p, why)
		}
	}
	for text, want := range map[string]string{
		"alter table till drop column name;":                                                                 "takes something away",
		"drop index by_name;":                                                                                "takes something away",
		"alter table till rename column name to title;":                                                      "gives something another name",
		"alter table till alter column name type varchar(10);":                                               "changes a type, which rewrites",
		"alter table till alter name set not null;":                                                          "refuses what was allowed",
		"alter table till add column more text not null;":                                                    "refuses what was allowed",
		"update till set name = upper(name);":                                                                "changes rows, which may be many",
		"alter table till add constraint named check (name <> '');":                                          "checks all rows under its lock",
		"create index by_name on till (name);":                                                               "holds writers up while it is made",
		"create or replace function f() returns int language sql as $$ select 1 $$;":                         "changes a function that is there",
		"alter table till add column more text not null default '';":                                         "",
		"alter table till add column more text;":                                                             "",
		"alter table till add constraint named check (name <> '') not valid;":                                "",
		"create table pet (id bigint primary key, name text not null); create index pet_name on pet (name);": "",
		"drop index concurrently if exists by_name; create index concurrently by_name on till (name);":       "",
		"-- drop table till\nselect 1;":                                                                      "",
	} {
		if got := strings.Join(misfits(text), ", "); got != want {
			t.Errorf("%s\nfound %q, want %q", text, got, want)
		}
	}
}
