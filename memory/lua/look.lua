-- ARGV: limit; the reader's time, 18 digits; form of the values; token of the lease it wants, or ''; the lease's ms
-- Answers {'hit', whole, change, {value, ...}}, {'marked'}, {'lease'} or {'miss'}.
if #marks > 0 then
  return {'marked'}
end
if not items_held(ARGV[3]) then
  return lease(ARGV[4], tonumber(ARGV[5]))
end

local found = newest(tonumber(ARGV[1]), ARGV[2])
if not found then
  return lease(ARGV[4], tonumber(ARGV[5]))
end
local info = redis.call('HMGET', state, 'whole', 'change')
return {'hit', info[1] or '0', info[2] or '', found}
