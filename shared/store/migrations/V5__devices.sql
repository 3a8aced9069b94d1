-- Where pushes go: one row per installation of an app. Its token is what FCM knows it by; whoever
-- signs in on it next gets the row with it.
create table device (
    id       bigint generated always as identity primary key,
    user_id  bigint      not null,
    platform text        not null,
    token    text        not null unique,
    since    timestamptz not null default now()
);
create index device_user on device (user_id);

-- Registers a token for a user, whoever had it before; no row: the user has p_most others.
create function device_register(p_user bigint, p_platform text, p_token text, p_most bigint)
returns setof bigint language plpgsql as $$
begin
    -- In a statement of its own, so that the count below is from after the wait (trap 2).
    perform pg_advisory_xact_lock(hashtextextended('device of ' || p_user, 0));
    if (select count(*) from device where user_id = p_user and token <> p_token) >= p_most then
        return;
    end if;
    return query
        insert into device (user_id, platform, token) values (p_user, p_platform, p_token)
        on conflict (token) do update
        set user_id  = excluded.user_id,
            platform = excluded.platform,
            since    = case when device.user_id = excluded.user_id
                            then device.since else excluded.since end
        returning id;
end
$$;
