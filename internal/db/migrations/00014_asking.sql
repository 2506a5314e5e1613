-- +goose Up
-- What a till may learn by asking, and what a customer says of a disputed deposit.

-- That a till has asked, written before it hears whether the customer can pay.
-- Rows of days gone by are removed.
create table ask_try (
    ref      text        primary key,  -- of the approval, if it came to one
    till     text        not null references till,
    customer bigint      not null references customer,
    at       timestamptz not null
);
create index ask_try_by_till on ask_try (till, at);
grant select, insert, delete on ask_try to tuma_app;

-- The customer's word about a disputed deposit: objected_at, or that it was not his.
alter table reversal_request
    add column agreed_at timestamptz,
    add constraint customer_says_one_thing check (objected_at is null or agreed_at is null);
create index reversal_waits on reversal_request (customer, id) where state = 'held' and objected_at is null and agreed_at is null;
