-- Writes the route of a new session of a device, whoever had the device before.
--
-- KEYS[1]  the user's routes: device -> "home:incarnation:session"
-- ARGV     device, route, session
-- answer   the route of another session that stood here, or nil
local old = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if old and string.match(old, '[^:]*$') ~= ARGV[3] then
  return old
end
return nil
