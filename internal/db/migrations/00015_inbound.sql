-- +goose Up
-- SMS that people have sent us, and what they ask about receipts.

-- What a message said is not kept: it may hold a PIN. What it was understood as is.
create table inbound (
    gateway text        not null,
    id      text        not null,            -- the gateway's own
    msisdn  text        not null,            -- who sent it, as the gateway says
    short   text        not null,            -- the short code that it was sent to
    at      timestamptz not null,            -- when we took it
    word    text        not null,            -- balance, send, reserved, pin, unclear, ...
    constraint message_counts_once primary key (gateway, id)
);
create index inbound_of_sender on inbound (msisdn, at);

-- How many receipts that are not theirs customers have asked about in a day.
create table receipt_check (
    customer bigint   not null references customer,
    day      date     not null,
    n        smallint not null,
    constraint checks_are_counted_by_day primary key (customer, day),
    constraint checks_are_counted check (n >= 0)
);

grant select, insert on inbound to tuma_app;
grant select, insert, update on receipt_check to tuma_app;
