-- +goose Up
-- Customers, their numbers, PINs; tariffs; airtime orders.

create sequence pin_id;
create table pin (
    id         bigint      primary key,
    key_id     text,                           -- null: no PIN has been chosen, or it was reset
    salt       bytea,
    mac        bytea,
    tries      smallint    not null default 0, -- raised before a PIN is compared, cleared by the right one
    id_tries   smallint    not null default 0, -- answers to "your ID number" within a day
    id_since   timestamptz not null default '-infinity',
    changed_at timestamptz,
    constraint pin_is_whole_or_unset check ((key_id is null) = (mac is null) and (mac is null) = (salt is null)),
    constraint tries_are_counted check (tries between 0 and 3)
) with (fillfactor = 70);

create sequence customer_id;
create table customer (
    id         bigint      primary key,
    ref        text        not null constraint registration_happens_once unique,
    name       text        not null,
    id_number  text        not null constraint id_number_has_one_customer unique,
    lang       text        not null,
    tier       smallint    not null,
    frozen     boolean     not null default false,
    wallet     bigint      not null constraint wallet_has_one_customer unique references account,
    pin        bigint      not null references pin,
    created_at timestamptz not null
);

-- A number reaches at most one customer, a customer has one number; both change.
create table sim (
    msisdn   text        not null constraint number_has_one_customer primary key,
    customer bigint      not null constraint customer_has_one_number unique references customer,
    since    timestamptz not null
);
create table sim_before (
    msisdn   text        not null,
    customer bigint      not null references customer,
    since    timestamptz not null,
    until    timestamptz not null,
    primary key (msisdn, until)
);

-- Published tariffs are facts of their day: never changed, only followed.
create table tariff (
    sort      text   not null,    -- fee or commission
    kind      text   not null,    -- send, withdraw, deposit, airtime
    effective date   not null,
    low       bigint not null,
    high      bigint not null,
    amount    bigint not null,
    primary key (sort, kind, effective, low),
    constraint band_is_not_empty check (0 < low and low <= high),
    constraint fee_is_not_negative check (amount >= 0)
);
create table tax (
    kind         text    not null,
    effective    date    not null,
    basis_points integer not null,
    primary key (kind, effective),
    constraint rate_is_a_portion check (basis_points between 0 and 10000)
);
create table tier (
    tier        smallint not null,
    effective   date     not null,
    name        text     not null,
    per_entry   bigint   not null,
    per_day     bigint   not null,
    max_balance bigint   not null,
    primary key (tier, effective)
);

-- Top-ups that the mobile network owes somebody.
create table airtime_order (
    entry       bigint      not null primary key,
    reference   text        not null,
    msisdn      text        not null,
    amount      bigint      not null,
    currency    text        not null,
    buyer       bigint      not null,
    created_at  timestamptz not null,
    status      text        not null default 'pending',
    tries       integer     not null default 0,
    next_try_at timestamptz not null,
    operator_id text        not null default '',
    error       text        not null default '',
    constraint status_is_known check (status in ('pending', 'done', 'refunded'))
);
create index airtime_order_due on airtime_order (next_try_at) where status = 'pending';

grant select, insert, update on pin, customer, sim, airtime_order to tuma_app;
grant delete on sim to tuma_app;
grant select, insert on sim_before, tariff, tax, tier to tuma_app;
grant usage on sequence pin_id, customer_id to tuma_app;
