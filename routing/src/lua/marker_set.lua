-- Sets the marker of a shard that has none: the shard is new, or has lost its memory.
--
-- KEYS[1]  the shard's marker: "value:good_from"
-- ARGV     a value that was never used before, lease in ms
-- answer   the marker that stands: the one set here, or another process's
--
-- good_from, in ms by Redis's clock: until then an empty answer of the shard says nothing, because not
-- everybody has written its routes again.
local old = redis.call('GET', KEYS[1])
if old then
  return old
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local marker = string.format('%s:%.0f', ARGV[1], now + tonumber(ARGV[2]))
redis.call('SET', KEYS[1], marker)
return marker
