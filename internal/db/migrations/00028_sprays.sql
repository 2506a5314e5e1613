-- +goose Up
-- +tuma expand from 00027
-- Brakes that measure behaviour by its own past instead of by a fixed number.

-- When somebody last gave a wrong PIN: a wrong one long after another is not the
-- same person's slip of the finger.
alter table pin add column wrong_at timestamptz;

-- What became of all PINs given in a minute, in several rows so that tries do not
-- wait for each other. 64 minutes take turns with the rows, which are never more
-- than these. It takes the place of wrong_pin, which programs of before still
-- write; nothing reads it any more.
create table pin_minute (
    slot      smallint not null,              -- the minute, modulo 64
    shard     smallint not null,
    minute    bigint   not null,              -- since 1970
    given     integer  not null,              -- right ones are written down with the next wrong one of their process
    wrong     integer  not null,
    begun     integer  not null,              -- wallets whose first wrong one it was for a while
    made_good integer  not null,              -- wallets that were given the right one after wrong ones
    constraint pins_are_counted primary key (slot, shard)
) with (fillfactor = 50);

-- Until when PINs are not tried, by the rule that says so.
create table pin_pause (
    rule  text        primary key,
    until timestamptz not null
);

-- What is usual for a till: a mean over the times of the rule in which it did
-- something, in hundredths, and how many these were.
alter table till_pace
    add column usual integer not null default 0,
    add column times integer not null default 0;

-- What a member of staff makes of an event, once.
create table brake_review (
    event bigint      primary key references brake_event,
    at    timestamptz not null,
    by    text        not null references staff,
    word  text        not null,
    note  text        not null,
    constraint word_is_known check (word in ('fine', 'fraud', 'released'))
);

grant select, insert, update on pin_minute, pin_pause to tuma_app;
grant select, insert on brake_review to tuma_app;
