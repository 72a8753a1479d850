-- One conversation in two keys of one slot, so that eviction, expiry and a flush can never take a part that matters:
--
-- KEYS[1], the state, a hash:
--   run      run id of the server that wrote it. A restarted server, or a replica that took over, may hold an older
--            state: what another run wrote is not trusted.
--   name     JSON of [user, session], for commands that walk the keys
--   marks    "token ends overlapped;" of each writer between its mark and its finish; ends in ms of Redis' clock
--   leases   "token granted;" of each reader that has missed and may fill
--   until, whole, count, bytes, form, change
--            the items held: the time in ms up to which they are, 1 if they are the whole conversation, their number and
--            size, the form of their values, and the token of what changed them last
--   session, session_until
--            the session's row
--   i<id>    an item: 18 digits of its time, 18 of its expiration, then JSON
-- KEYS[2], the order, a sorted set: 18 digits of the time, then the id; all with score 0, so Redis orders by bytes.
local state, order = KEYS[1], KEYS[2]

local function kind_is(key, wanted)
  local kind = redis.call('TYPE', key).ok
  return kind == wanted or kind == 'none'
end

-- Changes nothing either way. Out of memory, Redis refuses only the first write of a script; marks, which are small and
-- short-lived, are written all the same, items are not.
local refused = redis.pcall('LPUSHX', order, '')
local full = type(refused) == 'table' and refused.err and string.find(refused.err, 'OOM') ~= nil
if not (kind_is(state, 'hash') and kind_is(order, 'zset')) then
  redis.call('DEL', state, order)
end
-- A write that changes nothing: a replica, or a server that cannot save, refuses it, and so is not read either.
redis.call('HDEL', state, '')

local time = redis.call('TIME')
local clock = time[1] * 1000 + math.floor(time[2] / 1000)
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if not run then
  return {'nameless'}
end

local saved = redis.call('HMGET', state, 'run', 'marks', 'leases', 'name')
local name = saved[4] or ''
local marks, expired = {}, false
for token, ends, overlapped in string.gmatch(saved[2] or '', '(%x+) (%d+) (%d);') do
  if tonumber(ends) > clock then
    marks[#marks + 1] = {token = token, ends = ends, overlapped = overlapped}
  else
    expired = true
  end
end

-- HSET; where Redis refuses even so, the conversation is deleted instead, which it never refuses. False then.
local function write(...)
  local reply = redis.pcall('HSET', state, ...)
  if type(reply) == 'table' and reply.err then
    redis.call('DEL', state, order)
    return false
  end
  return true
end

local function live_for(milliseconds)
  if redis.call('PTTL', state) < milliseconds then
    redis.call('PEXPIRE', state, milliseconds)
  end
end

local function write_marks()
  if #marks == 0 then
    redis.call('HDEL', state, 'marks')
    return true
  end
  local text, longest = {}, 0
  for i, mark in ipairs(marks) do
    text[i] = mark.token .. ' ' .. mark.ends .. ' ' .. mark.overlapped .. ';'
    longest = math.max(longest, tonumber(mark.ends) - clock)
  end
  if not write('marks', table.concat(text), 'run', run, 'name', name) then
    return false
  end
  live_for(longest)
  return true
end

-- Forget all but the marks.
local function drop()
  redis.call('DEL', state, order)
  saved[3] = false
  return write_marks()
end

if expired or (saved[1] and saved[1] ~= run) then
  drop()
end

local function items_held(form)
  local info = redis.call('HMGET', state, 'until', 'form', 'count')
  return info[1] and tonumber(info[1]) > clock and info[2] == form
    and tonumber(info[3]) == redis.call('ZCARD', order)
end

-- The newest `limit` items held that have not expired at `now` (18 digits); nil, and all is dropped, where one is lost.
local function newest(limit, now)
  local held, found, start = redis.call('ZCARD', order), {}, 0
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
        return nil
      end
      if #found < limit and string.sub(value, 19, 36) > now then
        found[#found + 1] = string.sub(value, 37)
      end
    end
  end
  return found
end

local MOST_LEASES = 32

local function lease(token, lasts)
  local kept = {}
  for other, granted in string.gmatch(saved[3] or '', '(%x+) (%d+);') do
    if tonumber(granted) + lasts > clock then
      kept[#kept + 1] = other .. ' ' .. granted .. ';'
    end
  end
  if token == '' or full or #kept >= MOST_LEASES then
    return {'miss'}
  end
  kept[#kept + 1] = token .. ' ' .. clock .. ';'
  if not write('leases', table.concat(kept), 'run', run) then
    return {'miss'}
  end
  live_for(lasts)
  return {'lease'}
end

-- Whether the lease still stands; it is used up by asking.
local function use_lease(token, lasts)
  local granted = string.match(saved[3] or '', token .. ' (%d+);')
  if #marks > 0 or not granted or tonumber(granted) + lasts <= clock then
    return false
  end
  saved[3] = string.gsub(saved[3], token .. ' %d+;', '')
  return true
end

-- Forget the items, keep the session's row and the leases.
local function forget_items()
  local row = redis.call('HMGET', state, 'session', 'session_until')
  local lasts = redis.call('PTTL', state)
  redis.call('DEL', state, order)
  local kept = true
  if row[1] and tonumber(row[2]) > clock then
    kept = write('session', row[1], 'session_until', row[2])
  end
  if kept and saved[3] and saved[3] ~= '' then
    kept = write('leases', saved[3])
  end
  if kept and lasts > 0 and write('run', run, 'name', name) then
    redis.call('PEXPIRE', state, lasts)
  end
end
