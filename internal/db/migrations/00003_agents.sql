-- +goose Up
-- The agents' network, float, and the service's own staff.

create sequence agent_id;
create table agent (
    id         bigint      primary key,
    name       text        not null constraint agent_has_one_name unique,
    created_at timestamptz not null
);

create sequence till_number start 100101; -- numbers below are given by hand
create table till (
    number     text        primary key,
    agent      bigint      not null references agent,
    name       text        not null,
    float      bigint      not null constraint float_has_one_till unique references account,
    commission bigint      not null constraint commission_has_one_till unique references account,
    closed     boolean     not null default false,
    created_at timestamptz not null
);

create sequence operator_id;
create table operator (
    id         bigint      primary key,
    msisdn     text        not null constraint number_has_one_operator unique,
    till       text        not null references till,
    name       text        not null,
    id_number  text        not null,
    role       text        not null,
    lang       text        not null,
    frozen     boolean     not null default false,
    pin        bigint      not null references pin,
    created_at timestamptz not null,
    constraint role_is_known check (role in ('owner', 'assistant', 'auditor'))
);

create table staff (
    name       text        primary key,
    password   text        not null,          -- argon2id, in the usual $ form
    role       text        not null,
    active     boolean     not null default true,
    created_at timestamptz not null,
    constraint role_is_known check (role in ('maker', 'checker', 'care'))
);

create sequence float_request_id;
create table float_request (
    id         bigint      primary key,
    till       text        not null references till,
    amount     bigint      not null,
    bank_ref   text        not null constraint bank_reference_is_used_once unique,
    maker      text        not null references staff,
    made_at    timestamptz not null,
    checker    text        references staff,
    decided_at timestamptz,
    receipt    text,
    constraint amount_is_positive check (amount > 0),
    constraint maker_is_not_checker check (maker <> checker)
);

grant select, insert, update on agent, till, operator, staff, float_request to tuma_app;
grant usage on sequence agent_id, till_number, operator_id, float_request_id to tuma_app;
