-- +goose NO TRANSACTION
-- +goose Up
-- +tuma expand from 00028
-- What brakes have noticed lately, for those who have to look at it.
set lock_timeout = '10min';
drop index concurrently if exists brake_event_by_time;
create index concurrently brake_event_by_time on brake_event (at);
reset lock_timeout;
