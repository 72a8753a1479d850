-- ARGV: the writer's token; form; most items; most bytes; then what it did, each as a word and two values:
--       add id value | remove id '' | items '' '' (they changed, nobody knows how) | session row ms | session '' 0
-- Answers {'applied'}; {'overlapped'} or {'lost'} where other writers were at work, or the mark has not lasted: then all
-- is dropped.
local mine
for i, mark in ipairs(marks) do
  if mark.token == ARGV[1] then
    mine = table.remove(marks, i)
    break
  end
end
if not mine or mine.overlapped == '1' then
  for _, mark in ipairs(marks) do
    mark.overlapped = '1'
  end
  drop()
  return {mine and 'overlapped' or 'lost'}
end
write_marks()

local good = items_held(ARGV[2])
local info = redis.call('HMGET', state, 'whole', 'count', 'bytes')
local whole, count, bytes = info[1], tonumber(info[2] or 0), tonumber(info[3] or 0)

local function remove(id)
  local value = redis.call('HGET', state, 'i' .. id)
  if value then
    redis.call('ZREM', order, string.sub(value, 1, 18) .. id)
    redis.call('HDEL', state, 'i' .. id)
    count, bytes = count - 1, bytes - #value
  end
end

local function add(id, value)
  remove(id)
  local member = string.sub(value, 1, 18) .. id
  local added = redis.pcall('ZADD', order, 0, member)
  if type(added) == 'table' or not write('i' .. id, value) then
    redis.call('DEL', state, order)
    return false
  end
  count, bytes = count + 1, bytes + #value
  if whole ~= '1' and redis.call('ZRANK', order, member) == 0 then
    remove(id) -- between it and the newer ones there may be others
  end
  return true
end

local function trim()
  while count > tonumber(ARGV[3]) or bytes > tonumber(ARGV[4]) do
    remove(string.sub(redis.call('ZRANGE', order, 0, 0)[1], 19))
    whole = '0'
  end
end

for i = 5, #ARGV, 3 do
  local word, first, second = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if full and word == 'add' then
    word = 'items'
  elseif full and word == 'session' then
    first = ''
  end
  if word == 'session' and first ~= '' then
    if not write('session', first, 'session_until', clock + tonumber(second), 'run', run, 'name', name) then
      return {'lost'}
    end
    live_for(tonumber(second))
  elseif word == 'session' then
    redis.call('HDEL', state, 'session')
  elseif word == 'items' then
    forget_items()
    good = false
  elseif good and word == 'remove' then
    remove(first)
  elseif good and word == 'add' then
    if not add(first, second) then
      return {'lost'}
    end
    trim()
  end
end
if good and not write('whole', whole, 'count', count, 'bytes', bytes, 'change', ARGV[1]) then
  return {'lost'}
end
return {'applied'}
