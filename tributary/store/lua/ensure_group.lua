#!lua flags=allow-oom
-- ensure_group: create the consumer group unless it exists, behind the last entry applied.
-- Never at $ (earlier entries would be lost) and never at 0 (they would be counted twice).
-- An entry that is begun is read again; if it cannot be read, the rest of it is lost.
--
-- KEYS[1] readings, KEYS[2] meta, KEYS[3] buried
-- ARGV[1] group, ARGV[2] new epoch
-- returns {1 if the group was created, else 0; fields and values of meta}
-- atomic: two workers may try at once; a worker that still holds a batch of a deleted group
-- must find a new epoch; and the counts must be those of the epoch.
-- allow-oom: a worker that starts while the server is full must be able to drain it.
local readings, meta = KEYS[1], KEYS[2]
local hwm = redis.call('HGET', meta, 'hwm') or '0-0'

local function before(a, b)
  local a_ms, a_seq = string.match(a, '(%d+)-(%d+)')
  local b_ms, b_seq = string.match(b, '(%d+)-(%d+)')
  if a_ms ~= b_ms then return tonumber(a_ms) < tonumber(b_ms) end
  return tonumber(a_seq) < tonumber(b_seq)
end

local function just_before(id)
  local ms, seq = string.match(id, '(%d+)-(%d+)')
  if seq ~= '0' then return ms .. '-' .. string.format('%.0f', seq - 1) end
  return string.format('%.0f', ms - 1) .. '-18446744073709551615'
end

local function exists()
  if redis.call('EXISTS', readings) == 0 then return false end
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', readings)) do
    if group[2] == ARGV[1] then return true end
  end
  return false
end

local progress = redis.call('HGET', meta, 'progress') or ''
local begun = string.match(progress, '^%S+')
local has_group = exists()
if begun then
  local can_be_read = #redis.call('XRANGE', readings, begun, begun) > 0
  if can_be_read and has_group then
    can_be_read = #redis.call('XPENDING', readings, ARGV[1], begun, begun, 1) > 0
  end
  if not can_be_read then
    redis.call('ZADD', KEYS[3], string.match(begun, '^%d+'), progress)
    redis.call('HINCRBY', meta, 'lost', redis.call('HGET', meta, 'begun') or 0)
    redis.call('HINCRBY', meta, 'lost_entries', 1)
    redis.call('HSET', meta, 'epoch', ARGV[2], 'begun', 0, 'begun_entry', 0, 'progress', '')
    begun = nil
  end
end
if has_group then return {0, redis.call('HGETALL', meta)} end
redis.call('XGROUP', 'CREATE', readings, ARGV[1], begun and just_before(begun) or hwm, 'MKSTREAM')
local info = redis.call('XINFO', 'STREAM', readings)
for i = 1, #info, 2 do
  -- A stream that was deleted begins again at 0: without this, ids below hwm could be issued again.
  if info[i] == 'last-generated-id' and before(info[i + 1], hwm) then
    redis.call('XSETID', readings, hwm)
  end
end
redis.call('HSET', meta, 'epoch', ARGV[2])
return {1, redis.call('HGETALL', meta)}
