-- +goose Up
-- The bank's statements of the trust account, and what explains where they and
-- the book differ.

create sequence bank_file_id;
create table bank_file (
    id      bigint      primary key,
    digest  text        not null constraint file_is_kept_once unique,
    name    text        not null,
    staff   text        not null references staff,
    at      timestamptz not null,
    until   date        not null,             -- of its newest line
    closing bigint                            -- the balance after that; null: the file does not say
);
create index bank_file_newest on bank_file (until, id) where closing is not null;

create table bank_line (
    key       text   primary key,             -- the bank's own number of it, or what it says
    file      bigint not null references bank_file,
    line      int    not null,                -- of the file
    day       date   not null,
    reference text   not null,
    text      text   not null,
    amount    bigint not null,                -- into the trust account; negative: out of it
    balance   bigint,
    request   bigint references float_request, -- the float that it is the money of, once that is certain
    constraint line_moves_money check (amount <> 0)
);
create index bank_line_open on bank_line (day) where request is null;
create index bank_line_of_request on bank_line (request) where request is not null;

-- A difference between bank and book that somebody has explained, as it was then,
-- and that another person has closed.
create table bank_note (
    key       text        primary key,
    bank      bigint      not null,
    book      bigint      not null,
    note      text        not null,
    maker     text        not null references staff,
    noted_at  timestamptz not null,
    checker   text        references staff,
    closed_at timestamptz,
    constraint who_explains_does_not_close check (maker <> checker),
    constraint closed_is_whole check ((checker is null) = (closed_at is null))
);

grant select, insert on bank_file to tuma_app;
grant select, insert, update on bank_line, bank_note to tuma_app;
grant usage on sequence bank_file_id to tuma_app;
