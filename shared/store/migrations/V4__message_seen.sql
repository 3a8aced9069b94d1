-- An edited message as somebody may see it whose stays are p_joined[n] to p_left[n] (null: still
-- there): with the latest edit that they may see, else as it was first said (I12).
create function message_seen(
    p_room bigint, p_seq bigint, p_content jsonb, p_first jsonb, p_joined bigint[], p_left bigint[]
) returns jsonb language sql stable as $$
    select case
        when exists (
            select 1
            from unnest(p_joined, p_left) as s (joined_seq, left_seq)
            where (p_content ->> 'edited')::bigint between s.joined_seq
                  and coalesce(s.left_seq, (p_content ->> 'edited')::bigint)
        ) then p_content
        else coalesce(
            (
                select jsonb_build_object('body', e.content -> 'body', 'edited', e.seq)
                from message e
                join unnest(p_joined, p_left) as s (joined_seq, left_seq)
                    on e.seq between s.joined_seq and coalesce(s.left_seq, e.seq)
                where e.room_id = p_room and e.kind = 'edited'
                  and (e.content ->> 'target')::bigint = p_seq
                order by e.seq desc
                limit 1
            ),
            p_first
        )
    end
$$;
