-- +goose Up
-- The agents' portal: who is signed in, and the documents that it takes.

-- A browser that is signed in. Of its token only the SHA-256 is here.
create table portal_session (
    token      text        primary key,
    operator   bigint      references operator,
    msisdn     text        not null default '', -- of the operator
    staff      text        references staff,
    pin_at     timestamptz,                     -- when the operator's PIN was chosen: another PIN ends the session
    created_at timestamptz not null,
    last_seen  timestamptz not null,
    constraint session_is_of_one check (num_nonnulls(operator, staff) = 1)
);
create index portal_session_seen on portal_session (last_seen);

-- A browser in which an operator has once given a code.
create table portal_device (
    token      text        not null,
    operator   bigint      not null references operator,
    created_at timestamptz not null,
    primary key (token, operator)
);

-- A code that a browser is asked for. Without an operator there is none that
-- would be right: nobody has the number, and nobody is to notice.
create table portal_code (
    visit      text        primary key,
    msisdn     text        not null,
    operator   bigint      references operator,
    mac        text        not null,
    tries      smallint    not null default 0,  -- raised before a code is compared
    expires_at timestamptz not null,
    constraint tries_are_counted check (tries between 0 and 3)
);
create index portal_code_expires on portal_code (expires_at);

-- The identity document of a customer who was registered in the portal. The
-- picture is a file of that name.
create table id_photo (
    ref        text        primary key,         -- of the registration
    file       text        not null constraint file_has_one_row unique,
    customer   bigint      not null references customer,
    msisdn     text        not null,
    born       date        not null,
    till       text        not null references till,
    operator   bigint      not null references operator,
    created_at timestamptz not null
);

grant select, insert, update, delete on portal_session, portal_code to tuma_app;
grant select, insert, delete on portal_device to tuma_app;
grant select, insert on id_photo to tuma_app;
