-- Compare-and-delete: removes the route of a device only while it is the very one that the caller
-- means. Another session of the device may have written its own in between.
--
-- KEYS[1]  the user's routes: device -> "home:incarnation:session"
-- ARGV     device, route
-- answer   1 if it was removed
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
  return redis.call('HDEL', KEYS[1], ARGV[1])
end
return 0
