-- Accounts, what they own, and what they have set.

create table account (
    name                text   not null,
    created_at          bigint not null,
    -- An Argon2id hash in PHC form; missing where only GitHub logs in.
    password            text,
    password_changed_at bigint not null,
    github_id           bigint,
    github_login        text,

    constraint account_pk primary key (name),
    constraint account_name_is_short check (length(name) between 1 and 40),
    constraint account_github_is_unique unique (github_id),
    constraint account_can_log_in check (password is not null or github_id is not null)
);

-- A browser's log-in: the SHA-256 of what its cookie holds.
create table session (
    hash         text   not null,
    account_name text   not null,
    created_at   bigint not null,
    seen_at      bigint not null,
    expires_at   bigint not null,

    constraint session_pk primary key (hash),
    constraint session_is_of_account foreign key (account_name) references account (name)
);

create index session_of_account on session (account_name);
create index session_ends on session (expires_at);

-- A personal access token: the SHA-256 of it. They are long and random, so no slow hash is needed.
create table token (
    token_id     text   not null,
    account_name text   not null,
    name         text   not null,
    kind         text   not null,
    hash         text   not null,
    last4        text   not null,
    -- Words parted by spaces, in the order of `Scope::ALL`.
    scopes       text   not null,
    app_name     text,
    created_at   bigint not null,
    expires_at   bigint not null,
    used_at      bigint,

    constraint token_pk primary key (token_id),
    constraint token_hash_is_unique unique (hash),
    constraint token_is_of_account foreign key (account_name) references account (name),
    constraint token_kind_is_known check (kind in ('personal', 'login', 'docker'))
);

create index token_of_account on token (account_name, created_at);
create index token_ends on token (expires_at);

-- A log-in with GitHub that nobody has confirmed yet.
create table device_login (
    -- The SHA-256 of what the client polls with.
    hash         text   not null,
    -- GitHub's device code, sealed.
    device_code  text   not null,
    interval_s   bigint not null,
    next_poll_at bigint not null,
    expires_at   bigint not null,

    constraint device_login_pk primary key (hash)
);

create index device_login_ends on device_login (expires_at);

-- An app belongs to `owner` once it was claimed.
alter table app add column owner text references account (name);
alter table app add column claimed_at bigint;
alter table app add column visibility text not null default 'public'
    constraint app_visibility_is_known check (visibility in ('public', 'private'));
alter table app add column url_access text not null default 'public'
    constraint app_url_access_is_known check (url_access in ('public', 'login'));
alter table app add column stopped bigint not null default 0;
alter table app add column scale_max bigint;
-- When somebody last lost the right to push, and up to when everything in the registry is known to
-- have been pushed by somebody who had it: tokens outlive the right by minutes.
alter table app add column rights_changed_at bigint not null default 0;
alter table app add column settled_at bigint not null default 0;
-- When its last owner gave it up: what was before is not for whoever comes after.
alter table app add column released_at bigint not null default 0;
-- When it is removed, while nobody has claimed it.
alter table app add column expires_at bigint;

create index app_of_owner on app (owner, name);
create index app_expires on app (expires_at) where expires_at is not null;

create table collaborator (
    app_name     text   not null,
    account_name text   not null,
    role         text   not null,
    added_at     bigint not null,

    constraint collaborator_pk primary key (app_name, account_name),
    constraint collaborator_of_app foreign key (app_name) references app (name),
    constraint collaborator_is_account foreign key (account_name) references account (name),
    constraint collaborator_role_is_known check (role in ('push', 'admin'))
);

create index collaborator_account on collaborator (account_name, app_name);

-- A deleted app's name, kept for its last owner.
create table tombstone (
    name       text   not null,
    owner      text   not null,
    deleted_at bigint not null,
    ends_at    bigint not null,
    -- Release numbers are never given out twice.
    last_release bigint not null,

    constraint tombstone_pk primary key (name)
);

create index tombstone_ends on tombstone (ends_at);

-- Who pushed (an account, or nothing), how the release came to be, and the environment it runs
-- with: a JSON object, sealed, belonging to `release/<app>/<number>`.
alter table release add column pushed_by text;
alter table release add column cause text not null default 'push'
    constraint release_cause_is_known check (cause in ('push', 'settings'));
alter table release add column env text;
-- The most instances on a node, where a setting said so when the release was made; `spec` keeps
-- what the image says.
alter table release add column scale_max bigint;
-- 1 once the registry keeps the image by a tag of RAC's own, 0 before, and -1 while it is being
-- removed: then it is no release any more, only a note of what the registry still has.
alter table release add column pinned bigint not null default 0
    constraint release_pinned_is_known check (pinned in (-1, 0, 1));

create index release_of_digest on release (app_name, digest);
create index release_unfinished on release (app_name) where pinned <> 1;

-- What a tag in the registry may stand on and is no release: pushed by somebody without the right
-- to, or of an app or a preview that was removed. Nobody takes it for a release later.
create table denied (
    app_name  text   not null,
    tag       text   not null,
    digest    text   not null,
    denied_at bigint not null,

    constraint denied_pk primary key (app_name, tag, digest)
);

create index denied_old on denied (denied_at);

-- An app's environment as it is now: each value sealed, belonging to `env/<app>/<key>`.
create table env (
    app_name   text   not null,
    key        text   not null,
    value      text   not null,
    secret     bigint not null,
    updated_at bigint not null,

    constraint env_pk primary key (app_name, key),
    constraint env_of_app foreign key (app_name) references app (name)
);

create table domain (
    app_name    text   not null,
    domain      text   not null,
    state       text   not null,
    challenge   text   not null,
    created_at  bigint not null,
    checked     text,
    checked_at  bigint,
    verified_at bigint,

    constraint domain_pk primary key (app_name, domain),
    constraint domain_of_app foreign key (app_name) references app (name),
    constraint domain_state_is_known check (state in ('pending', 'verified'))
);

create unique index domain_verified_once on domain (domain) where state = 'verified';
create index domain_pending on domain (domain, app_name) where state = 'pending';

-- A user's own settings: each value sealed, belonging to `config/<account>/<key>`.
create table config (
    account_name text   not null,
    key          text   not null,
    value        text   not null,
    secret       bigint not null,
    updated_at   bigint not null,

    constraint config_pk primary key (account_name, key),
    constraint config_of_account foreign key (account_name) references account (name)
);

-- What was done, by whom: only ever appended to, and pruned by age.
create table audit (
    audit_id     bigint not null,
    at           bigint not null,
    kind         text   not null,
    actor        text,
    app_name     text,
    -- Whose own it is, where it is about an account.
    account_name text,
    message      text   not null,

    constraint audit_pk primary key (audit_id)
);

create index audit_of_app on audit (app_name, audit_id);
create index audit_of_account on audit (account_name, audit_id);
create index audit_of_actor on audit (actor, audit_id);
create index audit_old on audit (at);

-- How much of a quota is used: `who` is an address or an account, `day` counts from 1970.
create table usage (
    kind   text   not null,
    who    text   not null,
    day    bigint not null,
    amount bigint not null,

    constraint usage_pk primary key (kind, who, day)
);

create index usage_old on usage (day);

-- Numbers that count up.
create table counter (
    name  text   not null,
    value bigint not null,

    constraint counter_pk primary key (name)
);

-- Work that one API does at a time. Whoever holds it counts `beat` up; whoever sees it stand still
-- for long enough takes it, with the next `epoch`, which the old holder's writes are checked by.
create table lease (
    name   text   not null,
    holder text   not null,
    epoch  bigint not null,
    beat   bigint not null,

    constraint lease_pk primary key (name)
);
