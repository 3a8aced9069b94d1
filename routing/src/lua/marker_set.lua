-- Sets the marker of a shard that has none: the shard is new, or has lost its memory.
--
-- KEYS[1]  the shard's marker
-- KEYS[2]  stands for as long as the marker is new
-- ARGV     a value that was never used before, how long the marker counts as new, in ms
-- answer   the marker that stands: the one set here, or another process's
--
-- While it is new an empty answer of the shard says nothing, because not everybody has written its
-- routes again. A key that ends by itself: no two clocks are compared.
local old = redis.call('GET', KEYS[1])
if old then
  return old
end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], 'new', 'PX', ARGV[2])
return ARGV[1]
