-- ARGV: lease's token; its ms; ms that the items are kept; form; 1 if they are the whole conversation; name;
--       then id, value of each item, newest first
-- Answers {'filled'}, or {'refused'} where a writer has been here since the lease was given.
if full or not use_lease(ARGV[1], tonumber(ARGV[2])) then
  return {'refused'}
end
name = ARGV[6]
forget_items()

local bytes, count = 0, 0
for i = 7, #ARGV, 2 do
  local id, value = ARGV[i], ARGV[i + 1]
  local added = redis.pcall('ZADD', order, 0, string.sub(value, 1, 18) .. id)
  if type(added) == 'table' or not write('i' .. id, value) then
    redis.call('DEL', state, order)
    return {'refused'}
  end
  count, bytes = count + 1, bytes + #value
end
local lasts = tonumber(ARGV[3])
if not write('until', clock + lasts, 'whole', ARGV[5], 'count', count, 'bytes', bytes, 'form', ARGV[4],
             'change', ARGV[1], 'run', run, 'name', name) then
  return {'refused'}
end
live_for(lasts)
redis.call('PEXPIRE', order, lasts)
return {'filled'}
