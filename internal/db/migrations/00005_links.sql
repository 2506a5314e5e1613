-- +goose Up
-- An account's entries become a list: the account knows its last one, and each
-- entry knows, for each account of a customer or till that it touches, the
-- balance after it and the entry before it. That takes the place of the rows of
-- statement, which cost every payment two or three rows and index entries at
-- places all over the disk.

alter table account
    add column last_entry   bigint not null default 0,  -- 0: none; the house's have no list
    add column entry_before bigint not null default 0;  -- what last_entry was before it was set

drop view posting;
alter table entry drop constraint posting_is_whole;
alter table entry alter column whys type text using array_to_string(whys, ',');
alter table entry
    add column accounts bigint[] not null default '{}',  -- in ascending order
    add column afters   bigint[] not null default '{}',
    add column befores  bigint[] not null default '{}',  -- 0: none
    add constraint posting_is_whole check (
        cardinality(amounts) > 0 and cardinality(debits) = cardinality(amounts) and cardinality(credits) = cardinality(amounts)),
    add constraint list_is_whole check (cardinality(afters) = cardinality(accounts) and cardinality(befores) = cardinality(accounts));

update entry e set accounts = s.accounts, afters = s.afters, befores = s.befores
from (
    select entry, array_agg(account order by account) as accounts, array_agg(after order by account) as afters, array_agg(before order by account) as befores
    from (select account, entry, after, coalesce(lag(entry) over (partition by account order by entry), 0) as before from statement) s
    group by entry
) s where s.entry = e.id;
update account a set last_entry = s.entry from (select account, max(entry) as entry from statement group by account) s where s.account = a.id;
drop table statement;

create view posting as
select e.id as entry, p.n - 1 as n, p.why, p.debit, p.credit, p.amount
from entry e cross join lateral unnest(string_to_array(e.whys, ','), e.debits, e.credits, e.amounts) with ordinality as p (why, debit, credit, amount, n);

-- Only for looking at given entries: for those of an account, entries_of walks its list.
create view statement as
select s.account, e.id as entry, s.after, s.before
from entry e cross join lateral unnest(e.accounts, e.afters, e.befores) as s (account, after, before);

-- The entries of an account from its last one back to an instant. Two entries
-- may stand in the list a moment before one that began earlier, so it looks a
-- little further.
-- +goose StatementBegin
create function entries_of(whose bigint, since timestamptz) returns table (id bigint, at timestamptz, kind text, whys text, debits bigint[], credits bigint[], amounts bigint[])
language sql stable rows 100 set search_path = public, pg_temp as $$
    with recursive walk as (
        select e.*, e.befores[array_position(e.accounts, whose)] as before
        from account a join entry e on e.id = a.last_entry where a.id = whose
        union all
        select e.*, e.befores[array_position(e.accounts, whose)]
        from walk w join entry e on e.id = w.before where w.at >= since - interval '1 minute'
    )
    select id, at, kind, whys, debits, credits, amounts from walk where at >= since
$$;
-- +goose StatementEnd

-- A poster draws a thousand numbers at a time, for batch after batch: the ids of
-- a block follow each other, and are known before the accounts are locked. Which
-- of two entries of an account came first is told by its list.
alter sequence entry_number increment by 1024 maxvalue 34359737344;

-- Nobody searches by what is in an entry's lists, and to gather statistics of
-- lists is work.
-- +goose StatementBegin
create function unwatch(part regclass) returns void language plpgsql set search_path = public, pg_temp as $$
declare
    list text;
begin
    foreach list in array array['memo', 'whys', 'debits', 'credits', 'amounts', 'accounts', 'afters', 'befores', 'digest'] loop
        execute format('alter table %s alter %I set statistics 0', part, list);
    end loop;
end
$$;
-- +goose StatementEnd
revoke all on function unwatch(regclass) from public;

-- +goose StatementBegin
create or replace function open_month(month bigint) returns void language plpgsql security definer set search_path = public, pg_temp as $$
declare
    suffix text := to_char(make_date(2006 + (month / 12)::int, (month % 12)::int + 1, 1), 'YYYYMM');
begin
    perform pg_advisory_xact_lock(3340002);
    if to_regclass('entry_' || suffix) is not null then
        return;
    end if;
    execute format('create table entry_%s partition of entry for values from (%s) to (%s) with (autovacuum_vacuum_insert_threshold = -1)', suffix, month << 36, (month + 1) << 36);
    perform unwatch(('entry_' || suffix)::regclass);
end
$$;
-- +goose StatementEnd

-- What is only ever added to needs no vacuum until its rows are frozen, months
-- later; the usual one, each time a table has grown by a fifth, took half a
-- processor from the payments of a busy hour.
alter table entry_ref set (autovacuum_vacuum_insert_threshold = -1);
alter table block set (autovacuum_vacuum_insert_threshold = -1);
-- +goose StatementBegin
do $$
declare
    part regclass;
begin
    for part in select inhrelid::regclass from pg_inherits where inhparent = 'entry'::regclass loop
        execute format('alter table %s set (autovacuum_vacuum_insert_threshold = -1)', part);
        perform unwatch(part);
    end loop;
end
$$;
-- +goose StatementEnd

grant select on posting, statement to tuma_app;
