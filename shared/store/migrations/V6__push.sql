-- Which push worker reads which partition of chat-push. How far it is stays in Kafka: a push may
-- come twice, so that nothing has to be fenced.
create table push_partition (
    partition int         primary key,
    owner     text,
    until     timestamptz not null default '-infinity',
    epoch     bigint      not null default 0
) with (fillfactor = 50);

create table push_member (
    name  text        primary key,
    until timestamptz not null
) with (fillfactor = 50);

-- Says that a worker is alive and renews the partitions that it holds.
create function push_heartbeat(
    p_me text, p_lease_ms bigint, p_partitions int[], p_epochs bigint[]
) returns void language plpgsql as $$
declare
    v_until timestamptz := clock_timestamp() + p_lease_ms * interval '1 ms';
begin
    insert into push_member (name, until) values (p_me, v_until)
    on conflict (name) do update set until = excluded.until;

    with mine as (
        select p.partition
        from push_partition p
        join unnest(p_partitions, p_epochs) as h (partition, epoch) on h.partition = p.partition
        where p.owner = p_me and p.epoch = h.epoch
        order by p.partition
        for update of p skip locked
    )
    update push_partition p set until = v_until from mine where p.partition = mine.partition;

    -- Names of pods that never come back.
    delete from push_member where name in (
        select name from push_member
        where until < clock_timestamp() - interval '1 hour'
        for update skip locked
    );
end
$$;

-- Claims a partition that is free, has lapsed, or is the caller's own from before; null: not now.
create function push_claim(p_me text, p_partition int, p_lease_ms bigint)
returns bigint language sql as $$
    with free as (
        select p.partition
        from push_partition p
        where p.partition = p_partition
          and (p.owner is null or p.owner = p_me or p.until <= clock_timestamp())
        for update skip locked
    )
    update push_partition p
    set owner = p_me,
        until = clock_timestamp() + p_lease_ms * interval '1 ms',
        epoch = greatest(p.epoch, (extract(epoch from clock_timestamp()) * 1000)::bigint) + 1
    from free
    where p.partition = free.partition
    returning p.epoch;
$$;
