-- Renews the one claim that the caller says it has, and answers with the whole table.
--
-- KEYS[1]  the table: home -> "incarnation:until:owner"
-- ARGV     owner, incarnation (0: holds none), lease in ms, 1 from who takes part and 0 from who looks
-- answer   {ms left of the grace or 0, a list of {home, incarnation, ms left or 0, owner}}
--
-- The grace: when the table is new, or nobody who takes part was heard for half a lease, it was Redis
-- that was away, as far as anybody can tell. For one lease from then on only former holders may claim.
-- Beside the homes, under "heard" and "grace": when somebody was heard last; until when the grace runs.
-- A lease that has ended is never renewed, even if nobody took the home: from its end on, others may
-- have taken the routes of this incarnation for dead.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local owner, incarnation, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local grace = tonumber(redis.call('HGET', KEYS[1], 'grace') or 0)
if ARGV[4] == '1' then
  local heard = tonumber(redis.call('HGET', KEYS[1], 'heard') or 0)
  if now - heard > lease / 2 then
    grace = now + lease
    redis.call('HSET', KEYS[1], 'grace', string.format('%.0f', grace))
  end
  redis.call('HSET', KEYS[1], 'heard', string.format('%.0f', now))
end

local fields = redis.call('HGETALL', KEYS[1])
local answer = {}
for i = 1, #fields, 2 do
  local claimed, ends, name = string.match(fields[i + 1], '^(%d+):(%d+):(.*)$')
  if claimed then
    claimed, ends = tonumber(claimed), tonumber(ends)
    if name == owner and claimed == incarnation and ends > now then
      ends = now + lease
      redis.call('HSET', KEYS[1], fields[i], string.format('%.0f:%.0f:%s', claimed, ends, name))
    end
    answer[#answer + 1] = { tonumber(fields[i]), claimed, math.max(ends - now, 0), name }
  end
end
return { math.max(grace - now, 0), answer }
