-- ARGV: lease's token; its ms; ms that the row is kept; the row; name
-- Answers {'filled'}, or {'refused'} where a writer has been here since the lease was given.
if full or not use_lease(ARGV[1], tonumber(ARGV[2])) then
  return {'refused'}
end
local lasts = tonumber(ARGV[3])
if not write('leases', saved[3], 'session', ARGV[4], 'session_until', clock + lasts, 'run', run, 'name', ARGV[5]) then
  return {'refused'}
end
live_for(lasts)
return {'filled'}
