-- Writes the route of a session that should have one already, unless another session of the device
-- has taken its place meanwhile: two sessions of one device would evict each other without end.
--
-- KEYS[1]  the user's routes: device -> "home:incarnation:session"
-- ARGV     device, route, session, the channel of hints, user, and a route that is known to be dead
--          ('' when none is): it is in nobody's way
-- answer   {0, nil} it stands, {1, nil} it was written, {2, the route of another session that stands}
local old = redis.call('HGET', KEYS[1], ARGV[1])
if old == ARGV[2] then
  return { 0, false }
end
local readable = old and string.match(old, '^%d+:%d+:%x+%-')
if readable and old ~= ARGV[6] and string.match(old, '[^:]*$') ~= ARGV[3] then
  return { 2, old }
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PUBLISH', ARGV[4], ARGV[5])
return { 1, false }
