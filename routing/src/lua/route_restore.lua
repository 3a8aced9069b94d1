-- Writes the route of a session that should have one already, unless a newer session of the device
-- has taken its place meanwhile: two sessions of one device would evict each other without end.
--
-- KEYS[1]  the user's routes: device -> "home:incarnation:session"
-- ARGV     device, route, session
-- answer   {0, nil} it stands, {1, nil} it was written, {2, the route of another session that stands}
local old = redis.call('HGET', KEYS[1], ARGV[1])
if old == ARGV[2] then
  return { 0, false }
end
if old and string.match(old, '^%d+:%d+:%x+%-') and string.match(old, '[^:]*$') ~= ARGV[3] then
  return { 2, old }
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return { 1, false }
