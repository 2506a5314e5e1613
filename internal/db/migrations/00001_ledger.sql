-- +goose Up
-- The book. Entries and postings are only ever added; the application's role
-- has no right to change or remove them.

-- +goose StatementBegin
do $$
begin
    create role tuma_app nologin;
exception
    when duplicate_object or unique_violation then null; -- roles belong to the cluster, not to this database
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

-- The house's accounts, one of a kind and currency.
create table house_account (
    kind     text   not null,
    currency text   not null,
    account  bigint not null references account,
    primary key (kind, currency)
);

create sequence entry_id increment 64;        -- a process takes 64 numbers at a time

create table entry (
    id       bigint      not null primary key,
    at       timestamptz not null,
    kind     text        not null,
    ref      text        not null constraint ref_is_posted_once unique,
    reverses bigint      constraint entry_is_reversed_once unique,
    memo     text        not null,
    chain    bigint      not null,
    block    bigint      not null,
    digest   bytea       not null
);

create table posting (
    entry        bigint   not null,
    n            smallint not null,
    why          text     not null,
    debit        bigint   not null,
    credit       bigint   not null,
    amount       bigint   not null,
    debit_after  bigint   not null,
    credit_after bigint   not null,
    primary key (entry, n),
    constraint amount_is_positive check (amount > 0),
    constraint posting_moves_between_two_accounts check (debit <> credit)
);
-- Statements of customers and tills; the house's own are reports over a day.
create index posting_by_debit  on posting (debit,  entry) where debit  >= 1000;
create index posting_by_credit on posting (credit, entry) where credit >= 1000;

-- A chain of sealed blocks belongs to one poster of one process; a block holds
-- the entries of one commit.
create sequence chain_id;
create table block (
    chain   bigint  not null,
    n       bigint  not null,
    entries integer not null,
    digest  bytea   not null,
    primary key (chain, n)
);

grant select, insert, update on account to tuma_app;
grant select, insert on house_account, entry, posting, block to tuma_app;
grant usage on sequence account_id, entry_id, chain_id to tuma_app;
