-- ARGV: the writer's token; ms that its mark stands; name; how many of the newest items the writer wants to know, its
--       time (18 digits), and the form of their values
-- Answers {'marked', the session's row or '', {value, ...} or false}, or {'full'} where Redis is out of memory: all is
-- dropped then. False: the newest items are not known.
name = ARGV[3]
redis.call('HDEL', state, 'leases')
local overlapped, row, values = '0', '', false
local wanted = tonumber(ARGV[4])
if #marks > 0 then
  -- Two writers at once: it is unknown whose change the database took last.
  for _, mark in ipairs(marks) do
    mark.overlapped = '1'
  end
  overlapped = '1'
  drop()
else
  local session = redis.call('HMGET', state, 'session', 'session_until')
  if session[1] and tonumber(session[2]) > clock then
    row = session[1]
  end
  if wanted > 0 and items_held(ARGV[6]) then
    values = newest(wanted, ARGV[5]) or false
    if values and #values < wanted and redis.call('HGET', state, 'whole') ~= '1' then
      values = false
    end
  end
end
marks[#marks + 1] = {token = ARGV[1], ends = clock + tonumber(ARGV[2]), overlapped = overlapped}
return write_marks() and {'marked', row, values} or {'full'}
