-- Takes a home, if nobody else holds it.
--
-- KEYS[1]  the table: home -> "incarnation:until:owner"
-- ARGV     home, owner, the highest incarnation that the caller knows of, lease in ms, 1 from who never
--          had the home and 0 from its former holder
-- answer   the new incarnation, or 0: somebody else holds it, or may be about to return to it
--
-- A live lease of the same name is no hindrance, unless it is newer than what the caller knows: then
-- it is the caller that was replaced. The caller's own number counts too, because a Redis that failed
-- over may have forgotten the last claims; with the clock beneath both, none is given out twice.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local home, owner, known, lease = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

-- What the caller decided on may have been read before Redis lost its memory: a table that nobody was
-- heard in is new, and its grace has not even begun.
if ARGV[5] == '1' then
  local grace = tonumber(redis.call('HGET', KEYS[1], 'grace') or 0)
  if grace > now or redis.call('HEXISTS', KEYS[1], 'heard') == 0 then
    return 0
  end
end

local last = 0
local row = redis.call('HGET', KEYS[1], home)
if row then
  local claimed, ends, name = string.match(row, '^(%d+):(%d+):(.*)$')
  if claimed then
    last = tonumber(claimed)
    local foreign = name ~= owner or (known > 0 and last > known)
    if foreign and tonumber(ends) > now then
      return 0
    end
  end
end

local incarnation = math.max(last, known, now) + 1
redis.call('HSET', KEYS[1], home, string.format('%.0f:%.0f:%s', incarnation, now + lease, owner))
return incarnation
