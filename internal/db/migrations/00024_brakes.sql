-- +goose Up
-- Brakes against fraud and abuse: what they need to know, and what they have done.

-- When the owner's SIM was changed, when customer care took the PIN away, and
-- when it was last right. The first two hold large payments back for a while; a
-- PIN that has not been right for long is the first not to be tried while
-- somebody tries PINs on many numbers.
alter table pin
    add column moved_at timestamptz,
    add column reset_at timestamptz,
    add column right_at timestamptz;

-- Wrong PINs of all customers in a minute, in several rows so that tries do not
-- wait for each other. Four minutes take turns with the rows, which are never
-- more than these.
create table wrong_pin (
    slot   smallint not null,            -- the minute, modulo 4
    quiet  boolean  not null,            -- of PINs that have not been right for long
    shard  smallint not null,
    minute bigint   not null,            -- since 1970
    n      integer  not null,
    constraint wrong_pins_are_counted primary key (slot, quiet, shard)
) with (fillfactor = 50);

-- How often a till has paid out, and taken in, within the hour.
create table till_pace (
    till text    not null references till,
    rule text    not null,
    slot bigint  not null,               -- which hour since 1970
    n    integer not null,
    constraint pace_is_counted_by_rule primary key (till, rule)
) with (fillfactor = 50);

-- What a brake has refused, or what somebody should look at.
create sequence brake_event_id;
create table brake_event (
    id      bigint      primary key,
    key     text        not null constraint event_is_noted_once unique,
    at      timestamptz not null,
    rule    text        not null,
    outcome text        not null,
    subject text        not null,        -- customer:12, phone:+2547.., till:100101
    ref     text        not null,        -- of the entry that was asked for, '' for none
    detail  text        not null,
    constraint outcome_is_known check (outcome in ('refuse', 'alert'))
);
create index brake_event_by_rule on brake_event (rule, at);

-- The newest entries of an account, back to an instant and no more than so many:
-- entries_of with a bound, for what is asked before every payment. left_over is
-- what the debited account had afterwards; null for the house's.
-- +goose StatementBegin
create function recent_of(whose bigint, since timestamptz, most integer) returns table (at timestamptz, kind text, debit bigint, credit bigint, amount bigint, left_over bigint)
language sql stable rows 10 set search_path = public, pg_temp as $$
    with recursive walk as (
        select e.at, e.kind, e.debits[1] as debit, e.credits[1] as credit, e.amounts[1] as amount,
               e.afters[array_position(e.accounts, e.debits[1])] as left_over, e.befores[array_position(e.accounts, whose)] as before, 1 as n
        from account a join entry e on e.id = a.last_entry where a.id = whose
        union all
        select e.at, e.kind, e.debits[1], e.credits[1], e.amounts[1],
               e.afters[array_position(e.accounts, e.debits[1])], e.befores[array_position(e.accounts, whose)], w.n + 1
        from walk w join entry e on e.id = w.before where w.at >= since and w.n < most
    )
    select at, kind, debit, credit, amount, left_over from walk where at >= since
$$;
-- +goose StatementEnd

grant select, insert, update on wrong_pin, till_pace to tuma_app;
grant select, insert on brake_event to tuma_app;
grant usage on sequence brake_event_id to tuma_app;
