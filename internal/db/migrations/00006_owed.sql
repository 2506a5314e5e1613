-- +goose Up
-- What a commit of the book owes is one row, a lot, whatever number of notices
-- it has: three indexes for each notice were a quarter of a payment's work. The
-- relay unpacks lots into notice, outside the commits that move money.

-- A lot's id is that of its first notice, the others follow. So notices have
-- their ids, and with them their order, before they are unpacked, and none can
-- be unpacked twice. The step is the most that one lot can hold.
alter sequence notice_id increment by 4096;

create table owed (
    id         bigint      not null primary key default nextval('notice_id'),
    at         timestamptz not null,
    -- The notices, a place in each list for each.
    keys       text[]      not null,
    tos        text[]      not null,
    langs      text[]      not null,
    bodies     text[]      not null,
    priorities smallint[]  not null,
    expires    timestamptz[],             -- infinity: never; no list: none of them ever
    constraint lot_is_whole check (
        cardinality(keys) between 1 and 4096 and cardinality(tos) = cardinality(keys) and cardinality(langs) = cardinality(keys)
        and cardinality(bodies) = cardinality(keys) and cardinality(priorities) = cardinality(keys) and cardinality(expires) = cardinality(keys)),
    constraint lot_priority_is_known check (0 <= all (priorities) and 2 >= all (priorities))
) with (autovacuum_vacuum_insert_threshold = -1, toast.autovacuum_vacuum_insert_threshold = -1); -- what a relay deletes still counts

alter table owed alter keys set statistics 0, alter tos set statistics 0, alter langs set statistics 0, alter bodies set statistics 0,
    alter priorities set statistics 0, alter expires set statistics 0; -- to look at them all takes them out of their compression

-- The lists are compressed in the commit, and lz4 takes a fraction of the time.
-- +goose StatementBegin
do $$
begin
    execute 'alter table owed alter keys set compression lz4, alter tos set compression lz4, alter langs set compression lz4, alter bodies set compression lz4';
exception
    when feature_not_supported or syntax_error then null; -- a server that was built without it
end
$$;
-- +goose StatementEnd

-- For audits and for people: a notice is in one of the two.
create view every_notice as
select id, key, to_msisdn, lang, body, priority, created_at, expires_at, status, attempts, doubts, next_try_at, gateway, provider_id, error, sent_at
from notice
union all
select o.id + n.place - 1, n.key, n.to_msisdn, n.lang, n.body, n.priority, o.at, nullif(n.expires, 'infinity'), 'owed', 0, 0, o.at, null, null, null, null
from owed o cross join lateral unnest(o.keys, o.tos, o.langs, o.bodies, o.priorities, o.expires) with ordinality as n (key, to_msisdn, lang, body, priority, expires, place);

grant select, insert, delete on owed to tuma_app;
grant select on every_notice to tuma_app;
