-- Many sessions, one snapshot: rooms, bounds of membership, read marks and messages belong together.
--
-- $1…$6: one entry per request; $7…$9: the cursors of all, by the number of their request; $10: how
-- many bytes of content each request may get.
with req as (
    select *
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bool[], $5::bool[], $6::bool[])
        with ordinality as r (user_id, max_room, max_total, named_only, from_join, want_marks, req)
), cur as (
    select req, room_id, max(seq) as seq
    from unnest($7::bigint[], $8::bigint[], $9::bigint[]) as c (req, room_id, seq)
    group by req, room_id
),
-- Of a room with a cursor every stay, as what was missed may lie in several; of others today's.
stay as (
    select r.req, s.room_id, s.joined_seq, s.left_seq, c.seq as cursor
    from req r
    join membership s on s.user_id = r.user_id
    left join cur c on c.req = r.req and c.room_id = s.room_id
    where c.room_id is not null or (not r.named_only and s.left_seq is null)
), place as (
    select req, room_id,
           max(joined_seq) as joined_seq,
           (array_agg(left_seq order by joined_seq desc))[1] as left_seq,
           max(cursor) as cursor,
           array_agg(joined_seq) as firsts,
           array_agg(left_seq) as lasts
    from stay
    group by req, room_id
), headed as (
    select p.*, m.kind, coalesce(p.left_seq, m.head) as head,
           r.max_room, r.max_total, r.from_join, r.want_marks
    from place p
    join req r on r.req = p.req
    join room m on m.room_id = p.room_id
), based as (
    select *,
           case when cursor is not null then least(cursor, head)
                when from_join then joined_seq - 1
                else head end as base,
           coalesce(cursor > head, false) as clamped
    from headed
    -- A room that was left is of interest up to its removal, to who has not seen that yet.
    where left_seq is null or cursor < left_seq or (cursor is null and from_join)
),
-- Seqs have no gaps: how many were missed is known without looking at a message.
counted as materialized (
    select b.*, m.missed, m.first_missed, least(m.missed, b.max_room) as want
    from based b
    cross join lateral (
        select coalesce(sum(hi - lo + 1), 0)::bigint as missed, min(lo) as first_missed
        from (
            select greatest(u.f, b.base + 1) as lo, coalesce(u.l, b.head) as hi
            from unnest(b.firsts, b.lasts) as u (f, l)
        ) span
        where lo <= hi
    ) m
),
-- The rooms that need least are served first: most of them whole.
shared as (
    select *,
           greatest(0, least(want, max_total + want
               - (sum(want) over (partition by req order by want, room_id))::bigint)) as allowed
    from counted
),
-- Seqs and sizes first: texts that do not fit are never read. Of a room the newest are kept.
sized as (
    select s.req, s.room_id, m.seq,
           sum(m.octets) over (partition by s.req order by s.want, s.room_id, m.seq desc
                               rows unbounded preceding) as octets
    from shared s
    cross join lateral (
        select m.seq, m.octets
        -- What is not wanted is ruled out inside the lateral joins: a condition on the join would be
        -- looked at after the rows were read.
        from (select f, l from unnest(s.firsts, s.lasts) as u (f, l) where s.allowed > 0) u
        cross join lateral (
            select m.seq, m.octets
            from message m
            where m.room_id = s.room_id
              and m.seq >= greatest(u.f, s.base + 1)
              and m.seq <= coalesce(u.l, s.head)
            order by m.seq desc
            limit s.allowed
        ) m
        order by m.seq desc
        limit s.allowed
    ) m
), replayed as (
    select req, room_id, min(seq) as since
    from sized
    where octets <= $10
    group by req, room_id
),
-- Marks of small rooms, and not too many of all (I9): the rooms that have least are served first.
marked as (
    select s.req, s.room_id, k.users, k.uptos,
           sum(k.found) over (partition by s.req order by k.found, s.room_id) as total
    from shared s
    cross join lateral (
        select count(*) as members, count(k.user_id) as found,
               array_agg(k.user_id order by k.user_id) filter (where k.user_id is not null) as users,
               array_agg(k.upto order by k.user_id) filter (where k.user_id is not null) as uptos
        from (
            select p.user_id
            from membership p
            where p.room_id = s.room_id and p.left_seq is null
            limit 101
        ) p
        left join read_mark k on k.room_id = s.room_id and k.user_id = p.user_id
    ) k
    where s.want_marks and s.left_seq is null and k.members <= 100
)
select s.req, s.room_id, s.kind, s.joined_seq, s.left_seq, s.head, s.base, s.clamped,
       s.missed, s.first_missed,
       e.seqs, e.senders, e.ids, e.kinds, e.ats, e.contents,
       k.users as mark_users, k.uptos as mark_uptos
from shared s
left join replayed r on r.req = s.req and r.room_id = s.room_id
left join lateral (
    select array_agg(x.seq order by x.seq) as seqs,
           array_agg(x.sender_id order by x.seq) as senders,
           array_agg(x.client_id order by x.seq) as ids,
           array_agg(x.kind order by x.seq) as kinds,
           array_agg(x.at_ms order by x.seq) as ats,
           array_agg(x.content order by x.seq) as contents
    from (
        select m.seq, m.sender_id, m.client_id, m.kind, m.at_ms,
               case when m.first is null then m.content
                    else message_seen(s.room_id, m.seq, m.content, m.first, s.firsts, s.lasts)
               end as content
        from (select f, l from unnest(s.firsts, s.lasts) as u (f, l) where r.since is not null) u
        -- The limit keeps the look-up by seq, whatever the planner believes about the room's size.
        cross join lateral (
            select m.seq, m.sender_id, m.client_id, m.kind, m.at_ms, m.content, m.first
            from message m
            where m.room_id = s.room_id
              and m.seq >= greatest(u.f, r.since)
              and m.seq <= coalesce(u.l, s.head)
            order by m.seq desc
            limit s.allowed
        ) m
    ) x
) e on true
left join marked k on k.req = s.req and k.room_id = s.room_id and k.total <= 1000
order by s.req, s.room_id
