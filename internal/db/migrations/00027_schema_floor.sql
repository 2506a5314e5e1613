-- +goose Up
-- Which programs a schema takes. Each migration from here on says in its file how
-- old a program may be that runs beside it, and that is noted here in the
-- migration's own transaction: a program that does not have the file reads it here.

create table schema_floor (
    version    bigint primary key, -- the migration
    works_with bigint not null,    -- the newest migration that such a program knows, at least
    constraint no_program_is_from_the_future check (works_with <= version)
);
grant select on schema_floor to tuma_app;
