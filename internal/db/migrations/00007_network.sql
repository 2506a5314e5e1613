-- +goose Up
-- The agents' network: head offices, hours, freezes, returns of float, a till's
-- day, disputed deposits, warnings, and the log of who did what.

create sequence head_office_id;
create table head_office (
    id         bigint      primary key,
    name       text        not null constraint head_office_has_one_name unique,
    float      bigint      not null constraint float_has_one_head_office unique references account,
    commission bigint      not null constraint commission_has_one_head_office unique references account,
    share_bps  integer     not null constraint share_is_a_part check (share_bps between 0 and 10000), -- of its tills' commission
    created_at timestamptz not null
);

alter table agent
    add column head_office bigint references head_office,
    add column frozen      boolean not null default false;
alter table till
    add column frozen    boolean not null default false,
    add column low_float bigint constraint low_float_is_positive check (low_float > 0); -- null: no warning

-- Minutes of the day in the country's zone; null: always. To may be before from: over midnight.
alter table operator
    alter column till drop not null,
    add column head_office bigint references head_office,
    add column hours_from  smallint,
    add column hours_to    smallint,
    drop constraint role_is_known,
    add constraint role_is_known check (role in ('owner', 'assistant', 'auditor', 'head')),
    add constraint operator_has_one_place check ((role = 'head') = (till is null) and (role = 'head') = (head_office is not null)),
    add constraint hours_are_of_a_day check (
        (hours_from is null) = (hours_to is null) and (hours_from is null or (hours_from between 0 and 1439 and hours_to between 0 and 1439 and hours_from <> hours_to)));
create index operator_by_till on operator (till);

-- What an operator asks for is taken up by a maker; a return goes the other way.
-- A head office has float as well.
alter table float_request
    alter column till drop not null,
    add column head_office bigint references head_office,
    add constraint float_has_one_place check ((till is null) <> (head_office is null)),
    add column kind     text not null default 'issue',
    add column state    text not null default 'made',
    add column ref      text constraint float_is_asked_for_once unique,
    add column asked_by text,
    add column asked_at timestamptz,
    add column reason   text not null default '',
    alter column maker drop not null,
    alter column made_at drop not null,
    alter column bank_ref drop not null,
    add constraint kind_is_known check (kind in ('issue', 'return')),
    add constraint state_is_known check (state in ('asked', 'made', 'approved', 'declined')),
    add constraint what_is_made_has_a_maker check (state in ('asked', 'declined') or (maker is not null and bank_ref is not null));
update float_request set state = 'approved' where checker is not null;
create index float_request_by_till on float_request (till, id);

create table till_day (
    till          text        not null references till,
    day           date        not null,
    opened_at     timestamptz not null,
    opened_by     text        not null,
    opening_cash  bigint      not null constraint opening_cash_is_not_negative check (opening_cash >= 0),
    closed_at     timestamptz,
    closed_by     text,
    expected_cash bigint,
    counted_cash  bigint      constraint counted_cash_is_not_negative check (counted_cash >= 0),
    over_short    bigint,
    constraint day_is_opened_once primary key (till, day),
    constraint day_is_closed_whole check (num_nulls(closed_at, closed_by, expected_cash, counted_cash, over_short) in (0, 5))
);
create unique index till_has_one_open_day on till_day (till) where closed_at is null;

create sequence reversal_request_id;
create table reversal_request (
    id          bigint      primary key,
    entry       bigint      not null constraint deposit_is_disputed_once unique,
    receipt     text        not null,            -- of the deposit
    till        text        not null references till,
    customer    bigint      not null references customer,
    amount      bigint      not null,            -- of the deposit
    held        bigint      not null default 0,  -- what was still there of it
    reason      text        not null,
    asked_by    text        not null,
    asked_at    timestamptz not null,
    objected_at timestamptz,
    checker     text        references staff,
    decided_at  timestamptz,
    decision    text        not null default '', -- the checker's reason
    state       text        not null default 'asked',
    settled     text,                            -- the receipt of what was decided
    constraint amount_is_positive check (amount > 0 and held between 0 and amount),
    constraint state_is_known check (state in ('asked', 'empty', 'held', 'approved', 'declined'))
);
create index reversal_request_by_till on reversal_request (till, id);

-- Warnings for people to look at; they stop nothing.
create sequence flag_id;
create table flag (
    id       bigint      primary key,
    till     text        not null references till,
    kind     text        not null,
    at       timestamptz not null,
    customer bigint      not null references customer,
    entry    bigint      not null,               -- the one that raised it
    receipt  text        not null,
    entries  bigint[]    not null,               -- all that it is about, oldest first
    constraint entry_raises_a_flag_once unique (kind, entry)
);
create index flag_by_till on flag (till, id);

-- Who did what. Only ever added to; each row's digest covers the one before, and
-- the head, locked by whoever writes, makes them one row after the other.
create table log (
    id         bigint      primary key,
    at         timestamptz not null,
    actor      text        not null,             -- operator:+2547.., staff:jane, system
    from_where text        not null,             -- an address, a channel
    scope      text        not null,             -- agent:7 or office:2, who may read it; '': the service alone
    action     text        not null,
    subject    text        not null,             -- till:100101, customer:12
    before     text        not null,
    after      text        not null,
    reason     text        not null,
    digest     bytea       not null
);
create index log_by_scope on log (scope, id);
create table log_head (
    one    boolean primary key default true constraint log_has_one_head check (one),
    id     bigint  not null,
    digest bytea   not null
);
insert into log_head (id, digest) values (0, sha256('tuma log'));

grant select, insert, update on head_office, till_day, reversal_request to tuma_app;
grant select, insert on flag, log to tuma_app;
grant select, update on log_head to tuma_app;
grant usage on sequence head_office_id, reversal_request_id, flag_id to tuma_app;
