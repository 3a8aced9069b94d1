-- Compare-and-delete of routes that a reader found dead: whatever of them still stands is removed,
-- under whichever device it stands (a session's id is in each, so none can be mistaken).
--
-- KEYS[1]  the user's routes: device -> "home:incarnation:session"
-- ARGV     the dead routes
-- answer   how many were removed
local dead = {}
for _, route in ipairs(ARGV) do
  dead[route] = true
end
local removed = 0
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  if dead[fields[i + 1]] then
    removed = removed + redis.call('HDEL', KEYS[1], fields[i])
  end
end
return removed
