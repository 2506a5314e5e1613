-- +goose Up
-- Approvals: what somebody else asks for and a customer confirms with the PIN.
-- One row decides between approving, declining, cancelling and expiring; the
-- entry of an approved one sets it in its own commit.

create sequence approval_id;
create table approval (
    id         bigint      primary key,
    ref        text        not null constraint ref_has_one_approval unique, -- of the entry that it will post
    kind       text        not null,                   -- of that entry
    customer   bigint      not null references customer,
    asker      text        not null,                   -- a till's number, ...
    asker_name text        not null,
    asked_by   text        not null,                   -- the number of the person who asked
    amount     bigint      not null,
    fee        bigint      not null,                   -- what the customer was shown
    total      bigint      not null,
    params     jsonb       not null default '{}',      -- what else the kind needs
    asked_at   timestamptz not null,
    expires_at timestamptz not null,
    state      text        not null default 'pending',
    decided_at timestamptz,
    receipt    text,
    pushed     boolean     not null,                   -- to the customer's phone; otherwise it waits in the menu
    constraint approval_state_is_known check (state in ('pending', 'approved', 'declined', 'cancelled', 'expired')),
    constraint approval_is_decided_or_pending check ((state = 'pending') = (decided_at is null)),
    constraint approved_has_a_receipt check ((state = 'approved') = (receipt is not null)),
    constraint approved_in_time check (state <> 'approved' or decided_at < expires_at),
    constraint total_is_amount_and_fee check (amount > 0 and fee >= 0 and total = amount + fee),
    constraint approval_expires_later check (expires_at > asked_at)
);
create index approval_waits on approval (customer, id) where state = 'pending';
create index approval_of_asker on approval (asker, id);

grant select, insert, update on approval to tuma_app;
grant usage on sequence approval_id to tuma_app;
