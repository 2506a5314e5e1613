-- +goose Up
-- SMS that people have sent us. What a message said is not kept: it may hold a
-- PIN. What it was understood as is.

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

grant select, insert on inbound to tuma_app;
