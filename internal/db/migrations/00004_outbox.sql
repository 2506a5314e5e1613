-- +goose Up
-- Notices: the SMS that we owe somebody. They are written in the commit that
-- owes them and sent afterwards by a relay.

create sequence notice_id;

create table notice (
    id          bigint      not null primary key default nextval('notice_id'),
    key         text        not null,            -- what owes it
    once        boolean     not null,            -- the key decides whether it is owed already
    to_msisdn   text        not null,
    lang        text        not null,
    body        text        not null,
    priority    smallint    not null,            -- 0 code, 1 receipt, 2 the rest
    created_at  timestamptz not null,
    expires_at  timestamptz,                     -- null: never
    status      text        not null default 'queued',
    attempts    integer     not null default 0,  -- raised by each lease, so it also names the lease
    doubts      integer     not null default 0,  -- attempts whose outcome nobody knows
    next_try_at timestamptz not null,            -- queued: not to be sent before; sending: when the lease ends
    leased_by   text,
    gateway     text,
    provider_id text,
    error       text,
    sent_at     timestamptz,
    constraint notice_status_is_known check (status in ('queued', 'sending', 'sent', 'failed', 'expired')),
    constraint notice_priority_is_known check (priority between 0 and 2)
) with (fillfactor = 80);

-- Most notices are owed by an entry, which is in the book once: they need no
-- second guard.
create unique index notice_is_owed_once on notice (key) where once;

-- Both hold what is still to be sent and nothing else, so they stay small
-- however long the table grows: what is due, and who waits behind whom.
create index notice_due on notice (priority, next_try_at, id) where status in ('queued', 'sending');
create index notice_in_turn on notice (to_msisdn, id) where status in ('queued', 'sending');

grant select, insert, update on notice to tuma_app;
grant usage on sequence notice_id to tuma_app;
