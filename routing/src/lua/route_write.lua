-- Writes the route of a new session of a device, whoever had the device before, and says so to
-- whoever keeps look-ups.
--
-- KEYS[1]  the user's routes: device -> "home:incarnation:session"
-- ARGV     device, route, session, the channel of hints, user
-- answer   the route of another session that stood here, or nil
local old = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if old ~= ARGV[2] then
  redis.call('PUBLISH', ARGV[4], ARGV[5])
end
if old and string.match(old, '[^:]*$') ~= ARGV[3] then
  return old
end
return nil
