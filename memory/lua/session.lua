-- ARGV: token of the lease the reader wants; the lease's ms
-- Answers {'hit', row}, {'marked'}, {'lease'} or {'miss'}.
if #marks > 0 then
  return {'marked'}
end
local session = redis.call('HMGET', state, 'session', 'session_until')
-- "~": only times that the row includes are known, for writers.
if session[1] and tonumber(session[2]) > clock and string.sub(session[1], 1, 1) ~= '~' then
  return {'hit', session[1]}
end
return lease(ARGV[1], tonumber(ARGV[2]))
