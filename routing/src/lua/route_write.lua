-- Writes the route of a new session of a device, whoever had the device before, and says so to
-- whoever keeps look-ups. Not for a further device of a user who has as many as one may have.
--
-- KEYS[1]  the user's routes: device -> "home:incarnation:session"
-- ARGV     device, route, session, the channel of hints, user, how many routes a user may have
-- answer   {0, the route of another session that stood here, or nil}, {1, nil} nothing was written
local old = redis.call('HGET', KEYS[1], ARGV[1])
if not old and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[6]) then
  return { 1, false }
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if old ~= ARGV[2] then
  redis.call('PUBLISH', ARGV[4], ARGV[5])
end
if old and string.match(old, '[^:]*$') ~= ARGV[3] then
  return { 0, old }
end
return { 0, false }
