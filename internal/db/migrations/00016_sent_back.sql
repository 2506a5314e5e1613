-- +goose Up
-- A disputed entry is a till's deposit, or what a customer has sent to another and
-- asks for back.
alter table reversal_request
    alter column till drop not null,
    add column payer bigint references customer,    -- who has sent it
    add column approval bigint references approval, -- that the hold settles, when the payer asked by SMS
    add constraint dispute_has_one_asker check ((till is null) <> (payer is null));
create index reversal_request_by_payer on reversal_request (payer, asked_at) where payer is not null;
