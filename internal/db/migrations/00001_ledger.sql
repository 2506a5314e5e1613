-- +goose Up
-- The book. Entries and postings are only ever added; the application's role
-- has no right to change or remove them.

-- +goose StatementBegin
do $$
begin
    -- Roles belong to the cluster, not to this database: it may be there, and
    -- then this user need not be one that may make roles.
    if not exists (select from pg_roles where rolname = 'tuma_app') then
        create role tuma_app nologin;
    end if;
exception
    when duplicate_object or unique_violation then null; -- another database's migration was faster
end
$$;
-- +goose StatementEnd
grant usage on schema public to tuma_app;

create table migration_sum (
    name   text primary key,
    sha256 text not null
);
grant select on migration_sum, goose_db_version to tuma_app;

-- Balances are credits less debits: a wallet is positive, the trust account
-- (the bank's money, an asset) negative, and all of a currency sum to zero.
create table account (
    id        bigint   primary key,
    kind      text     not null,
    currency  text     not null,
    balance   bigint   not null default 0,
    floor     bigint,                       -- null: may go below any bound
    ceiling   bigint,                       -- null: no upper bound
    status    smallint not null default 0,  -- 0 open, 1 debits blocked, 2 frozen
    day_limit bigint,                       -- null: no limit on a day's principal out
    day       date     not null default '0001-01-01',
    day_spent bigint   not null default 0,
    constraint balance_is_not_under_its_floor check (balance >= floor),
    constraint status_is_known check (status between 0 and 2),
    constraint day_spent_is_not_negative check (day_spent >= 0)
) with (fillfactor = 60);
create sequence account_id start 1000;      -- below 1000: the house's own

-- The house's accounts. Everybody's entries touch them, so each is split into
-- stripes, ids first to first + 15, and each poster writes to its own.
create table house_account (
    kind     text   not null,
    currency text   not null,
    first    bigint not null,
    constraint house_has_one_of_a_kind primary key (kind, currency)
);

-- An entry's id is its month (since January 2006, in the country's zone) times
-- 2^36 plus a number from this sequence, so that a month is a range of ids. The
-- number is drawn while the accounts are locked: of two entries that touch one
-- account the later has the higher id, whichever process posted them.
create sequence entry_number maxvalue 34359738367 cycle;

create table entry (
    id      bigint      not null primary key,
    at      timestamptz not null,
    chain   bigint      not null,
    block   bigint      not null,
    kind    text        not null,
    memo    text        not null,
    -- The postings: each moves one amount from one account to another.
    whys    text[]      not null,
    debits  bigint[]    not null,
    credits bigint[]    not null,
    amounts bigint[]    not null,
    digest  bytea       not null,
    constraint amount_is_positive check (0 < all (amounts)),
    constraint posting_is_whole check (
        cardinality(amounts) > 0 and cardinality(debits) = cardinality(amounts) and cardinality(credits) = cardinality(amounts) and cardinality(whys) = cardinality(amounts))
) partition by range (id);

create view posting as
select e.id as entry, p.n - 1 as n, p.why, p.debit, p.credit, p.amount
from entry e cross join lateral unnest(e.whys, e.debits, e.credits, e.amounts) with ordinality as p (why, debit, credit, amount, n);

-- What a customer's or till's account held after each entry that touched it:
-- its statement. The house's own are reports over a day and have none.
create table statement (
    account bigint not null,
    entry   bigint not null,
    after   bigint not null,
    primary key (account, entry)
) partition by range (entry);

-- What makes a Ref count once, whichever month it comes back in.
create table entry_ref (
    ref   text   not null constraint ref_is_posted_once primary key,
    entry bigint not null
);

create table reversal (
    reverses bigint not null constraint entry_is_reversed_once primary key,
    entry    bigint not null unique
);

-- A chain of sealed blocks belongs to one poster of one process; a block holds
-- the entries of one commit.
create sequence chain_id;
create table block (
    chain   bigint  not null,
    n       bigint  not null,
    first   bigint  not null,   -- the lowest id of its entries
    entries integer not null,
    digest  bytea   not null,
    primary key (chain, n)
);

-- Makes a month's partitions. The service calls it ahead of time; its role may
-- not create tables itself.
-- +goose StatementBegin
create function open_month(month bigint) returns void language plpgsql security definer set search_path = public, pg_temp as $$
declare
    suffix text := to_char(make_date(2006 + (month / 12)::int, (month % 12)::int + 1, 1), 'YYYYMM');
begin
    perform pg_advisory_xact_lock(3340002);
    if to_regclass('entry_' || suffix) is not null then
        return;
    end if;
    execute format('create table entry_%s partition of entry for values from (%s) to (%s)', suffix, month << 36, (month + 1) << 36);
    execute format('create table statement_%s partition of statement for values from (%s) to (%s)', suffix, month << 36, (month + 1) << 36);
end
$$;
-- +goose StatementEnd
revoke all on function open_month(bigint) from public;
grant execute on function open_month(bigint) to tuma_app;

grant select, insert, update on account to tuma_app;
grant select, insert on house_account, entry, statement, entry_ref, reversal, block to tuma_app;
grant select on posting to tuma_app;
grant usage on sequence account_id, entry_number, chain_id to tuma_app;
