-- +goose Up
-- What gateways say after a notice was handed over: who wants nothing more from
-- that number, and what became of each message.

-- A carrier refuses to send to whoever has told it STOP, until they tell it
-- START. It knows that for itself, so each gateway has its own.
create table opted_out (
    msisdn  text        not null,
    gateway text        not null,
    at      timestamptz not null,
    primary key (msisdn, gateway)
);

-- One row for each message that a gateway has reported on, under the id that it
-- gave it. It stands for itself: a report may come before the relay has noted that it
-- sent anything, and an id that no notice has is kept for the same reason. A
-- state only goes up, so the order in which reports come does not matter.
create table delivery (
    gateway     text        not null,
    provider_id text        not null,
    state       smallint    not null,  -- 1 on its way, 2 failed, 3 delivered
    code        text,                  -- why it failed, in the gateway's words
    at          timestamptz not null,  -- when that state was first reported
    constraint delivery_is_reported_once primary key (gateway, provider_id),
    constraint delivery_state_is_known check (state between 1 and 3)
);

-- What was given up, for whoever looks for it: a few rows of millions.
create index notice_given_up on notice (id) where status = 'failed';

grant select, insert, delete on opted_out to tuma_app;
grant select, insert, update on delivery to tuma_app;
