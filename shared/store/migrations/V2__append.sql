-- Stores one batch, whole or not at all. Volatile, as every function is by default:
-- each statement in it sees what has been committed when *it* begins.
--
-- SB001: a lane is not the caller's, or `applied` is not what the batch was decided on; DETAIL names
--        the lanes, separated by commas.
-- SB002: a head or a stay is not as the caller's states had it.
create function append_batch(
    p_owner text, p_lease_ms bigint,
    p_lanes int[], p_epochs bigint[], p_expected bigint[], p_applied bigint[], p_routed bigint[],
    p_rooms bigint[], p_seqs bigint[], p_senders bigint[], p_ids uuid[], p_kinds text[], p_ats bigint[],
    p_contents jsonb[],
    p_head_rooms bigint[], p_head_before bigint[], p_head_after bigint[],
    p_new_rooms bigint[], p_new_kinds text[], p_new_names text[], p_new_heads bigint[],
    p_renamed_rooms bigint[], p_renamed_names text[],
    p_gone_rooms bigint[], p_gone_seqs bigint[],
    p_opened_rooms bigint[], p_opened_users bigint[], p_opened_seqs bigint[], p_opened_roles text[],
    p_closed_rooms bigint[], p_closed_users bigint[], p_closed_joined bigint[], p_closed_left bigint[],
    p_role_rooms bigint[], p_role_users bigint[], p_role_joined bigint[], p_role_roles text[],
    p_edited_rooms bigint[], p_edited_targets bigint[], p_edited_seqs bigint[], p_edited_bodies text[],
    p_deleted_rooms bigint[], p_deleted_targets bigint[], p_deleted_seqs bigint[]
) returns void language plpgsql as $$
declare
    v_bad   text;
    v_count bigint;
    v_more  bigint;
