-- Renews the one claim that the caller says it has, and answers with the whole table.
--
-- KEYS[1]  the table: home -> "incarnation:until:owner"
-- ARGV     owner, incarnation (0: holds none), lease in ms
-- answer   a list of {home, incarnation, ms left or 0, owner}
--
-- A lease that has ended is never renewed, even if nobody took the home: from its end on, others may
-- have taken the routes of this incarnation for dead.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local owner, incarnation, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local fields = redis.call('HGETALL', KEYS[1])
local answer = {}
for i = 1, #fields, 2 do
  local claimed, ends, name = string.match(fields[i + 1], '^(%d+):(%d+):(.*)$')
  if claimed then
    claimed, ends = tonumber(claimed), tonumber(ends)
    if name == owner and claimed == incarnation and ends > now then
      ends = now + lease
      redis.call('HSET', KEYS[1], fields[i], string.format('%.0f:%.0f:%s', claimed, ends, name))
    end
    answer[#answer + 1] = { tonumber(fields[i]), claimed, math.max(ends - now, 0), name }
  end
end
return answer
