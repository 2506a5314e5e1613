-- +goose Up
-- The second factor of staff, and what finds lines of the log.

-- The secret of a member of staff's one-time codes. It is sealed with a PIN key:
-- with the database alone nobody makes codes.
create table staff_factor (
    staff        text        primary key references staff,
    secret       text        not null,            -- the key's name, and what it sealed
    created_at   timestamptz not null,
    confirmed_at timestamptz,                     -- when its first code was given; null: it is still shown
    last_step    bigint      not null default 0,  -- the step of the last code that was taken: none counts twice
    tries        smallint    not null default 0,  -- raised before a code is compared, cleared by the right one
    constraint tries_are_counted check (tries between 0 and 10)
);

-- A session of staff knows which second factor opened it; without one it waits
-- for the code.
alter table portal_session add column factor_at timestamptz;

create index log_by_subject on log (subject, id);
create index log_by_actor on log (actor, id);
create index log_by_time on log (at);

create index customer_frozen on customer (id) where frozen;

grant select, insert, update, delete on staff_factor to tuma_app;
