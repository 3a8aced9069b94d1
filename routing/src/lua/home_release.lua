-- Ends the caller's own claim, and only that one. Who had the home stays written, so that it can come
-- back to it, and so does the incarnation, so that the next one is higher.
--
-- KEYS[1]  the table: home -> "incarnation:until:owner"
-- ARGV     home, owner, incarnation
-- answer   1 if it was the caller's
local row = redis.call('HGET', KEYS[1], ARGV[1])
if not row then
  return 0
end
local claimed, _, name = string.match(row, '^(%d+):(%d+):(.*)$')
if name ~= ARGV[2] or claimed ~= ARGV[3] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], claimed .. ':0:' .. name)
return 1
