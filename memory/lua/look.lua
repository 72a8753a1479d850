-- ARGV: limit; the reader's time, 18 digits; form of the values; token of the lease it wants, or ''; the lease's ms
-- Answers {'hit', whole, change, {value, ...}}, {'marked'}, {'lease'} or {'miss'}.
if #marks > 0 then
  return {'marked'}
end
if not items_held(ARGV[3]) then
  return lease(ARGV[4], tonumber(ARGV[5]))
end

local limit, held, found, start = tonumber(ARGV[1]), redis.call('ZCARD', order), {}, 0
while #found < limit and start < held do
  local members = redis.call('ZREVRANGE', order, start, start + math.min(limit, 500) - 1)
  start = start + #members
  local fields = {}
  for i, member in ipairs(members) do
    fields[i] = 'i' .. string.sub(member, 19)
  end
  for _, value in ipairs(redis.call('HMGET', state, unpack(fields))) do
    if not value then
      drop()
      return lease(ARGV[4], tonumber(ARGV[5]))
    end
    if #found < limit and string.sub(value, 19, 36) > ARGV[2] then
      found[#found + 1] = string.sub(value, 37)
    end
  end
end
local info = redis.call('HMGET', state, 'whole', 'change')
return {'hit', info[1] or '0', info[2] or '', found}