begin
    -- The lock, in lane order, and the check, each in a statement of its own: what follows has a
    -- snapshot from after the wait (trap 2).
    perform 1 from lane where lane = any (p_lanes) order by lane for update;

    -- `applied` as well as the epoch: an append whose answer was lost and that is repeated must fail
    -- here, not on its own rows (trap 15).
    select string_agg(u.lane::text, ',' order by u.lane) into v_bad
    from unnest(p_lanes, p_epochs, p_expected) as u (lane, epoch, expected)
    left join lane l on l.lane = u.lane
    where l.lane is null
       or l.owner is distinct from p_owner
       or l.epoch <> u.epoch
       or l.applied <> u.expected;
    if v_bad is not null then
        raise exception 'lanes are not as the batch expects' using errcode = 'SB001', detail = v_bad;
    end if;

    if cardinality(p_rooms) > 0 then
        insert into message (room_id, seq, sender_id, client_id, kind, at_ms, content, octets)
        select u.*, octet_length(u.content::text)
        from unnest(p_rooms, p_seqs, p_senders, p_ids, p_kinds, p_ats, p_contents)
            as u (room_id, seq, sender_id, client_id, kind, at_ms, content);
    end if;

    if cardinality(p_new_rooms) > 0 then
        insert into room (room_id, kind, name, head)
        select * from unnest(p_new_rooms, p_new_kinds, p_new_names, p_new_heads);
    end if;

    if cardinality(p_head_rooms) > 0 then
        update room r set head = u.head_after
        from unnest(p_head_rooms, p_head_before, p_head_after) as u (room_id, head_before, head_after)
        where r.room_id = u.room_id and r.head = u.head_before;
        get diagnostics v_count = row_count;
        if v_count <> cardinality(p_head_rooms) then
            raise exception 'a room''s head is not as the batch expects' using errcode = 'SB002';
        end if;
    end if;

    if cardinality(p_renamed_rooms) > 0 then
        update room r set name = u.name
        from unnest(p_renamed_rooms, p_renamed_names) as u (room_id, name)
        where r.room_id = u.room_id;
    end if;

    -- Stays that were there end before others begin, as one user has one open stay in a room; stays
    -- that begin and end in this batch are written as ended (trap 3).
    if cardinality(p_closed_rooms) > 0 then
        update membership s set left_seq = u.left_seq
        from unnest(p_closed_rooms, p_closed_users, p_closed_joined, p_closed_left)
            as u (room_id, user_id, joined_seq, left_seq)
        where s.room_id = u.room_id and s.user_id = u.user_id and s.joined_seq = u.joined_seq
          and s.left_seq is null;
        get diagnostics v_count = row_count;
    else
        v_count := 0;
    end if;

    if cardinality(p_opened_rooms) > 0 then
        with begun as (
            insert into membership (room_id, user_id, joined_seq, left_seq, role)
            select o.room_id, o.user_id, o.joined_seq, c.left_seq, o.role
            from unnest(p_opened_rooms, p_opened_users, p_opened_seqs, p_opened_roles)
                as o (room_id, user_id, joined_seq, role)
            left join unnest(p_closed_rooms, p_closed_users, p_closed_joined, p_closed_left)
                as c (room_id, user_id, joined_seq, left_seq) using (room_id, user_id, joined_seq)
            returning left_seq
        )
        select count(left_seq) into v_more from begun;
        v_count := v_count + v_more;
    end if;

    if v_count <> cardinality(p_closed_rooms) then
        raise exception 'a stay is not as the batch expects' using errcode = 'SB002';
    end if;

    if cardinality(p_role_rooms) > 0 then
        update membership s set role = u.role
        from unnest(p_role_rooms, p_role_users, p_role_joined, p_role_roles)
            as u (room_id, user_id, joined_seq, role)
        where s.room_id = u.room_id and s.user_id = u.user_id and s.joined_seq = u.joined_seq;
        get diagnostics v_count = row_count;
        if v_count <> cardinality(p_role_rooms) then
            raise exception 'a stay is not as the batch expects' using errcode = 'SB002';
        end if;
    end if;

    if cardinality(p_gone_rooms) > 0 then
        update room r set deleted = u.seq
        from unnest(p_gone_rooms, p_gone_seqs) as u (room_id, seq)
        where r.room_id = u.room_id;
        update membership s set left_seq = u.seq
        from unnest(p_gone_rooms, p_gone_seqs) as u (room_id, seq)
        where s.room_id = u.room_id and s.left_seq is null;
    end if;

    if cardinality(p_edited_rooms) > 0 then
        update message m
        set content = m.content || jsonb_build_object('body', u.body, 'edited', u.seq),
            first = coalesce(m.first, m.content),
            -- No text is longer than what stored it; the edits before the last one are counted.
            octets = greatest(m.octets, (
                select max(e.octets)
                from message e
                where e.room_id = m.room_id and e.kind = 'edited'
                  and (e.content ->> 'target')::bigint = m.seq
                  and e.seq > coalesce((m.content ->> 'edited')::bigint, 0)
            ))
        from unnest(p_edited_rooms, p_edited_targets, p_edited_seqs, p_edited_bodies)
            as u (room_id, target, seq, body)
        where m.room_id = u.room_id and m.seq = u.target
          and m.kind = 'message' and not m.content ? 'deleted';
    end if;

    if cardinality(p_deleted_rooms) > 0 then
        update message m
        set content = jsonb_build_object('body', '', 'deleted', u.seq), first = null, octets = 0
        from unnest(p_deleted_rooms, p_deleted_targets, p_deleted_seqs) as u (room_id, target, seq)
        where m.room_id = u.room_id and m.seq = u.target and m.kind = 'message';
        update message m
        set content = m.content || jsonb_build_object('body', ''), octets = 0
        from unnest(p_deleted_rooms, p_deleted_targets) as u (room_id, target)
        where m.room_id = u.room_id and m.kind = 'edited'
          and (m.content ->> 'target')::bigint = u.target;
    end if;

    update lane l
    set applied = u.applied,
        routed  = greatest(l.routed, least(u.routed, u.applied)),
        until   = clock_timestamp() + p_lease_ms * interval '1 ms'
    from unnest(p_lanes, p_applied, p_routed) as u (lane, applied, routed)
    where l.lane = u.lane;
end
$$;
