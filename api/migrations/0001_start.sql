-- The same statements run on SQLite and PostgreSQL: only bigint and text, and every moment in
-- milliseconds since 1970.

-- One row: where the change feed stands. A number is given out in the transaction that makes the
-- change, so whoever reads the number can also read every change up to it.
create table feed (
    feed_id bigint not null,
    epoch   text   not null,
    number  bigint not null,
    -- The number of the newest removal that is forgotten: who stands before it starts anew.
    pruned  bigint not null,

    constraint feed_pk primary key (feed_id),
    constraint feed_is_one_row check (feed_id = 1),
    constraint feed_never_forgets_the_future check (pruned <= number)
);

-- What the registry told, as it told it, until a release comes of it.
create table event (
    event_id    text   not null,
    body        text   not null,
    state       text   not null,
    received_at bigint not null,
    due_at      bigint not null,
    -- How often it was tried, and how often that failed for a reason of its own.
    tries       bigint not null,
    failures    bigint not null,
    outcome     text,
    finished_at bigint,

    constraint event_pk primary key (event_id),
    constraint event_state_is_known check (state in ('queued', 'done', 'dead')),
    constraint event_is_queued_or_finished check ((state = 'queued') = (finished_at is null))
);

create index event_queue on event (due_at) where state = 'queued';
create index event_finished on event (finished_at) where state <> 'queued';

-- One row for each app. The name's grammar is checked by `AppName`, on the way in and out.
create table app (
    name         text   not null,
    created_at   bigint not null,
    pushed_at    bigint not null,
    last_release bigint not null,

    constraint app_pk primary key (name),
    constraint app_name_is_short check (length(name) between 1 and 40)
);

-- One row for each pushed digest of a tag; never changed.
create table release (
    app_name    text   not null,
    number      bigint not null,
    tag         text   not null,
    digest      text   not null,
    -- The manifest that runs; missing where none was found.
    image       text,
    size        bigint not null,
    -- When the registry took it, by the registry's clock, and when RAC recorded it, by its own.
    pushed_at   bigint not null,
    recorded_at bigint not null,
    refused     text,
    spec        text,
    findings    text   not null,

    constraint release_pk primary key (app_name, number),
    constraint release_belongs_to_app foreign key (app_name) references app (name),
    constraint release_runs_or_is_refused check (
        (refused is not null and spec is null)
        or (refused is null and spec is not null and image is not null)
    )
);

create index release_of_tag on release (app_name, tag, number);

-- Where each host label leads. The table is the change feed as well: `seq` is the number of the
-- row's last change, and a row without a release is a label that leads nowhere any more.
create table route (
    host           text   not null,
    app_name       text   not null,
    release_number bigint,
    seq            bigint not null,
    changed_at     bigint not null,

    constraint route_pk primary key (host),
    constraint route_seq_is_unique unique (seq),
    constraint route_leads_to_release
        foreign key (app_name, release_number) references release (app_name, number)
);

create index route_of_release on route (app_name, release_number);
create index route_removed on route (changed_at) where release_number is null;
