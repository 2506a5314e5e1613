package db_test

import (
	"errors"
	"testing"

	"tuma/internal/db"
)

func TestErrorsAreToldApart(t *testing.T) {
	t.Parallel()
	p := newBench(t).open(t)
	run := func(query string, args ...any) error {
		return p.InTx(t.Context(), func(tx *db.Tx) error {
			_, err := tx.Exec(t.Context(), query, args...)
			return err
		})
	}
	if err := run("insert into odd (name) values ('taken')"); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name        string
		err         error
		violates    string // the one of the constraints below
		ofData      bool
		noPartition bool
		retryable   bool
	}{
		{name: "unique", err: run("insert into odd (name) values ($1)", "taken"), violates: "name_is_taken", ofData: true},
		{name: "foreign key", err: run("insert into odd (name, item) values ('a', 999)"), violates: "item_is_known", ofData: true},
		{name: "check", err: run("insert into odd (name, small) values ('a', 10)"), violates: "small_is_small", ofData: true},
		{name: "not null", err: run("insert into odd (name) values (null)"), ofData: true},
		{name: "out of range", err: run("insert into odd (name, small) values ('a', 99999)"), ofData: true},
		{name: "not a number", err: run("insert into odd (name, small) values ('a', 'x'::text::smallint)"), ofData: true},
		{name: "no partition", err: run("insert into part values (1)"), ofData: true, noPartition: true},
		{name: "no table", err: run("insert into nowhere values (1)")},
		{name: "deadlock", err: run("do $$ begin raise exception sqlstate '40P01'; end $$"), retryable: true},
		{name: "serialisation", err: run("do $$ begin raise exception sqlstate '40001'; end $$"), retryable: true},
		{name: "unknown", err: run("do $$ begin raise exception sqlstate '40003'; end $$")},
		{name: "lock not available", err: run("do $$ begin raise exception sqlstate '55P03'; end $$")},
		{name: "cancelled", err: run("do $$ begin raise exception sqlstate '57014'; end $$")},
		{name: "somebody else's", err: errors.New("duplicate key value violates name_is_taken")},
		{name: "none"},
	} {
		if test.err == nil && test.name != "none" {
			t.Errorf("%s: no error", test.name)
		}
		for _, constraint := range []string{"name_is_taken", "item_is_known", "small_is_small", "name_is_taken_102008_more", "is_taken", "Name_is_taken"} {
			if got := db.Violates(test.err, constraint); got != (constraint == test.violates) {
				t.Errorf("%s violates %s: %v (%v)", test.name, constraint, got, test.err)
			}
		}
		if db.OfData(test.err) != test.ofData || db.NoPartition(test.err) != test.noPartition || db.Retryable(test.err) != test.retryable {
			t.Errorf("%s: of data %v, no partition %v, retryable %v (%v)", test.name, db.OfData(test.err), db.NoPartition(test.err), db.Retryable(test.err), test.err)
		}
	}
}
