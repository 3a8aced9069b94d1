-- Says that a classifier is alive and renews the lanes that it holds. Rows that an append holds are
-- stepped over: the append renews them itself (trap 18).
create function lane_heartbeat(
    p_me text, p_lease_ms bigint, p_lanes int[], p_epochs bigint[], p_routed bigint[]
) returns void language plpgsql as $$
declare
    v_until timestamptz := clock_timestamp() + p_lease_ms * interval '1 ms';
begin
    insert into classifier_member (name, until) values (p_me, v_until)
    on conflict (name) do update set until = excluded.until;

    with mine as (
        select l.lane, h.routed
        from lane l
        join unnest(p_lanes, p_epochs, p_routed) as h (lane, epoch, routed) on h.lane = l.lane
        where l.owner = p_me and l.epoch = h.epoch
        order by l.lane
        for update of l skip locked
    )
    update lane l
    set until = v_until, routed = greatest(l.routed, least(mine.routed, l.applied))
    from mine
    where l.lane = mine.lane;

    -- Names of pods that never come back.
    delete from classifier_member where name in (
        select name from classifier_member
        where until < clock_timestamp() - interval '1 hour'
        for update skip locked
    );
end
$$;

-- Claims a lane that is free, has lapsed, or is the caller's own from before; no row: not now.
-- The epoch is above every one before, also when a failover has lost the last ones.
create function lane_claim(p_me text, p_lane int, p_topic_id text, p_lease_ms bigint)
returns table (epoch bigint, applied bigint, routed bigint) language sql as $$
    with free as (
        select l.lane
        from lane l
        where l.lane = p_lane
          and (l.owner is null or l.owner = p_me or l.until <= clock_timestamp())
        for update skip locked
    )
    update lane l
    set owner    = p_me,
        until    = clock_timestamp() + p_lease_ms * interval '1 ms',
        epoch    = greatest(l.epoch, (extract(epoch from clock_timestamp()) * 1000)::bigint) + 1,
        topic_id = p_topic_id,
        applied  = case when l.topic_id = p_topic_id then l.applied else -1 end,
        routed   = case when l.topic_id = p_topic_id then l.routed else -1 end
    from free
    where l.lane = free.lane
    returning l.epoch, l.applied, l.routed;
$$;
