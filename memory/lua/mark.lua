-- ARGV: the writer's token; ms that its mark stands; name
-- Answers {'marked', the session's row or ''}, or {'full'} where Redis is out of memory: all is dropped then.
name = ARGV[3]
redis.call('HDEL', state, 'leases')
local overlapped, row = '0', ''
if #marks > 0 then
  -- Two writers at once: nobody can tell whose change the database took last.
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
end
marks[#marks + 1] = {token = ARGV[1], ends = clock + tonumber(ARGV[2]), overlapped = overlapped}
return write_marks() and {'marked', row} or {'full'}
