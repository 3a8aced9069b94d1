-- Takes a home, if nobody else holds it.
--
-- KEYS[1]  the table: home -> "incarnation:until:owner"
-- ARGV     home, owner, the highest incarnation that the caller knows of, lease in ms
-- answer   the new incarnation, or 0: somebody else holds it
--
-- A live lease of the same name is no hindrance, unless it is newer than what the caller knows: then
-- it is the caller that was replaced. The caller's own number counts too, because a Redis that failed
-- over may have forgotten the last claims; with the clock beneath both, none is given out twice.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local home, owner, known, lease = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

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
